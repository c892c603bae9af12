"""Steps that run another workflow: ``uses: workflow.run`` with ``{"workflow": name, "inputs": {…}}``.

The other run has an id of its own, which follows from the parent's id and the step's identity: after a crash the same
run is taken up again, not a second one. Its `meta` names the parent. When the step is cancelled, so is the run.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Protocol

from workflow_agent.model.errors import (
    InterruptedRunError,
    NotFoundError,
    RunFailedError,
    ValidationError,
    WorkflowAgentError,
    error_from_dict,
)
from workflow_agent.model.identity import ulid
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.engine.live import Answer, Flight, LiveRun
    from workflow_agent.model.event import RunState
    from workflow_agent.model.workflow import Workflow

__all__ = ["Children", "WorkflowSource"]

#: Length of ``r-`` and of the part of a ULID that is its time.
_TIME_CHARS = 12


class WorkflowSource(Protocol):
    """Gives workflows by name; a catalogue is one."""

    def get(self, name: str) -> Workflow:
        """Give a workflow; raises NotFoundError."""
        ...


class _Runner(Protocol):
    async def run_child(self, workflow: Workflow, inputs: Mapping[str, Any], parent: Mapping[str, Any]) -> RunState: ...

    async def cancel(self, run_id: str, reason: str) -> bool: ...


class Children:
    """Runs other workflows for steps.

    Args:
        runner: The driver.
        source: Where workflows are found; None: there are none.
    """

    def __init__(self, runner: _Runner, source: WorkflowSource | None) -> None:
        self._runner = runner
        self._source = source

    def run_id(self, run: LiveRun, unit: str) -> str:
        """Give the id of the run that carries a unit out: it sorts beside its parent."""
        digest = hashlib.sha256(f"{run.run_id}\0{unit}".encode()).digest()
        return run.run_id[:_TIME_CHARS] + ulid(0, digest)[10:]

    async def answer(self, run: LiveRun, flight: Flight, inputs: Mapping[str, Any]) -> Answer:
        """Run the workflow to its end; gives ``{run_id, status, output}``, or why it did not succeed."""
        assert flight.child is not None
        try:
            workflow = self._workflow(inputs)
            parent = {"run_id": run.run_id, "step": flight.unit, "child": flight.child}
            state = await self._runner.run_child(workflow, inputs.get("inputs") or {}, parent)
        except WorkflowAgentError as error:
            return error
        if state.status is RunStatus.SUCCEEDED:
            return {"run_id": state.run_id, "status": state.status.value, "output": state.output}
        return _problem(state)

    async def cancel(self, run_id: str, reason: str) -> bool:
        """Cancel the run; False when it has ended, or did not begin."""
        try:
            await self._runner.cancel(run_id, reason)
        except NotFoundError:
            return False
        return True

    def _workflow(self, inputs: Mapping[str, Any]) -> Workflow:
        name = inputs.get("workflow")
        if not isinstance(name, str) or not isinstance(inputs.get("inputs") or {}, dict):
            raise ValidationError("`workflow.run` takes `workflow`, a name, and `inputs`, an object")
        if self._source is None:
            raise NotFoundError(f"there is no workflow `{name}` here")
        return self._source.get(name)


def _problem(state: RunState) -> WorkflowAgentError:
    if state.status is RunStatus.CANCELLED:
        return InterruptedRunError(f"the run {state.run_id} was cancelled", cause=state.cancel_reason)
    cause = error_from_dict(state.error).message if state.error else None
    return RunFailedError(
        f"the run {state.run_id} ended as {state.status.value}",
        cause=cause,
        hint=f"`workflow-agent show {state.run_id}` tells more",
        details={"child": state.run_id, "status": state.status.value},
    )
