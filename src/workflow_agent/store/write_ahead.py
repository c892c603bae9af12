"""The write-ahead log of the only read-write connection: moved, cut, and made longer before it is needed.

A commit waits for the disk. Where its pages lie past the end of the log's file, the file system has to store a new
size and new blocks with them, which takes as long as the pages themselves; where they are written over others it has
not. So the file is made longer ahead of what is written, and is kept as long as it is when the log starts anew.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from workflow_agent.model.failpoint import failpoint
from workflow_agent.store.faults import foreign

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from workflow_agent.store.session import WriterLimits
    from workflow_agent.store.statements import Statements

__all__ = ["WriteAheadLog"]

_log = logging.getLogger(__name__)


class WriteAheadLog:
    """The log of a connection. Each call needs the file lock; they raise sqlite3.Error and OSError as they come.

    Args:
        db: The connection.
        path: The database.
        limits: When what is done.
    """

    def __init__(self, db: Statements, path: Path, limits: WriterLimits) -> None:
        self._db = db
        self._path = path
        self._file = path.with_name(path.name + "-wal")
        self._limits = limits
        self._checkpoint_at = limits.checkpoint_bytes
        self._alarmed = False
        #: The file's size when it was last looked at.
        self._size = self._bytes()

    def __repr__(self) -> str:
        return f"WriteAheadLog({str(self._file)!r}, size={self._size})"

    def has_grown(self) -> bool:
        """Say whether pages were put behind what was the end of the file."""
        before, self._size = self._size, self._bytes()
        return self._size > before

    def relieve(self) -> None:
        """Between batches, when the log has grown: move its pages to the database when they are many.

        Until then it is made longer, by as much again.
        """
        if self._size >= self._checkpoint_at:
            done = self._moved(self._passive)
            # A reader that is in the way leaves the log as it is: try again when it has grown as much again.
            self._checkpoint_at = self._limits.checkpoint_bytes + (0 if done else self._size)
            self._watch()
        elif self._limits.ahead_bytes // 4 <= self._size < self._limits.checkpoint_bytes:
            # A shorter log belongs to a process that writes little, for which this would be no gain.
            self._lengthen(min(self._size, self._limits.ahead_bytes))

    def empty(self) -> None:
        """Move everything and cut the log, if nobody is in the way."""
        self._moved(lambda: self._passive() and self._truncate())
        self._checkpoint_at = self._limits.checkpoint_bytes
        self._size = self._bytes()
        self._watch()

    def _lengthen(self, count: int) -> None:
        """Write so many bytes behind the end by a transaction that is taken back: later ones write over them."""
        try:
            self._db.execute("spill_at_once")
            self._db.execute("begin")
            self._db.execute("fill_log", {"bytes": count})
            failpoint("store.log-filled")
        except foreign() as problem:  # a full disk, mostly: whoever commits next is told, if it is still so
            _log.debug("the log of %s was not made longer: %s", self._path, problem)
        finally:
            if self._db.connection.in_transaction:
                self._db.execute("rollback")
            self._db.execute("spill_late")
        self._size = self._bytes()

    def _moved(self, move: Callable[[], bool]) -> bool:
        failpoint("store.before-checkpoint")
        done = move()
        failpoint("store.after-checkpoint")
        return done

    def _passive(self) -> bool:
        state = self._db.rows("checkpoint_passive")[0]
        return not state["busy"] and state["log"] == state["checkpointed"]

    def _truncate(self) -> bool:
        # Do not wait for readers: the log is cut another time.
        self._db.execute("wait_for_nobody")
        try:
            return not self._db.number("checkpoint_truncate")
        finally:
            self._db.execute("wait_for_others")

    def _bytes(self) -> int:
        try:
            return self._file.stat().st_size
        except OSError:
            return 0

    def _watch(self) -> None:
        large = self._size >= self._limits.alarm_bytes
        if large and not self._alarmed:
            _log.warning("the log of %s has grown to %d MB; a reader may hold it open", self._path, self._size >> 20)
        self._alarmed = large
