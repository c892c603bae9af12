"""Why a step is not running: the requirement that is not met. Pure: a definition and a state in, answers out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.engine.places import described
from workflow_agent.engine.plan import PARTS, SCOPE, TIMER, WAITS, StepPlan, plan_of
from workflow_agent.engine.scratch import StepGroup, Work
from workflow_agent.engine.tables import Fan
from workflow_agent.engine.units import parse_unit
from workflow_agent.model.errors import NoResponderError, NotFoundError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass
from workflow_agent.model.status import TERMINAL_RUN, TERMINAL_STEP, StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workflow_agent.model.event import RunState, StepState
    from workflow_agent.model.places import Standing
    from workflow_agent.model.workflow import Workflow

__all__ = ["Unmet", "why"]


@dataclass(frozen=True, slots=True)
class Unmet:
    """What a step lacks.

    `kind`: ended, running, dependency, retry, timer, signal, person, pause, worker, trouble, end, scope, lock, rate,
    concurrency, agent (nobody answers), process (nobody drives the run). `details` has the names: ``needs``,
    ``due_at``, ``signal``, ``limit``, ``key``, ``holders``, ``agent``, as the kind has them.
    """

    step: str
    kind: str
    message: str
    details: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {"step": self.step, "kind": self.kind, "message": self.message, "details": dict(self.details)}


def why(
    workflow: Workflow,
    state: RunState,
    step: str | None = None,
    waits: Iterable[Standing] = (),
    *,
    is_driven: bool = True,
) -> list[Unmet]:
    """Name what each step waits for.

    Args:
        workflow: The run's definition.
        state: Where the run stands.
        step: One step; None for all that are part of the run and have no end.
        waits: The places for which the run stands in line.
        is_driven: Whether a process drives the run.

    Raises:
        NotFoundError: there is no such step.
    """
    plan = plan_of(workflow)
    if step is not None and step not in plan.steps:
        raise NotFoundError(f"the run has no step `{step[:64]}`", hint=did_you_mean(step, plan.steps))
    names = [name for name, cell in state.steps.items() if cell.status not in TERMINAL_STEP]
    if step is None and state.status in TERMINAL_RUN:
        return []
    wanted = names if step is None else [step]
    lines = {parse_unit(each.wanted.unit)[0]: each for each in waits}
    found = [_in_line(name, lines) if _stands(state, name, lines) else _unmet(plan, state, name) for name in wanted]
    return found if is_driven else [_left(each) for each in found]


def _left(unmet: Unmet) -> Unmet:
    """Say of what would be under way that nobody works on it."""
    if unmet.kind not in {"running", "worker", "lock", "rate", "concurrency"}:
        return unmet
    text = f"nobody works on `{unmet.step}`: the process that drove the run has ended"
    return Unmet(unmet.step, "process", text, unmet.details)


def _without_agent(plan: StepPlan, name: str, cell: StepState) -> Unmet | None:
    """Name the agent that was missing, of a step that failed for want of one."""
    if cell.status is not StepStatus.FAILED or (cell.error or {}).get("code") != NoResponderError.code:
        return None
    uses = plan.steps[name].uses
    text = f"`{name}` has failed: nobody answers `{uses}`; `workflow-agent agents list` shows who is there"
    return Unmet(name, "agent", text, {"uses": uses, "agent": uses.partition(".")[0]})


def _stands(state: RunState, name: str, lines: Mapping[str, Standing]) -> bool:
    """Say whether a step has to wait because it, or the run as a whole, stands in line."""
    cell = state.steps.get(name)
    has_line = name in lines or ("" in lines and state.started_at is None)
    return has_line and cell is not None and cell.status not in TERMINAL_STEP


def _in_line(name: str, lines: Mapping[str, Standing]) -> Unmet:
    standing = lines.get(name) or lines[""]
    holders = [{"run_id": each.run_id, "step": each.unit or None} for each in standing.holders]
    details = {"key": standing.wanted.key.partition(" ")[2], "limit": standing.wanted.limit, "holders": holders}
    who = f"`{name}`" if standing.wanted.unit else "the run"
    text = f"{who} waits for {described(standing)}"
    return Unmet(name, standing.wanted.kind, text, details | {"ahead": standing.ahead})


def _unmet(plan: StepPlan, state: RunState, name: str) -> Unmet:
    cell = state.steps.get(name)
    if cell is None:
        return Unmet(name, "trouble", f"`{name}` runs only after something went wrong", {})
    if cell.status in TERMINAL_STEP:
        return _without_agent(plan, name, cell) or _ended(name, cell)
    if state.status in TERMINAL_RUN:
        return Unmet(name, "end", f"the run has ended as {state.status.value}", {})
    if cell.status is StepStatus.RUNNING:
        return _running(name, cell) if plan.steps[name].uses != SCOPE else _scope(plan, state, name)
    if cell.status is StepStatus.WAITING:
        return _waiting(plan, state, name, cell)
    return _pending(plan, state, name)


def _ended(name: str, cell: StepState) -> Unmet:
    reason = f": {cell.reason}" if cell.reason else ""
    return Unmet(name, "ended", f"`{name}` has ended as {cell.status.value}{reason}", {"status": cell.status.value})


def _running(name: str, cell: StepState) -> Unmet:
    fan = cell.items
    if isinstance(fan, Fan):
        ended = sum(item.status in TERMINAL_STEP for item in fan)
        text = f"`{name}` runs: {ended} of {len(fan)} items have ended, {fan.busy} are in flight"
        return Unmet(name, "running", text, {"items": len(fan), "ended": ended, "in_flight": fan.busy})
    return Unmet(name, "running", f"`{name}` runs, attempt {cell.attempt}", {"attempt": cell.attempt})


def _scope(plan: StepPlan, state: RunState, name: str) -> Unmet:
    bits = plan.within[plan.index[name]]
    inside = [each for each in state.steps if bits >> plan.index[each] & 1]
    open_ = [each for each in inside if state.steps[each].status not in TERMINAL_STEP]
    return Unmet(name, "scope", f"`{name}` waits for {len(open_)} of its {len(inside)} steps", {"needs": open_})


def _waiting(plan: StepPlan, state: RunState, name: str, cell: StepState) -> Unmet:
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


def _pending(plan: StepPlan, state: RunState, name: str) -> Unmet:
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


def _parts_before(plan: StepPlan, home: int, part: str) -> list[str]:
    earlier = plan.members[home][: PARTS.index(part)]
    return [each for each in plan.main if any(bits >> plan.index[each] & 1 for bits in earlier)]


def _open(plan: StepPlan, state: RunState, name: str) -> list[str]:
    """List what must end before a step may be considered."""
    position = plan.index[name]
    work: Work = state.work
    if plan.is_main(position):
        before = [each for each in plan.main if position in plan.followers[plan.index[each]]]
        home = plan.home.get(position)
        if home is not None and state.steps[plan.order[home]].status is StepStatus.PENDING:
            before.append(plan.order[home])
        elif home is not None:
            before += _parts_before(plan, home, plan.steps[name].part)
    elif name in plan.always:
        before = [each for each in plan.always if position in plan.followers[plan.index[each]]]
        before += [*plan.main, *(plan.order[each] for each in work.queue)]
    else:
        queue = [plan.order[each] for each in work.queue]
        before = queue[: queue.index(name)] if work.group is not StepGroup.MAIN else list(plan.main)
    return [each for each in before if each in state.steps and state.steps[each].status not in TERMINAL_STEP]
