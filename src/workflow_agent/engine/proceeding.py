"""What comes next in a run: skip, start or finish. Pure, as the machine that calls it is.

What belongs here: choosing the next command from a state. What does not: which event may follow (``machine``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.engine.commands import Command, FailStep, FinishRun, RequestStep, SkipStep, StartStep
from workflow_agent.model.errors import ExpressionError, error_from_dict
from workflow_agent.model.event import RunState, StepState
from workflow_agent.model.expression import interpolate, parse
from workflow_agent.model.status import TERMINAL_STEP, RunStatus, StepStatus
from workflow_agent.model.workflow import EffectPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.engine.plan import Plan
    from workflow_agent.model.event import Event
    from workflow_agent.model.workflow import Step

__all__ = [
    "candidate",
    "has_trouble",
    "is_cancellable",
    "names_of",
    "proceed",
    "retry_delay",
    "with_step",
    "with_trouble",
]

_BAD = frozenset({StepStatus.FAILED, StepStatus.UNKNOWN, StepStatus.CANCELLED})
#: An error says nothing of another attempt.
_NOTHING_SAID: Final = object()


def candidate(plan: Plan, state: RunState) -> Step | None:
    """Find the first step without an end; None when all that are part of the run have one."""
    for step in plan.sequence:
        current = state.steps.get(step)
        if current is not None and current.status not in TERMINAL_STEP:
            return plan.steps[step]
    return None


def has_trouble(state: RunState) -> bool:
    """Say whether a step failed, time ran out or a cancel was requested."""
    return state.error is not None


def is_cancellable(plan: Plan, state: RunState) -> bool:
    """Say whether a cancel would have an effect: a main step is the candidate and nothing went wrong yet."""
    step = candidate(plan, state)
    return step is not None and step.id in plan.main and not has_trouble(state)


def with_step(state: RunState, step: str, current: StepState) -> RunState:
    """Replace the state of one step."""
    return replace(state, steps={**state.steps, step: current})


def with_trouble(plan: Plan, state: RunState, step: Step | None, error: Mapping[str, Any]) -> RunState:
    """Keep the first error; when a main step or a cancel brought it, the steps of `on_failure` join the run."""
    joining = () if step is not None and step.always else plan.on_failure
    return replace(
        state,
        failed_step=step.id if step else None,
        error=error,
        steps={**state.steps, **{name: StepState() for name in joining}},
    )


def retry_delay(plan: Plan, state: RunState, event: Event, status: StepStatus) -> float | None:
    """Give the pause in seconds before another attempt at the step that `event` failed, or None for no attempt.

    There is none when the outcome is unknown or cancelled, the run is ending, or the pause would outlast the time of
    the run. Else the agent that failed knows best: ``details.retry`` of its error is ``{"pause_s": seconds}`` or null.
    Where it says nothing, the step's policy counts: not for errors that are not retryable, and as often as it allows.
    """
    step = plan.steps[str(event.step)]
    is_main = step.id in plan.main
    if status is not StepStatus.FAILED or (is_main and has_trouble(state)):
        return None
    error: Mapping[str, Any] = event.data["error"]
    given = (error.get("details") or {}).get("retry", _NOTHING_SAID)
    delay = _pause_of(step, event.attempt, error) if given is _NOTHING_SAID else _given_pause(given)
    limit = plan.workflow.timeout_s
    if delay is not None and is_main and limit is not None and event.at + delay >= (state.started_at or 0.0) + limit:
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


def proceed(
    plan: Plan, state: RunState, at: float, *, attempt: int = 1, not_before: float | None = None
) -> tuple[RunState, tuple[Command, ...]]:
    """Choose the next command; a step that is requested without a record of its own is in flight from `at` on."""
    step = candidate(plan, state)
    if step is None:
        return state, (_finish(state),)
    names = names_of(state)
    try:
        reason = _skip_reason(plan, state, step, names) if attempt == 1 else None
        if reason is not None:
            return state, (SkipStep(step.id, reason),)
        inputs = _evaluated(plan, step, names)
    except ExpressionError as error:
        return state, (FailStep(step.id, error.to_dict()),)
    state = replace(state, status=step.phase)
    if step.effect is not EffectPolicy.AT_LEAST_ONCE or attempt > 1:
        return state, (StartStep(step.id, attempt, inputs, not_before),)
    running = StepState(status=StepStatus.RUNNING, attempt=attempt, started_at=at)
    return with_step(state, step.id, running), (RequestStep(step.id, attempt, inputs),)


def names_of(state: RunState) -> dict[str, Any]:
    """Give the roots that expressions can read: inputs, steps, run, and failure once something went wrong."""
    names: dict[str, Any] = {
        "inputs": state.inputs,
        "run": {"id": state.run_id, "workflow": state.workflow},
        "steps": {name: {"status": step.status.value, "output": step.output} for name, step in state.steps.items()},
    }
    if has_trouble(state):
        names["failure"] = {"step": state.failed_step, "error": state.error}
    return names


def _skip_reason(plan: Plan, state: RunState, step: Step, names: Mapping[str, Any]) -> str | None:
    if step.id in plan.main and has_trouble(state):
        return _why_left_out(state)
    if step.id in plan.on_failure:
        failed = next((name for name in plan.on_failure if state.steps[name].status in _BAD), None)
        if failed is not None:
            return f"`{failed}` did not succeed"
    if step.when is None:
        return None
    try:
        return None if parse(step.when).holds(names) else f"not when {step.when}"
    except ExpressionError as error:
        raise _placed(plan, step, "when", error) from error


def _why_left_out(state: RunState) -> str:
    if state.failed_step:
        return f"`{state.failed_step}` did not succeed"
    return "the run ran out of time" if state.cancel_reason is None else "the run was cancelled"


def _evaluated(plan: Plan, step: Step, names: Mapping[str, Any]) -> dict[str, Any]:
    try:
        inputs: dict[str, Any] = interpolate(step.with_, names)
    except ExpressionError as error:
        raise _placed(plan, step, "with", error) from error
    return inputs


def _placed(plan: Plan, step: Step, key: str, error: ExpressionError) -> ExpressionError:
    parts = (plan.workflow.name, step.id, key, error.where)
    where = " › ".join(part for part in parts if part)  # the separator of all our places
    return ExpressionError(error.message, where=where, cause=error.cause, hint=error.hint, details=error.details)


def _finish(state: RunState) -> FinishRun:
    changed = bool(state.changed)
    if not has_trouble(state):
        return FinishRun(RunStatus.SUCCEEDED, None, changed)
    default = RunStatus.FAILED if state.cancel_reason is None else RunStatus.CANCELLED
    outcome = state.outcome or default
    # A step of `on_failure` may find that all is well: then nothing went wrong in the end.
    return FinishRun(outcome, None if outcome is RunStatus.SUCCEEDED else state.error, changed)
