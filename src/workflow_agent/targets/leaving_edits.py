"""Leaving paths out of a capture that is not committed yet, because somebody's version of them stays.

What stays loses its operation; where it lies in a folder that would be removed, the folder is not, and what lies
around it is removed entry by entry. The transaction is then what it would be had the script left these paths alone, and
a later rollback does not touch them (see ``deciding`` for the same on the way back). Blocking.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.model.errors import PathConflictError
from workflow_agent.model.system import escape_path, unescape_path
from workflow_agent.targets.operations import Operation, OperationKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from workflow_agent.targets.entries import Entry
    from workflow_agent.targets.live_tree import LiveTree
    from workflow_agent.targets.transaction import Transaction

__all__ = ["without_paths"]


def without_paths(tree: LiveTree, plan: Transaction, paths: Sequence[str]) -> Transaction:
    """Leave paths, and what lies below them, out of a transaction.

    Args:
        tree: The target's files.
        plan: A transaction that is captured.
        paths: As they were typed, or as change sets show them.

    Raises:
        PathConflictError: a folder that holds one of them is replaced as a whole.
    """
    kept = {os.fsencode(path).rstrip(b"/") for path in paths} | {unescape_path(path).rstrip(b"/") for path in paths}
    operations = [left for one in plan.operations for left in _left(tree, one, kept)]
    quiet = _changed_folders(plan.operations) - _changed_folders(operations)
    operations = [one for one in operations if not (one.path in quiet and _only_times(one))]
    folders = [one for one in operations if one.kind is OperationKind.ATTRIBUTES]
    folders.sort(key=lambda one: one.path.count(b"/"), reverse=True)  # deepest first, after everything else
    rest = [one for one in operations if one.kind is not OperationKind.ATTRIBUTES]
    return replace(plan, operations=(*rest, *folders))


def _changed_folders(operations: Iterable[Operation]) -> set[bytes]:
    """Give the folders of which entries come, go or change."""
    return {one.path.rpartition(b"/")[0] for one in operations if one.kind is not OperationKind.ATTRIBUTES}


def _left(tree: LiveTree, operation: Operation, kept: set[bytes]) -> Iterator[Operation]:
    """Give what is left of an operation."""
    if _at_or_below(operation.path, kept):
        return
    inner = [path for path in kept if path.startswith(operation.path + b"/")]
    inner = [path for path in inner if path[len(operation.path) + 1 :] in operation.subtree]
    match operation.kind:
        case OperationKind.REMOVE if inner:
            assert operation.before is not None  # REMOVE has one
            yield from _around(tree, operation, b"", operation.before, inner)
        case OperationKind.EXCHANGE if inner:
            raise PathConflictError(
                f"{escape_path(inner[0])} cannot stay: the folder {escape_path(operation.path)} is replaced as a whole",
                where=escape_path(inner[0]),
                state="nothing was changed",
                hint="take the new one (`--force`): a rollback brings yours back; or keep the folder (`--theirs`)",
            )
        case OperationKind.REMOVE_FOLDER if any(path.startswith(operation.path + b"/") for path in kept):
            return  # of layers: its entries have operations of their own
        case _:
            yield operation


def _around(
    tree: LiveTree, operation: Operation, folder: bytes, entry: Entry, kept: Iterable[bytes]
) -> Iterator[Operation]:
    """Remove what lies in a folder around what stays; the folder gets its times back when that is undone."""
    path = operation.path + (b"/" + folder if folder else b"")
    for number, name in enumerate(sorted(operation.subtree)):
        if name.rpartition(b"/")[0] != folder:
            continue
        place, found = operation.path + b"/" + name, operation.subtree[name]
        if place in kept:
            continue
        if any(one.startswith(place + b"/") for one in kept):
            yield from _around(tree, operation, name, found, kept)
            continue
        below = {one[len(name) + 1 :]: it for one, it in operation.subtree.items() if one.startswith(name + b"/")}
        staged = operation.staged + b".%d" % number
        yield replace(operation, path=place, staged=staged, before=found, before_flags=0, subtree=below)
    xattrs = tree.xattrs(path)
    yield Operation(
        kind=OperationKind.ATTRIBUTES,
        path=path,
        point=operation.point,
        before=entry,
        after=entry,
        before_xattrs=xattrs,
        after_xattrs=xattrs,
        before_flags=0 if folder else operation.before_flags,
        after_flags=0 if folder else operation.before_flags,
    )


def _only_times(operation: Operation) -> bool:
    """Whether a folder would get nothing but other times, which follow from its entries."""
    before, after = operation.before, operation.after
    if operation.kind is not OperationKind.ATTRIBUTES or before is None or after is None:
        return False
    same = (before.mode, before.uid, before.gid) == (after.mode, after.uid, after.gid)
    same = same and dict(operation.before_xattrs) == dict(operation.after_xattrs)
    return same and operation.before_flags == operation.after_flags


def _at_or_below(path: bytes, tops: set[bytes]) -> bool:
    return any(path == top or path.startswith(top + b"/") for top in tops)
