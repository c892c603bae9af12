"""A process that appends is killed at every failure point: what was acknowledged is there afterwards."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import OutcomeUnknownError, StoreError
from workflow_agent.model.failpoint import VARIABLE, arm, known
from workflow_agent.store import SqliteStore
from workflow_agent.store.session import WriterLimits
from workflow_agent.testing import EventChain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POINTS = sorted(name for name in known() if name.startswith("store."))
#: Passed once in the life of a store.
ONCE = {"store.migration", "store.before-close"}

# Appends runs of two events, some with a blob, and prints each run when its append was acknowledged. The log of the
# first store is moved to the database again and again, the one of the second is made longer.
WRITER = """
import asyncio, sys
from pathlib import Path
from workflow_agent.model.event import EventType
from workflow_agent.store import SqliteStore
from workflow_agent.store.session import WriterLimits
from workflow_agent.testing import EventChain

async def append(limits, numbers):
    store = await SqliteStore.open(Path(sys.argv[1]), limits=limits)
    for number in numbers:
        chain = EventChain(f"r-{number:02}")
        events = [chain.created(inputs={"blob": "x" * 20_000 + str(number)}), chain.event(EventType.RUN_STARTED)]
        await store.journal.append(chain.run_id, 0, events)
        print(chain.run_id, flush=True)
    await store.close()

async def main():
    await append(WriterLimits(), [])
    await append(WriterLimits(checkpoint_bytes=30_000), range(10))
    await append(WriterLimits(ahead_bytes=16_000), range(10, 20))
    print("closed", flush=True)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    arm(None)
    yield
    arm(None)


def run_python(code: str, folder: Path, spec: str = "") -> tuple[int, list[str]]:
    ended = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env=os.environ | {VARIABLE: spec},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stderr == ""
    return ended.returncode, ended.stdout.split()


def check_integrity(folder: Path) -> None:
    connection = sqlite3.connect(folder / "workflow-agent.db")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("point", "n"), [(point, n) for point in POINTS for n in (1, 4) if n == 1 or point not in ONCE]
)
async def test_nothing_acknowledged_is_lost_and_a_retry_is_possible(tmp_path: Path, point: str, n: int) -> None:
    code, acknowledged = run_python(WRITER, tmp_path, f"{point}:{n}=kill")
    assert code == -9, "the point was never reached"

    store = await SqliteStore.open(tmp_path)
    runs = await store.history.runs(limit=100)
    stored = sorted(run["run_id"] for run in runs)

    # At most the append that was in flight may be there without having been acknowledged.
    assert stored[: len(acknowledged)] == acknowledged
    assert len(stored) <= len(acknowledged) + 1
    for run_id in stored:
        assert [event.type for event in await store.journal.events(run_id)] == ["RunCreated", "RunStarted"]
        assert (await store.history.run(run_id))["status"] == "running"
    chain = EventChain("r-99")
    assert await store.journal.append("r-99", 0, [chain.created()]) == 1
    await store.close()
    check_integrity(tmp_path)


def test_a_writer_that_is_not_killed_leaves_one_file(tmp_path: Path) -> None:
    code, acknowledged = run_python(WRITER, tmp_path, "store.commit:1000=kill")

    assert (code, len(acknowledged), acknowledged[-1]) == (0, 21, "closed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blobs", "workflow-agent.db", "workflow-agent.db.lock"]
    check_integrity(tmp_path)


async def append(store: SqliteStore, run_id: str, text: str = "") -> int:
    return await store.journal.append(run_id, 0, [EventChain(run_id).created(inputs={"text": text})])


async def stored(folder: Path) -> list[str]:
    store = await SqliteStore.open(folder)
    runs = await store.history.runs()
    await store.close()
    return sorted(run["run_id"] for run in runs)


