"""Journal records of a run, and the frozen snapshot that they fold to (the fold is in ``engine``)."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from workflow_agent.model.frozen import FrozenDict, empty, freeze
from workflow_agent.model.records import dataclass
from workflow_agent.model.status import RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Event", "EventType", "Record", "RecordKind", "RunState", "Snapshot", "StepState"]

_set = object.__setattr__


class EventType(StrEnum):
    """What happened, in the past tense."""

    RUN_CREATED = "RunCreated"
    RUN_STARTED = "RunStarted"
    STEP_STARTED = "StepStarted"
    STEP_SUCCEEDED = "StepSucceeded"
    STEP_FAILED = "StepFailed"
    STEP_SKIPPED = "StepSkipped"
    RETRY_SCHEDULED = "RetryScheduled"
    CANCEL_REQUESTED = "CancelRequested"
    ITEMS_SUCCEEDED = "ItemsSucceeded"
    SIGNAL_RECEIVED = "SignalReceived"
    RUN_PAUSED = "RunPaused"
    RUN_RESUMED = "RunResumed"
    SCOPE_STOPPED = "ScopeStopped"
    RUN_CHANGED = "RunChanged"
    RUN_FINISHED = "RunFinished"


class RecordKind(StrEnum):
    """Kinds of records that an agent's reply may carry into history (see ``docs/history.md``)."""

    DEFINITION = "definition"  # {"hash", "definition"}: of the workflow, with RunCreated; kept once per hash
    SUBJECT = "subject"  # {"integration", "version", and what its rollback needs}: what the run is about
    SCRIPT = "script"  # text with secrets masked, its provenance and hash
    FINDING = "finding"  # of the validator
    OUTPUT = "output"  # {"path": artifact, "bytes": n, "truncated": bool, "problem": text|null, "tail": [lines]}
    ATTEMPT = "attempt"  # a failed one: {"step", "attempt", "class", "decision", "cause", "folder" of evidence, …}
    CHANGE_SET = "change-set"  # summary + every change
    CHECK = "check"  # one check result
    TRANSACTION = "transaction"  # {"transaction": id, "state": ..., "target": ...}
    GENERATION = "generation"  # what is installed from now on
    GENERATION_ENDED = "generation-ended"  # {"generation": run id, "reason": ...}
    ADOPTED = "adopted"  # {"integration", "version", "required_by", "checks"}: works, but is not of our making
    BROKEN = "broken"  # {"reason", "missing", "checks", "drift"}: what a run found that it is there to put right
    DRIFT = "drift"  # {"integration", "items", "compared", "reason"}: where a target is not as it was left
    ACCURACY = "accuracy"  # {"integration", "transaction", "planned", "items", "compared"}: where a plan was not met
    COPIED = "copied"  # {"target", "transaction", "items"}: data that were copied before they could change
    RUNNING = "running"  # {"items", "stays"}: what services changed beside files, and what of it a rollback left
    DECISION = "decision"  # {"path", "decision", "group", "records", "aside"}: which side of a conflict won
    PRUNED = "pruned"  # {"transaction", "target", "bytes"}: its before-images were given up by this run
    REMAINDER = "remainder"  # {"items", "compared"}: what is not as before after a rollback that was not exact
    UNDONE = "undone"  # {"run": run id}: that run is rolled back by this one
    REDONE = "redone"  # {"run": run id}: that rolled-back run is in force again
    CHANGED = "changed"  # {"break_before"?, "with"?, "state"?, "by"}: what a person changed in a run that stood still
    LOG = "log"  # {"at", "step", "level", "message", "attempt"}: what a step of a person's own workflow said
    TOOL_CALL = "tool-call"  # {"at", "step", "attempt", "agent", "turn", "tool", "arguments", "result", "is_error", …}
    METRIC = "metric"  # {"at", "step", "name", "value", "tags"}: what such a step measured


