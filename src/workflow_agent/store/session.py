"""The only read-write connection: one transaction per batch, checkpoints, close. Used by one thread.

The file lock is held around each of them, because SQLite before 3.51.3 can corrupt the log when two connections write
and checkpoint at the same moment (source: sqlite.org/wal.html, "the WAL-reset bug").

An error before COMMIT is rolled back and its appends may be tried again. An error of COMMIT means that nobody knows
what is on disk: such a session is `broken` and does nothing more but close.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from workflow_agent.model.errors import StoreError, WorkflowAgentError
from workflow_agent.model.event import RecordKind
from workflow_agent.model.failpoint import failpoint
from workflow_agent.model.records import dataclass
from workflow_agent.store.blobs import BLOBS, BlobFolder
from workflow_agent.store.encoding import check_head
from workflow_agent.store.faults import foreign, outcome_unknown, translated, unusable
from workflow_agent.store.filelock import FileLock
from workflow_agent.store.projection import project_event, project_record, store_definition
from workflow_agent.store.schema import load_migrations, migrate
from workflow_agent.store.statements import Statements
from workflow_agent.store.together import Gathered, is_plain
from workflow_agent.store.write_ahead import WriteAheadLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from workflow_agent.store.encoding import EncodedEvent

__all__ = ["Append", "Outcome", "SideStatements", "WriteSession", "WriterLimits"]

#: The new head, or why an append was not stored.
Outcome: TypeAlias = int | WorkflowAgentError

_log = logging.getLogger(__name__)
_BLOB: Final = re.compile(r"[0-9a-f]{64}")
#: Runs whose place is remembered.
_HEADS_KEPT: Final = 100_000
_SETTINGS: Final = (
    "wait_for_others",
    "use_log",
    "sync_fully",
    "check_references",
    "temporary_in_memory",
    "no_checkpoint_in_commit",
    "keep_log_on_restart",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterLimits:
    """When the writer does what. Sizes are those of the log file.

    `lock_wait_s`: seconds to wait for another process · `idle_s`: seconds without an append after which the log is
    emptied · `checkpoint_bytes`: size at which pages are moved to the database · `ahead_bytes`: by how much it is made
    longer at once · `alarm_bytes`: size at which a warning is logged · `batch`: appends in one transaction.
    """

    lock_wait_s: float = 10.0
    idle_s: float = 1.0
    checkpoint_bytes: int = 16 << 20
    ahead_bytes: int = 256 << 10
    alarm_bytes: int = 256 << 20
    batch: int = 512


class Append(NamedTuple):
    """A compare-and-set on a run's head."""

    run_id: str
    expected_head: int
    events: Sequence[EncodedEvent]


@dataclass(frozen=True, slots=True)
class SideStatements:
    """Statements beside the journal, in the transaction of their batch; they give the outcome."""

    apply: Callable[[Statements], int]


