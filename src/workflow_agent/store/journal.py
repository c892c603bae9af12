"""The Journal port on SQLite."""

from __future__ import annotations

import json
from bisect import bisect_left
from functools import partial
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import StoreError
from workflow_agent.model.event import Event, EventType, Snapshot
from workflow_agent.store.encoding import check_order, encode_event, is_small
from workflow_agent.store.reader import PAGE
from workflow_agent.store.schema import positional
from workflow_agent.store.session import Append, SideStatements
from workflow_agent.store.snapshots import read_snapshot, snapshot_row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from workflow_agent.store.blobs import BlobFolder
    from workflow_agent.store.encoding import EncodedEvent
    from workflow_agent.store.reader import Reader
    from workflow_agent.store.statements import Statements
    from workflow_agent.store.writer import Writer

__all__ = ["SqliteJournal"]


class SqliteJournal:
    """Append-only truth. Without a writer it can only be read."""

    def __init__(self, reader: Reader, blobs: BlobFolder, writer: Writer | None) -> None:
        self._reader = reader
        self._blobs = blobs
        self._writer = writer

    async def append(self, run_id: str, expected_head: int, events: Sequence[Event]) -> int:
        """Append events whose `seq` follow `expected_head`; gives the new head when they are on disk.

        A caller that is cancelled meanwhile does not know whether they were stored, and reads the head again.

        Raises:
            JournalConflictError: the run's head is another one.
            OutcomeUnknownError: the commit was not confirmed; the store is closed.
            StoreError: nothing was stored: locked, full, closed, or opened for reading.
            ValidationError: an event holds a value that is no JSON.
            InternalError: the events do not follow the head, or a record lacks a part.
        """
        if self._writer is None:
            raise StoreError("the store is opened for reading only", where=str(self._reader.path))
        check_order(run_id, expected_head, events)
        if is_small(events):
            encoded = _encode(events, self._blobs)
        else:  # large values are files, synced before their record is enqueued, and not on the event loop
            encoded = await self._reader.offload(partial(_encode, events, self._blobs))
        return await self._writer.append(Append(run_id, expected_head, encoded))

    async def events(self, run_id: str, *, after: int = 0) -> list[Event]:
        """Read a run's events in order, without their records; an unknown run gives an empty list.

        Raises:
            StoreError: the database or a blob cannot be read.
        """
        events: list[Event] = []
        async with self._reader.view() as view:
            while True:
                rows = await view.rows("select_events", run_id=run_id, after=after, limit=PAGE)
                data = await view.objects(rows)
                events += [_event(run_id, row, item) for row, item in zip(rows, data, strict=True)]
                if len(rows) < PAGE:
                    return events
                after = events[-1].seq

    async def events_of(self, run_ids: Sequence[str]) -> dict[str, list[Event]]:
        """Read the events of several runs at once, as :meth:`events` does; unknown runs are left out.

        Raises:
            StoreError: the database or a blob cannot be read.
        """
        found: dict[str, list[Event]] = {}
        wanted = sorted(set(run_ids))
        run_id, after = "", 0
        async with self._reader.view() as view:
            while wanted:
                query = {"run_ids": wanted, "run_id": run_id, "after": after, "limit": PAGE}
                rows = await view.rows("select_events_of", **query)
                data = await view.objects(rows)
                for row, item in zip(rows, data, strict=True):
                    run_id, after = row["run_id"], row["seq"]
                    found.setdefault(run_id, []).append(_event(run_id, row, item))
                if len(rows) < PAGE:
                    break
                wanted = wanted[bisect_left(wanted, run_id) :]
        return found

    async def keep_snapshot(self, run_id: str, seq: int, fold: str, make: Callable[[], Mapping[str, Any]]) -> None:
        """Keep where a run stands after a record that is on disk; one that has an end has none any more.

        Raises:
            OutcomeUnknownError: the commit was not confirmed; the store is closed.
            StoreError: nothing was stored: there is no such record, or as :meth:`append` says.
            ValidationError: it holds a value that is no JSON.
        """
        if self._writer is None:
            raise StoreError("the store is opened for reading only", where=str(self._reader.path))
        row = await self._reader.offload(partial(_snapshot_row, run_id, seq, fold, make, self._blobs))
        await self._writer.append(SideStatements(partial(_put_snapshot, row)))

    async def snapshots(self, run_ids: Sequence[str]) -> dict[str, Snapshot]:
        """Give what was kept of runs; what is damaged is left out, with a warning in the log.

        Raises:
            StoreError: the database cannot be read.
        """
        rows = await self._reader.rows("select_snapshots", run_ids=sorted(set(run_ids)))
        found = await self._reader.offload(partial(_snapshots, rows, self._blobs)) if rows else {}
        return {run_id: each for run_id, each in found.items() if each is not None}

    async def definition(self, workflow_hash: str) -> dict[str, Any] | None:
        """Give the canonical form of the definition with this hash, with which a run was created; None if unknown.

        Raises:
            StoreError: the database cannot be read.
        """
        rows = await self._reader.rows("select_definition", hash=workflow_hash)
        return json.loads(rows[0]["data"]) if rows else None


def _encode(events: Sequence[Event], blobs: BlobFolder) -> list[EncodedEvent]:
    return [encode_event(event, blobs.put) for event in events]


def _snapshot_row(
    run_id: str, seq: int, fold: str, make: Callable[[], Mapping[str, Any]], blobs: BlobFolder
) -> dict[str, Any]:
    return snapshot_row(run_id, Snapshot(seq=seq, fold=fold, data=make()), blobs.put)


def _put_snapshot(row: dict[str, Any], db: Statements) -> int:
    db.execute_rows("put_snapshot", [tuple(row[name] for name in positional("put_snapshot")[1])])
    return 0


def _snapshots(rows: Sequence[Mapping[str, Any]], blobs: BlobFolder) -> dict[str, Snapshot | None]:
    return {row["run_id"]: read_snapshot(row, blobs.get) for row in rows}


def _event(run_id: str, row: Mapping[str, Any], data: Mapping[str, Any]) -> Event:
    return Event(
        run_id=run_id,
        seq=row["seq"],
        type=EventType(row["type"]),
        at=row["at"],
        step=row["step"],
        attempt=row["attempt"],
        data=data,
    )
