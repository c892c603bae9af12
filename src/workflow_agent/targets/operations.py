"""Operations of a plan: what commit does to the target, one entry at a time, and rollback undoes."""

from __future__ import annotations

import base64
import json
from dataclasses import field
from enum import StrEnum
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

from workflow_agent.model.records import dataclass
from workflow_agent.targets.entries import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["Operation", "OperationKind", "decode_operation", "encode_operation", "touched"]

#: An entry as JSON: the handle in hexadecimal digits, then the numbers.
_ENTRY = f'["%s"{", %d" * (len(Entry._fields) - 1)}]'


class OperationKind(StrEnum):
    """How an entry gets from staged to live; each is its own inverse read backwards."""

    EXCHANGE = "exchange"  # a live entry and a staged one change places
    CREATE = "create"  # a staged entry, with all below it, gets its name
    REMOVE = "remove"  # a live entry, with all below it, moves aside
    REMOVE_FOLDER = "remove-folder"  # an empty folder that cannot move is removed; a staged twin takes its place back
    ATTRIBUTES = "attributes"  # a folder that stays gets mode, owner, xattrs, mtime
    APPEND = "append"  # a log grows by what the script wrote to it

    @property
    def moves(self) -> bool:
        """Whether an entry comes, goes or is replaced, for which its folder has to be written."""
        return self not in {OperationKind.ATTRIBUTES, OperationKind.APPEND}

    @property
    def is_undone(self) -> bool:
        """Whether a rollback does anything about it: lines of logs stay."""
        return self is not OperationKind.APPEND


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation.

    `path` is absolute on the target. `point` is the mount point of its file system, and `staged` the place below
    that file system's transaction folder where the other side lies. `before` is the baseline's state, `after`
    the staged one. For ATTRIBUTES the xattrs of both sides are kept; for APPEND `length` bytes at `offset` of the
    staged file are the delta. `subtree` holds the baseline of everything below a live folder that is exchanged
    or removed, by path relative to it; `content` everything below a folder that takes its place. For files that
    many owners share, both sides were `compared`, and `records` holds the records that the script changed, by name:
    before and after. The flags are those of both sides, and of the content, that stand against changes (see ``flags``).
    """

    kind: OperationKind
    path: bytes
    point: bytes
    staged: bytes = b""
    before: Entry | None = None
    after: Entry | None = None
    before_xattrs: Mapping[str, bytes] = field(default_factory=dict)
    after_xattrs: Mapping[str, bytes] = field(default_factory=dict)
    offset: int = 0
    length: int = 0
    subtree: Mapping[bytes, Entry] = field(default_factory=dict)
    content: Mapping[bytes, Entry] = field(default_factory=dict)
    records: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    compared: bool = False
    before_flags: int = 0
    after_flags: int = 0
    content_flags: Mapping[bytes, int] = field(default_factory=dict)

    def with_sides(self, before: Entry | None, after: Entry | None) -> Operation:
        """Give the operation with other states of both sides; :func:`dataclasses.replace` takes three times as long."""
        return Operation(
            kind=self.kind,
            path=self.path,
            point=self.point,
            staged=self.staged,
            before=before,
            after=after,
            before_xattrs=self.before_xattrs,
            after_xattrs=self.after_xattrs,
            offset=self.offset,
            length=self.length,
            subtree=self.subtree,
            content=self.content,
            records=self.records,
            compared=self.compared,
            before_flags=self.before_flags,
            after_flags=self.after_flags,
            content_flags=self.content_flags,
        )


def touched(operations: Iterable[Operation]) -> Iterator[bytes]:
    """Name every path that operations put in place or took away."""
    for operation in operations:
        yield operation.path
        for relative in (*operation.subtree, *operation.content):
            yield operation.path + b"/" + relative


def _encode_entry(entry: Entry | None) -> str:
    return "null" if entry is None else _ENTRY % (entry[0].hex(), *entry[1:])


def _decode_entry(data: list[Any] | None) -> Entry | None:
    return None if data is None else Entry(bytes.fromhex(data[0]), *data[1:])


def _text(raw: bytes) -> str:
    return encode_basestring_ascii(raw.decode("utf-8", "surrogateescape"))


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _encode_tree(tree: Mapping[bytes, Entry]) -> str:
    return "{" + ", ".join(f"{_text(path)}: {_encode_entry(entry)}" for path, entry in tree.items()) + "}"


def _encode_xattrs(xattrs: Mapping[str, bytes]) -> str:
    return json.dumps({key: base64.b64encode(value).decode() for key, value in xattrs.items()})


def _decode_tree(data: Mapping[str, list[Any]]) -> dict[bytes, Entry]:
    return {_raw(path): Entry(bytes.fromhex(entry[0]), *entry[1:]) for path, entry in data.items()}


def _decode_xattrs(data: Mapping[str, str]) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in data.items()}


def _decode_records(data: Mapping[str, list[str | None]]) -> dict[str, tuple[str | None, str | None]]:
    return {name: (pair[0], pair[1]) for name, pair in data.items()}


def _decode_flags(data: Mapping[str, int]) -> dict[bytes, int]:
    return {_raw(path): flags for path, flags in data.items()}


_KINDS = {kind.value: kind for kind in OperationKind}
#: What may be missing in a plan file, and how it is read.
_DECODED: dict[str, Callable[[Any], Any]] = {
    "before_xattrs": _decode_xattrs,
    "after_xattrs": _decode_xattrs,
    "offset": int,
    "length": int,
    "subtree": _decode_tree,
    "content": _decode_tree,
    "records": _decode_records,
    "compared": bool,
    "before_flags": int,
    "after_flags": int,
    "content_flags": _decode_flags,
}


def encode_operation(operation: Operation) -> str:
    """Give the JSON text that the plan file holds; what is empty is left out.

    It is put together by hand: a commit writes one for each path, twice.
    """
    parts = [
        f'"kind": "{operation.kind.value}", "path": {_text(operation.path)}, "point": {_text(operation.point)}',
        f'"staged": {_text(operation.staged)}, "before": {_encode_entry(operation.before)}',
        f'"after": {_encode_entry(operation.after)}',
    ]
    if operation.before_xattrs:
        parts.append(f'"before_xattrs": {_encode_xattrs(operation.before_xattrs)}')
    if operation.after_xattrs:
        parts.append(f'"after_xattrs": {_encode_xattrs(operation.after_xattrs)}')
    if operation.offset or operation.length:
        parts.append(f'"offset": {operation.offset}, "length": {operation.length}')
    if operation.subtree:
        parts.append(f'"subtree": {_encode_tree(operation.subtree)}')
    if operation.content:
        parts.append(f'"content": {_encode_tree(operation.content)}')
    if operation.records or operation.compared:
        parts.append(f'"records": {json.dumps(operation.records)}, "compared": {json.dumps(operation.compared)}')
    if operation.before_flags or operation.after_flags:
        parts.append(f'"before_flags": {operation.before_flags}, "after_flags": {operation.after_flags}')
    if operation.content_flags:
        flags = ", ".join(f"{_text(path)}: {value}" for path, value in operation.content_flags.items())
        parts.append(f'"content_flags": {{{flags}}}')
    return "{" + ", ".join(parts) + "}"


def decode_operation(data: Mapping[str, Any]) -> Operation:
    """Read what :func:`encode_operation` gave, parsed; earlier versions wrote down what was empty as well."""
    optional: dict[str, Any] = {}
    for key in data.keys() & _DECODED.keys():
        if data[key]:
            optional[key] = _DECODED[key](data[key])
    return Operation(
        kind=_KINDS[data["kind"]],
        path=_raw(data["path"]),
        point=_raw(data["point"]),
        staged=_raw(data["staged"]),
        before=_decode_entry(data["before"]),
        after=_decode_entry(data["after"]),
        **optional,
    )
