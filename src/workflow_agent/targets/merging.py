"""Rollbacks of files that many owners share: records of others stay, copies and caches stay as others left them.

The before-image of a file with records is replaced by the file of now without the run's own records; from there on the
rollback is the same exchange as ever, and the plan file alone says what it is (rule 24). What later transactions hear
of it: ``handing_over``. Blocking, for one thread.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.model.errors import RollbackIncompleteError
from workflow_agent.model.records import dataclass
from workflow_agent.model.system import escape_path
from workflow_agent.targets import alternative_records
from workflow_agent.targets.alternative_links import derived_links, settled
from workflow_agent.targets.linux import open_beneath
from workflow_agent.targets.live_tree import LiveTree, staged_path, transaction_folder
from workflow_agent.targets.operations import Operation, OperationKind
from workflow_agent.targets.shared_records import (
    RecordConflictError,
    is_left_to_others,
    same_records,
    without_records,
)
from workflow_agent.targets.sides import difference, is_same

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workflow_agent.targets.entries import Entry
    from workflow_agent.targets.transaction import Transaction

__all__ = [
    "FILE_LIMIT",
    "Image",
    "OperationStanding",
    "is_as_found",
    "is_left",
    "look_at_shared",
    "read_file",
    "rebase",
    "write_image",
]

_MERGED = b"merged"
_BROUGHT = frozenset({OperationKind.CREATE, OperationKind.EXCHANGE})
#: Larger files are not merged.
FILE_LIMIT = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationStanding:
    """Where a transaction's operations stand: `own` as the commit left them, files that others wrote to since.

    Of these, `merged` gives the contents that a rollback puts there, by path, `left` those that stay as they are, and
    `conflicts` names the records that cannot be taken out.
    """

    own: tuple[Operation, ...]
    merged: Mapping[bytes, bytes]
    left: tuple[Operation, ...]
    conflicts: tuple[dict[str, object], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A before-image to be written: its content, owner and mode `like` another's, attributes, and a time if not now."""

    content: bytes
    like: Entry
    xattrs: Mapping[str, bytes]
    mtime: int | None = None


def look_at_shared(tree: LiveTree, transaction: str, operations: Iterable[Operation]) -> OperationStanding:
    """Tell the operations on shared files that others wrote to since the commit from all others."""
    own: list[Operation] = []
    left: list[Operation] = []
    merged: dict[bytes, bytes] = {}
    conflicts: list[dict[str, object]] = []
    operations = list(operations)
    links = derived_links(tree, operations)
    for operation in operations:
        if operation.path in links and operation.kind in _BROUGHT and not _is_as_left(tree, operation):
            left.append(operation)
        elif not _is_others(tree, transaction, operation):
            own.append(operation)
        elif is_left(operation):
            left.append(operation)
        else:
            try:
                content = without_records(operation.path, read_file(tree, operation.path), operation.records)
                merged[operation.path] = settled(tree, operation.path, content)
            except RecordConflictError as error:
                found = difference(operation, operation.after, tree.read(operation.path))
                conflicts.append(found | {"changes": error.names, "records": error.records})
    return OperationStanding(own=tuple(own), merged=merged, left=tuple(left), conflicts=tuple(conflicts))


def _is_as_left(tree: LiveTree, operation: Operation) -> bool:
    return operation.after is not None and operation.after.same_state(tree.read(operation.path))


def _is_others(tree: LiveTree, transaction: str, operation: Operation) -> bool:
    """Whether what is live is neither side of the operation, but something that can be merged or left."""
    after, may_stay = operation.after, is_left(operation)
    if operation.kind not in _BROUGHT or not (may_stay or operation.records) or after is None:
        return False
    live = tree.read(operation.path)  # not before: most operations are on files of one owner
    if not stat.S_ISREG(after.mode) or after.same_state(live):
        return False
    if live is None or not stat.S_ISREG(live.mode) or live.size > FILE_LIMIT:
        return live is None and may_stay
    # What lies in the transaction's own place decides whether the operation is live at all.
    return not is_same(tree.read(staged_path(operation, transaction)), after)


