"""The run as a state machine: ``(workflow, state, event) -> (state, commands)``.

Rules of this file: total, deterministic, synchronous. No clock, no randomness, no I/O: times and outcomes
arrive inside events. There is one rule per type of event, in the table `_RULES`; what a rule does not allow is the
one error.

Theory of operation. A run goes through three groups of steps: the main ones, what goes back after trouble (undo, then
`on_failure`, one after the other), the `always` ones. A step of a free group may be considered when what it waits for
has ended; then it is left out, fails, or starts. A *unit* is what an agent is asked for: a step, an item of its
fan-out, or a round of its loop. Each decision that only records (a step is left out, a retry is due, the run ends) is
`due` until its record follows, and until then nothing else is decided; requests are out at the same time, as many as
the run's limit says. An event is of a unit that is in flight or waits, or it is the record of what is due.

After the first failure or a cancel (*trouble*) the main steps that did not start are left out. After a failure what is
in flight goes on to its end, so that its effect is known and can be undone; a cancel and a time-out stop it.

A unit whose effect must not repeat, and every attempt after the first, starts with a StepStarted of its own; others
go in flight with the event before them, so that the happy path costs one record per step. Items that end well at the
same time share one record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from workflow_agent.engine.beginning import keep
from workflow_agent.engine.breaking import change, go_on, problem_of_change, take_pause
from workflow_agent.engine.commands import (
    Command,
    EndStep,
    FailStep,
    FinishRun,
    RequestStep,
    ScheduleRetry,
    SkipStep,
    StartRun,
    StartStep,
    TakePlace,
    WaitUntil,
)
from workflow_agent.engine.nodes import SIGNALS, signal_sent
from workflow_agent.engine.plan import END, FREE, SCOPE, TIMER, WAITS, StepPlan, plan_of
from workflow_agent.engine.proceeding import (
    cancels,
    first_phase,
    is_cancellable,
    next_of_loop,
    pending,
    proceed,
    result_of,
    retry_delay,
    schedule,
    signal_of,
)
from workflow_agent.engine.scopes import (
    begin_scope,
    fail_in_scope,
    has_ended,
    leave_within,
    scope_output,
    stop,
    stop_all,
)
from workflow_agent.engine.scratch import MAIN, PENDING, ScopeWork, Scratch, StepGroup, new_run
from workflow_agent.engine.tables import Fan
from workflow_agent.engine.units import UNDO, item_of, parse_unit
from workflow_agent.model.errors import InterruptedRunError, JournalConflictError
from workflow_agent.model.event import Event, EventType, RunState, StepState
from workflow_agent.model.records import replace
from workflow_agent.model.status import TERMINAL_RUN, RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from workflow_agent.model.workflow import Workflow

    Decision: TypeAlias = tuple[RunState, tuple[Command, ...]]

__all__ = ["SIGNALS", "Course", "decide", "fold", "is_stoppable", "outstanding", "refusal", "replay"]

_SUCCEEDED: Final = EventType.STEP_SUCCEEDED
_RUNNING: Final = StepStatus.RUNNING


def decide(workflow: Workflow, state: RunState | None, event: Event) -> Decision:
    """Apply one event and say what is to be done because of it.

    At most one of the commands, the last, only records; it is to be recorded next.

    Args:
        workflow: The definition that the run was created with.
        state: Result of the events before; None before the first.
        event: The next record of the journal.

    Raises:
        JournalConflictError: the event cannot follow, or lacks data of its type.
    """
    course = Course(workflow, state)
    commands = course.apply(event)
    assert course.state is not None
    return course.state, commands


class Course:
    """A run whose records are applied one after the other, and whose state is frozen when somebody asks for it.

    To freeze is to copy all that is noted of a run. A step that ends well does not read the frozen state, so after
    many of them in a row it is made once.

    Args:
        workflow: The definition that the run was created with.
        state: Result of the records before; None before the first.
    """

    __slots__ = ("_plan", "_scratch", "_state", "head")

    def __init__(self, workflow: Workflow, state: RunState | None = None) -> None:
        self._plan = plan_of(workflow)
        self._state = state
        #: What the state is made of; None where nothing was applied to it, or something could not be.
        self._scratch: Scratch | None = None
        #: Number of the last record that was applied; 0 for none.
        self.head = state.head if state else 0

    @property
    def state(self) -> RunState | None:
        """Give the state after all that was applied; None before the first record."""
        if self._state is None and self._scratch is not None:
            self._state = self._scratch.freeze()
        return self._state

    @property
    def status(self) -> RunStatus | None:
        """Give the status of the run; None before the first record."""
        if self._scratch is not None:
            return self._scratch.status
        return self._state.status if self._state else None

    def cell(self, unit: str) -> StepState:
        """Give the state of a unit of a run that has begun; raises KeyError where it has none."""
        step, index, _ = parse_unit(unit)
        position = self._plan.index[step]
        cells = self._scratch.cells if self._scratch is not None else self._state.steps.cells  # type: ignore[union-attr]
        cell: StepState | None = cells[position]
        if cell is None:
            raise KeyError(step)
        return cell if index is None or cell.items is None else cell.items[index]

    def apply(self, event: Event) -> tuple[Command, ...]:
        """Apply the next record and say what is to be done because of it, as :func:`decide`.

        What cannot be applied leaves a course that nobody may go on with.

        Raises:
            JournalConflictError: the event cannot follow, or lacks data of its type.
        """
        scratch = self._scratch
        if scratch is None or event.type is not _SUCCEEDED or scratch.changes:
            scratch = None
        state = self.state if scratch is None else scratch.base
        _check_place(state, self.head, self.status, event)
        self._scratch = None
        try:
            if state is None:
                self._state, commands = _created(self._plan, event)
                self.head = event.seq
                return commands
            if scratch is None:
                scratch = Scratch(self._plan, state, event.seq, event.at)
            else:
                scratch.head, scratch.now = event.seq, event.at
            commands = _RULES[event.type](scratch, event)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise _illegal(event, f"{event.type} does not carry what it must: {error!r}") from error
        self._scratch, self._state, self.head = scratch, None, event.seq
        return commands


def fold(workflow: Workflow, events: Iterable[Event], state: RunState | None = None) -> RunState:
    """Give the state after a run's events, those after `state` if there is one.

    Raises:
        JournalConflictError: they do not follow, or there are none.
    """
    course = Course(workflow, state)
    for event in events:
        course.apply(event)
    if course.state is None:
        raise JournalConflictError("the run has no events")
    return course.state


def replay(workflow: Workflow, events: Iterable[Event]) -> Decision:
    """Give the state after a run's events, and all that was decided and has no record yet."""
    state = fold(workflow, events)
    return state, outstanding(workflow, state)


