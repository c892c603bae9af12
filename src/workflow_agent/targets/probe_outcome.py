"""What a look at the world gives, and how it is put into words. Standard library only."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Outcome", "Site", "quote", "shorten"]

_SHOWN = 300


class Outcome(NamedTuple):
    """What one look saw, and whether that is what the check says."""

    holds: bool
    observed: str


class Site(NamedTuple):
    """Where a look takes place: until when (monotonic clock, seconds), and which processes are our own."""

    deadline: float
    own: frozenset[int] = frozenset()


def shorten(text: str) -> str:
    """Cut a text that is too long to be shown."""
    return text if len(text) <= 2 * _SHOWN else text[: 2 * _SHOWN] + "…"


def quote(raw: bytes) -> str:
    """Show the beginning of foreign output on one line, without control characters."""
    text = raw[:_SHOWN].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in text).strip() + ("…" if raw[_SHOWN:] else "")
