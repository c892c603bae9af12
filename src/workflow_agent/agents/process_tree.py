"""Ending all that a step started, also what left its session: it carries the step's mark in its environment."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MARK", "end_marked"]

#: Variable that says of which attempt at which step a process is.
MARK: Final = "WORKFLOW_AGENT_STEP_KEY"
#: What starts new processes while it is being ended is looked for again, so often.
_PASSES: Final = 20


def end_marked(mark: str) -> int:
    """Kill every process that has a mark; gives how many there were. One that was started without it is not found."""
    wanted = f"{MARK}={mark}".encode()
    count = 0
    for _ in range(_PASSES):
        found = [*_marked(wanted)]
        if not found:
            break
        count += sum(_kill(pid, wanted) for pid in found)
    return count


def _marked(wanted: bytes) -> Iterator[int]:
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit() and int(entry.name) != os.getpid() and _has(int(entry.name), wanted):
                yield int(entry.name)


def _has(pid: int, wanted: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123  # bytes of the kernel
            return wanted in file.read().split(b"\0")
    except OSError:
        return False  # it has ended, or is somebody else's


def _kill(pid: int, wanted: bytes) -> bool:
    with suppress(OSError):
        # The descriptor stays that of this process, whatever becomes of its number.
        descriptor = os.pidfd_open(pid)
        try:
            if _has(pid, wanted):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                return True
        finally:
            os.close(descriptor)
    return False
