"""Where the value of a secret comes from: ``env:NAME``, ``file:PATH``, ``-``. Never a command line."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from workflow_agent.model.errors import ParameterError
from workflow_agent.model.records import dataclass
from workflow_agent.security.secret import MAX_BYTES, Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "SecretSource",
    "SecretSourceKind",
    "checked_secret",
    "how_to_give",
    "parse_sources",
    "read_secret",
    "read_secrets",
]

_OPTION: Final = "--secret"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


class SecretSourceKind(StrEnum):
    """Kinds of sources."""

    ENVIRONMENT = "env"
    FILE = "file"
    STDIN = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource:
    """Where one secret comes from. `place` is a variable's name or a path; empty for standard input."""

    name: str
    kind: SecretSourceKind
    place: str = ""


def how_to_give(name: str) -> str:
    """Say how a secret is given, for hints."""
    return f"`{_OPTION} {name}=env:NAME`, `file:PATH`, or `-` for standard input"


def parse_sources(typed: Sequence[str]) -> list[SecretSource]:
    """Read what was typed behind ``--secret``.

    Raises:
        ParameterError: an item is not ``name=env:NAME``, ``name=file:PATH`` or ``name=-``; a name comes twice; more
            than one secret is to come from standard input. What stands behind ``=`` is never repeated: it may be the
            value itself, typed by mistake.
    """
    sources = [_source(item) for item in typed]
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise ParameterError(f"the secret `{name}` is given twice", where=_OPTION)
    streamed = [source.name for source in sources if source.kind is SecretSourceKind.STDIN]
    if len(streamed) > 1:
        raise ParameterError(
            f"only one secret can come from standard input, not {' and '.join(streamed)}",
            where=_OPTION,
            hint="give the others as `env:NAME` or `file:PATH`",
        )
    return sources


def _source(item: str) -> SecretSource:
    name, equals, rest = item.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise ParameterError("a secret is written `name=SOURCE`", where=_OPTION, hint=how_to_give("password"))
    kind, _, place = rest.partition(":")
    if rest == SecretSourceKind.STDIN:
        return SecretSource(name=name, kind=SecretSourceKind.STDIN)
    if kind == SecretSourceKind.ENVIRONMENT and _VARIABLE.fullmatch(place):
        return SecretSource(name=name, kind=SecretSourceKind.ENVIRONMENT, place=place)
    if kind == SecretSourceKind.FILE and place and "\0" not in place:
        return SecretSource(name=name, kind=SecretSourceKind.FILE, place=place)
    raise ParameterError(
        f"the source of the secret `{name}` is none of env:NAME, file:PATH and -",
        where=f"{_OPTION} {name}",
        cause="a value must not stand on a command line: the process list and the shell's history show it",
        hint=how_to_give(name),
    )


def read_secrets(sources: Sequence[SecretSource], *, environ: Mapping[str, str], stdin: BinaryIO) -> dict[str, Secret]:
    """Read the values. One line end at the end of a file or of standard input belongs to it, not to the value.

    Raises:
        ParameterError: a source cannot be read, or its value is none that a secret can have.
    """
    return {
        source.name: read_secret(source, environ=environ, where=f"{_OPTION} {source.name}", stdin=stdin)
        for source in sources
    }


def read_secret(
    source: SecretSource, *, environ: Mapping[str, str], where: str, stdin: BinaryIO | None = None
) -> Secret:
    """Read one value; `where` is the place for errors. Raises as :func:`read_secrets` does."""
    return checked_secret(source.name, _read(source, environ, stdin, where), where)


def checked_secret(name: str, value: str, where: str | None = None) -> Secret:
    """Make a secret; raises ParameterError, which does not repeat the value."""
    try:
        return Secret(value)
    except ValueError as error:
        raise ParameterError(f"the secret `{name}` {error}", where=where or f"{_OPTION} {name}") from None


def _read(source: SecretSource, environ: Mapping[str, str], stdin: BinaryIO | None, where: str) -> str:
    if source.kind is SecretSourceKind.ENVIRONMENT:
        if source.place not in environ:
            raise ParameterError(f"there is no environment variable `{source.place}`", where=where)
        return environ[source.place]
    try:
        data = _bytes(source, stdin)
    except OSError as error:
        cause = error.strerror or str(error)
        raise ParameterError(f"the secret `{source.name}` cannot be read", where=where, cause=cause) from error
    if len(data) > MAX_BYTES + 2:  # its line end is not counted
        raise ParameterError(f"the secret `{source.name}` is longer than {MAX_BYTES // 1024} KiB", where=where)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:  # its message would repeat a part of the value
        raise ParameterError(f"the secret `{source.name}` is not UTF-8 text", where=where) from None
    return text.removesuffix("\n").removesuffix("\r")


def _bytes(source: SecretSource, stdin: BinaryIO | None) -> bytes:
    if source.kind is SecretSourceKind.STDIN:
        assert stdin is not None, "who lets a secret come from standard input gives it"
        return stdin.read(MAX_BYTES + 3)
    with Path(source.place).open("rb") as stream:
        return stream.read(MAX_BYTES + 3)
