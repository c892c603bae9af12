"""What goes into a writer: plain JSON values, checked once, and an exact comparison."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from workflow_agent.model.errors import ValidationError

__all__ = ["MAX_BYTES", "normalise", "one_line", "same", "scalar_text"]

MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 64
_MAX_INTEGER = 2**63
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


def normalise(value: Any, path: str = "", depth: int = 0) -> Any:
    """Copy JSON values as plain dict, list and scalars.

    Raises:
        ValidationError: another type, a key that is no text, no finite number, more than 64 bits, broken
            Unicode, or nested deeper than 64 levels.
    """
    if depth > _MAX_DEPTH:
        raise ValidationError(f"values are nested deeper than {_MAX_DEPTH} levels", where=path)
    if isinstance(value, str):
        return _text(value, path)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value, path)
    if isinstance(value, Mapping):
        return {
            _key(key, path): normalise(item, f"{path}.{key}" if path else str(key), depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [normalise(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    raise ValidationError(f"a {type(value).__name__} cannot be written", where=path or None)


def _text(value: str, path: str) -> str:
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise ValidationError("a text is not valid Unicode", where=path or None) from None
    if size > MAX_BYTES:
        raise ValidationError(f"a text is larger than {MAX_BYTES} bytes", where=path or None)
    return str.__str__(value)


def _number(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise ValidationError("a number is not finite", where=path or None)
    if isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise ValidationError("a number needs more than 64 bits", where=path or None)
    return value


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise ValidationError(f"the key {key!r} is not a text", where=path or None)
    return _text(key, path)


def same(left: Any, right: Any) -> bool:
    """Compare exactly: type by type, 1 is neither true nor 1.0, -0.0 is not 0.0; the order of keys is free."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return bool(left == right)


def scalar_text(value: Any, where: str) -> str:
    """Write a scalar for a format that knows only texts; raises ValidationError for lists, mappings, null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return value
    kind = "null" if value is None else f"a {type(value).__name__}"
    raise ValidationError(f"{kind} cannot be written here", where=where)


def one_line(text: str, where: str) -> str:
    """Give the text back if it is one line without control characters; tabs are allowed."""
    if _CONTROL.search(text):
        raise ValidationError("a value contains a line end or control character", where=where)
    return text
