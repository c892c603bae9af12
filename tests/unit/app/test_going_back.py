"""Which runs came after a run, and when nobody can go back to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflow_agent.app.going_back import runs_after
from workflow_agent.model.errors import ConflictError, NotFoundError
from workflow_agent.model.event import Event, EventType, Record, RecordKind
from workflow_agent.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "state")
    yield opened
    await opened.close()


class Past:
    """Writes runs one event at a time, as they come."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._heads: dict[str, int] = {}

    async def _append(self, run_id: str, kind: EventType, data: Mapping[str, object], *records: Record) -> None:
        seq = self._heads.get(run_id, 0)
        event = Event(run_id=run_id, seq=seq + 1, type=kind, at=1.0, step="s", data=data, records=records)
        self._heads[run_id] = await self._store.journal.append(run_id, seq, [event])

    async def ask(self, run_id: str, action: str = "install", target: str = "host") -> None:
        meta = {"action": action, "integration": "x", "target": target, "user": "ann", "host": "web1"}
        data = {"workflow": action, "workflow_hash": "h", "inputs": {}, "meta": meta}
        await self._append(run_id, EventType.RUN_CREATED, data)

    async def commit(self, run_id: str, target: str = "host") -> None:
        committed = {"transaction": f"{run_id}.1", "state": "committed", "target": target}
        record = Record(RecordKind.TRANSACTION, committed)
        await self._append(run_id, EventType.STEP_SUCCEEDED, {"output": {}}, record)

    async def end(self, run_id: str, *records: Record, changed: bool = True) -> None:
        await self._append(run_id, EventType.STEP_SUCCEEDED, {"output": {}}, *records)
        await self._append(run_id, EventType.RUN_FINISHED, {"status": "succeeded", "error": None, "changed": changed})

    async def install(self, run_id: str, target: str = "host") -> None:
        await self.ask(run_id, target=target)
        await self.commit(run_id, target)
        await self.end(run_id)

    async def undo(self, run_id: str, *undone: str) -> None:
        """Roll runs back, the one that committed something first."""
        await self.ask(run_id, "rollback")
        gone = {"transaction": f"{undone[0]}.1", "state": "rolled-back", "target": "host"}
        records = [Record(RecordKind.UNDONE, {"run": one}) for one in undone]
        await self.end(run_id, Record(RecordKind.TRANSACTION, gone), *records)

    async def redo(self, run_id: str, source: str) -> None:
        """Roll the rollback of `source` back."""
        await self.ask(run_id, "rollback")
        back = {"transaction": f"{source}.1", "state": "committed", "target": "host"}
        await self.end(run_id, Record(RecordKind.TRANSACTION, back), Record(RecordKind.REDONE, {"run": source}))

    async def after(self, run_id: str, target: str = "host") -> list[str]:
        return [one["run_id"] for one in await runs_after(self._store.history, target, run_id)]


@pytest.fixture
def past(store: SqliteStore) -> Past:
    return Past(store)


async def test_later_runs_of_the_target_come_the_last_first(past: Past) -> None:
    for name in ("r-1", "r-2", "r-3"):
        await past.install(name)
    await past.install("r-4", "docker:web")
    await past.ask("r-5", "verify")
    await past.end("r-5", changed=False)

    assert await past.after("r-1") == ["r-3", "r-2"]
    assert await past.after("r-3") == []
    assert await past.after("r-5") == []
    assert await past.after("r-4", "docker:web") == []
    with pytest.raises(NotFoundError, match="r-4"):
        await past.after("r-4")


async def test_later_is_what_was_committed_later_whichever_was_asked_for_first(past: Past) -> None:
    await past.ask("r-1")
    await past.install("r-2")
    await past.commit("r-1")
    await past.end("r-1")

    assert await past.after("r-2") == ["r-1"]
    assert await past.after("r-1") == []


async def test_what_was_rolled_back_already_is_passed_over_and_what_came_again_goes(past: Past) -> None:
    await past.install("r-1")
    await past.install("r-2")
    await past.install("r-3")
    await past.undo("r-4", "r-2")
    assert await past.after("r-1") == ["r-3"]

    await past.redo("r-5", "r-2")
    assert await past.after("r-1") == ["r-2", "r-3"]
    assert await past.after("r-2") == ["r-3"], "it counts from when it was asked for"
    assert await past.after("r-3") == []


async def test_a_run_that_is_not_in_force_is_none_to_go_back_to(past: Past) -> None:
    await past.install("r-1")
    await past.install("r-2")
    await past.undo("r-3", "r-1")

    with pytest.raises(ConflictError, match="not in force: it was rolled back by run r-3") as refused:
        await past.after("r-1")
    assert refused.value.hint is not None
    assert "rollback r-3" in refused.value.hint


async def test_where_something_earlier_was_rolled_back_meanwhile_that_has_to_come_again_first(past: Past) -> None:
    await past.install("r-1")
    await past.install("r-2")
    await past.install("r-3")
    await past.undo("r-4", "r-1")

    with pytest.raises(ConflictError, match="run r-1, which came before") as refused:
        await past.after("r-2")
    assert refused.value.hint == "first `workflow-agent rollback r-4`"
    await past.redo("r-5", "r-1")
    assert await past.after("r-2") == ["r-3"]