def outstanding(workflow: Workflow, state: RunState) -> tuple[Command, ...]:
    """Give all that was decided up to a state and has no record yet, the one that only records last."""
    if state.status in TERMINAL_RUN:
        return ()
    return pending(Scratch(plan_of(workflow), state, state.head, 0.0))


def refusal(state: RunState | None, kind: EventType, data: Mapping[str, Any] | None = None) -> str | None:
    """Say why somebody cannot pause a run, let it go on, change it or send it a signal now; None where they can."""
    if state is None or state.status in TERMINAL_RUN:
        return "the run has ended" if state else "the run has not begun"
    if kind is EventType.SIGNAL_RECEIVED:
        return "too many signals wait for the run" if len(state.work.signals) >= SIGNALS else None
    if kind is EventType.RUN_RESUMED:
        return "the run is not paused" if state.paused is None else None
    return problem_of_change(state, data or {}) if kind is EventType.RUN_CHANGED else _unpausable(state)


def _unpausable(state: RunState) -> str | None:
    if state.started_at is None:
        return "the run waits for its place"
    if state.paused is not None:
        return "the run is paused already"
    return None if is_cancellable(state) else "the run is ending"


def _check_place(state: RunState | None, head: int, status: RunStatus | None, event: Event) -> None:
    if event.seq != head + 1:
        raise _illegal(event, f"record {event.seq} cannot follow record {head}")
    stage = _stage(state, status)
    if event.type not in _STAGES[stage]:
        raise _illegal(event, f"{event.type} cannot follow while the run is {stage}")
    if state is not None and event.run_id != state.run_id:
        raise _illegal(event, f"the record belongs to the run {event.run_id}, not to {state.run_id}")


def _stage(state: RunState | None, status: RunStatus | None) -> str:
    if state is None:
        return "absent"
    if status in TERMINAL_RUN:
        return "finished"
    return "created" if state.started_at is None else "running"


def _illegal(event: Event, message: str) -> JournalConflictError:
    where = f"run {event.run_id} › record {event.seq}"  # the separator of all our places
    return JournalConflictError(message, where=where, run_id=event.run_id)


