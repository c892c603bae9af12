"""Contents of entries: equal or not, appended or not, and clearing the overlay's own marks."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from workflow_agent.targets.entries import read_xattrs
from workflow_agent.targets.linux import OVERLAY_MARKS, open_beneath

if TYPE_CHECKING:
    from workflow_agent.targets.entries import Entry

__all__ = [
    "appended_length",
    "differing_aspects",
    "overlay_marks",
    "read_file",
    "read_link",
    "strip_overlay_attributes",
]

_CHUNK = 1 << 20


def _open(root_fd: int, path: bytes) -> int:
    return open_beneath(root_fd, path.strip(b"/"), os.O_RDONLY | os.O_NONBLOCK)


def read_file(root_fd: int, path: bytes, limit: int = 64 << 20) -> bytes | None:
    """Read a regular file by its physical path below the target's root; None when there is none.

    One that is larger than `limit` gives None too: a part of it would be read as if it were all.
    """
    try:
        descriptor = _open(root_fd, path)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            return None
        return stream.read()


def _entry_path(root_fd: int, path: bytes) -> tuple[int, str]:
    parent, _, name = path.strip(b"/").rpartition(b"/")
    parent_fd = open_beneath(root_fd, parent, os.O_RDONLY | os.O_DIRECTORY)
    return parent_fd, f"/proc/self/fd/{parent_fd}/{os.fsdecode(name)}"


def _xattrs(root_fd: int, path: bytes) -> dict[str, bytes]:
    parent_fd, entry = _entry_path(root_fd, path)
    try:
        return read_xattrs(entry)
    finally:
        os.close(parent_fd)


def _link_target(root_fd: int, path: bytes) -> str:
    parent_fd, entry = _entry_path(root_fd, path)
    try:
        return os.readlink(entry)
    finally:
        os.close(parent_fd)


def read_link(root_fd: int, path: bytes) -> bytes | None:
    """Read where a link leads; None when it is none."""
    try:
        return os.fsencode(_link_target(root_fd, path))
    except OSError:
        return None


def _same_bytes(root_fd: int, one: bytes, staged_fd: int, other: bytes) -> bool:
    with os.fdopen(_open(root_fd, one), "rb", 0) as left, os.fdopen(_open(staged_fd, other), "rb", 0) as right:
        while True:
            chunk = left.read(_CHUNK)
            if chunk != right.read(_CHUNK):
                return False
            if not chunk:
                return True


def differing_aspects(
    root_fd: int, live: bytes, before: Entry, staged: bytes, after: Entry, *, staged_fd: int | None = None
) -> set[str]:
    """Name what differs between two entries that are no folders: content, target, mode, owner, mtime, xattr, type.

    The staged one lies below `staged_fd`, where that is not the target's root.
    """
    staged_fd = root_fd if staged_fd is None else staged_fd
    if stat.S_IFMT(before.mode) != stat.S_IFMT(after.mode) or before.rdev != after.rdev:
        return {"type"}
    aspects = set()
    if before.mode != after.mode:
        aspects.add("mode")
    if (before.uid, before.gid) != (after.uid, after.gid):
        aspects.add("owner")
    if before.mtime != after.mtime:
        aspects.add("mtime")
    if stat.S_ISREG(before.mode) and (before.size != after.size or not _same_bytes(root_fd, live, staged_fd, staged)):
        aspects.add("content")
    if stat.S_ISLNK(before.mode) and _link_target(root_fd, live) != _link_target(staged_fd, staged):
        aspects.add("target")
    if _xattrs(root_fd, live) != _xattrs(staged_fd, staged):
        aspects.add("xattr")
    return aspects


def appended_length(
    root_fd: int, live: bytes, before: Entry, staged: bytes, after: Entry, *, staged_fd: int | None = None
) -> int | None:
    """Give how many bytes the script appended to a file, or None when it did something else to it."""
    if not stat.S_ISREG(before.mode) or after.size < before.size:
        return None
    staged_fd = root_fd if staged_fd is None else staged_fd
    with os.fdopen(_open(root_fd, live), "rb", 0) as old, os.fdopen(_open(staged_fd, staged), "rb", 0) as new:
        left = before.size
        while left > 0:
            chunk = old.read(min(left, _CHUNK))
            if not chunk or new.read(len(chunk)) != chunk:
                return None
            left -= len(chunk)
    return after.size - before.size


def overlay_marks(folder_fd: int, name: bytes) -> set[str]:
    """List the overlay's own attributes of a staged entry."""
    path = f"/proc/self/fd/{folder_fd}/{os.fsdecode(name)}"
    return {key for key in os.listxattr(path, follow_symlinks=False) if key.startswith(OVERLAY_MARKS)}


def strip_overlay_attributes(folder_fd: int, name: bytes, *, is_dir: bool) -> None:
    """Remove the overlay's marks from a staged entry and everything below it, keeping folder times."""
    path = f"/proc/self/fd/{folder_fd}/{os.fsdecode(name)}"
    for key in overlay_marks(folder_fd, name):
        os.removexattr(path, key, follow_symlinks=False)
    if not is_dir:
        return
    inner_fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        for text in os.listdir(inner_fd):
            inner = os.fsencode(text)
            mode = os.stat(inner, dir_fd=inner_fd, follow_symlinks=False).st_mode
            strip_overlay_attributes(inner_fd, inner, is_dir=stat.S_ISDIR(mode))
    finally:
        os.close(inner_fd)
