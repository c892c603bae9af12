r"""INI files, and files of shell assignments (``/etc/default/…``) that sh and systemd read the same way.

INI: ``key = value`` under ``[section]``. Readers differ about quotes, comments after a value, blanks at the ends
and the case of keys, so values that would show a difference are refused. ``%`` is written as it is (some readers
take ``%(name)s`` for a reference).

env: ``NAME="value"``, with ``\`` before ``\``, ``"``, ``$`` and a backtick: the four characters that both sh and
systemd's ``EnvironmentFile=`` unescape inside double quotes. A list is one value of words for an unquoted
``$NAME``; a word that sh would split or expand, or systemd would unquote, is refused.

Source: POSIX Shell Command Language 2.2.3; systemd src/basic/env-file.c; systemd.exec(5) EnvironmentFile.
"""

from __future__ import annotations

import re
from typing import Any

from workflow_agent.model.errors import InternalError, ValidationError
from workflow_agent.scripts.writers.values import one_line, scalar_text

__all__ = ["expect_env", "expect_ini", "read_env", "read_ini", "write_env", "write_ini"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENV_LINE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\$`]|\\["\\$`])*)"')
_ENV_SPECIAL = re.compile(r'(["\\$`])')
_WORD_DANGER = re.compile(r"""[\s"'\\*?\[]""")
_INI_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.$/@ -]*")
_INI_SECTION = re.compile(r"[^\[\]\s][^\[\]]*")
_INI_DANGER = re.compile(r"""^["';#]|\s[;#]|\\$""")


def write_env(values: Any) -> str:
    """Write one assignment per line, in the order given."""
    return "".join(f'{name}="{_ENV_SPECIAL.sub(_backslash, value)}"\n' for name, value in expect_env(values).items())


def _backslash(match: re.Match[str]) -> str:
    return "\\" + match[1]


def expect_env(values: Any) -> dict[str, str]:
    """Give names and the texts that a reader should get; raises ValidationError for what cannot be written."""
    if not isinstance(values, dict):
        raise ValidationError("an `env` file needs a mapping from names to values")
    for name in values:
        if not _NAME.fullmatch(name):
            raise ValidationError(f"{name!r} is not a variable's name", where=name)
    return {name: one_line(_env_text(value, name), name) for name, value in values.items()}


def _env_text(value: Any, name: str) -> str:
    if not isinstance(value, list):
        return scalar_text(value, name)
    words = [scalar_text(item, name) for item in value]
    for word in words:
        if not word or _WORD_DANGER.search(word):
            raise ValidationError(
                "a word in a list is empty, or contains blanks, quotes, `\\`, `*`, `?` or `[`",
                where=name,
                hint="sh and systemd would split or expand it differently; use a configuration file instead",
            )
    return " ".join(words)


def read_env(text: str) -> dict[str, str]:
    """Read what `write_env` writes, strictly."""
    result: dict[str, str] = {}
    for line in text.removesuffix("\n").split("\n") if text else ():
        match = _ENV_LINE.fullmatch(line)
        if match is None:
            raise InternalError("an env file has a line that is no assignment")
        result[match[1]] = re.sub(r"\\(.)", r"\1", match[2])
    return result


def write_ini(values: Any) -> str:
    """Write sections in the order given, the section ``""`` first and without a header."""
    parts = []
    for section, keys in expect_ini(values).items():
        header = f"[{section}]\n" if section else ""
        parts.append(header + "".join(f"{key} = {text}".rstrip() + "\n" for key, text in keys.items()))
    return "\n".join(parts)


def expect_ini(values: Any) -> dict[str, dict[str, str]]:
    """Give sections, keys and texts; raises ValidationError for what readers would take differently."""
    if not isinstance(values, dict) or not all(isinstance(keys, dict) for keys in values.values()):
        raise ValidationError("an `ini` file needs a mapping of sections to keys")
    if "" in values:
        values = {"": values[""], **values}
    _refuse_twins(list(values), "section")
    return {section: _ini_keys(section, keys) for section, keys in values.items()}


def _ini_keys(section: str, keys: dict[str, Any]) -> dict[str, str]:
    if section and (not _INI_SECTION.fullmatch(section) or section != section.strip()):
        raise ValidationError("a section's name contains brackets or blanks at its ends", where=section)
    one_line(section, section)
    _refuse_twins(list(keys), "key")
    return {key: _ini_text(f"{section}.{key}", key, value) for key, value in keys.items()}


def _ini_text(where: str, key: str, value: Any) -> str:
    if not _INI_KEY.fullmatch(key) or key != key.strip():
        raise ValidationError("a key has characters that INI readers take differently", where=where)
    text = one_line(scalar_text(value, where), where)
    if text != text.strip() or _INI_DANGER.search(text):
        raise ValidationError(
            "a value has blanks at its ends, a quote or comment sign that INI readers take differently",
            where=where,
        )
    return text


def _refuse_twins(names: list[str], kind: str) -> None:
    folded = [name.casefold() for name in names]
    for name in names:
        if folded.count(name.casefold()) > 1:
            raise ValidationError(f"{kind} `{name}` is there twice for readers that ignore case", where=name)


def read_ini(text: str) -> dict[str, dict[str, str]]:
    """Read with the standard library's parser, without interpolation, case kept."""
    from configparser import ConfigParser, Error  # noqa: PLC0415 - late: 5 ms

    parser = ConfigParser(interpolation=None, delimiters=("=",), default_section="\0", strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # the documented way to keep case
    nameless = "\1"
    has_nameless = bool(text) and not text.startswith("[")
    try:
        parser.read_string(f"[{nameless}]\n{text}" if has_nameless else text)
    except Error as error:
        raise InternalError("an INI file cannot be read back", cause=str(error)) from error
    return {"" if name == nameless else name: dict(parser.items(name, raw=True)) for name in parser.sections()}
