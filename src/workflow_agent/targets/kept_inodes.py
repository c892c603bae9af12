"""Who would still see the old file after an exchange: watchers of a file, and bind mounts of it (rule 28). Blocking.

A commit puts another inode at a path. Who watches the file itself, and not its folder, hears of nothing any more; what
is mounted elsewhere from the file goes on showing what was there before. Both are said in the plan. Who keeps a file
open to read is as with any package manager, and is not listed.

Source: proc_pid_fdinfo(5): `inotify wd:1 ino:7e9 sdev:800013`; proc_pid_mountinfo(5); a device has 20 bits minor there.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from workflow_agent.model.system import escape_path
from workflow_agent.targets.mounts import parse_mountinfo
from workflow_agent.targets.operations import OperationKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from workflow_agent.targets.operations import Operation

__all__ = ["kept_inode_notes"]

_LEAVES = frozenset({OperationKind.EXCHANGE, OperationKind.REMOVE, OperationKind.REMOVE_FOLDER})
_WATCH = re.compile(rb"^(?:inotify wd:[0-9a-f]+|fanotify) ino:([0-9a-f]+) sdev:([0-9a-f]+)", re.MULTILINE)
_WATCHERS = frozenset({"anon_inode:inotify", "anon_inode:[fanotify]", "anon_inode:[inotify]"})
_MINOR_BITS = 20
_SHOWN = 5

#: A file by its device and inode number.
_Inode = tuple[int, int]


def kept_inode_notes(operations: Iterable[Operation]) -> tuple[str, ...]:
    """Say which files that would be replaced are watched, or mounted elsewhere, and by whom."""
    files = _leaving(operations)
    if not files:
        return ()
    watched: dict[str, set[str]] = {}
    mounted: dict[str, set[str]] = {}
    seen: set[str] = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it ended meanwhile
            for path in _watched(pid, files):
                watched.setdefault(escape_path(path), set()).add(_name(pid))
        with suppress(OSError):
            namespace = os.readlink(f"/proc/{pid}/ns/mnt")
            if namespace not in seen:
                seen.add(namespace)
                for path, point in _mounted(pid, files):
                    mounted.setdefault(escape_path(path), set()).add(escape_path(point))
    return tuple(_notes(watched, mounted))


def _leaving(operations: Iterable[Operation]) -> dict[_Inode, bytes]:
    """Give the files that would not be at their paths any more."""
    files: dict[_Inode, bytes] = {}
    for operation in operations:
        if operation.kind not in _LEAVES or operation.before is None:
            continue
        below = {operation.path + b"/" + relative: entry for relative, entry in operation.subtree.items()}
        for path, entry in {operation.path: operation.before, **below}.items():
            if stat.S_ISREG(entry.mode):
                files[entry.dev, entry.ino] = path
    return files


def _watched(pid: str, files: Mapping[_Inode, bytes]) -> Iterator[bytes]:
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):  # closed meanwhile
            if os.readlink(f"/proc/{pid}/fd/{descriptor}") not in _WATCHERS:
                continue
            with open(f"/proc/{pid}/fdinfo/{descriptor}", "rb") as stream:
                text = stream.read()
            for inode, device in _WATCH.findall(text):
                number = int(device, 16)
                key = os.makedev(number >> _MINOR_BITS, number & ((1 << _MINOR_BITS) - 1)), int(inode, 16)
                if key in files:
                    yield files[key]


def _mounted(pid: str, files: Mapping[_Inode, bytes]) -> Iterator[tuple[bytes, bytes]]:
    devices = {f"{os.major(device)}:{os.minor(device)}" for device, _ in files}
    with open(f"/proc/{pid}/mountinfo", "rb") as stream:
        mounts = parse_mountinfo(stream.read())
    for mount in mounts:
        if mount.root == b"/" or mount.device not in devices:
            continue
        with suppress(OSError):  # out of that process's reach
            status = os.stat(b"/proc/%s/root%s" % (pid.encode(), mount.point))
            if (status.st_dev, status.st_ino) in files:
                yield files[status.st_dev, status.st_ino], mount.point


def _name(pid: str) -> str:
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
        return f"{stream.read().strip()} (process {pid})"


def _notes(watched: Mapping[str, set[str]], mounted: Mapping[str, set[str]]) -> Iterator[str]:
    for path, names in sorted(watched.items())[:_SHOWN]:
        yield f"{path} is watched by {', '.join(sorted(names))}, which sees the old file until it is reloaded"
    if len(watched) > _SHOWN:
        yield f"{len(watched) - _SHOWN} more files are watched that would be replaced"
    for path, points in sorted(mounted.items())[:_SHOWN]:
        yield f"{path} is mounted at {', '.join(sorted(points))}, where the old file stays until it is mounted anew"
    if len(mounted) > _SHOWN:
        yield f"{len(mounted) - _SHOWN} more files are mounted elsewhere that would be replaced"
