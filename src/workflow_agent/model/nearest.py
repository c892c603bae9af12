"""Names that are near to a mistyped one, for hints."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest"]

_LONGEST = 100
_SHOWN = 3


def nearest(word: str, known: Iterable[str], *, least: float = 0.6) -> list[str]:
    """List at most three known names that resemble `word`, best first; a word over 100 characters has none.

    `least` is the likeness, 0 to 1, that a name must have.
    """
    from difflib import get_close_matches  # noqa: PLC0415  # late: 5 ms, on errors only

    if len(word) > _LONGEST:
        return []
    return get_close_matches(word, sorted(known), n=_SHOWN, cutoff=least)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Make a hint: the nearest names, or all of them when they are few and none is near."""
    names = sorted(known)
    if near := nearest(word, names):
        return "did you mean " + " or ".join(f"`{name}`" for name in near) + "?"
    if not names or len(names) > _SHOWN * 4:
        return None
    return "known are " + ", ".join(f"`{name}`" for name in names)
