"""Opening a target's files without leaving its root, whatever its links say. Standard library only."""

from __future__ import annotations

import ctypes
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["open_in_root", "open_root", "read_in_root", "root_folder", "stat_in_root"]

#: The same number on every architecture (syscall numbers are shared since Linux 5.1).
_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_READ_LIMIT = 8 << 20
_PIECE = 64 << 10

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    """`struct open_how` of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def root_folder(pid: int) -> str:
    """Give the root folder of the target of a process as we can reach it (0: our own)."""
    return f"/proc/{pid}/root" if pid else "/"


def open_in_root(root_fd: int, path: str | bytes, flags: int = os.O_RDONLY, mode: int = 0) -> int:
    """Open `path` as a process whose root folder is `root_fd` would: absolute links and ``..`` stay inside.

    Source: openat2(2), RESOLVE_IN_ROOT (Linux >= 5.6). Links of procfs that jump anywhere are refused.

    Args:
        root_fd: Descriptor of the target's root folder.
        path: Absolute or relative, both start at the root.
        flags: As of open(2); close-on-exec is added.
        mode: Mode of a file that is created.

    Raises:
        OSError: As of open(2), with the path.
    """
    creates = bool(flags & os.O_CREAT) or flags & os.O_TMPFILE == os.O_TMPFILE  # contains O_DIRECTORY's bit
    how = _OpenHow(flags | os.O_CLOEXEC, mode if creates else 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    raw = os.fsencode(path)
    if b"\0" in raw:
        raise OSError(22, "a path cannot contain a NUL byte", os.fsdecode(path))
    descriptor = int(
        _libc.syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(root_fd),
            ctypes.c_char_p(raw),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        ),
    )
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(path))
    return descriptor


@contextmanager
def open_root(pid: int) -> Iterator[int]:
    """Hold a descriptor of the root folder of the target of a process (0: our own)."""
    descriptor = os.open(root_folder(pid), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def stat_in_root(root_fd: int, path: str | bytes, *, follow: bool = True) -> os.stat_result:
    """Stat a path inside a root; links are followed inside it only."""
    flags = os.O_PATH if follow else os.O_PATH | os.O_NOFOLLOW
    descriptor = open_in_root(root_fd, path, flags)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def read_in_root(root_fd: int, path: str | bytes, *, limit: int = _READ_LIMIT) -> bytes:
    """Read a regular file inside a root, at most `limit` bytes.

    Raises:
        OSError: It cannot be opened, or it is no regular file (a FIFO would block for ever).
    """
    descriptor = open_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    content = bytearray()
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(22, "not a regular file", os.fsdecode(path))
        # In pieces: one read of the whole limit would reserve that much for every little file.
        while len(content) < limit and (piece := stream.read(min(_PIECE, limit - len(content)))):
            content += piece
    return bytes(content)
