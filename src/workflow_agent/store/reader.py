"""Read-only queries through aiosqlite: a connection (``mode=ro``) for each question, closed with its answer.

A query is executed and all its rows are fetched in one call into the connection's thread, so no cursor lives across an
await. Large values are read and parsed in a thread too. Opening takes about a millisecond; in return nothing is left
between questions: no thread that keeps a program from ending, no descriptor of a file that was replaced. Who asks
several in a row keeps the connection of the first (`kept`).
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiosqlite

from workflow_agent.model.errors import StoreError
from workflow_agent.store.encoding import decode_row
from workflow_agent.store.faults import closed, newer_schema, translated
from workflow_agent.store.schema import load_migrations, load_queries
from workflow_agent.store.statements import columns_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from workflow_agent.store.blobs import BlobFolder

__all__ = ["PAGE", "Reader", "View"]

T = TypeVar("T")

#: Rows per query where a result has no limit of its own.
PAGE: Final = 1000
_BUSY_S: Final = 5.0
#: Characters of JSON that are parsed on the event loop (about 1 ms); more goes to a thread.
_PARSE_HERE: Final = 64 * 1024


class _Kept:
    """What the questions inside of one `kept` share: a view, made by the first of them."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.views = AsyncExitStack()
        self.opening = asyncio.Lock()
        self.view: View | None = None
        self.over = False


#: Of the task that asks, and of those that it starts.
_kept: ContextVar[_Kept | None] = ContextVar("kept", default=None)


class View:
    """The database while a question is answered; without a connection it is empty."""

    def __init__(self, connection: aiosqlite.Connection | None, reader: Reader) -> None:
        self._connection = connection
        self._reader = reader

    async def rows(self, name: str, **values: Any) -> list[dict[str, Any]]:  # Any: JSON values
        """Run a query by name and give all its rows by column name."""
        if self._connection is None:
            return []
        rows = await self._connection.execute_fetchall(load_queries()[name], columns_of(values))
        return list(rows)  # type: ignore[arg-type]  # the row factory makes dictionaries

    async def objects(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Give the object in the columns `data` and `blobs` of each row; raises StoreError for a bad blob."""
        return await self._reader.decode(rows)


class Reader:
    """Answers questions. A missing database is an empty one, and stays missing."""

    def __init__(self, path: Path, blobs: BlobFolder) -> None:
        self.path = path
        self._blobs = blobs
        self._closed = False

    def __repr__(self) -> str:
        return f"Reader({str(self.path)!r}, closed={self._closed})"

    @asynccontextmanager
    async def view(self) -> AsyncIterator[View]:
        """Open the database for one question.

        Raises:
            StoreError: closed, damaged, newer or older than this release.
            PermissionDeniedError: the folder belongs to somebody else.
        """
        kept = _kept.get()
        if kept is None or kept.reader is not self or kept.over:
            async with self._opened() as view:
                yield view
            return
        async with kept.opening:
            if kept.view is None:
                kept.view = await kept.views.enter_async_context(self._opened())
        with translated(self.path):
            yield kept.view

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep the connection of the first question that is asked inside for the others."""
        kept = _Kept(self)
        before = _kept.set(kept)
        try:
            async with kept.views:
                yield
        finally:
            kept.over = True
            _kept.reset(before)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[View]:
        if self._closed:
            raise closed(self.path)
        with translated(self.path):
            if not self.path.exists():
                yield View(None, self)
                return
            async with aiosqlite.connect(
                self._address(), uri=True, timeout=_BUSY_S, isolation_level=None
            ) as connection:
                connection.row_factory = _by_name  # type: ignore[assignment]  # typed for classes only
                view = View(connection, self)
                (row,) = await view.rows("schema_version")
                version = row["user_version"]
                self._check_version(version, len(load_migrations()))
                # Version 0: somebody is making it at this moment, or died while making it.
                yield view if version else View(None, self)

    def _address(self) -> str:
        """Give the address for looking. In a folder that nobody can write SQLite must not make its usual files.

        Source: sqlite.org/wal.html, "Read-Only Databases".
        """
        log = self.path.with_name(self.path.name + "-wal")
        sealed = os.statvfs(self.path).f_flag & os.ST_RDONLY and not log.exists()
        return self.path.absolute().as_uri() + ("?mode=ro&immutable=1" if sealed else "?mode=ro")

    async def rows(self, name: str, **values: Any) -> list[dict[str, Any]]:  # Any: JSON values
        """Ask one query; raises as :meth:`view` does."""
        async with self.view() as view:
            return await view.rows(name, **values)

    async def decode(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Give the object in the columns `data` and `blobs` of each row; raises StoreError for a bad blob."""

        def decoded() -> list[dict[str, Any]]:
            return [decode_row(row["data"], row["blobs"], self._blobs.get) for row in rows]

        is_small = not any(row["blobs"] for row in rows) and sum(len(row["data"]) for row in rows) <= _PARSE_HERE
        return decoded() if is_small else await self.offload(decoded)

    async def offload(self, work: Callable[[], T]) -> T:
        """Do blocking work of the store (encoding and blobs) in a thread; raises StoreError when closed."""
        if self._closed:
            raise closed(self.path)
        return await asyncio.to_thread(work)

    def close(self) -> None:
        """Answer no more; a second call is no error."""
        self._closed = True

    def _check_version(self, found: int, known: int) -> None:
        if found > known:
            raise newer_schema(found, known, self.path)
        if 0 < found < known:
            raise StoreError(
                f"the database has an older schema ({found}, this release reads {known})",
                where=str(self.path),
                hint="`workflow-agent recover` brings it up to date; so does every command that changes something",
            )


def _by_name(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    """Make a row in the thread that reads it."""
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}
