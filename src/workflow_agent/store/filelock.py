"""A lock between processes that names its holder: ``flock`` on a file that holds the holder's process id.

The lock belongs to the open file, so two locks in one process exclude each other too, and the system frees it when
the holder dies. The file itself is never removed: removing it would let two holders lock two files of one name.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workflow_agent.model.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FileLock"]

# flock has no wait with a limit, so a taken lock is asked for again after a pause; batches hold it for under a
# millisecond, and a free lock costs no pause at all.
_PAUSE_S: Final = 0.001
_PID_WIDTH: Final = 20


class FileLock:
    """A lock on `path`, for one thread. Opening the file may raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held = False

    def __repr__(self) -> str:
        return f"FileLock({str(self.path)!r}, held={self._held})"

    def try_acquire(self) -> bool:
        """Take the lock if it is free, without waiting."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        os.pwrite(self._fd, str(os.getpid()).ljust(_PID_WIDTH).encode(), 0)
        self._held = True
        return True

    def acquire(self, wait_s: float) -> None:
        """Take the lock, waiting at most `wait_s` seconds; raises StoreError that names the holder."""
        end = time.monotonic() + wait_s
        while not self.try_acquire():
            if time.monotonic() >= end:
                holder = self.holder()
                raise StoreError(
                    f"another process writes to the database: {holder}",
                    where=str(self.path),
                    hint="wait until it ends and try again",
                    details={"holder": holder, "waited_s": wait_s},
                )
            time.sleep(_PAUSE_S)

    def release(self) -> None:
        """Give the lock back; one that is not held is no error."""
        if self._held:
            self._held = False
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    @contextmanager
    def held(self, wait_s: float) -> Iterator[None]:
        """Hold the lock inside the block; raises StoreError as :meth:`acquire` does."""
        self.acquire(wait_s)
        try:
            yield
        finally:
            self.release()

    def holder(self) -> str:
        """Name who wrote its process id last, with its command when it is still there."""
        pid = os.pread(self._fd, _PID_WIDTH, 0).decode("ascii", "replace").strip()
        if not pid.isdecimal():
            return "unknown process"
        try:
            command = Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            return f"process {pid}"
        return f"process {pid} ({command.decode('utf-8', 'replace').strip()[:80]})"

    def close(self) -> None:
        """Release the lock and the file."""
        self.release()
        os.close(self._fd)
