"""Operations of a plan: what commit does to the target, one entry at a time, and rollback undoes."""

from __future__ import annotations

import base64
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from workflow_agent.model.records import dataclass
from workflow_agent.targets.entries import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Operation", "OperationKind", "decode_operation", "encode_operation"]


class OperationKind(StrEnum):
    """How an entry gets from staged to live; each is its own inverse read backwards."""

    EXCHANGE = "exchange"  # a live entry and a staged one change places
    CREATE = "create"  # a staged entry, with all below it, gets its name
    REMOVE = "remove"  # a live entry, with all below it, moves aside
    REMOVE_FOLDER = "remove-folder"  # an empty folder that cannot move is removed; a staged twin takes its place back
    ATTRIBUTES = "attributes"  # a folder that stays gets mode, owner, xattrs, mtime
    APPEND = "append"  # a log grows by what the script wrote to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation.

    `path` is absolute on the target. `point` is the mount point of its file system, and `staged` the place below
    that file system's transaction folder where the other side lies. `before` is the baseline's state, `after`
    the staged one. For ATTRIBUTES the xattrs of both sides are kept; for APPEND `length` bytes at `offset` of the
    staged file are the delta. `subtree` holds the baseline of everything below a live folder that is exchanged
    or removed, by path relative to it; `content` everything below a folder that takes its place. For files that
    many owners share, both sides were `compared`, and `records` holds the records that the script changed, by name:
    before and after.
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


def _encode_entry(entry: Entry | None) -> list[Any] | None:
    return None if entry is None else [entry.handle.hex(), *entry[1:]]


def _decode_entry(data: list[Any] | None) -> Entry | None:
    return None if data is None else Entry(bytes.fromhex(data[0]), *data[1:])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _encode_tree(tree: Mapping[bytes, Entry]) -> dict[str, list[Any] | None]:
    return {_text(path): _encode_entry(entry) for path, entry in tree.items()}


def _decode_tree(data: Mapping[str, list[Any]]) -> dict[bytes, Entry]:
    decoded = {_raw(path): _decode_entry(entry) for path, entry in data.items()}
    return {path: entry for path, entry in decoded.items() if entry is not None}


def encode_operation(operation: Operation) -> dict[str, Any]:
    """Give the JSON form that the plan file holds."""
    return {
        "kind": operation.kind.value,
        "path": _text(operation.path),
        "point": _text(operation.point),
        "staged": _text(operation.staged),
        "before": _encode_entry(operation.before),
        "after": _encode_entry(operation.after),
        "before_xattrs": {key: base64.b64encode(value).decode() for key, value in operation.before_xattrs.items()},
        "after_xattrs": {key: base64.b64encode(value).decode() for key, value in operation.after_xattrs.items()},
        "offset": operation.offset,
        "length": operation.length,
        "subtree": _encode_tree(operation.subtree),
        "content": _encode_tree(operation.content),
    } | (
        {"records": {name: list(pair) for name, pair in operation.records.items()}, "compared": operation.compared}
        if operation.records or operation.compared
        else {}
    )


def decode_operation(data: Mapping[str, Any]) -> Operation:
    """Undo :func:`encode_operation`."""
    return Operation(
        kind=OperationKind(data["kind"]),
        path=_raw(data["path"]),
        point=_raw(data["point"]),
        staged=_raw(data["staged"]),
        before=_decode_entry(data["before"]),
        after=_decode_entry(data["after"]),
        before_xattrs={key: base64.b64decode(value) for key, value in data["before_xattrs"].items()},
        after_xattrs={key: base64.b64decode(value) for key, value in data["after_xattrs"].items()},
        offset=data["offset"],
        length=data["length"],
        subtree=_decode_tree(data["subtree"]),
        content=_decode_tree(data["content"]),
        records={name: (pair[0], pair[1]) for name, pair in data.get("records", {}).items()},
        compared=data.get("compared", False),
    )
