"""What a step does about failures, and how a run is started: the small closed sets of the SDK."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from workflow_agent.authoring.durations import duration_s
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.workflow import Backoff

__all__ = ["ErrorHandler", "ExecutionMode", "RetryPolicy"]

_MOST_ATTEMPTS = 100
_KINDS = ("exponential", "constant")


class ErrorHandler(StrEnum):
    """What the failure of a step means for its run."""

    #: The run fails; steps that have not begun are left out.
    FAIL = "fail"
    #: The run goes on as if the step had been skipped; the failure stays visible.
    CONTINUE = "continue"


class ExecutionMode(StrEnum):
    """When ``WorkflowClient.run_workflow`` returns."""

    #: When the run has ended.
    SYNC = "sync"
    #: As soon as the run is begun.
    ASYNC = "async"


class RetryPolicy:
    """How often and when a failed step is tried again. Frozen; equal ones are equal.

    Args:
        max_attempts: Attempts in all, 1 to 100; 1 means no second one.
        backoff: ``exponential`` (each pause is `factor` times the one before) or ``constant``.
        initial_delay: First pause; a number of seconds or a text such as ``"500ms"``.
        max_delay: No pause is longer.
        factor: What a pause is multiplied with; for ``exponential`` only.

    Raises:
        ValidationError: a value is out of range; it is named.
    """

    __slots__ = ("backoff",)

    def __init__(
        self,
        max_attempts: int = 3,
        backoff: Literal["exponential", "constant"] = "exponential",
        max_delay: float | str = "1m",
        initial_delay: float | str = "1s",
        factor: float = 2.0,
    ) -> None:
        where = "RetryPolicy"
        if isinstance(max_attempts, bool) or not isinstance(max_attempts, int):
            raise ValidationError("`max_attempts` is a whole number", where=where)
        if not 1 <= max_attempts <= _MOST_ATTEMPTS:
            raise ValidationError(f"`max_attempts` is 1 to {_MOST_ATTEMPTS}, not {max_attempts}", where=where)
        if backoff not in _KINDS:
            hint = f"known are {', '.join(f'`{kind}`' for kind in _KINDS)}"
            raise ValidationError(f"there is no backoff `{str(backoff)[:40]}`", where=where, hint=hint)
        if not 1 <= factor <= _MOST_ATTEMPTS:
            raise ValidationError(f"`factor` is 1 to {_MOST_ATTEMPTS}, not {factor}", where=where)
        longest = duration_s(max_delay, where=f"{where} › max_delay")
        #: The model's form.
        self.backoff: Backoff
        made = Backoff(
            attempts=max_attempts,
            initial_s=min(duration_s(initial_delay, where=f"{where} › initial_delay"), longest),
            factor=float(factor) if backoff == "exponential" else 1.0,
            max_s=longest,
        )
        object.__setattr__(self, "backoff", made)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a retry policy cannot be changed")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RetryPolicy) and other.backoff == self.backoff

    def __hash__(self) -> int:
        return hash(self.backoff)

    def __repr__(self) -> str:
        kept = self.backoff
        kind = f"factor={kept.factor:g}" if kept.factor != 1 else "backoff='constant'"
        return f"RetryPolicy({kept.attempts}, {kind}, initial_delay={kept.initial_s:g}, max_delay={kept.max_s:g})"
