from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import ConflictError, InternalError, NotFoundError, StoreError
from workflow_agent.model.event import EventType
from workflow_agent.store import SqliteStore
from workflow_agent.store.blobs import BlobFolder
from workflow_agent.store.reader import Reader
from workflow_agent.testing import EventChain

if TYPE_CHECKING:
    from pathlib import Path


async def make(store: SqliteStore, run_id: str, at: float, **meta: Any) -> None:
    await store.journal.append(run_id, 0, [EventChain(run_id, at=at).created(**meta)])


@pytest.mark.parametrize(
    ("prefix", "whole"),
    [("r-01AB", "r-01ABX"), ("r-01ab", "r-01ABX"), ("R-01ab", "r-01ABX"), ("r-02", "r-02"), ("r-02CDE", "r-02CDE")],
)
async def test_a_unique_prefix_or_a_whole_id_is_completed(store: SqliteStore, prefix: str, whole: str) -> None:
    for run_id in ("r-01ABX", "r-02", "r-02CDE"):
        await make(store, run_id, 1.0)

    assert await store.history.resolve(prefix) == whole


@pytest.mark.parametrize("prefix", ["", "r-9", "x", "%", "r-01'", "\udcff", "r-_1"])
async def test_a_prefix_of_nothing_is_not_found(store: SqliteStore, prefix: str) -> None:
    await make(store, "r-01ABX", 1.0)

    with pytest.raises(NotFoundError, match="no run begins"):
        await store.history.resolve(prefix)


async def test_a_prefix_of_several_lists_them(store: SqliteStore) -> None:
    for run_id in ("r-01A", "r-01B"):
        await make(store, run_id, 1.0)

    with pytest.raises(ConflictError) as caught:
        await store.history.resolve("r-01")

    assert caught.value.details == {"candidates": ["r-01A", "r-01B"]}


async def test_a_run_that_does_not_exist_is_not_found(store: SqliteStore) -> None:
    with pytest.raises(NotFoundError, match="r-none"):
        await store.history.run("r-none")


async def test_runs_are_listed_last_come_first_and_filtered_whatever_the_clock_said(store: SqliteStore) -> None:
    await make(store, "r-1", 1.0, action="install", integration="nginx", target="host")
    await make(store, "r-2", 3.0, action="verify", integration="nginx", target="host")
    await make(store, "r-3", 2.0, action="install", integration="redis", target="docker:web")
    chain = EventChain("r-1")
    chain.created()
    await store.journal.append("r-1", 1, [chain.event(EventType.STEP_STARTED, step="a")])

    async def listed(**filters: str | int) -> list[str]:
        return [run["run_id"] for run in await store.history.runs(**filters)]  # type: ignore[arg-type]

    assert await listed() == ["r-3", "r-2", "r-1"]
    assert await listed(limit=2) == ["r-3", "r-2"]
    assert await listed(action="install") == ["r-3", "r-1"]
    assert await listed(integration="nginx", target="host") == ["r-2", "r-1"]
    assert await listed(status="running") == ["r-1"]
    assert await listed(status="nonsense") == []
    assert (await store.history.runs(status="running"))[0] == await store.history.run("r-1")


async def test_runs_without_an_end_are_listed_as_they_came_whatever_the_clock_said(store: SqliteStore) -> None:
    await make(store, "r-1", 5.0, target="host")
    await make(store, "r-2", 3.0, target="host")
    await make(store, "r-3", 4.0, target="docker:web")
    await make(store, "r-4", 1.0, target="host")
    chain = EventChain("r-4")
    chain.created()
    await store.journal.append("r-4", 1, [chain.finished()])

    found = await store.history.unfinished("host")

    assert found == [{"run_id": "r-1", "workflow": "install"}, {"run_id": "r-2", "workflow": "install"}]


async def test_looking_at_nothing_makes_nothing_and_starts_no_thread(tmp_path: Path) -> None:
    threads = threading.active_count()
    store = SqliteStore.open_read_only(tmp_path / "none")

    assert await store.history.runs() == []
    assert await store.journal.events("r-1") == []
    assert await store.history.records("r-1") == []
    assert await store.history.generations("host") == []
    assert await store.history.latest_transaction("host") is None
    assert await store.history.unfinished("host") == []
    with pytest.raises(NotFoundError):
        await store.history.resolve("r-1")
    assert threading.active_count() == threads
    assert store.artifacts_dir("r-1") == tmp_path / "none" / "artifacts" / "r-1"
    await store.close()
    assert not (tmp_path / "none").exists()


async def test_a_store_for_looking_refuses_appends(tmp_path: Path) -> None:
    store = SqliteStore.open_read_only(tmp_path)

    with pytest.raises(StoreError, match="reading only"):
        await store.journal.append("r-1", 0, [EventChain("r-1").created()])
    assert "writable=False" in repr(store)


async def test_a_store_for_looking_sees_what_is_written_meanwhile(tmp_path: Path) -> None:
    looking = SqliteStore.open_read_only(tmp_path)
    before = await looking.history.runs()
    store = await SqliteStore.open(tmp_path)
    await make(store, "r-1", 1.0)

    after = await looking.history.runs()

    assert (before, len(after)) == ([], 1)
    await store.close()
    assert len(await looking.history.runs()) == 1
    await looking.close()


async def test_a_closed_store_says_so_and_closes_twice(store: SqliteStore) -> None:
    await store.history.runs()
    await store.close()
    await store.close()

    with pytest.raises(StoreError, match="open it again"):
        await store.history.runs()
    with pytest.raises(StoreError, match="open it again"):
        await make(store, "r-1", 1.0)
    with pytest.raises(StoreError, match="open it again"):
        await make(store, "r-1", 1.0, integration="x" * 100_000)


async def test_folders_are_for_their_owner_only(store: SqliteStore) -> None:
    artifacts = store.artifacts_dir("r-1")

    assert store.artifacts_dir("r-1") == artifacts
    for folder in (store.folder, artifacts, artifacts.parent):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert (store.folder / "workflow-agent.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("run_id", ["", "..", ".", "a/b", "/etc", "nul\0"])
async def test_artifacts_never_leave_their_folder(store: SqliteStore, run_id: str) -> None:
    with pytest.raises(InternalError):
        store.artifacts_dir(run_id)


@pytest.mark.parametrize(("found", "known", "part"), [(1, 2, "older"), (3, 2, "newer")])
def test_a_reader_wants_the_schema_that_it_knows(tmp_path: Path, found: int, known: int, part: str) -> None:
    reader = Reader(tmp_path / "x.db", BlobFolder(tmp_path))

    with pytest.raises(StoreError, match=part) as caught:
        reader._check_version(found, known)

    assert caught.value.hint
    reader._check_version(known, known)
    assert "closed=False" in repr(reader)
