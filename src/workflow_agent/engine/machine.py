"""The run as a state machine: ``(workflow, state, event) -> (state, commands)``.

Rules of this file: total, deterministic, synchronous. No clock, no randomness, no I/O: times and outcomes
arrive inside events. Every transition is in the table `_TRANSITIONS`; a missing key is the one error.

Theory of operation. Steps run one at a time. The *candidate* is the first step of the plan's sequence that has
no end yet; its status and the run's give the stage:

========== =======================================================================
stage      meaning
========== =======================================================================
absent     no event yet
created    RunCreated is there
between    no step is in flight: the candidate, if any, is to be skipped or started
in flight  the candidate was requested, or is about to be
to retry   the candidate failed and may be tried again
waiting    its next attempt has a due time
finished   RunFinished is there
========== =======================================================================

An event of a step must be of the candidate. After the first failure or a cancel (*trouble*) the main steps that
remain are skipped, the steps of `on_failure` join the run, and `always` steps run in every case. A step whose
effect must not repeat, and every attempt after the first, starts with a StepStarted of its own; others go in
flight with the event before them, so that the happy path costs one record per step.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from workflow_agent.engine.commands import (
    CancelStep,
    Command,
    RequestStep,
    ScheduleRetry,
    StartRun,
)
from workflow_agent.engine.plan import Plan, plan_of
from workflow_agent.engine.proceeding import (
    candidate,
    has_trouble,
    is_cancellable,
    proceed,
    retry_delay,
    with_step,
    with_trouble,
)
from workflow_agent.model.errors import InterruptedRunError, JournalConflictError
from workflow_agent.model.event import Event, EventType, RunState, StepState
from workflow_agent.model.status import TERMINAL_RUN, RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from workflow_agent.model.workflow import Workflow

    Decision: TypeAlias = tuple[RunState, tuple[Command, ...]]

__all__ = ["Stage", "decide", "fold", "replay", "stage_of", "transitions"]


class Stage(StrEnum):
    """Where a run stands, as the table of transitions knows it."""

    ABSENT = "absent"
    CREATED = "created"
    BETWEEN = "between"
    IN_FLIGHT = "in flight"
    TO_RETRY = "to retry"
    WAITING = "waiting"
    FINISHED = "finished"


def decide(workflow: Workflow, state: RunState | None, event: Event) -> Decision:
    """Apply one event and say what to do next: no command when the run is finished, else exactly one.

    Args:
        workflow: The definition that the run was created with.
        state: Result of the events before; None before the first.
        event: The next record of the journal.

    Raises:
        JournalConflictError: the event cannot follow, or lacks data of its type.
    """
    plan = plan_of(workflow)
    stage = stage_of(workflow, state)
    transition = _TRANSITIONS.get((stage, event.type))
    if transition is None:
        raise _illegal(event, f"{event.type} cannot follow while the run is {stage}")
    _check_place(plan, state, event)
    try:
        decided, commands = transition(plan, state or _created(plan, event), event)
    except (KeyError, TypeError, ValueError) as error:
        raise _illegal(event, f"{event.type} does not carry what it must: {error!r}") from error
    return replace(decided, head=event.seq), commands


def fold(workflow: Workflow, events: Iterable[Event]) -> RunState:
    """Give the state after a run's events; raises JournalConflictError, also when there are none."""
    return replay(workflow, events)[0]


def replay(workflow: Workflow, events: Iterable[Event]) -> Decision:
    """Give the state after a run's events and what was to be done then."""
    state: RunState | None = None
    commands: tuple[Command, ...] = ()
    for event in events:
        state, commands = decide(workflow, state, event)
    if state is None:
        raise JournalConflictError("the run has no events")
    return state, commands


def stage_of(workflow: Workflow, state: RunState | None) -> Stage:
    """Say which row of the table applies."""
    if state is None:
        return Stage.ABSENT
    if state.status in TERMINAL_RUN:
        return Stage.FINISHED
    if state.started_at is None:
        return Stage.CREATED
    step = candidate(plan_of(workflow), state)
    current = state.steps[step.id] if step else StepState()
    if current.status is StepStatus.WAITING:
        return Stage.TO_RETRY if current.due_at is None else Stage.WAITING
    return Stage.IN_FLIGHT if current.status is StepStatus.RUNNING else Stage.BETWEEN


