"""The shape of a workflow definition as people write it: keys, types, ranges.

What belongs here: what one key alone must satisfy. What does not: what holds between keys
(``workflow_soundness``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from workflow_agent.model.status import RunStatus
from workflow_agent.model.workflow import DEFAULT_PRIORITY, Backoff, Durability, EffectPolicy, InputSpec, Step, Workflow

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ConcurrencyDefinition",
    "InputDefinition",
    "RateDefinition",
    "RetryDefinition",
    "ScheduleDefinition",
    "StepDefinition",
    "UndoDefinition",
    "WorkflowDefinition",
    "keys_at",
    "seconds",
]

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_YEAR_S = 366 * _UNIT_S["d"]


def seconds(value: Any) -> Any:  # Any: what the text says; what is no text is left to the field's type
    """Read a duration: a number of seconds, or a text such as ``90s``, ``10m``, ``1.5h``.

    Raises:
        ValueError: a text is no duration.
    """
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError("a duration is a number of seconds, or a number with ms, s, m, h or d, such as `90s`")
    return float(match[1]) * _UNIT_S[match[2]]


_Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, le=_YEAR_S)]
_Verb = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}\.[a-z][a-z0-9-]{0,63}$")]
_Workers = Annotated[int, Field(ge=1, le=10_000)]
_Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]


class _Definition(BaseModel):
    # Strict: "5" is no number and 1 is no boolean; what people see in the file is what runs.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class InputDefinition(_Definition):
    """One declared input."""

    type: Literal["any", "string", "integer", "number", "boolean", "array", "object"] = "any"
    required: bool = False
    default: Any = None  # Any: a JSON value
    description: str = ""

    def build(self) -> InputSpec:
        """Give the model's form."""
        return InputSpec(type=self.type, required=self.required, default=self.default, description=self.description)


class RetryDefinition(_Definition):
    """When a failed step is tried again."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 1
    initial_s: _Seconds = 1.0
    factor: Annotated[float, Field(ge=1, le=100)] = 2.0
    max_s: _Seconds = 60.0
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.0

    def build(self) -> Backoff:
        """Give the model's form."""
        return Backoff(
            attempts=self.attempts,
            initial_s=self.initial_s,
            factor=self.factor,
            max_s=self.max_s,
            jitter=self.jitter,
        )


class UndoDefinition(_Definition):
    """What takes a step's effect back."""

    uses: _Verb
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")  # Any: JSON values

    def build(self) -> dict[str, Any]:
        """Give the model's form."""
        return {"uses": self.uses} | ({"with": self.with_} if self.with_ else {})


_End = Annotated[str, Field(min_length=1, max_length=64)]
_Key = Annotated[str, Field(min_length=1, max_length=512)]


class RateDefinition(_Definition):
    """How often steps may start."""

    key: _Key
    limit: Annotated[int, Field(ge=1, le=1_000_000)]
    per_s: _Seconds

    def build(self) -> dict[str, Any]:
        """Give the model's form."""
        return {"key": self.key, "limit": self.limit, "per_s": self.per_s}


class ConcurrencyDefinition(_Definition):
    """How many runs with one key there may be at the same time."""

    key: _Key
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1
    on_conflict: Literal["wait", "cancel-oldest", "refuse"] = "wait"

    def build(self) -> dict[str, Any]:
        """Give the model's form."""
        return {"key": self.key, "limit": self.limit, "on_conflict": self.on_conflict}


class ScheduleDefinition(_Definition):
    """When runs begin by themselves."""

    cron: Annotated[str, Field(min_length=1, max_length=200)]
    timezone: Annotated[str, Field(min_length=1, max_length=64)] = "UTC"
    catch_up: Literal["none", "latest", "all"] = "none"
    overlap: Literal["skip", "queue", "allow", "cancel"] = "skip"
    inputs: dict[str, Any] = Field(default_factory=dict)  # Any: JSON values

    def build(self) -> dict[str, Any]:
        """Give the model's form, in which everything is said."""
        return {
            "cron": " ".join(self.cron.split()),
            "timezone": self.timezone,
            "catch_up": self.catch_up,
            "overlap": self.overlap,
            "inputs": self.inputs,
        }


def _canonical(uses: str, inputs: dict[str, Any]) -> Mapping[str, Any]:
    """Give a step's inputs as every form writes them: an agent without what is as it would be if it were left out."""
    if uses != "model.act":
        return inputs
    from workflow_agent.authoring.agent_parts import canonical_inputs  # noqa: PLC0415  # late: few steps do

    return canonical_inputs(inputs)


