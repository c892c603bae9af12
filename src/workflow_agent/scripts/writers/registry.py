"""The table of formats, the self-check that all writers share, and plain text."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import InternalError, ValidationError
from workflow_agent.scripts.writers import assignments, crontab, directives, structured, units
from workflow_agent.scripts.writers.values import MAX_BYTES, normalise, same

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    #: Writes normalised values as text.
    Write: TypeAlias = Callable[[Any], str]
    #: Reads the text back, to what :func:`same` compares with the values.
    Read: TypeAlias = Callable[[str], Any]
    #: Brings values to the form that `Read` gives, where a format knows fewer types.
    Expect: TypeAlias = Callable[[Any], Any]

__all__ = ["CONFIG_FORMATS", "write_config"]


def _write_text(values: Any) -> str:
    if not isinstance(values, str):
        raise ValidationError("a `text` file needs one text as its content")
    if any(ord(char) < 32 and char not in "\n\t" for char in values):  # noqa: PLR2004 - control characters
        raise ValidationError("a `text` file contains control characters")
    return values


def _unchanged(value: Any) -> Any:
    return value


_FORMATS: Mapping[str, tuple[Write, Read, Expect]] = {
    "cron": (crontab.write, crontab.read, crontab.expect),
    "env": (assignments.write_env, assignments.read_env, assignments.expect_env),
    "ini": (assignments.write_ini, assignments.read_ini, assignments.expect_ini),
    "json": (structured.write_json, structured.read_json, _unchanged),
    "postgresql": (directives.write_postgresql, directives.read_postgresql, directives.expect_postgresql),
    "redis": (directives.write_redis, directives.read_redis, directives.expect_redis),
    "systemd": (units.write, units.read, units.expect),
    "text": (_write_text, _unchanged, _unchanged),
    "toml": (structured.write_toml, structured.read_toml, _unchanged),
    "yaml": (structured.write_yaml, structured.read_yaml, _unchanged),
}
#: Names of the formats, sorted.
CONFIG_FORMATS = tuple(sorted(_FORMATS))


def write_config(format: str, values: Any) -> str:  # noqa: A002 - the manifest's word; Any: a JSON value
    """Write a configuration file's text and read it back; what was read must be what was meant.

    Shapes of `values`: json and yaml any JSON value; toml a mapping; ini ``{section: {key: scalar}}`` (the
    section ``""`` comes first, without a header); env ``{NAME: scalar or list of words}``; redis and postgresql see
    :mod:`directives`; systemd see :mod:`units`; cron see :mod:`crontab`; text one text, taken as it is.

    Raises:
        ValidationError: the format is unknown, or a value cannot be written in it so that all its usual readers
            read the same.
        InternalError: the self-check failed; nothing should be written then.
    """
    entry = _FORMATS.get(format)
    if entry is None:
        nearest = get_close_matches(format, CONFIG_FORMATS, n=1)
        hint = f"did you mean `{nearest[0]}`?" if nearest else "known: " + ", ".join(CONFIG_FORMATS)
        raise ValidationError(f"there is no file format `{format}`", hint=hint)
    write, read, expect = entry
    meant = normalise(values)
    text = write(meant)
    if len(text.encode()) > MAX_BYTES:
        raise ValidationError(f"the file would be larger than {MAX_BYTES} bytes")
    if not same(read(text), expect(meant)):
        raise InternalError(f"a {format} file reads back differently from what was written")
    return text
