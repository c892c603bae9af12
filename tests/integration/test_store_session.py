"""The write session by itself: batches, checkpoints, locks, damaged files."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sqlite3
from functools import partial
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import JournalConflictError, OutcomeUnknownError, StoreError
from workflow_agent.model.event import Event, EventType, RecordKind
from workflow_agent.model.failpoint import arm
from workflow_agent.store import SqliteStore
from workflow_agent.store.encoding import encode_event
from workflow_agent.store.filelock import FileLock
from workflow_agent.store.session import Append, WriterLimits, WriteSession
from workflow_agent.testing import EventChain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    arm(None)
    yield
    arm(None)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "workflow-agent.db"


@pytest.fixture
def opened(database: Path) -> Iterator[Callable[[WriterLimits], WriteSession]]:
    sessions: list[WriteSession] = []

    def make(limits: WriterLimits) -> WriteSession:
        sessions.append(WriteSession(database, limits))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()


def append(run_id: str, *events: Event, head: int = 0) -> Append:
    events = events or (EventChain(run_id).created(inputs={"text": "x" * 10_000}),)
    return Append(run_id, head, [encode_event(event, lambda _: "none") for event in events])


def log_bytes(database: Path) -> int:
    return database.with_name(database.name + "-wal").stat().st_size


def test_a_bad_append_of_a_batch_fails_alone(opened: Callable[[WriterLimits], WriteSession]) -> None:
    session = opened(WriterLimits())
    nameless = Event(run_id="r-3", seq=2, type=EventType.STEP_STARTED, at=0.0)
    batch = [
        append("r-1"),
        append("r-1"),
        append("r-2", head=4),
        append("r-3", EventChain("r-3").created(), nameless),
        append("r-1", Event(run_id="r-1", seq=2, type=EventType.RUN_STARTED, at=0.0), head=1),
        append("r-4"),
    ]

    outcomes = session.commit(batch)

    assert [outcome if isinstance(outcome, int) else type(outcome) for outcome in outcomes] == [
        1,
        JournalConflictError,
        JournalConflictError,
        StoreError,
        2,
        1,
    ]
    # Nothing of the third run is left, not even its first event.
    assert session.commit([append("r-3")]) == [1]


def test_a_batch_of_conflicts_writes_nothing(opened: Callable[[WriterLimits], WriteSession], database: Path) -> None:
    session = opened(WriterLimits())
    size = log_bytes(database)

    outcomes = session.commit([append("r-1", head=4), append("r-2", head=1)])

    assert [type(outcome) for outcome in outcomes] == [JournalConflictError] * 2
    assert log_bytes(database) == size


def test_every_waiter_of_a_batch_learns_of_an_unknown_outcome(opened: Callable[[WriterLimits], WriteSession]) -> None:
    session = opened(WriterLimits())
    arm("store.commit=error")

    outcomes = session.commit([append("r-1"), append("r-1"), append("r-2")])

    assert [type(outcome) for outcome in outcomes] == [OutcomeUnknownError] * 3
    assert len({id(outcome) for outcome in outcomes}) == 3
    assert isinstance(session.broken, OSError)
    assert "broken=OSError" in repr(session)


def test_the_log_is_emptied_when_idle(opened: Callable[[WriterLimits], WriteSession], database: Path) -> None:
    session = opened(WriterLimits())
    session.commit([append("r-1")])
    assert session.dirty
    assert log_bytes(database) > 0

    session.idle()

    assert log_bytes(database) == 0
    assert not session.dirty


def test_the_log_stays_bounded_under_load(opened: Callable[[WriterLimits], WriteSession], database: Path) -> None:
    limits = WriterLimits()
    session = opened(limits)
    sizes = []
    for number in range(20):
        batch = [append(f"r-{number}-{each}") for each in range(100)]
        assert session.commit(batch) == [1] * 100
        session.relieve()
        sizes.append(log_bytes(database))

    # It is emptied when it is as long as that, and cut to it when it starts anew.
    assert limits.checkpoint_bytes < max(sizes) < limits.checkpoint_bytes * 1.2
    assert sizes[-1] == limits.checkpoint_bytes
    assert database.stat().st_size > limits.checkpoint_bytes


def test_the_log_is_longer_than_what_is_written_and_nothing_of_that_is_stored(
    opened: Callable[[WriterLimits], WriteSession], database: Path, tmp_path: Path
) -> None:
    session = opened(WriterLimits(ahead_bytes=200_000))
    grown = []
    for number in range(40):
        before = log_bytes(database) if number else 0
        session.commit([append(f"r-{number}")])
        grown.append(log_bytes(database) > before)
        session.relieve()
    copy = tmp_path / "copy.db"
    copy.write_bytes(database.read_bytes())
    copy.with_name("copy.db-wal").write_bytes(database.with_name(database.name + "-wal").read_bytes())

    # Each of these takes some 40,000 bytes, so that every sixth or so finds the end.
    assert 4 <= sum(grown) <= 12
    for path in (database, copy):  # the copy is what a crash leaves
        reader = sqlite3.connect(path)
        assert reader.execute("SELECT count(*) FROM runs").fetchone() == (40,)
        assert reader.execute("SELECT count(*) FROM definitions").fetchone() == (0,)
        assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        reader.close()


def test_a_log_that_starts_anew_is_written_over(opened: Callable[[WriterLimits], WriteSession], database: Path) -> None:
    session = opened(WriterLimits(checkpoint_bytes=100_000))
    sizes = []
    for number in range(60):
        session.commit([append(f"r-{number}")])
        session.relieve()
        sizes.append(log_bytes(database))

    # A round ends with the commit that did not fit any more, so the next one is longer by so much.
    assert len(set(sizes)) < 12
    assert sizes[-1] < 1_000_000
    assert database.stat().st_size > 600_000


def test_where_the_log_cannot_be_made_longer_all_goes_on(
    opened: Callable[[WriterLimits], WriteSession], database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    session = opened(WriterLimits())
    session.commit([append("r-first")])
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        # Room for three of these, but not for what the log is made longer by.
        resource.setrlimit(resource.RLIMIT_FSIZE, (log_bytes(database) + 160_000, most[1]))
        outcomes = []
        for number in range(3):
            outcomes += session.commit([append(f"r-{number}")])
            session.relieve()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
        signal.signal(signal.SIGXFSZ, handler)

    assert outcomes == [1] * 3
    assert "was not made longer" in caplog.text
    assert session.broken is None
    assert session.commit([append("r-last")]) == [1]


def test_a_reader_in_the_way_makes_the_log_grow_and_is_reported_once(
    opened: Callable[[WriterLimits], WriteSession], database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = opened(WriterLimits(checkpoint_bytes=100_000, alarm_bytes=300_000))
    reader = sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM runs").fetchone()

    for number in range(60):
        session.commit([append(f"r-{number}")])
        session.relieve()
    session.idle()
    grown = log_bytes(database)
    reader.close()
    session.commit([append("r-last")])
    session.idle()

    assert grown > 300_000
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "has grown" in caplog.text
    assert log_bytes(database) == 0


def test_a_held_lock_delays_checkpoints_and_refuses_batches_by_name(
    opened: Callable[[WriterLimits], WriteSession], database: Path
) -> None:
    session = opened(WriterLimits(lock_wait_s=0.01))
    session.commit([append("r-1")])
    other = FileLock(database.with_name(database.name + ".lock"))
    other.acquire(0)

    outcomes = session.commit([append("r-2"), append("r-3")])
    session.idle()
    size = log_bytes(database)
    other.close()

    assert [type(outcome) for outcome in outcomes] == [StoreError] * 2
    assert f"process {os.getpid()}" in str(outcomes[0])
    assert size > 0
    assert session.commit([append("r-2")]) == [1]


async def test_a_store_that_idles_removes_the_blobs_that_no_record_has(tmp_path: Path) -> None:
    """Those of events, of records and of the snapshot that is kept stay; so does all when the lock is taken."""
    chain, texts = EventChain("r-1"), [letter * 20_000 for letter in "abcd"]
    store = await SqliteStore.open(tmp_path)
    output = {"path": "output.log", "bytes": 1, "truncated": False, "tail": [texts[1]]}
    created = chain.created(inputs={"text": texts[0]})
    events = [created, chain.event(EventType.RUN_STARTED, records=[(RecordKind.OUTPUT, output)])]
    await store.journal.append("r-1", 0, events)
    for seq, text in enumerate(texts[2:], start=1):  # the second one replaces the first
        await store.journal.keep_snapshot("r-1", seq, "fold", partial(dict, state={}, values=[text]))
    await store.close()
    folder = tmp_path / "blobs"
    names = {path.name for path in folder.iterdir()}
    for name in names:
        os.utime(folder / name, (0, 0))
    assert len(names) == 4

    session = WriteSession(tmp_path / "workflow-agent.db", WriterLimits())
    other = FileLock(tmp_path / "workflow-agent.db.lock")
    other.acquire(0)
    session.idle()
    assert {path.name for path in folder.iterdir()} == names
    other.close()
    session.close()

    session = WriteSession(tmp_path / "workflow-agent.db", WriterLimits())
    session.idle()
    session.close()
    kept = [path.read_text(encoding="ascii") for path in folder.iterdir() if path.name in names]
    assert sorted(letter for letter in "abcd" if any(letter * 100 in text for text in kept)) == ["a", "b", "d"]


def test_closing_without_the_lock_says_so_and_loses_nothing(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    session = WriteSession(database, WriterLimits(lock_wait_s=0.01))
    session.commit([append("r-1")])
    other = FileLock(database.with_name(database.name + ".lock"))
    other.acquire(0)

    session.close()
    other.close()

    assert "without its lock" in caplog.text
    again = WriteSession(database, WriterLimits())
    assert isinstance(again.commit([append("r-1")])[0], JournalConflictError)
    again.close()


def test_a_lock_that_is_held_while_opening_is_named(database: Path) -> None:
    other = FileLock(database.with_name(database.name + ".lock"))
    other.acquire(0)

    with pytest.raises(StoreError, match=f"process {os.getpid()}"):
        WriteSession(database, WriterLimits(lock_wait_s=0.01))

    other.close()


def test_a_foreign_writer_is_waited_for_and_then_reported(
    opened: Callable[[WriterLimits], WriteSession], database: Path
) -> None:
    session = opened(WriterLimits())
    session._db.execute("wait_for_nobody")
    shell = sqlite3.connect(database, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")

    refused = session.commit([append("r-1")])[0]
    shell.close()

    assert isinstance(refused, StoreError)
    assert refused.message == "another program holds the database"
    assert session.commit([append("r-1")]) == [1]


def test_the_connection_is_as_durable_as_promised(opened: Callable[[WriterLimits], WriteSession]) -> None:
    connection = opened(WriterLimits())._db.connection

    settings = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint", "mmap_size")
    }

    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "wal_autocheckpoint": 0,
        "mmap_size": 0,
    }


DAMAGE = {
    "not a database": b"this is a text file and no database at all, whatever its name may say" * 20,
    "damaged": b"SQLite format 3\0" + b"\xff" * 4096,
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
async def test_a_damaged_file_says_what_to_do_and_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    database = tmp_path / "workflow-agent.db"
    database.write_bytes(content)
    looking = SqliteStore.open_read_only(tmp_path)

    with pytest.raises(StoreError) as written:
        await SqliteStore.open(tmp_path)
    with pytest.raises(StoreError) as read:
        await looking.history.runs()

    await looking.close()
    for error in (written.value, read.value):
        assert error.exit_code == 7
        assert error.where == str(database)
        assert "move the database" in (error.hint or "")
    assert database.read_bytes() == content


async def test_damage_inside_a_database_is_reported_and_a_good_file_is_read_again(tmp_path: Path) -> None:
    database = tmp_path / "workflow-agent.db"
    store = await SqliteStore.open(tmp_path)
    for number in range(20):
        await store.journal.append(f"r-{number}", 0, [EventChain(f"r-{number}").created(inputs={"x": "y" * 9000})])
    await store.close()
    good = database.read_bytes()
    database.write_bytes(good[:4096] + b"\xff" * (len(good) - 4096))
    looking = SqliteStore.open_read_only(tmp_path)

    with pytest.raises(StoreError, match="damaged"):
        await looking.history.runs()
    database.unlink()
    database.write_bytes(good)

    assert len(await looking.history.runs()) == 20
    await looking.close()


@pytest.mark.parametrize(("version", "part"), [(99, "newer"), (0, "")])
async def test_the_version_decides_who_may_read(tmp_path: Path, version: int, part: str) -> None:
    connection = sqlite3.connect(tmp_path / "workflow-agent.db")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()
    looking = SqliteStore.open_read_only(tmp_path)

    if part:
        with pytest.raises(StoreError, match=part):
            await looking.history.runs()
        with pytest.raises(StoreError, match=part):
            await SqliteStore.open(tmp_path)
    else:
        assert await looking.history.runs() == []
    await looking.close()


async def test_a_folder_that_cannot_be_made_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreError):
        await SqliteStore.open(tmp_path / "file" / "store")