class StepDefinition(_Definition):
    """One step."""

    id: _Id
    uses: _Verb
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")  # Any: JSON values
    needs: list[str] = Field(default_factory=list)
    when: str | None = None
    timeout_s: _Seconds | None = None
    always: bool = False
    phase: Literal["planning", "awaiting-approval", "running", "waiting", "verifying", "rolling-back"] = "running"
    effect: Literal["at_least_once", "at_most_once", "transactional"] = "at_least_once"
    retry: RetryDefinition = Field(default_factory=RetryDefinition)
    description: str = ""
    each: str | None = None
    max_workers: _Workers | None = None
    until: str | None = None
    max_iterations: Annotated[int, Field(ge=1, le=100_000)] | None = None
    on_error: Literal["fail", "continue"] = "fail"
    join: Literal["all", "any"] | Annotated[int, Field(ge=1)] = "all"
    undo: UndoDefinition | None = None
    edges: dict[str, _End] = Field(default_factory=dict)
    join_until: str | None = None
    cancels: list[str] = Field(default_factory=list)
    enough: str | None = None
    rest: Literal["stop", "finish"] = "stop"
    grows: bool = False
    scope: str | None = None
    part: Literal["body", "catch", "finally"] = "body"
    lock: _Key | None = None
    rate: RateDefinition | None = None
    pure: bool = False

    def build(self) -> Step:
        """Give the model's form."""
        return Step(
            id=self.id,
            uses=self.uses,
            with_=_canonical(self.uses, self.with_),
            needs=tuple(self.needs),
            when=self.when,
            timeout_s=self.timeout_s,
            always=self.always,
            phase=RunStatus(self.phase),
            effect=EffectPolicy(self.effect),
            retry=self.retry.build(),
            description=self.description,
            each=self.each,
            max_workers=self.max_workers,
            until=self.until,
            max_iterations=self.max_iterations,
            on_error=self.on_error,
            join=self.join,
            undo=self.undo.build() if self.undo else None,
            edges=self.edges,
            join_until=self.join_until,
            cancels=tuple(self.cancels),
            enough=self.enough,
            rest=self.rest,
            grows=self.grows,
            scope=self.scope,
            part=self.part,
            lock=self.lock,
            rate=self.rate.build() if self.rate else None,
            pure=self.pure,
        )


class WorkflowDefinition(_Definition):
    """A whole definition."""

    schema_: Literal["workflow-agent/workflow/1"] = Field(default="workflow-agent/workflow/1", alias="schema")
    name: _Id
    version: Annotated[str, Field(min_length=1, max_length=64)]
    description: str = ""
    inputs: dict[str, InputDefinition] = Field(default_factory=dict)
    timeout_s: _Seconds | None = None
    steps: Annotated[list[StepDefinition], Field(min_length=1, max_length=10_000)]
    on_failure: list[StepDefinition] = Field(default_factory=list, max_length=1000)
    output: str | None = None
    max_workers: _Workers | None = None
    concurrency: ConcurrencyDefinition | None = None
    priority: Annotated[int, Field(ge=0, le=9)] = DEFAULT_PRIORITY
    schedule: list[ScheduleDefinition] = Field(default_factory=list, max_length=100)
    durability: Literal["strict", "pipelined", "exit"] = "strict"

    def build(self) -> Workflow:
        """Give the model's form."""
        return Workflow(
            name=self.name,
            version=self.version,
            description=self.description,
            inputs={name: definition.build() for name, definition in self.inputs.items()},
            timeout_s=self.timeout_s,
            steps=tuple(step.build() for step in self.steps),
            on_failure=tuple(step.build() for step in self.on_failure),
            output=self.output,
            max_workers=self.max_workers,
            concurrency=self.concurrency.build() if self.concurrency else None,
            priority=self.priority,
            schedule=tuple(each.build() for each in self.schedule),
            durability=Durability(self.durability),
        )


#: Keys of a scope as it is written: lists of steps.
_NESTED = ("steps", "catch", "finally")


def keys_at(way: tuple[str | int, ...]) -> list[str]:
    """List the keys that a definition knows at a place."""
    match way:
        case ():
            model: type[_Definition] = WorkflowDefinition
        case (*_, int(), "retry"):
            model = RetryDefinition
        case (*_, int(), "undo"):
            model = UndoDefinition
        case (*_, int(), "rate"):
            model = RateDefinition
        case ("concurrency",):
            model = ConcurrencyDefinition
        case ("schedule", int()):
            model = ScheduleDefinition
        case (*_, int()):
            return [*_keys(StepDefinition), *_NESTED]
        case _:
            model = InputDefinition
    return _keys(model)


def _keys(model: type[_Definition]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
