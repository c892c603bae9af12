"""Where each operation of a transaction stands, read from what lies where: nothing of it is remembered.

Each side of an operation is known by its handle, so an interrupted commit is settled from the plan alone. Comparison
is for equality with what was recorded (rules 8, 19, 21, 22). Blocking, for one thread.
"""

from __future__ import annotations

import os
import stat
from enum import StrEnum
from typing import TYPE_CHECKING

from workflow_agent.model.errors import RollbackIncompleteError
from workflow_agent.model.system import escape_path
from workflow_agent.targets.entries import describe
from workflow_agent.targets.live_tree import LiveTree, staged_path, transaction_folder
from workflow_agent.targets.many_owners import has_many_owners
from workflow_agent.targets.operations import Operation, OperationKind

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from workflow_agent.targets.entries import Entry

__all__ = ["IMAGES", "SYSTEM_FOLDERS", "Side", "Sides", "at_and_above", "difference", "is_same"]

_LOGS = b"/var/log/"
#: Folders in which no service has data of its own.
SYSTEM_FOLDERS = (b"/etc/", b"/usr/", b"/opt/")
#: Operations on folders that bring nothing of their own.
_STAYS = frozenset({OperationKind.ATTRIBUTES, OperationKind.REMOVE_FOLDER})
#: Operations that leave a before-image.
IMAGES = frozenset({OperationKind.EXCHANGE, OperationKind.REMOVE})


class Side(StrEnum):
    """Which side of an operation is live."""

    BEFORE = "before"
    AFTER = "after"
    FOREIGN = "foreign"


