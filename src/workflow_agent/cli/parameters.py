"""Parameters as they are typed: ``k=v``, ``k=@FILE``, files, times. Types are the manifest's business."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import ParameterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read_parameters", "seconds"]

_MAX_FILE_BYTES = 1 << 20
_TIME = r"(?:(\d{1,4})d)?(?:(\d{1,6})h)?(?:(\d{1,7})m)?(?:(\d{1,9}(?:\.\d{1,6})?)s)?"
_UNITS = (86400.0, 3600.0, 60.0, 1.0)


def read_parameters(typed: Sequence[str], file: Path | None) -> dict[str, Any]:
    """Put parameters together: those of the file, replaced by what was typed; repeated ones become lists.

    Raises:
        ParameterError: an item is not ``k=v``, a file cannot be read or holds no mapping.
    """
    parameters = _file(file) if file is not None else {}
    given: dict[str, list[str]] = {}
    for item in typed:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise ParameterError(
                "a parameter is written `name=value`",
                where="--param",
                cause=f"{item[:60]!r} is not",
                hint="--param port=8080",
            )
        given.setdefault(name, []).append(_text(Path(value[1:]), name) if value.startswith("@") else value)
    return parameters | {name: values if len(values) > 1 else values[0] for name, values in given.items()}


def _text(path: Path, name: str) -> str:
    """Read a value from a file; one line end at the end belongs to the file, not to the value."""
    return _read(path, f"--param {name}").removesuffix("\n")


def _read(path: Path, where: str) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ParameterError(
            "the file of a parameter cannot be read", where=f"{where} › {path}", cause=error.strerror or str(error)
        ) from error
    if len(raw) > _MAX_FILE_BYTES:
        raise ParameterError("the file of a parameter is larger than 1 MiB", where=f"{where} › {path}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParameterError("the file of a parameter is not UTF-8 text", where=f"{where} › {path}") from error


def _file(path: Path) -> dict[str, Any]:
    text = _read(path, "--param-file")
    if path.suffix == ".toml":
        import tomllib  # noqa: PLC0415  # late: 5 ms

        try:
            data: object = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ParameterError("the file is not valid TOML", where=str(path), cause=str(error)) from error
    else:
        from workflow_agent.authoring import load_yaml  # noqa: PLC0415  # late: yaml, 16 ms

        data = load_yaml(text, source=str(path)).data
    if not isinstance(data, dict):
        raise ParameterError("the file holds no mapping of names to values", where=str(path))
    return data


def seconds(text: str, option: str) -> float:
    """Read a time: ``90``, ``90s``, ``10m``, ``1h30m``.

    Raises:
        UsageError: it is none, or zero or less.
    """
    match = re.fullmatch(_TIME, text)
    if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text):
        value = float(text)
    elif text and match:
        value = sum(float(part) * unit for part, unit in zip(match.groups(), _UNITS, strict=True) if part)
    else:
        raise UsageError(f"`{text[:40]}` is no time", where=option, hint="write it as 90, 90s, 10m or 1h30m")
    if value <= 0:
        raise UsageError("a time must be more than nothing", where=option)
    return value