def transitions() -> list[tuple[Stage, EventType]]:
    """List what the table allows, for diagrams and tests."""
    return list(_TRANSITIONS)


def _check_place(plan: Plan, state: RunState | None, event: Event) -> None:
    if event.seq != (state.head if state else 0) + 1:
        raise _illegal(event, f"record {event.seq} cannot follow record {state.head if state else 0}")
    if state is None:
        return
    if event.run_id != state.run_id:
        raise _illegal(event, f"the record belongs to the run {event.run_id}, not to {state.run_id}")
    step = candidate(plan, state)
    if event.type in _OF_STEPS and (step is None or step.id != event.step):
        raise _illegal(event, f"the next step is `{step.id if step else None}`, not `{event.step}`")
    if event.type is EventType.RUN_FINISHED and step is not None:
        raise _illegal(event, f"the run cannot end before `{step.id}`")


def _illegal(event: Event, message: str) -> JournalConflictError:
    where = f"run {event.run_id} › record {event.seq}"  # the separator of all our places
    return JournalConflictError(message, where=where, run_id=event.run_id)


def _created(plan: Plan, event: Event) -> RunState:
    return RunState(
        run_id=event.run_id,
        head=event.seq,
        status=RunStatus.QUEUED,
        workflow=plan.workflow.name,
        inputs=event.data.get("inputs", {}),
        steps={step: StepState() for step in (*plan.main, *plan.always)},
        meta=event.data.get("meta", {}),
        created_at=event.at,
    )


def _on_created(plan: Plan, state: RunState, _event: Event) -> Decision:
    step = candidate(plan, state)
    return state, (StartRun(step.phase if step else RunStatus.RUNNING),)


def _on_started(plan: Plan, state: RunState, event: Event) -> Decision:
    return proceed(plan, replace(state, started_at=event.at), event.at)


def _on_step_started(plan: Plan, state: RunState, event: Event) -> Decision:
    step = plan.steps[str(event.step)]
    before = state.steps[step.id]
    state = with_step(
        state,
        step.id,
        replace(before, status=StepStatus.RUNNING, attempt=event.attempt, started_at=event.at, due_at=None),
    )
    request = RequestStep(step.id, event.attempt, event.data.get("with", {}))
    return replace(state, status=step.phase), (request,)


def _on_step_succeeded(plan: Plan, state: RunState, event: Event) -> Decision:
    step = str(event.step)
    done = replace(
        state.steps[step],
        status=StepStatus(event.data.get("status", StepStatus.SUCCEEDED)),
        finished_at=event.at,
        output=event.data.get("output"),
        error=None,
    )
    state = with_step(state, step, done)
    if (changed := event.data.get("changed")) is not None:
        state = replace(state, changed=changed)
    if step in plan.on_failure and (given := event.data.get("run_status")) is not None:
        state = replace(state, outcome=RunStatus(given))
    return proceed(plan, state, event.at)


def _on_step_failed(plan: Plan, state: RunState, event: Event) -> Decision:
    step = plan.steps[str(event.step)]
    status = StepStatus(event.data.get("status", StepStatus.FAILED))
    error: dict[str, Any] = event.data["error"]
    failed = replace(
        state.steps[step.id],
        status=status,
        attempt=event.attempt,
        finished_at=event.at,
        error=error,
        reason=status.value if status is not StepStatus.FAILED else None,
    )
    delay = retry_delay(plan, state, event, status)
    if delay is not None:
        state = with_step(state, step.id, replace(failed, status=StepStatus.WAITING))
        return state, (ScheduleRetry(step.id, event.attempt + 1, delay),)
    state = with_step(state, step.id, failed)
    if step.id in plan.on_failure:
        # What was to take the effects back did not: no later step may say that all is well.
        state = replace(state, outcome=RunStatus.NEEDS_ATTENTION, error=error)
    elif not has_trouble(state):
        state = with_trouble(plan, state, step, error)
    return proceed(plan, state, event.at)


