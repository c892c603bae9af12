"""Who drives a run: a lock on a file of the run, so that others see whether its process lives."""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workflow_agent.model.errors import ConflictError, PermissionDeniedError, StoreError
from workflow_agent.store.faults import unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Owner", "RunOwnership"]

#: Field of ``/proc/PID/stat`` after the program's name: when it started, in ticks since the machine did.
_START_FIELD = 19
_MOST_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The process that drives a run. `started` tells it from a later one of the same number; 0 is not known.

    `socket` is where it listens to what others say to the run (``run_socket``); "" where it does not. `space` is its
    process namespace, in which its number means something; "" is not known.
    """

    pid: int
    started: int
    socket: str = ""
    space: str = ""

    def interrupt(self) -> None:
        """Ask it to stop, as Ctrl-C does; one that has ended meanwhile is no error.

        Raises:
            ConflictError: it cannot be told which process it is.
            PermissionDeniedError: it is somebody else's.
        """
        if self.space not in {"", _space()}:
            raise ConflictError(
                f"process {self.pid}, which drives the run, is in another process namespace (a container?)",
                hint="ask it there to stop",
            )
        try:
            # The descriptor stays that of this process, whatever becomes of its number.
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        except OSError as error:
            raise ConflictError("the process that drives the run cannot be found", cause=error.strerror) from error
        try:
            if self.started != _started(self.pid):
                raise ConflictError(f"process {self.pid} is another one than the one that drives the run")
            signal.pidfd_send_signal(descriptor, signal.SIGINT)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise PermissionDeniedError(
                f"process {self.pid}, which drives the run, is somebody else's", hint="try it as root"
            ) from error
        finally:
            os.close(descriptor)


class RunOwnership:
    """Holds ``owner`` in the folder of a run; the system gives it free when the process ends, however that happens.

    Args:
        artifacts: Gives the folder for a run's files.
    """

    def __init__(self, artifacts: Callable[[str], Path]) -> None:
        self._artifacts = artifacts

    @contextmanager
    def held(self, run_id: str, socket: str = "") -> Iterator[None]:
        """Own a run inside the block, and say where this process listens meanwhile.

        Raises:
            ConflictError: somebody drives it, another process or this one.
            StoreError: its folder cannot be written.
        """
        path = self._artifacts(run_id) / "owner"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _not_written(error, path) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError("another process is driving this run", run_id=run_id) from error
            _write(descriptor, path, socket)
            yield
        finally:
            os.close(descriptor)

    def owner(self, run_id: str) -> Owner | None:
        """Tell which process drives a run now; None when there is none. Nothing is written.

        Raises:
            PermissionDeniedError: the run is somebody else's.
        """
        path = self._artifacts(run_id) / "owner"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise PermissionDeniedError("the run is somebody else's", where=str(path), hint="try it as root") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _read(descriptor)
            return None
        finally:
            os.close(descriptor)


def _write(descriptor: int, path: Path, socket: str) -> None:
    text = f"{os.getpid()} {_started(os.getpid())} {socket or '-'} {_space() or '-'}\n".encode()
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text, 0)
    except OSError as error:
        raise _not_written(error, path) from error


def _not_written(error: OSError, path: Path) -> StoreError:
    return StoreError(
        "the run's folder cannot be written",
        where=str(path),
        cause=error.strerror,
        state="nothing was changed",
        hint=unusable(error, path).hint,
    )


def _read(descriptor: int) -> Owner:
    words = [*os.pread(descriptor, _MOST_BYTES, 0).decode("utf-8", "replace").split(), "", "", "", ""]
    pid, started = (int(word) if word.isdigit() else 0 for word in words[:2])
    socket, space = ("" if word == "-" else word for word in words[2:4])
    return Owner(pid=pid, started=started, socket=socket, space=space)


def _space() -> str:
    """Name the process namespace of this process; "" where ``/proc`` is another one's."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115  # a name, no path
    except OSError:
        return ""


def _started(pid: int) -> int:
    """Read when a process started; 0 when it has ended. The name before it may hold anything, also parentheses."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123  # bytes of the kernel
            return int(stat.read().rpartition(b")")[2].split()[_START_FIELD])
    except (OSError, IndexError, ValueError):
        return 0
