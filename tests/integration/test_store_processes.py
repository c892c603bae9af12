"""Several processes, several loops, many lives: the store around its writer thread."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from workflow_agent.model.errors import InternalError, StoreError
from workflow_agent.store import SqliteStore
from workflow_agent.store.filelock import FileLock
from workflow_agent.store.session import Append, WriterLimits
from workflow_agent.store.writer import Writer
from workflow_agent.testing import EventChain

if TYPE_CHECKING:
    from workflow_agent.store.encoding import EncodedEvent

# Appends runs of its own, and in between events to one run that all processes share.
HAMMER = """
import asyncio, sys
from pathlib import Path
from workflow_agent.model.errors import JournalConflictError
from workflow_agent.model.event import Event, EventType
from workflow_agent.store import SqliteStore
from workflow_agent.store.session import WriterLimits
from workflow_agent.testing import EventChain

async def main(folder, name):
    store = await SqliteStore.open(Path(folder), limits=WriterLimits(checkpoint_bytes=100_000, lock_wait_s=60))
    head = 1
    for number in range(40):
        chain = EventChain(f"r-{name}-{number:02}")
        await store.journal.append(chain.run_id, 0, [chain.created(inputs={"x": "y" * 2000})])
        while True:
            shared = Event(run_id="r-shared", seq=head + 1, type=EventType.CANCEL_REQUESTED, at=0.0,
                           data={"by": name, "number": number})
            try:
                head = await store.journal.append("r-shared", head, [shared])
                break
            except JournalConflictError as error:
                head = error.details["head"]
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def append(store: SqliteStore, run_id: str) -> int:
    return await store.journal.append(run_id, 0, [EventChain(run_id).created()])


async def test_processes_share_a_database_without_losing_or_mixing_anything(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path, limits=WriterLimits(lock_wait_s=60))
    await append(store, "r-shared")
    names = ["a", "b", "c"]
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", HAMMER, str(tmp_path), name) for name in names
    ]

    assert [await process.wait() for process in processes] == [0, 0, 0]

    shared = (await store.journal.events("r-shared"))[1:]
    for name in names:
        mine = [event.data["number"] for event in shared if event.data["by"] == name]
        assert mine == list(range(40))
    assert len(shared) == 120
    assert len(await store.history.runs(limit=1000)) == 121
    await store.close()
    connection = sqlite3.connect(tmp_path / "workflow-agent.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


async def test_a_reader_that_closes_last_moves_nothing(tmp_path: Path) -> None:
    """Only the writer moves the log, under its lock (sqlite.org/wal.html, "the WAL-reset bug")."""
    program = f"{HAMMER.partition('async def main')[0]}import os\nasync def main(folder):\n"
    program += "    store = await SqliteStore.open(Path(folder))\n"
    program += "    await store.journal.append('r-1', 0, [EventChain('r-1').created()])\n"
    program += "    os.kill(os.getpid(), 9)\nasyncio.run(main(sys.argv[1]))\n"
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path))
    assert await killed.wait() == -9
    files = [tmp_path / "workflow-agent.db", tmp_path / "workflow-agent.db-wal"]
    before = [file.read_bytes() for file in files]

    store = SqliteStore.open_read_only(tmp_path)
    assert [run["run_id"] for run in await store.history.runs()] == ["r-1"]
    await store.close()

    assert before[1]
    assert [file.read_bytes() for file in files] == before


async def test_two_stores_in_one_process_see_each_other(tmp_path: Path) -> None:
    first, second = await SqliteStore.open(tmp_path), await SqliteStore.open(tmp_path)

    outcomes = await asyncio.gather(
        *(append(store, f"r-{name}{number}") for name, store in (("a", first), ("b", second)) for number in range(50))
    )

    assert outcomes == [1] * 100
    assert len(await first.history.runs(limit=200)) == len(await second.history.runs(limit=200)) == 100
    await first.close()
    await append(second, "r-late")
    await second.close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_fifty_lives_leave_no_descriptor_and_no_thread(tmp_path: Path) -> None:
    async def live(number: int) -> None:
        store = await SqliteStore.open(tmp_path)
        looking = SqliteStore.open_read_only(tmp_path)
        await append(store, f"r-{number}")
        assert len(await looking.history.runs(limit=100)) == number + 1
        await looking.close()
        await store.close()

    await live(0)
    files, threads = open_files(), threading.active_count()
    for number in range(1, 51):
        await live(number)

    assert open_files() <= files
    assert threading.active_count() <= threads


async def test_stores_that_cannot_be_opened_leave_nothing_either(tmp_path: Path) -> None:
    (tmp_path / "workflow-agent.db").write_bytes(b"no database" * 1000)
    files, threads = open_files(), threading.active_count()

    for _ in range(5):
        with pytest.raises(StoreError):
            await SqliteStore.open(tmp_path)

    assert open_files() <= files
    assert threading.active_count() <= threads