def _created(plan: StepPlan, event: Event) -> Decision:
    state = new_run(plan, event.run_id, event.at, event.data)
    scratch = Scratch(plan, state, event.seq, event.at)
    keep(scratch, event.data)
    if plan.workflow.concurrency is not None:
        return scratch.freeze(), (TakePlace(),)
    scratch.due = StartRun(first_phase(plan, state))
    return scratch.freeze(), (scratch.due,)


# -- the run -----------------------------------------------------------------------------------------------------


def _on_started(s: Scratch, event: Event) -> tuple[Command, ...]:
    s.changes["started_at"] = event.at
    s.due = None
    s.status = RunStatus.RUNNING
    return proceed(s)


def _on_cancel_requested(s: Scratch, event: Event) -> tuple[Command, ...]:
    if not is_cancellable(s.base):
        raise _illegal(event, "there is nothing left to cancel")
    error = event.data.get("error")
    reason = str(event.data.get("reason", ""))
    if error is None:
        s.changes["cancel_reason"] = reason
    in_flight = next((name for name, cell in s.base.steps.items() if _is_on(s.plan, name, cell)), None)
    _trouble(s, in_flight, error or InterruptedRunError(cause=reason or None).to_dict(), reason)
    return *cancels(s), *proceed(s)


def _is_on(plan: StepPlan, name: str, cell: StepState) -> bool:
    waits = cell.status is StepStatus.WAITING and plan.steps[name].uses not in WAITS
    return waits or (cell.status is StepStatus.RUNNING and plan.steps[name].uses != SCOPE)


def _trouble(s: Scratch, step: str | None, error: Any, reason: str) -> None:
    """Keep the first error; when a main step or a cancel brought it, the steps of `on_failure` join the run."""
    s.changes |= {"failed_step": step, "paused": None}
    s.note_error(error)
    if step is None or not s.plan.steps[step].always:
        for name in s.plan.on_failure:
            s.join(s.plan.index[name])
    if s.group is MAIN:
        for position in s.stop_main(reason):
            has_ended(s, position)


def _on_signal(s: Scratch, event: Event) -> tuple[Command, ...]:
    s.signals = (*s.signals, (event.seq, str(event.data["name"]), event.data.get("data")))
    return () if s.base.started_at is None else proceed(s)


def _on_paused(s: Scratch, event: Event) -> tuple[Command, ...]:
    if (problem := refusal(s.base, event.type)) is not None:
        raise _illegal(event, problem)
    take_pause(s, event)
    s.changes["paused"] = str(event.data.get("reason", ""))
    s.status = RunStatus.PAUSED
    return ()


def _on_resumed(s: Scratch, event: Event) -> tuple[Command, ...]:
    if (problem := refusal(s.base, event.type)) is not None:
        raise _illegal(event, problem)
    s.changes["paused"] = None
    s.status = RunStatus.RUNNING
    go_on(s, event)
    return proceed(s)


def _on_changed(s: Scratch, event: Event) -> tuple[Command, ...]:
    if (problem := refusal(s.base, event.type, event.data)) is not None:
        raise _illegal(event, problem)
    change(s, event)
    return ()


def _on_finished(s: Scratch, event: Event) -> tuple[Command, ...]:
    status = RunStatus(event.data["status"])
    # A run that nothing can take up again is given up from outside, wherever it stands.
    # One that waits for its place may be cancelled: it did nothing.
    never_began = status is RunStatus.CANCELLED and s.base.started_at is None
    if not isinstance(s.due, FinishRun) and status is not RunStatus.NEEDS_ATTENTION and not never_began:
        raise _illegal(event, "the run cannot end before its steps")
    s.due = None
    s.status = status
    data = event.data
    if never_began:
        s.changes["cancel_reason"] = str(data.get("reason", ""))
    s.note_error(data.get("error"))
    s.changes |= {"changed": bool(data.get("changed")), "finished_at": event.at}
    if "output" in data:
        s.changes["output"] = data["output"]
    elif status is RunStatus.SUCCEEDED:
        s.changes["output"] = result_of(s.plan, s.base)
    return ()


# -- units -------------------------------------------------------------------------------------------------------


def _take_due(s: Scratch, event: Event, *kinds: type[Command]) -> Command | None:
    """Take what is due when the event records it."""
    due = s.due
    if isinstance(due, kinds) and getattr(due, "step", None) == event.step:
        s.due = None
        return due
    return None


