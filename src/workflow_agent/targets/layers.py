"""What a root of layers (the overlay of a container) does differently from one disk.

A folder that comes from a lower layer cannot be renamed (EXDEV), and a file with several names loses them when it is
copied up. So such folders are removed and restored entry by entry, and such files are replaced by links of an equal
copy before anything is renamed. Blocking.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.targets.copy_in import EntryCopier
from workflow_agent.targets.linux import open_beneath
from workflow_agent.targets.live_tree import transaction_folder
from workflow_agent.targets.obstacles import conflict_error
from workflow_agent.targets.operations import Operation, OperationKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.targets.entries import Baseline, Entry
    from workflow_agent.targets.live_tree import LiveTree

__all__ = ["can_move", "shared_names", "spread_folders", "unite_names"]

#: Where an overlay's handle says that an entry lies in the upper layer. Source: struct ovl_fh in overlayfs.h.
_MAGIC_AT, _MAGIC = 4, 0xFB
_FLAGS_AT, _UPPER = 6, 0x04


def can_move(entry: Entry) -> bool:
    """Whether an entry can be renamed as it is: it lies in the topmost layer alone, as far as the kernel says."""
    handle = entry.handle
    return len(handle) > _FLAGS_AT and handle[_MAGIC_AT] == _MAGIC and bool(handle[_FLAGS_AT] & _UPPER)


# -- folders -----------------------------------------------------------------------------------------------------------


def spread_folders(operations: Sequence[Operation]) -> list[Operation]:
    """Replace operations on whole folders that cannot be renamed by operations on each entry; others stay.

    What makes room for something else at the same path comes first.
    """
    room: list[Operation] = []
    rest: list[Operation] = []
    for number, operation in enumerate(operations):
        whole = operation.kind in {OperationKind.EXCHANGE, OperationKind.REMOVE}
        if not whole or operation.before is None or not operation.before.is_dir or can_move(operation.before):
            rest.append(operation)
        elif operation.kind is OperationKind.REMOVE:
            rest += _removals(operation, number)
        else:
            room += _removals(operation, number)
            rest.append(replace(operation, kind=OperationKind.CREATE, before=None, subtree={}))
    return room + rest


def _removals(operation: Operation, number: int) -> Iterator[Operation]:
    """Remove everything below a folder, deepest first, then the folder."""
    assert operation.before is not None
    entries = {operation.path + b"/" + relative: entry for relative, entry in operation.subtree.items()}
    entries[operation.path] = operation.before
    ordered = sorted(entries.items(), key=lambda item: (-item[0].count(b"/"), item[0]))
    for count, (path, entry) in enumerate(ordered):
        yield Operation(
            kind=OperationKind.REMOVE_FOLDER if entry.is_dir else OperationKind.REMOVE,
            path=path,
            point=operation.point,
            staged=b"removed/%d.%d" % (number, count) + b".layers",
            before=entry,
        )


# -- names -------------------------------------------------------------------------------------------------------------


def shared_names(baseline: Baseline, operations: Sequence[Operation]) -> list[tuple[bytes, ...]]:
    """Give all names of each file of a lower layer that operations move and that has several."""
    moved = {
        operation.before.key
        for operation in operations
        if operation.before is not None and _loses_names(operation.before)
    }
    names: dict[bytes, list[bytes]] = defaultdict(list)
    for path, entry in baseline.items() if moved else ():
        if entry.key in moved and _loses_names(entry):
            names[entry.key].append(path)
    return [tuple(sorted(group)) for group in names.values()]


def _loses_names(entry: Entry) -> bool:
    return entry.nlink > 1 and not entry.is_dir and not can_move(entry)


def unite_names(
    tree: LiveTree, transaction: str, groups: Sequence[Sequence[bytes]], operations: Sequence[Operation]
) -> list[Operation]:
    """Put an equal copy with all its names in the place of files that would lose them; nothing that is read changes.

    Args:
        tree: The target's files.
        transaction: Id of the transaction, in whose folder the copies are made.
        groups: What :func:`shared_names` gave.
        operations: What is about to be committed.

    Returns:
        The operations with the files that are there now.

    Raises:
        PathConflictError: A name is another file meanwhile.
    """
    replaced: dict[bytes, Entry] = {}
    folder = transaction_folder(b"/", transaction)
    target_fd = open_beneath(tree.root_fd, folder.strip(b"/"), os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number, names in enumerate(groups):
            replaced |= _unite(tree, target_fd, b"links/layers.%d" % number, names)
    finally:
        os.close(target_fd)
    return [replace(one, before=replaced.get(one.path, one.before)) for one in operations]


def _unite(tree: LiveTree, target_fd: int, copy: bytes, names: Sequence[bytes]) -> Mapping[bytes, Entry]:
    found = {name: entry for name in names if (entry := tree.read(name)) is not None}
    if len({entry.key for entry in found.values()}) > 1 or len(found) < len(names):
        raise conflict_error("changed on the target since the script ran", [{"path": os.fsdecode(names[0])}])
    if can_move(found[names[0]]):
        return {}  # united by an earlier attempt
    with closing(EntryCopier(tree.root_fd, target_fd)) as copier:
        copier.copy(names[0].strip(b"/"), copy)
    _write_out(target_fd, copy)
    for name in names:
        place_fd, last = tree.place(name)
        times = os.fstat(place_fd)
        os.link(copy, copy + b".new", src_dir_fd=target_fd, dst_dir_fd=target_fd)
        os.rename(copy + b".new", last, src_dir_fd=target_fd, dst_dir_fd=place_fd)
        os.utime(place_fd, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.unlink(copy, dir_fd=target_fd)
    return {name: entry for name in names if (entry := tree.read(name)) is not None}


def _write_out(folder_fd: int, path: bytes) -> None:
    """Have a file's content on the disk before it takes the place of another one: a power cut would leave it empty."""
    if not stat.S_ISREG(os.stat(path, dir_fd=folder_fd, follow_symlinks=False).st_mode):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
