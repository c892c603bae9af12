"""A workflow prepared for running: its steps in the order in which they are considered."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from workflow_agent.model.errors import ValidationError
from workflow_agent.model.records import dataclass
from workflow_agent.model.sequence import stable_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.model.workflow import Step, Workflow

__all__ = ["Plan", "plan_of"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Ids in order: `main` steps, then `on_failure` (considered after a failure only), then `always`.

    `sequence` is all of them, in the order in which they are considered.
    """

    workflow: Workflow
    steps: Mapping[str, Step]
    main: tuple[str, ...]
    on_failure: tuple[str, ...]
    always: tuple[str, ...]
    sequence: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Same:
    """Key by identity: a workflow holds mappings and so has no hash; the reference keeps its identity alive."""

    workflow: Workflow

    def __hash__(self) -> int:
        return id(self.workflow)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.workflow is self.workflow


def plan_of(workflow: Workflow) -> Plan:
    """Order a workflow's steps.

    Raises:
        ValidationError: two steps have one id, or their needs form a cycle.
    """
    return _plan_of(_Same(workflow))


@lru_cache(maxsize=64)
def _plan_of(key: _Same) -> Plan:
    workflow = key.workflow
    steps: dict[str, Step] = {}
    for step in (*workflow.steps, *workflow.on_failure):
        if step.id in steps:
            raise ValidationError(f"two steps have the id `{step.id}`", where=f"workflow {workflow.name}")
        steps[step.id] = step
    main = _ordered([step for step in workflow.steps if not step.always])
    recovery = _ordered(workflow.on_failure)
    always = _ordered([step for step in workflow.steps if step.always])
    return Plan(workflow, steps, main, recovery, always, main + recovery + always)


def _ordered(steps: list[Step] | tuple[Step, ...]) -> tuple[str, ...]:
    return stable_order({step.id: step.needs for step in steps})
