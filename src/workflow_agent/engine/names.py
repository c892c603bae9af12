"""What the expressions of a step can read.

Roots: `inputs`, `steps.<id>.status/output`, `state`, `run.id/workflow`; `failure.step/error` once something went wrong;
`item`, `index`, `total` in a fan-out; `iteration`, `previous` in a loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from workflow_agent.engine.breaking import changed_inputs
from workflow_agent.engine.tables import StepTable
from workflow_agent.model.errors import ExpressionError
from workflow_agent.model.expression import interpolate, parse
from workflow_agent.model.frozen import freeze

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflow_agent.engine.plan import StepPlan
    from workflow_agent.engine.scratch import Scratch
    from workflow_agent.model.event import StepState
    from workflow_agent.model.workflow import Step

__all__ = ["condition", "evaluated", "inputs_of", "names_of"]


class _Results(Mapping[str, Any]):
    """The root `steps`, made as it is read: most expressions read one step of many."""

    __slots__ = ("_steps",)

    def __init__(self, steps: Mapping[str, StepState]) -> None:
        self._steps = steps

    def __getitem__(self, name: str) -> dict[str, Any]:
        step = self._steps[name]
        return {"status": step.status.value, "output": step.output}

    def __iter__(self) -> Iterator[str]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)


def names_of(s: Scratch, position: int | None, **more: Any) -> dict[str, Any]:  # Any: JSON values
    """Give the roots for a step's expressions; those that it reads as a whole are plain."""
    whole = s.plan.readings[position].whole if position is not None else frozenset({"steps", "state"})
    results = _Results(StepTable(s.plan, s.cells))
    state = s.get("state")
    names: dict[str, Any] = {
        "inputs": s.base.inputs,
        "run": {"id": s.base.run_id, "workflow": s.base.workflow},
        "steps": dict(results) if "steps" in whole else results,
        "state": dict(state) if "state" in whole else state,
        **more,
    }
    if s.has_trouble:
        names["failure"] = {"step": s.get("failed_step"), "error": s.get("error")}
    return names


def inputs_of(s: Scratch, position: int, **more: Any) -> Mapping[str, Any]:  # Any: JSON values
    """Evaluate a step's `with`, as a value that nobody can change; raises ExpressionError at its place."""
    step = s.plan.step_at(position)
    if s.plan.readings[position].constant:
        return changed_inputs(s, step.id, step.with_)
    names = names_of(s, position, **more)
    inputs: Mapping[str, Any] = _at(s.plan, step, "with", lambda: interpolate(step.with_, names))
    return changed_inputs(s, step.id, freeze(inputs))


def condition(s: Scratch, position: int, key: str, text: str, **more: Any) -> bool:  # Any: JSON values
    """Evaluate a condition of a step; raises ExpressionError at its place."""
    names = names_of(s, position, **more)
    return bool(_at(s.plan, s.plan.step_at(position), key, lambda: parse(text).holds(names)))


def evaluated(s: Scratch, position: int, key: str, text: str) -> Any:  # Any: a JSON value
    """Evaluate an expression of a step; raises ExpressionError at its place."""
    names = names_of(s, position)
    return freeze(_at(s.plan, s.plan.step_at(position), key, lambda: parse(text).evaluate(names)))


def _at(plan: StepPlan, step: Step, key: str, evaluate: Callable[[], Any]) -> Any:
    try:
        return evaluate()
    except ExpressionError as error:
        parts = (plan.workflow.name, step.id, key, error.where)
        where = " › ".join(part for part in parts if part)  # the separator of all our places
        raise ExpressionError(
            error.message, where=where, cause=error.cause, hint=error.hint, details=error.details
        ) from error
