"""Places that several processes share: rows of a small database beside the journal's.

Each look is one transaction. A row belongs to a process by a file that this holds a lock on; the system frees the lock
when the process ends, however that happens, and whoever looks next takes its rows away. No holder outlives a boot of
the machine, so each boot has a database of its own and nothing is synced.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workflow_agent.model.errors import ConflictError
from workflow_agent.model.places import LONGEST_LINE, Place, Standing, Wanted, oldest_to_leave, standing_of
from workflow_agent.store.faults import translated
from workflow_agent.store.schema import parse_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["SqlitePlaces"]

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_OWNERS: Final = "places"
_BUSY_S: Final = 10.0
_QUERIES: Final = Path(__file__).parent / "sql" / "sqlite" / "places.sql"


@cache
def _sql() -> dict[str, str]:
    return {name: query.sql for name, query in parse_queries(_QUERIES.read_text(encoding="utf-8")).items()}


class SqlitePlaces:
    """Places of all processes that have the same folder. The database is made when somebody wants a place.

    Args:
        folder: The store's folder.
        now: The wall clock, which processes share.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._path = folder / f"places-{_boot()}.db"
        self._now = now
        self._db: sqlite3.Connection | None = None
        self._owner = os.urandom(16).hex()
        self._presence: int | None = None

    def __repr__(self) -> str:
        return f"SqlitePlaces({str(self._folder)!r})"

    def enter(self, wanted: Wanted) -> Standing:
        """Take a place, or stand in line for it.

        Raises:
            ConflictError: too many stand in line.
            StoreError: the database cannot be used.
        """
        with self._transaction() as db:
            self._bury(db, wanted.key)
            if wanted.per_s is not None:
                return self._start(db, wanted, wanted.per_s)
            is_new = self._line_up(db, wanted)
            rows = _rows(db, wanted.key)
            standing = standing_of(wanted, rows)
            if standing.has_it:
                db.execute(_sql()["has_place"], {"ticket": wanted.ticket})
            elif wanted.evicts and is_new:
                asked = db.execute(_sql()["asked_of_key"], {"key": wanted.key})
                oldest = oldest_to_leave(rows, frozenset(ticket for (ticket,) in asked))
                if oldest is not None:
                    db.execute(_sql()["ask_to_leave"], {"ticket": oldest.ticket})
            return standing

    def leave(self, wanted: Wanted) -> None:
        """Give a place back, or leave the line."""
        with self._transaction() as db:
            db.execute(_sql()["leave_place"], {"ticket": wanted.ticket})

    def asked_to_leave(self) -> list[str]:
        """List the runs of this process that are asked to give their place to another one."""
        with self._transaction() as db:
            found = db.execute(_sql()["asked_of_owner"], {"owner": self._owner})
            return [run_id for (run_id,) in found]

    def waiting(self, run_id: str) -> list[Standing]:
        """List what a run waits for. Nothing is made or written where this process wants no place itself."""
        if not self._path.exists():
            return []
        with self._looking() as db:
            found = db.execute(_sql()["waits_of_run"], {"run_id": run_id})
            names = ("ticket", "key", "limit", "run_id", "unit", "kind", "priority", "per_s")
            wanted = [Wanted(**dict(zip(names, row, strict=True))) for row in found]
            return [standing_of(each, _rows(db, each.key)) for each in wanted]

    def close(self) -> None:
        """Give back all places of this process."""
        if self._db is None or self._presence is None:
            return
        with self._transaction() as db:
            db.execute(_sql()["leave_all"], {"owner": self._owner})
        self._db.close()
        (self._folder / _OWNERS / self._owner).unlink(missing_ok=True)
        os.close(self._presence)
        self._db = self._presence = None

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _line_up(self, db: sqlite3.Connection, wanted: Wanted) -> bool:
        if db.execute(_sql()["ticket_known"], {"ticket": wanted.ticket}).fetchone():
            return False
        (length,) = db.execute(_sql()["length_of_line"], {"key": wanted.key}).fetchone()
        if length >= LONGEST_LINE:
            raise ConflictError(f"{LONGEST_LINE} wait for `{wanted.key[:64]}` already", run_id=wanted.run_id)
        said = {
            name: getattr(wanted, name) for name in ("ticket", "key", "run_id", "unit", "kind", "priority", "per_s")
        }
        db.execute(_sql()["line_up"], said | {"room": wanted.limit, "owner": self._owner})
        return True

    def _start(self, db: sqlite3.Connection, wanted: Wanted, per_s: float) -> Standing:
        now = self._now()
        # What lies in the future was written before the clock was set back: it must not hold anybody up for ever.
        db.execute(_sql()["forget_starts"], {"key": wanted.key, "first": now - per_s, "last": now + per_s})
        count, first = db.execute(_sql()["count_starts"], {"key": wanted.key}).fetchone()
        if count < wanted.limit:
            db.execute(_sql()["add_start"], {"key": wanted.key, "at": now})
            db.execute(_sql()["leave_place"], {"ticket": wanted.ticket})
            return Standing(wanted=wanted, has_it=True)
        self._line_up(db, wanted)
        return Standing(wanted=wanted, has_it=False, pause_s=first + per_s - now)

    def _bury(self, db: sqlite3.Connection, key: str) -> None:
        """Take the rows of processes away that have ended."""
        owners = db.execute(_sql()["other_owners"], {"key": key, "owner": self._owner})
        for (owner,) in owners.fetchall():
            path = self._folder / _OWNERS / owner
            if _is_dead(path):
                db.execute(_sql()["leave_all"], {"owner": owner})
                path.unlink(missing_ok=True)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with translated(self._path):
            db = self._open(self._path) if self._db is None else self._db
            db.execute(_sql()["take"])
            try:
                yield db
            except BaseException:
                db.execute(_sql()["drop"])
                raise
            db.execute(_sql()["keep"])

    @contextmanager
    def _looking(self) -> Iterator[sqlite3.Connection]:
        if self._db is not None:
            yield self._db
            return
        with translated(self._path):
            db = sqlite3.connect(f"{self._path.as_uri()}?mode=ro", timeout=_BUSY_S, uri=True, isolation_level=None)
            try:
                yield db
            finally:
                db.close()

    def _open(self, path: Path) -> sqlite3.Connection:
        owners = self._folder / _OWNERS
        owners.mkdir(mode=0o700, exist_ok=True)
        self._presence = os.open(owners / self._owner, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._presence, fcntl.LOCK_EX)
        for other in self._folder.glob("places-*.db"):
            if other != path:
                other.unlink(missing_ok=True)
        db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        path.chmod(0o600)
        for name in ("no_sync", *(each for each in _sql() if each.startswith("make_"))):
            db.execute(_sql()[name])
        self._db = db
        return db


def _rows(db: sqlite3.Connection, key: str) -> list[Place]:
    found = db.execute(_sql()["line_of_key"], {"key": key})
    return [
        Place(number=number, ticket=ticket, run_id=run_id, unit=unit, priority=priority, has_it=bool(has_it))
        for number, ticket, run_id, unit, priority, has_it in found
    ]


def _boot() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()[:13]
    except OSError:
        return "boot"


def _is_dead(path: Path) -> bool:
    """Say whether the process has ended that held the lock on a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
