"""Drift: where a target is no longer as the transactions that are in force left it.

Looked at are the paths that they put in place, took away, or gave other attributes, in the system's own folders
(``/etc``, ``/usr``, ``/opt``); elsewhere a service may do with its files what it wants, and only what is gone or is of
another kind counts. Logs, caches, files of many owners and the integration's own data are left out.

What is compared: content by digest, where links lead, kind, mode, owner, extended attributes. Another inode with the
same content is no drift, and neither is another time. Of transactions without digests (see ``noted_contents``) content
counts as the same where size and modification time are. What another transaction in force left at a path is no drift
either. Blocking.
"""

from __future__ import annotations

import difflib
import os
import stat
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from workflow_agent.model.records import dataclass
from workflow_agent.model.system import escape_path
from workflow_agent.targets.entries import describe
from workflow_agent.targets.many_owners import has_many_owners
from workflow_agent.targets.noted_contents import Noted, digest_of, read_noted, text_of
from workflow_agent.targets.operations import OperationKind
from workflow_agent.targets.sides import SYSTEM_FOLDERS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from workflow_agent.targets.entries import Entry
    from workflow_agent.targets.live_tree import LiveTree
    from workflow_agent.targets.operations import Operation
    from workflow_agent.targets.transaction import Transaction

__all__ = ["DriftState", "find_drift"]

_CACHES = b"/var/cache/"
#: How much of a difference between two texts is given.
_MOST_LINES = 400
_BROUGHT = frozenset({OperationKind.CREATE, OperationKind.EXCHANGE})
_TAKEN = frozenset({OperationKind.REMOVE, OperationKind.REMOVE_FOLDER})
_NOTHING_NOTED = Noted()


class DriftState(StrEnum):
    """What became of a path."""

    MISSING = "missing"  # it was put in place, and is gone
    MODIFIED = "modified"  # its content is another one
    REPLACED = "replaced"  # something of another kind is in its place
    ATTRIBUTES = "attributes"  # only mode, owner or extended attributes differ
    RETURNED = "returned"  # it was taken away, and something is there again


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expected:
    """What a transaction left at a path: its state (None: nothing), and what is known beside it."""

    entry: Entry | None
    noted: Noted = _NOTHING_NOTED
    inner: bool = False  # below a folder that came as a whole
    only_attributes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drifted:
    expected: _Expected
    live: Entry | None
    state: DriftState
    aspects: tuple[str, ...]


def find_drift(
    tree: LiveTree, plans: Sequence[Transaction], others: Iterable[Transaction], data: Collection[bytes] = ()
) -> list[dict[str, object]]:
    """Compare a target with what transactions left.

    Args:
        tree: The target's files.
        plans: The transaction that is looked at and those that it stands upon, the newest first.
        others: Further transactions that are in force: what they left is no drift.
        data: Folders of the integration's own data, which are left out.

    Returns:
        ``{path, state, aspects, expected, observed, diff}`` in the order of paths; `diff` is a unified difference of
        texts that everybody may read, else None.
    """
    expected: dict[bytes, _Expected] = {}
    for plan in plans:
        for path, one in _left_by(tree, plan):
            expected.setdefault(path, one)
    drifted: dict[bytes, _Drifted] = {}
    for path, one in expected.items():
        if not _counts(path, data):
            continue
        live = tree.read(path)
        if found := _compared(tree, path, one, live):
            drifted[path] = _Drifted(expected=one, live=live, state=found[0], aspects=found[1])
    for other in others if drifted else ():
        for path, one in _left_by(tree, other):
            if path in drifted and _compared(tree, path, one, drifted[path].live) is None:
                del drifted[path]
    return [_item(tree, path, drifted[path]) for path in sorted(drifted)]


def _left_by(tree: LiveTree, plan: Transaction) -> Iterator[tuple[bytes, _Expected]]:
    """Give what a transaction left at each path; what it put in place first."""
    noted = read_noted(tree.root_fd, plan.id, plan.base)
    for operation in plan.operations:
        if operation.kind in _BROUGHT:
            for path, entry, inner in _entries(operation):
                yield path, _Expected(entry=entry, noted=noted.get(path, _NOTHING_NOTED), inner=inner)
    for operation in plan.operations:
        if operation.kind in _TAKEN:
            yield operation.path, _Expected(entry=None)
        elif operation.kind is OperationKind.ATTRIBUTES:
            known = Noted(xattrs=operation.after_xattrs)
            yield operation.path, _Expected(entry=operation.after, noted=known, only_attributes=True)
        elif operation.kind is OperationKind.APPEND:
            yield operation.path, _Expected(entry=operation.before, only_attributes=True)


def _entries(operation: Operation) -> Iterator[tuple[bytes, Entry, bool]]:
    if operation.after is not None:
        yield operation.path, operation.after, False
    for relative, entry in operation.content.items():
        yield operation.path + b"/" + relative, entry, True


