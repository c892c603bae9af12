"""What comes next in a run: skip, start, end or finish. Pure, as the machine that calls it is.

What belongs here: choosing the next commands from a state. What does not: which event may follow (``machine``).

Everything that starts needs a free place of the run's `limit`; so does leaving a step out, so that with one place a
run goes strictly step by step, as journals from before fan-outs were written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workflow_agent.engine.breaking import hold_up
from workflow_agent.engine.commands import (
    CancelStep,
    Command,
    EndStep,
    FailStep,
    FinishRun,
    RequestStep,
    ScheduleRetry,
    SkipStep,
    StartStep,
    TakePlace,
    WaitUntil,
    only_records,
)
from workflow_agent.engine.fans import look_at_fans
from workflow_agent.engine.joins import why_not
from workflow_agent.engine.names import condition, evaluated, inputs_of, names_of
from workflow_agent.engine.nodes import node
from workflow_agent.engine.persistent import PersistentArray
from workflow_agent.engine.plan import END, NODES, SCOPE, TIMER, WAITS
from workflow_agent.engine.scopes import why_stopped
from workflow_agent.engine.scratch import ENDED_WELL, MAIN, PENDING, Scratch, StepGroup, Work
from workflow_agent.engine.tables import Fan
from workflow_agent.engine.units import item_of, round_of
from workflow_agent.model.errors import (
    DeclinedError,
    ExpressionError,
    InterruptedRunError,
    StepFailedError,
    WorkflowAgentError,
    error_from_dict,
)
from workflow_agent.model.event import RunState, StepState
from workflow_agent.model.expression import parse
from workflow_agent.model.records import replace
from workflow_agent.model.status import TERMINAL_RUN, TERMINAL_STEP, RunStatus, StepStatus
from workflow_agent.model.workflow import EffectPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.engine.plan import StepPlan
    from workflow_agent.model.event import Event
    from workflow_agent.model.workflow import Step

__all__ = [
    "DEFAULT_ROUNDS",
    "cancels",
    "first_phase",
    "has_trouble",
    "is_cancellable",
    "next_of_loop",
    "pending",
    "proceed",
    "result_of",
    "retry_delay",
    "signal_of",
]

#: Rounds of a loop, where its definition does not say.
DEFAULT_ROUNDS: Final = 1000
_BAD = frozenset({StepStatus.FAILED, StepStatus.UNKNOWN, StepStatus.CANCELLED})
_RUNNING: Final = StepStatus.RUNNING
_AT_LEAST_ONCE: Final = EffectPolicy.AT_LEAST_ONCE
#: An error says nothing of another attempt.
_NOTHING_SAID: Final = object()


def has_trouble(state: RunState) -> bool:
    """Say whether a step failed, time ran out or a cancel was requested."""
    return state.error is not None


def is_cancellable(state: RunState) -> bool:
    """Say whether a cancel would have an effect: a main step has no end and nothing went wrong yet."""
    work: Work = state.work
    if state.status in TERMINAL_RUN:
        return False
    return work.group is MAIN and bool(work.idle or work.active) and not has_trouble(state)


def first_phase(plan: StepPlan, state: RunState) -> RunStatus:
    """Give the phase in which a run begins."""
    first = next((name for name in plan.sequence if name in state.steps), None)
    return plan.steps[first].phase if first else RunStatus.RUNNING


def retry_delay(s: Scratch, event: Event, status: StepStatus) -> float | None:
    """Give the pause in seconds before another attempt at the unit that `event` failed, or None for no attempt.

    There is none when the outcome is unknown or cancelled, the run is ending, or the pause would outlast the time of
    the run. Else the agent that failed knows best: ``details.retry`` of its error is ``{"pause_s": seconds}`` or null.
    Where it says nothing, the step's policy counts: not for errors that are not retryable, and as often as it allows.
    """
    position, _, _ = s.find(str(event.step))
    is_main = s.plan.is_main(position) and not s.sheltered >> position & 1
    is_over = bool((s.stopped | s.filled) >> position & 1) or (is_main and s.has_trouble)
    if status is not StepStatus.FAILED or is_over:
        return None
    error: Mapping[str, Any] = event.data["error"]
    given = (error.get("details") or {}).get("retry", _NOTHING_SAID)
    step = s.plan.step_at(position)
    delay = _pause_of(step, event.attempt, error) if given is _NOTHING_SAID else _given_pause(given)
    limit = s.plan.workflow.timeout_s
    if delay is not None and is_main and limit is not None and event.at + delay >= (s.base.started_at or 0.0) + limit:
        return None
    return delay


def _given_pause(given: Any) -> float | None:  # Any: a JSON value
    pause = given.get("pause_s") if isinstance(given, dict) else None
    return float(pause) if isinstance(pause, int | float) and pause >= 0 else None


def _pause_of(step: Step, attempt: int, error: Mapping[str, Any]) -> float | None:
    if attempt >= step.retry.attempts or not error_from_dict(error).retryable:
        return None
    delay = min(step.retry.initial_s, step.retry.max_s)
    for _ in range(attempt - 1):
        delay = min(delay * step.retry.factor, step.retry.max_s)
    return delay


# -- what is next ------------------------------------------------------------------------------------------------


def proceed(s: Scratch) -> tuple[Command, ...]:
    """Choose what is to be done now, up to the first command that only records."""
    commands: list[Command] = [*look_at_fans(s)] if s.plan.live else []
    while s.due is None and (command := _next(s)) is not None:
        commands.append(command)
        if only_records(command):
            s.due = command
    return tuple(commands)


def _next(s: Scratch) -> Command | None:
    if s.leaving or s.closing:
        return _give_up(s, _lowest(s.leaving)) if s.leaving else _close(s, _lowest(s.closing))
    if s.signals and s.waits and (command := _signalled(s)) is not None:
        return command
    if s.group is MAIN:
        if s.idle or s.active:
            return _next_free(s)
        if s.has_trouble:
            s.enter_back()
        else:
            s.enter_always()
    if s.group is StepGroup.BACK:
        if (command := _next_back(s)) is not None or s.at < len(s.queue):
            return command
        s.enter_always()
    if s.idle or s.active:
        return _next_free(s)
    return _finish(s)


def _next_free(s: Scratch) -> Command | None:
    """Choose among the steps of a group whose order is free."""
    if s.busy >= s.limit:
        return None
    ready = s.ready
    if s.group is MAIN and s.has_trouble:
        if left := s.idle & ~s.sheltered:
            return _leave_out(s, _lowest(left))
        ready &= s.sheltered
    elif s.group is MAIN and s.get("paused") is not None:
        return None
    while ready:
        position = _lowest(ready)
        if _is_met(s, position):
            pause = hold_up(s, position) if s.breaks is not None and s.group is MAIN else None
            return pause or _consider(s, position)
        ready &= ~(1 << position)
        s.ready &= ~(1 << position)  # until another one of its needs has ended
    return None


def _is_met(s: Scratch, position: int) -> bool:
    """Say whether a step that waits until something holds may be considered."""
    text = s.plan.step_at(position).join_until
    if text is None or s.left[position] == 0:
        return True
    try:
        return condition(s, position, "join_until", text)
    except ExpressionError:
        return True  # it fails where it is considered


def _next_back(s: Scratch) -> Command | None:
    """Choose among the steps that go back, which come one after the other."""
    if s.ready:  # items of a fan-out
        return _consider(s, _lowest(s.ready)) if s.busy < s.limit else None
    while s.at < len(s.queue):
        position = s.queue[s.at]
        status = s.cell(position).status
        if status not in TERMINAL_STEP:
            return _consider(s, position) if status is StepStatus.PENDING else None
        s.at += 1
    return None


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def _consider(s: Scratch, position: int) -> Command:
    cell = s.cell(position)
    name = s.plan.order[position]
    try:
        if cell.items is not None and isinstance(cell.items, Fan):
            return _next_item(s, position, cell.items)
        if cell.iteration == 0 and (reason := _skip_reason(s, position)) is not None:
            return SkipStep(name, reason)
        return _begin(s, position)
    except ExpressionError as error:
        return FailStep(name, error.to_dict())


def _skip_reason(s: Scratch, position: int) -> str | None:
    step = s.plan.step_at(position)
    if step.id in s.plan.on_failure:
        failed = next((name for name in s.plan.on_failure if _status(s, name) in _BAD), None)
        if failed is not None:
            return f"`{failed}` did not succeed"
    if (reason := _unmet_join(s, position, step)) is not None:
        return reason
    if step.when is None or condition(s, position, "when", step.when):
        return None
    return f"not when {step.when}"


def _unmet_join(s: Scratch, position: int, step: Step) -> str | None:
    if step.join_until is not None:
        holds = condition(s, position, "join_until", step.join_until)
        return None if holds else f"its needs have ended, and not {step.join_until}"
    if step.join != "all":
        wanted, well = (1 if step.join == "any" else step.join), s.well.get(step.id, 0)
        if well < wanted:
            ends = "ended as it says" if step.edges else "ended well"
            return f"{well} of the {wanted} needs that it waits for {ends}"
        return None
    if not step.edges:
        return None
    cells = ((need, s.cell(s.plan.index[need])) for need in step.needs if need in step.edges)
    return next((reason for need, cell in cells if (reason := why_not(step, need, cell)) is not None), None)


def _status(s: Scratch, name: str) -> StepStatus:
    return s.cell(s.plan.index[name]).status


def _begin(s: Scratch, position: int) -> Command:
    step = s.plan.step_at(position)
    if step.uses in WAITS:
        return _wait(s, position, step)
    if step.uses in NODES:
        return node(s, step, inputs_of(s, position))
    if step.uses == SCOPE:
        return _begin_scope(s, position, step)
    if step.each is not None:
        return _fan_out(s, position, step, step.each)
    return _begin_unit(s, position, step)


def _begin_scope(s: Scratch, position: int, step: Step) -> Command:
    s.status = step.phase
    if step.lock is None:
        return StartStep(step.id, 1, {}, phase=step.phase, wait_s=step.timeout_s)
    s.begin(position)
    s.put(position, StepState(status=StepStatus.WAITING, attempt=1))
    return TakePlace(step.id)


def _begin_unit(s: Scratch, position: int, step: Step) -> Command:
    if step.until is None:
        return _start(s, position, None, step.id, inputs_of(s, position))
    cell = s.cell(position)
    number = cell.iteration + 1
    inputs = inputs_of(s, position, iteration=number, previous=cell.output)
    s.put(position, replace(cell, iteration=number))
    return _start(s, position, None, round_of(step.id, number), inputs)


def _start(s: Scratch, position: int, index: int | None, unit: str, inputs: Mapping[str, Any]) -> Command:
    """Request a unit, or record first that it starts, where its effect must not repeat."""
    step = s.plan.step_at(position)
    s.status = step.phase
    if step.effect is not _AT_LEAST_ONCE:
        return StartStep(unit, 1, inputs, phase=step.phase)
    before = s.cell(position) if index is None else PENDING
    running = StepState(
        status=_RUNNING,
        attempt=1,
        started_at=s.now if before.started_at is None else before.started_at,
        output=before.output,
        iteration=before.iteration,
        inputs=inputs,
    )
    s.fly(position, index, running)
    return RequestStep(unit, 1, inputs)


def _fan_out(s: Scratch, position: int, step: Step, each: str) -> Command:
    values = evaluated(s, position, "each", each)
    if not isinstance(values, list | tuple):
        where = f"{s.plan.workflow.name} › {step.id} › each"
        raise ExpressionError("`each` does not give a list", where=where, cause=each)
    s.begin(position)
    s.status = step.phase
    fan = Fan(values, PersistentArray([PENDING] * len(values)))
    s.put(position, StepState(status=StepStatus.RUNNING, attempt=1, started_at=s.now, items=fan))
    if not values:
        s.closing |= 1 << position
        return _close(s, position)
    s.ready |= 1 << position
    return _next_item(s, position, fan)


def _next_item(s: Scratch, position: int, fan: Fan) -> Command:
    index = fan.started
    unit = item_of(s.plan.order[position], index)
    try:
        inputs = inputs_of(s, position, item=fan.values[index], index=index, total=len(fan))
    except ExpressionError as error:
        return FailStep(unit, error.to_dict())
    return _start(s, position, index, unit, inputs)


def next_of_loop(s: Scratch, position: int, until: str) -> None:
    """After a round: let the loop end, or go on to the next round."""
    cell = s.cell(position)
    bit = 1 << position
    try:
        done = condition(s, position, "until", until, iteration=cell.iteration, previous=cell.output)
    except ExpressionError as error:
        # It is met again where the loop is closed.
        s.put(position, replace(cell, error=error.to_dict()))
        done = True
    limit = s.plan.step_at(position).max_iterations or DEFAULT_ROUNDS
    if s.stopped & bit and not done:
        s.put(position, replace(cell, error=InterruptedRunError(why_stopped(s, position)).to_dict()))
        s.closing |= bit
        return
    if done or cell.iteration >= limit:
        if not done:
            message = f"`{s.plan.order[position]}` is not done after {limit} rounds"
            s.put(position, replace(cell, error=StepFailedError(message, cause=f"until {until}").to_dict()))
        s.closing |= bit
        return
    s.put(position, replace(cell, status=StepStatus.PENDING))
    if s.plan.main_bits & bit or s.plan.always_bits & bit:
        s.active -= 1
        s.idle |= bit
        s.ready |= bit if s.may_start(position) else 0


def _close(s: Scratch, position: int) -> Command:
    """Record the end of a fan-out or a loop."""
    name = s.plan.order[position]
    cell = s.cell(position)
    fan = cell.items
    bit = 1 << position
    if position in s.open:
        return _close_scope(s, position)
    if not isinstance(fan, Fan):
        status = StepStatus.CANCELLED if s.stopped & bit else StepStatus.FAILED
        return EndStep(name) if cell.error is None else FailStep(name, cell.error, status.value)
    if s.filled & bit:
        return EndStep(name) if cell.error is None else FailStep(name, cell.error)
    if fan.failed:
        return _failed_fan(name, fan)
    if fan.started < len(fan):
        error = InterruptedRunError(f"{len(fan) - fan.started} of {len(fan)} items were not started")
        return FailStep(name, error.to_dict(), StepStatus.CANCELLED.value)
    return EndStep(name)


def _close_scope(s: Scratch, position: int) -> Command:
    name = s.plan.order[position]
    work = s.open[position]
    if work.is_stopped:
        return FailStep(name, InterruptedRunError(why_stopped(s, position)).to_dict(), StepStatus.CANCELLED.value)
    if work.error is not None and not work.is_caught:
        return FailStep(name, work.error)
    return EndStep(name)


def _give_up(s: Scratch, position: int) -> Command:
    """Record that a step is left out, or that what it waited for is given up, although the run goes on."""
    name = s.plan.order[position]
    reason = why_stopped(s, position)
    if s.cell(position).status is StepStatus.PENDING and not s.cell(position).iteration:
        return SkipStep(name, reason)
    return FailStep(name, InterruptedRunError(reason).to_dict(), StepStatus.CANCELLED.value)


def _failed_fan(name: str, fan: Fan) -> FailStep:
    first = next(item for item in fan if item.status not in ENDED_WELL and item.status is not StepStatus.PENDING)
    error = dict(first.error or InterruptedRunError("items were given up").to_dict())
    error["details"] = {**(error.get("details") or {}), "items_failed": fan.failed, "items": len(fan)}
    return FailStep(name, error, first.status.value)


def _leave_out(s: Scratch, position: int) -> Command:
    name = s.plan.order[position]
    reason = _why_left_out(s)
    if s.cell(position).iteration:
        return FailStep(name, InterruptedRunError(reason).to_dict(), StepStatus.CANCELLED.value)
    return SkipStep(name, reason)


def _why_left_out(s: Scratch) -> str:
    if s.get("failed_step"):
        return f"`{s.get('failed_step')}` did not succeed"
    return "the run ran out of time" if s.get("cancel_reason") is None else "the run was cancelled"


# -- waiting -----------------------------------------------------------------------------------------------------


def _wait(s: Scratch, position: int, step: Step) -> Command:
    inputs = inputs_of(s, position)
    s.status = step.phase if step.phase is not RunStatus.RUNNING else _phase_of(step)
    if step.uses != TIMER:
        return StartStep(step.id, 1, inputs, phase=s.status, waits=True, wait_s=step.timeout_s)
    seconds, until = inputs.get("seconds"), inputs.get("until")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0:
        return StartStep(step.id, 1, inputs, phase=s.status, waits=True, wait_s=float(seconds))
    if isinstance(until, int | float) and not isinstance(until, bool):
        return StartStep(step.id, 1, inputs, phase=s.status, waits=True, wait_at=float(until))
    where = f"{s.plan.workflow.name} › {step.id} › with"
    raise ExpressionError("a timer takes `seconds`, or `until` as UTC seconds", where=where)


def _phase_of(step: Step) -> RunStatus:
    return RunStatus.AWAITING_APPROVAL if step.uses == "wait.person" else RunStatus.WAITING


def signal_of(step: Step, inputs: Mapping[str, Any]) -> str:
    """Give the name of the signal that a step waits for: as its inputs say, or the step's id."""
    name = inputs.get("name")
    return name if isinstance(name, str) and name else step.id


