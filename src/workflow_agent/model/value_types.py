"""The types that inputs declare, and which JSON values are of them."""

from __future__ import annotations

from typing import Any

__all__ = ["VALUE_TYPES", "is_of_type", "type_of"]

_CLASSES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}

#: ``any`` takes every value. A boolean is no number; an integer is one.
VALUE_TYPES = ("any", *_CLASSES)


def is_of_type(value: Any, name: str) -> bool:  # Any: a JSON value
    """Say whether a JSON value is of a type of :data:`VALUE_TYPES`; null is of ``any`` only."""
    if name == "any":
        return True
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _CLASSES[name])


def type_of(value: Any) -> str:  # Any: a JSON value
    """Name the narrowest type of a JSON value (``null`` for null)."""
    return next((name for name, classes in _CLASSES.items() if type(value) in classes), "null")
