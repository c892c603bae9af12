"""Waiting for a time: pauses before retries, timers, deadlines of what waits for somebody.

The time is in the journal, as the wall clock says it; the waiting here is by the loop's clock, which nobody sets. A
wall clock that is set back makes nobody wait longer than the journal meant when the wait was taken up; one that is set
forward is noticed within a minute.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from workflow_agent.engine.live import Draft
from workflow_agent.engine.machine import is_stoppable
from workflow_agent.engine.plan import SCOPE, TIMER
from workflow_agent.engine.units import parse_unit
from workflow_agent.model.errors import StepTimeoutError
from workflow_agent.model.event import EventType
from workflow_agent.model.status import StepStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflow_agent.engine.commands import StartStep, WaitUntil
    from workflow_agent.engine.live import LiveRun
    from workflow_agent.model.ports import Clock
    from workflow_agent.model.workflow import Step

__all__ = ["LOOK_S", "Timing"]

#: Seconds after which the wall clock is looked at again.
LOOK_S = 60.0


class Timing:
    """Lets times arrive at runs.

    Args:
        clock: The wall clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def retry(self, run: LiveRun, command: StartStep) -> None:
        """Let the next attempt start when it is due."""
        assert command.not_before is not None
        # Bounded by the policy's longest pause, should the wall clock have been set back.
        longest = run.plan.steps[parse_unit(command.step)[0]].retry.max_s
        pause = min(max(0.0, command.not_before - self._clock.now()), max(longest, 0.0))
        self._arm(run, command.step, command.not_before, pause, partial(self._started, run, command))

    def wait(self, run: LiveRun, command: WaitUntil) -> None:
        """Let a step that waits end when its time has come."""
        pause = max(0.0, command.at - self._clock.now())
        self._arm(run, command.step, command.at, pause, partial(self._over, run, command))

    def _arm(self, run: LiveRun, unit: str, at: float, pause: float, arrival: Callable[[], Draft | None]) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + pause

        def look() -> None:
            left = end - loop.time()
            if left <= 0 or (left > LOOK_S and at <= self._clock.now()):
                run.timers.pop(unit, None)
                run.arrive(arrival)
            else:
                run.timers[unit] = loop.call_later(min(left, LOOK_S), look)

        run.timers[unit] = loop.call_later(min(pause, LOOK_S), look)

    def _started(self, run: LiveRun, command: StartStep) -> Draft | None:
        if run.cell(command.step).status is not StepStatus.WAITING:
            return None
        phase = run.plan.steps[parse_unit(command.step)[0]].phase
        data = {"with": command.inputs, "phase": phase.value}
        return Draft(type=EventType.STEP_STARTED, step=command.step, attempt=command.attempt, data=data)

    def _over(self, run: LiveRun, command: WaitUntil) -> Draft | None:
        cell = run.cell(command.step)
        step = run.plan.steps[command.step]
        if step.uses == SCOPE:
            return _scope_over(run, step)
        if cell.status is not StepStatus.WAITING:
            return None
        if step.uses == TIMER:
            data = {"output": {"due_at": command.at}, "status": "succeeded", "started_at": cell.started_at}
            return Draft(type=EventType.STEP_SUCCEEDED, step=command.step, data=data)
        error = StepTimeoutError(
            f"nothing came for `{command.step}` in {step.timeout_s or 0:g} s",
            where=f"{run.workflow.name} › {command.step}",
            run_id=run.run_id,
        )
        data = {"error": error.to_dict(), "status": "failed", "started_at": cell.started_at}
        return Draft(type=EventType.STEP_FAILED, step=command.step, data=data)


def _scope_over(run: LiveRun, step: Step) -> Draft | None:
    """Draft that the time of a scope is over; None where its body is not at work any more."""
    if run.draft is None or not is_stoppable(run.draft, run.plan.index[step.id]):
        return None
    error = StepTimeoutError(
        f"`{step.id}` took longer than {step.timeout_s or 0:g} s",
        where=f"{run.workflow.name} › {step.id}",
        run_id=run.run_id,
    )
    return Draft(type=EventType.SCOPE_STOPPED, step=step.id, data={"error": error.to_dict()})
