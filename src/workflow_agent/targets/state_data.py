"""Keeps an integration's data when its installation is taken back (`--keep-data`, rule 23)."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from workflow_agent.model.system import escape_path
from workflow_agent.targets.linux import RENAME_NOREPLACE, open_beneath, rename
from workflow_agent.targets.live_tree import LiveTree, staged_path
from workflow_agent.targets.operations import OperationKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.targets.transaction import Transaction

__all__ = ["keep_data"]


def keep_data(root_fd: int, transaction: Transaction, keep: Sequence[str]) -> list[str]:
    """Move kept folders from the staged side back to their places after a rollback.

    Only what lies in something that the transaction created can have gone; the rest is where it was.

    Args:
        root_fd: The target's root.
        transaction: Rolled back.
        keep: Absolute paths of the target.

    Returns:
        Every path that was put back or made on the way, escaped.
    """
    kept: list[str] = []
    with LiveTree(root_fd) as tree:
        for wanted in keep:
            path = os.fsencode(wanted).rstrip(b"/")
            for operation in transaction.operations:
                if operation.kind is not OperationKind.CREATE:
                    continue
                if path == operation.path or path.startswith(operation.path + b"/"):
                    source = staged_path(operation, transaction.id) + path[len(operation.path) :]
                    kept += _put_back(tree, source, path)
    return kept


def _put_back(tree: LiveTree, source: bytes, path: bytes) -> list[str]:
    if tree.read(source) is None or tree.read(path) is not None:
        return []
    made = _make_parents(tree, source.rpartition(b"/")[0], path.rpartition(b"/")[0])
    rename(*tree.place(source), *tree.place(path), RENAME_NOREPLACE)
    return [*made, escape_path(path)]


def _make_parents(tree: LiveTree, source: bytes, path: bytes) -> list[str]:
    """Make missing parent folders like their staged counterparts."""
    if tree.read(path or b"/") is not None:
        return []
    made = _make_parents(tree, source.rpartition(b"/")[0], path.rpartition(b"/")[0])
    parent_fd, name = tree.place(path)
    like = tree.read(source)
    assert like is not None  # `path` was created by the transaction together with what lies below it
    os.mkdir(name, 0o700, dir_fd=parent_fd)
    descriptor = open_beneath(tree.root_fd, path.strip(b"/"), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fchown(descriptor, like.uid, like.gid)
        os.fchmod(descriptor, stat.S_IMODE(like.mode))
    finally:
        os.close(descriptor)
    return [*made, escape_path(path)]
