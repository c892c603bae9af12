"""Which units a start brings along, and which of them may go."""

from __future__ import annotations

from workflow_agent.targets.service_pulled import UnitRelations, closure, released


def unit(*, busy: bool = False, starts: str = "", needs: str = "") -> UnitRelations:
    named = frozenset(starts.split())
    return UnitRelations(busy=busy, starts=named, needs=named | frozenset(needs.split()))


UNITS = {
    "web.service": unit(starts="basic.target online.target", needs="gone.service"),
    "basic.target": unit(busy=True, starts="retry.service on.service"),
    "online.target": unit(starts="wait.service"),
    "wait.service": unit(starts="basic.target online.target"),
    "retry.service": unit(),
    "on.service": unit(busy=True),
    "disk.device": unit(),
    "multi.target": unit(busy=True, starts="retry.service web.service"),
}


def test_a_start_brings_along_what_is_wanted_at_any_distance_and_is_not_active() -> None:
    found = closure(["web.service"], UNITS)

    assert found == {
        "online.target": [],
        "retry.service": ["basic.target", "multi.target"],
        "wait.service": [],
    }


def test_devices_and_units_that_are_not_there_are_left_out() -> None:
    units = UNITS | {"web.service": unit(starts="disk.device gone.service")}

    assert closure(["web.service"], units) == {}


def after(**more: UnitRelations) -> dict[str, UnitRelations]:
    started = {
        name: UnitRelations(busy=True, starts=one.starts, needs=one.needs)
        for name, one in UNITS.items()
        if name in {"online.target", "wait.service", "retry.service"}
    }
    return UNITS | started | {name.replace("_", "."): one for name, one in more.items()}


def test_what_only_the_service_needed_goes_also_what_wants_each_other() -> None:
    assert released(closure(["web.service"], UNITS), ["web.service"], after()) == {
        "online.target": [],
        "retry.service": [],
        "wait.service": [],
    }


def test_what_ended_meanwhile_is_not_named() -> None:
    assert released({"online.target": []}, ["web.service"], UNITS) == {}


def test_what_somebody_else_needs_stays_with_what_it_needs_itself() -> None:
    other = unit(busy=True, needs="online.target")

    assert released(closure(["web.service"], UNITS), ["web.service"], after(other_service=other)) == {
        "online.target": ["other.service"],
        "retry.service": [],
        "wait.service": ["online.target"],
    }


def test_somebody_who_is_not_active_needs_nothing() -> None:
    units = after(wait_service=unit(), other_service=unit(needs="online.target"))

    assert released({"online.target": []}, [], units) == {"online.target": []}