def _on_step_skipped(plan: Plan, state: RunState, event: Event) -> Decision:
    step = str(event.step)
    skipped = StepState(
        status=StepStatus.SKIPPED, finished_at=event.at, reason=str(event.data.get("reason", "")) or None
    )
    return proceed(plan, with_step(state, step, skipped), event.at)


def _on_retry_scheduled(plan: Plan, state: RunState, event: Event) -> Decision:
    step = plan.steps[str(event.step)]
    due_at = float(event.data["due_at"])
    state = with_step(state, step.id, replace(state.steps[step.id], due_at=due_at))
    # The expressions gave values once for this step, and nothing that they can read has changed since.
    state, commands = proceed(plan, state, event.at, attempt=event.attempt, not_before=due_at)
    return replace(state, status=RunStatus.WAITING), commands


def _on_cancel_requested(plan: Plan, state: RunState, event: Event) -> Decision:
    if not is_cancellable(plan, state):
        raise _illegal(event, "there is nothing left to cancel")
    step = candidate(plan, state)
    current = state.steps[step.id].status if step else StepStatus.PENDING
    error = event.data.get("error")
    reason = str(event.data.get("reason", ""))
    if error is None:
        state = replace(state, cancel_reason=reason)
    in_flight = current in {StepStatus.RUNNING, StepStatus.WAITING}
    state = with_trouble(plan, state, step if in_flight else None, error or _interrupted(reason))
    if step is not None and current is StepStatus.RUNNING:
        return state, (CancelStep(step.id, state.steps[step.id].attempt),)
    if step is not None and current is StepStatus.WAITING:
        given_up = replace(
            state.steps[step.id], status=StepStatus.CANCELLED, finished_at=event.at, reason=reason, due_at=None
        )
        state = with_step(state, step.id, given_up)
    return proceed(plan, state, event.at)


def _on_finished(_plan: Plan, state: RunState, event: Event) -> Decision:
    finished = replace(
        state,
        status=RunStatus(event.data["status"]),
        error=event.data.get("error"),
        changed=bool(event.data.get("changed")),
        finished_at=event.at,
    )
    return finished, ()


def _interrupted(reason: str) -> dict[str, Any]:
    return InterruptedRunError(cause=reason or None).to_dict()


_OF_STEPS = frozenset(
    {
        EventType.STEP_STARTED,
        EventType.STEP_SUCCEEDED,
        EventType.STEP_FAILED,
        EventType.STEP_SKIPPED,
        EventType.RETRY_SCHEDULED,
    },
)
_TRANSITIONS: dict[tuple[Stage, EventType], Callable[[Plan, RunState, Event], Decision]] = {
    (Stage.ABSENT, EventType.RUN_CREATED): _on_created,
    (Stage.CREATED, EventType.RUN_STARTED): _on_started,
    (Stage.BETWEEN, EventType.STEP_STARTED): _on_step_started,
    (Stage.BETWEEN, EventType.STEP_SKIPPED): _on_step_skipped,
    (Stage.BETWEEN, EventType.STEP_FAILED): _on_step_failed,
    (Stage.BETWEEN, EventType.CANCEL_REQUESTED): _on_cancel_requested,
    (Stage.BETWEEN, EventType.RUN_FINISHED): _on_finished,
    (Stage.IN_FLIGHT, EventType.STEP_SUCCEEDED): _on_step_succeeded,
    (Stage.IN_FLIGHT, EventType.STEP_FAILED): _on_step_failed,
    (Stage.IN_FLIGHT, EventType.CANCEL_REQUESTED): _on_cancel_requested,
    (Stage.TO_RETRY, EventType.RETRY_SCHEDULED): _on_retry_scheduled,
    (Stage.WAITING, EventType.STEP_STARTED): _on_step_started,
    (Stage.WAITING, EventType.CANCEL_REQUESTED): _on_cancel_requested,
}
