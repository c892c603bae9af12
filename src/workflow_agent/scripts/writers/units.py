r"""systemd units and drop-ins: ``{section: {key: value}}``.

Values are meant literally; the writer escapes what systemd would expand:

* ``%`` is doubled, except in a value that is just a number and ``%`` (``CPUQuota=20%``), where systemd expands
  nothing.
* Commands (``Exec…=``) are lists of words: each is quoted where needed, ``%`` and ``$`` doubled. A word
  ``{"variable": "NAME"}`` stands for the words of that variable (``$NAME``). The program is an absolute path. A
  list of such lists gives several commands, of which ``[]`` clears what came before. A text is possible if it
  has plain words only.
* ``Environment=`` is a mapping of names to values.
* Every other key takes a scalar (booleans as ``true`` and ``false``) or a list of scalars, one line each; an
  empty text clears what came before. They may not end in ``\`` and are otherwise not quoted.

Source: systemd.syntax(7), systemd.unit(5) Specifiers, systemd.service(5) Command lines.
"""

from __future__ import annotations

import re
from typing import Any

from workflow_agent.model.errors import InternalError, ValidationError
from workflow_agent.scripts.writers.values import one_line, scalar_text

__all__ = ["expect", "read", "write"]

_SECTION = re.compile(r"[A-Z][A-Za-z0-9-]*")
_KEY = re.compile(r"[A-Z][A-Za-z0-9]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE = re.compile(r"[A-Za-z0-9_./:,@+=^~{}|()<>!&%$-]+")
_PLAIN_COMMAND = re.compile(r"/[A-Za-z0-9_./:,@+= -]*")
_PERCENTAGE = re.compile(r"[0-9]+(\.[0-9]+)?%")
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
#: A unit file, read back: sections, keys, and the lines of each key.
Unit = dict[str, dict[str, list[str]]]


def write(values: Any) -> str:
    """Write sections and keys in the order given."""
    parts = []
    for section, keys in expect(values).items():
        lines = [f"{key}={_line(key, item)}" for key, items in keys.items() for item in items]
        parts.append("\n".join([f"[{section}]", *lines]) + "\n")
    return "\n".join(parts)


def expect(values: Any) -> dict[str, dict[str, list[Any]]]:
    """Give for every key its lines, as literal texts (commands: lists of words, variables as ``$NAME`` pairs)."""
    if not isinstance(values, dict) or not all(isinstance(keys, dict) for keys in values.values()):
        raise ValidationError("a `systemd` file needs a mapping of sections to keys")
    result: dict[str, dict[str, list[Any]]] = {}
    for section, keys in values.items():
        if not _SECTION.fullmatch(section):
            raise ValidationError(f"{section!r} is not a section of a unit", where=section)
        result[section] = {key: _items(f"{section}.{key}", key, value) for key, value in keys.items()}
    return result


def _items(where: str, key: str, value: Any) -> list[Any]:
    if not _KEY.fullmatch(key):
        raise ValidationError(f"{key!r} is not a key of a unit", where=where)
    if value == []:
        raise ValidationError("an empty list says nothing", where=where, hint='use "" (or [[]]) to clear a setting')
    if _is_command(key):
        return _commands(where, value)
    if key == "Environment":
        return _environment(where, value)
    scalars = value if isinstance(value, list) else [value]
    return [_setting(where, scalar_text(item, where)) for item in scalars]


def _is_command(key: str) -> bool:
    return key.startswith("Exec") and key not in ("ExecSearchPath", "ExecPaths")


def _setting(where: str, text: str) -> str:
    one_line(text, where)
    if text != text.strip() or text.endswith("\\"):
        raise ValidationError("a setting has blanks at its ends or ends in `\\`", where=where)
    return text


def _environment(where: str, value: Any) -> list[Any]:
    if not isinstance(value, dict):
        raise ValidationError("`Environment` needs a mapping of names to values", where=where)
    for name in value:
        if not _VARIABLE.fullmatch(name):
            raise ValidationError(f"{name!r} is not a variable's name", where=where)
    return [[f"{name}={one_line(scalar_text(item, where), where)}"] for name, item in value.items()]


def _commands(where: str, value: Any) -> list[Any]:
    if isinstance(value, str):
        if value and not _PLAIN_COMMAND.fullmatch(value):
            raise ValidationError(
                "a command as one text may have plain words only", where=where, hint="give it as a list of words"
            )
        return [value.split()]
    if not isinstance(value, list):
        raise ValidationError("a command is a list of words", where=where)
    several = all(isinstance(item, list) for item in value)
    return [_command(where, words) for words in (value if several else [value])]


def _command(where: str, words: list[Any]) -> list[Any]:
    if not words:
        return []
    result = [_command_word(where, word) for word in words]
    program = result[0]
    if not isinstance(program, str) or not re.fullmatch(r"/[^\s\"'\\$;]*", program):
        raise ValidationError("a command begins with the absolute path of a program", where=where)
    return result


def _command_word(where: str, word: Any) -> Any:
    if isinstance(word, dict):
        name = word.get("variable")
        if set(word) != {"variable"} or not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise ValidationError('a word is a text or {"variable": "NAME"}', where=where)
        return word
    return one_line(scalar_text(word, where), where)


def _line(key: str, item: Any) -> str:
    if isinstance(item, str):
        return item if _PERCENTAGE.fullmatch(item) else item.replace("%", "%%")
    if key == "Environment":
        return _quoted(item[0].replace("%", "%%"))
    return " ".join(_written_word(word) for word in item)


def _written_word(word: Any) -> str:
    if isinstance(word, dict):
        return f"${word['variable']}"
    return _quoted(word.replace("%", "%%").replace("$", "$$"))


def _quoted(text: str) -> str:
    if _BARE.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return f'"{escaped}"'


def read(text: str) -> dict[str, dict[str, list[Any]]]:
    """Read a unit that `write` wrote and undo the escapes; raises InternalError for anything else."""
    result: dict[str, dict[str, list[Any]]] = {}
    keys: dict[str, list[Any]] | None = None
    for line in filter(None, text.split("\n")):
        if line.startswith("["):
            keys = result.setdefault(line[1:-1], {})
            continue
        key, equals, value = line.partition("=")
        if keys is None or not equals:
            raise InternalError("a unit file has a line outside every section")
        keys.setdefault(key, []).append(_read_value(key, value))
    return result


def _read_value(key: str, value: str) -> Any:
    if key == "Environment":
        return [_unquoted(value).replace("%%", "%")]
    if _is_command(key):
        return [_read_word(match) for match in _WORD.finditer(value)]
    return value if _PERCENTAGE.fullmatch(value) else value.replace("%%", "%")


def _read_word(match: re.Match[str]) -> Any:
    word = _unquoted(match[0])
    if match[2] and re.fullmatch(r"\$[A-Za-z_][A-Za-z0-9_]*", word):
        return {"variable": word[1:]}
    return word.replace("$$", "$").replace("%%", "%")


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    return re.sub(r"\\(.)", lambda match: "\t" if match[1] == "t" else match[1], text[1:-1])
