"""Arrays and maps whose old versions stay as they are: a change copies a few small nodes, not everything.

A run's state is a new frozen value after every record. With plain dictionaries each of them would be a copy of all
steps, and folding n records would take n² operations; here a change touches at most three nodes of 32 for 32,768
entries. `copied_cells` counts what was copied, for the test that holds the fold linear.

Source of the idea: Bagwell, "Ideal Hash Trees" (2001); the code is our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload
from zlib import crc32

__all__ = ["PersistentArray", "PersistentMap", "copied_cells"]

T = TypeVar("T")
_BITS = 5
_WIDTH = 1 << _BITS
_MASK = _WIDTH - 1
_copied = [0]
_blank = object.__new__


def copied_cells() -> int:
    """Give the number of cells that changes copied since the process began."""
    return _copied[0]


class PersistentArray(Sequence[T], Generic[T]):
    """A sequence of fixed length; :meth:`put` gives a new one."""

    __slots__ = ("_depth", "_root", "_size")

    def __init__(self, items: Sequence[T] = ()) -> None:
        level: list[tuple[Any, ...]] = [tuple(items[at : at + _WIDTH]) for at in range(0, len(items), _WIDTH)]
        self._depth = 0
        while len(level) > 1:
            level = [tuple(level[at : at + _WIDTH]) for at in range(0, len(level), _WIDTH)]
            self._depth += 1
        self._root: tuple[Any, ...] = level[0] if level else ()
        self._size = len(items)

    def put(self, index: int, value: T) -> PersistentArray[T]:
        """Give an array that differs at `index` (0 to length - 1)."""
        made: PersistentArray[T] = _blank(PersistentArray)
        made._depth = self._depth
        made._root = _with(self._root, self._depth, index, value)
        made._size = self._size
        return made

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        """Give an entry, or a list of some."""
        if not isinstance(index, int):
            return [self[each] for each in range(*index.indices(self._size))]
        if not 0 <= index < self._size:
            if not -self._size <= index < 0:
                raise IndexError(index)
            index += self._size
        node = self._root
        if self._depth:
            for level in range(self._depth, 0, -1):
                node = node[index >> level * _BITS & _MASK]
        found: T = node[index & _MASK]
        return found

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[T]:
        return _leaves(self._root, self._depth)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PersistentArray):
            return NotImplemented
        return self is other or self._root == other._root

    __hash__ = None  # type: ignore[assignment]  # entries may be unhashable

    def __repr__(self) -> str:
        return f"PersistentArray({list(self)!r})"


def _with(node: tuple[Any, ...], depth: int, index: int, value: Any) -> tuple[Any, ...]:
    slot = index >> depth * _BITS & _MASK
    _copied[0] += len(node)
    cells = list(node)
    cells[slot] = _with(node[slot], depth - 1, index, value) if depth else value
    return tuple(cells)


def _leaves(node: tuple[Any, ...], depth: int) -> Iterator[Any]:
    if depth == 0:
        yield from node
        return
    for child in node:
        yield from _leaves(child, depth - 1)


class PersistentMap(Mapping[str, T], Generic[T]):
    """A map of texts to values; :meth:`put` and :meth:`without` give new ones. Keys come in sorted order.

    Placed by CRC-32 and not by ``hash()``, which differs from process to process.
    """

    __slots__ = ("_root", "_size")

    def __init__(self) -> None:
        self._root: dict[int, Any] = {}
        self._size = 0

    def put(self, key: str, value: T) -> PersistentMap[T]:
        """Give a map that has `value` under `key`."""
        made: PersistentMap[T] = PersistentMap()
        made._size = self._size + (key not in self)
        made._root = _placed(self._root, 0, crc32(key.encode("utf-8", "surrogatepass")), key, value)
        return made

    def without(self, key: str) -> PersistentMap[T]:
        """Give a map without `key`; this one when it has none."""
        if key not in self:
            return self
        made: PersistentMap[T] = PersistentMap()
        made._size = self._size - 1
        made._root = _removed(self._root, 0, crc32(key.encode("utf-8", "surrogatepass")), key)
        return made

    def __getitem__(self, key: str) -> T:
        code = crc32(key.encode("utf-8", "surrogatepass"))
        node: Any = self._root
        shift = 0
        while isinstance(node, dict):
            node = node.get(code >> shift & _MASK)
            shift += _BITS
        if node is None or node[0] != code:
            raise KeyError(key)
        found: T = node[1][key]
        return found

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(_keys(self._root)))

    def __repr__(self) -> str:
        return f"PersistentMap({dict(self)!r})"


def _placed(node: dict[int, Any], shift: int, code: int, key: str, value: Any) -> dict[int, Any]:
    slot = code >> shift & _MASK
    child = node.get(slot)
    if isinstance(child, tuple):
        if child[0] == code:
            return _swapped(node, slot, (code, {**child[1], key: value}))
        child = {child[0] >> shift + _BITS & _MASK: child}
    if child is None:
        return _swapped(node, slot, (code, {key: value}))
    return _swapped(node, slot, _placed(child, shift + _BITS, code, key, value))


def _removed(node: dict[int, Any], shift: int, code: int, key: str) -> dict[int, Any]:
    slot = code >> shift & _MASK
    child = node[slot]
    if isinstance(child, dict):
        rest: Any = _removed(child, shift + _BITS, code, key)
    else:
        entries = {name: value for name, value in child[1].items() if name != key}
        rest = (code, entries) if entries else None
    return _swapped(node, slot, rest or None)


def _swapped(node: dict[int, Any], slot: int, child: Any) -> dict[int, Any]:
    _copied[0] += len(node)
    if child is None:
        return {each: kept for each, kept in node.items() if each != slot}
    return {**node, slot: child}


def _keys(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for child in node.values():
            yield from _keys(child)
    else:
        yield from node[1]
