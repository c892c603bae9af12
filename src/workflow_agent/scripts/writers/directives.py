r"""Configuration files of lines ``name value``: Redis, and PostgreSQL's ``name = value``.

Both take a mapping from names to scalars or lists; null leaves a name out, so that the program's own default holds.

redis: a list is the words of one line, truth values are ``yes`` and ``no``, an empty list is the empty text (which
switches ``save`` off). A word that could be read as anything else stands in double quotes, with ``\`` escapes.

postgresql: texts stand in single quotes, a quote doubled, a backslash too; truth values are ``on`` and ``off``; a list
is its items with commas between them, so an item with a comma, a quote or a blank is refused.

Source: redis src/sds.c, sdssplitargs; PostgreSQL 15 manual, 20.1.2, and guc-file.l.
"""

from __future__ import annotations

import re
from typing import Any

from workflow_agent.model.errors import InternalError, ValidationError
from workflow_agent.scripts.writers.values import one_line, scalar_text

__all__ = ["expect_postgresql", "expect_redis", "read_postgresql", "read_redis", "write_postgresql", "write_redis"]

_REDIS_NAME = re.compile(r"[a-z][a-z0-9-]*")
_REDIS_BARE = re.compile(r"[A-Za-z0-9_./:@%+,*-]+")
_REDIS_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|([A-Za-z0-9_./:@%+,*-]+)')
_REDIS_SPECIAL = re.compile(r'(["\\])')
_POSTGRESQL_NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")
_POSTGRESQL_LINE = re.compile(r"([a-z_][a-z0-9_.]*) = '((?:[^'\\]|''|\\\\)*)'")
_POSTGRESQL_ITEM = re.compile(r"[A-Za-z0-9_.:*/$-]+")


def _names(values: Any, kind: str, pattern: re.Pattern[str]) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ValidationError(f"a `{kind}` file needs a mapping from names to values")
    for name in values:
        if not pattern.fullmatch(name):
            raise ValidationError(f"{name!r} is not the name of a directive", where=name)
    return {name: value for name, value in values.items() if value is not None}


def _truth(value: Any, name: str, words: tuple[str, str]) -> str:
    if isinstance(value, bool):
        return words[0] if value else words[1]
    return one_line(scalar_text(value, name), name)


def expect_redis(values: Any) -> dict[str, list[str]]:
    """Give names and words; raises ValidationError for what cannot be written."""
    meant = _names(values, "redis", _REDIS_NAME)
    lists = {name: value if isinstance(value, list) else [value] for name, value in meant.items()}
    return {name: [_truth(item, name, ("yes", "no")) for item in items] or [""] for name, items in lists.items()}


def write_redis(values: Any) -> str:
    """Write one directive per line, in the order given."""
    return "".join(f"{name} {' '.join(map(_redis_word, words))}\n" for name, words in expect_redis(values).items())


def _redis_word(text: str) -> str:
    return text if _REDIS_BARE.fullmatch(text) else '"' + _REDIS_SPECIAL.sub(r"\\\1", text) + '"'


def read_redis(text: str) -> dict[str, list[str]]:
    """Read what `write_redis` writes, strictly."""
    result: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        words = list(_REDIS_WORD.finditer(rest))
        if " ".join(match[0] for match in words) != rest:
            raise InternalError("a redis file has a line that is no directive")
        result[name] = [re.sub(r"\\(.)", r"\1", match[1]) if match[2] is None else match[2] for match in words]
    return result


def expect_postgresql(values: Any) -> dict[str, str]:
    """Give names and texts; raises ValidationError for what cannot be written."""
    meant = _names(values, "postgresql", _POSTGRESQL_NAME)
    return {name: _postgresql_text(value, name) for name, value in meant.items()}


def _postgresql_text(value: Any, name: str) -> str:
    if not isinstance(value, list):
        return _truth(value, name, ("on", "off"))
    items = [scalar_text(item, name) for item in value]
    if not all(map(_POSTGRESQL_ITEM.fullmatch, items)):
        raise ValidationError("an item of a list contains a comma, a quote or a blank", where=name)
    return ", ".join(items)


def write_postgresql(values: Any) -> str:
    """Write one setting per line, in the order given."""
    quoted = {name: text.replace("\\", "\\\\").replace("'", "''") for name, text in expect_postgresql(values).items()}
    return "".join(f"{name} = '{text}'\n" for name, text in quoted.items())


def read_postgresql(text: str) -> dict[str, str]:
    """Read what `write_postgresql` writes, strictly."""
    result: dict[str, str] = {}
    for line in text.splitlines():
        match = _POSTGRESQL_LINE.fullmatch(line)
        if match is None:
            raise InternalError("a postgresql file has a line that is no setting")
        result[match[1]] = match[2].replace("''", "'").replace("\\\\", "\\")
    return result
