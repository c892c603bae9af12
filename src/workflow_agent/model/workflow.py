"""The one definition that every front end compiles to. Identity is the hash of its canonical JSON."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  # the annotations are read where a parsed definition is taken
from dataclasses import field
from enum import StrEnum
from typing import Any, Literal

from workflow_agent.model.frozen import empty, freeze, thaw
from workflow_agent.model.identity import content_hash
from workflow_agent.model.records import dataclass
from workflow_agent.model.status import RunStatus

__all__ = ["DEFAULT_PRIORITY", "Backoff", "Durability", "EffectPolicy", "InputSpec", "Step", "Workflow"]

#: Of 0 to 9: runs that say nothing are in the middle.
DEFAULT_PRIORITY = 5


class EffectPolicy(StrEnum):
    """What may happen to a step's effect when a crash leaves it in flight."""

    AT_LEAST_ONCE = "at_least_once"
    AT_MOST_ONCE = "at_most_once"
    TRANSACTIONAL = "transactional"


class Durability(StrEnum):
    """When a run's records reach the disk: before all that follows; while pure steps go on; when it ends or waits."""

    STRICT = "strict"
    PIPELINED = "pipelined"
    EXIT = "exit"


def _freeze_fields(record: object, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(record, name)
        frozen = freeze(value)
        if frozen is not value:
            object.__setattr__(record, name, frozen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Retries of a step: `attempts` in all, first pause `initial_s`, then times `factor`, at most `max_s`.

    `jitter` is the part of a pause, from 0 to 1, that chance may take away, so that many do not come back at once.
    """

    attempts: int = 1
    initial_s: float = 1.0
    factor: float = 2.0
    max_s: float = 60.0
    jitter: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Give the canonical form."""
        result: dict[str, Any] = {
            "attempts": self.attempts,
            "initial_s": self.initial_s,
            "factor": self.factor,
            "max_s": self.max_s,
        }
        return result | ({"jitter": self.jitter} if self.jitter else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """One declared input. `type` is one of any, string, integer, number, boolean, array, object."""

    type: str = "any"
    required: bool = False
    default: Any = None  # Any: a JSON value
    description: str = ""

    def __post_init__(self) -> None:
        """Let nobody change the default in place."""
        object.__setattr__(self, "default", freeze(self.default))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Unit of work.

    `uses` names an agent's verb (``executor.commit``). `with_` holds JSON values in which a text
    ``${{ expression }}`` is replaced by the expression's value. `needs` are step ids that must have
    ended well (succeeded, unchanged or skipped). `when` is an expression; false means skipped.
    `phase` is what the run is said to be doing meanwhile. `always` steps run at the end in every case.

    `each` is an expression that gives a list: the step runs once per item, at most `max_workers` at a time; its
    expressions see `item`, `index` and `total`, and its output is the list of outputs in the order of the items.
    `until` is an expression: the step runs again until it holds, at most `max_iterations` times; its expressions see
    `iteration` (from 1) and `previous` (output of the iteration before).
    `on_error`: after a failure the run fails, or goes on and shows the error. `join`: how many of the `needs` must
    have ended well before the step starts. `undo` is ``{"uses", "with"}``: asked for when the run fails or is
    cancelled after this step ended well, the step that ended last first.

    `edges` says for a need on which end of it the step follows: success, failure, skip, always, or the name of a case
    of a choice; without an entry, on any end that lets the run go on. A failure that an edge follows does not fail the
    run. `join_until` is an expression: the step starts as soon as it holds, looked at whenever one of its needs ends.
    `cancels` are steps and scopes that are stopped when this step has ended well. `enough` is an expression: a fan-out
    is done as soon as it holds (it sees `done`, `failed`, `total`); the `rest` of the items is stopped, or goes on to
    its end while those who wait for the step start. `grows`: `each` is evaluated again whenever something ended, and
    items that came to the end of the list are started too. `scope` is the step, a ``flow.scope``, to which this step
    belongs, as `part` of it. `lock` is a text: of all steps and scopes that say the same, in every run on the database,
    one is in flight at a time. `rate` is ``{"key", "limit", "per_s"}``: so many starts in such a time, in all runs.
    `pure`: the step has no effect but its output, so that it may begin before what led to it is on disk.
    """

    id: str
    uses: str
    with_: Mapping[str, Any] = field(default_factory=empty)
    needs: tuple[str, ...] = ()
    when: str | None = None
    timeout_s: float | None = None
    always: bool = False
    phase: RunStatus = RunStatus.RUNNING
    effect: EffectPolicy = EffectPolicy.AT_LEAST_ONCE
    retry: Backoff = field(default_factory=Backoff)
    description: str = ""
    each: str | None = None
    max_workers: int | None = None
    until: str | None = None
    max_iterations: int | None = None
    on_error: Literal["fail", "continue"] = "fail"
    join: Literal["all", "any"] | int = "all"
    undo: Mapping[str, Any] | None = None
    edges: Mapping[str, str] = field(default_factory=empty)
    join_until: str | None = None
    cancels: tuple[str, ...] = ()
    enough: str | None = None
    rest: Literal["stop", "finish"] = "stop"
    grows: bool = False
    scope: str | None = None
    part: Literal["body", "catch", "finally"] = "body"
    lock: str | None = None
    rate: Mapping[str, Any] | None = None
    pure: bool = False

    def __post_init__(self) -> None:
        """Let nobody change in place what identity is a hash of."""
        _freeze_fields(self, ("with_", "undo", "edges", "rate"))

    def to_dict(self) -> dict[str, Any]:
        """Give the canonical form: keys as in YAML, defaults left out, description left out."""
        result: dict[str, Any] = {"id": self.id, "uses": self.uses}
        if self.with_:
            result["with"] = thaw(dict(self.with_))
        if self.needs:
            result["needs"] = list(self.needs)
        optional: dict[str, Any] = {"when": self.when, "timeout_s": self.timeout_s}
        result |= {key: value for key, value in optional.items() if value is not None}
        if self.always:
            result["always"] = True
        if self.phase is not RunStatus.RUNNING:
            result["phase"] = self.phase.value
        if self.effect is not EffectPolicy.AT_LEAST_ONCE:
            result["effect"] = self.effect.value
        if self.retry != Backoff():
            result["retry"] = self.retry.to_dict()
        return result | self._flow()

    def _flow(self) -> dict[str, Any]:
        # Keys that came later: absent where they say nothing, so that the hash of what was written before stays.
        optional: dict[str, Any] = {
            "each": self.each,
            "max_workers": self.max_workers,
            "until": self.until,
            "max_iterations": self.max_iterations,
            "on_error": None if self.on_error == "fail" else self.on_error,
            "join": None if self.join == "all" else self.join,
            "undo": None if self.undo is None else thaw(dict(self.undo)),
            "edges": dict(self.edges) or None,
            "join_until": self.join_until,
            "cancels": list(self.cancels) or None,
            "enough": self.enough,
            "rest": None if self.rest == "stop" else self.rest,
            "grows": self.grows or None,
            "scope": self.scope,
            "part": None if self.part == "body" else self.part,
            "lock": self.lock,
            "rate": None if self.rate is None else dict(self.rate),
            "pure": self.pure or None,
        }
        return {key: value for key, value in optional.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """Named, versioned, immutable definition.

    A step runs when its `needs`, and the steps that its expressions read, have ended; steps for which that holds run
    at the same time, at most `max_workers` of them. When a step fails, is refused or the run is cancelled, what ended
    well is undone where it says how, then the steps of `on_failure` run in order (they see ``failure.step`` and
    ``failure.error``), then the `always` steps. `output` is an expression for the run's result; without it, that is
    the output of the last step.

    `concurrency` is ``{"key", "limit", "on_conflict"}``: so many runs with the same key at the same time, of whatever
    workflow; one more waits, is refused, or cancels the oldest. Those that wait begin by `priority` (0 to 9, the
    highest first), then by age. `schedule` lists ``{"cron", "timezone", "catch_up", "overlap", "inputs"}``: when runs
    begin by themselves.
    `durability` is what runs have that do not say otherwise.
    """

    name: str
    version: str
    steps: tuple[Step, ...]
    on_failure: tuple[Step, ...] = ()
    inputs: Mapping[str, InputSpec] = field(default_factory=empty)
    timeout_s: float | None = None
    description: str = ""
    output: str | None = None
    max_workers: int | None = None
    concurrency: Mapping[str, Any] | None = None
    priority: int = DEFAULT_PRIORITY
    schedule: tuple[Mapping[str, Any], ...] = ()
    durability: Durability = Durability.STRICT

    def __post_init__(self) -> None:
        """Let nobody change in place what identity is a hash of."""
        _freeze_fields(self, ("inputs", "concurrency"))
        if self.schedule:
            object.__setattr__(self, "schedule", tuple(map(freeze, self.schedule)))

    def to_dict(self) -> dict[str, Any]:
        """Give the canonical form, the one that is hashed, stored and shown."""
        result: dict[str, Any] = {
            "schema": "workflow-agent/workflow/1",
            "name": self.name,
            "version": self.version,
            "steps": [step.to_dict() for step in self.steps],
        }
        if self.inputs:
            result["inputs"] = {
                name: {"type": spec.type, "required": spec.required, "default": thaw(spec.default)}
                for name, spec in self.inputs.items()
            }
        if self.on_failure:
            result["on_failure"] = [step.to_dict() for step in self.on_failure]
        optional: dict[str, Any] = {
            "timeout_s": self.timeout_s,
            "output": self.output,
            "max_workers": self.max_workers,
            "concurrency": None if self.concurrency is None else thaw(dict(self.concurrency)),
            "priority": None if self.priority == DEFAULT_PRIORITY else self.priority,
            "durability": None if self.durability is Durability.STRICT else self.durability.value,
            "schedule": [thaw(dict(each)) for each in self.schedule] or None,
        }
        return result | {key: value for key, value in optional.items() if value is not None}

    @property
    def hash(self) -> str:
        """Identity: SHA-256 (hex) of the canonical JSON."""
        return content_hash(self.to_dict())
