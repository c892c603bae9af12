"""Services with an init script. What a script returns proves nothing: the processes are looked at.

Source: Debian policy 9.3; init scripts of Debian 12.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from workflow_agent.targets.live import LiveResult, run_live
from workflow_agent.targets.paths import open_in_root, open_root, read_in_root, stat_in_root
from workflow_agent.targets.service_processes import (
    Executable,
    RunningProcess,
    executable_of,
    inner_ids,
    started_at,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.system import Service

__all__ = ["InitScripts", "exe_path", "is_process_of", "pid_file_candidates"]

_PID_FILE = re.compile(r"^\s*(?:#\s*pidfile:\s*|PIDFILE=)[\"']?([/$][^\s\"';]+)", re.MULTILINE)
_VARIABLE = re.compile(r"^\s*([A-Za-z_]\w*)=[\"']?([\w./${}-]+)", re.MULTILINE)
_USE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
#: How deep variables name each other in a path.
_DEPTH = 4
_INTERPRETER = re.compile(r"(perl|python|ruby|node|nodejs|php|java|lua|tclsh|guile|[a-z]*sh)[0-9.]*")
_CLOCK_ERROR_S = 2.0


def exe_path(service: Service) -> str | None:
    """Give the program that a service's process runs, as its manifest says."""
    if service.exe:
        return service.exe
    return service.argv[0] if service.argv and service.argv[0].startswith("/") else None


def is_process_of(service: Service, program: Executable, process: RunningProcess) -> bool:
    """Tell whether a process belongs to a service by the program that it runs.

    Where the program is an interpreter, ``argv`` names what it interprets, and that has to be among the process's
    arguments: others run the same interpreter. Other programs may replace their arguments by a title, as redis does.
    """
    if not program.runs_as(process):
        return False
    words = service.argv
    interpreted = len(words) > 1 and words[0] == program.path and words[1].startswith("/")
    interpreted = interpreted and _INTERPRETER.fullmatch(program.path.rpartition("/")[2]) is not None
    return not interpreted or words[1] in process.argv[1:]


def pid_file_candidates(name: str, script: str) -> list[str]:
    """List where a service may keep its pid: what its init script says first, then the customary places."""
    set_there = dict(reversed(_VARIABLE.findall(script)))  # the first one counts: later ones are in branches
    own = _expanded(set_there.get("NAME", name), set_there)
    own = name if "$" in own or "/" in own else own
    said = [_expanded(path, {"NAME": name} | set_there) for path in _PID_FILE.findall(script)]
    paths = [path for path in said if path.startswith("/") and "$" not in path]
    return list(dict.fromkeys([*paths, f"/run/{own}.pid", f"/run/{name}.pid", f"/run/{name}/{name}.pid"]))


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """Put values for the variables that are known; what is not stays."""
    for _ in range(_DEPTH):
        text = _USE.sub(lambda use: variables.get(use[1] or use[2], use[0]), text)
    return text


def _plain(name: str) -> str:
    """Drop the suffix that scripts for systemd put to a name."""
    return name.removesuffix(".service")


class InitScripts:
    """The init scripts of the target of process `pid`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def has(self, name: str) -> bool:
        """Whether there is an init script of that name."""
        with open_root(self._pid) as root_fd, contextlib.suppress(OSError):
            return bool(stat_in_root(root_fd, f"/etc/init.d/{_plain(name)}").st_mode & 0o111)
        return False

    def is_enabled(self, name: str) -> bool:
        """Whether a runlevel starts it."""
        with open_root(self._pid) as root_fd:
            for level in "2345":
                with contextlib.suppress(OSError):
                    folder = open_in_root(root_fd, f"/etc/rc{level}.d", os.O_RDONLY | os.O_DIRECTORY)
                    try:
                        links = os.listdir(folder)
                    finally:
                        os.close(folder)
                    if any(link[:1] == "S" and link[3:] == _plain(name) for link in links):
                        return True
        return False

    def members(self, service: Service, processes: Sequence[RunningProcess]) -> list[RunningProcess]:
        """Pick the processes of a service: those that run its program, and the one that its pid file names.

        A pid file counts only when it is not older than the process: after a crash the id may belong to
        somebody else.
        """
        path = exe_path(service)
        found: list[RunningProcess] = []
        if path:
            program = executable_of(self._pid, path)
            found = [process for process in processes if is_process_of(service, program, process)]
        if not found:
            found = self._by_pid_file(_plain(service.name), processes)
        return found

    def _by_pid_file(self, name: str, processes: Sequence[RunningProcess]) -> list[RunningProcess]:
        with open_root(self._pid) as root_fd:
            script = ""
            with contextlib.suppress(OSError):
                script = read_in_root(root_fd, f"/etc/init.d/{name}").decode("utf-8", "replace")
            by_id = inner_ids(self._pid, processes)
            for path in pid_file_candidates(name, script):
                with contextlib.suppress(OSError, ValueError):
                    written = stat_in_root(root_fd, path).st_mtime
                    process = by_id.get(int(read_in_root(root_fd, path, limit=32)))
                    if process is not None and started_at(process) <= written + _CLOCK_ERROR_S:
                        return [process]
        return []

    async def call(self, name: str, verb: str, *, timeout_s: float) -> LiveResult:
        """Run `service NAME VERB`."""
        return await run_live(self._pid, ("service", _plain(name), verb), timeout_s=timeout_s)