def _refuse(s: Scratch, event: Event) -> JournalConflictError:
    wanted = getattr(s.due, "step", None)
    asked = f"what is due is of `{wanted}`" if wanted else "it is not in flight"
    return _illegal(event, f"{event.type} of `{event.step}` cannot follow: {asked}")


def _on_step_started(s: Scratch, event: Event) -> tuple[Command, ...]:
    unit = str(event.step)
    position, index, before = s.find(unit)
    was_due = _take_due(s, event, StartStep) is not None
    if s.plan.step_at(position).uses == SCOPE and (was_due or before.status is StepStatus.WAITING):
        return _scope(s, event, position)
    is_retry = before.status is StepStatus.WAITING and before.inputs is not None
    if not was_due and not is_retry:
        raise _refuse(s, event)
    step = s.plan.step_at(position)
    inputs = event.data.get("with", {})
    if step.uses in WAITS:
        return _wait(s, event, position, inputs)
    started = before.started_at if is_retry or before.iteration else None
    running = replace(
        before if index is None else replace(PENDING, output=before.output),
        status=StepStatus.RUNNING,
        attempt=event.attempt,
        started_at=event.at if started is None else started,
        due_at=None,
        inputs=inputs,
    )
    if is_retry:
        s.busy -= 1
        if index is not None:
            _unfly(s, position, index, before)
    s.fly(position, index, running)
    s.status = step.phase
    return RequestStep(unit, event.attempt, inputs), *proceed(s)


def _scope(s: Scratch, event: Event, position: int) -> tuple[Command, ...]:
    due_at = event.data.get("due_at")
    s.begin(position)
    s.put(position, StepState(status=StepStatus.RUNNING, attempt=1, started_at=event.at, due_at=due_at))
    begin_scope(s, position)
    commands = () if due_at is None else (WaitUntil(s.plan.order[position], float(due_at)),)
    return *commands, *proceed(s)


def _on_scope_stopped(s: Scratch, event: Event) -> tuple[Command, ...]:
    position, _, _ = s.find(str(event.step))
    if not is_stoppable(s.base, position):
        raise _illegal(event, f"`{event.step}` is not at work")
    error: dict[str, Any] = event.data["error"]
    commands = tuple(stop(s, position, error))
    return *commands, *proceed(s)


def is_stoppable(state: RunState, position: int) -> bool:
    """Say whether the end of a scope's time means something: its body is at work."""
    work: ScopeWork | None = state.work.open.get(position)
    return work is not None and work.is_in_body


def _unfly(s: Scratch, position: int, index: int, item: StepState) -> None:
    cell = s.cell(position)
    fan: Any = cell.items
    s.put(position, replace(cell, items=fan.put(index, item, busy=-1)))


def _wait(s: Scratch, event: Event, position: int, inputs: Any) -> tuple[Command, ...]:
    step = s.plan.step_at(position)
    s.begin(position)
    due_at = event.data.get("due_at")
    cell = StepState(status=StepStatus.WAITING, attempt=1, started_at=event.at, due_at=due_at)
    s.put(position, cell)
    if step.uses != TIMER:
        name = signal_of(step, inputs)
        if inputs.get("transient") is True:  # what came before nobody waited is gone
            s.signals = tuple(signal for signal in s.signals if signal[1] != name)
        s.waits = {**s.waits, name: (*s.waits.get(name, ()), position)}
    commands = () if due_at is None else (WaitUntil(step.id, float(due_at)),)
    return *commands, *proceed(s)


def _on_step_succeeded(s: Scratch, event: Event) -> tuple[Command, ...]:
    position, index, cell = s.find(str(event.step))
    due = None if s.due is None else _take_due(s, event, EndStep)
    if due is None and not _is_open(s, event, position, cell):
        raise _refuse(s, event)
    _keep(s, event)
    is_round = index is None and bool(cell.iteration) and due is None
    done = StepState(
        status=_ENDS_WELL[event.data.get("status", "succeeded")],
        attempt=cell.attempt,
        started_at=cell.started_at,
        finished_at=event.at,
        output=event.data["output"] if "output" in event.data else _composed(s, position, cell),
        items=cell.items,
        iteration=cell.iteration,
        end=s.head if index is None and not is_round else cell.end,
    )
    commands: tuple[Command, ...] = ()
    if index is not None:
        s.land(position, index, done)
    elif is_round:
        s.busy -= 1
        s.put(position, done)
        next_of_loop(s, position, s.plan.step_at(position).until or "true")
    else:
        _end_wait(s, position, event)
        s.busy -= due is None and s.plan.step_at(position).uses not in WAITS
        s.end(position, done)
        if s.group is not MAIN:
            _after_undo(s, position, StepStatus.UNDONE)
        commands = _ended_well(s, position, event)
        _forget_scope(s, position)
        has_ended(s, position)
    return (*commands, *proceed(s)) if commands else proceed(s)


