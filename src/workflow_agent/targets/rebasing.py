"""Makes a transaction stand on what others changed since (rules 22, 24). Blocking, for one thread.

Account files: their records stay. The before-image of such a file is replaced by the file of now without our records;
from there on the rollback is the same exchange as ever, and the plan file alone says what it is.

Times of shared folders: each transaction knows what it found and what it left, which makes a chain. One that is taken
back out of turn leaves the chain, and the next one takes over what it had found: whatever the order, the last one
gives back the time from before the first.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.model.errors import RollbackIncompleteError
from workflow_agent.model.system import escape_path
from workflow_agent.targets.account_records import RecordConflictError, is_copy_of_records, without_records
from workflow_agent.targets.linux import open_beneath
from workflow_agent.targets.live_tree import LiveTree, staged_path, transaction_folder
from workflow_agent.targets.operations import Operation, OperationKind
from workflow_agent.targets.sides import is_same

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from workflow_agent.targets.entries import Entry
    from workflow_agent.targets.transaction import Transaction

__all__ = ["can_be_rebased", "rebase", "times_found", "times_left", "times_taken_over"]

_MERGED = b"merged"
_COPIED = frozenset({OperationKind.CREATE, OperationKind.EXCHANGE})
_LIMIT = 8 << 20


def can_be_rebased(tree: LiveTree, transaction: str, operation: Operation) -> bool:
    """Say whether others changed this account file since the commit, and only records that are theirs."""
    live = tree.read(operation.path)
    if not _is_others(tree, transaction, operation, live):
        return False
    if is_copy_of_records(operation.path):
        return True
    try:
        without_records(_read(tree, operation.path), operation.records)
    except RecordConflictError:
        return False
    return True


def rebase(tree: LiveTree, plan: Transaction) -> tuple[Transaction, list[str]]:
    """Write the merged files and give the plan that brings them back, with the paths that it is about.

    Nothing of the target's own files is touched. The copy that useradd(8) keeps of a state before is left as it is.

    Raises:
        RollbackIncompleteError: a merged file cannot be written; nothing was changed.
    """
    operations: list[Operation] = []
    merged: list[str] = []
    for operation in plan.operations:
        if not can_be_rebased(tree, plan.id, operation):
            operations.append(operation)
        elif not is_copy_of_records(operation.path):
            merged.append(escape_path(operation.path))
            try:
                operations.append(_rebased(tree, plan.id, operation, len(merged)))
            except OSError as error:
                raise RollbackIncompleteError(
                    "the records of others could not be merged", where=merged[-1], cause=str(error),
                    state="nothing was changed",
                ) from error  # fmt: skip
    return replace(plan, operations=tuple(operations)), merged


def times_found(tree: LiveTree, operations: Iterable[Operation]) -> Iterable[Operation]:
    """Give operations that are about to be carried out with the times that their folders have now.

    A folder that others changed since the capture (or since a rollback) never gets a time that it had before: programs
    that remember the time of a folder would not look into it again.
    """
    for operation in operations:
        live = tree.read(operation.path) if operation.kind is OperationKind.ATTRIBUTES else None
        before, after = operation.before, operation.after
        if live is None or before is None or after is None or live.mtime == before.mtime:
            yield operation
            continue
        if after.mtime == before.mtime:
            left = live.mtime
        else:
            left = after.mtime if after.mtime > live.mtime else time.time_ns()
        yield replace(operation, before=before._replace(mtime=live.mtime), after=after._replace(mtime=left))


def times_taken_over(leaving: Iterable[Operation], later: Sequence[Operation]) -> Sequence[Operation]:
    """Give the operations of another transaction with what `leaving` ones had found, where they stand on these."""
    folders = _folders(leaving)
    result = []
    for operation in later:
        ours, before = folders.get(operation.path), operation.before
        if ours is None or ours.before is None or before is None or not _stands_on(operation, ours):
            result.append(operation)
        else:
            result.append(replace(operation, before=before._replace(mtime=ours.before.mtime)))
    return result


def times_left(
    tree: LiveTree, leaving: Iterable[Operation], later: Iterable[Sequence[Operation]]
) -> Iterable[Operation]:
    """Give the operations of a transaction that is taken back; folders that `later` ones changed keep their time."""
    others = [_folders(operations) for operations in later]
    for operation in leaving:
        live = tree.read(operation.path) if operation.kind is OperationKind.ATTRIBUTES else None
        is_shared = any(operation.path in each and _stands_on(each[operation.path], operation) for each in others)
        if live is not None and operation.before is not None and operation.after is not None and is_shared:
            before, after = operation.before, operation.after
            # Done again, it comes after what is live now: its own time would be an older one.
            yield replace(
                operation, before=before._replace(mtime=live.mtime), after=after._replace(mtime=time.time_ns())
            )
        else:
            yield operation


def _folders(operations: Iterable[Operation]) -> Mapping[bytes, Operation]:
    return {operation.path: operation for operation in operations if operation.kind is OperationKind.ATTRIBUTES}


def _stands_on(operation: Operation, ours: Operation) -> bool:
    """Whether an operation on a folder found it as ours left it."""
    found, before, left = operation.before, ours.before, ours.after
    if operation.kind is not OperationKind.ATTRIBUTES or found is None or before is None or left is None:
        return False
    return found.same_identity(before) and found.mtime == left.mtime != before.mtime


def _is_others(tree: LiveTree, transaction: str, operation: Operation, live: Entry | None) -> bool:
    """Whether what is live is neither side of the operation, but a file of the same kind."""
    is_copy = is_copy_of_records(operation.path) and operation.kind in _COPIED
    if not is_copy and not (operation.records and operation.kind is OperationKind.EXCHANGE):
        return False
    if live is None or operation.after is None or operation.after.same_state(live) or not stat.S_ISREG(live.mode):
        return False
    # What lies in the transaction's own place decides whether the operation is live at all.
    return not is_same(tree.read(staged_path(operation, transaction)), operation.after)


def _rebased(tree: LiveTree, transaction: str, operation: Operation, number: int) -> Operation:
    live = tree.read(operation.path)
    assert live is not None  # it was read a moment ago, and /etc/.pwd.lock is held
    name = b"%d" % number
    folder = transaction_folder(operation.point, transaction)
    with suppress(FileExistsError):
        os.mkdir(_MERGED, 0o700, dir_fd=tree.folder(folder))
    folder_fd = tree.folder(folder + b"/" + _MERGED)
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder_fd)
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder_fd)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(without_records(_read(tree, operation.path), operation.records))
        stream.flush()
        os.fchown(descriptor, live.uid, live.gid)
        os.fchmod(descriptor, stat.S_IMODE(live.mode))
        for key, value in tree.xattrs(operation.path).items():
            os.setxattr(descriptor, key, value)
        os.fsync(descriptor)
    os.fsync(folder_fd)
    staged = _MERGED + b"/" + name
    return replace(operation, staged=staged, before=tree.read(folder + b"/" + staged), after=live)


def _read(tree: LiveTree, path: bytes) -> bytes:
    descriptor = open_beneath(tree.root_fd, path.strip(b"/"), os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read(_LIMIT)
