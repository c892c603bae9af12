"""What a look at the world gives, and how it is put into words. Standard library only."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from workflow_agent.model.errors import UnreachableError
    from workflow_agent.targets.probe_http import ProbedAnswer

__all__ = ["ProbeOutcome", "Site", "quote", "shorten"]

_SHOWN = 300


class ProbeOutcome(NamedTuple):
    """What one look saw, and whether that is what the check says; where it does not apply, nothing was looked at."""

    holds: bool
    observed: str
    applies: bool = True


class Site(NamedTuple):
    """Where looks take place: until when (monotonic clock, seconds), and which processes are our own.

    `pages` keeps what servers answered, by address and wanted type: checks that are looked at together are about one
    answer, and the server makes it once.
    """

    deadline: float
    own: frozenset[int]
    pages: dict[tuple[str, str], ProbedAnswer | UnreachableError]


def shorten(text: str) -> str:
    """Cut a text that is too long to be shown."""
    return text if len(text) <= 2 * _SHOWN else text[: 2 * _SHOWN] + "…"


def quote(raw: bytes) -> str:
    """Show the beginning of foreign output on one line, without control characters."""
    text = raw[:_SHOWN].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in text).strip() + ("…" if raw[_SHOWN:] else "")
