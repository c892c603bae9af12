"""What the processes of a target may do at most: the bounding set of the capabilities of its first process."""

from __future__ import annotations

import os

from workflow_agent.model.capability import usable_capabilities

__all__ = ["capabilities_of"]

#: Inode numbers of the namespaces that the machine started with. Source: include/linux/proc_ns.h.
_FIRST_USER = 0xEFFFFFFD
_FIRST_PID = 0xEFFFFFFC


def capabilities_of(pid: int) -> tuple[str, ...] | None:
    """Name the capabilities that processes beside process `pid` (0: ourselves) can get; None where nobody can say."""
    folder = f"/proc/{pid or 'self'}"
    try:
        with open(f"{folder}/status", encoding="ascii", errors="replace") as stream:
            sets = [line.split()[1] for line in stream if line.startswith("CapBnd:")]
        user, inner = (os.stat(f"{folder}/ns/{kind}").st_ino for kind in ("user", "pid"))
        bits = int(sets[0], 16)
    except (OSError, ValueError, IndexError):
        return None
    return usable_capabilities(bits, first_user_namespace=user == _FIRST_USER, first_pid_namespace=inner == _FIRST_PID)
