"""JSON values to records where that needs no judgement: every value has exactly the type that is declared.

What comes from our own workflows and files nearly always has. Loading pydantic and building its validators takes a
third of the time of a short command, so whoever takes data in asks here first, and pydantic (``judging``) for the
rest: what is to be converted, and what is wrong with it. A value that is taken here is one that pydantic takes, and
gives the same.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from workflow_agent.model.frozen import FrozenDict, FrozenList

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Read", "Within", "exact", "hints_of"]

_T = TypeVar("_T")
_OBJECTS = (dict, FrozenDict)
_LISTS = (list, FrozenList)


class _MisfitError(Exception):
    """A value is not exactly what is declared: somebody else has to judge it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """Bounds of a number, beside its type: ``Annotated[float, Within(gt=0)]``. Never infinite, never no number."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None

    def holds(self, value: float) -> bool:
        """Tell whether a number is within."""
        return (
            (isinstance(value, int) or math.isfinite(value))  # a large one has no float
            and (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """How a value is read before its type is looked at; the function raises ValueError, saying what is wrong."""

    function: Callable[[Any], Any]


def exact(record: type[_T], data: Any) -> _T | None:  # Any: what came in
    """Make a record of data that fits it exactly.

    Args:
        record: A dataclass whose annotations can be evaluated where it stands.
        data: Its fields as JSON values, enums and paths; lists where tuples are declared.

    Returns:
        The record; None where anything is missing, unknown, or not of the very type that is declared.
    """
    try:
        made: _T = _record(record, data)
    except _MisfitError:
        return None
    return made


def hints_of(record: Any) -> dict[str, Any]:  # Any: a dataclass, and type annotations
    """Give the annotations of a dataclass's fields, evaluated."""
    return _hints(record)


@cache
def _hints(record: type) -> dict[str, Any]:
    hints = typing.get_type_hints(record, include_extras=True)
    return {item.name: hints[item.name] for item in dataclasses.fields(record)}


@cache
def _fields(record: type) -> tuple[dict[str, Callable[[Any], Any]], frozenset[str]]:
    """Give how each field is read, and which fields have to be given."""
    needed = frozenset(
        item.name
        for item in dataclasses.fields(record)
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    )
    return {name: _reader(hint) for name, hint in hints_of(record).items()}, needed


def _record(record: type, data: Any) -> Any:
    if isinstance(data, record):
        return data
    if type(data) not in _OBJECTS:
        raise _MisfitError
    readers, needed = _fields(record)
    if not needed <= data.keys() <= readers.keys():
        raise _MisfitError
    return record(**{name: readers[name](value) for name, value in data.items()})


def _reader(hint: Any) -> Callable[[Any], Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin in _MADE:
        return _MADE[origin](arguments)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _enum(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return lambda value: _record(hint, value)
    return _refuse  # a type that is not known here


def _refuse(_: Any) -> Any:
    raise _MisfitError


def _same(value: Any) -> Any:
    return value


def _of(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise _MisfitError
        return value

    return read


def _text(value: Any) -> Any:
    if type(value) is not str:
        raise _MisfitError
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # half of a pair: no text that could be written anywhere
            raise _MisfitError from None
    return value


def _number(value: Any) -> Any:
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise _MisfitError from None
    if type(value) is not float:
        raise _MisfitError
    return value


def _path(value: Any) -> Any:
    if not isinstance(value, Path):
        raise _MisfitError
    return value


def _enum(kind: type[StrEnum]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is kind:
            return value
        try:
            return kind(_text(value))
        except ValueError:
            raise _MisfitError from None

    return read


def _annotated(arguments: tuple[Any, ...]) -> Callable[[Any], Any]:
    read, bounds = _reader(arguments[0]), [item for item in arguments[1:] if isinstance(item, Within)]
    first = [item.function for item in arguments[1:] if isinstance(item, Read)]

    def read_bounded(value: Any) -> Any:
        for function in first:
            try:
                value = function(value)
            except ValueError:
                raise _MisfitError from None
        made = read(value)
        if not all(bound.holds(made) for bound in bounds):
            raise _MisfitError
        return made

    return read_bounded


def _literal(arguments: tuple[Any, ...]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not any(type(value) is type(item) and value == item for item in arguments):
            raise _MisfitError
        return value

    return read


def _union(arguments: tuple[Any, ...]) -> Callable[[Any], Any]:
    """Read one type or none, or one of several scalars as the scalar that it is."""
    kinds = [item for item in arguments if item is not types.NoneType]
    if len(kinds) > 1 and not all(item in {str, int, bool} or get_origin(item) is Literal for item in kinds):
        return _refuse  # which of them is meant is not decided here
    readers = [_reader(item) for item in kinds]
    can_be_none = len(kinds) < len(arguments)

    def read_one(value: Any) -> Any:
        if value is None and can_be_none:
            return None
        for read in readers[:-1]:
            try:
                return read(value)
            except _MisfitError:
                continue
        return readers[-1](value)

    return read_one


def _list(arguments: tuple[Any, ...]) -> Callable[[Any], Any]:
    read = _reader(arguments[0])

    def read_list(value: Any) -> Any:
        if type(value) not in _LISTS:
            raise _MisfitError
        return [read(item) for item in value]

    return read_list


def _tuple(arguments: tuple[Any, ...]) -> Callable[[Any], Any]:
    if len(arguments) != 2 or arguments[1] is not Ellipsis:  # noqa: PLR2004  # a type and the dots
        return _refuse
    read = _reader(arguments[0])

    def read_tuple(value: Any) -> Any:
        if type(value) not in _LISTS and type(value) is not tuple:
            raise _MisfitError
        return tuple(read(item) for item in value)

    return read_tuple


def _mapping(arguments: tuple[Any, ...]) -> Callable[[Any], Any]:
    read_key, read = _reader(arguments[0]), _reader(arguments[1])

    def read_mapping(value: Any) -> Any:
        if type(value) not in _OBJECTS:
            raise _MisfitError
        return {read_key(key): read(item) for key, item in value.items()}

    return read_mapping


_PLAIN: dict[Any, Callable[[Any], Any]] = {
    Any: _same,
    str: _text,
    int: _of(int),
    bool: _of(bool),
    float: _number,
    Path: _path,
}
_MADE: dict[Any, Callable[[tuple[Any, ...]], Callable[[Any], Any]]] = {
    Annotated: _annotated,
    Literal: _literal,
    Union: _union,
    types.UnionType: _union,
    list: _list,
    tuple: _tuple,
    dict: _mapping,
    Mapping: _mapping,
}
