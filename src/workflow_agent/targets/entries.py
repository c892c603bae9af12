"""Identity and state of file system entries: what a baseline holds and what is compared with it.

An entry is known by its handle (inode and generation: an inode number alone is reused after two editor
saves), and its state by ctime, mtime, size, mode, owner, link count. Comparison is always for equality with
what was recorded, never "newer than": clocks step.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from workflow_agent.targets.linux import OVERLAY_MARKS, file_handle, open_beneath

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = [
    "Baseline",
    "Entry",
    "describe",
    "kind_of",
    "read_entry",
    "read_xattrs",
    "walk_file_system",
]

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block",
    stat.S_IFCHR: "char",
}

#: Gone meanwhile, or closed to a person without root.
_PASSED_BY = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES})

#: Our own folder on each captured file system: outside every capture, baseline and digest.
STATE_FOLDER = b".workflow-agent"


class Entry(NamedTuple):
    """State of one entry; times in nanoseconds."""

    handle: bytes
    ino: int
    ctime: int
    mtime: int
    size: int
    mode: int
    uid: int
    gid: int
    nlink: int
    rdev: int
    dev: int

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def kind(self) -> str:
        """Word for its type."""
        return kind_of(self.mode)

    @property
    def key(self) -> bytes:
        """What tells files of one file system apart: the handle, the inode number where there are none."""
        return self.handle or b"%d" % self.ino

    def is_untouched(self, status: os.stat_result) -> bool:
        """Whether nothing at all happened to it, by its status alone: another inode has another ctime."""
        return (
            self.ctime == status.st_ctime_ns
            and self.ino == status.st_ino
            and self.mtime == status.st_mtime_ns
            and self.size == status.st_size
            and (self.mode, self.uid, self.gid, self.nlink)
            == (status.st_mode, status.st_uid, status.st_gid, status.st_nlink)
        )

    def moved_to(self, status: os.stat_result) -> Entry | None:
        """Give it with another ctime where a status differs in nothing else that tells; None for folders.

        For entries that we moved ourselves a moment ago: whose handle it is was looked at before.
        """
        if self.ino != status.st_ino or self.mtime != status.st_mtime_ns or self.size != status.st_size:
            return None
        if self.mode != status.st_mode or stat.S_ISDIR(self.mode) or self.rdev != status.st_rdev:
            return None
        return _entry(status, self.handle) if (self.uid, self.gid) == (status.st_uid, status.st_gid) else None

    def same_identity(self, other: Entry | None) -> bool:
        """Whether both are the same inode, not a later one with its number."""
        return other is not None and self.handle == other.handle and self.ino == other.ino

    def same_state(self, other: Entry | None, *, moved: bool = False) -> bool:
        """Whether nothing happened to it; `moved` leaves out what a rename changes itself (ctime).

        A directory's size, link count and times follow from its entries, which are compared on their own.
        """
        if other is self:
            return True
        if other is None or not self.same_identity(other):
            return False
        if (self.mode, self.uid, self.gid, self.rdev) != (other.mode, other.uid, other.gid, other.rdev):
            return False
        if self.is_dir:
            return True
        if (self.size, self.mtime) != (other.size, other.mtime):
            return False
        return moved or self.ctime == other.ctime


#: Path (bytes, absolute on the target) to state, one dictionary per captured file system.
Baseline = dict[bytes, Entry]


def kind_of(mode: int) -> str:
    """Word for the type in a mode."""
    return _KINDS[stat.S_IFMT(mode)]


def _entry(status: os.stat_result, handle: bytes) -> Entry:
    return Entry(
        handle,
        status.st_ino,
        status.st_ctime_ns,
        status.st_mtime_ns,
        status.st_size,
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_nlink,
        status.st_rdev,
        status.st_dev,
    )


def read_entry(folder_fd: int, name: bytes, expected: Entry | None = None) -> Entry | None:
    """Read the state of `name` in an open folder, not following links; None when there is nothing.

    Where nothing happened to what was `expected`, that is given itself: a handle takes as long as a status.
    """
    try:
        status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if expected is not None and expected.is_untouched(status):
        return expected
    return _entry(status, file_handle(folder_fd, name))


def walk_file_system(root_fd: int, point: bytes, hidden: Container[bytes] = ()) -> Baseline:
    """Record every entry of the file system mounted at `point`, without crossing into others.

    `root_fd` is the target's root. Folders that vanish meanwhile are left out, and so is what lies in a folder that
    may not be read, or in one of those `hidden` from scripts. Blocking: run it in a thread.
    """
    baseline: Baseline = {}
    pending = [point]
    device: int | None = None
    while pending:
        folder = pending.pop()
        try:
            # Opened one at a time: a folder can have more subfolders than there are descriptors.
            folder_fd = open_beneath(root_fd, folder.lstrip(b"/"), os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            if error.errno in _PASSED_BY:
                continue
            raise
        try:
            if device is None:
                status = os.fstat(folder_fd)
                device = status.st_dev
                baseline[point] = _entry(status, file_handle(folder_fd, b"."))
            found = _walk_folder(folder_fd, folder.rstrip(b"/"), device, baseline)
            pending += [inner for inner in found if inner not in hidden]
        finally:
            os.close(folder_fd)
    return baseline


def _walk_folder(folder_fd: int, folder: bytes, device: int, baseline: Baseline) -> list[bytes]:
    folders = []
    for text in os.listdir(folder_fd):
        name = os.fsencode(text)
        if name == STATE_FOLDER:
            continue
        try:
            status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        except (FileNotFoundError, PermissionError):
            continue
        if status.st_dev != device:
            continue
        path = folder + b"/" + name
        baseline[path] = _entry(status, file_handle(folder_fd, name))
        if stat.S_ISDIR(status.st_mode):
            folders.append(path)
    return folders


def read_xattrs(path: str) -> dict[str, bytes]:
    """Read the extended attributes of an entry (ACLs and capabilities are among them), not following links.

    `path` is usually ``/proc/self/fd/N/name``, for the open folder itself ``/proc/self/fd/N/.`` (without the dot it
    would be the link of procfs). The overlay's own attributes are left out.
    """
    result = {}
    for name in os.listxattr(path, follow_symlinks=False):
        if not name.startswith(OVERLAY_MARKS):
            result[name] = os.getxattr(path, name, follow_symlinks=False)
    return result


def describe(entry: Entry | None) -> dict[str, object] | None:
    """Give the part of a state that people and change sets read."""
    if entry is None:
        return None
    return {
        "kind": entry.kind,
        "mode": f"{stat.S_IMODE(entry.mode):04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "size": 0 if entry.is_dir else entry.size,
        "mtime_ns": entry.mtime,
    }
