r"""What stands for a secret until its value is needed.

Two forms. A *reference* is a parameter's value in requests, events and history: ``{"$secret": name, "digest": ...}``;
the digest (see ``fingerprint``) tells whether two values are the same. A *mark* is a text that stands in the place of
the value wherever a manifest's expressions put it; it is made of characters that no text may contain (Unicode
noncharacters), so nothing that a person types can become one.

Source: Unicode Standard 23.7, noncharacters U+FDD0..U+FDEF are for internal use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = [
    "DIGEST",
    "SECRET",
    "fill",
    "mark",
    "marked_names",
    "named",
    "reference",
    "reference_digest",
    "reference_name",
    "unmarkable",
]

#: Keys of a reference.
SECRET: Final = "$secret"  # noqa: S105  # a key, not a secret
DIGEST: Final = "digest"

_OPEN: Final = "\ufdd0"
_CLOSE: Final = "\ufdd1"
_MARK: Final = re.compile(f"{_OPEN}([a-z][a-z0-9_]{{0,62}}){_CLOSE}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def reference(name: str, digest: str) -> dict[str, str]:
    """Make the reference to a secret."""
    return {SECRET: name, DIGEST: digest}


def reference_name(value: Any) -> str | None:  # Any: a JSON value
    """Give the name of the secret that a value refers to; None when it is no reference."""
    if not isinstance(value, Mapping) or set(value) != {SECRET, DIGEST}:
        return None
    name, digest = value[SECRET], value[DIGEST]
    good = isinstance(name, str) and isinstance(digest, str) and _DIGEST.fullmatch(digest)
    return name if good else None


def reference_digest(value: Mapping[str, Any]) -> str:
    """Give the digest of a reference."""
    return str(value[DIGEST])


def mark(name: str) -> str:
    """Make the mark of a secret."""
    return f"{_OPEN}{name}{_CLOSE}"


def unmarkable(text: str) -> bool:
    """Tell whether a text is free of the characters that marks are made of."""
    return _OPEN not in text and _CLOSE not in text


def marked_names(value: Any) -> frozenset[str]:  # Any: a JSON value
    """Give the names of all secrets whose marks a JSON value contains, keys included."""
    if isinstance(value, str):
        return frozenset(_MARK.findall(value))
    if isinstance(value, Mapping):
        return frozenset().union(*map(marked_names, value.keys()), *map(marked_names, value.values()))
    if isinstance(value, list | tuple):
        return frozenset().union(*map(marked_names, value))
    return frozenset()


def fill(value: Any, values: Mapping[str, str]) -> Any:  # Any: a JSON value
    """Put values in the places of their marks, once: what a value contains is not looked at again.

    Raises:
        KeyError: a mark's name is not among the values.
    """
    return _replaced(value, lambda match: values[match[1]])


def named(value: Any) -> Any:  # Any: a JSON value
    """Put ``<secret:NAME>`` in the places of marks, for what is shown and kept."""
    return _replaced(value, lambda match: f"<secret:{match[1]}>")


def _replaced(value: Any, by: Any) -> Any:  # Any: JSON values; a function from a match to a text
    if isinstance(value, str):
        return _MARK.sub(by, value)
    if isinstance(value, Mapping):
        return {_replaced(key, by): _replaced(item, by) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(item, by) for item in value]
    return value