async def test_an_idle_store_empties_its_log_by_itself(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path, limits=WriterLimits(idle_s=0.0))
    await append(store, "r-1")
    log = tmp_path / "workflow-agent.db-wal"

    async with asyncio.timeout(10):
        while log.stat().st_size:  # noqa: ASYNC110  # another thread does it
            await asyncio.sleep(0.001)

    assert await append(store, "r-2") == 1
    await store.close()


async def test_more_appends_than_fit_into_a_batch_are_all_stored(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path, limits=WriterLimits(batch=3))

    assert await asyncio.gather(*(append(store, f"r-{number}") for number in range(20))) == [1] * 20
    await store.close()


async def test_what_is_waiting_when_the_store_closes_is_stored(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    tasks = [asyncio.ensure_future(append(store, f"r-{number}")) for number in range(20)]
    await asyncio.sleep(0)

    await asyncio.gather(store.close(), store.close())

    assert await asyncio.gather(*tasks) == [1] * 20


async def test_an_opening_that_is_cancelled_ends_its_thread(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    lock = FileLock(tmp_path / "store" / "workflow-agent.db.lock")
    lock.acquire(0)
    before = set(threading.enumerate())
    task = asyncio.ensure_future(SqliteStore.open(tmp_path / "store"))
    await asyncio.sleep(0)
    threads = set(threading.enumerate()) - before

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    lock.close()

    assert len(threads) == 1
    for thread in threads:
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()


async def test_a_cancelled_close_still_closes(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    await append(store, "r-1")
    task = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.close()

    assert not (tmp_path / "workflow-agent.db-wal").exists()


def test_a_loop_that_went_away_does_not_hurt_the_writer(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "workflow-agent.db.lock")

    async def leave_while_appending() -> SqliteStore:
        store = await SqliteStore.open(tmp_path)
        lock.acquire(10)
        task = asyncio.ensure_future(append(store, "r-1"))
        await asyncio.sleep(0)
        task.cancel()
        return store

    store = asyncio.run(leave_while_appending())
    lock.release()

    async def come_back() -> list[int]:
        heads = [await append(store, "r-2"), len(await store.journal.events("r-1"))]
        await store.close()
        return heads

    assert asyncio.run(come_back()) == [1, 1]
    lock.close()


def test_a_program_that_forgets_to_close_ends_and_loses_nothing(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from workflow_agent.store import SqliteStore\n"
        "from workflow_agent.testing import EventChain\n"
        "async def main():\n"
        "    store = await SqliteStore.open(Path(sys.argv[1]))\n"
        "    await store.journal.append('r-1', 0, [EventChain('r-1').created()])\n"
        "    await store.history.runs()\n"
        "asyncio.run(main())"
    )

    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=30)

    assert ended.returncode == 0

    async def count() -> int:
        store = await SqliteStore.open(tmp_path)
        runs = await store.history.runs()
        await store.close()
        return len(runs)

    assert asyncio.run(count()) == 1


# The log cannot grow while rows are inserted, because the transaction is larger than SQLite's cache.
SPILL = """
import asyncio, resource, sys
from pathlib import Path
from workflow_agent.model.errors import OutcomeUnknownError, StoreError
from workflow_agent.model.event import EventType
from workflow_agent.store import SqliteStore
from workflow_agent.testing import EventChain

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    chain = EventChain("r-1")
    large = [chain.created()]
    large += [chain.event(EventType.CANCEL_REQUESTED, data={"x": "y" * 15_000}) for _ in range(600)]
    try:
        await store.journal.append("r-1", 0, large)
    except StoreError as error:
        print(error.code)
    print(await store.journal.append("r-2", 0, [EventChain("r-2").created()]))
    print(len(await store.journal.events("r-1")))
    await store.close()

asyncio.run(main())
"""


def test_a_disk_that_is_full_while_rows_are_inserted_costs_that_batch_only(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SPILL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )

    assert ended.stderr == ""
    assert ended.stdout.split() == ["unreachable.store", "1", "0"]


async def test_a_defect_inside_a_batch_leaves_nobody_waiting(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "x.db", WriterLimits())
    await writer.close()
    await writer.start()
    broken = Append("r-1", 0, cast("list[EncodedEvent]", [None]))

    with pytest.raises(InternalError, match="defect") as caught:
        await writer.append(broken)

    assert "TypeError" in (caught.value.cause or "")
    with pytest.raises(StoreError, match="open it again"):
        await writer.append(Append("r-1", 0, []))
    await writer.close()
    assert "alive=False" in repr(writer)
