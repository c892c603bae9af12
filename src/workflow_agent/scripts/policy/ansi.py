"""The shell's escapes, and cutting texts by its patterns."""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatchcase

__all__ = ["ansi_text", "cut"]

_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|[0-7]{1,4}|.)", re.DOTALL)
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


def cut(text: str, operator: str, pattern: str) -> str:
    """Cut a text as ``${NAME%PATTERN}`` and the like do. Source: bash(1), Parameter Expansion."""
    if operator in ("/", "//"):
        old, _, new = pattern.partition("/")
        return text.replace(old, new, -1 if operator == "//" else 1) if old else text
    lengths = range(len(text) + 1)
    for length in reversed(lengths) if len(operator) > 1 else lengths:
        split = length if operator[0] == "#" else len(text) - length
        piece, rest = (text[:split], text[split:]) if operator[0] == "#" else (text[split:], text[:split])
        if fnmatchcase(piece, pattern):
            return rest
    return text