def is_left(operation: Operation) -> bool:
    """Say whether a file that others wrote to since stays: a copy, a cache, or one in which no record was changed."""
    return is_left_to_others(operation.path) or (operation.compared and not operation.records)


def rebase(tree: LiveTree, plan: Transaction) -> tuple[Transaction, list[str]]:
    """Write the merged files and give the plan that brings them back, with the paths that it is about.

    Nothing of the target's own files is touched. The plan keeps the operations that were merged or left.

    Raises:
        RollbackIncompleteError: a merged file cannot be written; nothing was changed.
    """
    standing = look_at_shared(tree, plan.id, plan.operations)
    if not standing.merged and not standing.left:
        return plan, []
    operations: list[Operation] = []
    left = {operation.path for operation in standing.left}
    rebased = {operation.path: operation for operation in plan.rebased}
    for operation in plan.operations:
        if operation.path in left:
            rebased[operation.path] = operation
        elif operation.path not in standing.merged:
            operations.append(operation)
        else:
            rebased[operation.path] = operation
            try:
                operations.append(_rebased(tree, plan.id, operation, standing.merged[operation.path]))
            except OSError as error:
                raise RollbackIncompleteError(
                    "the records of others could not be merged", where=escape_path(operation.path), cause=str(error),
                    state="nothing was changed",
                ) from error  # fmt: skip
    plan = replace(plan, operations=tuple(operations), rebased=tuple(rebased.values()))
    return plan, [escape_path(path) for path in standing.merged]


def _rebased(tree: LiveTree, transaction: str, operation: Operation, content: bytes) -> Operation:
    live = tree.read(operation.path)
    assert live is not None  # it was read a moment ago, and the locks are held
    if is_as_found(tree, staged_path(operation, transaction), operation, content):
        return replace(operation, after=live)  # the before-image is what comes back, whoever wrote in between
    if not content and alternative_records.holds_records(operation.path):  # the last choice of a group takes it along
        gone = operation.staged + b".gone"
        return replace(operation, kind=OperationKind.CREATE, staged=gone, before=None, after=live)
    image = Image(content=content, like=live, xattrs=tree.xattrs(operation.path))
    staged, before = write_image(tree, transaction, operation.point, image)
    return replace(operation, kind=OperationKind.EXCHANGE, staged=staged, before=before, after=live)


def is_as_found(tree: LiveTree, place: bytes, operation: Operation, content: bytes) -> bool:
    """Say whether a content says the same as what the transaction found, which lies in a place."""
    if operation.before is None:
        return not content
    return same_records(operation.path, content, read_file(tree, place))


def write_image(tree: LiveTree, transaction: str, point: bytes, image: Image) -> tuple[bytes, Entry]:
    """Write a before-image into a transaction's folder, synced; gives its place there and what it is."""
    folder = transaction_folder(point, transaction)
    with suppress(FileExistsError):
        os.mkdir(_MERGED, 0o700, dir_fd=tree.folder(folder))
    folder_fd = tree.folder(folder + b"/" + _MERGED)
    name = b"%d" % (max((int(one) for one in os.listdir(folder_fd) if one.isdigit()), default=0) + 1)
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder_fd)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(image.content)
        stream.flush()
        os.fchown(descriptor, image.like.uid, image.like.gid)
        os.fchmod(descriptor, stat.S_IMODE(image.like.mode))
        for key, value in image.xattrs.items():
            os.setxattr(descriptor, key, value)
        if image.mtime is not None:
            os.utime(descriptor, ns=(image.mtime, image.mtime))
        os.fsync(descriptor)
    os.fsync(folder_fd)
    staged = _MERGED + b"/" + name
    written = tree.read(folder + b"/" + staged)
    assert written is not None
    return staged, written


def read_file(tree: LiveTree, path: bytes) -> bytes:
    """Read a file of the target by its physical path, as far as files with records go."""
    descriptor = open_beneath(tree.root_fd, path.strip(b"/"), os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read(FILE_LIMIT)
