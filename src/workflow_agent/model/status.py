"""The one table of states: word, symbol, colour. CLI, UI and docs read it."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Final

from workflow_agent.model.records import dataclass

__all__ = [
    "CHECK_IS_NOT_RED",
    "OWN_ACTION",
    "TERMINAL_RUN",
    "TERMINAL_STEP",
    "RunStatus",
    "StatusStyle",
    "StepStatus",
    "style_of",
]

#: The action, in history, of runs of people's own workflows: they have no target, and nothing of them is captured.
OWN_ACTION: Final = "run"


class RunStatus(StrEnum):
    """States of a run."""

    QUEUED = "queued"
    PLANNING = "planning"
    AWAITING_APPROVAL = "awaiting-approval"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    VERIFYING = "verifying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLING_BACK = "rolling-back"
    ROLLED_BACK = "rolled-back"
    NEEDS_ATTENTION = "needs-attention"
    CANCELLED = "cancelled"


class StepStatus(StrEnum):
    """States of a step."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNDONE = "undone"
    UNDO_FAILED = "undo-failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class StatusStyle:
    """How a state is shown: symbol on a Unicode terminal, symbol in ASCII, colour name."""

    symbol: str
    ascii: str
    colour: str


_STYLES: dict[str, StatusStyle] = {
    "queued": StatusStyle("·", ".", "dim"),
    "pending": StatusStyle("·", ".", "dim"),
    "planning": StatusStyle("▸", ">", "cyan"),
    "awaiting-approval": StatusStyle("?", "?", "yellow"),
    "running": StatusStyle("▸", ">", "cyan"),
    "waiting": StatusStyle("…", "~", "yellow"),
    "paused": StatusStyle("‖", "=", "yellow"),
    "verifying": StatusStyle("▸", ">", "cyan"),
    "succeeded": StatusStyle("✓", "+", "green"),
    "unchanged": StatusStyle("=", "=", "green"),
    "failed": StatusStyle("✗", "x", "red"),
    "skipped": StatusStyle("-", "-", "dim"),
    "undone": StatusStyle("↶", "<", "yellow"),
    "undo-failed": StatusStyle("!", "!", "red"),
    "rolling-back": StatusStyle("↶", "<", "yellow"),
    "rolled-back": StatusStyle("↶", "<", "yellow"),
    "needs-attention": StatusStyle("!", "!", "red"),
    "cancelled": StatusStyle("■", "#", "yellow"),
    "unknown": StatusStyle("?", "?", "red"),
}

#: What a check that is not red ended with. Stored runs of before know only `passed`.
CHECK_IS_NOT_RED = frozenset({"passed", "not-applicable"})

TERMINAL_RUN = frozenset(
    {
        RunStatus.SUCCEEDED,
        RunStatus.FAILED,
        RunStatus.ROLLED_BACK,
        RunStatus.NEEDS_ATTENTION,
        RunStatus.CANCELLED,
    },
)
TERMINAL_STEP = frozenset(
    {
        StepStatus.SUCCEEDED,
        StepStatus.UNCHANGED,
        StepStatus.FAILED,
        StepStatus.SKIPPED,
        StepStatus.UNDONE,
        StepStatus.UNDO_FAILED,
        StepStatus.CANCELLED,
        StepStatus.UNKNOWN,
    },
)


def style_of(status: RunStatus | StepStatus | str) -> StatusStyle:
    """Look the style of a state up; raises KeyError for a word that is no state."""
    return _STYLES[status.value if isinstance(status, Enum) else status]
