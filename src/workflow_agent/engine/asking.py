"""Units in the world: ask an agent, stop it when time is over or a cancel was asked for, and draft what became of it.

What belongs here: bus traffic of a run. What does not: the journal (``driver``), decisions (``machine``).
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.engine.live import Draft, Flight, LiveRun
from workflow_agent.engine.outcomes import cancelled, failed, never_began, out_of_time, outcome_of, run_time
from workflow_agent.engine.places import unit_places
from workflow_agent.engine.plan import CHILD
from workflow_agent.engine.reply import read_reply
from workflow_agent.engine.units import idempotency_key, parse_unit
from workflow_agent.model.errors import (
    InternalError,
    InterruptedRunError,
    StepFailedError,
    StepTimeoutError,
    UnreachableError,
    WorkflowAgentError,
)
from workflow_agent.model.event import Event, EventType
from workflow_agent.model.failpoint import failpoint
from workflow_agent.model.message import PRIORITY_NORMAL, Message
from workflow_agent.model.status import StepStatus
from workflow_agent.model.workflow import EffectPolicy

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from workflow_agent.engine.children import Children
    from workflow_agent.engine.commands import CancelStep, RequestStep
    from workflow_agent.engine.live import Answer
    from workflow_agent.engine.places import Waiting
    from workflow_agent.model.ports import Asked, Bus, Clock

__all__ = ["GRACE_S", "TELL_S", "Asker"]

logger = logging.getLogger(__name__)

#: Seconds that an agent has to confirm that a cancelled step has stopped.
GRACE_S = 10.0
#: Seconds for which a subscriber with a full queue may hold a run up, for each event.
TELL_S = 5.0
_SOURCE = "engine"
#: Seconds after which a run that was not there yet is looked for again.
_BEGIN_S = 0.01
_SUCCEEDED: Final = EventType.STEP_SUCCEEDED
_AT_LEAST_ONCE: Final = EffectPolicy.AT_LEAST_ONCE


class Asker:
    """Asks agents on behalf of runs, and tells whoever watches.

    Args:
        bus: Carries requests, events and ``ctl.cancel``.
        clock: Times of hints.
        children: Carries out the steps that run another workflow.
        waiting: Lets units wait for locks and rates.
        grace_s: Seconds that a step has to confirm that it stopped.
    """

    def __init__(self, bus: Bus, clock: Clock, children: Children, waiting: Waiting, *, grace_s: float) -> None:
        self._bus = bus
        self._clock = clock
        self._children = children
        self._waiting = waiting
        self._grace_s = grace_s

    def stop(self, run: LiveRun) -> Draft | None:
        """Draft the end of a run, before its next step, when a cancel was asked for or its time is over."""
        if (run.cancel_reason is None and not run.has_limit) or not run.is_cancellable:
            return None
        if run.draft is not None and run.draft.started_at is None:
            return None if run.cancel_reason is None else never_began(run)
        if run.cancel_reason is not None:
            return cancelled(run)
        remaining = run.remaining_s()
        if remaining is None or remaining > 0:
            return None
        return out_of_time(StepTimeoutError(run_time(run), run_id=run.run_id))

    # -- asking ----------------------------------------------------------------------------------------------------

    def request(self, run: LiveRun, command: RequestStep) -> None:
        """Ask for a unit; what becomes of it arrives at the run."""
        step = run.plan.steps[parse_unit(command.step)[0]]
        flight = Flight(command.step, step, command.attempt, partial(self._landed, run))
        failpoint("engine.before-request")
        limit = run.limit_s(step)
        run.flights[command.step] = flight
        if step.uses == CHILD:
            flight.child = self._children.run_id(run, command.step)
            flight.task = asyncio.create_task(self._fly(run, flight, self._ask_child(run, flight, command.inputs)))
        else:
            message = self._message(run, flight, command.inputs, limit)
            is_plain = message.deadline is None and step.lock is None and step.rate is None
            if is_plain and not self._is_hinted(run, flight):
                self._ask_at_once(flight, message)
            else:
                flight.task = asyncio.create_task(self._fly(run, flight, self._ask(run, flight, message)))
        if step.timeout_s is not None:
            flight.timer = asyncio.get_running_loop().call_later(step.timeout_s, self._overdue, run, flight)

    def _ask_at_once(self, flight: Flight, message: Message) -> None:
        """Ask where there is nothing to wait for before: without a task, the answer arrives when it is given."""
        try:
            flight.asked = self._bus.ask(message, flight.answered)
        except WorkflowAgentError as error:
            flight.answered(error)
        except Exception as error:  # noqa: BLE001  # the border: what breaks there fails a step, never the driver
            flight.answered(_broken(message, error))

    def _landed(self, run: LiveRun, flight: Flight) -> None:
        run.arrive(partial(self._outcome, run, flight))

    async def _fly(self, run: LiveRun, flight: Flight, work: Coroutine[Any, Any, Answer]) -> None:
        """Wait for the answer and let it arrive at once: a callback of the task would be another turn of the loop."""
        try:
            flight.answer = await work
        finally:
            if not flight.is_stopping:
                self._landed(run, flight)

    def _message(self, run: LiveRun, flight: Flight, inputs: Mapping[str, Any], limit: float | None) -> Message:
        # A second more than we wait ourselves: until then a late answer is of use.
        deadline = None if limit is None else asyncio.get_running_loop().time() + limit + self._grace_s + 1.0
        run_id, unit = run.run_id, flight.unit
        return Message(
            f"agent.{flight.step.uses}",
            inputs,
            "request",
            _SOURCE,
            run_id,
            None,
            run_id,
            unit,
            flight.attempt,
            PRIORITY_NORMAL,
            deadline,
            {"idempotency-key": idempotency_key(run_id, unit)},
        )

    async def _ask_child(self, run: LiveRun, flight: Flight, inputs: Mapping[str, Any]) -> Answer:
        await self._hint(run, flight)
        try:
            async with self._waiting.held(*unit_places(run, flight.unit)):
                return await self._children.answer(run, flight, inputs)
        except WorkflowAgentError as error:
            return error

    async def _ask(self, run: LiveRun, flight: Flight, message: Message) -> Answer:
        try:
            if self._is_hinted(run, flight):
                await self._hint(run, flight)
            if flight.step.lock is None and flight.step.rate is None:
                return (await self._bus.request(message)).data
            async with self._waiting.held(*unit_places(run, flight.unit)):
                return (await self._bus.request(message)).data
        except WorkflowAgentError as error:
            return error
        except Exception as error:  # noqa: BLE001  # as above
            return _broken(message, error)

    def _is_hinted(self, run: LiveRun, flight: Flight) -> bool:
        """Say whether somebody watches who hears only from a hint that a unit begins."""
        is_unwritten = flight.step.effect is _AT_LEAST_ONCE and flight.attempt == 1
        return is_unwritten and self.is_watched(run)

    def _outcome(self, run: LiveRun, flight: Flight) -> Draft:
        """Draft what an answer says."""
        _settle(run, flight)
        failpoint("engine.after-reply")
        answer = _answer_of(flight)
        try:
            if isinstance(answer, WorkflowAgentError):
                raise answer
            data, records = read_reply(answer, flight.step.uses)
        except WorkflowAgentError as error:
            return failed(run, flight, error, outcome_of(run, flight.unit, flight.step, error))
        data["started_at"] = run.cell(flight.unit).started_at
        return Draft(type=_SUCCEEDED, step=flight.unit, attempt=flight.attempt, data=data, records=records)

    # -- stopping --------------------------------------------------------------------------------------------------

    def cancel(self, run: LiveRun, command: CancelStep) -> Draft | None:
        """Stop a unit that is in flight; what becomes of it arrives. Draft it where nobody was asked."""
        flight = run.flights.get(command.step)
        if flight is None:
            # It may have ended with the record that asks for this.
            is_open = run.cell(command.step).status is StepStatus.RUNNING
            return self._not_asked(run, command) if is_open else None
        if not flight.is_stopping and not flight.is_done:
            flight.is_stopping = True
            self._spawn(run, self._end(run, flight, None))
        return None

    def _not_asked(self, run: LiveRun, command: CancelStep) -> Draft:
        step = run.plan.steps[parse_unit(command.step)[0]]
        error = InterruptedRunError("the step was not asked for any more", cause=run.cancel_reason)
        # After a restart nobody knows whether it was asked for before; what can be undone is.
        status = StepStatus.UNKNOWN if run.was_resumed and step.undo is not None else StepStatus.CANCELLED
        return failed(run, Flight(command.step, step, command.attempt), error, status)

    def _overdue(self, run: LiveRun, flight: Flight) -> None:
        if not flight.is_stopping and not flight.is_done:
            flight.is_stopping = True
            error = StepTimeoutError(f"`{flight.unit}` took longer than {flight.step.timeout_s or 0:g} s")
            error.run_id = run.run_id
            self._spawn(run, self._end(run, flight, error))

    def _spawn(self, run: LiveRun, work: Any) -> None:  # Any: a coroutine
        task = asyncio.create_task(work)
        run.tasks.add(task)
        task.add_done_callback(run.tasks.discard)

    async def _end(self, run: LiveRun, flight: Flight, late: StepTimeoutError | None) -> None:
        """Stop a unit and let what became of it arrive; `late` says that its time was over."""
        if not await self._has_stopped(run, flight):
            error = late or StepFailedError(
                f"`{flight.unit}` did not confirm within {self._grace_s:g} s that it stopped"
            )
            run.arrive(partial(self._lost, run, flight, error))
        elif late is None:
            self._landed(run, flight)
        else:
            self._late(run, flight, late)

    def _late(self, run: LiveRun, flight: Flight, error: StepTimeoutError) -> None:
        """Settle a unit that answered after its time.

        A late success is kept. Where the failure of a step ends the run, the run is told to stop first, and the answer
        becomes the step's outcome after that.
        """
        answer = _answer_of(flight)
        if isinstance(answer, WorkflowAgentError):
            error.cause, error.details = answer.message, answer.details
            run.arrive(partial(self._lost, run, flight, error, StepStatus.FAILED))
            return
        if run.plan.ends_run(flight.step):
            run.arrive(lambda: out_of_time(error) if run.is_cancellable else None)
        run.arrive(partial(self._outcome, run, flight))

    def _lost(
        self, run: LiveRun, flight: Flight, error: WorkflowAgentError, status: StepStatus = StepStatus.UNKNOWN
    ) -> Draft:
        _settle(run, flight)
        return failed(run, flight, error, status)

    async def _has_stopped(self, run: LiveRun, flight: Flight) -> bool:
        """Tell the agents to stop a unit; say whether it was answered within the grace time.

        Agents stop on ``ctl.cancel`` or, at the latest, when their handler is cancelled with the request. Another
        workflow stops by going back, for which it has all the time that it needs.
        """
        task = flight.task
        if flight.child is not None:
            assert task is not None
            reason = run.cancel_reason or f"`{flight.unit}` of {run.run_id} stops"
            while not task.done() and not await self._children.cancel(flight.child, reason):
                await asyncio.wait({task}, timeout=_BEGIN_S)  # it is about to begin
            await asyncio.wait({task})
            return True
        await self._publish("ctl.cancel", {"run_id": run.run_id, "step_id": flight.unit}, run.run_id, flight.unit)
        if task is None:
            return flight.asked is None or await self._has_ended(flight.asked)
        await asyncio.wait({task}, timeout=self._grace_s)
        if task.done():
            return True
        task.cancel()
        await asyncio.wait({task}, timeout=self._grace_s)
        return False

    async def _has_ended(self, asked: Asked) -> bool:
        if await asked.wait(self._grace_s):
            return True
        await asked.give_up()
        return False

    # -- telling ---------------------------------------------------------------------------------------------------

    def is_watched(self, run: LiveRun) -> bool:
        """Say whether anybody wants to be told of a run's records."""
        return self._bus.is_heard(f"run.{run.run_id}.event")

    async def tell(self, event: Event) -> None:
        """Publish a record that is on disk."""
        subject = f"run.{event.run_id}.event"
        if self._bus.is_heard(subject):
            await self._publish(subject, event.to_dict(), event.run_id, event.step)

    async def _hint(self, run: LiveRun, flight: Flight) -> None:
        step, index, _ = parse_unit(flight.unit)
        if index or not self.is_watched(run):
            return  # one hint for a fan-out
        data = {"hint": True}
        draft = Draft(type=EventType.STEP_STARTED, step=step, attempt=flight.attempt, data=data)
        await self.tell(draft.event(run.run_id, 0, self._clock.now()))

    async def _publish(self, subject: str, data: Mapping[str, Any], run_id: str, step: str | None) -> None:
        deadline = asyncio.get_running_loop().time() + TELL_S
        message = Message(subject, data, type="event", source=_SOURCE, run_id=run_id, step_id=step, deadline=deadline)
        try:
            await self._bus.publish(message)
        except WorkflowAgentError as error:
            # The journal is the truth and the bus may lose anything: nobody's deafness may stop a run.
            logger.warning("nobody was told on %s: %r", subject, error)


def _broken(message: Message, error: Exception) -> InternalError:
    """Log and say that what carries requests broke."""
    logger.error("the request on %s broke", message.subject, exc_info=error)
    return InternalError(f"the request on {message.subject} broke", cause=repr(error))


def _settle(run: LiveRun, flight: Flight) -> None:
    """Take a flight off the run's list; each arrives once."""
    del run.flights[flight.unit]
    if flight.timer is not None:
        flight.timer.cancel()


def _answer_of(flight: Flight) -> Answer:
    return UnreachableError("the bus dropped the request") if flight.answer is None else flight.answer