def _signalled(s: Scratch) -> Command | None:
    for number, name, data in s.signals:
        waiting = s.waits.get(name)
        if not waiting:
            continue
        step = s.plan.step_at(waiting[0])
        if step.uses == "wait.person" and not (isinstance(data, dict) and data.get("approved") is True):
            reason = str(data.get("reason") or "") if isinstance(data, dict) else ""
            error = DeclinedError(f"`{step.id}` was declined", cause=reason or None)
            return FailStep(step.id, error.to_dict(), signal=number)
        return EndStep(step.id, data if isinstance(data, dict) else {"value": data}, signal=number)
    return None


# -- the end -----------------------------------------------------------------------------------------------------


def _finish(s: Scratch) -> FinishRun:
    changed = bool(s.get("changed"))
    if s.has_trouble:
        outcome = s.get("outcome") or _outcome_of_trouble(s)
        # A step of `on_failure` may find that all is well: then nothing went wrong in the end.
        return FinishRun(outcome, None if outcome is RunStatus.SUCCEEDED else s.get("error"), changed)
    text = s.plan.workflow.output
    if text is None:
        return FinishRun(RunStatus.SUCCEEDED, None, changed)
    try:
        return FinishRun(RunStatus.SUCCEEDED, None, changed, (parse(text).evaluate(names_of(s, None)),))
    except WorkflowAgentError as error:
        return FinishRun(RunStatus.FAILED, error.to_dict(), changed)


