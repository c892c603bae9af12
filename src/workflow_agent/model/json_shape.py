"""Whether a JSON value has the shape that a small part of JSON Schema describes. Pure; nothing is fetched or compiled.

Source: JSON Schema 2020-12, validation; of its words ``type``, ``enum``, ``items``, ``properties``, ``required``,
``additionalProperties`` and ``anyOf`` are known here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.value_types import is_of_type, type_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["shape_problems"]

_SHOWN: Final = 60


def shape_problems(value: Any, schema: Mapping[str, Any], place: str = "") -> Iterator[str]:  # Any: JSON values
    """Say what of a value is not as a schema says, each as a sentence that names the place."""
    name = f"`{place}`" if place else "the value"
    if "anyOf" in schema:
        if not any(next(shape_problems(value, each, place), None) is None for each in schema["anyOf"]):
            yield f"{name} is of none of the types that it may have"
        return
    if "enum" in schema and not any(type(value) is type(each) and value == each for each in schema["enum"]):
        yield f"{name} must be one of {', '.join(json.dumps(each)[:_SHOWN] for each in schema['enum'])}"
        return
    wanted = schema.get("type")
    if wanted is not None and not (value is None if wanted == "null" else is_of_type(value, wanted)):
        yield f"{name} must be of type {wanted}, not {type_of(value)}"
        return
    if isinstance(value, Mapping):
        yield from _object_problems(value, schema, place)
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from shape_problems(item, schema["items"], f"{place}[{index}]")


def _object_problems(value: Mapping[str, Any], schema: Mapping[str, Any], place: str) -> Iterator[str]:
    known: Mapping[str, Any] = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"`{_below(place, name)}` is missing"
    for name, item in value.items():
        more = schema.get("additionalProperties", True)
        if name in known:
            yield from shape_problems(item, known[name], _below(place, name))
        elif isinstance(more, Mapping):
            yield from shape_problems(item, more, _below(place, name))
        elif not more:
            hint = did_you_mean(name, known)
            yield f"there is no `{_below(place, name)[:_SHOWN]}`" + (f" ({hint})" if hint else "")


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
