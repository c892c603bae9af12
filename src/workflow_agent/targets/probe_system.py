"""Reading a system from inside: processes, who holds sockets, accounts. Standard library only.

Everything comes from the `/proc` and `/etc` that this process sees, so it runs where the target lives.
Accounts are read from the files and not through the C library, which would load libraries of the target.
Source: proc(5).
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = [
    "Process",
    "account_ids",
    "account_names",
    "processes",
    "read_bytes",
    "read_tail",
    "runs_current",
    "runs_program",
    "same_file",
    "socket_owners",
]

_READ_LIMIT = 64 << 20
_TAIL_LIMIT = 1 << 20
_PIECE = 64 << 10
_DELETED = " (deleted)"
_TRANSACTIONS = "/.workflow-agent/tx/"
_SCRIPT = b"#!"
_INTERPRETER = re.compile(r"(perl|python|ruby|node|nodejs|php|java|lua|tclsh|guile|[a-z]*sh)[0-9.]*")
#: How much the clocks of files and of processes may differ.
_CLOCK_S = 0.5
_STARTED_FIELD = 19  # of the fields after the closing parenthesis of /proc/PID/stat


class Process(NamedTuple):
    """One living process of this system. `exe` is the text of its link (None: unreadable).

    `started` is in clock ticks after boot: together with `pid` it identifies the process. `command` is its first
    argument, `words` are the next two, among which an interpreter finds the script that it runs.
    """

    pid: int
    parent: int
    name: str
    exe: str | None
    command: str
    uid: int
    started: int
    words: tuple[str, ...] = ()


def read_bytes(path: str, limit: int = _READ_LIMIT) -> bytes:
    """Read at most `limit` bytes of a file; raises OSError."""
    # In pieces: one read of the whole limit would reserve that much for every little file of procfs.
    content = bytearray()
    with open(path, "rb", buffering=0) as stream:
        while len(content) < limit and (piece := stream.read(min(_PIECE, limit - len(content)))):
            content += piece
    return bytes(content)


def read_tail(path: str, limit: int = _TAIL_LIMIT) -> bytes | None:
    """Read whole lines at the end of a file, `limit` bytes at most; None where there is none; raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is no file", path)
        start = max(0, os.fstat(descriptor).st_size - limit)
        stream.seek(start)
        text = stream.read(limit) or b""
    return text.partition(b"\n")[2] if start else text


def account_names(path: str) -> dict[int, str]:
    """Map ids to names from `/etc/passwd` or `/etc/group`; a missing file gives no names."""
    return {number: name for name, number in reversed(account_ids(path).items())}


def account_ids(path: str) -> dict[str, int]:
    """Map names to ids from `/etc/passwd` or `/etc/group`; a missing file gives no ids."""
    try:
        text = read_bytes(path).decode("utf-8", "replace")
    except OSError:
        return {}
    found: dict[str, int] = {}
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2].isdecimal():  # noqa: PLR2004 - name, password, id
            found.setdefault(fields[0], int(fields[2]))
    return found


def processes(own: Collection[int] = ()) -> Iterator[Process]:
    """Yield the living processes whose root folder is ours or one of ours: no kernel threads, zombies, containers.

    A process that ends meanwhile is left out. Raises OSError when there is no `/proc`.

    Args:
        own: Processes of the probe program; they and all below them are left out, such as a check's command.
    """
    ours = os.stat("/")
    found: dict[int, Process] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                process = _process(int(name), ours)
            except (OSError, ValueError):
                continue
            if process is not None:
                found[process.pid] = process
    for process in found.values():
        if not _is_below(process, own, found):
            yield process


def _is_below(process: Process, own: Collection[int], known: Mapping[int, Process]) -> bool:
    seen: set[int] = set()
    above: Process | None = process
    while above is not None and above.pid not in seen:
        if above.pid in own or above.parent in own:
            return True
        seen.add(above.pid)  # ids that are given again while we read could make a ring
        above = known.get(above.parent)
    return False


