"""A workflow as its author thinks of it, whatever it was written in: the form that every front end gives.

``flow_lowering`` turns it into the model's; so the same workflow has the same hash in all forms.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from workflow_agent.model.records import dataclass
from workflow_agent.model.workflow import Durability

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.model.workflow import Backoff, InputSpec

__all__ = ["Flow", "FlowStep", "StepSource"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStep:
    """One step: either an agent's verb (`uses`) or a Python callable (`function`, ``module:qualname``).

    Attributes:
        id: Unique in the flow.
        where: Place for errors: ``file:line`` of the function, or of the text.
        with_: Inputs of the verb; for a callable, arguments by name.
        needs: Steps that come before.
        when: An expression; for a callable condition `has_guard` is set instead.
        has_guard: Python decides whether the step runs: the callable's own ``when``.
        is_method: The callable is a method of the workflow's class.
        parallel: The step runs once per item: of `each` (an expression), of the list that the step before gave
            (`dynamic`), or `max_workers` times.
        reduce: It takes the list of results of a parallel step.
        pure: It has no effect but its result.
        credentials: Sets of variables of the settings that it sees in its environment.
        more: Further keys of the model's step, by their names there: edges, joins, loops, scopes, locks and the like.
    """

    id: str
    where: str = ""
    uses: str | None = None
    function: str | None = None
    with_: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON values
    needs: tuple[str, ...] = ()
    when: str | None = None
    has_guard: bool = False
    is_method: bool = False
    timeout_s: float | None = None
    retry: Backoff | None = None
    carry_on: bool = False
    always: bool = False
    parallel: bool = False
    dynamic: bool = False
    reduce: bool = False
    each: str | None = None
    max_workers: int | None = None
    pure: bool = False
    credentials: tuple[str, ...] = ()
    description: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)  # Any: as the model has them


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A workflow before it is checked. `inputs` None means: whatever is given, as one object.

    `more` are further keys of the model's workflow: `concurrency`, `priority`, `schedule`, `max_workers`.
    """

    name: str
    version: str = "1"
    where: str = ""
    description: str = ""
    steps: tuple[FlowStep, ...] = ()
    on_failure: tuple[FlowStep, ...] = ()
    inputs: Mapping[str, InputSpec] | None = None
    timeout_s: float | None = None
    durability: Durability = Durability.STRICT
    retry: Backoff | None = None
    more: Mapping[str, Any] = field(default_factory=dict)  # Any: as the model has them


class StepSource:
    """What stands for a step in a workflow's class without being a method of it."""

    def flow_steps(self) -> Iterator[FlowStep]:
        """Give the step, and after it all that it holds."""
        raise NotImplementedError