@pytest.mark.parametrize(
    "point",
    ["blob-written", "blob-renamed", "batch-taken", "lock-taken", "before-insert", "before-commit"],
)
async def test_an_error_before_the_commit_stores_nothing_and_the_store_goes_on(tmp_path: Path, point: str) -> None:
    store = await SqliteStore.open(tmp_path)
    await append(store, "r-1")
    arm(f"store.{point}=error")

    with pytest.raises(StoreError, match="cannot be used") as caught:
        await append(store, "r-2", "x" * 20_000)

    assert not isinstance(caught.value, OutcomeUnknownError)
    assert point in (caught.value.cause or "")
    await append(store, "r-2", "x" * 20_000)
    await store.close()
    assert await stored(tmp_path) == ["r-1", "r-2"]


@pytest.mark.parametrize(("point", "there"), [("commit", []), ("after-commit", ["r-2"])])
async def test_an_error_of_the_commit_is_an_unknown_outcome_and_ends_the_store(
    tmp_path: Path, point: str, there: list[str]
) -> None:
    store = await SqliteStore.open(tmp_path)
    await append(store, "r-1")
    arm(f"store.{point}=error")

    with pytest.raises(OutcomeUnknownError):
        await append(store, "r-2")

    for run_id in ("r-3", "r-4"):
        with pytest.raises(StoreError, match="open it again") as refused:
            await append(store, run_id)
        assert not isinstance(refused.value, OutcomeUnknownError)
        assert point in (refused.value.cause or "")
    await store.close()
    assert await stored(tmp_path) == ["r-1", *there]


@pytest.mark.parametrize("point", ["before-checkpoint", "after-checkpoint"])
async def test_a_failed_checkpoint_ends_the_store_and_loses_nothing(
    tmp_path: Path, point: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = await SqliteStore.open(tmp_path, limits=WriterLimits(checkpoint_bytes=1))
    arm(f"store.{point}=error")
    await append(store, "r-1")

    with pytest.raises(StoreError, match="open it again"):
        await append(store, "r-2")

    await store.close()
    assert "checkpoint of" in caplog.text
    assert await stored(tmp_path) == ["r-1"]


async def test_a_failed_migration_leaves_a_database_that_opens(tmp_path: Path) -> None:
    arm("store.migration=error")
    with pytest.raises(StoreError):
        await SqliteStore.open(tmp_path)

    looking = SqliteStore.open_read_only(tmp_path)
    assert await looking.history.runs() == []
    await looking.close()
    assert await stored(tmp_path) == []


async def test_an_error_while_closing_is_told_and_loses_nothing(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    await append(store, "r-1")
    arm("store.before-close=error")

    with pytest.raises(StoreError):
        await store.close()

    assert await stored(tmp_path) == ["r-1"]


# Lets the file system refuse to grow a file, which SQLite notices when it writes the log during COMMIT.
FULL = """
import asyncio, resource, sys
from pathlib import Path
from workflow_agent.model.errors import StoreError
from workflow_agent.store import SqliteStore
from workflow_agent.testing import EventChain

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    await store.journal.append("r-1", 0, [EventChain("r-1").created()])
    size = (store.folder / "workflow-agent.db-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5000, resource.RLIM_INFINITY))
    for run_id in ("r-2", "r-3"):
        try:
            await store.journal.append(run_id, 0, [EventChain(run_id).created(inputs={"a": "x" * 15_000})])
        except StoreError as error:
            print(error.code)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.close()

asyncio.run(main())
"""


async def test_a_commit_that_really_fails_is_an_unknown_outcome(tmp_path: Path) -> None:
    code, printed = run_python(FULL, tmp_path)

    assert (code, printed) == (0, ["unreachable.outcome-unknown", "unreachable.store"])
    assert await stored(tmp_path) in (["r-1"], ["r-1", "r-2"])
    check_integrity(tmp_path)


async def test_nobody_is_left_waiting_when_a_commit_fails(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    arm("store.commit=error")

    names = [f"r-{number:02}" for number in range(30)]
    outcomes = await asyncio.gather(*(append(store, name) for name in names), return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} <= {OutcomeUnknownError, StoreError}
    assert isinstance(outcomes[0], OutcomeUnknownError)
    await store.close()
    assert await stored(tmp_path) == []
