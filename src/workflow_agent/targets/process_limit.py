"""Bounds how many processes a script has: a fork bomb in a capture is ended before the host starves.

Process 1 of the capture's PID namespace looks every tenth of a second and ends everything below it when there are too
many. Between two looks the kernel itself stands in the way where PID namespaces have a highest number of their own. No
control group is made: which ones there are, and whose they are, differs from host to host. Standard library only.

Source: Linux 6.14, ``pid_max`` by PID namespace; kill(2): -1 from process 1 of a namespace ends all of its others.
"""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["ProcessLimit", "bound_process_numbers", "has_own_numbers"]

_LOOK_S = 0.1
#: Threads have numbers too, and a script may have many of them.
_NUMBERS_PER_PROCESS = 4
#: The kernel takes no lower number than about 300.
_FEWEST_NUMBERS = 1024
_FIRST_RELEASE = (6, 14)
_URGENT = -20


class ProcessLimit:
    """For process 1 of a PID namespace, while it runs a script.

    Args:
        most: How many processes there may be, this one not counted.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        #: Whether there were more, and everything was ended.
        self.passed = False
        self._nice = os.getpriority(os.PRIO_PROCESS, 0)

    def __enter__(self) -> Self:
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, _LOOK_S, _LOOK_S)  # no child inherits it
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def hurry(self) -> None:
        """Look in time also where thousands want to run; a child that is forked afterwards calls :meth:`calm`."""
        with suppress(OSError):  # without root
            os.setpriority(os.PRIO_PROCESS, 0, _URGENT)

    def calm(self) -> None:
        """Run as everybody does."""
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, self._nice)

    def _look(self, _number: int, _frame: FrameType | None) -> None:
        self.passed = self.passed or sum(map(str.isdigit, os.listdir("/proc"))) > self._most + 1
        if self.passed:
            with suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)


def has_own_numbers(release: str) -> bool:
    """Tell whether a kernel has a highest process number for each namespace: an earlier one has one for the machine."""
    found = re.match(r"([0-9]+)\.([0-9]+)", release)
    return found is not None and (int(found[1]), int(found[2])) >= _FIRST_RELEASE


def bound_process_numbers(proc_fd: int, most: int) -> None:
    """Let the kernel refuse what is far beyond the limit, for the PID namespace of this process and no other."""
    if not has_own_numbers(os.uname().release):
        return
    with suppress(OSError):  # mounted read-only, as in a container
        descriptor = os.open("sys/kernel/pid_max", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc_fd)
        try:
            os.write(descriptor, b"%d" % max(most * _NUMBERS_PER_PROCESS, _FEWEST_NUMBERS))
        finally:
            os.close(descriptor)