class WriteSession:
    """An open database, migrated to the newest schema; the folder (mode 0700) is made where it is missing.

    Raises (on opening):
        StoreError: locked by another process, damaged, newer than this release, or not to be opened.
        PermissionDeniedError: the folder belongs to somebody else.
    """

    def __init__(self, path: Path, limits: WriterLimits) -> None:
        self.path = path
        self.limits = limits
        #: The error after which nothing may be written any more.
        self.broken: BaseException | None = None
        #: Whether the log holds pages that the database lacks, as far as this session knows.
        self.dirty = False
        #: Where runs stood after their last append here.
        self._heads: dict[str, int] = {}
        #: Hashes of definitions that are stored.
        self._definitions: set[str] = set()
        self._gathered = Gathered(self._definitions)
        self._blobs = BlobFolder(path.parent / BLOBS)
        self._collected = False
        with translated(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = FileLock(path.with_name(path.name + ".lock"))
            try:
                self._db = self._open()
            except BaseException:
                self._lock.close()
                raise
        self._log = WriteAheadLog(self._db, path, limits)

    def __repr__(self) -> str:
        return f"WriteSession({str(self.path)!r}, dirty={self.dirty}, broken={self.broken!r})"

    def _open(self) -> Statements:
        with self._lock.held(self.limits.lock_wait_s):
            connection = sqlite3.connect(self.path, isolation_level=None)
            db = Statements(connection)
            try:
                for setting in _SETTINGS:
                    db.execute(setting)
                # The folder is closed to others already; this holds where the file is copied or moved.
                self.path.chmod(0o600)
                self.dirty = migrate(connection, load_migrations(), self.path) > 0
            except BaseException:
                connection.close()
                raise
            return db

    # -- a batch ---------------------------------------------------------------------------------------------------

    def commit(self, appends: Sequence[Append | SideStatements]) -> list[Outcome]:
        """Store a batch in one transaction; gives one outcome per append, in order.

        An append whose head is another one, or whose data does not fit, fails alone.
        """
        try:
            failpoint("store.batch-taken")
            self._lock.acquire(self.limits.lock_wait_s)
        except StoreError as error:
            return [_again(error) for _ in appends]
        except OSError as problem:
            return [unusable(problem, self.path) for _ in appends]
        try:
            return self._transaction(appends)
        finally:
            self._lock.release()

    def _transaction(self, appends: Sequence[Append | SideStatements]) -> list[Outcome]:
        try:
            failpoint("store.lock-taken")
            self._db.execute("begin")
            outcomes = self._stored(appends)
            failpoint("store.before-commit")
        except foreign() as problem:
            self._roll_back()
            return [unusable(problem, self.path) for _ in appends]
        if not any(isinstance(outcome, int) for outcome in outcomes):
            self._roll_back()
            return outcomes
        try:
            failpoint("store.commit")
            self._db.execute("commit")
            failpoint("store.after-commit")
        except foreign() as problem:
            self.broken = problem
            return [outcome_unknown(problem, self.path) for _ in appends]
        self.dirty = True
        self._remember(appends, outcomes)
        return outcomes

    def _stored(self, batch: Sequence[Append | SideStatements]) -> list[Outcome]:
        """Put a batch's rows in: together where that can be done and nothing stands against it, else one by one."""
        appends = [item for item in batch if isinstance(item, Append)]
        plain = [append for append in appends if is_plain(append.events) and self._may_follow(append)]
        if len(appends) > 1 and len({append.run_id for append in appends}) != len(appends):
            plain = []  # two of one run have an order
        self._gathered = Gathered(self._definitions)
        if plain and not self._together(plain):
            plain = []
            self._gathered = Gathered(self._definitions)
            if self._db.connection.in_transaction:
                self._db.execute("rollback")
            self._db.execute("begin")
        if len(plain) == len(batch):
            return [head + len(events) for _, head, events in plain]
        done = {id(append) for append in plain}
        return [
            item.expected_head + len(item.events)
            if isinstance(item, Append) and id(item) in done
            else self._isolated(item)
            for item in batch
        ]

    def _together(self, appends: Sequence[Append]) -> bool:
        try:
            for append in appends:
                self._before_rows()
                self._gathered.add(append.events)
            self._gathered.store(self._db)
        except (WorkflowAgentError, sqlite3.Error):
            # One of them is in the way; which one, and why, is found out one by one.
            return False
        return True

    def _may_follow(self, append: Append) -> bool:
        """Say whether a run stands where an append wants it.

        Records are never removed, so where a run stood last its next record cannot be the wrong one: if somebody else
        wrote it, the row is there and the statement fails.
        """
        known = self._heads.get(append.run_id)
        if known is None:
            known = 0 if append.expected_head == 0 else self._db.number("head", {"run_id": append.run_id})
        return known == append.expected_head

    def _remember(self, batch: Sequence[Append | SideStatements], outcomes: Sequence[Outcome]) -> None:
        self._gathered.stored()
        if len(self._heads) > _HEADS_KEPT:
            self._heads.clear()
        heads = self._heads
        for append, outcome in zip(batch, outcomes, strict=True):
            if not isinstance(append, Append):
                continue
            if isinstance(outcome, int):
                heads[append.run_id] = outcome
            else:
                heads.pop(append.run_id, None)

    @staticmethod
    def _before_rows() -> None:
        failpoint("store.before-insert")

    def _isolated(self, append: Append | SideStatements) -> Outcome:
        self._db.execute("save_item")
        try:
            outcome = self._store(append)
        except WorkflowAgentError as error:
            self._undo_item()
            return error
        except sqlite3.Error as problem:
            if not self._db.connection.in_transaction:
                # SQLite gave the whole transaction up (full disk, I/O error): no item of it is left.
                raise
            self._undo_item()
            return unusable(problem, self.path)
        self._db.execute("release_item")
        return outcome

    def _undo_item(self) -> None:
        self._db.execute("undo_item")
        self._db.execute("release_item")

    def _store(self, append: Append | SideStatements) -> int:
        if isinstance(append, SideStatements):
            return append.apply(self._db)
        check_head(append.run_id, append.expected_head, self._db.number("head", {"run_id": append.run_id}))
        self._before_rows()
        for encoded in append.events:
            self._store_event(encoded)
        return append.expected_head + len(append.events)

    def _store_event(self, encoded: EncodedEvent) -> None:
        event = encoded.event
        if event.seq == 1:
            # The run's row comes first: its events refer to it.
            project_event(self._db, event)
        row = {"type": event.type, "step": event.step, "attempt": event.attempt, "at": event.at}
        key = {"run_id": event.run_id, "seq": event.seq}
        self._db.execute("insert_event", key | row | {"data": encoded.row.data, "blobs": encoded.row.blobs})
        if event.seq != 1:
            project_event(self._db, event)
        for record, stored in ((item.record, item.row) for item in encoded.records):
            if record.kind == RecordKind.DEFINITION:  # one for all runs that have it, not one a run
                store_definition(self._db, record.data)
                continue
            values = {"kind": record.kind, "data": stored.data, "blobs": stored.blobs}
            record_id = self._db.execute("insert_record", key | values)
            project_record(self._db, event, record_id, record.kind, record.data)

    def _roll_back(self) -> None:
        try:
            if self._db.connection.in_transaction:
                self._db.execute("rollback")
        except foreign() as problem:
            self.broken = problem

    # -- the log ---------------------------------------------------------------------------------------------------

    def relieve(self) -> None:
        """Between batches: what the log needs when it has grown."""
        if self._log.has_grown():
            self._tend(self._log.relieve, wait_s=self.limits.lock_wait_s)

    def idle(self) -> None:
        """When nothing is to be written: move everything and cut the log, if nobody is in the way."""
        self._tend(self._log.empty, wait_s=0.0)
        if not self._collected and self.broken is None:
            self._collect()
        # Whoever was in the way empties the log later: this is not tried again before the next append.
        self.dirty = False

    def _collect(self) -> None:
        """Remove blobs that no record has any more; once in the life of a process, as it asks for all names."""
        self._collected = True
        try:
            with self._lock.held(0.0):
                self._blobs.collect(self._named_blobs)
        except (StoreError, sqlite3.Error, OSError) as problem:
            _log.info("old files in %s stay until another time: %s", self._blobs.path, problem)

    def _named_blobs(self) -> set[str]:
        return {name for row in self._db.rows("named_blobs") for name in _BLOB.findall(row["blobs"])}

    def _tend(self, change: Callable[[], None], *, wait_s: float) -> None:
        try:
            with self._lock.held(wait_s):
                change()
        except StoreError as error:
            # Another process writes: it, or the next idle moment, will move the pages.
            _log.debug("the log of %s is left as it is: %s", self.path, error)
        except foreign() as problem:
            # The log is still complete, but this file system cannot be trusted with it any more.
            self.broken = problem
            _log.warning("checkpoint of %s failed: %s", self.path, problem)

    # -- the end ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection; the last one moves the log into the database. Raises StoreError."""
        try:
            self._lock.acquire(self.limits.lock_wait_s)
        except StoreError as error:
            # Whoever holds the lock has the database open, so ours is not the last connection and moves nothing.
            _log.warning("closing %s without its lock: %s", self.path, error)
        try:
            with translated(self.path):
                failpoint("store.before-close")
        except WorkflowAgentError as error:
            error.state = "everything up to here is stored"
            raise
        finally:
            self._db.connection.close()
            self._lock.close()


def _again(error: StoreError) -> StoreError:
    # One object per waiter: a raised exception collects the traceback of whoever awaits it.
    return StoreError(error.message, where=error.where, cause=error.cause, hint=error.hint, details=error.details)
