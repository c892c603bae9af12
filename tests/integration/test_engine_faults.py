"""Runs on a real store under what should not happen: large results, long definitions, two owners of one run."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.bus import InProcessBus
from workflow_agent.engine import Driver
from workflow_agent.model.errors import JournalConflictError
from workflow_agent.model.status import RunStatus
from workflow_agent.model.workflow import Durability, Step, Workflow
from workflow_agent.store import SqliteStore
from workflow_agent.store.encoding import INLINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from workflow_agent.model.message import Message

RUN = "r-01ARZ3NDEKTSV4RRFFQ69G5FAV"


class Wall:
    now = staticmethod(time.time)


def chain(length: int, **more: Any) -> Workflow:
    steps = [Step(id=f"s{n}", uses="x.go", needs=(f"s{n - 1}",) if n else ()) for n in range(length)]
    return Workflow(name="chain", version="1", steps=tuple(steps), **more)


async def test_a_large_result_is_a_file_and_no_row(tmp_path: Path) -> None:
    store, bus = await SqliteStore.open(tmp_path), InProcessBus()
    large = "x" * 20_000_000

    async def act(message: Message) -> Mapping[str, Any]:
        return {"text": large} if message.step_id == "s0" else {}

    await bus.subscribe("agent.x.go", act)
    state = await Driver(bus, store.journal, Wall()).start(chain(2), {}, run_id=RUN)
    again = await store.journal.events(RUN)
    await bus.drain()
    await store.close()

    assert state.status is RunStatus.SUCCEEDED
    assert next(event for event in again if event.step == "s0").data["output"] == {"text": large}
    with sqlite3.connect(tmp_path / "workflow-agent.db") as connection:
        (longest,) = connection.execute("SELECT MAX(LENGTH(data)) FROM events").fetchone()
    assert longest <= INLINE_BYTES
    assert (tmp_path / "workflow-agent.db").stat().st_size < 1 << 20


@pytest.mark.long
async def test_a_definition_of_ten_thousand_steps_runs(tmp_path: Path) -> None:
    store, bus = await SqliteStore.open(tmp_path), InProcessBus()

    async def act(_: Message) -> Mapping[str, Any]:
        return {}

    await bus.subscribe("agent.x.go", act)
    driver = Driver(bus, store.journal, Wall())
    state = await driver.start(chain(10_000, durability=Durability.EXIT), {}, run_id=RUN)
    await bus.drain()
    await store.close()

    assert state.status is RunStatus.SUCCEEDED
    assert state.head == 10_003


async def test_of_two_owners_of_a_run_one_is_told_that_it_is_not(tmp_path: Path) -> None:
    """Nothing but the run's place in the journal decides; the one that lost starts nothing more."""
    bus, gate = InProcessBus(), asyncio.Event()
    asked: list[str] = []

    async def act(message: Message) -> Mapping[str, Any]:
        asked.append(str(message.step_id))
        await gate.wait()
        return {}

    await bus.subscribe("agent.x.go", act, concurrency=4)
    ours, theirs = await SqliteStore.open(tmp_path), await SqliteStore.open(tmp_path)
    first = asyncio.create_task(Driver(bus, ours.journal, Wall()).start(chain(3), {}, run_id=RUN))
    while not asked:  # noqa: ASYNC110  # what is looked at tells nobody
        await asyncio.sleep(0)
    second = asyncio.create_task(Driver(bus, theirs.journal, Wall()).resume(chain(3), RUN))
    while len(asked) < 2:  # noqa: ASYNC110  # as above
        await asyncio.sleep(0)
    gate.set()
    ends = await asyncio.gather(first, second, return_exceptions=True)
    await bus.drain()
    await ours.close()
    await theirs.close()

    assert sum(isinstance(end, JournalConflictError) for end in ends) == 1
    assert sorted(asked) == ["s0", "s0", "s1", "s2"]
