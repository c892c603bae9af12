"""What a container used, read from its control groups when its first process ends. Blocking.

The engine forgets the counters together with the container, so they are looked at each second, and once more at the
moment of the end, before the engine takes the groups away. Only for an engine of this machine: the groups of another
one's processes cannot be seen.

Source: cgroups(7); Linux, admin-guide/cgroup-v2 (`cpu.stat`, `memory.peak`, since 5.19; `memory.current`) and
cgroup-v1 (`cpuacct.usage`, `memory.max_usage_in_bytes`).
"""

from __future__ import annotations

import os
import re
import select
from contextlib import suppress
from pathlib import Path

from workflow_agent.model.records import dataclass

__all__ = ["ContainerUsage", "group_folders", "usage_of", "usage_until_end"]

_LOOK_MS = 1000
_NANOSECONDS, _MICROSECONDS = 1e9, 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUsage:
    """Seconds of processor time, and the most memory at one time in bytes, the cache of its files counted."""

    cpu_s: float
    memory_bytes: int


def usage_until_end(pid: int, container: str) -> ContainerUsage | None:
    """Wait until a container's first process has ended; gives what all of its processes used.

    Args:
        pid: The process as this machine numbers it; 0 where the container has ended.
        container: The engine's id, by which the groups are known to be this container's.

    Returns:
        None where it ended before it could be looked at, or runs elsewhere.
    """
    with suppress(OSError):  # it has ended
        descriptor = os.pidfd_open(pid)  # first: the groups that are read then tell whether it is the right process
        try:
            folders = group_folders(_text(f"/proc/{pid}/cgroup"), _text("/proc/self/mounts"), container)
            return _looked_at(descriptor, folders) if folders else None
        finally:
            os.close(descriptor)
    return None


def _looked_at(descriptor: int, folders: tuple[Path, ...]) -> ContainerUsage | None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    usage = usage_of(folders)
    ended = False
    while not ended:
        ended = bool(poll.poll(_LOOK_MS))
        now = usage_of(folders)
        if now is None:
            continue  # the engine was quicker
        most = max(now.memory_bytes, usage.memory_bytes if usage is not None else 0)
        usage = ContainerUsage(cpu_s=now.cpu_s, memory_bytes=most)
    return usage


def group_folders(groups: str, mounts: str, container: str) -> tuple[Path, ...]:
    """Find the folders of a container's control groups.

    Args:
        groups: Of a process of it, as ``/proc/PID/cgroup`` has them.
        mounts: As ``/proc/self/mounts`` has them.
        container: The engine's id; groups that are not named after it are left out.
    """
    points: dict[str, str] = {}
    for line in mounts.splitlines():
        _, point, kind, options = line.split(" ")[:4]
        if kind == "cgroup2":
            points[""] = point
        elif kind == "cgroup":
            points |= dict.fromkeys(options.split(","), point)
    folders: list[Path] = []
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        shown = next((points[name] for name in controllers.split(",") if name in points), None)
        if shown is not None and container in path:
            folders.append(Path(shown + path))
    return tuple(folders)


def usage_of(folders: tuple[Path, ...]) -> ContainerUsage | None:
    """Read the counters; None where there is one of the two at most."""
    cpu_s: float | None = None
    memory: int | None = None
    for folder in folders:
        if found := re.search(r"^usage_usec ([0-9]+)$", _text(folder / "cpu.stat"), re.MULTILINE):
            cpu_s = int(found[1]) / _MICROSECONDS
        if counted := _text(folder / "cpuacct.usage"):
            cpu_s = int(counted) / _NANOSECONDS
        for name in ("memory.peak", "memory.max_usage_in_bytes", "memory.current"):
            if counted := _text(folder / name):
                memory = int(counted)
                break
    return None if cpu_s is None or memory is None else ContainerUsage(cpu_s=cpu_s, memory_bytes=memory)


def _text(path: str | Path) -> str:
    """Read what the kernel says; empty where it says nothing (any more)."""
    with suppress(OSError), open(path, encoding="ascii", errors="replace") as stream:
        return stream.read().strip()
    return ""
