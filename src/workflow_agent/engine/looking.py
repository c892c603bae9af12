"""What a person sees of a run that stands still: where it is, what a step would be asked with. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.engine.names import evaluated, inputs_of
from workflow_agent.engine.plan import plan_of
from workflow_agent.engine.scratch import Scratch, Work
from workflow_agent.model.errors import ExpressionError, NotFoundError
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.model.event import RunState
    from workflow_agent.model.workflow import Workflow

__all__ = ["look"]


def look(workflow: Workflow, state: RunState, step: str | None = None) -> dict[str, Any]:
    """Give where a run stands, what it keeps, and the inputs that a step would have now.

    Args:
        workflow: The run's definition.
        state: Where it stands.
        step: The step; None: the one that it is paused before.

    Returns:
        ``run_id``, ``status``, ``paused`` (why), ``before`` (the step), ``breakpoints``, ``state``; and ``step`` with
        its ``status``, and ``inputs`` or ``problem`` (they have no value yet).

    Raises:
        NotFoundError: there is no such step.
    """
    work: Work = state.work
    breaks = work.breaks
    found: dict[str, Any] = {
        "run_id": state.run_id,
        "status": state.status.value,
        "paused": state.paused,
        "before": breaks and breaks.at,
        "breakpoints": sorted(breaks.before) if breaks else [],
        "state": dict(state.state),
        "step": None,
    }
    name = step or found["before"]
    if name is None:
        return found
    if name not in state.steps:
        raise NotFoundError(f"the run has no step `{name[:64]}`", hint=did_you_mean(name, state.steps))
    cell = state.steps[name]
    about = {"id": name, "status": cell.status.value, "output": cell.output, "inputs": None, "problem": None}
    try:
        about["inputs"] = cell.inputs or _inputs(workflow, state, name)
    except ExpressionError as error:
        about["problem"] = error.message
    return found | {"step": about}


def _inputs(workflow: Workflow, state: RunState, name: str) -> Mapping[str, Any]:
    plan = plan_of(workflow)
    s = Scratch(plan, state, state.head, 0.0)
    position = plan.index[name]
    step = plan.steps[name]
    if step.each is None:
        return inputs_of(s, position, **({"iteration": 1, "previous": None} if step.until else {}))
    values = evaluated(s, position, "each", step.each)
    if not isinstance(values, list | tuple):
        raise ExpressionError("`each` does not give a list")
    first = inputs_of(s, position, item=values[0], index=0, total=len(values)) if values else {}
    return {**first, "each": list(values)}
