"""Ending all that a step started, also what left its session: it carries the step's mark in its environment."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["MARK", "end_marked", "mark_of", "marks_of_runs"]

#: Variable that says of which attempt at which step a process is.
MARK: Final = "WORKFLOW_AGENT_STEP_KEY"
#: What starts new processes while it is being ended is looked for again, so often.
_PASSES: Final = 20


def mark_of(run_id: str, unit: str, attempt: int) -> str:
    """Give the mark of an attempt at a unit."""
    return f"{run_id}/{unit}/{attempt}"


def marks_of_runs(run_ids: Collection[str]) -> dict[str, set[tuple[str, str]]]:
    """Find the processes of runs: for each run that has some, the units that started them, with their marks."""
    found: dict[str, set[tuple[str, str]]] = {}
    with os.scandir("/proc") as entries:
        for entry in entries:
            mark = _mark(int(entry.name)) if entry.name.isdigit() else ""
            run_id, _, rest = mark.partition("/")
            if run_id in run_ids:
                found.setdefault(run_id, set()).add((rest.rpartition("/")[0], mark))
    return found


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
    return wanted in _environ(pid)


def _mark(pid: int) -> str:
    named = f"{MARK}=".encode()
    marks = [each for each in _environ(pid) if each.startswith(named)]
    return marks[0][len(named) :].decode("utf-8", "replace") if marks else ""


def _environ(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123  # bytes of the kernel
            return file.read().split(b"\0")
    except OSError:
        return []  # it has ended, or is somebody else's


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
