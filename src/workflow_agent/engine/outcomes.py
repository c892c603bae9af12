"""How it is written down that a unit failed, or that a run is told to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.engine.commands import CancelStep, RequestStep
from workflow_agent.engine.live import Draft, Flight
from workflow_agent.engine.plan import CHILD
from workflow_agent.engine.reply import records_of_error
from workflow_agent.engine.units import parse_unit
from workflow_agent.model.errors import (
    DeadlineExceededError,
    InterruptedRunError,
    NoResponderError,
    StepFailedError,
    StepTimeoutError,
    UnreachableError,
)
from workflow_agent.model.event import EventType
from workflow_agent.model.status import RunStatus, StepStatus
from workflow_agent.model.workflow import EffectPolicy

if TYPE_CHECKING:
    from workflow_agent.engine.commands import Command
    from workflow_agent.engine.live import LiveRun
    from workflow_agent.model.errors import WorkflowAgentError
    from workflow_agent.model.workflow import Step

__all__ = ["cancelled", "failed", "lost", "never_began", "out_of_time", "outcome_of", "run_time"]


def lost(run: LiveRun, command: Command) -> Draft | None:
    """Draft the failure of a unit that a crash left in flight; None where it can be asked for again."""
    if not isinstance(command, (RequestStep, CancelStep)):
        return None
    step = run.plan.steps[parse_unit(command.step)[0]]
    if step.effect is EffectPolicy.AT_LEAST_ONCE or step.uses == CHILD:
        return None
    error = StepFailedError(f"`{command.step}` was in flight when the process ended; what it did is not known")
    return failed(run, Flight(command.step, step, command.attempt), error, StepStatus.UNKNOWN)


def failed(run: LiveRun, flight: Flight, error: WorkflowAgentError, status: StepStatus) -> Draft:
    """Draft that a unit failed, with its place, and with its start for history."""
    data, records = records_of_error(error)
    place = " › ".join((run.workflow.name, flight.unit, f"attempt {flight.attempt}"))  # as in all places
    located = data | {"where": data["where"] or place, "run_id": run.run_id}
    return Draft(
        type=EventType.STEP_FAILED,
        step=flight.unit,
        attempt=flight.attempt,
        data={"error": located, "status": status.value, "started_at": run.cell(flight.unit).started_at},
        records=records,
    )


def outcome_of(run: LiveRun, unit: str, step: Step, error: WorkflowAgentError) -> StepStatus:
    """Say how a unit ended that was answered with an error."""
    if isinstance(error, InterruptedRunError) and run.is_told_to_stop(unit):
        return StepStatus.CANCELLED
    is_vague = isinstance(error, (UnreachableError, DeadlineExceededError)) and not isinstance(error, NoResponderError)
    if is_vague and step.effect is not EffectPolicy.AT_LEAST_ONCE:
        return StepStatus.UNKNOWN
    return StepStatus.FAILED


def cancelled(run: LiveRun) -> Draft:
    """Draft that somebody asked for a cancel."""
    return Draft(type=EventType.CANCEL_REQUESTED, data={"reason": run.cancel_reason})


def never_began(run: LiveRun) -> Draft:
    """Draft that a run was cancelled while it waited for its place: it did nothing, and nothing is to be done."""
    error = InterruptedRunError(cause=run.cancel_reason or None).to_dict()
    data = {"status": RunStatus.CANCELLED.value, "error": error, "changed": False, "reason": run.cancel_reason}
    return Draft(type=EventType.RUN_FINISHED, data=data)


def out_of_time(error: StepTimeoutError) -> Draft:
    """Draft that a run stops because time is over."""
    data = {"reason": error.message, "error": error.to_dict()}
    return Draft(type=EventType.CANCEL_REQUESTED, data=data)


def run_time(run: LiveRun) -> str:
    """Say that a run's time is over."""
    return f"the run took longer than {run.workflow.timeout_s or 0:g} s"
