"""Taking a run up reads what came after its snapshot, and nothing rests on a snapshot."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.bus import InProcessBus
from workflow_agent.engine import Driver, fold, pasts_of, state_of
from workflow_agent.engine.snapshots import fold_version
from workflow_agent.model.errors import StoreError
from workflow_agent.model.workflow import Step, Workflow
from workflow_agent.store import SqliteStore
from workflow_agent.testing import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from tests.unit.engine.driver_house import TickingClock

    from workflow_agent.model.event import Event, RunState
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Journal
else:
    from driver_house import TickingClock

RUN = "r-01ARZ3NDEKTSV4RRFFQ69G5FAV"
LOOP = Workflow(
    name="w", version="1", steps=(Step(id="l", uses="x.add", until="previous.n >= 60", max_iterations=100),)
)


class CountingJournal(MemoryJournal):
    """Counts what is read and kept."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0
        self.kept: list[int] = []
        self.is_full = False

    async def events(self, run_id: str, *, after: int = 0) -> list[Event]:
        found = await super().events(run_id, after=after)
        self.read += len(found)
        return found

    async def keep_snapshot(self, run_id: str, seq: int, fold: str, make: Any) -> None:
        if self.is_full:
            raise StoreError("the disk is full")
        await super().keep_snapshot(run_id, seq, fold, make)
        self.kept.append(seq)


class World:
    """A driver whose agent counts up, and stops answering at a number."""

    def __init__(self, journal: Journal, every: int, stop_at: int = 0) -> None:
        self.bus = InProcessBus(grace_s=0.1)
        self.driver = Driver(self.bus, journal, TickingClock(), snapshot_every=every)
        self.reached = asyncio.Event()
        self.asked: list[str] = []
        self._count = 0
        self._stop_at = stop_at

    async def open(self) -> World:
        await self.bus.subscribe("agent.x.*", self._act, concurrency=100)
        return self

    async def _act(self, message: Message) -> Mapping[str, Any]:
        self.asked.append(str(message.step_id))
        number = int(str(message.step_id).partition("#")[2] or len(self.asked))
        if number == self._stop_at:
            self.reached.set()
            await asyncio.Event().wait()
        return {"n": number}

    async def crash(self, workflow: Workflow) -> None:
        """Run until the agent stops answering, then give the run up where it stands."""
        running = asyncio.create_task(self.driver.start(workflow, {}, run_id=RUN))
        await self.reached.wait()
        running.cancel()
        await asyncio.wait({running})
        await self.bus.drain()


def chain(length: int) -> Workflow:
    steps = tuple(Step(id=f"s{n}", uses="x.add", needs=(f"s{n - 1}",) if n else ()) for n in range(length))
    return Workflow(name="w", version="1", steps=steps)


async def test_taking_a_long_run_up_reads_the_records_after_its_snapshot() -> None:
    journal = CountingJournal()
    await (await World(journal, 10, stop_at=58).open()).crash(LOOP)
    assert journal.kept[-1] >= 50
    journal.read = 0
    again = await World(journal, 10).open()

    state = await again.driver.resume(LOOP, RUN)

    assert journal.read < 10
    assert again.asked == ["l#58", "l#59", "l#60"]
    assert state == fold(LOOP, await journal.events(RUN))


async def test_all_snapshots_together_cost_no_more_than_the_records() -> None:
    journal = CountingJournal()
    await (await World(journal, 10).open()).driver.start(chain(200), {}, run_id=RUN)

    gaps = [after - before for before, after in zip(journal.kept, journal.kept[1:], strict=False)]
    assert len(journal.kept) >= 4
    # Each is as far away as the state was large.
    assert all(gap >= seq - 2 for gap, seq in zip(gaps, journal.kept, strict=False))


async def test_a_snapshot_that_cannot_be_kept_is_named_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    journal = CountingJournal()
    journal.is_full = True

    state = await (await World(journal, 10).open()).driver.start(LOOP, {}, run_id=RUN)

    assert state.status == "succeeded"
    assert "no snapshot of run" in caplog.text
    assert "the disk is full" in caplog.text


async def test_without_its_code_at_hand_a_fold_leaves_no_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_agent.engine.snapshotting.fold_version", lambda: "")
    journal = CountingJournal()

    state = await (await World(journal, 10).open()).driver.start(LOOP, {}, run_id=RUN)

    assert (state.status, journal.kept) == ("succeeded", [])


@pytest.mark.parametrize("data", [{}, {"state": {}, "values": []}, {"state": {"created": {}}, "values": 3}])
async def test_what_is_no_snapshot_of_this_fold_is_not_used(data: dict[str, Any]) -> None:
    journal = CountingJournal()
    await (await World(journal, 1000, stop_at=58).open()).crash(LOOP)
    head = len(await journal.events(RUN))
    await journal.keep_snapshot(RUN, head, fold_version(), lambda: data)

    state = await (await World(journal, 1000).open()).driver.resume(LOOP, RUN)

    assert state == fold(LOOP, await journal.events(RUN))


