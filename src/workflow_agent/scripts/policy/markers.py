"""Characters that stand for what is not known of a text."""

from __future__ import annotations

__all__ = ["DECODED", "KNOWN", "MARKERS", "MAYBE", "NET", "SPLIT", "without_markers"]

#: Stand for unknown text: perhaps empty, surely not empty, fetched from a network, decoded; and for a blank at
#: which an unquoted expansion is split. Taken from the private-use area; :func:`without_markers` keeps scripts
#: from writing them.
MAYBE, KNOWN, NET, DECODED, SPLIT = "\ue000", "\ue001", "\ue002", "\ue003", "\ue004"
MARKERS = frozenset((MAYBE, KNOWN, NET, DECODED, SPLIT))


def without_markers(text: str) -> str:
    """Replace marker characters that a script contains itself."""
    return "".join("\ufffd" if char in MARKERS else char for char in text)
