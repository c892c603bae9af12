"""``dataclass``, as in the standard library, for classes that most commands define and few commands make.

A frozen dataclass costs 0.4 ms when its module loads: six methods are written as text and compiled. Sixty modules of
ours load for one command, so that was a tenth of a second. Here the methods are written when the first object is made
or compared, by the standard library itself; what is never made costs a quarter. Everything else is the same.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
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

_LATE_OPTIONS = ({"frozen": True, "slots": True}, {"frozen": True, "slots": True, "kw_only": True})


def _maker(options: dict[str, Any]) -> Callable[[type], type]:
    late = options in _LATE_OPTIONS

    def make(cls: type) -> type:
        if late and not any(dataclasses.is_dataclass(base) for base in cls.__mro__[1:]):
            return _late(cls, kw_only="kw_only" in options)
        made: type = dataclasses.dataclass(**options)(cls)
        return made

    return make


def late_dataclass(cls: type) -> None:
    """Make a class a frozen keyword-only dataclass where it stands, so without slots; its bases are made so as well."""
    _late(cls, kw_only=True, slots=False)


def _late(cls: type, *, kw_only: bool, slots: bool = True) -> type:
    own = cls.__dict__
    # a base that is frozen wants the same said of what stands on it
    frozen = any(dataclasses.is_dataclass(base) for base in cls.__mro__[1:])
    options = {"slots": slots, "kw_only": kw_only, "frozen": frozen}
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, **options)(cls)
    for name, method in _STAND_INS.items():
        if own.get(name) is None:  # a class with an `__eq__` of its own has None as `__hash__`
            setattr(made, name, method)
    made.__dataclass_params__ = _PARAMETERS
    result: type = made
    return result


@dataclasses.dataclass(frozen=True)
class _Pattern:
    """Shows how the standard library writes down that a class is frozen."""


_PARAMETERS = _Pattern.__dict__["__dataclass_params__"]


def _complete(instance: Any, name: str) -> Any:
    """Write a method of the class that stands behind a stand-in; give it."""
    owner = next(cls for cls in type(instance).__mro__ if cls.__dict__.get(name) is _STAND_INS[name])
    method = _written_init(owner) if name == "__init__" else _standard(owner, name)
    setattr(owner, name, method)
    return method


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
    lines: list[str] = []
    for item in dataclasses.fields(owner):
        name, default = item.name, f"_default_{item.name}"
        value = name if item.init else default
        made = item.default_factory is not dataclasses.MISSING
        given = made or item.default is not dataclasses.MISSING
        if given:
            known[default] = item.default_factory if made else item.default
        if made:
            value = f"{default}() if {name} is _absent else {name}" if item.init else f"{default}()"
        if item.init:
            parameter = f"{name}={'_absent' if made else default}" if given else name
            (by_keyword if item.kw_only else positional).append(parameter)
        if item.init or given:
            lines.append(f"    _set(_self, {name!r}, {value})")
    if hasattr(owner, "__post_init__"):
        lines.append("    _self.__post_init__()")
    parameters = ", ".join(["_self", *positional, *(["*", *by_keyword] if by_keyword else [])])
    exec(f"def __init__({parameters}):\n" + "\n".join(lines or ["    pass"]), known)  # noqa: S102  # as dataclasses do
    method = known["__init__"]
    method.__qualname__ = f"{owner.__qualname__}.__init__"
    return method


_COPIERS: dict[type, Callable[[Any, dict[str, Any]], Any]] = {}


def _written_copier(owner: Any) -> Callable[[Any, dict[str, Any]], Any]:
    """Write what copies an object field by field; the standard library does it where there is more to do than that."""
    names = [item.name for item in dataclasses.fields(owner)]
    plain = "__dict__" not in dir(owner) and not hasattr(owner, "__post_init__")
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
            "    return made",
        ]
        known: dict[str, Any] = {"draft": draft, "owner": owner}
        exec("def copier(obj, changes):\n    made = draft()\n" + "\n".join(lines), known)  # noqa: S102  # as above
        copier = known["copier"]
    _COPIERS[owner] = copier
    return copier  # type: ignore[no-any-return]


def _init(self: Any, /, *arguments: Any, **named: Any) -> None:
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