async def test_a_snapshot_of_another_definition_is_named_and_all_records_are_folded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal, other = CountingJournal(), CountingJournal()
    await (await World(journal, 10, stop_at=20).open()).crash(chain(30))
    await (await World(other, 1000, stop_at=20).open()).crash(chain(31))
    (kept,) = (await journal.snapshots([RUN])).values()
    await other.keep_snapshot(RUN, kept.seq, kept.fold, lambda: kept.data)

    past = (await pasts_of(other, [RUN]))[RUN]
    state = await state_of(other, chain(31), past)

    assert past.snapshot is not None
    assert state == fold(chain(31), await other.events(RUN))
    assert "cannot be used" in caplog.text


@asynccontextmanager
async def interrupted(folder: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(folder)
    try:
        await (await World(store.journal, 10, stop_at=58).open()).crash(LOOP)
        yield store
    finally:
        await store.close()


DAMAGE = {
    "its fold": "UPDATE snapshots SET fold = 'other'",
    "its text": "UPDATE snapshots SET data = x'00' || substr(data, 2)",
    "its text is cut": "UPDATE snapshots SET data = substr(data, 1, 40)",
    "no bytes": "UPDATE snapshots SET data = 'text'",
    "its number": "UPDATE snapshots SET seq = seq - 1",
    "its blobs": "UPDATE snapshots SET blobs = '[[0, \"ff\"]]'",
}


@pytest.mark.parametrize("what", list(DAMAGE))
async def test_a_damaged_snapshot_is_named_and_as_good_as_none(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with interrupted(tmp_path) as store:
        with sqlite3.connect(tmp_path / "workflow-agent.db") as other:
            assert other.execute(DAMAGE[what]).rowcount == 1
        other.close()
        with caplog.at_level(logging.WARNING):
            past = (await pasts_of(store.journal, [RUN]))[RUN]

        state = await state_of(store.journal, LOOP, past)

        assert past.snapshot is None
        assert state == fold(LOOP, await store.journal.events(RUN))
        assert "is damaged" in caplog.text
        again = await World(store.journal, 10).open()
        assert (await again.driver.resume(LOOP, RUN)).status == "succeeded"
        assert again.asked == ["l#58", "l#59", "l#60"]


async def test_a_snapshot_of_another_release_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with interrupted(tmp_path) as store:
        kept = (await store.journal.snapshots([RUN]))[RUN]
        await store.journal.keep_snapshot(RUN, kept.seq + 1, "other", lambda: kept.data)

        found = await taken(store.journal)

        assert found == (None, fold(LOOP, await store.journal.events(RUN)))
        assert not caplog.text


async def test_a_run_that_has_ended_leaves_no_snapshot(tmp_path: Path) -> None:
    async with interrupted(tmp_path) as store:
        snapshots = await store.journal.snapshots([RUN])
        state = await (await World(store.journal, 10).open()).driver.resume(LOOP, RUN)

        assert [*snapshots] == [RUN]
        assert await store.journal.snapshots([RUN]) == {}
        assert await taken(store.journal) == (None, state)


async def taken(journal: Journal) -> tuple[Any, RunState]:
    past = (await pasts_of(journal, [RUN]))[RUN]
    return past.snapshot, await state_of(journal, LOOP, past)


async def test_large_values_of_a_snapshot_are_blobs_and_a_lost_one_costs_the_snapshot_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with interrupted(tmp_path) as store:
        blobs = tmp_path / "blobs"
        state = {"state": {}, "values": ["y" * 100_000]}
        await store.journal.keep_snapshot(RUN, 57, fold_version(), lambda: state)
        assert [path.stat().st_size for path in blobs.iterdir()] == [100_002]
        assert (await store.journal.snapshots([RUN]))[RUN].data == state
        for path in blobs.iterdir():
            path.unlink()

        assert await store.journal.snapshots([RUN]) == {}
        assert "is damaged" in caplog.text
        assert (await taken(store.journal))[1] == fold(LOOP, await store.journal.events(RUN))


async def read_all(journal: Journal, ids: Sequence[str]) -> dict[str, RunState]:
    pasts = await pasts_of(journal, ids)
    return {run_id: await state_of(journal, LOOP, past) for run_id, past in pasts.items()}


async def test_pasts_of_several_runs_are_read_together_with_and_without_snapshots(tmp_path: Path) -> None:
    async with interrupted(tmp_path) as store:
        world = await World(store.journal, 1000).open()
        ends = {f"{RUN[:-1]}{n}": await world.driver.start(LOOP, {}, run_id=f"{RUN[:-1]}{n}") for n in range(3)}

        found = await read_all(store.journal, [RUN, *ends, "r-none"])

        assert found == ends | {RUN: fold(LOOP, await store.journal.events(RUN))}
