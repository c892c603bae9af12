"""A journal in memory, and a maker of events, for tests of what stands on a journal.

:class:`MemoryJournal` keeps every promise of the Journal port but survival (one contract suite checks both). It checks
no record's shape, because it has no history tables.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.errors import StoreError
from workflow_agent.model.event import Event, EventType, Record, RecordKind, Snapshot
from workflow_agent.store.encoding import check_head, check_order, dump_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["EventChain", "MemoryJournal", "StepwiseJournal"]

#: When a chain's run is created: 2023-11-14 22:13:20 UTC.
_EPOCH: Final = 1_700_000_000.0


class MemoryJournal:
    """Journal port in memory, for one event loop."""

    def __init__(self) -> None:
        self._runs: dict[str, list[Event]] = {}
        self._snapshots: dict[str, Snapshot] = {}

    def __repr__(self) -> str:
        return f"MemoryJournal(runs={len(self._runs)})"

    async def append(self, run_id: str, expected_head: int, events: Sequence[Event]) -> int:
        """Append events whose `seq` follow `expected_head`; gives the new head.

        Raises:
            JournalConflictError: the run's head is another one.
            ValidationError: an event holds a value that is no JSON.
            InternalError: the events do not follow the head.
        """
        check_order(run_id, expected_head, events)
        # Copies, as they would come back from a disk.
        copies = [
            replace(
                event,
                data=_copy(event.data),
                records=tuple(Record(record.kind, _copy(record.data)) for record in event.records),
            )
            for event in events
        ]
        check_head(run_id, expected_head, len(self._runs.get(run_id, ())))
        if copies:
            self._runs.setdefault(run_id, []).extend(copies)
            if copies[-1].type is EventType.RUN_FINISHED:
                self._snapshots.pop(run_id, None)
        return expected_head + len(copies)

    async def events(self, run_id: str, *, after: int = 0) -> list[Event]:
        """Read a run's events in order, without their records; an unknown run gives an empty list."""
        stored = self._runs.get(run_id, [])[after:]
        return [replace(event, data=_copy(event.data), records=()) for event in stored]

    async def events_of(self, run_ids: Sequence[str]) -> dict[str, list[Event]]:
        """Read the events of several runs at once; unknown runs are left out."""
        return {run_id: await self.events(run_id) for run_id in sorted(set(run_ids)) if run_id in self._runs}

    async def keep_snapshot(self, run_id: str, seq: int, fold: str, make: Callable[[], Mapping[str, Any]]) -> None:
        """Keep where a run stands after a record; raises StoreError when there is no such record."""
        run, known = self._runs.get(run_id, []), self._snapshots.get(run_id)
        if not 0 < seq <= len(run):
            raise StoreError("there is no such record", run_id=run_id)
        if run[-1].type is not EventType.RUN_FINISHED and (known is None or known.seq < seq):
            self._snapshots[run_id] = Snapshot(seq=seq, fold=fold, data=_copy(make()))

    async def snapshots(self, run_ids: Sequence[str]) -> dict[str, Snapshot]:
        """Give what was kept of runs."""
        kept = {run_id: self._snapshots[run_id] for run_id in run_ids if run_id in self._snapshots}
        return {run_id: replace(each, data=_copy(each.data)) for run_id, each in kept.items()}

    async def definition(self, workflow_hash: str) -> dict[str, Any] | None:
        """Give the canonical form of the definition that runs with this hash were created with, if it was kept."""
        for run in self._runs.values():
            for record in run[0].records:
                if record.kind == RecordKind.DEFINITION and record.data["hash"] == workflow_hash:
                    return _copy(record.data["definition"])
        return None

    async def records(self, run_id: str, kind: str | None = None) -> list[Record]:
        """List a run's records in the order in which they were written, as the History port does."""
        return [
            Record(record.kind, _copy(record.data))
            for event in self._runs.get(run_id, ())
            for record in event.records
            if record.kind != RecordKind.DEFINITION and (kind is None or record.kind == kind)
        ]


class StepwiseJournal(MemoryJournal):
    """Remembers where each transaction ended: a crash leaves whole transactions only."""

    def __init__(self) -> None:
        super().__init__()
        self._order: list[tuple[str, list[Event] | Snapshot]] = []

    def __len__(self) -> int:
        return len(self._order)

    async def append(self, run_id: str, expected_head: int, events: Sequence[Event]) -> int:
        """Append events; raises as the journal in memory does."""
        head = await super().append(run_id, expected_head, events)
        self._order.append((run_id, [*events]))
        return head

    async def keep_snapshot(self, run_id: str, seq: int, fold: str, make: Callable[[], Mapping[str, Any]]) -> None:
        """Keep where a run stands; a transaction of its own. Raises as the journal in memory does."""
        data = make()
        await super().keep_snapshot(run_id, seq, fold, lambda: data)
        self._order.append((run_id, Snapshot(seq=seq, fold=fold, data=data)))

    @property
    def run_ids(self) -> list[str]:
        """Give the runs that it knows, in the order in which they came."""
        return list(dict.fromkeys(run_id for run_id, _ in self._order))

    async def after(self, transactions: int) -> MemoryJournal:
        """Give the journal as it was after a number of transactions."""
        journal = MemoryJournal()
        for run_id, done in self._order[:transactions]:
            if isinstance(done, Snapshot):
                await journal.keep_snapshot(run_id, done.seq, done.fold, partial(dict, done.data))
            else:
                await journal.append(run_id, done[0].seq - 1, done)
        return journal


def _copy(data: Mapping[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(dump_json(data))
    return copy


class EventChain:
    """Makes the events of one run: numbers count up by one, times by a second.

    `head` is the number of the last event made. `created` begins a run, `finished` ends it, `event` is the rest.
    """

    def __init__(self, run_id: str, *, at: float = _EPOCH) -> None:
        self.run_id = run_id
        self.head = 0
        self._at = at

    def event(
        self,
        kind: EventType,
        *,
        step: str | None = None,
        attempt: int = 1,
        data: Mapping[str, Any] | None = None,
        records: Sequence[tuple[str, Mapping[str, Any]]] = (),
    ) -> Event:
        """Make the next event; `records` are pairs of kind and data."""
        self.head += 1
        return Event(
            run_id=self.run_id,
            seq=self.head,
            type=kind,
            at=self._at + self.head - 1,
            step=step,
            attempt=attempt,
            data=data or {},
            records=tuple(Record(name, value) for name, value in records),
        )

    def created(
        self, *, inputs: Mapping[str, Any] | None = None, workflow: str = "install", **meta: Any
    ) -> Event:  # Any: JSON values
        """Make RunCreated of a workflow; `meta` as it says (action, integration, target ...)."""
        data = {"workflow": workflow, "workflow_hash": "0" * 64, "inputs": dict(inputs or {}), "meta": meta}
        return self.event(EventType.RUN_CREATED, data=data)

    def finished(
        self, status: str = "succeeded", *, changed: bool = True, error: Mapping[str, Any] | None = None
    ) -> Event:
        """Make RunFinished."""
        data = {"status": status, "changed": changed, "error": error}
        return self.event(EventType.RUN_FINISHED, data=data)
