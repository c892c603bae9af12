"""What a model is told of a tool: JSON Schema of its parameters, from a function's signature or a declaration."""

from __future__ import annotations

import inspect
import re
import types
import typing
from typing import TYPE_CHECKING, Any, Final, Literal, Union, get_args, get_origin

from workflow_agent.authoring.sdk import callables
from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["declared_schema", "described", "function_schema"]

_PLAIN: Final = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}
#: Keys of a declared parameter that say something to us and nothing to a model.
_OURS: Final = frozenset({"required"})
_ARGUMENT = re.compile(r"^\s+(?P<name>\w+)(?: \([^)]*\))?: (?P<text>.+)$")


def function_schema(function: Callable[..., Any]) -> dict[str, Any]:
    """Give the schema of a function's parameters; their descriptions are those of ``Args:`` in its docstring.

    Raises:
        ValidationError: a parameter has a type that cannot be told, or cannot be given by name.
    """
    where = callables.place_of(function)
    hints = _hints(function, where)
    told = _told(inspect.getdoc(function) or "")
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, parameter in callables.wanted(function, is_method=False).items():
        schema = _schema(hints.get(name, Any), name, where)
        properties[name] = schema | ({"description": told[name]} if name in told else {})
        if parameter.default is inspect.Parameter.empty:
            required.append(name)
    return _object(properties, required)


def declared_schema(parameters: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Give the schema of declared parameters; those without a default are required unless they say otherwise."""
    properties = {
        name: {key: value for key, value in spec.items() if key not in _OURS} for name, spec in parameters.items()
    }
    required = [name for name, spec in parameters.items() if spec.get("required", "default" not in spec)]
    return _object(properties, required)


def described(function: Callable[..., Any]) -> str:
    """Give what a function's docstring says before its ``Args:``."""
    text = inspect.getdoc(function) or ""
    return re.split(r"^(?:Args|Returns|Raises|Yields):", text, maxsplit=1, flags=re.MULTILINE)[0].strip()


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return made | ({"required": required} if required else {})


def _hints(function: Callable[..., Any], where: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(inspect.unwrap(function))
    except (NameError, TypeError):
        # An annotation of the context alone may name what is there for type checkers only.
        wanted = callables.wanted(function, is_method=False)
        found = {name: parameter.annotation for name, parameter in wanted.items()}
        try:
            return {name: _evaluated(function, note) for name, note in found.items()}
        except (NameError, TypeError) as error:
            raise ValidationError(
                "the types of a tool's parameters cannot be read",
                where=where,
                cause=str(error),
                hint="import what the annotations name outside of `if TYPE_CHECKING`",
            ) from error


def _evaluated(function: Callable[..., Any], note: Any) -> Any:
    if note is inspect.Parameter.empty:
        return Any
    stand_in = type("Parameter", (), {"__annotations__": {"it": note}, "__module__": function.__module__})
    return typing.get_type_hints(stand_in, inspect.unwrap(function).__globals__)["it"]


def _schema(hint: Any, name: str, where: str) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return {}
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if hint is list or origin is list:
        return {"type": "array"} | ({"items": _schema(arguments[0], name, where)} if arguments else {})
    if hint is dict or origin is dict:
        more = {"additionalProperties": _schema(arguments[1], name, where)} if arguments else {}
        return {"type": "object"} | more
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in {Union, types.UnionType}:
        return {"anyOf": [_schema(each, name, where) for each in arguments]}
    raise ValidationError(
        f"the parameter `{name}` of a tool has a type that no model can be told",
        where=where,
        cause=str(hint)[:200],
        hint="use str, int, float, bool, list, dict, Literal, and these with `| None`",
    )


def _told(text: str) -> dict[str, str]:
    """Read what a docstring says of each argument, in Google's form; a description may go on over lines."""
    _, found, rest = text.partition("Args:\n")
    told: dict[str, str] = {}
    last: str | None = None
    for line in rest.splitlines() if found else ():
        if line and not line[0].isspace():
            break
        match = _ARGUMENT.match(line)
        if match is not None:
            last = match["name"]
            told[last] = match["text"].strip()
        elif line.strip() and last is not None:
            told[last] += " " + line.strip()
        elif not line.strip():
            last = None
    return told
