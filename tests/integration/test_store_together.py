"""Appends that are stored together leave what they would leave one by one, in a fixed number of statements."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_agent.model.errors import JournalConflictError, StoreError
from workflow_agent.model.event import Event, EventType, Record, RecordKind
from workflow_agent.model.failpoint import arm
from workflow_agent.store import SqliteStore
from workflow_agent.store.encoding import encode_event
from workflow_agent.store.filelock import FileLock
from workflow_agent.store.session import Append, WriterLimits, WriteSession
from workflow_agent.testing import EventChain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_DEFINITION = Record(RecordKind.DEFINITION, {"hash": "h", "definition": {"name": "w"}})
_MIDDLE: list[tuple[EventType, dict[str, Any]]] = [
    (EventType.STEP_STARTED, {"phase": "preparing"}),
    (EventType.STEP_SUCCEEDED, {"output": {"text": "é\udcff"}, "started_at": 3.0}),
    (EventType.STEP_FAILED, {"error": {"message": "no"}, "status": "unknown"}),
    (EventType.STEP_SKIPPED, {"reason": "not when"}),
    (EventType.RETRY_SCHEDULED, {"due_at": 9.0}),
    (EventType.ITEMS_SUCCEEDED, {"items": [[0, {}]]}),
    (EventType.SIGNAL_RECEIVED, {"name": "go", "data": None}),
    (EventType.RUN_PAUSED, {"reason": "wait"}),
    (EventType.RUN_RESUMED, {}),
    (EventType.CANCEL_REQUESTED, {"reason": "stop"}),
]


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    arm(None)
    yield
    arm(None)


def append(head: int, events: Sequence[Event]) -> Append:
    return Append(events[0].run_id, head, [encode_event(event, lambda _: "none") for event in events])


def runs(lengths: Sequence[Sequence[int]]) -> list[list[Append]]:
    """Make rounds of appends: each inner list of numbers is one run, by kinds of its records in the middle."""
    rounds: list[list[Append]] = [[], [], []]
    for number, kinds in enumerate(lengths):
        chain = EventChain(f"r-{number}", at=1000.0 * number)
        rounds[0].append(append(0, [chain.created(), chain.event(EventType.RUN_STARTED, data={"phase": "running"})]))
        middle = [
            chain.event(_MIDDLE[kind][0], step=f"s{kind % 3}", data=_MIDDLE[kind][1], attempt=1 + kind % 2)
            for kind in kinds
        ]
        if middle:
            rounds[1].append(append(2, middle))
        rounds[2].append(append(2 + len(middle), [chain.finished()]))
    return rounds


def dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        return [line for line in connection.iterdump() if line.startswith("INSERT")]


@given(st.lists(st.lists(st.integers(0, len(_MIDDLE) - 1), max_size=5), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_together_leaves_what_one_by_one_leaves(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[list[int]]
) -> None:
    check(tmp_path_factory.mktemp("together"), lengths)


@pytest.mark.parametrize("count", [4, 63, 64, 89])
def test_rows_that_go_many_at_once_are_none_too_many_and_none_too_few(tmp_path: Path, count: int) -> None:
    check(tmp_path, [[number % 2, 1 + number % 4, 1] for number in range(count)])


def check(folder: Path, lengths: list[list[int]]) -> None:
    """Store runs together and one by one, and compare all rows."""
    together = WriteSession(folder / "a" / "x.db", WriterLimits())
    alone = WriteSession(folder / "b" / "x.db", WriterLimits())
    for batch in runs(lengths):
        outcomes = together.commit(batch) if batch else []
        assert outcomes == [alone.commit([each])[0] for each in batch]
        assert all(isinstance(outcome, int) for outcome in outcomes)
    together.close()
    alone.close()

    left, wanted = dump(folder / "a" / "x.db"), dump(folder / "b" / "x.db")
    # Runs are listed in the order in which they came; what belongs to a run is read by its own numbers.
    assert sorted(left) == sorted(wanted)
    assert [line for line in left if '"runs"' in line] == [line for line in wanted if '"runs"' in line]


def test_a_row_that_cannot_be_stored_fails_alone_among_many(tmp_path: Path) -> None:
    session = WriteSession(tmp_path / "x.db", WriterLimits())
    chains = [EventChain(f"r-{number:02}") for number in range(70)]
    session.commit([append(0, [chain.created()]) for chain in chains])
    batch = [append(1, [chain.event(EventType.STEP_SUCCEEDED, step="s", data={"output": {}})]) for chain in chains]
    WriteSession(tmp_path / "x.db", WriterLimits()).commit(batch[40:41])  # another process was quicker

    outcomes = session.commit(batch)

    assert [number for number, outcome in enumerate(outcomes) if outcome != 2] == [40]
    assert isinstance(outcomes[40], JournalConflictError)


def statements(session: WriteSession, batch: list[Append]) -> int:
    told: list[str] = []
    session._db.connection.set_trace_callback(told.append)  # nothing else tells what is run
    try:
        assert all(isinstance(outcome, int) for outcome in session.commit(batch))
    finally:
        session._db.connection.set_trace_callback(None)
    return len(told)


def test_a_run_s_place_is_asked_for_once_and_its_definition_stored_once(tmp_path: Path) -> None:
    session = WriteSession(tmp_path / "x.db", WriterLimits())
    chain = EventChain("r-1")
    created = chain.created()
    created = Event(run_id="r-1", seq=1, type=created.type, at=created.at, data=created.data, records=(_DEFINITION,))
    again = EventChain("r-2").created()
    again = Event(run_id="r-2", seq=1, type=again.type, at=again.at, data=again.data, records=(_DEFINITION,))

    first = statements(session, [append(0, [created])])
    second = statements(session, [append(0, [again])])
    step = statements(session, [append(1, [chain.event(EventType.STEP_SUCCEEDED, step="a", data={"output": {}})])])
    session.close()

    assert second == first - 1, "the definition is stored already"
    # BEGIN, the event, the step, COMMIT, and the uniqueness checks that belong to them
    assert step == 4


def test_one_in_the_way_fails_alone_and_the_rest_of_the_batch_is_stored(tmp_path: Path) -> None:
    session = WriteSession(tmp_path / "x.db", WriterLimits())
    created = [EventChain(f"r-{number}").created() for number in range(3)]
    session.commit([append(0, [created[1]])])

    outcomes = session.commit([append(0, [each]) for each in created])
    session.close()

    assert outcomes[0] == outcomes[2] == 1
    assert isinstance(outcomes[1], JournalConflictError)


def test_two_appends_of_one_run_keep_their_order(tmp_path: Path) -> None:
    session = WriteSession(tmp_path / "x.db", WriterLimits())
    chain = EventChain("r-1")
    first, second = chain.created(), chain.finished()

    assert session.commit([append(0, [first]), append(1, [second])]) == [1, 2]
    session.close()


def test_what_another_process_wrote_is_noticed_though_the_place_was_remembered(tmp_path: Path) -> None:
    ours, theirs = WriteSession(tmp_path / "x.db", WriterLimits()), WriteSession(tmp_path / "x.db", WriterLimits())
    chain = EventChain("r-1")
    ours.commit([append(0, [chain.created()])])
    next_event = chain.event(EventType.STEP_SUCCEEDED, step="a", data={"output": {}})
    assert theirs.commit([append(1, [next_event])]) == [2]

    (outcome,) = ours.commit([append(1, [next_event])])
    assert isinstance(outcome, JournalConflictError)
    assert ours.commit([append(2, [chain.finished()])]) == [3]
    ours.close()
    theirs.close()


def test_a_record_of_the_wrong_shape_fails_alone(tmp_path: Path) -> None:
    session = WriteSession(tmp_path / "x.db", WriterLimits())
    good, bad = EventChain("r-1"), EventChain("r-2")
    session.commit([append(0, [good.created()]), append(0, [bad.created()])])
    broken = bad.event(EventType.RUN_FINISHED, data={})

    outcomes = session.commit([append(1, [broken]), append(1, [good.finished()])])
    session.close()

    assert outcomes[1] == 2
    assert not isinstance(outcomes[0], int)


async def test_what_one_turn_of_the_loop_appends_is_one_transaction(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store")
    arm("store.after-commit:2=error")  # a second transaction would fail
    chains = [EventChain(f"r-{number:026}") for number in range(50)]

    heads = await asyncio.gather(*(store.journal.append(chain.run_id, 0, [chain.created()]) for chain in chains))
    arm(None)
    await store.close()

    assert heads == [1] * 50


async def test_an_append_on_its_way_to_a_writer_that_breaks_is_refused(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store")
    writer: Any = store._writer  # its thread's end is what has to be waited for
    lock = FileLock(writer.path.with_name(writer.path.name + ".lock"))
    lock.acquire(1.0)
    arm("store.commit=error")
    first = asyncio.create_task(store.journal.append("r-1", 0, [EventChain("r-1").created()]))
    while not writer._gathering:  # noqa: ASYNC110  # what is looked at tells nobody
        await asyncio.sleep(0)
    while writer._gathering:  # noqa: ASYNC110  # handed over: the thread waits for the lock
        await asyncio.sleep(0)
    second = asyncio.create_task(store.journal.append("r-2", 0, [EventChain("r-2").created()]))
    while not writer._gathering:  # noqa: ASYNC110  # what is looked at tells nobody
        await asyncio.sleep(0)
    lock.release()
    writer._thread.join()

    with pytest.raises(StoreError):
        await second
    with pytest.raises(StoreError):
        await first
    lock.close()
    await store.close()
