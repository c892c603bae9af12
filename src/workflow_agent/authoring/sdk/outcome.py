"""The result of a run, as the person who wrote the workflow thinks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.authoring.flow_lowering import GUARD_SUFFIX, PYTHON
from workflow_agent.model.frozen import thaw
from workflow_agent.model.status import StepStatus

if TYPE_CHECKING:
    from workflow_agent.model.event import RunState
    from workflow_agent.model.workflow import Step, Workflow

__all__ = ["result_of", "value_of"]

_WELL = frozenset({StepStatus.SUCCEEDED, StepStatus.UNCHANGED})


def value_of(step: Step, output: Any) -> Any:  # Any: a JSON value
    """Give what a step returned: of a Python step its value, of another one its output."""
    if step.uses != PYTHON or output is None:
        return output
    if step.each is not None:
        return [None if each is None else each["value"] for each in output]
    return output["value"]


def result_of(workflow: Workflow, state: RunState) -> Any:  # Any: a JSON value
    """Give the run's result: what its `output` says, else what the last step returned that ended well.

    It belongs to whoever asks, and can be changed.
    """
    if workflow.output is not None:
        return thaw(state.output)
    for step in reversed(workflow.steps):
        current = state.steps.get(step.id)
        if step.always or step.id.endswith(GUARD_SUFFIX) or current is None or current.status not in _WELL:
            continue
        return thaw(value_of(step, current.output))
    return None