def _outcome_of_trouble(s: Scratch) -> RunStatus:
    if s.get("cancel_reason") is not None:
        return RunStatus.CANCELLED
    left = {s.cell(position).status for position in range(len(s.plan.main))}
    is_all_undone = StepStatus.UNDONE in left and not left & {StepStatus.SUCCEEDED, StepStatus.UNKNOWN}
    return RunStatus.ROLLED_BACK if is_all_undone else RunStatus.FAILED


def result_of(plan: StepPlan, state: RunState) -> Any:  # Any: a JSON value
    """Give the output of the last main step that ended well, in the order of writing; or of the step that ended all."""
    for step in plan.workflow.steps:
        if step.uses == END and state.steps[step.id].status in ENDED_WELL:
            return state.steps[step.id].output["output"]
    for step in reversed(plan.workflow.steps):
        if not step.always and step.scope is None and state.steps[step.id].status in ENDED_WELL:
            return state.steps[step.id].output
    return None


# -- after a refold ----------------------------------------------------------------------------------------------


def cancels(s: Scratch) -> tuple[Command, ...]:
    """Give the commands that stop every main unit that is in flight, but those in the last part of a scope."""
    return tuple(
        CancelStep(unit, cell.attempt)
        for position, unit, cell in _units(s)
        if s.plan.is_main(position) and cell.status is StepStatus.RUNNING and not s.sheltered >> position & 1
    )


