"""Which processes run on a target, whose they are, and how they are ended for certain.

All ids are ours (as this process sees them), so that ``/proc/<id>`` can be read and signals sent. A process
belongs to the target of process `pid` when it lives in that process's PID namespace or in one below it.

What belongs here: reading procfs, attribution, signals. What does not: init systems (``services``).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import stat
from typing import TYPE_CHECKING

from workflow_agent.model.records import dataclass
from workflow_agent.targets.listening_sockets import listening_sockets
from workflow_agent.targets.paths import open_root, read_in_root, stat_in_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "Executable",
    "RunningProcess",
    "descendants_of",
    "end_processes",
    "executable_of",
    "inner_ids",
    "is_listening",
    "is_running",
    "processes_of",
    "started_at",
    "wait_until_gone",
    "without_lifeline",
]

_NS_GET_PARENT = 0xB702
_POLL_S = 0.01
_DELETED = " (deleted)"
#: Fields of /proc/PID/stat, counted after the name in parentheses.
_STATE, _PARENT, _START_TIME = 0, 1, 19
#: First processes of containers that end when the one program does which they were given to run.
_SMALL_INITS = frozenset({"catatonit", "docker-init", "dumb-init", "tini", "tini-static"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProcess:
    """A living process. `exe` is (device, inode) of its program, None for kernel threads.

    `started` (clock ticks since boot) makes the id unique. `exe_path` is as its own system names it; after
    the file was removed or exchanged it ends in ``(deleted)`` or names another place. `root` is its root
    folder, `control_groups` the text of ``/proc/<id>/cgroup``.
    """

    pid: int
    parent: int
    started: int
    exe: tuple[int, int] | None
    exe_path: str
    argv: tuple[str, ...]
    root: tuple[int, int] | None
    control_groups: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Executable:
    """A program of a target: `inode` is (device, inode) or None when the file is missing.

    A script runs under its interpreter's inode, so it is recognised by its path among the arguments.
    """

    path: str
    root: tuple[int, int]
    inode: tuple[int, int] | None
    is_script: bool = False

    def runs_as(self, process: RunningProcess) -> bool:
        """Whether `process` runs this program, or the file that stood at its path before."""
        if self.inode is not None and not self.is_script and process.exe == self.inode:
            return True
        if process.root != self.root:
            return False
        if self.is_script:
            return self.path in process.argv[1:3]
        return process.exe_path == self.path + _DELETED


def executable_of(pid: int, path: str) -> Executable:
    """Look a program up inside the target of process `pid`, following links inside it only."""
    with open_root(pid) as root_fd:
        folder = os.fstat(root_fd)
        root = (folder.st_dev, folder.st_ino)
        try:
            found = stat_in_root(root_fd, path)
        except OSError:
            return Executable(path=path, root=root, inode=None)
        is_script = False
        if stat.S_ISREG(found.st_mode):
            with contextlib.suppress(OSError):
                is_script = read_in_root(root_fd, path, limit=2) == b"#!"
        return Executable(path=path, root=root, inode=(found.st_dev, found.st_ino), is_script=is_script)


def processes_of(pid: int) -> list[RunningProcess]:
    """List the living processes of the target of process `pid` (0: our own), lowest id first."""
    member = _membership(pid)
    found = []
    for number in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        with contextlib.suppress(OSError, IndexError, ValueError):
            if member(number):
                seen = _look(number)
                if seen is not None:
                    found.append(seen)
    return found


def _membership(pid: int) -> Callable[[int], bool]:
    target = os.stat(f"/proc/{pid or 'self'}/ns/pid").st_ino
    known: dict[int, bool] = {target: True}

    def member(number: int) -> bool:
        namespace = os.stat(f"/proc/{number}/ns/pid").st_ino
        if namespace not in known:
            known[namespace] = _is_below(number, target)
        return known[namespace]

    return member


def _is_below(number: int, target: int) -> bool:
    """Walk up from a process's PID namespace; the walk ends with an error above our own."""
    descriptor = os.open(f"/proc/{number}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        while os.fstat(descriptor).st_ino != target:
            try:
                above = fcntl.ioctl(descriptor, _NS_GET_PARENT)
            except OSError:
                return False
            os.close(descriptor)
            descriptor = above
        return True
    finally:
        os.close(descriptor)


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def _stat_fields(number: int) -> list[bytes]:
    return _read(f"/proc/{number}/stat").rpartition(b")")[2].split()


def _look(number: int) -> RunningProcess | None:
    fields = _stat_fields(number)
    if fields[_STATE] in (b"Z", b"X"):
        return None
    exe: tuple[int, int] | None = None
    exe_path = ""
    with contextlib.suppress(OSError):  # kernel threads have none
        program = os.stat(f"/proc/{number}/exe")
        exe = (program.st_dev, program.st_ino)
        exe_path = os.readlink(f"/proc/{number}/exe")
    root: tuple[int, int] | None = None
    with contextlib.suppress(OSError):
        folder = os.stat(f"/proc/{number}/root")
        root = (folder.st_dev, folder.st_ino)
    raw = _read(f"/proc/{number}/cmdline").removesuffix(b"\0")
    return RunningProcess(
        pid=number,
        parent=int(fields[_PARENT]),
        started=int(fields[_START_TIME]),
        exe=exe,
        exe_path=exe_path,
        argv=tuple(os.fsdecode(part) for part in raw.split(b"\0")) if raw else (),
        root=root,
        control_groups=_read(f"/proc/{number}/cgroup").decode("utf-8", "replace"),
    )


def descendants_of(ancestor: int, processes: Iterable[RunningProcess]) -> list[RunningProcess]:
    """Pick the processes below process `ancestor`, nearest first."""
    children: dict[int, list[RunningProcess]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    found: list[RunningProcess] = []
    queue = [ancestor]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += [process.pid for process in below]
    return found


def is_running(process: RunningProcess) -> bool:
    """Whether exactly this process still lives (a zombie does not)."""
    try:
        fields = _stat_fields(process.pid)
    except OSError:
        return False
    return int(fields[_START_TIME]) == process.started and fields[_STATE] not in (b"Z", b"X")


async def wait_until_gone(processes: Sequence[RunningProcess], patience_s: float) -> list[RunningProcess]:
    """Wait for processes to end; gives those that have not."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + patience_s
    left = [process for process in processes if is_running(process)]
    while left and clock() < deadline:
        await asyncio.sleep(_POLL_S)
        left = [process for process in left if is_running(process)]
    return left


def _send(process: RunningProcess, number: signal.Signals) -> None:
    """Send a signal to exactly this process: its id may have a new owner by now."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if is_running(process):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)


async def end_processes(
    processes: Sequence[RunningProcess],
    *,
    grace_s: float = 10.0,
    first: signal.Signals = signal.SIGTERM,
) -> tuple[list[RunningProcess], list[RunningProcess]]:
    """Signal processes, and kill after `grace_s` those that stay.

    Returns:
        Those that had to be killed, and those that survive even that (in an uninterruptible wait).
    """
    for process in processes:
        _send(process, first)
    stubborn = await wait_until_gone(processes, grace_s)
    for process in stubborn:
        _send(process, signal.SIGKILL)
    return stubborn, await wait_until_gone(stubborn, 5.0)


def is_listening(processes: Iterable[RunningProcess], ports: Sequence[str]) -> bool:
    """Whether these processes themselves hold every port (``tcp/9100``) open."""
    wanted = {(kind, int(number)) for kind, _, number in (port.partition("/") for port in ports)}
    held: set[tuple[str, int]] = set()
    for process in processes:
        with contextlib.suppress(OSError):
            sockets = _open_sockets(process.pid)
            waiting = [one for kind in {kind for kind, _ in wanted} for one in listening_sockets(kind, process.pid)]
            held |= {(one.protocol, one.port) for one in waiting if str(one.inode) in sockets}
        if wanted <= held:
            return True
    return False


def _open_sockets(pid: int) -> set[str]:
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            link = os.readlink(f"/proc/{pid}/fd/{name}")
            if link.startswith("socket:["):
                found.add(link[len("socket:[") : -1])
    return found


def inner_ids(pid: int, processes: Iterable[RunningProcess]) -> dict[int, RunningProcess]:
    """Map process ids as the target of process `pid` counts them to its processes."""
    level = len(_namespace_ids(pid)) - 1 if pid else 0
    found = {}
    for process in processes:
        with contextlib.suppress(OSError, IndexError):
            found[_namespace_ids(process.pid)[level]] = process
    return found


def without_lifeline(pid: int, processes: Sequence[RunningProcess]) -> list[RunningProcess]:
    """Leave out what a target lives by, and children of that which run the same program.

    A container ends with its first process, or with that which a small init as its first process was given to run: the
    oldest of its children. So these are nobody's to stop, whatever program they run.
    """
    first = inner_ids(pid, processes).get(1)
    if first is None:
        return list(processes)
    life = [first]
    if first.exe_path.rpartition("/")[2] in _SMALL_INITS:
        below = [one for one in processes if one.parent == first.pid]
        life += sorted(below, key=lambda one: (one.started, one.pid))[:1]
    kept = {(one.pid, one.exe) for one in life}
    return [one for one in processes if one not in life and (one.parent, one.exe) not in kept]


def _namespace_ids(pid: int) -> list[int]:
    """Read a process's ids in each PID namespace from ours inwards."""
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(b"NSpid:"):
            return [int(part) for part in line.split()[1:]]
    return [pid]


def started_at(process: RunningProcess) -> float:
    """Give a process's start in seconds since the epoch, to about a hundredth."""
    for line in _read("/proc/stat").splitlines():
        if line.startswith(b"btime "):
            return int(line.split()[1]) + process.started / os.sysconf("SC_CLK_TCK")
    return 0.0
