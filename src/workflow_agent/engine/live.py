"""A run that a driver is driving: its state, its time, what is in flight, and what has arrived.

What belongs here: waiting. What does not: what to do next (``machine``), asking agents (``asking``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from workflow_agent.engine.commands import (
    Command,
    EndStep,
    FailStep,
    FinishRun,
    PauseRun,
    ScheduleRetry,
    SkipStep,
    StartRun,
    StartStep,
    only_records,
)
from workflow_agent.engine.machine import Course, refusal
from workflow_agent.engine.plan import StepPlan, plan_of
from workflow_agent.engine.proceeding import has_trouble, is_cancellable
from workflow_agent.engine.units import parse_unit
from workflow_agent.model.errors import ConflictError
from workflow_agent.model.event import Event, EventType, Record, RunState
from workflow_agent.model.message import Message
from workflow_agent.model.records import dataclass
from workflow_agent.model.workflow import Durability

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from workflow_agent.model.errors import WorkflowAgentError
    from workflow_agent.model.event import StepState
    from workflow_agent.model.places import Wanted
    from workflow_agent.model.ports import Asked
    from workflow_agent.model.status import RunStatus
    from workflow_agent.model.workflow import Step, Workflow

    #: What a request gave: the reply's data, or why there is none.
    Answer: TypeAlias = Mapping[str, Any] | WorkflowAgentError
    #: Drafts the record of something that happened, as the run stands when it is its turn; None when it is no news.
    Arrival: TypeAlias = Callable[[], "Draft | None"]

_T = TypeVar("_T")

__all__ = ["CLOSE_S", "Draft", "Flight", "LiveRun", "draft_of"]

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


def draft_of(command: Command, now: float, chance: float = 0.0) -> Draft | None:
    """Give the record that carries out a command which only records; None for one that reaches the world.

    Args:
        command: What is to be done.
        now: UTC seconds.
        chance: From 0 to 1: how much of a pause's jitter is taken away.
    """
    if not only_records(command):
        return None
    match command:
        case ScheduleRetry(step, attempt, delay_s, jitter):
            due_at = now + delay_s * (1.0 - jitter * chance)
            return Draft(type=EventType.RETRY_SCHEDULED, step=step, attempt=attempt, data={"due_at": due_at})
        case StartStep():
            return _started(command, now)
        case FailStep() | EndStep():
            return _ended(command)
    return _of_run(command)


def _of_run(command: Command) -> Draft:
    match command:
        case PauseRun(step):
            return Draft(type=EventType.RUN_PAUSED, data={"reason": f"before `{step}`", "before": step})
        case StartRun(phase):
            return Draft(type=EventType.RUN_STARTED, data={"phase": phase.value})
        case SkipStep(step, reason):
            return Draft(type=EventType.STEP_SKIPPED, step=step, data={"reason": reason})
    assert isinstance(command, FinishRun)
    data = {"status": command.status.value, "error": command.error, "changed": command.changed}
    return Draft(type=EventType.RUN_FINISHED, data=data | ({"output": command.output[0]} if command.output else {}))


def _ended(command: FailStep | EndStep) -> Draft:
    used = {} if command.signal is None else {"signal": command.signal}
    if isinstance(command, FailStep):
        data = {"error": command.error, "status": command.status} | used
        return Draft(type=EventType.STEP_FAILED, step=command.step, data=data)
    output = {} if command.output is None else {"output": command.output}
    return Draft(type=EventType.STEP_SUCCEEDED, step=command.step, data={"status": "succeeded"} | output | used)


def _started(command: StartStep, now: float) -> Draft:
    data: dict[str, Any] = {"with": command.inputs, "phase": command.phase and command.phase.value}
    wait_at = command.wait_at if command.wait_s is None else now + command.wait_s
    data |= {"status": "waiting"} if command.waits else {}
    data |= {} if wait_at is None else {"due_at": wait_at}
    return Draft(type=EventType.STEP_STARTED, step=command.step, attempt=command.attempt, data=data)


class Flight:
    """A unit that was asked for: its request, and the timer that ends it."""

    __slots__ = ("answer", "arrive", "asked", "attempt", "child", "is_stopping", "step", "task", "timer", "unit")

    def __init__(self, unit: str, step: Step, attempt: int, arrive: Callable[[Flight], None] | None = None) -> None:
        self.unit = unit
        self.arrive = arrive
        self.step = step
        self.attempt = attempt
        #: What carries it: a request that calls back, or a task where there is something to wait for before.
        self.asked: Asked | None = None
        self.task: asyncio.Task[None] | None = None
        #: What came of it; None while it is in flight, and where nothing came.
        self.answer: Answer | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.is_stopping = False
        #: The run that carries the unit out, when that is another workflow.
        self.child: str | None = None

    def answered(self, answer: Message | WorkflowAgentError) -> None:
        """Take what came of it, and let it arrive unless somebody waits for it who wants it to stop."""
        self.answer = answer.data if isinstance(answer, Message) else answer
        if self.arrive is not None and not self.is_stopping:
            self.arrive(self)

    @property
    def is_done(self) -> bool:
        """Whether it was answered, or ended without an answer."""
        return self.asked.done() if self.asked is not None else self.task is not None and self.task.done()


class LiveRun:
    """One run in this process. Only the task that drives it decides and writes.

    Args:
        workflow: Its definition.
        run_id: Its id.
        state: What the journal says of it so far; None for a new one.
        spent_s: Seconds of the run's time that are over already.
        durability: When its records reach the disk.
    """

    def __init__(
        self,
        workflow: Workflow,
        run_id: str,
        state: RunState | None = None,
        *,
        spent_s: float = 0.0,
        durability: Durability = Durability.STRICT,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.workflow = workflow
        self.plan: StepPlan = plan_of(workflow)
        self.run_id = run_id
        #: What is about to be on disk.
        self._course = Course(workflow, state)
        #: What is on disk, or was before; and whether all that was decided is.
        self._state = state
        self._is_written = True
        #: Number of the last record that is on disk; 0 for none.
        self.head = state.head if state else 0
        #: Units that were asked for and whose outcome is not drafted yet.
        self.flights: dict[str, Flight] = {}
        #: Ends of waits and pauses before retries, by unit.
        self.timers: dict[str, asyncio.TimerHandle] = {}
        #: Tasks that stop something.
        self.tasks: set[asyncio.Task[None]] = set()
        self.cancel_reason: str | None = None
        #: Whether another process, or an earlier task, drove it before.
        self.was_resumed = False
        self.durability = durability
        self.is_strict = durability is Durability.STRICT
        #: Records that were decided and are not on their way to the disk yet.
        self.unwritten: list[Event] = []
        #: Commands that wait until the record of the number beside them is on disk.
        self.held: deque[tuple[int, Command]] = deque()
        #: The task that writes meanwhile, and why nothing can be written any more.
        self.writing: asyncio.Task[None] | None = None
        self.broken: BaseException | None = None
        #: What RunCreated said; the record from which on a snapshot is due; the task that takes one.
        self.created: Mapping[str, Any] = {}
        self.snapshot_due = 0
        self.snapshot: asyncio.Task[None] | None = None
        self._arrivals: list[Arrival] = []
        self._wake: asyncio.Future[None] | None = None
        self._cancels: list[asyncio.Future[bool]] = []
        self._said: list[asyncio.Future[None]] = []
        #: Places that the run has: by scope, and its own under the empty name.
        self.places: dict[str, Wanted] = {}
        self._end: float | None = None
        #: Whether the run's time is counted.
        self.has_limit = False
        if workflow.concurrency is None or (state is not None and state.started_at is not None):
            self.count_time(spent_s)

    def count_time(self, spent_s: float = 0.0) -> None:
        """Let the run's time begin, of which so much is over."""
        limit = self.workflow.timeout_s
        if limit is not None:
            self.has_limit = True
            self._end = self._loop.time() + limit - max(0.0, spent_s)
            self.timers[""] = self._loop.call_at(self._end, self.wake)

    def __repr__(self) -> str:
        return f"<LiveRun {self.run_id} of {self.workflow.name}, {self.state and self.state.status}>"

    @property
    def inputs(self) -> Any:  # Any: JSON values
        """Give the run's inputs; None before it is created."""
        return None if self.draft is None else self.draft.inputs

    @property
    def draft(self) -> RunState | None:
        """What is about to be on disk; None before anything is."""
        return self._course.state

    @property
    def state(self) -> RunState | None:
        """What is on disk, or, while more is on its way there in a strict run, what was there before."""
        return self._course.state if self._is_written else self._state

    @property
    def drafted(self) -> int:
        """Number of the last record that was decided; 0 for none."""
        return self._course.head

    @property
    def status(self) -> RunStatus | None:
        """Status after all that was decided."""
        return self._course.status

    def decide(self, event: Event) -> tuple[Command, ...]:
        """Apply a record that is about to be on disk, and say what is to be done because of it."""
        if self._is_written:
            # Strict runs decide nothing while they write, so nobody has to be told where they stood meanwhile.
            self._state = self._state if self.is_strict else self._course.state
            self._is_written = False
        return self._course.apply(event)

    def written(self, head: int, state: RunState | None) -> None:
        """Note that records are on disk; `state` is how the run stood after them, None where that is how it stands."""
        self.head = head
        if state is None or state is self._course.state:
            self._is_written = True
        else:
            self._state = state

    @property
    def is_cancellable(self) -> bool:
        """Whether a cancel would have an effect now."""
        return self.draft is not None and is_cancellable(self.draft)

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits to hear that what he said is on disk."""
        return bool(self._said or self._cancels)

    def check(self) -> None:
        """Raise what broke the journal, if something did."""
        if self.broken is not None:
            raise self.broken

    def released(self) -> list[Command]:
        """Give the commands whose records are on disk now."""
        commands: list[Command] = []
        while self.held and self.held[0][0] <= self.head:
            commands.append(self.held.popleft()[1])
        return commands

    @property
    def is_ending(self) -> bool:
        """Whether something went wrong already, so that only `on_failure` and `always` steps remain."""
        return self.draft is not None and has_trouble(self.draft)

    def is_told_to_stop(self, unit: str) -> bool:
        """Whether a unit is to stop: because the run ends, or because the run goes on without it."""
        if self.draft is None or self.is_ending:
            return self.is_ending
        position = self.plan.index[parse_unit(unit)[0]]
        bits: int = self.draft.work.stopped | self.draft.work.filled
        return bool(bits >> position & 1)

    def remaining_s(self) -> float | None:
        """Give the seconds that are left of the run's time (below 0: none), or None when it has no limit."""
        return None if self._end is None else self._end - self._loop.time()

    def limit_s(self, step: Step) -> float | None:
        """Give the seconds that a step may take from now on; the run's time binds main steps only."""
        if self._end is None:
            return step.timeout_s
        is_bound = step.id in self.plan.main_ids and step.id not in self.plan.unbound
        remaining = self.remaining_s() if is_bound else None
        limits = [limit for limit in (step.timeout_s, remaining) if limit is not None]
        return max(0.0, min(limits)) if limits else None

    def cell(self, unit: str) -> StepState:
        """Give the state of a unit of a run that has begun."""
        return self._course.cell(unit)

    # -- what arrives ----------------------------------------------------------------------------------------------

    def arrive(self, arrival: Arrival) -> None:
        """Take something that happened, to be recorded in its turn."""
        self._arrivals.append(arrival)
        self.wake()

    def put_back(self, arrivals: list[Arrival]) -> None:
        """Take back what is to be recorded later."""
        self._arrivals = arrivals + self._arrivals
        self.wake()

    async def told(self, draft: Draft) -> None:
        """Record what somebody says to the run, and wait until it is on disk; raises ConflictError where it cannot."""
        told: asyncio.Future[None] = self._loop.create_future()
        self.arrive(partial(self._say, draft, told))
        await told

    def _say(self, draft: Draft, told: asyncio.Future[None]) -> Draft | None:
        problem = refusal(self.draft, draft.type, draft.data)
        if problem is not None:
            _refuse(told, self.run_id, problem)
            return None
        self._said.append(told)
        return draft

    def wake(self) -> None:
        """Let the driving task look again."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def until_stopped(self) -> None:
        """Wait until a cancel is asked for, or the run's time is over."""
        while self.cancel_reason is None and ((left := self.remaining_s()) is None or left > 0):
            self._wake = self._loop.create_future()
            try:
                await self._wake
            finally:
                self._wake = None

    async def arrivals(self) -> list[Arrival]:
        """Wait until something happened or the run's time is over, and give all that happened."""
        if not self._arrivals:
            self._wake = self._loop.create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        taken, self._arrivals = self._arrivals, []
        return taken

    # -- cancel ----------------------------------------------------------------------------------------------------

    async def cancel(self, reason: str) -> bool:
        """Ask for a cancel and wait until it is on disk; False when the run was ending already."""
        if self.cancel_reason is None:
            if self.draft is not None and not self.is_cancellable:
                return False
            self.cancel_reason = reason
            self.wake()
        # One future per caller, because one of them may give up.
        answered: asyncio.Future[bool] = self._loop.create_future()
        self._cancels.append(answered)
        self.answer()
        return await answered

    def answer(self) -> None:
        """Tell those who said something that it is on disk; those who wait in `cancel`, once it has no effect."""
        said, self._said = self._said, []
        for future in said:
            _resolve(future, None)
        if self._cancels and self.state is not None and not is_cancellable(self.state):
            self._answer(was_cancelled=self.state.cancel_reason is not None)

    def _answer(self, *, was_cancelled: bool) -> None:
        waiting, self._cancels = self._cancels, []
        for future in waiting:
            _resolve(future, was_cancelled)

    async def close(self) -> None:
        """Give up what is in flight, and those who wait; nothing of the run lives on in this process."""
        for timer in self.timers.values():
            timer.cancel()
        flying = {flight.task for flight in self.flights.values() if flight.task is not None}
        for flight in self.flights.values():
            if flight.timer is not None:
                flight.timer.cancel()
        going: set[asyncio.Task[Any]] = {task for task in (*flying, *self.tasks) if not task.done()}
        for task in going:
            task.cancel()
        asked = [flight.asked for flight in self.flights.values() if flight.asked is not None]
        going |= {asyncio.create_task(each.give_up()) for each in asked if not each.done()}
        if going:
            await asyncio.wait(going, timeout=CLOSE_S)
        self._answer(was_cancelled=False)
        for arrival in self._arrivals:
            # Who said something and was not heard is told so.
            if isinstance(arrival, partial) and arrival.func == self._say:
                _refuse(arrival.args[1], self.run_id, "the run has ended")
        for future in self._said:
            _refuse(future, self.run_id, "the run stopped before that was on disk")


def _resolve(future: asyncio.Future[_T], value: _T) -> None:
    if not future.done():  # whoever waits may have given up
        future.set_result(value)


def _refuse(future: asyncio.Future[None], run_id: str, problem: str) -> None:
    if not future.done():
        future.set_exception(ConflictError(problem, run_id=run_id))