def _process(pid: int, ours: os.stat_result) -> Process | None:
    raw = read_bytes(f"/proc/{pid}/stat").decode("utf-8", "replace")
    # The name may itself hold blanks and parentheses: the last one ends it.
    name, fields = raw[raw.index("(") + 1 : raw.rindex(")")], raw[raw.rindex(")") + 2 :].split()
    command = read_bytes(f"/proc/{pid}/cmdline", 1 << 16)
    if fields[0] in {"Z", "X"} or not (command or _link(pid, "exe")) or not _same_root(pid, ours):
        return None
    return Process(
        pid=pid,
        parent=int(fields[1]),
        name=name,
        exe=_link(pid, "exe"),
        command=command.partition(b"\0")[0].decode("utf-8", "replace"),
        words=tuple(word.decode("utf-8", "replace") for word in command.split(b"\0")[1:3]),
        uid=_effective_uid(pid),
        started=int(fields[_STARTED_FIELD]),
    )


def _link(pid: int, name: str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/{name}")
    except OSError:
        return None


def _same_root(pid: int, ours: os.stat_result) -> bool:
    try:
        root = os.stat(f"/proc/{pid}/root")
    except PermissionError:
        return True  # without root we cannot know, and hiding it would be worse
    return _identity(root) == _identity(ours) or _is_jailed(pid, root)


def _is_jailed(pid: int, root: os.stat_result) -> bool:
    """Whether a process locked itself into a folder of ours, as daemons do (chroot); a container's is none of ours."""
    folder = _link(pid, "root")
    try:
        return folder is not None and _identity(os.stat(folder)) == _identity(root)
    except OSError:
        return False


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _effective_uid(pid: int) -> int:
    for line in read_bytes(f"/proc/{pid}/status").splitlines():
        if line.startswith(b"Uid:"):
            return int(line.split()[2])
    raise ValueError("no Uid line")


def runs_program(process: Process, path: str) -> bool:
    """Say whether a process was started from the program at `path`, be it still that file or an older one.

    The kernel marks a replaced file in the link's text; after an exchange by a transaction the link names the
    place where the before-image went. Both only identify the process: :func:`same_file` judges it.
    """
    if process.exe is None:
        return False
    link = process.exe.removesuffix(_DELETED)
    for wanted in {path, os.path.realpath(path)}:
        if wanted in {process.exe, link} or (_TRANSACTIONS in link and link.endswith(wanted)):
            return True
    return same_file(process.pid, path) or _runs_script(process, path)


def _runs_script(process: Process, path: str) -> bool:
    """Say whether an interpreter runs the script at `path`, be it there still or not."""
    if path not in process.words or process.exe is None:
        return False
    interpreter = os.path.basename(process.exe.removesuffix(_DELETED))
    return _INTERPRETER.fullmatch(interpreter) is not None and _is_script(path) is not False


def _is_script(path: str) -> bool | None:
    """Say whether a program is run by an interpreter that its first line names; None where there is none."""
    try:
        return read_bytes(path, len(_SCRIPT)) == _SCRIPT
    except OSError:
        return None


def runs_current(process: Process, path: str) -> bool:
    """Say whether a process runs what stands at `path` now: this very file, or a script that is not newer than it."""
    if same_file(process.pid, path):
        return True
    if not (_runs_script(process, path) and _is_script(path)):
        return False
    began = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + process.started / os.sysconf("SC_CLK_TCK")
    return os.stat(path).st_ctime <= began + _CLOCK_S


def same_file(pid: int, path: str) -> bool:
    """Say whether a process runs the very file that stands at `path` now (device and inode are equal)."""
    try:
        running, installed = os.stat(f"/proc/{pid}/exe"), os.stat(path)
    except OSError:
        return False
    return (running.st_dev, running.st_ino) == (installed.st_dev, installed.st_ino)


def socket_owners(inodes: set[int]) -> dict[int, list[int]]:
    """Find the processes that hold sockets: inode → pids. What may not be read is left out."""
    texts = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, list[int]] = {}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdecimal()):
        try:
            numbers = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        held = {texts.get(_link(pid, f"fd/{number}") or "") for number in numbers}
        for inode in held:
            if inode is not None:
                found.setdefault(inode, []).append(pid)
    return found
