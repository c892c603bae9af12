"""Read-only queries: one connection (``mode=ro``) in one thread, each job short and complete.

The standard driver in a thread of ours, not aiosqlite: a job is one hop to the thread, in which the rows are read,
blobs fetched and JSON parsed, so that none of it happens on the event loop and no cursor lives across an await;
aiosqlite hops once per call and leaves the parsing to the loop. The thread starts with the first job, and without a
database there is no job.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from workflow_agent.model.errors import StoreError
from workflow_agent.store.encoding import decode_row
from workflow_agent.store.faults import closed, foreign, newer_schema, translated, unusable
from workflow_agent.store.schema import load_migrations, version_of
from workflow_agent.store.statements import Statements

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from workflow_agent.store.blobs import BlobFolder

__all__ = ["PAGE", "Reader", "Snapshot"]

T = TypeVar("T")

#: Rows per query where a result has no limit of its own.
PAGE: Final = 1000
_BUSY_S: Final = 5.0


class Snapshot:
    """What a job sees: queries by name, empty answers where there is no database."""

    def __init__(self, statements: Statements | None, blobs: BlobFolder) -> None:
        self._statements = statements
        self._blobs = blobs

    def rows(self, name: str, **values: Any) -> list[dict[str, Any]]:  # Any: JSON values
        """Run a query and give all its rows."""
        return [] if self._statements is None else self._statements.rows(name, values)

    def data(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Give the object in the columns `data` and `blobs` of a row."""
        return decode_row(row["data"], row["blobs"], self._blobs.get)


class Reader:
    """Runs read-only jobs. A missing database is an empty one, and stays missing."""

    def __init__(self, path: Path, blobs: BlobFolder) -> None:
        self.path = path
        self._blobs = blobs
        self._statements: Statements | None = None
        self._closed = False
        # No thread starts before the first job.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="workflow-agent-store-reader")

    def __repr__(self) -> str:
        return f"Reader({str(self.path)!r}, open={self._statements is not None})"

    async def run(self, job: Callable[[Snapshot], T]) -> T:
        """Run a job in the thread and give its result.

        Raises:
            StoreError: closed, damaged, newer or older than this release; and what the job raises.
            PermissionDeniedError: the folder belongs to somebody else.
        """
        if self._closed:
            raise closed(self.path)
        with translated(self.path):
            # No thread for an empty answer.
            missing = self._statements is None and not self.path.exists()
        if missing:
            return job(Snapshot(None, self._blobs))
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._job, job)

    async def offload(self, work: Callable[[], T]) -> T:
        """Do blocking work of the store (encoding and blobs) in the same thread; raises StoreError when closed."""
        if self._closed:
            raise closed(self.path)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Close the connection and end the thread; a second call is no error."""
        if self._closed:
            return
        if self._statements is not None:
            await self.offload(self._drop)
        self._closed = True
        self._thread.shutdown(wait=True)

    # -- in the thread ---------------------------------------------------------------------------------------------

    def _job(self, job: Callable[[Snapshot], T]) -> T:
        try:
            if self._statements is None:
                self._statements = self._connect()
            return job(Snapshot(self._statements, self._blobs))
        except foreign() as problem:
            # The next job opens anew: the file may have been replaced by a good one.
            self._drop()
            raise unusable(problem, self.path) from problem

    def _connect(self) -> Statements | None:
        address = self.path.absolute().as_uri() + "?mode=ro"
        connection = sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)
        try:
            version = version_of(connection)
            self._check_version(version, len(load_migrations()))
        except BaseException:
            connection.close()
            raise
        if version == 0:
            # Somebody is making it at this moment, or died while making it.
            connection.close()
            return None
        return Statements(connection)

    def _check_version(self, found: int, known: int) -> None:
        if found > known:
            raise newer_schema(found, known, self.path)
        if 0 < found < known:
            raise StoreError(
                f"the database has an older schema ({found}, this release reads {known})",
                where=str(self.path),
                hint="a command that changes something brings it up to date",
            )

    def _drop(self) -> None:
        if self._statements is not None:
            self._statements.connection.close()
            self._statements = None
