"""SqliteStore: one folder with the database, blobs and artifacts; opens and closes what works on them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from workflow_agent.model.errors import InternalError
from workflow_agent.store.blobs import BLOBS, BlobFolder
from workflow_agent.store.faults import translated
from workflow_agent.store.history import SqliteHistory
from workflow_agent.store.journal import SqliteJournal
from workflow_agent.store.reader import Reader
from workflow_agent.store.session import WriterLimits
from workflow_agent.store.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from workflow_agent.model.ports import History, Journal
    from workflow_agent.store.knowledge import SqliteKnowledge
    from workflow_agent.store.memories import SqliteMemories
    from workflow_agent.store.places import SqlitePlaces

__all__ = ["DATABASE", "SqliteStore"]

#: Name of the database in the store's folder.
DATABASE: Final = "workflow-agent.db"


class SqliteStore:
    """Journal and history in ``folder/workflow-agent.db``, large values in ``blobs/``, files of runs in ``artifacts/``.

    Made by :meth:`open` or :meth:`open_read_only`; used by one event loop; several processes may have it open.
    """

    def __init__(self, folder: Path, *, writable: bool, limits: WriterLimits) -> None:
        """Wire the parts; nothing is opened yet."""
        self.folder = folder
        path = folder / DATABASE
        blobs = BlobFolder(folder / BLOBS)
        self._places: SqlitePlaces | None = None
        self._reader = Reader(path, blobs)
        self._writer = Writer(path, limits) if writable else None
        self.journal: Journal = SqliteJournal(self._reader, blobs, self._writer)
        self.history: History = SqliteHistory(self._reader)
        self._knowledge: SqliteKnowledge | None = None
        self._memories: SqliteMemories | None = None

    def __repr__(self) -> str:
        return f"SqliteStore({str(self.folder)!r}, writable={self._writer is not None})"

    @classmethod
    async def open(cls, folder: Path, *, limits: WriterLimits | None = None) -> SqliteStore:
        """Open for reading and writing; the folder (mode 0700) and the database are made where they are missing.

        Raises:
            StoreError: locked by another process (named), damaged, or written by a newer release.
            PermissionDeniedError: the folder belongs to somebody else.
        """
        store = cls(folder, writable=True, limits=limits or WriterLimits())
        assert store._writer is not None
        await store._writer.start()
        return store

    @classmethod
    def open_read_only(cls, folder: Path) -> SqliteStore:
        """Open for looking: nothing is made, a missing database is an empty one, appends are refused.

        The file is opened by the first question, which raises what :meth:`open` raises.
        """
        return cls(folder, writable=False, limits=WriterLimits())

    @property
    def places(self) -> SqlitePlaces:
        """Who has which lock and which place, in all processes that have this store open."""
        if self._places is None:
            from workflow_agent.store.places import SqlitePlaces  # noqa: PLC0415  # late: few want one

            self._places = SqlitePlaces(self.folder)
        return self._places

    @property
    def knowledge(self) -> SqliteKnowledge:
        """What pages and packages say, and what the improver suggests."""
        if self._knowledge is None:
            from workflow_agent.store.knowledge import SqliteKnowledge  # noqa: PLC0415  # late: few commands need it

            self._knowledge = SqliteKnowledge(self._reader, self._writer)
        return self._knowledge

    @property
    def memories(self) -> SqliteMemories:
        """What agents remember between runs."""
        if self._memories is None:
            from workflow_agent.store.memories import SqliteMemories  # noqa: PLC0415  # late: few steps ask for it

            self._memories = SqliteMemories(self._reader, self._writer)
        return self._memories

    def artifacts_dir(self, run_id: str) -> Path:
        """Give the folder for a run's files (outputs); made (mode 0700) unless opened for looking.

        Raises:
            InternalError: `run_id` is no plain name.
            StoreError: the folder cannot be made.
        """
        if not run_id or run_id.startswith(".") or "/" in run_id or "\0" in run_id:
            raise InternalError(f"{run_id!r} is no run id")
        path = self.folder / "artifacts" / run_id
        if self._writer is not None:
            with translated(path):
                path.parent.mkdir(mode=0o700, exist_ok=True)
                path.mkdir(mode=0o700, exist_ok=True)
        return path

    def sizes(self) -> dict[str, int]:
        """Give the bytes of the database and of its log, by these names; what is not there has none."""
        path = self._reader.path
        sizes = {"database": 0, "log": 0}
        for name, file in (("database", path), ("log", path.with_name(path.name + "-wal"))):
            with suppress(FileNotFoundError):
                sizes[name] = file.stat().st_size
        return sizes

    async def examine(self) -> tuple[bool, list[str]]:
        """Say whether there is a database, and what is wrong with its file (nothing: an empty list).

        Raises:
            StoreError: it cannot be read, or another release wrote it.
        """
        rows = await self._reader.rows("quick_check")
        return bool(rows), [text for row in rows for text in row.values() if text != "ok"]

    async def close(self) -> None:
        """Store what was appended and close everything; a second call is no error.

        Raises:
            StoreError: closing failed; what was acknowledged is stored all the same.
        """
        await asyncio.shield(self._close())

    async def _close(self) -> None:
        if self._places is not None:
            self._places.close()
        self._reader.close()
        if self._writer is not None:
            await self._writer.close()
