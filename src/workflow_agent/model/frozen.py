"""JSON values that cannot be changed in place, so that a run's state, its events and its definition stay as they are.

They are dictionaries and lists for whoever reads, compares or writes them as JSON. What would change one raises
TypeError. A copy, shallow (``dict(value)``, ``value.copy()``) or deep (:func:`thaw`, ``copy.deepcopy``), belongs to
whoever makes it and can be changed.
"""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["FrozenDict", "FrozenList", "empty", "freeze", "thaw"]


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError("this value is part of a record and cannot be changed: change a copy (`copy.deepcopy(value)`)")


class FrozenDict(dict[str, Any]):
    """An object of JSON values that cannot be changed."""

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        """Give a copy that can be changed."""
        copied: dict[str, Any] = thaw(self)
        return copied

    def __copy__(self) -> dict[str, Any]:
        """Give a copy of which the first level can be changed."""
        return dict(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by way of the constructor."""
        return FrozenDict, (dict(self),)


class FrozenList(list[Any]):
    """A list of JSON values that cannot be changed."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        """Give a copy that can be changed."""
        copied: list[Any] = thaw(self)
        return copied

    def __copy__(self) -> list[Any]:
        """Give a copy of which the first level can be changed."""
        return list(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by way of the constructor."""
        return FrozenList, (list(self),)


_EMPTY = FrozenDict()
#: Levels that are frozen by recursion, which is the quicker way for what nearly all values are.
_LEVELS = 50
_OPEN = frozenset({dict, list})
#: How a part is put where the class itself does not let it.
_put_value = dict.__setitem__
_put_item = list.__setitem__


def empty() -> FrozenDict:
    """Give the empty object, one for all: the default of fields."""
    return _EMPTY


def freeze(value: Any, levels: int = _LEVELS) -> Any:  # Any: a JSON value, or anything else, which stays as it is
    """Give an equal value that cannot be changed: dictionaries and lists, at every depth, are copied once.

    What is frozen already is given back as it is, and so is what is no JSON (with what is in it).
    """
    kind = type(value)
    if kind is dict:
        if not value:
            return _EMPTY
        made = FrozenDict(value)
        for key, part in value.items():
            kind = type(part)
            if kind is dict or kind is list:
                _put_value(made, key, freeze(part, levels - 1) if levels else _frozen(part))
        return made
    if kind is list:
        items = FrozenList(value)
        if not _OPEN.isdisjoint(map(type, value)):
            for index, part in enumerate(value):
                kind = type(part)
                if kind is dict or kind is list:
                    _put_item(items, index, freeze(part, levels - 1) if levels else _frozen(part))
        return items
    return value


def _frozen(value: Any) -> Any:
    """Freeze what nests deeply, without recursion."""
    made = FrozenDict(value) if isinstance(value, dict) else FrozenList(value)
    pending: list[Any] = [made]
    for whole in pending:  # grows meanwhile
        is_object = isinstance(whole, FrozenDict)
        put = _put_value if is_object else _put_item
        for key, part in whole.items() if is_object else enumerate(whole):
            if type(part) in _OPEN:
                copied = FrozenDict(part) if isinstance(part, dict) else FrozenList(part)
                put(whole, key, copied)
                pending.append(copied)
    return made


def thaw(value: Any) -> Any:  # Any: as above
    """Give an equal value that can be changed and shares no dictionary and no list with this one."""
    if not isinstance(value, dict | list):
        return value
    made: dict[str, Any] | list[Any] = dict(value) if isinstance(value, dict) else list(value)
    pending: list[Any] = [made]
    for whole in pending:  # as above
        for key, part in whole.items() if isinstance(whole, dict) else enumerate(whole):
            if isinstance(part, dict | list):
                whole[key] = copied = dict(part) if isinstance(part, dict) else list(part)
                pending.append(copied)
    return made