class Sides:
    """Compares the operations of one transaction with the target.

    Args:
        tree: The target's files.
        transaction: Id of the transaction, whose folders hold the staged sides.
    """

    def __init__(self, tree: LiveTree, transaction: str) -> None:
        self._tree = tree
        self._transaction = transaction

    def side(self, operation: Operation) -> Side:
        """Read which side is live, by identity.

        What lies in the transaction's own place decides: if the captured entry still does, nothing of this operation
        is live, whoever may have put something else at its path.
        """
        before, after = operation.before, operation.after
        live = self._tree.read(operation.path, after)
        if operation.kind is OperationKind.CREATE and is_same(live, after):
            return Side.AFTER
        staged = self._staged(operation, before) if operation.staged else None
        match operation.kind:
            case OperationKind.EXCHANGE:
                # Whatever came out instead of what was there, at the last moment, is what goes back.
                is_before = is_same(staged, after)
                is_after = not is_before and staged is not None and is_same(live, after)
            case OperationKind.CREATE:
                is_after, is_before = False, is_same(staged, after)
            case OperationKind.REMOVE:
                is_after, is_before = staged is not None, staged is None
            case OperationKind.REMOVE_FOLDER:
                is_after = live is None and is_same(staged, after)
                is_before = is_same(live, before) or is_same(live, after)
            case OperationKind.ATTRIBUTES | OperationKind.APPEND:
                is_after, is_before = is_same(live, before), False
        return Side.AFTER if is_after else Side.BEFORE if is_before else Side.FOREIGN

    def _staged(self, operation: Operation, expected: Entry | None) -> Entry | None:
        """Read the other side of an operation."""
        return self._tree.read(staged_path(operation, self._transaction), expected)

    def conflicts_with_commit(self, operations: Iterable[Operation]) -> list[dict[str, object]]:
        """Compare the target now with the baseline; each difference by name, with both sides."""
        found = []
        operations = list(operations)
        made_room = _removed(operations)
        for operation in operations:
            before = operation.before
            live = self._tree.read(operation.path, before)
            if operation.kind is OperationKind.APPEND:
                # A log may have grown meanwhile; it must be the same file, and not have been cut.
                same = live is not None and before is not None and live.same_identity(before)
                same = same and live is not None and before is not None and live.size >= before.size
            elif before is None:
                same = live is None or operation.path in made_room
            elif operation.kind is OperationKind.REMOVE_FOLDER:
                same = before.same_state(live) and self._names(operation.path) <= made_room
            else:
                same = before.same_state(live) and self._same_below(operation)
            if not same:
                found.append(difference(operation, before, live))
        return found

    def _names(self, folder: bytes) -> set[bytes]:
        return {folder + b"/" + os.fsencode(name) for name in os.listdir(self._tree.folder(folder))}

    def _same_below(self, operation: Operation, place: bytes | None = None) -> bool:
        """Whether everything below a folder that is exchanged or removed is as the baseline has it."""
        if operation.before is None or not operation.before.is_dir or operation.kind is OperationKind.ATTRIBUTES:
            return True
        found = self._tree.below(operation.path if place is None else place)
        return found.keys() == operation.subtree.keys() and all(
            # Exchanging another name of a file with several changes its ctime.
            entry.same_state(found[name], moved=entry.nlink > 1)
            for name, entry in operation.subtree.items()
        )

    def conflicts_with_rollback(self, operations: Iterable[Operation]) -> list[dict[str, object]]:
        """Find what somebody changed since the commit.

        Folders that the transaction created are owned with everything in them (rule 23): no conflict. Nor is what is
        back already, after an interruption or by hand.
        """
        found = []
        operations = list(operations)
        made_room = _covered(operations)
        for operation in operations:
            after = operation.after
            live = self._tree.read(operation.path, after)
            match operation.kind:
                case OperationKind.REMOVE | OperationKind.REMOVE_FOLDER:
                    same = live is None or operation.path in made_room
                case OperationKind.ATTRIBUTES:
                    same = self._as_committed(operation, live)
                case OperationKind.APPEND:
                    same = True
                case _:
                    assert after is not None
                    grows = operation.kind is OperationKind.CREATE and operation.path.startswith(_LOGS)
                    same = after.same_identity(live) if after.is_dir or grows else after.same_state(live)
            if not same and not self._is_back(operation, live):
                found.append(difference(operation, after, live))
        return found

    def _is_back(self, operation: Operation, live: Entry | None) -> bool:
        match operation.kind:
            case OperationKind.EXCHANGE | OperationKind.CREATE | OperationKind.REMOVE_FOLDER:
                return self.side(operation) is Side.BEFORE
            case OperationKind.REMOVE:
                return is_same(live, operation.before)
            case _:
                return operation.before is not None and operation.before.same_state(live)

    def _as_committed(self, operation: Operation, live: Entry | None) -> bool:
        before, after = operation.before, operation.after
        if before is None or after is None or live is None or not before.same_identity(live):
            return False
        same = (live.mode, live.uid, live.gid) == (after.mode, after.uid, after.gid)
        return same and self._tree.xattrs(operation.path) == dict(operation.after_xattrs)

    def owned(self, operations: Iterable[Operation]) -> list[str]:
        """List what appeared or changed below folders that the transaction created: it goes with an exact rollback."""
        found = []
        for operation in operations:
            if operation.after is None or not operation.after.is_dir or operation.kind in _STAYS:
                continue
            for relative, entry in self._tree.below(operation.path).items():
                came = operation.content.get(relative)
                # Moving another name of a file with several changes its ctime.
                if not entry.is_dir and (came is None or not came.same_state(entry, moved=came.nlink > 1)):
                    found.append(escape_path(operation.path + b"/" + relative))
        return sorted(found)

    def missing(self, operations: Iterable[Operation], later: Container[bytes] = frozenset()) -> list[str]:
        """List committed paths that are missing or replaced now; others' records in shared files are their business.

        A file of the system's own folders counts as replaced when it was written to as well, and is looked for inside
        created folders too; elsewhere a service may do with its files what it wants. Paths that `later` transactions
        brought are left to these.
        """
        return [
            escape_path(path)
            for operation in operations
            if operation.kind in {OperationKind.CREATE, OperationKind.EXCHANGE}
            for path, entry in _brought(operation)
            if path not in later and not has_many_owners(path) and not _is_there(self._tree.read(path), path, entry)
        ]

    def check_images(self, operations: Iterable[Operation]) -> None:
        """Refuse a rollback whose before-images are not all there (rule 19)."""
        lost = []
        for operation in operations:
            if operation.kind in IMAGES:
                before, place = operation.before, staged_path(operation, self._transaction)
                same = before is not None and before.same_state(self._tree.read(place, before), moved=True)
                same = same and self._same_below(operation, place)
                if not same and not self._is_back(operation, self._tree.read(operation.path)):
                    lost.append(escape_path(operation.path))
            elif operation.kind is OperationKind.REMOVE_FOLDER:
                twin = self._tree.read(staged_path(operation, self._transaction))
                if not is_same(twin, operation.after) and self.side(operation) is not Side.BEFORE:
                    lost.append(escape_path(operation.path))
        if lost:
            raise RollbackIncompleteError(
                f"the before-images of {len(lost)} paths are missing or were changed; nothing was touched",
                where=transaction_folder(b"/", self._transaction).decode(),
                details={"paths": lost},
            )

    def differences_from(self, operations: Iterable[Operation]) -> list[dict[str, object]]:
        """Compare the target with the before side once more, after a rollback: what is claimed is checked."""
        found = []
        operations = list(operations)
        made_room = _removed(operations)
        for operation in operations:
            if operation.kind is OperationKind.APPEND or (operation.before is None and operation.path in made_room):
                continue
            before = operation.before
            live = self._tree.read(operation.path, before)
            if operation.kind is OperationKind.REMOVE_FOLDER and is_same(live, operation.after):
                before = operation.after  # the twin is back
            same = live is None if before is None else before.same_state(live, moved=True)
            if same and operation.kind is OperationKind.ATTRIBUTES and before is not None and live is not None:
                same = live.mtime == before.mtime
                same = same and self._tree.xattrs(operation.path) == dict(operation.before_xattrs)
            if not same and not _has_grown(operation, live):
                found.append(difference(operation, before, live))
        return found


