"""Copies what a script staged on this machine into a container's own root, from where it can be exchanged (rule 20).

The overlay of a container takes no staged tree of its own, and a file reaches it only through its merged view. What is
copied lies below the transaction's folder, where nothing reads it, until it is put in place by renames.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.model.errors import CaptureError
from workflow_agent.model.system import escape_path
from workflow_agent.targets.entries import read_xattrs
from workflow_agent.targets.linux import open_beneath
from workflow_agent.targets.live_tree import LiveTree, staged_path, transaction_folder
from workflow_agent.targets.operations import Operation, OperationKind

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["EntryCopier", "bring_in"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HELD = 0x10 | 0x20  # immutable, append-only: linux/fs.h
_FS_IOC_GETFLAGS = 0x80086601
_PIECE = 1 << 24
_STAGED = frozenset({OperationKind.CREATE, OperationKind.EXCHANGE, OperationKind.APPEND})


class EntryCopier:
    """Copies entries from one folder to another, links between them as links. Blocking.

    Args:
        source_fd: The folder from which paths of sources start.
        target_fd: The folder from which paths of copies start.
    """

    def __init__(self, source_fd: int, target_fd: int) -> None:
        self._source_fd = source_fd
        self._target_fd = target_fd
        self._sources, self._targets = LiveTree(source_fd), LiveTree(target_fd)
        self._copies: dict[tuple[int, int], bytes] = {}

    def copy(self, source: bytes, target: bytes) -> None:
        """Copy an entry with everything below it: content, owner, mode, attributes, times, in this order."""
        place, copy = _place(self._sources, source), _place(self._targets, target)
        status = os.lstat(place)
        if not stat.S_ISDIR(status.st_mode) and self._link(status, target):
            return
        match stat.S_IFMT(status.st_mode):
            case stat.S_IFDIR:
                os.mkdir(copy, 0o700)
                self._copy_below(source, target)
                place, copy = _place(self._sources, source), _place(self._targets, target)
            case stat.S_IFLNK:
                os.symlink(os.readlink(place), copy)
            case stat.S_IFREG:
                _copy_content(place, copy)
            case _:
                os.mknod(copy, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev)
        _copy_attributes(place, copy, status)

    def copy_folder(self, source: bytes, target: bytes) -> None:
        """Copy a folder without its entries."""
        place, copy = _place(self._sources, source), _place(self._targets, target)
        os.mkdir(copy, 0o700)
        _copy_attributes(place, copy, os.lstat(place))

    def _copy_below(self, source: bytes, target: bytes) -> None:
        folder_fd = open_beneath(self._source_fd, source, _FOLDER)
        try:
            names = sorted(os.fsencode(name) for name in os.listdir(folder_fd))
        finally:
            os.close(folder_fd)
        for name in names:
            self.copy(source + b"/" + name, target + b"/" + name)

    def _link(self, status: os.stat_result, target: bytes) -> bool:
        """Make one more name of a file that was copied already."""
        if status.st_nlink == 1:
            return False
        first = self._copies.setdefault((status.st_dev, status.st_ino), target)
        if first == target:
            return False
        os.link(first, target, src_dir_fd=self._target_fd, dst_dir_fd=self._target_fd, follow_symlinks=False)
        return True

    def close(self) -> None:
        """Close the folders that are kept open."""
        self._sources.forget()
        self._targets.forget()


def _place(tree: LiveTree, path: bytes) -> str:
    """Give a path of an entry below a folder to which no link led: whoever owns the source may put some in the way."""
    folder_fd, name = tree.place(path)
    return f"/proc/self/fd/{folder_fd}/{os.fsdecode(name)}"


def _copy_content(source: str, target: str) -> None:
    """Copy what holds data; holes stay holes."""
    with open(source, "rb", opener=_unlinked) as old, open(target, "xb", opener=_private) as new:
        if struct.unpack("l", fcntl.ioctl(old, _FS_IOC_GETFLAGS, bytes(8)))[0] & _HELD:
            raise OSError(errno.EPERM, "an immutable or append-only file cannot be put in place", source)
        size, position = os.fstat(old.fileno()).st_size, 0
        os.ftruncate(new.fileno(), size)
        while position < size:
            try:
                position = os.lseek(old.fileno(), position, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise
            end = os.lseek(old.fileno(), position, os.SEEK_HOLE)
            os.lseek(new.fileno(), position, os.SEEK_SET)
            while position < end:
                sent = os.sendfile(new.fileno(), old.fileno(), position, min(end - position, _PIECE))
                if not sent:
                    raise OSError(errno.EBUSY, "somebody writes to it while it is copied", source)
                position += sent


def _unlinked(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _copy_attributes(source: str, target: str, status: os.stat_result) -> None:
    """Owner first: changing it clears set-user-id bits and capabilities; times last: all else changes them."""
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
    for name, value in read_xattrs(source).items():
        os.setxattr(target, name, value, follow_symlinks=False)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def bring_in(root_fd: int, store_fd: int, transaction: str, operations: Sequence[Operation]) -> list[Operation]:
    """Copy the staged side of every operation to the same place below the target's root.

    Args:
        root_fd: The target's root; the transaction's folders are there, empty.
        store_fd: The folder of this machine below which the script's effects lie.
        transaction: Its id.
        operations: What is planned.

    Returns:
        The operations with the entries that lie on the target now.

    Raises:
        CaptureError: They cannot be copied: no room, or a file that nobody may move.
    """
    folder = transaction_folder(b"/", transaction).strip(b"/")
    source_fd = open_beneath(store_fd, folder, _FOLDER)
    target_fd = open_beneath(root_fd, folder, _FOLDER)
    try:
        with (
            LiveTree(root_fd) as tree,
            closing(EntryCopier(source_fd, target_fd)) as copier,
            closing(EntryCopier(root_fd, target_fd)) as twins,
        ):
            brought = []
            for operation in operations:
                if operation.kind is OperationKind.REMOVE_FOLDER:
                    twins.copy_folder(operation.path.strip(b"/"), operation.staged)
                elif operation.kind in _STAGED:
                    above = os.fsdecode(operation.staged.rpartition(b"/")[0])
                    os.makedirs(f"/proc/self/fd/{target_fd}/{above}", exist_ok=True)
                    copier.copy(operation.staged, operation.staged)
                brought.append(_as_copied(tree, transaction, operation))
            return brought
    except OSError as error:
        raise CaptureError(
            "what the script did cannot be copied to the container", cause=str(error), state="nothing was changed"
        ) from error
    finally:
        os.close(source_fd)
        os.close(target_fd)


def _as_copied(tree: LiveTree, transaction: str, operation: Operation) -> Operation:
    if operation.kind not in _STAGED | {OperationKind.REMOVE_FOLDER}:
        return operation
    place = staged_path(operation, transaction)
    after = tree.read(place)
    if after is None:
        raise OSError(errno.ENOENT, "a copy vanished", escape_path(place))
    return replace(operation, after=after, content=tree.below(place) if operation.content else {})
