"""Services kept by our own supervisor (:mod:`supervise_program`), found again by any later process."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import ServiceFailedError
from workflow_agent.targets.live import ask_program
from workflow_agent.targets.paths import open_in_root, open_root, read_in_root
from workflow_agent.targets.service_processes import RunningProcess, descendants_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workflow_agent.model.system import Service

__all__ = ["Supervised"]

#: `struct flock`: type, whence, start, length, pid.
_FLOCK = "hhqqi4x"
_ANSWER_S = 30.0
_LOG_TAIL = 20
_STOP_GRACE_S = 10.0


class Supervised:
    """The supervisors on the target of process `pid`; `runtime_dir` is a folder of the target."""

    def __init__(self, pid: int, runtime_dir: str) -> None:
        self._pid = pid
        self._folder = f"{runtime_dir}/services"

    def supervisor(self, name: str) -> int | None:
        """Give the supervisor's id (as we see it): the holder of its lock, so never a stale one."""
        with open_root(self._pid) as root_fd:
            try:
                descriptor = open_in_root(root_fd, f"{self._folder}/{name}/lock", os.O_RDWR)
            except OSError:
                return None
            try:
                asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                kind, _, _, _, holder = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
            finally:
                os.close(descriptor)
        return holder if kind != fcntl.F_UNLCK and holder > 0 else None

    def members(self, name: str, processes: Iterable[RunningProcess]) -> list[RunningProcess]:
        """Pick the processes below a service's supervisor, main ones first."""
        supervisor = self.supervisor(name)
        return [] if supervisor is None else descendants_of(supervisor, processes)

    def read_state(self, name: str) -> dict[str, Any]:
        """Read what the supervisor says: status, main, restarts, last_exit; empty when it says nothing."""
        with open_root(self._pid) as root_fd, contextlib.suppress(OSError, ValueError):
            state = json.loads(read_in_root(root_fd, f"{self._folder}/{name}/state"))
            return state if isinstance(state, dict) else {}
        return {}

    def last_words(self, name: str) -> str:
        """Give the last lines that the service printed."""
        with open_root(self._pid) as root_fd, contextlib.suppress(OSError):
            text = read_in_root(root_fd, f"{self._folder}/{name}/log", limit=16 << 20)
            return "\n".join(text.decode("utf-8", "replace").splitlines()[-_LOG_TAIL:])
        return ""

    async def launch(self, service: Service) -> tuple[str, ...]:
        """Leave a supervisor behind; gives the folders that it had to create.

        Raises:
            ServiceFailedError: There is no command, no such user, or it cannot be executed.
        """
        if not service.argv:
            raise ServiceFailedError(
                f"`{service.name}` cannot be started: no init system works here and it names no command",
                hint="the manifest's service needs `argv`",
                details={"service": service.name},
            )
        request = {
            "pid": self._pid,
            "folder": f"{self._folder}/{service.name}",
            "name": service.name,
            "argv": list(service.argv),
            "user": service.user,
            "environment_file": service.environment_file,
            "environment": dict(service.environment),
            "directories": [dict(spec) for spec in service.directories],
        }
        answer = await ask_program("supervise_program", request, timeout_s=_ANSWER_S, label=service.name)
        if "error" in answer:
            raise ServiceFailedError(
                f"`{service.name}` cannot be started",
                cause=str(answer["error"]),
                details={"service": service.name},
            )
        return tuple(answer["created"])

    def trouble(self, name: str) -> str | None:
        """Say why a service that was just launched is not running well, None when it is."""
        state = self.read_state(name)
        if self.supervisor(name) is None:
            return "its supervisor is gone"
        if state.get("status") != "running" or state.get("restarts"):
            return f"it ended at once ({state.get('last_exit') or 'its process is gone'})"
        return None

    @property
    def patience_s(self) -> float:
        """How long a supervisor may take to end its service and itself."""
        return _STOP_GRACE_S + 7.0
