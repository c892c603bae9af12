"""The writer thread: takes whatever is ready, stores it in one transaction, wakes all who wait.

There is no artificial delay: while one batch is being synced the next one gathers by itself. The queue has no bound of
its own; each caller waits for its append, so it holds at most one entry per waiting task.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from workflow_agent.model.errors import InternalError, WorkflowAgentError
from workflow_agent.store.faults import closed
from workflow_agent.store.session import WriteSession

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from workflow_agent.store.session import Append, Outcome, SideStatements, WriterLimits

__all__ = ["Writer"]


class _Entry(NamedTuple):
    append: Append | SideStatements
    loop: asyncio.AbstractEventLoop
    waiter: asyncio.Future[int]


_Settled: TypeAlias = tuple["_Entry", "Outcome"]


class Writer:
    """Owner of the thread that owns the only read-write connection.

    Life: :meth:`start`, any number of :meth:`append`, :meth:`close`. After an error of a commit it is closed for good.
    """

    def __init__(self, path: Path, limits: WriterLimits) -> None:
        self.path = path
        self._limits = limits
        self._queue: queue.SimpleQueue[list[_Entry] | None] = queue.SimpleQueue()
        self._gathering: dict[asyncio.AbstractEventLoop, list[_Entry]] = {}
        self._gate = threading.Lock()  # orders "put" against "nothing is taken any more"
        self._refusal: WorkflowAgentError | None = closed(path)
        self._stopping = False
        self._opened: Future[None] = Future()
        self._ended: Future[None] = Future()
        for future in (self._opened, self._ended):
            # Their awaiting tasks may be cancelled; the thread goes its way all the same.
            future.set_running_or_notify_cancel()
        # A daemon thread, because a program that forgets to close must still end; for the database that is a crash,
        # which it survives.
        self._thread = threading.Thread(target=self._main, name="workflow-agent-store-writer", daemon=True)

    def __repr__(self) -> str:
        return f"Writer({str(self.path)!r}, alive={self._thread.is_alive()})"

    async def start(self) -> None:
        """Open the database; raises what :class:`~.session.WriteSession` raises. On cancellation it is closed."""
        self._thread.start()
        try:
            await asyncio.wrap_future(self._opened)
        except asyncio.CancelledError:
            self._queue.put(None)
            raise
        except WorkflowAgentError:
            self._thread.join()  # it has nothing left to do
            raise

    def append(self, append: Append | SideStatements) -> asyncio.Future[int]:
        """Store an append; its future gives the new head when it is on disk. To cancel that does not undo it.

        Raises:
            JournalConflictError: the run's head is another one.
            OutcomeUnknownError: the commit was not confirmed; the writer is closed.
            StoreError: nothing was stored.
        """
        loop = asyncio.get_running_loop()
        entry = _Entry(append, loop, loop.create_future())
        with self._gate:
            if self._refusal is not None:
                raise closed(self.path, self._refusal.__cause__)
            self._gather(entry)
        return entry.waiter

    def _gather(self, entry: _Entry) -> None:
        """Hand over together what one turn of the event loop appends: one wake-up of the thread, one transaction."""
        gathered = self._gathering.setdefault(entry.loop, [])
        gathered.append(entry)
        if len(gathered) == 1:
            entry.loop.call_soon(self._hand_over, entry.loop)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._gate:
            entries = self._gathering.pop(loop, None)
            if entries and self._refusal is None:
                self._queue.put(entries)
                return
            problem = self._refusal and self._refusal.__cause__
        # Only an error ends the writer with something in here: whoever closes it hands over first.
        _settle((entry, closed(self.path, problem)) for entry in entries or ())

    async def close(self) -> None:
        """Store what was appended, close the database and end the thread; a second call waits for the first.

        Raises:
            StoreError: closing failed; what was acknowledged is stored all the same.
        """
        if self._thread.ident is None:
            return
        with self._gate:
            if not self._stopping:
                self._stopping = True
                self._refusal = self._refusal or closed(self.path)
                for entries in self._gathering.values():
                    self._queue.put(entries)
                self._gathering.clear()
                self._queue.put(None)
        await asyncio.wrap_future(self._ended)
        self._thread.join()

    # -- in the thread ---------------------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            session = WriteSession(self.path, self._limits)
        except Exception as problem:  # noqa: BLE001  # border of the thread: the opener gets it
            self._opened.set_exception(_ours(problem))
            self._ended.set_result(None)
            return
        self._refusal = None
        self._opened.set_result(None)
        try:
            self._serve(session)
        finally:
            self._end(session)

    def _serve(self, session: WriteSession) -> None:
        going = True
        while going and session.broken is None:
            batch, going = self._take(session)
            if batch:
                _settle(zip(batch, self._store(session, batch), strict=True))
                if session.broken is None:
                    session.relieve()
            elif going:
                session.idle()

    def _store(self, session: WriteSession, batch: Sequence[_Entry]) -> Sequence[Outcome]:
        try:
            return session.commit([entry.append for entry in batch])
        except Exception as problem:  # noqa: BLE001  # border of the thread: nobody may be left waiting
            session.broken = problem
            return [_ours(problem) for _ in batch]

    def _take(self, session: WriteSession) -> tuple[list[_Entry], bool]:
        """Wait for entries and give all that are ready; none after an idle time; False when it is time to end."""
        batch: list[_Entry] = []
        try:
            entries = self._queue.get(timeout=self._limits.idle_s if session.dirty else None)
            while entries is not None:
                batch += entries
                if len(batch) >= self._limits.batch:
                    return batch, True
                entries = self._queue.get_nowait()
        except queue.Empty:
            return batch, True
        return batch, False

    def _end(self, session: WriteSession) -> None:
        with self._gate:
            self._refusal = closed(self.path, session.broken)
            self._refusal.__cause__ = session.broken
        self._refuse_rest(session.broken)
        try:
            session.close()
        except Exception as problem:  # noqa: BLE001  # border of the thread: the closer gets it
            self._ended.set_exception(_ours(problem))
        else:
            self._ended.set_result(None)

    def _refuse_rest(self, problem: BaseException | None) -> None:
        rest: list[_Entry] = []
        with suppress(queue.Empty):
            while True:
                rest += self._queue.get_nowait() or ()
        _settle((entry, closed(self.path, problem)) for entry in rest)


def _ours(problem: Exception) -> WorkflowAgentError:
    if isinstance(problem, WorkflowAgentError):
        return problem
    return InternalError(cause=f"{type(problem).__name__}: {problem}")


def _settle(settled: Iterable[_Settled]) -> None:
    """Wake all waiters of a batch with one call into each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Settled]] = {}
    for entry, outcome in settled:
        by_loop.setdefault(entry.loop, []).append((entry, outcome))
    for loop, pairs in by_loop.items():
        # The loop may be closed by now; then nobody waits in it either.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: Sequence[_Settled]) -> None:
    for (_, _, waiter), outcome in pairs:
        if waiter.done():
            continue  # the caller was cancelled
        if isinstance(outcome, int):
            waiter.set_result(outcome)
        else:
            waiter.set_exception(outcome)