def pending(s: Scratch) -> tuple[Command, ...]:
    """Give all that was decided and has no record yet, whenever it was decided."""
    if s.base.started_at is None and s.due is None:
        return (TakePlace(),)
    stopping = s.group is MAIN and s.has_trouble
    commands: list[Command] = []
    for position, unit, cell in _units(s):
        stops = (stopping and not s.sheltered >> position & 1) or s.is_told_to_stop(position)
        if cell.status is StepStatus.RUNNING and stops:
            commands.append(CancelStep(unit, cell.attempt))
        elif cell.status is StepStatus.RUNNING:
            commands.append(RequestStep(unit, cell.attempt, cell.inputs or {}))
        elif cell.status is StepStatus.WAITING and cell.due_at is not None:
            commands.append(_waiting(s, unit, cell, cell.due_at))
        elif cell.status is StepStatus.WAITING and s.plan.step_at(position).uses == SCOPE:
            commands.append(TakePlace(unit))
    for scope, work in s.open.items():
        at = s.cell(scope).due_at
        commands += [WaitUntil(s.plan.order[scope], at)] if at is not None and work.is_in_body else []
    if s.due is not None:
        commands.append(s.due)
    return tuple(commands)


def _waiting(s: Scratch, unit: str, cell: StepState, due_at: float) -> Command:
    step = s.plan.steps.get(unit)
    if step is not None and step.uses in WAITS:
        return WaitUntil(unit, due_at)
    return StartStep(unit, cell.attempt + 1, cell.inputs or {}, due_at)


def _units(s: Scratch) -> Iterator[tuple[int, str, StepState]]:
    """List what may be in flight or wait: steps, items of fan-outs and rounds of loops that have no end."""
    for position, cell in enumerate(s.cells):
        if cell is None or s.closing >> position & 1 or position in s.open:
            continue
        name = s.plan.order[position]
        if isinstance(cell.items, Fan):
            if cell.status not in TERMINAL_STEP:
                for index in range(cell.items.started):
                    yield position, item_of(name, index), cell.items[index]
        else:
            yield position, round_of(name, cell.iteration) if cell.iteration else name, cell


def schedule(s: Scratch, unit: str, attempt: int, delay_s: float) -> ScheduleRetry:
    """Give the command for another attempt at a unit."""
    position, _, _ = s.find(unit)
    return ScheduleRetry(unit, attempt, delay_s, s.plan.step_at(position).retry.jitter)
