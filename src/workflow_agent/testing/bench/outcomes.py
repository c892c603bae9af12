"""Kinds of tests of an integration, and what became of one."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["ON_PAPER", "REFUSED", "BenchOutcome", "Kind", "TestFailedError", "TestSkippedError", "Verdict"]


class Kind(StrEnum):
    """What is tested, in the order in which it is tested."""

    LINT = "lint"
    RENDER = "render"
    PLAN = "plan"
    INSTALL = "install"
    IDEMPOTENCE = "idempotence"
    VERIFY = "verify"
    NEGATIVE = "negative"
    ROLLBACK = "rollback"
    RESIDUE = "residue"
    UPGRADE = "upgrade"
    CRASH = "crash"


#: Kinds that need no target.
ON_PAPER = frozenset({Kind.LINT, Kind.RENDER})
#: Begins the message of a test that passed because what it tried was refused, as it must be.
REFUSED = "failed: "


class Verdict(StrEnum):
    """What became of a test."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOutcome:
    """One test. `target` is empty on paper; `message` is one sentence, `details` are lines; `evidence` a folder."""

    kind: Kind
    target: str = ""
    case: str = ""
    verdict: Verdict = Verdict.PASSED
    seconds: float = 0.0
    message: str = ""
    details: tuple[str, ...] = ()
    evidence: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "kind": self.kind.value,
            "target": self.target or None,
            "case": self.case or None,
            "verdict": self.verdict.value,
            "seconds": round(self.seconds, 2),
            "message": self.message,
            "details": list(self.details),
            "evidence": str(self.evidence) if self.evidence is not None else None,
        }


class TestFailedError(Exception):
    """What was tested is not so; `lines` are the details. Told as an outcome, never to who types."""

    __test__ = False

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.lines = tuple(lines)


class TestSkippedError(Exception):
    """A test that cannot be made here; the sentence says why."""

    __test__ = False
