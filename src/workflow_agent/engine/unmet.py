"""Why a step is not running: the requirement that is not met. Pure: a definition and a state in, answers out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.engine.plan import TIMER, WAITS, Plan, plan_of
from workflow_agent.engine.scratch import Group, Work
from workflow_agent.engine.tables import Fan
from workflow_agent.model.errors import NotFoundError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass
from workflow_agent.model.status import TERMINAL_RUN, TERMINAL_STEP, StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workflow_agent.model.event import RunState, StepState
    from workflow_agent.model.workflow import Workflow

__all__ = ["Unmet", "why"]


@dataclass(frozen=True, slots=True)
class Unmet:
    """What a step lacks. `kind`: ended, running, dependency, retry, timer, signal, person, pause, worker, trouble, end.

    `details` has the names: ``needs``, ``due_at``, ``signal``, ``limit``, as the kind has them.
    """

    step: str
    kind: str
    message: str
    details: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {"step": self.step, "kind": self.kind, "message": self.message, "details": dict(self.details)}


def why(workflow: Workflow, state: RunState, step: str | None = None) -> list[Unmet]:
    """Name what each step waits for.

    Args:
        workflow: The run's definition.
        state: Where the run stands.
        step: One step; None for all that are part of the run and have no end.

    Raises:
        NotFoundError: there is no such step.
    """
    plan = plan_of(workflow)
    if step is None:
        names: Iterable[str] = [name for name, cell in state.steps.items() if cell.status not in TERMINAL_STEP]
        return [] if state.status in TERMINAL_RUN else [_unmet(plan, state, name) for name in names]
    if step not in plan.steps:
        raise NotFoundError(f"the run has no step `{step[:64]}`", hint=did_you_mean(step, plan.steps))
    return [_unmet(plan, state, step)]


def _unmet(plan: Plan, state: RunState, name: str) -> Unmet:
    cell = state.steps.get(name)
    if cell is None:
        return Unmet(name, "trouble", f"`{name}` runs only after something went wrong", {})
    if cell.status in TERMINAL_STEP:
        reason = f": {cell.reason}" if cell.reason else ""
        return Unmet(name, "ended", f"`{name}` has ended as {cell.status.value}{reason}", {"status": cell.status.value})
    if state.status in TERMINAL_RUN:
        return Unmet(name, "end", f"the run has ended as {state.status.value}", {})
    if cell.status is StepStatus.RUNNING:
        return _running(name, cell)
    if cell.status is StepStatus.WAITING:
        return _waiting(plan, state, name, cell)
    return _pending(plan, state, name)


def _running(name: str, cell: StepState) -> Unmet:
    fan = cell.items
    if isinstance(fan, Fan):
        ended = sum(item.status in TERMINAL_STEP for item in fan)
        text = f"`{name}` runs: {ended} of {len(fan)} items have ended, {fan.busy} are in flight"
        return Unmet(name, "running", text, {"items": len(fan), "ended": ended, "in_flight": fan.busy})
    return Unmet(name, "running", f"`{name}` runs, attempt {cell.attempt}", {"attempt": cell.attempt})


def _waiting(plan: Plan, state: RunState, name: str, cell: StepState) -> Unmet:
    uses = plan.steps[name].uses
    due = {} if cell.due_at is None else {"due_at": cell.due_at}
    if uses not in WAITS:
        return Unmet(name, "retry", f"`{name}` failed and waits for attempt {cell.attempt + 1}", due)
    if uses == TIMER:
        return Unmet(name, "timer", f"`{name}` waits for a time", due)
    work: Work = state.work
    position = plan.index[name]
    signal = next((each for each, waiting in work.waits.items() if position in waiting), name)
    kind = "person" if uses == "wait.person" else "signal"
    whom = "a person's answer" if kind == "person" else "the signal"
    return Unmet(name, kind, f"`{name}` waits for {whom} `{signal}`", {"signal": signal, **due})


def _pending(plan: Plan, state: RunState, name: str) -> Unmet:
    work: Work = state.work
    position = plan.index[name]
    if state.paused is not None:
        return Unmet(name, "pause", f"the run is paused: {state.paused}", {"reason": state.paused})
    open_ = _open(plan, state, name)
    if open_:
        text = ", ".join(f"`{each}` ({state.steps[each].status.value})" for each in open_)
        return Unmet(name, "dependency", f"`{name}` waits for {text}", {"needs": open_})
    if state.error is not None and plan.is_main(position):
        return Unmet(name, "trouble", f"the run is ending: `{name}` will be left out", {})
    text = f"`{name}` waits for one of the {work.limit} places of the run"
    return Unmet(name, "worker", text, {"limit": work.limit, "in_flight": work.busy})


def _open(plan: Plan, state: RunState, name: str) -> list[str]:
    """List what must end before a step may be considered."""
    position = plan.index[name]
    work: Work = state.work
    if plan.is_main(position):
        before = [each for each in plan.main if position in plan.followers[plan.index[each]]]
    elif name in plan.always:
        before = [each for each in plan.always if position in plan.followers[plan.index[each]]]
        before += [*plan.main, *(plan.order[each] for each in work.queue)]
    else:
        queue = [plan.order[each] for each in work.queue]
        before = queue[: queue.index(name)] if work.group is not Group.MAIN else list(plan.main)
    return [each for each in before if each in state.steps and state.steps[each].status not in TERMINAL_STEP]
