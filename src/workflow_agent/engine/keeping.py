"""A run that is made from another one: what it keeps of it, and what is done again.

Done again are a step and all that waits for it, and every step that did not end well. The rest is kept: it has ended
before the new run begins, and is not taken back by it. Pure: a definition, a state and events in, answers out.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from workflow_agent.engine import machine
from workflow_agent.engine.plan import StepPlan, plan_of
from workflow_agent.engine.scratch import ENDED_WELL
from workflow_agent.engine.units import parse_unit
from workflow_agent.model.errors import NotFoundError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass
from workflow_agent.model.status import StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from workflow_agent.model.event import Event, RunState, StepState
    from workflow_agent.model.workflow import Workflow

__all__ = ["Again", "Kept", "kept_of"]


@dataclass(frozen=True, slots=True)
class Again:
    """A step that is done again although it began before: its effect may repeat.

    `status` is how it ended; `effect` the step's policy.
    """

    step: str
    uses: str
    status: str
    effect: str

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {"step": self.step, "uses": self.uses, "status": self.status, "effect": self.effect}


@dataclass(frozen=True, slots=True)
class Kept:
    """What a new run takes over: ended steps by name, and the state; and what it does again."""

    steps: Mapping[str, Mapping[str, Any]]
    state: Mapping[str, Any]
    again: tuple[Again, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give what RunCreated says under ``kept``."""
        return {"steps": self.steps, "state": self.state}


def kept_of(workflow: Workflow, state: RunState, events: Sequence[Event], first: str | None = None) -> Kept:
    """Say what is kept of a run when another one is made from it.

    Args:
        workflow: The run's definition.
        state: Where it stands.
        events: Its records.
        first: The step from which on everything is done again; None: only what did not end well.

    Raises:
        NotFoundError: there is no such step.
    """
    plan = plan_of(workflow)
    if first is not None and first not in plan.main:
        raise NotFoundError(f"the workflow has no step `{first[:64]}`", hint=did_you_mean(first, plan.main))
    again = _again(plan, state, _trouble_at(workflow, state, events), first)
    steps = {name: _kept(state.steps[name]) for name in plan.main if _whole(plan, name) not in again}
    began = [name for name, cell in state.steps.items() if name not in steps and cell.attempt]
    return Kept(
        steps,
        _state_of(events, steps),
        tuple(
            Again(name, plan.steps[name].uses, state.steps[name].status.value, plan.steps[name].effect.value)
            for name in plan.sequence
            if name in began
        ),
    )


def _whole(plan: StepPlan, name: str) -> str:
    """Give the outermost scope that a step is in, or the step: scopes are kept as a whole, or not at all."""
    position = plan.index[name]
    while (home := plan.home.get(position)) is not None:
        position = home
    return plan.order[position]


def _trouble_at(workflow: Workflow, state: RunState, events: Iterable[Event]) -> float:
    """Give the number of the record with which something went wrong: what was left out after it was not by choice."""
    now: RunState | None = None
    for event in events if state.error is not None else ():
        now, _ = machine.decide(workflow, now, event)
        if now.error is not None:
            return event.seq
    return inf


def _again(plan: StepPlan, state: RunState, trouble_at: float, first: str | None) -> set[str]:
    def is_over(name: str) -> bool:
        cell = state.steps[name]
        return cell.status in ENDED_WELL or (cell.status is StepStatus.SKIPPED and cell.end < trouble_at)

    wholes: dict[str, list[str]] = {}
    for name in plan.main:
        wholes.setdefault(_whole(plan, name), []).append(name)
    open_ = [name for name in wholes if not is_over(name)] + ([_whole(plan, first)] if first else [])
    again: set[str] = set()
    while open_:
        name = open_.pop()
        if name in again:
            continue
        again.add(name)
        after = {plan.order[each] for part in wholes[name] for each in plan.followers[plan.index[part]]}
        open_ += [_whole(plan, each) for each in after if each in plan.main_ids]
    return again


def _kept(cell: StepState) -> dict[str, Any]:
    times = {"started_at": cell.started_at, "finished_at": cell.finished_at}
    return {"status": cell.status.value, "output": cell.output, **times}


def _state_of(events: Iterable[Event], steps: Mapping[str, Any]) -> dict[str, Any]:
    """Fold what the kept steps, and people, kept in the state, in the order in which they did."""
    kept: dict[str, Any] = dict[str, Any]()
    for event in events:
        earlier = (event.data.get("kept") or {}).get("state")
        kept |= earlier or {}
        told = event.data.get("state")
        if not told or (event.step is not None and parse_unit(event.step)[0] not in steps):
            continue
        kept |= told.get("set", {})
        for key in told.get("delete", ()):
            kept.pop(key, None)
    return kept
