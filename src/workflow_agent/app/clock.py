"""The clock of records: it says what the wall clock said when we began, and how much later it is."""

from __future__ import annotations

import time

__all__ = ["SystemClock"]


class SystemClock:
    """UTC that only goes forward: a wall clock that is set meanwhile changes no duration and no order.

    A process that lives for long makes a new one from time to time; one of a command never needs to.
    """

    def __init__(self) -> None:
        self._wall = time.time()
        self._begun = _passed()

    def now(self) -> float:
        """Give UTC seconds since the epoch."""
        return self._wall + (_passed() - self._begun)


def _passed() -> float:
    """Seconds since the machine started; those in which it slept count."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
