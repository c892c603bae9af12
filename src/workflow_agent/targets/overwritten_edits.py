"""Configuration files that a script would write over or remove although somebody edited them since a run wrote them.

An upgrade or a repair may have to; a person reads it before saying yes, and a rollback brings the edit back. Blocking.
"""

from __future__ import annotations

import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from workflow_agent.model.errors import NotFoundError, TransactionError
from workflow_agent.model.system import EDITED_NOTE, escape_path
from workflow_agent.targets.live_tree import LiveTree
from workflow_agent.targets.many_owners import has_many_owners
from workflow_agent.targets.noted_contents import digest_of, read_noted
from workflow_agent.targets.operations import OperationKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workflow_agent.targets.operations import Operation
    from workflow_agent.targets.transaction import TransactionFolders

__all__ = ["overwritten_edits"]

_CONFIGURATION = b"/etc/"
_ENDS = frozenset({OperationKind.EXCHANGE, OperationKind.REMOVE})


def overwritten_edits(root_fd: int, folders: TransactionFolders, operations: Iterable[Operation]) -> tuple[str, ...]:
    """Name the files below ``/etc`` that operations end and that are not as the last run left them.

    Args:
        root_fd: The target's root.
        folders: Its transactions.
        operations: A plan that is not carried out yet.

    Returns:
        Sentences for people, in the order of paths.
    """
    ended = {path: is_removed for operation in operations for path, is_removed in _ended(operation)}
    if not ended:
        return ()
    left: dict[bytes, tuple[str, str]] = {}
    for name in folders.ids():  # the oldest first: the last one that wrote a file counts
        with suppress(NotFoundError, TransactionError):
            transaction = folders.read(name)
            if transaction.is_in_force:
                noted = read_noted(root_fd, name, folders.base)
                left |= {
                    path: (transaction.run_id, known.digest)
                    for path in ended
                    if (known := noted.get(path)) is not None and known.digest is not None
                }
    with LiveTree(root_fd) as tree:
        return tuple(
            _sentence(path, run, is_removed=ended[path])
            for path, (run, digest) in sorted(left.items())
            if _is_other(tree, path, digest)
        )


def _is_other(tree: LiveTree, path: bytes, digest: str) -> bool:
    with suppress(OSError):  # it went meanwhile: the commit says so
        return digest_of(tree, path) != digest
    return False


def _ended(operation: Operation) -> Iterator[tuple[bytes, bool]]:
    """Give the regular files below ``/etc`` that an operation ends, and whether it removes them."""
    if operation.kind not in _ENDS or operation.before is None or not operation.path.startswith(_CONFIGURATION):
        return
    entries = {b"": (operation.before, operation.kind is OperationKind.REMOVE)}
    entries |= {
        b"/" + relative: (entry, relative not in operation.content) for relative, entry in operation.subtree.items()
    }
    for relative, (entry, is_removed) in entries.items():
        path = operation.path + relative
        if stat.S_ISREG(entry.mode) and not has_many_owners(path):
            yield path, is_removed


def _sentence(path: bytes, run: str, *, is_removed: bool) -> str:
    what = "removes it" if is_removed else "writes over it"
    return f"{EDITED_NOTE} {escape_path(path)}, which run {run} wrote: this {what}, and a rollback brings the edit back"
