"""Threads for people's blocking functions: one for each that runs, kept for a moment when it is free again.

A pool of the standard library would wait, at the end of the process, for a function that never returns, and has a bound
behind which steps would wait for it. Here such a function keeps its own thread, which ends with the process. Starting a
thread takes longer than most small steps, so a free one is used again.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["IDLE_S", "StepThreads"]

#: Seconds for which a free thread waits for work.
IDLE_S: Final = 5.0


class StepThreads:
    """Runs functions, each at once and in a thread that has nothing else to do.

    Args:
        idle_s: Seconds for which a free thread waits for work before it ends.
    """

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._free: list[queue.SimpleQueue[tuple[Callable[[], None], str]]] = []
        self._lock = threading.Lock()

    def run(self, work: Callable[[], None], name: str) -> None:
        """Run a function, which must not raise, in a thread of this name."""
        with self._lock:
            inbox = self._free.pop() if self._free else None
        if inbox is None:
            inbox = queue.SimpleQueue()
            threading.Thread(target=self._serve, args=(inbox,), name=name, daemon=True).start()
        inbox.put((work, name))

    def _serve(self, inbox: queue.SimpleQueue[tuple[Callable[[], None], str]]) -> None:
        while True:
            try:
                work, threading.current_thread().name = inbox.get(timeout=self._idle_s)
            except queue.Empty:
                with self._lock:
                    if inbox in self._free:
                        self._free.remove(inbox)
                        return
                continue  # work is on its way
            work()
            del work  # nothing of a run lives on in a thread that waits
            with self._lock:
                self._free.append(inbox)