@dataclass(frozen=True, slots=True)
class Record:
    """Something that history keeps in a table of its own, written in the same transaction as the event."""

    kind: str
    data: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Let nobody change the data in place."""
        _set(self, "data", freeze(self.data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One journal record. `seq` counts from 1 within the run; `at` is UTC seconds since the epoch.

    `data` by type: RunCreated ``{workflow, workflow_hash, inputs, meta, origin?, kept?, break_before?}`` (what a run
    that is made from another one keeps of it) · RunStarted ``{phase}`` · StepStarted ``{with, phase}`` ·
    StepSucceeded ``{output, status, started_at, run_status?, changed?}`` · StepFailed ``{error, status, started_at?}``
    (failed, cancelled or unknown) · StepSkipped ``{reason}`` · RetryScheduled ``{due_at}`` (its attempt is the next) ·
    CancelRequested ``{reason, error?}`` (with an error it was a time-out) ·
    ItemsSucceeded ``{items: [[index, output], …]}`` · SignalReceived ``{name, data}`` · RunPaused ``{reason, before?}``
    (a breakpoint) · RunResumed ``{step?}`` · RunChanged ``{break_before?, with?, state?}`` ·
    ScopeStopped ``{error}`` (its time is over) ·
    RunFinished ``{status, error, changed, output?}``.

    `step` is an identity: a step's id, with ``[3]`` for an item, ``#2`` for an iteration, ``~undo`` for what takes it
    back.
    """

    run_id: str
    seq: int
    type: EventType
    at: float
    step: str | None = None
    attempt: int = 1
    data: Mapping[str, Any] = field(default_factory=empty)
    records: tuple[Record, ...] = ()

    def __post_init__(self) -> None:
        """Let nobody change the data in place: what a run's state holds is parts of them."""
        if self.data.__class__ is not FrozenDict:
            _set(self, "data", freeze(self.data))

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON form, without the records."""
        return {
            "run_id": self.run_id,
            "seq": self.seq,
            "type": self.type.value,
            "at": self.at,
            "step": self.step,
            "attempt": self.attempt,
            "data": dict(self.data),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StepState:
    """Where a step of a run stands. `output` is the reply's data when it ended well.

    `due_at` (UTC seconds) is when a scheduled retry may start, or a timer ends. `items` are the states of a fan-out's
    items, in their order; `iteration` counts the rounds of a loop; `end` is the number of the record that ended it;
    `inputs` are what it was asked with, while it is in flight.
    """

    status: StepStatus = StepStatus.PENDING
    attempt: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    output: Any = None  # Any: a JSON value
    error: Mapping[str, Any] | None = None
    reason: str | None = None
    due_at: float | None = None
    items: Sequence[StepState] | None = None
    iteration: int = 0
    end: int = 0
    inputs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """The fold of a run's events. `head` is the sequence number of the last one.

    `changed` is what the last reply that spoke of it said; `outcome` is the status that a step of
    `on_failure` gave the run; `failed_step` is the first step that failed, or was in flight at a cancel. `state` is
    what steps keep for later steps; `output` the run's result; `paused` the reason why nothing new starts.
    """

    run_id: str
    head: int
    status: RunStatus
    workflow: str
    inputs: Mapping[str, Any]
    steps: Mapping[str, StepState]
    meta: Mapping[str, Any] = field(default_factory=empty)
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    error: Mapping[str, Any] | None = None
    failed_step: str | None = None
    cancel_reason: str | None = None
    changed: bool | None = None
    outcome: RunStatus | None = None
    state: Mapping[str, Any] = field(default_factory=empty)
    output: Any = None  # Any: a JSON value
    paused: str | None = None
    work: Any = field(
        default=None, repr=False
    )  # Any: the engine's own notes; they follow from the events as all else does


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Where a run stood after record `seq`, as the fold named `fold` wrote it down: ``{"state": …, "values": […]}``."""

    seq: int
    fold: str
    data: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Let nobody change the data in place: what a run's state holds is parts of them."""
        _set(self, "data", freeze(self.data))
