"""A stream of events may be cut anywhere, any number of times: what is told together is each event once, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.client.stream_place import StreamPlace
from workflow_agent.client.streaming import PlacedReader
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.event import Event, EventType

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

RUN = "r-01M81VS020Z16AE7E30VWF2Q38"


def record(seq: int, kind: EventType, step: str | None = None, **data: object) -> Event:
    attempt = data.pop("attempt", 0)
    assert isinstance(attempt, int)
    return Event(run_id=RUN, seq=seq, type=kind, at=float(seq), step=step, attempt=attempt, data=data)


@st.composite
def journals(draw: DrawFn) -> list[Event]:
    """Draw what a reader meets: records in their order, and hints of beginnings before their records."""
    met = [record(1, EventType.RUN_CREATED, workflow="w"), record(2, EventType.RUN_STARTED)]
    seq = 2
    names = st.sampled_from(["a", "b", "map", "odd;na:me %"])
    under_way: dict[str, int] = {}
    attempts: dict[str, int] = {}
    for _ in range(draw(st.integers(0, 14))):
        step = draw(names)
        if step not in under_way:
            attempts[step] = under_way[step] = attempts.get(step, 0) + 1
            if draw(st.booleans()):
                met.append(record(0, EventType.STEP_STARTED, step, attempt=attempts[step], hint=True))
            continue
        attempt, seq = under_way[step], seq + 1
        kind = draw(st.sampled_from([
            EventType.STEP_STARTED, EventType.STEP_SUCCEEDED, EventType.STEP_FAILED, EventType.RETRY_SCHEDULED,
            EventType.ITEMS_SUCCEEDED,
        ]))  # fmt: skip
        data: dict[str, object] = {"attempt": attempt}
        if kind is EventType.ITEMS_SUCCEEDED:
            data["items"] = [[index, index] for index in range(draw(st.integers(1, 3)))]
        elif kind is not EventType.STEP_STARTED:
            del under_way[step]
            data["attempt"] = attempt + (kind is EventType.RETRY_SCHEDULED)
            data |= {"started_at": draw(st.sampled_from([None, 1.0])), "error": {"message": "m"}, "output": {}}
        met.append(record(seq, kind, step, **data))
    return [*met, record(seq + 1, EventType.RUN_FINISHED, status="succeeded")]


def told(event: object) -> tuple[object, ...]:
    detail = getattr(event, "details", {})
    kind = getattr(event, "type", "")
    return (kind, getattr(event, "step", None), detail.get("attempt") if kind == "step_started" else event.timestamp)  # type: ignore[attr-defined]


@given(journals(), st.lists(st.integers(1, 8), max_size=5))
def test_whatever_is_cut_each_event_is_told_once(met: list[Event], cuts: list[int]) -> None:
    whole = [
        told(each) for reader in [PlacedReader(RUN, StreamPlace())] for event in met for each in reader.tell(event)
    ]
    records = [event for event in met if event.seq]
    seen: list[tuple[object, ...]] = []
    place, pieces = "", [*cuts, 10_000]
    for most in pieces:
        reader = PlacedReader(RUN, StreamPlace(place))
        reader.pass_over(records)
        left = most
        for event in met:
            if event.seq and event.seq <= reader.head:
                continue
            for each in reader.tell(event):
                seen.append(told(each))
                place, left = each.id, left - 1
                if not left:
                    break
            if not left:
                break

    assert sorted(map(str, seen)) == sorted(map(str, dict.fromkeys(whole)))
    assert len(seen) == len(set(seen))
    assert seen[-1][0] == "workflow_completed"


def test_a_place_stays_short_and_what_finds_no_room_is_told_with_its_record() -> None:
    reader = PlacedReader(RUN, StreamPlace())
    names = [f"step-{number:04}" for number in range(1000)]
    early = [e for name in names for e in reader.tell(record(0, EventType.STEP_STARTED, name, attempt=1))]
    assert 50 < len(early) < 200
    assert max(len(each.id) for each in early) < 2100
    late = [
        e
        for number, name in enumerate(names, 1)
        for e in reader.tell(record(number, EventType.STEP_SUCCEEDED, name, attempt=1, started_at=1.0, output={}))
    ]
    starts = [each.step for each in (*early, *late) if each.type == "step_started"]
    assert sorted(starts, key=str) == names
    assert late[-1].id == "1000"


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_refused(text: str) -> None:
    try:
        place = StreamPlace(text)
    except ValidationError:
        return
    assert StreamPlace(place.text()).text() == place.text()


@pytest.mark.parametrize("text", ["12", "12+3", "12;a:1", "0;odd%3Bna%3Ame:2;b:1", "7+1;map[3]:1"])
def test_places_are_read_back(text: str) -> None:
    assert StreamPlace(text).text() == text
