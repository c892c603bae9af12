"""One run at a time changes a target: a flock on a file of the target, with the holder's name in it."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
from typing import Any

from workflow_agent.model.errors import TargetLockedError
from workflow_agent.targets.linux import open_beneath

__all__ = ["TargetLock"]

_POLL_S = 0.1
_NOTE_BYTES = 256


class TargetLock:
    """The lock file ``.workflow-agent/lock`` of one target, where its plan files are; its folder exists already."""

    def __init__(self, root_fd: int, target: str, base: bytes = b"/") -> None:
        self._root_fd = root_fd
        self._folder = (base.rstrip(b"/") + b"/.workflow-agent").strip(b"/")
        self._target = target
        self._descriptor: int | None = None
        self.holder: str | None = None

    async def acquire(self, run_id: str, *, wait_s: float) -> None:
        """Take the lock for a run; taking it again for the same run is no error.

        Raises:
            TargetLockedError: another run holds it (details: run_id, pid).
        """
        if self.holder == run_id:
            return
        deadline = asyncio.get_running_loop().time() + wait_s
        descriptor = self._open()
        try:
            taken = await self._wait(descriptor, deadline)
        except BaseException:
            os.close(descriptor)
            raise
        if not taken:
            holder = _read(descriptor)
            os.close(descriptor)
            raise self._refusal(holder)
        _note(descriptor, json.dumps({"run_id": run_id, "pid": os.getpid()}))
        self._descriptor, self.holder = descriptor, run_id

    async def _wait(self, descriptor: int, deadline: float) -> bool:
        while self.holder is not None or not _flocked(descriptor):
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def release(self, run_id: str) -> None:
        """Give the lock back when this run holds it."""
        if self.holder == run_id and self._descriptor is not None:
            _note(self._descriptor, "")
            os.close(self._descriptor)
            self._descriptor = self.holder = None

    def _open(self) -> int:
        folder_fd = open_beneath(self._root_fd, self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(b"lock", flags, 0o600, dir_fd=folder_fd)
        finally:
            os.close(folder_fd)

    def _refusal(self, holder: dict[str, Any]) -> TargetLockedError:
        run_id = holder.get("run_id")
        return TargetLockedError(
            f"the target `{self._target}` is held by run {run_id}" if run_id else "the target is held by another run",
            where=self._target,
            cause=f"process {holder['pid']} is working on it" if "pid" in holder else None,
            state="nothing was changed",
            hint=f"wait with `--wait`, or look with `workflow-agent show {run_id}`" if run_id else None,
            details=holder,
        )


def _flocked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _note(descriptor: int, holder: str) -> None:
    """Write down who holds the lock, over what was there: on a full disk there is room for that, and for nothing new.

    Where there is no room even for the first note, the lock holds all the same; who asks is not told by whom.
    """
    try:
        os.pwrite(descriptor, holder.encode().ljust(_NOTE_BYTES), 0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def _read(descriptor: int) -> dict[str, Any]:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}
