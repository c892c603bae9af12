"""Which runs are due: cron in a time zone, when clocks are put forward and back, catch-up, a clock that is set."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from workflow_agent.engine.schedules import MOST, Schedule, due, next_times, schedules_of
from workflow_agent.model.cron import cron_problem, times_after, zone_problem
from workflow_agent.model.workflow import Step, Workflow

BERLIN = ZoneInfo("Europe/Berlin")
DAY = 86_400.0


def at(text: str) -> float:
    """UTC seconds of a time in Berlin, or in UTC where it says so."""
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=BERLIN)).timestamp()


def local(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone(BERLIN).strftime("%m-%d %H:%M%z")


def daily(cron: str = "30 2 * * *", catch_up: str = "none") -> Schedule:
    return Schedule(
        id="w/1", workflow="w", cron=cron, timezone="Europe/Berlin", catch_up=catch_up, overlap="skip",
        inputs={"day": "${{ schedule.due }}"},
    )  # fmt: skip


def test_an_hour_that_is_missing_is_due_right_after_it() -> None:
    found = [local(each) for each in next_times(daily(), at("2026-03-28T00:00"), 3)]

    assert found == ["03-28 02:30+0100", "03-29 03:00+0200", "03-30 02:30+0200"]


def test_an_hour_that_comes_twice_is_due_once() -> None:
    found = [local(each) for each in next_times(daily(), at("2026-10-24T00:00"), 3)]

    assert found == ["10-24 02:30+0200", "10-25 02:30+0200", "10-26 02:30+0100"]


def test_what_is_due_every_hour_is_due_in_both_hours() -> None:
    found = [local(each) for each in next_times(daily("0 * * * *"), at("2026-10-25T01:30"), 3)]

    assert found == ["10-25 02:00+0200", "10-25 02:00+0100", "10-25 03:00+0100"]


def test_times_go_on_over_both_changes_of_a_year_without_a_gap_or_a_repeat() -> None:
    times = next_times(daily("*/15 * * * *"), at("2026-01-01T00:00"), 4 * 24 * 365)

    assert {later - earlier for earlier, later in pairwise(times)} == {900.0}


@pytest.mark.parametrize(
    ("catch_up", "fired", "missed"),
    [
        ("none", [], True),
        ("latest", ["2026-06-04T02:30"], True),
        ("all", ["2026-06-02T02:30", "2026-06-03T02:30", "2026-06-04T02:30"], False),
    ],
)
def test_what_was_missed_is_caught_up_as_the_schedule_says(catch_up: str, fired: list[str], *, missed: bool) -> None:
    found = due(daily(catch_up=catch_up), at("2026-06-01T12:00"), at("2026-06-04T12:00"))

    assert found.times == tuple(at(each) for each in fired)
    assert (found.considered, found.missed) == (at("2026-06-04T12:00"), missed)


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
def test_what_is_due_now_is_fired_once(catch_up: str) -> None:
    schedule, moment = daily(catch_up=catch_up), at("2026-06-04T02:30")

    first = due(schedule, moment - 30, moment + 5)
    again = due(schedule, first.considered, moment + 40)

    assert (first.times, first.missed) == ((moment,), False)
    assert again.times == ()


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
def test_nothing_is_due_where_the_clock_was_set_back(catch_up: str) -> None:
    found = due(daily(catch_up=catch_up), at("2026-06-04T12:00"), at("2026-06-01T12:00"))

    assert (found.times, found.considered) == ((), at("2026-06-04T12:00"))


def test_years_of_every_minute_are_caught_up_in_parts_and_found_quickly() -> None:
    start, now = at("2016-01-01T00:00"), at("2026-01-01T00:00:30")

    some = due(daily("* * * * *", "all"), start, now)
    newest = due(daily("* * * * *", "latest"), start, now)
    rare = due(daily("0 0 29 2 *", "latest"), start, now)

    assert (len(some.times), some.considered) == (MOST, start + MOST * 60)
    assert newest.times == (now - 30,)
    assert rare.times == (at("2024-02-29T00:00"),)
    assert due(daily("0 0 29 2 *", "latest"), at("2025-01-01T00:00"), now).times == ()


def test_a_schedule_is_known_by_what_it_says() -> None:
    said = {"cron": "@daily", "timezone": "UTC", "catch_up": "none", "overlap": "skip", "inputs": {}}
    workflow = Workflow(
        name="w", version="1", steps=(Step(id="a", uses="x.y"),), schedule=(said, said | {"cron": "@hourly"})
    )
    turned = Workflow(name="w", version="2", steps=workflow.steps, schedule=workflow.schedule[::-1])

    first, second = schedules_of(workflow)

    assert [each.id for each in schedules_of(turned)] == [second.id, first.id]
    assert first.key(1000.4) == f"schedule {first.id} 1000"
    assert daily().given(0.0) == {"day": "1970-01-01T00:00:00Z"}
    assert next_times(first, 10.0, 1) == [DAY]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0 0 * * *", None),
        ("@weekly", None),
        ("0 0 * * MON-FRI", None),
        ("@noon", "known names are"),
        ("0 0 * *", "five fields"),
        ("0 0 0 * * *", "five fields"),
        ("61 * * * *", "Bad minute"),
        ("0 0 30 2 *", "Bad day-of-month"),
    ],
)
def test_a_cron_expression_is_checked(text: str, problem: str | None) -> None:
    found = cron_problem(text)

    assert found == problem or (problem is not None and found is not None and problem in found)


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC", "Etc/GMT+5"])
def test_a_time_zone_that_there_is(name: str) -> None:
    assert zone_problem(name) is None


@pytest.mark.parametrize("name", ["Europe/Berlim", "../../etc/passwd", "/etc/localtime", ""])
def test_a_time_zone_that_there_is_not(name: str) -> None:
    assert "there is no time zone" in str(zone_problem(name))


def test_a_time_is_not_its_own_successor() -> None:
    assert next(times_after("0 0 * * *", "UTC", DAY)) == 2 * DAY


def test_in_the_hour_that_comes_twice_what_is_over_is_not_due_again() -> None:
    assert (
        local(next(times_after("30 2 * * *", "Europe/Berlin", at("2026-10-25T02:05:00.5+01:00")))) == "10-26 02:30+0100"
    )


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
def test_what_never_comes_is_never_due(catch_up: str) -> None:
    never = "0 0 */31 * 1#2"  # a first of a month that is a second Monday

    assert cron_problem(never) is None
    assert list(times_after(never, "UTC", 0.0)) == []
    assert due(daily(never, catch_up), at("2016-01-01T00:00"), at("2026-01-01T00:00")).times == ()
