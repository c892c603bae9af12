"""Text that nobody may use as it stands: placeholders, globs in the place of names, sample passwords."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from workflow_agent.knowledge.command_lines import program_of, words_of
from workflow_agent.knowledge.facts import BlockKind

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["has_placeholder", "placeholders_in", "replaced_words"]

_ANGLES: Final = re.compile(r"(?<![<\w])<(?!/)([A-Za-z][\w .:/-]{0,60}?)>")
_UPPER: Final = re.compile(
    r"(?<![\w$])((?:YOUR|MY|EXAMPLE|INSERT|REPLACE|ENTER)[_-][A-Z0-9_-]+|[A-Z][A-Z0-9_]*_(?:HERE|GOES_HERE"
    r"|PLACEHOLDER)|your[-_][a-z0-9_-]+)\b"
)
_CROSSED: Final = re.compile(r"(?<!\w)([xX]{4,}|\*{4,}|\.{3}(?=['\"]))")
_BRACED: Final = re.compile(r"\{\{\s*[\w .-]+\s*\}\}|\$\{([A-Za-z_]\w*)\}|%\([\w]+\)s")
_SAMPLE: Final = re.compile(r"(?i)(?<![\w.])(change_?me\w*|s3cret\w*(?:-\w+)?|p[a@]ssw0rd\w*|hunter2|replace_?me)\b")
_EXAMPLE: Final = re.compile(r"(?<![\w@-])((?:[\w-]+\.)*example\.(?:com|org|net))(?![\w.])")
_SECRETS: Final = re.compile(
    r"(?i)(?:\b(?:IDENTIFIED BY|PASSWORD)\s+'([^']+)'|^\s*[\w.-]*(?:password|passwd|secret|token|api_?key|"
    r"licen[sc]e_?key)\s*[=:]\s*['\"]?([^\s'\"#<$][^\s'\"#]*))",
    re.MULTILINE,
)
_REPLACED: Final = re.compile(
    r"(?i)\b(?:replac(?:e|ing)|substitut(?:e|ing)|in (?:the )?place of|"
    r"instead of)\s+(?:the\s+)?[`'\"]?((?-i:[A-Z][A-Z0-9_]{2,}))[`'\"]?|"
    r"[`'\"]?\b((?-i:[A-Z][A-Z0-9_]{2,}))[`'\"]?\s+(?:is|with|by) your\b"
)
#: `http://user:password@host`.
_CREDENTIALS: Final = re.compile(r"\w+://([^\s:/@<$]+:[^\s:/@<$]+)@")
#: `[flags]`, which stands for something of one's own.
_BRACKETS: Final = re.compile(r"(?<=\s)\[[a-z][a-z .|_-]*\](?=\s|$)")
_GLOB_PROGRAMS: Final = frozenset({"wget", "curl", "tar", "cd", "dpkg", "cp", "mv", "unzip"})
_TAG: Final = re.compile(r"^[A-Z]\w*( |$)")


def placeholders_in(text: str, kind: BlockKind | None, marks: tuple[str, ...] = ()) -> Iterator[str]:
    """Give the placeholders of a piece of text.

    Args:
        text: A block of code, or a piece of code in a sentence.
        kind: What the block is; None for a piece in a sentence.
        marks: Words that the page itself sets apart.
    """
    angles = [found for found in _ANGLES.finditer(text) if not _is_tag(found[1], text, kind)]
    yield from (found[0] for found in angles)
    for pattern in (_UPPER, _CROSSED, _SAMPLE):
        for found in pattern.finditer(text):
            if not any(outer.start() <= found.start() and found.end() <= outer.end() for outer in angles):
                yield found[1]
    yield from _braced(text)
    yield from (mark.strip() for mark in marks if mark.strip())
    if kind in {BlockKind.COMMAND, BlockKind.CONFIGURATION, BlockKind.UNIT}:
        yield from (found[1] for found in _EXAMPLE.finditer(text))
        yield from (found[1] for found in _CREDENTIALS.finditer(text))
    if kind is BlockKind.COMMAND:
        yield from _globs(text)
        yield from (found[0] for found in _BRACKETS.finditer(text))
    if kind in {BlockKind.CONFIGURATION, BlockKind.UNIT, BlockKind.QUERY}:
        for found in _SECRETS.finditer(text):
            value = found[1] or found[2]
            if value.lower() not in {"none", "null", "true", "false", "yes", "no"} and not has_placeholder(value):
                yield value


def has_placeholder(text: str) -> bool:
    """Tell whether a value holds a placeholder of some form."""
    found = _ANGLES.search(text)
    return bool(
        (found and not _TAG.match(found[1]))
        or any(pattern.search(text) for pattern in (_UPPER, _CROSSED, _SAMPLE))
        or re.search(r"\{\{.*\}\}|\$\{[A-Za-z_]\w*\}", text)
        or re.fullmatch(r"[A-Z][A-Z0-9]*_[A-Z0-9_]+( \w+)*|\^?[A-Z]+_[A-Z]+\$?", text.strip())
    )


def replaced_words(text: str) -> set[str]:
    """List the words that a sentence tells to replace."""
    return {found[1] or found[2] for found in _REPLACED.finditer(text)}


def _is_tag(inner: str, text: str, kind: BlockKind | None) -> bool:
    """Tell a tag of a configuration (`<Plugin network>`), which is closed again, from a placeholder."""
    name = inner.split(maxsplit=1)[0]
    closed = f"</{name}" in text
    return closed or (
        kind is BlockKind.CONFIGURATION and bool(_TAG.match(inner)) and not inner.isupper() and "_" not in inner
    )


def _braced(text: str) -> Iterator[str]:
    known = set(re.findall(r"(?m)(?:^|\s|;)(?:export\s+)?([A-Za-z_]\w*)=", text))
    for found in _BRACED.finditer(text):
        if found[1] is None or (found[1] not in known and found[1].isupper()):
            yield found[0]


def _globs(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if program_of(line.lstrip("$# ")) in _GLOB_PROGRAMS:
            yield from (word for word in words_of(line)[1:] if "*" in word and not word.startswith("-"))
