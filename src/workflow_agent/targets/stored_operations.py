"""Operations as a plan file holds them: read when somebody asks, and only those that are asked for.

Every command looks at the plan files of all transactions that are kept, mostly to find that they have nothing to do
with it. What tells that (paths, inodes with their ctimes) is found in the text; to understand one of ten thousand
operations as a whole takes a fifth of a second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, overload

from workflow_agent.model.errors import TransactionError
from workflow_agent.targets.operations import Operation, decode_operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from workflow_agent.targets.entries import Entry

__all__ = ["Moments", "Operations", "StoredOperations", "moment", "moments_of", "selected"]

#: Operations of a transaction: stored ones that nobody asked for yet, or made ones.
Operations: TypeAlias = "tuple[Operation, ...] | StoredOperations"
#: Which inodes, and since when they are as they are: numbers and ctimes as a plan file has them.
Moments: TypeAlias = "set[tuple[bytes, bytes]]"

#: One operation a line, see `TransactionFolders.write`; what is inside of one has no line ends.
_BETWEEN = b",\n"
_PATH = re.compile(rb'"path": "((?:[^"\\]|\\.)*)"')
#: The beginning of an entry: its handle, number and ctime.
_MOMENT = re.compile(rb'\["[0-9a-f]*", (\d+), (-?\d+)')


class StoredOperations(Sequence[Operation]):
    """The operations of a plan file.

    Args:
        text: JSON: the inside of a list, an operation on each line.
        where: The transaction, for errors.
    """

    __slots__ = ("_every", "_lines", "_moments", "_paths", "_text", "_where")
    __hash__ = None  # type: ignore[assignment]  # equal to tuples, as they are

    def __init__(self, text: bytes, where: str) -> None:
        self._text = text
        self._where = where
        self._every: tuple[Operation, ...] | None = None
        self._lines: list[bytes] | None = None
        self._paths: list[bytes] | None = None
        self._moments: Moments | None = None

    @property
    def size(self) -> int:
        """How long the text is, in bytes."""
        return len(self._text)

    @property
    def every(self) -> tuple[Operation, ...]:
        """All operations, understood; raises TransactionError for a text that cannot be."""
        if self._every is None:
            self._every = tuple(self._decoded(self._text))
        return self._every

    @property
    def moments(self) -> Moments:
        """Which entries the operations know, as they were when it was written down."""
        if self._moments is None:
            self._moments = set(_MOMENT.findall(self._text))
        return self._moments

    def selected(self, is_wanted: Callable[[bytes], bool]) -> list[Operation]:
        """Give the operations on paths that are wanted."""
        if self._every is None:
            lines, paths = self._by_line()
            if len(lines) == len(paths):
                wanted = [line for line, path in zip(lines, paths, strict=True) if is_wanted(path)]
                return self._decoded(_BETWEEN.join(wanted))
        return [operation for operation in self.every if is_wanted(operation.path)]

    def _by_line(self) -> tuple[list[bytes], list[bytes]]:
        if self._lines is None or self._paths is None:
            self._lines = self._text.split(_BETWEEN) if self._text else []
            found = (_PATH.search(line) for line in self._lines)
            self._paths = [_path(match[1]) for match in found if match is not None]
        return self._lines, self._paths

    def _decoded(self, text: bytes) -> list[Operation]:
        try:
            return [decode_operation(data) for data in json.loads(b"[%b]" % text)]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise TransactionError("a plan file is damaged", where=self._where, cause=str(error)) from error

    def __len__(self) -> int:
        return len(self.every)

    @overload
    def __getitem__(self, index: int) -> Operation: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Operation, ...]: ...
    def __getitem__(self, index: int | slice) -> Operation | tuple[Operation, ...]:
        return self.every[index]

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, StoredOperations):
            return self is other or self._text == other._text or self.every == other.every
        return self.every == other


def _path(text: bytes) -> bytes:
    if b"\\" not in text:
        return text
    decoded: str = json.loads(b'"%b"' % text)
    return decoded.encode("utf-8", "surrogateescape")


def selected(operations: Iterable[Operation], is_wanted: Callable[[bytes], bool]) -> list[Operation]:
    """Give the operations on paths that are wanted, of stored ones without understanding the others."""
    if isinstance(operations, StoredOperations):
        return operations.selected(is_wanted)
    return [operation for operation in operations if is_wanted(operation.path)]


def moments_of(operations: Iterable[Operation]) -> Moments:
    """Say which entries operations know: those that they are about, and all below folders that went."""
    if isinstance(operations, StoredOperations):
        return operations.moments
    found: Moments = set()
    for operation in operations:
        for entry in (operation.before, operation.after, *operation.subtree.values()):
            if entry is not None:
                found.add(moment(entry))
    return found


def moment(entry: Entry) -> tuple[bytes, bytes]:
    """Give the number and the ctime of an entry as a plan file has them."""
    return b"%d" % entry.ino, b"%d" % entry.ctime
