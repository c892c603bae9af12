"""The end of a run that did not succeed, as the error that a caller gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.model.errors import (
    InterruptedRunError,
    NotFoundError,
    OutcomeUnknownError,
    RollbackIncompleteError,
    RolledBackError,
    RunFailedError,
    WorkflowAgentError,
    error_from_dict,
)
from workflow_agent.model.status import OWN_ACTION, TERMINAL_RUN, RunStatus

if TYPE_CHECKING:
    from workflow_agent.model.errors import StoreError
    from workflow_agent.model.event import RunState
    from workflow_agent.model.ports import History

__all__ = ["error_of_run", "without_end"]

#: While a run has one of these, nothing of its target was changed.
_BEFORE_COMMIT = frozenset({RunStatus.QUEUED, RunStatus.PLANNING, RunStatus.AWAITING_APPROVAL})
_NOTHING = "nothing was changed"
_IN_PLACE = "changes of the run are in place"
_TAKEN_BACK = "everything that the run changed was taken back"
_STEPS_STAY = "what its steps did stays, but for what their `undo` took back"


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
            state=_state_after(state),
            hint=f"`workflow-agent show {state.run_id}` has the evidence",
            run_id=state.run_id,
            details=dict(state.error or {}),
        )
    cause.run_id = state.run_id
    cause.state = cause.state or _state_after(state)
    return cause


async def without_end(error: StoreError, history: History, run_id: str, target: str) -> StoreError:
    """Say of a run that could not be written down any further where that leaves its target."""
    error.run_id = run_id
    status: str | None = None
    try:
        status = (await history.run(run_id))["status"]
    except NotFoundError:
        if not isinstance(error, OutcomeUnknownError):
            error.state = _NOTHING
            return error
    except WorkflowAgentError:  # nobody can look either
        pass
    began = "; what it had begun is still there" if status not in _BEFORE_COMMIT else f", {_NOTHING}"
    error.state = f"the run on `{target}` has no end{began}"
    error.hint = (
        f"once the database can be written again, `workflow-agent resume {run_id}` ends the run and takes back what it "
        "did; so does the next command that changes this target"
    )
    return error


def _state_after(state: RunState) -> str:
    if state.meta.get("action") == OWN_ACTION:
        return _STEPS_STAY
    if state.status is RunStatus.ROLLED_BACK:
        return _TAKEN_BACK
    return _IN_PLACE if state.changed else _NOTHING