def _forget_scope(s: Scratch, position: int) -> None:
    if position in s.open:
        s.open = {scope: work for scope, work in s.open.items() if scope != position}


def _ended_well(s: Scratch, position: int, event: Event) -> tuple[Command, ...]:
    """Do what the good end of a step means for others."""
    step = s.plan.step_at(position)
    if step.uses == "flow.emit":
        s.signals = (*s.signals, signal_sent(event.seq, event.data["output"]))
    if step.uses == END and s.group is MAIN:
        return stop_all(s, s.plan.main_bits & ~_inner_bits(s.plan))
    if not step.cancels:
        return ()
    cancelled = (s.plan.index[name] for name in step.cancels)
    return tuple(command for other in cancelled for command in stop(s, other))


def _inner_bits(plan: StepPlan) -> int:
    """Give the steps that are in scopes: what is told to their scopes is told to them."""
    inner = 0
    for bits in plan.within.values():
        inner |= bits
    return inner


def _composed(s: Scratch, position: int, cell: StepState) -> Any:  # Any: a JSON value
    if position in s.open:
        return scope_output(s, position)
    if isinstance(cell.items, Fan) and cell.items.released:
        return cell.output
    return cell.items.outputs() if isinstance(cell.items, Fan) else cell.output


def _keep(s: Scratch, event: Event) -> None:
    """Take over what a step says of the run."""
    data = event.data
    if (changed := data.get("changed")) is not None:
        s.changes["changed"] = changed
    if event.step in s.plan.on_failure and (given := data.get("run_status")) is not None:
        s.changes["outcome"] = RunStatus(given)
    if (told := data.get("state")) is not None:
        s.keep_state(told)


def _is_open(s: Scratch, event: Event, position: int, cell: StepState) -> bool:
    """Say whether a unit is in flight, or is a wait that began."""
    if (cell.items is not None and isinstance(cell.items, Fan)) or s.closing >> position & 1 or position in s.open:
        return False
    if cell.status is _RUNNING and ("#" in str(event.step)) is bool(cell.iteration):
        return True
    return cell.status is StepStatus.WAITING and s.plan.step_at(position).uses in FREE


def _end_wait(s: Scratch, position: int, event: Event) -> None:
    """Forget that a step waits, and the signal that it used up."""
    if s.plan.step_at(position).uses not in WAITS:
        return
    waits = {name: tuple(each for each in waiting if each != position) for name, waiting in s.waits.items()}
    s.waits = {name: waiting for name, waiting in waits.items() if waiting}
    if (number := event.data.get("signal")) is not None:
        s.signals = tuple(signal for signal in s.signals if signal[0] != number)


def _on_items_succeeded(s: Scratch, event: Event) -> tuple[Command, ...]:
    for index, output in event.data["items"]:
        unit = item_of(str(event.step), index)
        position, _, cell = s.find(unit)
        if cell.status is not StepStatus.RUNNING:
            raise _refuse(s, event)
        done = replace(cell, status=StepStatus.SUCCEEDED, finished_at=event.at, output=output, inputs=None)
        s.land(position, index, done)
    return proceed(s)


def _on_step_failed(s: Scratch, event: Event) -> tuple[Command, ...]:
    unit = str(event.step)
    position, index, cell = s.find(unit)
    due = _take_due(s, event, FailStep)
    if due is None and not _is_open(s, event, position, cell):
        raise _refuse(s, event)
    status = StepStatus(event.data.get("status", StepStatus.FAILED))
    error: dict[str, Any] = event.data["error"]
    reason = status.value if status is not StepStatus.FAILED else None
    is_wait = s.plan.step_at(position).uses in FREE
    failed = replace(
        cell, status=status, attempt=event.attempt, finished_at=event.at, error=error, reason=reason, due_at=None
    )
    delay = None if due is not None or is_wait else retry_delay(s, event, status)
    if delay is not None:
        _set(s, position, index, replace(failed, status=StepStatus.WAITING))
        s.due = schedule(s, unit, event.attempt + 1, delay)
        return (s.due,)
    if index is not None:
        s.land(position, index, replace(failed, inputs=None))
        return proceed(s)
    _end_wait(s, position, event)
    s.busy -= due is None and not is_wait
    s.end(position, replace(failed, output=_composed(s, position, cell)))
    _forget_scope(s, position)
    _after_failure(s, position, error)
    leave_within(s, position)
    has_ended(s, position)
    return proceed(s)


