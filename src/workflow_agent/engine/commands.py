"""What the machine wants done: imperative, frozen.

The first group only becomes a journal record, in the transaction of the record that led to it; there is at most one
such command at a time. The second reaches the world, and takes as long as it takes. A `step` is an identity, as
``units`` says.
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
    "EndStep",
    "FailStep",
    "FinishRun",
    "PauseRun",
    "RequestStep",
    "ScheduleRetry",
    "SkipStep",
    "StartRun",
    "StartStep",
    "TakePlace",
    "WaitUntil",
    "only_records",
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
    """Record that a step failed of itself: its expressions have no value, a part of it failed, a person said no.

    `signal` is the number of the record whose signal this uses up.
    """

    step: str
    error: Mapping[str, Any]
    status: str = "failed"
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class EndStep:
    """Record that a step ended well of itself: its items or rounds are done, or what it waited for came.

    `output` is None where it follows from items or rounds.
    """

    step: str
    output: Mapping[str, Any] | None = None
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class PauseRun:
    """Record that the run pauses before a step, because somebody wants to look."""

    step: str


@dataclass(frozen=True, slots=True)
class ScheduleRetry:
    """Record that `attempt` (the next one) is due in `delay_s` seconds, less what chance takes of the part `jitter`."""

    step: str
    attempt: int
    delay_s: float
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class FinishRun:
    """Record the end of the run; `output` is there where the definition has an expression for it."""

    status: RunStatus
    error: Mapping[str, Any] | None
    changed: bool
    output: tuple[Any] | None = None  # Any: a JSON value


@dataclass(frozen=True, slots=True)
class StartStep:
    """Record that a step starts, so that a crash leaves a trace of it.

    With `not_before` (UTC seconds) it starts then, and reaches the world by waiting. A step that `waits` does so until
    something comes, at most for `wait_s` seconds from now, or until `wait_at` (UTC seconds).
    """

    step: str
    attempt: int
    inputs: Mapping[str, Any]
    not_before: float | None = None
    phase: RunStatus | None = None
    waits: bool = False
    wait_s: float | None = None
    wait_at: float | None = None


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


@dataclass(frozen=True, slots=True)
class TakePlace:
    """Wait for a place, then record that the scope `step` begins; without a step, that the run does."""

    step: str = ""


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Record what it means for a waiting step that the time `at` (UTC seconds) has come."""

    step: str
    at: float


Command: TypeAlias = (
    StartRun
    | SkipStep
    | FailStep
    | EndStep
    | PauseRun
    | ScheduleRetry
    | FinishRun
    | StartStep
    | RequestStep
    | CancelStep
    | WaitUntil
    | TakePlace
)


def only_records(command: Command) -> bool:
    """Say whether a command is carried out by a record alone."""
    if isinstance(command, (RequestStep, CancelStep, WaitUntil, TakePlace)):  # the first is what nearly all are
        return False
    return not isinstance(command, StartStep) or command.not_before is None
