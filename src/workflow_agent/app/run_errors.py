"""The end of a run that did not succeed, as the error that a caller gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.model.errors import (
    InterruptedRunError,
    RollbackIncompleteError,
    RolledBackError,
    RunFailedError,
    WorkflowAgentError,
    error_from_dict,
)
from workflow_agent.model.status import TERMINAL_RUN, RunStatus

if TYPE_CHECKING:
    from workflow_agent.model.event import RunState

__all__ = ["error_of_run"]

_NOTHING = "nothing was changed"
_IN_PLACE = "changes of the run are in place"
_TAKEN_BACK = "everything that the run changed was taken back"


def error_of_run(state: RunState) -> WorkflowAgentError:
    """Give the error of a finished run.

    Something is left: RollbackIncompleteError (10). Else, when it was cancelled: InterruptedRunError (130). Else, when
    it was taken back: RolledBackError (9). Else the error of the step that failed, with that error's exit code.
    """
    assert state.status in TERMINAL_RUN
    cause = error_from_dict(state.error) if state.error else RunFailedError(where=state.failed_step)
    if state.status is RunStatus.NEEDS_ATTENTION:
        return RollbackIncompleteError(
            f"the run failed and something is left: {cause.message}",
            where=cause.where or state.failed_step,
            cause=cause.cause,
            state=_IN_PLACE,
            hint=f"`workflow-agent show {state.run_id}` lists it",
            run_id=state.run_id,
            details=dict(state.error or {}),
        )
    if state.cancel_reason is not None:
        return InterruptedRunError(
            f"the run was cancelled: {state.cancel_reason}", run_id=state.run_id, state=_state_after(state)
        )
    if state.status is RunStatus.ROLLED_BACK:
        return RolledBackError(
            f"the run failed and was taken back: {cause.message}",
            where=cause.where or state.failed_step,
            cause=cause.cause,
            state=_TAKEN_BACK,
            hint=f"`workflow-agent show {state.run_id}` has the evidence",
            run_id=state.run_id,
            details=dict(state.error or {}),
        )
    cause.run_id = state.run_id
    cause.state = cause.state or _state_after(state)
    return cause


def _state_after(state: RunState) -> str:
    if state.status is RunStatus.ROLLED_BACK:
        return _TAKEN_BACK
    return _IN_PLACE if state.changed else _NOTHING
