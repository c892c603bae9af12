"""A run that a driver is driving: its state, its time, and the cancel that somebody may ask for.

What belongs here: waiting. What does not: what to do next (``machine``), asking agents (``driver``).
"""

from __future__ import annotations

import asyncio
from dataclasses import field
from typing import TYPE_CHECKING, Any

from workflow_agent.engine.commands import Command, FailStep, FinishRun, ScheduleRetry, SkipStep, StartRun
from workflow_agent.engine.plan import Plan, plan_of
from workflow_agent.engine.proceeding import has_trouble, is_cancellable
from workflow_agent.model.event import Event, EventType, Record, RunState
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from workflow_agent.model.errors import WorkflowAgentError
    from workflow_agent.model.workflow import Step, Workflow

    #: What a request gave: the reply's data, or why there is none.
    Answer: TypeAlias = Mapping[str, Any] | WorkflowAgentError

__all__ = ["CLOSE_S", "Draft", "LiveRun", "draft_of"]

#: Seconds for which an abandoned request may take to end.
CLOSE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An event that has no sequence number and no time yet."""

    type: EventType
    step: str | None = None
    attempt: int = 1
    data: Mapping[str, Any] = field(default_factory=dict)
    records: tuple[Record, ...] = ()

    def event(self, run_id: str, seq: int, at: float) -> Event:
        """Make the event."""
        return Event(
            run_id=run_id,
            seq=seq,
            type=self.type,
            at=at,
            step=self.step,
            attempt=self.attempt,
            data=self.data,
            records=self.records,
        )


def draft_of(command: Command, now: float) -> Draft | None:
    """Give the record that carries out a command which only records; None for one that reaches the world."""
    match command:
        case StartRun(phase):
            return Draft(type=EventType.RUN_STARTED, data={"phase": phase.value})
        case SkipStep(step, reason):
            return Draft(type=EventType.STEP_SKIPPED, step=step, data={"reason": reason})
        case FailStep(step, error):
            return Draft(type=EventType.STEP_FAILED, step=step, data={"error": error, "status": "failed"})
        case ScheduleRetry(step, attempt, delay_s):
            return Draft(type=EventType.RETRY_SCHEDULED, step=step, attempt=attempt, data={"due_at": now + delay_s})
        case FinishRun(status, error, changed):
            data = {"status": status.value, "error": error, "changed": changed}
            return Draft(type=EventType.RUN_FINISHED, data=data)
        case _:
            return None


class LiveRun:
    """One run in this process. Only the task that drives it changes `state` and `request`.

    Args:
        workflow: Its definition.
        run_id: Its id.
        state: What the journal says of it so far; None for a new one.
        spent_s: Seconds of the run's time that are over already.
    """

    def __init__(self, workflow: Workflow, run_id: str, state: RunState | None = None, *, spent_s: float = 0.0) -> None:
        loop = asyncio.get_running_loop()
        self.workflow = workflow
        self.plan: Plan = plan_of(workflow)
        self.run_id = run_id
        self.state = state
        #: The request that is in flight, or whose answer is not recorded yet.
        self.request: asyncio.Task[Answer] | None = None
        self.cancel_reason: str | None = None
        #: Done when a cancel was asked for.
        self.asked: asyncio.Future[None] = loop.create_future()
        self._answered: asyncio.Future[bool] = loop.create_future()
        limit = workflow.timeout_s
        self._end = None if limit is None else loop.time() + limit - max(0.0, spent_s)

    def __repr__(self) -> str:
        return f"<LiveRun {self.run_id} of {self.workflow.name}, {self.state and self.state.status}>"

    @property
    def head(self) -> int:
        """Sequence number of the last record; 0 for none."""
        return self.state.head if self.state else 0

    @property
    def is_cancellable(self) -> bool:
        """Whether a cancel would have an effect now."""
        return self.state is not None and is_cancellable(self.plan, self.state)

    @property
    def is_ending(self) -> bool:
        """Whether something went wrong already, so that only `on_failure` and `always` steps remain."""
        return self.state is not None and has_trouble(self.state)

    def remaining_s(self) -> float | None:
        """Give the seconds that are left of the run's time (below 0: none), or None when it has no limit."""
        return None if self._end is None else self._end - asyncio.get_running_loop().time()

    def limit_s(self, step: Step) -> float | None:
        """Give the seconds that a step may take from now on; the run's time binds main steps only."""
        remaining = self.remaining_s() if step.id in self.plan.main else None
        limits = [limit for limit in (step.timeout_s, remaining) if limit is not None]
        return max(0.0, min(limits)) if limits else None

    async def cancel(self, reason: str) -> bool:
        """Ask for a cancel and wait until it is on disk; False when the run was ending already."""
        if self.cancel_reason is None:
            if self.state is not None and not self.is_cancellable:
                return False
            self.cancel_reason = reason
            self.asked.set_result(None)
        # Shielded, because several callers may wait and one of them may give up.
        return await asyncio.shield(self._answered)

    def answer(self) -> None:
        """Tell those who wait in `cancel` how it went, once a cancel has no further effect."""
        if not self.is_cancellable and not self._answered.done() and self.state is not None:
            self._answered.set_result(self.state.cancel_reason is not None)

    async def close(self) -> None:
        """Give up what is in flight, and those who wait; nothing of the run lives on in this process."""
        if self.request is not None:
            self.request.cancel()
            await asyncio.wait({self.request}, timeout=CLOSE_S)
        if not self._answered.done():
            self._answered.set_result(False)
