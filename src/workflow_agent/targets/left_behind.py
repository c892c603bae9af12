"""What a captured script leaves that is no file on a disk: processes with their ports, entries in memory.

Looked at by process 1 of the capture when the script has ended, before everything else is ended. What is read is the
script's to choose: nothing here raises over it, and all lists have an end. Standard library only.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from workflow_agent.targets.listening_sockets import listening_sockets

__all__ = ["MEMORY", "memory_entries", "processes_left"]

#: Private to a capture, in memory: nothing in them reaches the target.
MEMORY = ("/run", "/tmp", "/dev/shm")
_OURS = frozenset({"/run/workflow-agent", "/run/lock"})
_MOST = 100
_LONGEST = 200
_SOCKET = re.compile(r"socket:\[([0-9]+)\]")


def memory_entries() -> set[str]:
    """List what lies directly in the folders that are memory."""
    found = set()
    for folder in MEMORY:
        with suppress(OSError):
            found |= {f"{folder}/{name}" for name in os.listdir(folder)}
    return found - _OURS


def processes_left(own: int = 1, most: int = _MOST) -> list[dict[str, object]]:
    """List processes beside `own`, `most` at most: ``{"command", "ports"}``, the TCP ports on which it listens."""
    found: list[dict[str, object]] = []
    listening: dict[str, int] | None = None
    for pid in sorted(map(int, filter(str.isdigit, os.listdir("/proc")))):
        if pid == own or len(found) >= most:
            continue
        with suppress(OSError):  # it ended meanwhile
            command = _command(pid)
            if command:  # else it has ended and waits to be reaped
                listening = _listening() if listening is None else listening
                found.append({"command": command, "ports": sorted(_ports(pid, listening))})
    return found


def _listening() -> dict[str, int]:
    """Map the inodes of listening sockets to their ports."""
    try:
        return {str(one.inode): one.port for one in listening_sockets("tcp")}
    except (OSError, ValueError):  # what stands for a table there may be anything
        return {}


def _command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", "rb", 0) as stream:
        words = (stream.read(_LONGEST) or b"").rstrip(b"\0").split(b"\0")
    return b" ".join(words).decode("utf-8", "replace")


def _ports(pid: int, listening: dict[str, int]) -> set[int]:
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            match = _SOCKET.fullmatch(os.readlink(f"/proc/{pid}/fd/{name}"))
            if match is not None and match[1] in listening:
                found.add(listening[match[1]])
    return found