def _counts(path: bytes, data: Collection[bytes]) -> bool:
    """Whether a path can drift at all."""
    if has_many_owners(path) or path.startswith(_CACHES):
        return False
    return not any(path == folder or path.startswith(folder + b"/") for folder in data)


def _compared(
    tree: LiveTree, path: bytes, expected: _Expected, live: Entry | None
) -> tuple[DriftState, tuple[str, ...]] | None:
    """Tell what became of a path; None when it is as it was left."""
    ours = path.startswith(SYSTEM_FOLDERS)
    wanted = expected.entry
    found: tuple[DriftState, tuple[str, ...]] | None = None
    if wanted is None:
        found = (DriftState.RETURNED, ("existence",)) if ours and live is not None else None
    elif not ours and expected.inner:
        found = None
    elif live is None:
        found = DriftState.MISSING, ("existence",)
    elif stat.S_IFMT(live.mode) != stat.S_IFMT(wanted.mode):
        found = DriftState.REPLACED, ("type",)
    elif ours and not _is_untouched(wanted, live, expected):
        found = _changed(tree, path, expected, wanted, live)
    return found


def _changed(
    tree: LiveTree, path: bytes, expected: _Expected, wanted: Entry, live: Entry
) -> tuple[DriftState, tuple[str, ...]] | None:
    """Tell what is another one in an entry of the same kind."""
    attributes = _other_attributes(tree, path, expected.noted, wanted, live)
    if not expected.only_attributes and (content := _other_content(tree, path, expected.noted, wanted, live)):
        return DriftState.MODIFIED, (content, *attributes)
    return (DriftState.ATTRIBUTES, attributes) if attributes else None


def _is_untouched(wanted: Entry, live: Entry, expected: _Expected) -> bool:
    """Whether nothing can have happened to a file since: whatever is done to one changes its ctime."""
    return not live.is_dir and not expected.only_attributes and wanted.same_state(live)


def _other_content(tree: LiveTree, path: bytes, noted: Noted, wanted: Entry, live: Entry) -> str | None:
    """Name the kind of content that differs."""
    if stat.S_ISLNK(live.mode):
        if noted.target is not None:
            folder_fd, name = tree.place(path)
            return None if os.readlink(name, dir_fd=folder_fd) == noted.target else "target"
        # The target of a link cannot be written to: it is another one only in another inode.
        same = wanted.same_identity(live) or (wanted.size, wanted.mtime) == (live.size, live.mtime)
        return None if same else "target"
    if not stat.S_ISREG(live.mode):
        return "type" if wanted.rdev != live.rdev else None
    if noted.digest is not None:
        same = wanted.size == live.size and digest_of(tree, path) == noted.digest
        return None if same else "content"
    return None if (wanted.size, wanted.mtime) == (live.size, live.mtime) else "content"


def _other_attributes(tree: LiveTree, path: bytes, noted: Noted, wanted: Entry, live: Entry) -> tuple[str, ...]:
    is_link = stat.S_ISLNK(live.mode)
    aspects = {
        "mode": not is_link and wanted.mode != live.mode,
        "owner": (wanted.uid, wanted.gid) != (live.uid, live.gid),
        "xattr": noted.xattrs is not None and tree.xattrs(path) != dict(noted.xattrs),
    }
    return tuple(name for name, differs in aspects.items() if differs)


def _item(tree: LiveTree, path: bytes, drifted: _Drifted) -> dict[str, object]:
    expected, live = drifted.expected, drifted.live
    text = expected.noted.text if drifted.state is DriftState.MODIFIED else None
    return {
        "path": escape_path(path),
        "state": drifted.state.value,
        "aspects": list(drifted.aspects),
        "expected": _described(expected.entry, expected.noted),
        "observed": _described(live, _seen(tree, path, live)),
        "diff": None if text is None or live is None else _diff(path, text, text_of(tree, path, live)),
    }


def _seen(tree: LiveTree, path: bytes, live: Entry | None) -> Noted:
    if live is None or not stat.S_ISLNK(live.mode):
        return _NOTHING_NOTED
    folder_fd, name = tree.place(path)
    return Noted(target=os.readlink(name, dir_fd=folder_fd))


def _described(entry: Entry | None, noted: Noted) -> Mapping[str, Any] | None:  # Any: JSON
    told = describe(entry)
    if told is None or noted.target is None:
        return told
    return told | {"target": escape_path(noted.target)}


def _diff(path: bytes, before: str, after: str | None) -> str | None:
    """Write the difference of two texts; None when the present one may not be shown or is none."""
    if after is None:
        return None
    name = escape_path(path)
    one, other = before.splitlines(), after.splitlines()
    lines = list(difflib.unified_diff(one, other, f"{name} (committed)", f"{name} (now)", lineterm=""))
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], f"({len(lines) - _MOST_LINES} more lines)"]
    return "\n".join(lines)
