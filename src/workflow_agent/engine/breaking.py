"""Breakpoints: a run pauses before a step begins, so that somebody can look, and change what the step would read.

Pure, as the machine that calls it is. A breakpoint holds up main steps that did not begin; what is in flight goes on.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from workflow_agent.engine.commands import PauseRun
from workflow_agent.model.frozen import freeze
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass
from workflow_agent.model.status import StepStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.engine.scratch import Scratch
    from workflow_agent.model.event import Event, RunState

__all__ = ["Breaks", "breaks_of", "change", "changed_inputs", "go_on", "hold_up", "problem_of_change", "take_pause"]


@dataclass(frozen=True, slots=True)
class Breaks:
    """Where a run pauses. `at` is the step that it is paused before; `passed` are steps that were let go on.

    `every`: before each step. `free`: the next step is let go on. `inputs`: what somebody changed, by step.
    """

    before: frozenset[str] = frozenset()
    at: str | None = None
    passed: frozenset[str] = frozenset()
    every: bool = False
    free: bool = False
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def breaks_of(created: Mapping[str, Any]) -> Breaks | None:
    """Give the breakpoints that a run is created with; None for none."""
    before = created.get("break_before")
    return Breaks(frozenset(map(str, before))) if before else None


def hold_up(s: Scratch, position: int) -> PauseRun | None:
    """Say that the run is to pause before a main step; None where it goes on."""
    breaks, name = s.breaks, s.plan.order[position]
    cell = s.cell(position)
    if breaks is None or name in breaks.passed or cell.status is not StepStatus.PENDING or cell.iteration:
        return None
    if breaks.free:
        s.breaks = replace(breaks, free=False, passed=breaks.passed | {name})
        return None
    return PauseRun(name) if breaks.every or name in breaks.before else None


def take_pause(s: Scratch, event: Event) -> None:
    """Take the record of a pause: where a breakpoint was due, that is what it was."""
    if isinstance(s.due, PauseRun):
        s.breaks = replace(s.breaks or Breaks(), at=s.due.step)
        s.due = None
    del event


def go_on(s: Scratch, event: Event) -> None:
    """Let a paused run go on past its breakpoint; with ``step`` it pauses again before the next but one."""
    one_step = bool(event.data.get("step"))
    breaks = s.breaks
    if breaks is None and not one_step:
        return
    breaks = breaks or Breaks()
    passed = breaks.passed if breaks.at is None else breaks.passed | {breaks.at}
    s.breaks = replace(breaks, at=None, passed=passed, every=one_step, free=one_step and breaks.at is None)


def problem_of_change(state: RunState, data: Mapping[str, Any]) -> str | None:
    """Say why a run cannot be changed like this now; None where it can.

    Breakpoints can be set at any time; values only change while the run is paused, and only for steps that did not
    begin.
    """
    inputs, kept = data.get("with") or {}, data.get("state") or {}
    if (inputs or kept) and state.paused is None:
        return "values change while the run is paused only"
    for name in (*inputs, *(data.get("break_before") or ())):
        if name not in state.steps:
            hint = did_you_mean(str(name), state.steps)
            return f"the run has no step `{str(name)[:64]}`" + (f" ({hint})" if hint else "")
        if name in inputs and state.steps[name].status is not StepStatus.PENDING:
            return f"`{name}` has begun"
    return None


def change(s: Scratch, event: Event) -> None:
    """Take over what somebody changed: breakpoints, inputs of steps, state."""
    data = event.data
    breaks = s.breaks or Breaks()
    if (before := data.get("break_before")) is not None:
        # One that is set anew counts again.
        breaks = replace(breaks, before=frozenset(before), passed=breaks.passed - frozenset(before))
    if given := data.get("with"):
        inputs = {name: {**breaks.inputs.get(name, {}), **values} for name, values in given.items()}
        breaks = replace(breaks, inputs={**breaks.inputs, **inputs})
    s.breaks = breaks
    s.keep_state(data.get("state") or {})


def changed_inputs(s: Scratch, step: str, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give what a step is asked with: what follows from its expressions, unless somebody said otherwise."""
    return inputs if s.breaks is None else freeze({**inputs, **s.breaks.inputs.get(step, {})})
