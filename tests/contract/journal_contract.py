"""What every journal promises. A test class per implementation inherits it and gives the fixture `journal`."""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import InternalError, JournalConflictError, StoreError, ValidationError
from workflow_agent.model.event import Event, EventType, Snapshot
from workflow_agent.testing import EventChain

if TYPE_CHECKING:
    from workflow_agent.model.ports import Journal

HOSTILE: list[Any] = [
    "",
    "'; DROP TABLE events; --",
    '"quotes" \\ and `ticks` $(touch /tmp/x)',
    "line\nbreak\ttab\r\x1b[31m",
    "NUL \0 inside",
    "Grüße 漢字 🎉 \u202e \ufeff",
    "lone surrogate \udcff and \ud800",
    {"$blob": "0" * 64, "bytes": 3},
    {"": {"": ""}, "\udcfe": 1},
    [None, True, False, 0, -1, 2**80, 1.5, -0.0, 1e300, []],
    "x" * 20_000,
    {"a": "x" * 20_000, "b": ["y" * 20_000], "c": 1},
    [{"path": f"/usr/share/{i}"} for i in range(3000)],
]


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


class JournalContract:
    async def test_an_unknown_run_has_no_events(self, journal: Journal) -> None:
        assert await journal.events("r-none") == []

    async def test_events_come_back_in_order_without_their_records(self, journal: Journal) -> None:
        chain = EventChain("r-1")
        created = chain.created(inputs={"port": 9100}, target="host")
        started = chain.event(EventType.STEP_STARTED, step="build", attempt=2, data={"with": {"a": [1]}})
        noted = chain.event(EventType.STEP_SUCCEEDED, step="build", records=[("note", {"x": 1})])

        assert await journal.append("r-1", 0, [created]) == 1
        assert await journal.append("r-1", 1, [started, noted]) == 3

        plain = Event(run_id="r-1", seq=3, type=noted.type, at=noted.at, step="build")
        assert await journal.events("r-1") == [created, started, plain]
        assert await journal.events("r-1", after=2) == [plain]
        assert await journal.events("r-1", after=3) == []

    async def test_events_of_several_runs_are_read_at_once(self, journal: Journal) -> None:
        chains = [EventChain(f"r-{number}") for number in range(3)]
        for chain in chains:
            first = [chain.created(), *(chain.event(EventType.RUN_STARTED, data={"n": n}) for n in range(700))]
            await journal.append(chain.run_id, 0, first)

        found = await journal.events_of(["r-2", "r-none", "r-0", "r-2"])

        assert found == {run_id: await journal.events(run_id) for run_id in ("r-0", "r-2")}
        assert await journal.events_of([]) == {}

    async def test_the_newest_snapshot_of_a_run_is_kept_until_the_run_ends(self, journal: Journal) -> None:
        chain = EventChain("r-1")
        await journal.append("r-1", 0, [chain.created(), chain.event(EventType.RUN_STARTED)])
        large = {"state": {"n": [1, None, "ü"]}, "values": ["x" * 40_000, {"a": {}}, None, HOSTILE[6]]}

        await journal.keep_snapshot("r-1", 2, "f", lambda: large)
        await journal.keep_snapshot("r-1", 1, "f", lambda: {"state": {}, "values": []})

        assert await journal.snapshots(["r-1", "r-none", "r-1"]) == {"r-1": Snapshot(seq=2, fold="f", data=large)}
        assert await journal.snapshots([]) == {}

        await journal.append("r-1", 2, [chain.finished()])
        await journal.keep_snapshot("r-1", 3, "f", lambda: large)
        assert await journal.snapshots(["r-1"]) == {}

    async def test_a_snapshot_of_a_record_that_is_not_there_is_refused(self, journal: Journal) -> None:
        await journal.append("r-1", 0, [EventChain("r-1").created()])

        for seq in (0, 2):
            with pytest.raises(StoreError):
                await journal.keep_snapshot("r-1", seq, "f", lambda: {"state": {}, "values": []})

        assert await journal.snapshots(["r-1"]) == {}

    async def test_a_snapshot_that_is_no_json_is_refused(self, journal: Journal) -> None:
        await journal.append("r-1", 0, [EventChain("r-1").created()])

        with pytest.raises(ValidationError):
            await journal.keep_snapshot("r-1", 1, "f", lambda: {"state": {"n": {1, 2}}, "values": []})

        assert await journal.snapshots(["r-1"]) == {}

    async def test_runs_do_not_see_each_other(self, journal: Journal) -> None:
        first, second = EventChain("r-1").created(), EventChain("r-2").created()

        await journal.append("r-1", 0, [first])
        await journal.append("r-2", 0, [second])

        assert await journal.events("r-1") == [first]
        assert await journal.events("r-2") == [second]

    @pytest.mark.parametrize("expected", [0, 2, 7])
    async def test_another_head_is_a_conflict_that_stores_nothing(self, journal: Journal, expected: int) -> None:
        created = EventChain("r-1").created()
        await journal.append("r-1", 0, [created])
        kind = EventType.RUN_STARTED if expected else EventType.RUN_CREATED
        late = Event(run_id="r-1", seq=expected + 1, type=kind, at=0.0)

        with pytest.raises(JournalConflictError) as caught:
            await journal.append("r-1", expected, [late])

        assert caught.value.details == {"head": 1, "expected": expected}
        assert caught.value.run_id == "r-1"
        assert await journal.events("r-1") == [created]

    async def test_of_many_appends_to_one_head_exactly_one_wins(self, journal: Journal) -> None:
        chain = EventChain("r-1")
        await journal.append("r-1", 0, [chain.created()])
        rivals = [Event(run_id="r-1", seq=2, type=EventType.RUN_STARTED, at=float(i)) for i in range(20)]

        outcomes = await asyncio.gather(
            *(journal.append("r-1", 1, [rival]) for rival in rivals), return_exceptions=True
        )

        assert [outcome for outcome in outcomes if not isinstance(outcome, JournalConflictError)] == [2]
        assert len(await journal.events("r-1")) == 2

    async def test_a_conflict_does_not_disturb_others_that_append_at_the_same_time(self, journal: Journal) -> None:
        await journal.append("r-0", 0, [EventChain("r-0").created()])
        names = [f"r-{i}" for i in range(40)]

        outcomes = await asyncio.gather(
            *(journal.append(name, 0, [EventChain(name).created()]) for name in names), return_exceptions=True
        )

        assert isinstance(outcomes[0], JournalConflictError)
        assert outcomes[1:] == [1] * 39

    async def test_appending_nothing_compares_the_head(self, journal: Journal) -> None:
        assert await journal.append("r-1", 0, []) == 0
        with pytest.raises(JournalConflictError):
            await journal.append("r-1", 1, [])
        assert await journal.events("r-1") == []

    @pytest.mark.parametrize(
        ("expected", "event"),
        [
            (1, Event(run_id="r-1", seq=3, type=EventType.RUN_STARTED, at=0.0)),
            (1, Event(run_id="r-2", seq=2, type=EventType.RUN_STARTED, at=0.0)),
            (1, Event(run_id="r-1", seq=2, type=EventType.RUN_CREATED, at=0.0)),
            (0, Event(run_id="r-1", seq=1, type=EventType.RUN_STARTED, at=0.0)),
        ],
        ids=["gap", "other run", "created twice", "not created"],
    )
    async def test_events_that_do_not_follow_are_a_defect(self, journal: Journal, expected: int, event: Event) -> None:
        if expected:
            await journal.append("r-1", 0, [EventChain("r-1").created()])

        with pytest.raises(InternalError):
            await journal.append("r-1", expected, [event])

        assert len(await journal.events("r-1")) == expected

    @pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
    async def test_every_json_value_comes_back_as_it_was(self, journal: Journal, value: Any) -> None:
        chain = EventChain("r-1")
        created = chain.created(inputs={"value": value, "same": value})
        other = chain.event(EventType.STEP_SUCCEEDED, step="s", data={"output": {"deep": {"er": value}}})

        await journal.append("r-1", 0, [created, other])

        assert await journal.events("r-1") == [created, other]

    async def test_many_small_values_come_back_as_they_were(self, journal: Journal) -> None:
        chain = EventChain("r-1")
        data = {f"key{i}": "x" * 100 for i in range(1000)}
        events = [chain.created(), chain.event(EventType.STEP_SUCCEEDED, step="s", data=data)]

        await journal.append("r-1", 0, events)

        assert await journal.events("r-1") == events

    async def test_tuples_become_lists_and_mappings_objects(self, journal: Journal) -> None:
        chain = EventChain("r-1")
        data = MappingProxyType({"t": (1, 2), "m": MappingProxyType({"a": 1})})

        await journal.append("r-1", 0, [chain.created(), chain.event(EventType.RUN_STARTED, data=data)])

        assert (await journal.events("r-1"))[1].data == {"t": [1, 2], "m": {"a": 1}}

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, b"x", {(1, 2): 3}, deep(100_000)])
    async def test_what_is_no_json_is_refused_and_nothing_is_stored(self, journal: Journal, value: object) -> None:
        chain = EventChain("r-1")

        with pytest.raises(ValidationError, match="JSON"):
            await journal.append("r-1", 0, [chain.created(), chain.event(EventType.RUN_STARTED, data={"v": value})])

        assert await journal.events("r-1") == []

    async def test_later_changes_of_the_callers_data_are_not_stored(self, journal: Journal) -> None:
        inputs = {"list": [1]}
        await journal.append("r-1", 0, [EventChain("r-1").created(inputs=inputs)])

        inputs["list"].append(2)
        with pytest.raises(TypeError, match="cannot be changed"):
            (await journal.events("r-1"))[0].data["inputs"]["list"].append(3)

        assert (await journal.events("r-1"))[0].data["inputs"] == {"list": [1]}

    async def test_a_run_of_several_thousand_events_is_read_whole(self, journal: Journal) -> None:
        chain = EventChain("r-1")
        events = [chain.created(), *(chain.event(EventType.CANCEL_REQUESTED, data={"n": i}) for i in range(2500))]

        await journal.append("r-1", 0, events)

        assert [event.seq for event in await journal.events("r-1", after=3)] == list(range(4, 2502))

    async def test_a_cancelled_append_is_stored_whole_or_not_at_all(self, journal: Journal) -> None:
        chain = EventChain("r-1")
        events = [chain.created(), chain.event(EventType.RUN_STARTED)]
        task = asyncio.ensure_future(journal.append("r-1", 0, events))
        await asyncio.sleep(0)

        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await journal.append("r-2", 0, [EventChain("r-2").created()])

        assert len(await journal.events("r-1")) in {0, 2}
