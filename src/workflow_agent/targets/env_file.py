"""Environment files (``/etc/default/*``, systemd's ``EnvironmentFile=``) and the argument vectors that use them.

Pure; standard library only, because the supervisor imports it. Nothing in such a file is ever executed:
``$(...)`` and ``$NAME`` in a value are plain text, as systemd has it.

Source: systemd.exec(5), ``EnvironmentFile=``; systemd.service(5), "Command lines".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["expand_argv", "parse_env_file", "split_words"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WHOLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_INSIDE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_BLANK = " \t\r"
#: What a backslash protects inside double quotes; before any other character it stays.
_PROTECTED = '"\\`$'


def parse_env_file(text: str) -> dict[str, str]:
    r"""Read ``NAME=value`` lines; a later line wins; lines that are no assignment are skipped.

    Values may be bare (outer blanks cut, ``\`` takes the next character literally), in single quotes (nothing
    special) or in double quotes; a ``\`` at the end of a line continues it; quoted parts may span lines. A
    leading ``export`` is accepted because shell files have it.
    """
    values: dict[str, str] = {}
    position = 0
    while position < len(text):
        position = _skip(text, position, _BLANK + "\n")
        if position >= len(text):
            break
        if text[position] in "#;":
            position = _comment_end(text, position)
            continue
        equals, line_end = text.find("=", position), text.find("\n", position)
        if equals < 0 or 0 <= line_end < equals:
            position = len(text) if line_end < 0 else line_end + 1
            continue
        name = text[position:equals].strip().removeprefix("export ").strip()
        value, position = _value(text, equals + 1)
        if _NAME.fullmatch(name):
            values[name] = value
    return values


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def _comment_end(text: str, position: int) -> int:
    """Find the end of a comment; a backslash before the line end carries it on."""
    while position < len(text):
        if text[position] == "\\":
            position += 2
        elif text[position] == "\n":
            return position + 1
        else:
            position += 1
    return position


def _value(text: str, position: int) -> tuple[str, int]:
    """Read a value up to the end of its line; blanks around bare text and between quoted parts vanish."""
    parts: list[str] = []
    position = _skip(text, position, _BLANK)
    while position < len(text) and text[position] != "\n":
        if text[position] in "\"'":
            part, position = _quoted(text, position + 1, text[position])
        else:
            part, position = _bare(text, position)
        parts.append(part)
        position = _skip(text, position, _BLANK)
    return "".join(parts), position + 1


def _quoted(text: str, position: int, quote: str) -> tuple[str, int]:
    parts: list[str] = []
    while position < len(text) and text[position] != quote:
        char = text[position]
        if char == "\\" and quote == '"' and position + 1 < len(text):
            position += 1
            following = text[position]
            char = {"\n": ""}.get(following, following if following in _PROTECTED else "\\" + following)
        parts.append(char)
        position += 1
    return "".join(parts), position + 1


def _bare(text: str, position: int) -> tuple[str, int]:
    """Read bare text up to the line's end: quotes inside it are plain characters."""
    parts: list[str] = []
    keep = 0
    while position < len(text) and text[position] != "\n":
        char = text[position]
        if char == "\\" and position + 1 < len(text):
            position += 1
            char = "" if text[position] == "\n" else text[position]
            parts.append(char)
            keep = len(parts)
        else:
            parts.append(char)
            if char not in _BLANK:
                keep = len(parts)
        position += 1
    return "".join(parts[:keep]), position


def split_words(text: str) -> list[str]:
    """Split at blanks as systemd splits an unbraced variable: quotes group, a lone quote is plain text."""
    words: list[str] = []
    current: list[str] | None = None
    position = 0
    while position < len(text):
        char = text[position]
        if char in _BLANK + "\n":
            if current is not None:
                words.append("".join(current))
            current = None
            position += 1
            continue
        current = [] if current is None else current
        if char in "\"'" and text.find(char, position + 1) > 0:
            part, position = _quoted(text, position + 1, char)
            current.append(part)
            continue
        if char == "\\" and position + 1 < len(text):
            position += 1
            char = text[position]
        current.append(char)
        position += 1
    if current is not None:
        words.append("".join(current))
    return words


def expand_argv(argv: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Put variables into an argument vector.

    An element that is just ``$NAME`` becomes the words of that value, none when it is empty or unset;
    ``${NAME}`` inside an element becomes the value as it is; everything else stays, ``$$`` too.
    """
    result: list[str] = []
    for element in argv:
        whole = _WHOLE.fullmatch(element)
        if whole:
            result += split_words(values.get(whole[1], ""))
        else:
            result.append(_INSIDE.sub(lambda match: values.get(match[1], ""), element))
    return result
