"""Time that passes only while nothing else is to be done: a timer of an hour takes none.

The loop looks what it waits for. While a thread of a step or a program that was started works, real time passes; else
the next timer's time has come at once. A loop that waits for nothing at all says so, instead of waiting for ever.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.agents import python_calls
from workflow_agent.agents.step_threads import StepThreads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["StandstillError", "VirtualClock", "VirtualLoop", "counted_threads"]

#: 2026-01-01 00:00:00 UTC.
_EPOCH: Final = 1_767_225_600.0
#: Seconds without any event after which a loop that waits for nothing is at a standstill.
_STILL_S: Final = 0.5


class StandstillError(AssertionError):
    """Nothing will ever happen any more: what is waited for is no timer, no thread and no program."""


class VirtualClock:
    """The clock of tests: it goes forward with the loop's timers, and whenever it is told to.

    Args:
        start: UTC seconds since the epoch at the beginning.
    """

    def __init__(self, start: float = _EPOCH) -> None:
        self.start = start
        #: Seconds that have passed.
        self.passed_s = 0.0

    def now(self) -> float:
        """Give UTC seconds since the epoch."""
        return self.start + self.passed_s

    def advance(self, seconds: float) -> None:
        """Let time pass; raises ValueError for time that would go back."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self.passed_s += seconds


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a virtual clock.

    Args:
        clock: The clock.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self._working = 0
        self._programs: list[asyncio.SubprocessTransport] = []
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Give the seconds that have passed, for timers."""
        return self.clock.passed_s

    @property
    def is_busy(self) -> bool:
        """Whether a thread or a program works, which nobody knows how long."""
        self._programs = [each for each in self._programs if each.get_returncode() is None]
        return bool(self._working or self._programs)

    def begin(self) -> None:
        """Note that a thread works."""
        self._working += 1

    def end(self) -> None:
        """Note that a thread has done its work."""
        self._working -= 1

    def run_in_executor(  # type: ignore[override]  # whatever is run
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        """Run in a thread, for which real time passes."""
        future = super().run_in_executor(executor, func, *args)
        self.begin()
        future.add_done_callback(lambda _: self.end())
        return future

    async def subprocess_exec(self, protocol_factory: Any, *args: Any, **kwargs: Any) -> Any:
        """Start a program, for which real time passes."""
        self.begin()
        try:
            transport, protocol = await super().subprocess_exec(protocol_factory, *args, **kwargs)
        finally:
            self.end()
        self._programs.append(transport)
        return transport, protocol


class _Jumping(selectors.DefaultSelector):
    """Does not wait where only a timer is waited for."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        """Give what is ready; without anything, time passes."""
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        clock = self._loop.clock
        if self._loop.is_busy:
            begun = time.monotonic()
            found = super().select(timeout)
            clock.advance(time.monotonic() - begun)
            return found
        found = super().select(0 if timeout is not None else _STILL_S)
        if not found:
            if timeout is None:
                raise StandstillError("what is waited for never comes")
            clock.advance(timeout)
        return found


class _CountedThreads(StepThreads):
    """Tells a virtual loop while a step's function works in a thread."""

    def run(self, work: Callable[[], None], name: str) -> None:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            super().run(work, name)
            return

        def counted() -> None:
            try:
                work()
            finally:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(loop.end)

        loop.begin()
        super().run(counted, name)


@contextmanager
def counted_threads() -> Iterator[None]:
    """Let virtual loops know of the threads of steps inside the block."""
    before = python_calls.THREADS
    python_calls.THREADS = _CountedThreads()
    try:
        yield
    finally:
        python_calls.THREADS = before
