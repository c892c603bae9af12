"""One step in the world: ask its agent, wait, stop it when time is over or a cancel was asked for.

What belongs here: bus traffic of a run. What does not: the journal (``driver``), decisions (``machine``).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from workflow_agent.engine.commands import CancelStep, RequestStep
from workflow_agent.engine.live import Draft, LiveRun
from workflow_agent.engine.reply import read_reply, records_of_error
from workflow_agent.model.errors import (
    DeadlineExceededError,
    InternalError,
    InterruptedRunError,
    NoResponderError,
    StepFailedError,
    StepTimeoutError,
    UnreachableError,
    WorkflowAgentError,
)
from workflow_agent.model.event import Event, EventType
from workflow_agent.model.failpoint import failpoint
from workflow_agent.model.message import Message
from workflow_agent.model.status import StepStatus
from workflow_agent.model.workflow import EffectPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.engine.commands import Command, StartStep
    from workflow_agent.engine.live import Answer
    from workflow_agent.model.ports import Bus, Clock
    from workflow_agent.model.workflow import Step

__all__ = ["GRACE_S", "TELL_S", "Asker", "lost"]

logger = logging.getLogger(__name__)

#: Seconds that an agent has to confirm that a cancelled step has stopped.
GRACE_S = 10.0
#: Seconds for which a subscriber with a full queue may hold a run up, for each event.
TELL_S = 5.0
_SOURCE = "engine"


def lost(run: LiveRun, command: Command) -> Draft | None:
    """Draft the failure of a step that a crash left in flight; None where it can be asked for again."""
    if not isinstance(command, (RequestStep, CancelStep)):
        return None
    step = run.plan.steps[command.step]
    if step.effect is EffectPolicy.AT_LEAST_ONCE:
        return None
    error = StepFailedError(f"`{step.id}` was in flight when the process ended; what it did is not known")
    return _failed(run, step, command.attempt, error, StepStatus.UNKNOWN)


class Asker:
    """Asks agents on behalf of runs, and tells whoever watches.

    Args:
        bus: Carries requests, events and ``ctl.cancel``.
        clock: Says when a retry is due.
        grace_s: Seconds that a step has to confirm that it stopped.
    """

    def __init__(self, bus: Bus, clock: Clock, *, grace_s: float) -> None:
        self._bus = bus
        self._clock = clock
        self._grace_s = grace_s

    def stop(self, run: LiveRun) -> Draft | None:
        """Draft the end of a run, before its next step, when a cancel was asked for or its time is over."""
        if not run.is_cancellable:
            return None
        if run.cancel_reason is not None:
            return _cancelled(run)
        remaining = run.remaining_s()
        if remaining is None or remaining > 0:
            return None
        return _out_of_time(StepTimeoutError(_run_time(run), run_id=run.run_id))

    async def start(self, run: LiveRun, command: StartStep) -> Draft:
        """Draft the start of a step when it is due; the wait ends early when a cancel is asked for."""
        if command.not_before is not None:
            # Bounded by the policy's longest pause, should the wall clock have been set back.
            longest = run.plan.steps[command.step].retry.max_s
            pause = max(0.0, min(command.not_before - self._clock.now(), longest))
            await self._pause(run, pause)
            if (stop := self.stop(run)) is not None:
                return stop
        data = {"with": command.inputs, "phase": run.plan.steps[command.step].phase.value}
        return Draft(type=EventType.STEP_STARTED, step=command.step, attempt=command.attempt, data=data)

    async def request(self, run: LiveRun, command: RequestStep) -> Draft:
        """Ask the agent and draft the outcome, or a cancel that came while the step was in flight."""
        step = run.plan.steps[command.step]
        limit = run.limit_s(step)
        if step.effect is EffectPolicy.AT_LEAST_ONCE and command.attempt == 1:
            await self._hint(run, command)
        failpoint("engine.before-request")
        run.request = asyncio.create_task(self._ask(self._message(run, step, command, limit)))
        awaited: set[asyncio.Future[Any]] = {run.request}
        if run.is_cancellable:
            awaited.add(run.asked)
        done, _ = await asyncio.wait(awaited, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if run.request in done:
            return self._outcome(run, step, command.attempt)
        if done:
            return _cancelled(run)
        return await self._overdue(run, step, command.attempt)

    async def cancel(self, run: LiveRun, command: CancelStep) -> Draft:
        """Stop the step that is in flight and draft what became of it."""
        step = run.plan.steps[command.step]
        if run.request is None:
            error = InterruptedRunError("the step was not asked for any more", cause=run.cancel_reason)
            return _failed(run, step, command.attempt, error, StepStatus.CANCELLED)
        if await self._has_stopped(run, step):
            return self._outcome(run, step, command.attempt)
        message = f"`{step.id}` did not confirm within {self._grace_s:g} s that it stopped"
        return _failed(run, step, command.attempt, StepFailedError(message), StepStatus.UNKNOWN)

    async def tell(self, event: Event) -> None:
        """Publish a record that is on disk."""
        await self._publish(f"run.{event.run_id}.event", event.to_dict(), event.run_id, event.step)

    async def _pause(self, run: LiveRun, seconds: float) -> None:
        if run.is_cancellable:
            await asyncio.wait({run.asked}, timeout=seconds)
        else:
            await asyncio.sleep(seconds)

    async def _hint(self, run: LiveRun, command: RequestStep) -> None:
        data = {"hint": True}
        draft = Draft(type=EventType.STEP_STARTED, step=command.step, attempt=command.attempt, data=data)
        await self.tell(draft.event(run.run_id, 0, self._clock.now()))

    async def _publish(self, subject: str, data: Mapping[str, Any], run_id: str, step: str | None) -> None:
        message = Message(subject, data, type="event", source=_SOURCE, run_id=run_id, step_id=step)
        try:
            async with asyncio.timeout(TELL_S):
                await self._bus.publish(message)
        except (WorkflowAgentError, TimeoutError) as error:
            # The journal is the truth and the bus may lose anything: nobody's deafness may stop a run.
            logger.warning("nobody was told on %s: %r", subject, error)

    def _message(self, run: LiveRun, step: Step, command: RequestStep, limit: float | None) -> Message:
        now = asyncio.get_running_loop().time()
        return Message(
            f"agent.{step.uses}",
            command.inputs,
            source=_SOURCE,
            correlation_id=run.run_id,
            run_id=run.run_id,
            step_id=step.id,
            attempt=command.attempt,
            # A second more than we wait ourselves: until then a late answer is of use.
            deadline=None if limit is None else now + limit + self._grace_s + 1.0,
        )

    async def _ask(self, message: Message) -> Answer:
        try:
            return (await self._bus.request(message)).data
        except WorkflowAgentError as error:
            return error
        except Exception as error:
            # The border between a run and the bus: whatever breaks there fails a step, never the driver.
            logger.exception("the request on %s broke", message.subject)
            return InternalError(f"the request on {message.subject} broke", cause=repr(error))

    async def _overdue(self, run: LiveRun, step: Step, attempt: int) -> Draft:
        """Stop a step that is out of time.

        A late success of a main step is kept: the run is told to stop first, and the answer, which waits in
        `run.request`, becomes the outcome of the CancelStep that follows.
        """
        remaining = run.remaining_s() if step.id in run.plan.main else None
        message = f"`{step.id}` took longer than {step.timeout_s or 0:g} s"
        if remaining is not None and remaining <= 0:
            message = _run_time(run)
        error = StepTimeoutError(message, run_id=run.run_id)
        assert run.request is not None
        if not await self._has_stopped(run, step):
            return _failed(run, step, attempt, error, StepStatus.UNKNOWN)
        answer = _answer_of(run.request)
        if isinstance(answer, WorkflowAgentError):
            run.request = None
            error.cause, error.details = answer.message, answer.details
            return _failed(run, step, attempt, error, StepStatus.FAILED)
        return _out_of_time(error) if run.is_cancellable else self._outcome(run, step, attempt)

    async def _has_stopped(self, run: LiveRun, step: Step) -> bool:
        """Tell the agents to stop a step; say whether it was answered within the grace time.

        Agents stop on ``ctl.cancel`` or, at the latest, when their handler is cancelled with the request.
        """
        request = run.request
        assert request is not None
        if request.done():
            return True
        await self._publish("ctl.cancel", {"run_id": run.run_id, "step_id": step.id}, run.run_id, step.id)
        await asyncio.wait({request}, timeout=self._grace_s)
        if request.done():
            return True
        request.cancel()
        await asyncio.wait({request}, timeout=self._grace_s)
        run.request = None
        return False

    def _outcome(self, run: LiveRun, step: Step, attempt: int) -> Draft:
        """Draft what an answer says; takes it out of `run.request`."""
        failpoint("engine.after-reply")
        request, run.request = run.request, None
        assert request is not None
        answer = _answer_of(request)
        try:
            if isinstance(answer, WorkflowAgentError):
                raise answer
            reply = read_reply(answer, step.uses)
        except WorkflowAgentError as error:
            return _failed(run, step, attempt, error, _status(run, step, error))
        return Draft(
            type=EventType.STEP_SUCCEEDED,
            step=step.id,
            attempt=attempt,
            data=reply.event_data() | _times(run, step),
            records=reply.records,
        )


def _answer_of(request: asyncio.Task[Answer]) -> Answer:
    return UnreachableError("the bus dropped the request") if request.cancelled() else request.result()


def _status(run: LiveRun, step: Step, error: WorkflowAgentError) -> StepStatus:
    """Say how a step ended that was answered with an error."""
    if run.is_ending and isinstance(error, InterruptedRunError):
        return StepStatus.CANCELLED
    is_vague = isinstance(error, (UnreachableError, DeadlineExceededError)) and not isinstance(error, NoResponderError)
    if is_vague and step.effect is not EffectPolicy.AT_LEAST_ONCE:
        return StepStatus.UNKNOWN
    return StepStatus.FAILED


def _failed(run: LiveRun, step: Step, attempt: int, error: WorkflowAgentError, status: StepStatus) -> Draft:
    data, records = records_of_error(error)
    place = " › ".join((run.workflow.name, step.id, f"attempt {attempt}"))  # as in all places
    located = data | {"where": data["where"] or place, "run_id": run.run_id}
    return Draft(
        type=EventType.STEP_FAILED,
        step=step.id,
        attempt=attempt,
        data={"error": located, "status": status.value} | _times(run, step),
        records=records,
    )


def _times(run: LiveRun, step: Step) -> dict[str, float | None]:
    """Give the outcome's start, for history: a step without a StepStarted has no other record of it."""
    assert run.state is not None
    return {"started_at": run.state.steps[step.id].started_at}


def _cancelled(run: LiveRun) -> Draft:
    return Draft(type=EventType.CANCEL_REQUESTED, data={"reason": run.cancel_reason})


def _out_of_time(error: StepTimeoutError) -> Draft:
    data = {"reason": error.message, "error": error.to_dict()}
    return Draft(type=EventType.CANCEL_REQUESTED, data=data)


def _run_time(run: LiveRun) -> str:
    return f"the run took longer than {run.workflow.timeout_s or 0:g} s"