def _has_grown(operation: Operation, live: Entry | None) -> bool:
    """Whether it is a log that is back, and that a service which runs again writes on."""
    before = operation.before
    if operation.kind is not OperationKind.REMOVE or before is None or live is None or before.is_dir:
        return False
    return operation.path.startswith(_LOGS) and before.same_identity(live) and live.size >= before.size


def _removed(operations: Iterable[Operation]) -> set[bytes]:
    gone = {OperationKind.REMOVE, OperationKind.REMOVE_FOLDER}
    return {operation.path for operation in operations if operation.kind in gone}


def _covered(operations: Iterable[Operation]) -> set[bytes]:
    """Give the removed paths at or above which something else was put."""
    tops = {operation.path for operation in operations if operation.kind is OperationKind.CREATE}
    return {path for path in _removed(operations) if tops and not tops.isdisjoint(at_and_above(path))}


def at_and_above(path: bytes) -> Iterable[bytes]:
    """Give a path and the folders above it, but for the root."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]


def is_same(entry: Entry | None, wanted: Entry | None) -> bool:
    """Whether both are there and are one inode."""
    return entry is not None and (entry is wanted or entry.same_identity(wanted))


def _brought(operation: Operation) -> Iterable[tuple[bytes, Entry]]:
    """Give what an operation put in place: the entry, and the files below it that nobody but us should touch."""
    if operation.after is not None:
        yield operation.path, operation.after
    for relative, entry in operation.content.items():
        path = operation.path + b"/" + relative
        if path.startswith(SYSTEM_FOLDERS) and not entry.is_dir:
            yield path, entry


def _is_there(live: Entry | None, path: bytes, entry: Entry) -> bool:
    if stat.S_ISREG(entry.mode) and path.startswith(SYSTEM_FOLDERS):
        return entry.same_state(live, moved=True)
    return is_same(live, entry)


def difference(operation: Operation, expected: Entry | None, found: Entry | None) -> dict[str, object]:
    """Give a conflict as people and scripts read it: the path, and both states."""
    return {"path": escape_path(operation.path), "expected": describe(expected), "found": describe(found)}
