"""``dataclass``, as in the standard library, for classes that most commands define and few commands make.

A frozen dataclass costs 0.4 ms when its module loads: six methods are written as text and compiled. Sixty modules of
ours load for one command, so that was a tenth of a second. Here the fields are found out when somebody asks for them,
and the methods are written when objects are compared, or made more than a few times, by the standard library itself.
Everything else is the same.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from dataclasses import dataclass, replace
else:

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        """Make a dataclass; see :func:`dataclasses.dataclass`. Methods come late for frozen ones with slots."""
        return _maker(options) if cls is None else dataclasses.dataclass(cls)

    def replace(obj: Any, /, **changes: Any) -> Any:
        """Give a copy where some fields differ; for classes with slots a quarter of the standard library's time."""
        copier = _COPIERS.get(obj.__class__) or _written_copier(obj.__class__)
        return copier(obj, changes)


__all__ = ["dataclass", "late_dataclass", "replace"]

_FIELDS = "__dataclass_fields__"
#: What these are in an annotation decides whether it is a field at all: the standard library finds out.
_NO_FIELDS = ("ClassVar", "InitVar", "KW_ONLY")
#: Objects of a class that are filled by hand: writing its `__init__` takes as long as a dozen of them.
_FEW = 4
#: Fields of a class from which on declaring an object to be another class, and back, is quicker than
#: ``object.__setattr__`` for each.
_MANY = 4
_LATE_OPTIONS = ({"frozen": True, "slots": True}, {"frozen": True, "slots": True, "kw_only": True})


def _maker(options: dict[str, Any]) -> Callable[[type], type]:
    late = options in _LATE_OPTIONS

    def make(cls: type) -> type:
        if late and not _stands_on_dataclass(cls):
            return _late(cls, kw_only="kw_only" in options)
        made: type = dataclasses.dataclass(**options)(cls)
        return made

    return make


def late_dataclass(cls: type) -> None:
    """Make a class a frozen keyword-only dataclass where it stands, so without slots; its bases are made so as well."""
    _late(cls, kw_only=True, slots=False)


def _stands_on_dataclass(cls: type) -> bool:
    return any(_FIELDS in base.__dict__ for base in cls.__mro__[1:])


def _late(cls: type, *, kw_only: bool, slots: bool = True) -> type:
    own = cls.__dict__
    notes: dict[str, Any] = own.get("__annotations__", {})
    made: Any
    if (slots and cls.__bases__ != (object,)) or not all(map(_is_field, notes.values())):
        # a base that is frozen wants the same said of what stands on it
        options = {"slots": slots, "kw_only": kw_only, "frozen": _stands_on_dataclass(cls)}
        made = dataclasses.dataclass(init=False, repr=False, eq=False, **options)(cls)
    else:
        made = _declared(cls, notes, kw_only=kw_only, slots=slots)
    for name, method in _STAND_INS.items():
        if own.get(name) is None:  # a class with an `__eq__` of its own has None as `__hash__`
            setattr(made, name, method)
    made.__dataclass_params__ = _PARAMETERS
    result: type = made
    return result


def _is_field(note: Any) -> bool:  # Any: an annotation
    return isinstance(note, str) and not any(word in note for word in _NO_FIELDS)


def _declared(cls: Any, notes: dict[str, Any], *, kw_only: bool, slots: bool) -> Any:
    """Make a class that has fields, as the standard library does, but for finding out what they are."""
    own = dict(cls.__dict__)
    values = {name: own.get(name, dataclasses.MISSING) for name in notes}
    positional = () if kw_only else tuple(name for name, value in values.items() if _is_positional(value))
    added = {_FIELDS: _LateFields(notes, values, kw_only=kw_only)} | (
        {} if "__match_args__" in own else {"__match_args__": positional}
    )
    if slots:
        body = {name: value for name, value in own.items() if name not in {*notes, "__dict__", "__weakref__"}}
        made = type(cls)(cls.__name__, cls.__bases__, body | added | {"__slots__": tuple(notes)})
        made.__qualname__ = cls.__qualname__
        return made
    for name, value in values.items():
        if isinstance(value, dataclasses.Field):
            if value.default is dataclasses.MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, value.default)
    for name, value in added.items():
        setattr(cls, name, value)
    return cls


def _is_positional(value: Any) -> bool:
    return not isinstance(value, dataclasses.Field) or (value.init and value.kw_only is not True)


