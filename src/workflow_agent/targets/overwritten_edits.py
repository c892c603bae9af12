"""Configuration files that a script would write over or remove although somebody edited them since a run wrote them.

An upgrade or a repair may have to; a person is asked which one it shall be, of any other script it is said before, and
a rollback brings the edit back. Blocking.
"""

from __future__ import annotations

import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from workflow_agent.model.errors import NotFoundError, TransactionError
from workflow_agent.model.system import EDITED_NOTE, escape_path
from workflow_agent.targets.entries import describe
from workflow_agent.targets.live_tree import LiveTree
from workflow_agent.targets.many_owners import has_many_owners
from workflow_agent.targets.noted_contents import Noted, digest_of, read_noted, text_of
from workflow_agent.targets.operations import OperationKind
from workflow_agent.targets.sides import at_and_above
from workflow_agent.targets.stored_operations import selected
from workflow_agent.targets.three_way import unified

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from workflow_agent.targets.operations import Operation
    from workflow_agent.targets.transaction import TransactionFolders

__all__ = ["edit_notes", "overwritten_edits"]

#: Where people edit files that a run brought. Below /usr the package manager changes them as well.
_EDITED = (b"/etc/", b"/opt/", b"/usr/local/")
_ENDS = frozenset({OperationKind.EXCHANGE, OperationKind.REMOVE})


def overwritten_edits(
    root_fd: int, folders: TransactionFolders, transaction: str, operations: Iterable[Operation]
) -> tuple[dict[str, object], ...]:
    """Name the files that operations end and that are not as the last run left them, where people edit files.

    That is below ``/etc``, ``/opt`` and ``/usr/local``, and in the home folder of a person without root.

    Args:
        root_fd: The target's root.
        folders: Its transactions.
        transaction: One that is not carried out yet, of which it is noted already what it brings.
        operations: Its plan.

    Returns:
        ``{path, run_id, removed, found, changed_ns, diffs}`` in the order of paths: which run wrote the file, what is
        there now, and, where texts may be shown, the differences ``since`` that run and ``by_this``.
    """
    edited_below = _EDITED if folders.base == b"/" else (*_EDITED, folders.base + b"/")
    ended = {path: is_removed for operation in operations for path, is_removed in _ended(operation, edited_below)}
    if not ended:
        return ()
    above = {folder for path in ended for folder in at_and_above(path)}
    left: dict[bytes, tuple[str, Noted]] = {}
    for name in folders.ids():  # the oldest first: the last one that wrote a file counts
        with suppress(NotFoundError, TransactionError):
            earlier = folders.read(name)
            if earlier.is_in_force and any(
                one.kind is not OperationKind.ATTRIBUTES for one in selected(earlier.operations, above.__contains__)
            ):
                noted = read_noted(root_fd, name, folders.base)
                left |= {
                    path: (earlier.run_id, known)
                    for path in ended
                    if (known := noted.get(path)) is not None and known.digest is not None
                }
    with LiveTree(root_fd) as tree:
        edited = {path: one for path, one in sorted(left.items()) if _is_other(tree, path, one[1].digest)}
        brought = read_noted(root_fd, transaction, folders.base) if edited else {}
        return tuple(
            _edit(tree, path, run, known, None if ended[path] else brought.get(path, Noted()))
            for path, (run, known) in edited.items()
        )


def edit_notes(edits: Iterable[Mapping[str, object]]) -> tuple[str, ...]:
    """Say in sentences what :func:`overwritten_edits` found."""
    return tuple(
        f"{EDITED_NOTE} {one['path']}, which run {one['run_id']} wrote: "
        f"this {'removes it' if one['removed'] else 'writes over it'}, and a rollback brings the edit back"
        for one in edits
    )


def _is_other(tree: LiveTree, path: bytes, digest: str | None) -> bool:
    with suppress(OSError):  # it went meanwhile: the commit says so
        return digest_of(tree, path) != digest
    return False


def _edit(tree: LiveTree, path: bytes, run: str, left: Noted, brought: Noted | None) -> dict[str, object]:
    """Describe one; `brought` is what would take its place."""
    live = tree.read(path)
    found: dict[str, object] = {"path": escape_path(path), "run_id": run, "removed": brought is None}
    found |= {"found": describe(live), "changed_ns": None if live is None else live.ctime}
    now = None if live is None else text_of(tree, path, live)
    texts = {}
    if now is not None and left.text is not None:
        texts["since"] = unified(path, left.text, now, "left by the run", "there now")
    if now is not None and brought is not None and brought.text is not None:
        texts["by_this"] = unified(path, now, brought.text, "there now", "the new one")
    return found | {"diffs": texts or None}


def _ended(operation: Operation, below: tuple[bytes, ...]) -> Iterator[tuple[bytes, bool]]:
    """Give the regular files below folders that an operation ends, and whether it removes them."""
    if operation.kind not in _ENDS or operation.before is None or not operation.path.startswith(below):
        return
    entries = {b"": (operation.before, operation.kind is OperationKind.REMOVE)}
    entries |= {
        b"/" + relative: (entry, relative not in operation.content) for relative, entry in operation.subtree.items()
    }
    for relative, (entry, is_removed) in entries.items():
        path = operation.path + relative
        if stat.S_ISREG(entry.mode) and not has_many_owners(path):
            yield path, is_removed
