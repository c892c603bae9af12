"""Python values as JSON: what steps return, keep and send."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from workflow_agent.model.errors import ValidationError

__all__ = ["as_json", "json_text"]

_DEEPEST = 200
_HINT = "return texts, numbers, booleans, None, lists and dicts with texts as keys"


def as_json(value: Any, *, what: str, where: str | None = None) -> Any:  # Any: JSON out
    """Give a copy that has JSON types only, and equals what the journal will give back.

    Dates and times become ISO 8601 texts; data classes, mappings and objects with ``to_json`` become objects; tuples
    become lists; enumerations their values; paths and UUIDs texts.

    Args:
        value: Anything.
        what: What it is, for the error, such as "the result of `fetch`".
        where: Place for the error.

    Raises:
        ValidationError: a part of it is something else; the error names the part.
    """
    try:
        return _plain(value, "", 0)
    except _NotJsonError as error:
        part = f" at `{error.way.lstrip('.')}`" if error.way else ""
        raise ValidationError(
            f"{what} is not JSON{part}: {error.problem}", where=where, hint=_HINT, details={"path": error.way}
        ) from None


def json_text(value: Any) -> str:
    """Write a value as JSON text; dates and times as ISO 8601.

    Raises:
        ValidationError: a part of it cannot be written.
    """
    return json.dumps(as_json(value, what="the value"), ensure_ascii=False, allow_nan=False)


class _NotJsonError(Exception):
    def __init__(self, way: str, problem: str) -> None:
        super().__init__(problem)
        self.way = way
        self.problem = problem


def _plain(value: Any, way: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise _NotJsonError(way[:80], f"it nests deeper than {_DEEPEST}")
    if value is None or isinstance(value, bool | str):
        return _text(value, way) if isinstance(value, str) else value
    if isinstance(value, Enum):
        return _plain(value.value, way, depth + 1)
    if isinstance(value, int | float):
        return _number(value, way)
    if isinstance(value, Mapping):
        return {_key(key, way): _plain(item, f"{way}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{way}[{index}]", depth + 1) for index, item in enumerate(value)]
    return _plain(_simpler(value, way), way, depth + 1)


def _simpler(value: Any, way: str) -> Any:
    """Take one step from an object towards JSON."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, PurePath | UUID):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if hasattr(value, "to_json") and not isinstance(value, type):
        return value.to_json()
    raise _NotJsonError(way, f"it is of the type `{type(value).__qualname__}`")


def _number(value: float, way: str) -> float:
    if isinstance(value, float) and not math.isfinite(value):
        raise _NotJsonError(way, f"{value} is no number of JSON")
    return float(value) if isinstance(value, float) else int(value)


def _text(value: str, way: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _NotJsonError(way, "a text is not valid Unicode") from None
    return str(value)


def _key(key: Any, way: str) -> str:
    if not isinstance(key, str):
        raise _NotJsonError(way, f"the key {str(key)[:40]!r} is of the type `{type(key).__qualname__}`")
    return _text(key, way)
