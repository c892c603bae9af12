"""The error tree. Two families: the caller's fault and the world's fault; only the second may be retried.

::

    WorkflowAgentError
    ├── CallerError                     the caller asked for something that cannot be
    │   ├── UsageError                  2  arguments
    │   │   └── ConsentError            2  no terminal and no --yes
    │   ├── ValidationError             2  definitions, manifests, parameters, scripts
    │   │   ├── ParameterError
    │   │   ├── ManifestError
    │   │   ├── ExpressionError
    │   │   ├── ScriptRefusedError
    │   │   ├── UnsupportedPlatformError
    │   │   └── MissingCapabilityError
    │   ├── PermissionDeniedError       4
    │   │   └── TokenRefusedError
    │   ├── NotFoundError               5
    │   └── ConflictError               6
    │       ├── TargetLockedError
    │       ├── PathConflictError
    │       ├── PlanStaleError
    │       └── JournalConflictError
    ├── WorldError                      host, network, package, sandbox
    │   ├── StepFailedError             1
    │   │   ├── ScriptFailedError
    │   │   ├── CheckFailedError
    │   │   ├── ServiceFailedError
    │   │   ├── IterationLimitError
    │   │   └── TransactionError
    │   │       ├── CaptureError
    │   │       └── CommitError
    │   ├── StepTimeoutError            1
    │   ├── RunFailedError              1
    │   ├── DeclinedError               1
    │   ├── ChangesPendingError         3
    │   │   └── DriftFoundError
    │   ├── RolledBackError             9
    │   ├── RollbackIncompleteError    10
    │   ├── UnreachableError            7
    │   │   ├── NoResponderError
    │   │   ├── BusyError
    │   │   └── StoreError
    │   │       └── OutcomeUnknownError
    │   ├── DeadlineExceededError       8
    │   └── InterruptedRunError       130
    └── InternalError                  70

What belongs here: classes and their one table of codes. What does not: rendering (``cli``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "BusyError",
    "CallerError",
    "CaptureError",
    "ChangesPendingError",
    "CheckFailedError",
    "CommitError",
    "ConflictError",
    "ConsentError",
    "DeadlineExceededError",
    "DeclinedError",
    "DriftFoundError",
    "EffectFailedError",
    "ExpressionError",
    "InternalError",
    "InterruptedRunError",
    "IterationLimitError",
    "JournalConflictError",
    "ManifestError",
    "MissingCapabilityError",
    "NoResponderError",
    "NotFoundError",
    "OutcomeUnknownError",
    "ParameterError",
    "PathConflictError",
    "PermissionDeniedError",
    "PlanStaleError",
    "RollbackIncompleteError",
    "RolledBackError",
    "RunFailedError",
    "ScriptFailedError",
    "ScriptRefusedError",
    "ServiceFailedError",
    "StepFailedError",
    "StepTimeoutError",
    "StoreError",
    "TargetLockedError",
    "TokenRefusedError",
    "TransactionError",
    "UnreachableError",
    "UnsupportedPlatformError",
    "UsageError",
    "ValidationError",
    "WorkflowAgentError",
    "WorldError",
    "error_classes",
    "error_from_dict",
]


class WorkflowAgentError(Exception):
    """Something went wrong.

    Args:
        message: One sentence, no trailing period; the class docstring's first line when omitted.
        where: Place: ``file:line:column`` or ``target › run › step › attempt``.
        cause: The underlying message, trimmed.
        state: What was changed and what was taken back.
        hint: The next command to type.
        run_id: The run that it belongs to.
        details: JSON values for scripts (for example ``{"paths": [...]}``).
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str | None] = None

    def __init__(
        self,
        message: str | None = None,
        *,
        where: str | None = None,
        cause: str | None = None,
        state: str | None = None,
        hint: str | None = None,
        run_id: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        self.message = message or (type(self).__doc__ or "error").strip().splitlines()[0].rstrip(".")
        self.where = where
        self.cause = cause
        self.state = state
        self.hint = hint if hint is not None else self.default_hint
        self.run_id = run_id
        self.details: dict[str, Any] = dict(details or {})
        super().__init__(self.message)

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON form: code, message, where, cause, state, hint, run_id, details."""
        return {
            "code": self.code,
            "message": self.message,
            "where": self.where,
            "cause": self.cause,
            "state": self.state,
            "hint": self.hint,
            "run_id": self.run_id,
            "details": self.details,
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code!r}, {self.message!r})"


class CallerError(WorkflowAgentError):
    """The request cannot be carried out as it was made."""

    code = "caller"
    exit_code = 2
    http_status = 400


class UsageError(CallerError):
    """The command was used in a way that it does not support."""

    code = "usage"


class ConsentError(UsageError):
    """Nobody can be asked: there is no terminal and `--yes` was not given."""

    code = "usage.consent"
    default_hint = "add `--yes`, or look first with `workflow-agent plan`"


class ValidationError(CallerError):
    """A definition or a text is not valid."""

    code = "validation"
    http_status = 422


class ParameterError(ValidationError):
    """A parameter is unknown, missing or of the wrong type."""

    code = "validation.parameter"


class ManifestError(ValidationError):
    """An integration manifest is not valid."""

    code = "validation.manifest"


class ExpressionError(ValidationError):
    """An expression is not valid."""

    code = "validation.expression"


class ScriptRefusedError(ValidationError):
    """The validator refused the script."""

    code = "validation.script"


class UnsupportedPlatformError(ValidationError):
    """The integration does not support this platform."""

    code = "validation.platform"


class MissingCapabilityError(ValidationError):
    """The target lacks a capability of the kernel that the integration cannot work without."""

    code = "validation.capability"


class PermissionDeniedError(CallerError):
    """Not permitted."""

    code = "permission"
    exit_code = 4
    http_status = 403
    default_hint = "run the command as root, for example with `sudo`"


class TokenRefusedError(PermissionDeniedError):
    """The server refuses the token, or none was given."""

    code = "permission.token"
    http_status = 401
    default_hint = "give the text of the file that `workflow-agent serve` names when it starts"


class NotFoundError(CallerError):
    """There is nothing of that name."""

    code = "not-found"
    exit_code = 5
    http_status = 404


class ConflictError(CallerError):
    """Something else changed or holds what this needs."""

    code = "conflict"
    exit_code = 6
    http_status = 409


class TargetLockedError(ConflictError):
    """Another run holds the target."""

    code = "conflict.target-locked"
    retryable = True
    default_hint = "wait with `--wait`, or look at the holder with `workflow-agent show RUN`"


class PathConflictError(ConflictError):
    """Paths changed on the host in between."""

    code = "conflict.paths"


class PlanStaleError(ConflictError):
    """The plan no longer describes the target."""

    code = "conflict.plan-stale"
    default_hint = "make the plan again"


class PrunedError(ConflictError):
    """The before-images of the run were pruned."""

    code = "conflict.pruned"


class JournalConflictError(ConflictError):
    """Somebody else wrote to this run."""

    code = "conflict.journal"


class WorldError(WorkflowAgentError):
    """The world did not do what was asked of it."""

    code = "world"
    exit_code = 1
    http_status = 502
    retryable = True


class StepFailedError(WorldError):
    """A step failed."""

    code = "step-failed"


class ScriptFailedError(StepFailedError):
    """The script ended with an error."""

    code = "step-failed.script"


class CheckFailedError(StepFailedError):
    """Checks failed."""

    code = "step-failed.checks"


class ServiceFailedError(StepFailedError):
    """A service did not reach the wanted state."""

    code = "step-failed.service"


class EffectFailedError(StepFailedError):
    """An effect beyond files could not be carried out, taken back, or looked for."""

    code = "step-failed.effect"


class TransactionError(StepFailedError):
    """The transaction could not be carried out."""

    code = "step-failed.transaction"
    retryable = False


class CaptureError(TransactionError):
    """The script's effects could not be captured."""

    code = "step-failed.capture"


class CommitError(TransactionError):
    """The captured effects could not be committed."""

    code = "step-failed.commit"


class IterationLimitError(StepFailedError):
    """An agent did not come to an end within its iterations."""

    code = "step-failed.iterations"


class StepTimeoutError(WorldError):
    """A step ran out of time."""

    code = "step-timeout"


class RunFailedError(WorldError):
    """The run failed."""

    code = "run-failed"


class DeclinedError(WorldError):
    """The plan was declined; nothing was changed."""

    code = "declined"
    retryable = False


class ChangesPendingError(WorldError):
    """Something would change."""

    code = "changes-pending"
    exit_code = 3
    http_status = 200
    retryable = False


class DriftFoundError(ChangesPendingError):
    """The target is no longer as it was left."""

    code = "changes-pending.drift"


class RolledBackError(WorldError):
    """The run failed and everything was taken back."""

    code = "rolled-back"
    exit_code = 9


class RollbackIncompleteError(WorldError):
    """Not everything could be taken back; the target needs attention."""

    code = "rollback-incomplete"
    exit_code = 10
    retryable = False


class UnreachableError(WorldError):
    """Something that this depends on cannot be reached."""

    code = "unreachable"
    exit_code = 7
    http_status = 503


class NoResponderError(UnreachableError):
    """No agent answers on this subject."""

    code = "unreachable.no-responder"


class BusyError(UnreachableError):
    """The server has as much to do as it takes at the same time."""

    code = "unreachable.busy"
    http_status = 429


class StoreError(UnreachableError):
    """The database cannot be used."""

    code = "unreachable.store"


class OutcomeUnknownError(StoreError):
    """The database did not confirm a commit; what became of it is unknown until it is opened again."""

    code = "unreachable.outcome-unknown"
    retryable = False


class DeadlineExceededError(WorldError):
    """Waiting took longer than allowed."""

    code = "deadline"
    exit_code = 8
    http_status = 504


class InterruptedRunError(WorldError):
    """Interrupted."""

    code = "interrupted"
    exit_code = 130
    retryable = False


class InternalError(WorkflowAgentError):
    """This is a defect of workflow-agent itself; please report it."""

    code = "internal"
    exit_code = 70


def error_classes(root: type[WorkflowAgentError] = WorkflowAgentError) -> Iterator[type[WorkflowAgentError]]:
    """Walk the tree below and including `root`, parents first."""
    yield root
    for child in root.__subclasses__():
        yield from error_classes(child)


def error_from_dict(data: Mapping[str, Any]) -> WorkflowAgentError:
    """Rebuild an error from :meth:`WorkflowAgentError.to_dict`; unknown codes become InternalError.

    A class that inherits its code, or that is made in another way, comes out as the one that it is a kind of.
    """
    classes: dict[str, type[WorkflowAgentError]] = {}
    for each in error_classes():
        if each.__init__ is WorkflowAgentError.__init__:
            classes.setdefault(each.code, each)
    cls = classes.get(str(data.get("code")), InternalError)
    return cls(
        data.get("message"),
        where=data.get("where"),
        cause=data.get("cause"),
        state=data.get("state"),
        hint=data.get("hint"),
        run_id=data.get("run_id"),
        details=data.get("details"),
    )
