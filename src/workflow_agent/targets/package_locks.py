"""Holds the target's own package and account locks, so that nobody installs while a capture is in flight.

A lock on the host's file does not exclude an apt inside the overlay (it locks its own copy), nor the reverse:
that is why they are taken on the target's files, by us, from outside (rule 5).
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
from contextlib import suppress

from workflow_agent.model.errors import TargetLockedError
from workflow_agent.targets.linux import open_beneath

__all__ = ["PackageLocks"]

#: Lock files by fcntl, in the order in which apt and dpkg take them; then the accounts' (lckpwdf(3)).
_RECORD_LOCKS = (
    b"var/lib/dpkg/lock-frontend",
    b"var/lib/dpkg/lock",
    b"var/lib/apt/lists/lock",
    b"var/cache/apt/archives/lock",
    b"etc/.pwd.lock",
)
#: debconf locks its database with flock.
_FLOCKS = (b"var/cache/debconf/config.dat",)
_FLOCK_STRUCT = "hhqqi4x"
_F_OFD_GETLK = 36
_F_OFD_SETLK = 37
_POLL_S = 0.2


class PackageLocks:
    """The locks of one target; held from capture to the end of commit, and during rollback."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._held: list[int] = []

    @property
    def held(self) -> bool:
        """Whether they are held."""
        return bool(self._held)

    async def acquire(self, *, wait_s: float) -> None:
        """Take every lock whose file exists, waiting for holders.

        Raises:
            TargetLockedError: a lock stayed taken; names the file and, where the kernel knows, the process.
        """
        if self._held:
            return
        deadline = asyncio.get_running_loop().time() + wait_s
        try:
            for path in _RECORD_LOCKS + _FLOCKS:
                await self._take(path, deadline)
        except BaseException:
            self.release()
            raise

    async def _take(self, path: bytes, deadline: float) -> None:
        # flock needs no write access, and to have debconf's database open for writing would refuse its exchange.
        flags = os.O_RDWR if path in _RECORD_LOCKS else os.O_RDONLY
        try:
            descriptor = open_beneath(self._root_fd, path, flags)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                return  # this package system is not there
            raise
        self._held.append(descriptor)
        while not _try_lock(descriptor, record=path in _RECORD_LOCKS):
            if asyncio.get_running_loop().time() >= deadline:
                name = "/" + path.decode()
                raise TargetLockedError(
                    f"a package lock is held: {name}",
                    where=name,
                    cause=_holder(descriptor, path),
                    state="nothing was changed",
                    hint="wait until that process is done, then run the command again (or use `--wait`)",
                )
            await asyncio.sleep(_POLL_S)

    def release(self) -> None:
        """Give them back."""
        while self._held:
            with suppress(OSError):
                os.close(self._held.pop())


def _try_lock(descriptor: int, *, record: bool) -> bool:
    try:
        if record:
            # Open file description locks: not lost when some other descriptor of the same file is closed.
            fcntl.fcntl(descriptor, _F_OFD_SETLK, struct.pack(_FLOCK_STRUCT, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise
    return True


def _holder(descriptor: int, path: bytes) -> str:
    if path in _FLOCKS:
        pid = _flock_holder(descriptor)
    else:
        answer = fcntl.fcntl(descriptor, _F_OFD_GETLK, struct.pack(_FLOCK_STRUCT, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        pid = struct.unpack(_FLOCK_STRUCT, answer)[4]
    if pid is None or pid <= 0:
        return "held by another process"
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
            return f"held by {stream.read().strip()} (process {pid})"
    except OSError:
        return f"held by process {pid}"


def _flock_holder(descriptor: int) -> int | None:
    """Give who holds the flock of a file, where we may see it. Source: proc(5), /proc/locks."""
    status = os.fstat(descriptor)
    name = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with open("/proc/locks", encoding="ascii") as stream:
        for line in stream:
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5] == name:
                return int(fields[4])
    return None
