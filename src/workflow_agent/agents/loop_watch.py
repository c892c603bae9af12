"""Notices async steps that keep the event loop from running, and says which line does."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["LoopWatch"]

#: Seconds for which the loop may stand still before somebody is told.
PATIENCE_S: Final = 1.0
_LOOK_S: Final = 0.25


class LoopWatch:
    """Watches the loop while async steps run, from one thread.

    Args:
        patience_s: Seconds after which a standstill is told.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._told: dict[int, Callable[[str], None]] = {}
        self._number = 0
        self._beat = 0.0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Watch inside the block; `tell` gets a sentence, from another thread, at most once per standstill."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self._number += 1
            key = self._number
            self._told[key] = tell
            if self._thread is None:
                self._beat = time.monotonic()
                watched = threading.get_ident()
                self._thread = threading.Thread(
                    target=self._watch, args=(loop, watched), daemon=True, name="loop watch"
                )
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._told[key]

    def _watch(self, loop: asyncio.AbstractEventLoop, watched: int) -> None:
        is_told = False
        while True:
            with self._lock:
                if not self._told or loop.is_closed():
                    self._thread = None
                    return
                tells = list(self._told.values())
            late_s = time.monotonic() - self._beat
            if late_s < self._patience_s:
                is_told = False
            elif not is_told:
                is_told = True
                for tell in tells:
                    tell(f"the event loop has not run for {late_s:.1f} s: {_where(watched)}")
            try:
                loop.call_soon_threadsafe(self._alive)
            except RuntimeError:  # it was closed meanwhile
                continue
            time.sleep(_LOOK_S)

    def _alive(self) -> None:
        self._beat = time.monotonic()


def _where(thread: int) -> str:
    """Say on which line a thread is, and what to do."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001  # the one way to look at another thread
    place = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "somewhere"
    return f"it stands at {place}; a step that blocks is a plain function, which runs in a thread of its own"
