"""The shell's escapes, and what its expansions make of a value."""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ansi_text", "changed"]

_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|[0-7]{1,4}|.)", re.DOTALL)
_CHANGE = re.compile(r"\$\{(?:\w+|[@*])(\[[@*]\])?(%%?|##?|//?|\^\^?|,,?|:)([^${}`]*)\}", re.DOTALL)
_PART = re.compile(r" *\(?(-?\d+)\)?(?::(-?\d+))?")
_OLD_AND_NEW = re.compile(r"((?:\\.|[^/\\])*)(?:/(.*))?", re.DOTALL)
_CASES: dict[str, Callable[[str], str]] = {
    ",,": str.lower,
    "^^": str.upper,
    ",": lambda text: text[:1].lower() + text[1:],
    "^": lambda text: text[:1].upper() + text[1:],
}
_MAX_CUT = 256
_SIMPLE = dict(zip("abeEfnrtv\\'\"?", "\a\b\x1b\x1b\f\n\r\t\v\\'\"?", strict=True))


def ansi_text(text: str) -> str:
    """Read the escapes that ``$'…'``, ``printf`` and ``echo -e`` know. Source: bash(1), QUOTING."""
    return _ESCAPE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    body = found[1]
    if body[0] in "xuU" and len(body) > 1:
        return _character(int(body[1:], 16))
    if body[0].isdigit():
        return _character(int(body, 8))
    return _SIMPLE.get(body, found[0])


def _character(code: int) -> str:
    return chr(code) if code <= sys.maxunicode else "\ufffd"


def changed(pieces: list[str], expansion: str) -> list[str] | None:
    """Change the words of a variable as its expansion does; None when that cannot be told.

    Args:
        pieces: The one word of a variable, or those of an array.
        expansion: As written: ``${NAME%PATTERN}``, ``${NAME/OLD/NEW}``, ``${NAME,,}``, ``${NAME:FROM:COUNT}`` …
    """
    found = _CHANGE.fullmatch(expansion)
    if found is None:
        return None
    operator, pattern = found[2], found[3].strip("\"'")
    if operator == ":":
        return _part(pieces, pattern, whole_words=bool(found[1]) or expansion[2] in "@*")
    if operator in _CASES:
        return None if pattern else [_CASES[operator](piece) for piece in pieces]
    return [_cut(piece[:_MAX_CUT], operator, pattern) for piece in pieces]


def _part(pieces: list[str], wanted: str, *, whole_words: bool) -> list[str] | None:
    numbers = _PART.fullmatch(wanted)
    if numbers is None:
        return None
    if whole_words:
        return _slice(pieces, numbers)
    return ["".join(_slice(list(piece), numbers)) for piece in pieces]


def _slice(items: list[str], numbers: re.Match[str]) -> list[str]:
    start = int(numbers[1])
    start += len(items) if start < 0 else 0
    count = int(numbers[2]) if numbers[2] else len(items)
    end = start + count if count >= 0 else len(items) + count
    return items[start:end] if 0 <= start <= end else []


def _cut(text: str, operator: str, pattern: str) -> str:
    """Cut a text as ``${NAME%PATTERN}`` and the like do. Source: bash(1), Parameter Expansion."""
    if operator in ("/", "//"):
        return _replaced(text, pattern, -1 if operator == "//" else 1)
    lengths = range(len(text) + 1)
    for length in reversed(lengths) if len(operator) > 1 else lengths:
        split = length if operator[0] == "#" else len(text) - length
        piece, rest = (text[:split], text[split:]) if operator[0] == "#" else (text[split:], text[:split])
        if fnmatchcase(piece, pattern):
            return rest
    return text


def _replaced(text: str, pattern: str, count: int) -> str:
    """Replace as ``${NAME/OLD/NEW}`` does; a `#` or `%` before the old text holds it at the value's begin or end."""
    halves = _OLD_AND_NEW.fullmatch(pattern)
    old, new = (re.sub(r"\\(.)", r"\1", half or "") for half in (halves.groups() if halves else ("", "")))
    if old.startswith("#"):
        return new + text.removeprefix(old[1:]) if text.startswith(old[1:]) else text
    if old.startswith("%"):
        return text.removesuffix(old[1:]) + new if text.endswith(old[1:]) else text
    return text.replace(old, new, count) if old else text
