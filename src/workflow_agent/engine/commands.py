"""What the machine wants done: imperative, frozen, one at a time.

The first group only becomes a journal record; the second reaches the world.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.model.status import RunStatus

__all__ = [
    "CancelStep",
    "Command",
    "FailStep",
    "FinishRun",
    "RequestStep",
    "ScheduleRetry",
    "SkipStep",
    "StartRun",
    "StartStep",
]


@dataclass(frozen=True, slots=True)
class StartRun:
    """Record that the run begins, with the phase of its first step."""

    phase: RunStatus


@dataclass(frozen=True, slots=True)
class SkipStep:
    """Record that a step is left out."""

    step: str
    reason: str


@dataclass(frozen=True, slots=True)
class FailStep:
    """Record that a step failed before it was requested (its expressions cannot be evaluated)."""

    step: str
    error: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ScheduleRetry:
    """Record that `attempt` (the next one) is due in `delay_s` seconds."""

    step: str
    attempt: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class FinishRun:
    """Record the end of the run."""

    status: RunStatus
    error: Mapping[str, Any] | None
    changed: bool


@dataclass(frozen=True, slots=True)
class StartStep:
    """Record that a step starts, not before `not_before` (UTC seconds), so that a crash leaves a trace of it."""

    step: str
    attempt: int
    inputs: Mapping[str, Any]
    not_before: float | None = None


@dataclass(frozen=True, slots=True)
class RequestStep:
    """Ask the agent for the step's effect and record the outcome."""

    step: str
    attempt: int
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CancelStep:
    """Tell the agent to stop the step that is in flight and record what became of it."""

    step: str
    attempt: int


Command: TypeAlias = StartRun | SkipStep | FailStep | ScheduleRetry | FinishRun | StartStep | RequestStep | CancelStep