class _LateFields:
    """Stands for the fields of a class until somebody asks for them; then the standard library says what they are."""

    def __init__(self, notes: dict[str, Any], values: dict[str, Any], *, kw_only: bool) -> None:
        self._body = {name: value for name, value in values.items() if value is not dataclasses.MISSING}
        self._body |= {"__annotations__": notes, "__doc__": "Has the same fields."}
        self._kw_only = kw_only

    def parameters(self) -> Iterator[_Parameter]:
        """Give what `__init__` has to know of the fields of this class alone."""
        absent = dataclasses.MISSING
        for name in self._body["__annotations__"]:
            value = self._body.get(name, absent)
            if isinstance(value, dataclasses.Field):
                by_keyword = self._kw_only if value.kw_only is absent else bool(value.kw_only)
                yield _Parameter(name, value.init, by_keyword, value.default, value.default_factory)
            else:
                yield _Parameter(name, init=True, kw_only=self._kw_only, default=value, factory=absent)

    def __get__(self, instance: Any, owner: Any) -> dict[str, Any]:
        cls = next((base for base in owner.__mro__ if base.__dict__.get(_FIELDS) is self), None)
        if cls is None:  # another thread was quicker
            return dict(getattr(owner, _FIELDS))
        fields: dict[str, Any] = {}
        for base in cls.__mro__[-1:0:-1]:
            fields |= getattr(base, _FIELDS, {})
        template: Any = dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=self._kw_only)(
            type(cls.__name__, (), dict(self._body))
        )
        fields |= template.__dataclass_fields__
        setattr(cls, _FIELDS, fields)
        return fields


@dataclasses.dataclass(frozen=True)
class _Pattern:
    """Shows how the standard library writes down that a class is frozen."""


_PARAMETERS = _Pattern.__dict__["__dataclass_params__"]


def _complete(instance: Any, name: str) -> Any:
    """Write a method of the class that stands behind a stand-in; give it."""
    owner = _owner(instance, name)
    if owner is None:
        return getattr(type(instance), name)
    method = _written_init(owner) if name == "__init__" else _standard(owner, name)
    setattr(owner, name, method)
    return method


def _owner(instance: Any, name: str) -> Any:  # Any: a class, or None when another thread was quicker
    return next((cls for cls in type(instance).__mro__ if cls.__dict__.get(name) is _STAND_INS[name]), None)


_filled: dict[type, int] = {}


class _Parameter(NamedTuple):
    """What `__init__` has to know of a field."""

    name: str
    init: bool
    kw_only: bool
    default: Any
    factory: Any


def _parameters(owner: Any) -> list[_Parameter]:
    """Give what `__init__` has to know of each field; nobody asks for the fields themselves for that."""
    found: dict[str, _Parameter] = {}
    for cls in reversed(owner.__mro__):
        fields = cls.__dict__.get(_FIELDS)
        if fields is not None:
            late = isinstance(fields, _LateFields)
            known = fields.parameters() if late else map(_parameter, dataclasses.fields(cls))
            found |= {item.name: item for item in known}
    return list(found.values())


def _parameter(item: Any) -> _Parameter:  # Any: a field
    return _Parameter(item.name, item.init, item.kw_only, item.default, item.default_factory)


