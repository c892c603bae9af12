"""Tags and origins of runs: found by them, and what a run was made from is told with the steps that it kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.event import EventType
from workflow_agent.store import SqliteStore
from workflow_agent.testing import EventChain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path)
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, ["r-3", "r-2", "r-1"]),
        ({}, ["r-3", "r-2", "r-1"]),
        ({"team": None}, ["r-2", "r-1"]),
        ({"team": "data"}, ["r-1"]),
        ({"team": "data", "day": "1"}, ["r-1"]),
        ({"team": "web", "day": "1"}, []),
        ({"a'; --": None}, []),
    ],
)
async def test_runs_are_found_by_all_of_the_tags(store: SqliteStore, wanted: Any, found: list[str]) -> None:
    for run_id, tags in (("r-1", {"team": "data", "day": "1"}), ("r-2", {"team": "web"}), ("r-3", {})):
        await store.journal.append(run_id, 0, [EventChain(run_id).created(tags=tags)])

    runs = await store.history.runs(tags=wanted)

    assert [run["run_id"] for run in runs] == found
    assert (await store.history.run("r-1"))["tags"] == {"team": "data", "day": "1"}


async def test_a_run_made_from_another_one_shows_what_it_kept(store: SqliteStore) -> None:
    chain = EventChain("r-2")
    kept = {"steps": {"a": {"status": "succeeded", "output": {"n": 1}, "finished_at": 5.0}}, "state": {}}
    data = {"workflow": "w", "workflow_hash": "0" * 64, "origin": {"run": "r-1"}, "kept": kept}
    await store.journal.append("r-2", 0, [chain.event(EventType.RUN_CREATED, data=data)])

    run = await store.history.run("r-2")

    assert run["origin"] == "r-1"
    assert [(step["id"], step["status"], step["reason"]) for step in run["steps"]] == [
        ("a", "succeeded", "kept from r-1")
    ]