def _set(s: Scratch, position: int, index: int | None, cell: StepState) -> None:
    if index is None:
        s.put(position, cell)
        return
    whole = s.cell(position)
    fan: Any = whole.items
    s.put(position, replace(whole, items=fan.put(index, cell)))


def _after_failure(s: Scratch, position: int, error: dict[str, Any]) -> None:
    step = s.plan.step_at(position)
    if s.group is StepGroup.BACK:
        # What was to take the effects back did not: no later step may say that all is well.
        s.changes["outcome"] = RunStatus.NEEDS_ATTENTION
        s.note_error(error)
        _after_undo(s, position, StepStatus.UNDO_FAILED)
    elif step.on_error == "continue" or step.id in s.plan.handled or s.stopped >> position & 1:
        return  # the run goes on, and shows the error
    elif not fail_in_scope(s, position, error) and not s.has_trouble:
        _trouble(s, step.id, error, f"`{step.id}` did not succeed")


def _after_undo(s: Scratch, position: int, status: StepStatus) -> None:
    name = s.plan.order[position]
    if name.endswith(UNDO):
        undone = s.plan.index[name.removesuffix(UNDO)]
        s.put(undone, replace(s.cell(undone), status=status))


def _on_step_skipped(s: Scratch, event: Event) -> tuple[Command, ...]:
    position, _, _ = s.find(str(event.step))
    if _take_due(s, event, SkipStep) is None:
        raise _refuse(s, event)
    reason = str(event.data.get("reason", "")) or None
    s.end(position, StepState(status=StepStatus.SKIPPED, finished_at=event.at, reason=reason))
    leave_within(s, position)
    has_ended(s, position)
    return proceed(s)


def _on_retry_scheduled(s: Scratch, event: Event) -> tuple[Command, ...]:
    unit = str(event.step)
    if _take_due(s, event, ScheduleRetry) is None:
        raise _refuse(s, event)
    position, index, cell = s.find(unit)
    due_at = float(event.data["due_at"])
    _set(s, position, index, replace(cell, due_at=due_at))
    if s.busy == 1:
        s.status = RunStatus.WAITING
    # The expressions gave values once for this unit, and these stay.
    return StartStep(unit, event.attempt, cell.inputs or {}, due_at), *proceed(s)


_ENDS_WELL: dict[str, StepStatus] = {status.value: status for status in StepStatus}
_STAGES: dict[str, frozenset[EventType]] = {
    "absent": frozenset({EventType.RUN_CREATED}),
    "created": frozenset({EventType.RUN_STARTED, EventType.SIGNAL_RECEIVED, EventType.RUN_FINISHED}),
    "running": frozenset(EventType) - {EventType.RUN_CREATED, EventType.RUN_STARTED},
    "finished": frozenset(),
}
_RULES: dict[EventType, Callable[[Scratch, Event], tuple[Command, ...]]] = {
    EventType.RUN_STARTED: _on_started,
    EventType.STEP_STARTED: _on_step_started,
    EventType.STEP_SUCCEEDED: _on_step_succeeded,
    EventType.ITEMS_SUCCEEDED: _on_items_succeeded,
    EventType.STEP_FAILED: _on_step_failed,
    EventType.STEP_SKIPPED: _on_step_skipped,
    EventType.RETRY_SCHEDULED: _on_retry_scheduled,
    EventType.CANCEL_REQUESTED: _on_cancel_requested,
    EventType.SIGNAL_RECEIVED: _on_signal,
    EventType.RUN_PAUSED: _on_paused,
    EventType.RUN_RESUMED: _on_resumed,
    EventType.SCOPE_STOPPED: _on_scope_stopped,
    EventType.RUN_CHANGED: _on_changed,
    EventType.RUN_FINISHED: _on_finished,
}