def _fill(self: Any, owner: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Do what `__init__` does; false, with nothing done, where it would refuse the arguments."""
    fields = _parameters(owner)
    positional = [item.name for item in fields if item.init and not item.kw_only]
    given = dict(zip(positional, arguments, strict=False))
    if len(arguments) > len(positional) or not given.keys().isdisjoint(named):
        return False
    given |= named
    values: dict[str, Any] = {}
    for item in fields:
        if item.init and item.name in given:
            values[item.name] = given.pop(item.name)
        elif item.default is not dataclasses.MISSING:
            values[item.name] = item.default
        elif item.factory is not dataclasses.MISSING:
            values[item.name] = item.factory()
        elif item.init:
            return False
    if given:
        return False
    for name, value in values.items():
        object.__setattr__(self, name, value)
    if hasattr(owner, "__post_init__"):
        self.__post_init__()
    return True


def _standard(owner: Any, name: str) -> Any:
    """Let the standard library write a method."""
    fields = {item.name: item for item in dataclasses.fields(owner)}
    body: dict[str, Any] = {"__annotations__": {key: item.type for key, item in fields.items()}, **fields}
    options = {"repr": name == "__repr__", "eq": name != "__repr__"}
    template: type = dataclasses.dataclass(init=False, frozen=name == "__hash__", **options)(
        type(owner.__name__, (), body)
    )
    return template.__dict__[name]


def _written_init(owner: Any) -> Any:
    """Write ``__init__`` alone: the standard library writes two more methods for a frozen class, which we have."""
    known: dict[str, Any] = {"_set": object.__setattr__, "_absent": dataclasses.MISSING}
    positional: list[str] = []
    by_keyword: list[str] = []
    filled: list[tuple[str, str]] = []
    draft = _draft_of(owner)
    for item in _parameters(owner):
        name, default = item.name, f"_default_{item.name}"
        value = name if item.init else default
        made = item.factory is not dataclasses.MISSING
        given = made or item.default is not dataclasses.MISSING
        if given:
            known[default] = item.factory if made else item.default
        if made:
            value = f"{default}() if {name} is _absent else {name}" if item.init else f"{default}()"
        if item.init:
            parameter = f"{name}={'_absent' if made else default}" if given else name
            (by_keyword if item.kw_only else positional).append(parameter)
        if item.init or given:
            filled.append((name, value))
    lines = [f"    _set(_self, {name!r}, {value})" for name, value in filled]
    if draft is not None:
        known |= {"_draft": draft, "_owner": owner}
        lines = [
            "    if _self.__class__ is _owner:",
            "        _set(_self, '__class__', _draft)",
            *(f"        _self.{name} = {value}" for name, value in filled),
            "        _self.__class__ = _owner",
            "    else:",  # a class that stands on it
            *(f"    {line}" for line in lines),
        ]
    if hasattr(owner, "__post_init__"):
        lines.append("    _self.__post_init__()")
    parameters = ", ".join(["_self", *positional, *(["*", *by_keyword] if by_keyword else [])])
    exec(f"def __init__({parameters}):\n" + "\n".join(lines or ["    pass"]), known)  # noqa: S102  # as dataclasses do
    method = known["__init__"]
    method.__qualname__ = f"{owner.__qualname__}.__init__"
    return method


def _draft_of(owner: Any) -> Any:  # Any: a class; None where setting a few fields one by one is as quick
    """Make a class of the same slots that can be set: an object that is filled is declared to be one meanwhile."""
    slots = owner.__dict__.get("__slots__", ())
    if owner.__bases__ != (object,) or len(slots) < _MANY:
        return None
    return type(f"_{owner.__name__}Draft", (), {"__slots__": slots})


_COPIERS: dict[type, Callable[[Any, dict[str, Any]], Any]] = {}


def _written_copier(owner: Any) -> Callable[[Any, dict[str, Any]], Any]:
    """Write what copies an object field by field; the standard library does it where there is more to do than that."""
    names = [item.name for item in dataclasses.fields(owner)]
    plain = "__dict__" not in dir(owner)
    if not plain or not all(item.init for item in dataclasses.fields(owner)):
        copier: Any = lambda obj, changes: dataclasses.replace(obj, **changes)  # noqa: E731
    else:
        # The same slots, but they can be set; then it is declared to be the frozen class.
        draft = type(f"_{owner.__name__}Draft", (), {"__slots__": owner.__slots__})
        lines = [f"    made.{name} = obj.{name}" for name in names]
        lines += [
            "    for name, value in changes.items():",
            "        setattr(made, name, value)",
            "    made.__class__ = owner",
            *(["    made.__post_init__()"] if hasattr(owner, "__post_init__") else []),
            "    return made",
        ]
        known: dict[str, Any] = {"draft": draft, "owner": owner}
        exec("def copier(obj, changes):\n    made = draft()\n" + "\n".join(lines), known)  # noqa: S102  # as above
        copier = known["copier"]
    _COPIERS[owner] = copier
    return copier  # type: ignore[no-any-return]


def _init(self: Any, /, *arguments: Any, **named: Any) -> None:
    owner = _owner(self, "__init__")
    count = _filled[owner] = _filled.get(owner, 0) + 1
    if owner is None or count > _FEW or not _fill(self, owner, arguments, named):
        _complete(self, "__init__")(self, *arguments, **named)


def _repr(self: Any) -> str:
    return str(_complete(self, "__repr__")(self))


def _eq(self: Any, other: object) -> Any:  # Any: bool or NotImplemented
    return _complete(self, "__eq__")(self, other)


def _hash(self: Any) -> int:
    return int(_complete(self, "__hash__")(self))


def _refuse_set(_: Any, name: str, value: object) -> None:
    del value
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delete(_: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _get_state(self: Any) -> list[Any]:
    return [getattr(self, item.name) for item in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for item, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, item.name, value)


_STAND_INS: dict[str, Any] = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _refuse_set,
    "__delattr__": _refuse_delete,
    "__getstate__": _get_state,
    "__setstate__": _set_state,
}
