"""Persistent arrays and maps, identities, plans, and why a step is not running."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.engine import decide, plan_of, why
from workflow_agent.engine.commands import FailStep
from workflow_agent.engine.joins import follows
from workflow_agent.engine.machine import Course, refusal
from workflow_agent.engine.names import names_of
from workflow_agent.engine.persistent import PersistentArray, PersistentMap
from workflow_agent.engine.scratch import Scratch
from workflow_agent.engine.units import idempotency_key, item_of, parse_unit, round_of
from workflow_agent.model.errors import JournalConflictError, NotFoundError, ValidationError
from workflow_agent.model.event import Event, EventType, RunState, StepState
from workflow_agent.model.status import StepStatus
from workflow_agent.model.workflow import Backoff, Step, Workflow

E = EventType


@given(st.lists(st.integers(), max_size=1100), st.data())
def test_an_array_is_a_list_whose_versions_stay(items: list[int], data: st.DataObject) -> None:
    array = PersistentArray(items)
    assert (list(array), len(array), array == PersistentArray(items)) == (items, len(items), True)
    if items:
        index = data.draw(st.integers(0, len(items) - 1))
        changed = array.put(index, -1)
        assert list(changed) == [*items[:index], -1, *items[index + 1 :]]
        assert array[index] == items[index] == array[index - len(items)]
    assert list(array) == items
    assert array[1:3] == items[1:3]
    with pytest.raises(IndexError):
        array[len(items)]


def test_an_array_is_no_list_and_shows_itself() -> None:
    assert PersistentArray([1]) != [1]
    assert repr(PersistentArray([1, 2])) == "PersistentArray([1, 2])"


@given(st.lists(st.tuples(st.text(max_size=3), st.one_of(st.none(), st.integers()))))
def test_a_map_is_a_dictionary_whose_versions_stay(changes: list[tuple[str, int | None]]) -> None:
    wanted: dict[str, int] = {}
    found: PersistentMap[int] = PersistentMap()
    for key, value in changes:
        before = (found, dict(wanted))
        found = found.without(key) if value is None else found.put(key, value)
        if value is None:
            wanted.pop(key, None)
        else:
            wanted[key] = value
        assert dict(before[0]) == before[1]
    assert (dict(found), len(found), list(found)) == (wanted, len(wanted), sorted(wanted))
    assert repr(found) == f"PersistentMap({dict(sorted(wanted.items()))!r})"
    with pytest.raises(KeyError):
        found["none of these"]


def test_a_map_that_was_full_is_empty_again() -> None:
    found: PersistentMap[int] = PersistentMap()
    for number in range(300):
        found = found.put(f"k{number}", number)
    for number in range(300):
        found = found.without(f"k{number}")

    assert (dict(found), len(found)) == ({}, 0)


def test_keys_of_one_code_stand_together() -> None:
    # These two have the same CRC-32.
    found: PersistentMap[int] = PersistentMap[int]().put("plumless", 1).put("buckeroo", 2)

    assert dict(found) == {"buckeroo": 2, "plumless": 1}
    assert dict(found.without("plumless")) == {"buckeroo": 2}


def test_identities_are_read_as_they_are_written() -> None:
    assert parse_unit(item_of("a", 3)) == ("a", 3, None)
    assert parse_unit(round_of("a", 2)) == ("a", None, 2)
    assert parse_unit("a~undo") == ("a~undo", None, None)
    assert len({idempotency_key("r", "a"), idempotency_key("r", "b"), idempotency_key("s", "a")}) == 3


@pytest.mark.parametrize("name", ["", "a[1]", "a#1", "a~undo"])
def test_an_id_cannot_look_like_an_identity(name: str) -> None:
    with pytest.raises(ValidationError, match="cannot be the id of a step"):
        plan_of(Workflow(name="w", version="1", steps=(Step(id=name, uses="x.y"),)))


def test_a_step_waits_for_what_its_expressions_read() -> None:
    reads = Step(id="b", uses="x.y", with_={"v": "${{ steps.a.output }}"}, when="steps.c.output != null")
    plan = plan_of(Workflow(name="w", version="1", steps=(Step(id="a", uses="x.y"), reads, Step(id="c", uses="x.y"))))

    assert [list(each) for each in plan.followers] == [[1], [], []], "only what is written before it"


def test_an_expression_that_cannot_be_read_is_met_when_its_step_is_considered() -> None:
    workflow = flow(go("a", with_={"k": "${{ 1 < }}"}))

    _, commands = decide(workflow, story(workflow, upto=1), event(2, E.RUN_STARTED))

    assert isinstance(commands[0], FailStep)
    assert plan_of(flow(go("m", each="[1]", enough="1 <"))).readings[0].whole == frozenset()


def test_a_step_that_did_not_join_the_run_has_no_state() -> None:
    workflow = flow(go("a", undo={"uses": "x.back"}))
    course = Course(workflow, story(workflow))

    assert course.cell("a").status == "running"
    with pytest.raises(KeyError):
        course.cell("a~undo")


@pytest.mark.parametrize(
    ("edge", "counts"),
    [({}, True), ({"a": "success"}, True), ({"a": "always"}, True), ({"a": "failure"}, False), ({"a": "some"}, False)],
)
def test_a_fan_out_of_which_enough_is_done_counts_as_one_that_ended_well(edge: dict[str, str], *, counts: bool) -> None:
    still_at_work = StepState(status=StepStatus.RUNNING)

    assert follows(go("b", needs=("a",), join="any", edges=edge), "a", still_at_work) is counts


def test_states_are_counted_and_are_no_numbers() -> None:
    workflow = flow(go("m", each="inputs.l"), go("b"))
    state = story(workflow)

    assert len(state.steps) == 2
    number: object = 5
    assert state.steps["m"].items != number
    assert "'b': StepState" in repr(state.steps)
    names = names_of(Scratch(plan_of(workflow), state, 3, 1.0), 0)
    assert (len(names["steps"]), list(names["steps"])) == (2, ["m", "b"])


# -- why -----------------------------------------------------------------------------------------------------------


def event(number: int, kind: EventType, step: str | None = None, data: dict[str, Any] | None = None) -> Event:
    return Event(run_id="r", seq=number, type=kind, at=1.0, step=step, data=data or {})


def story(workflow: Workflow, *told: tuple[EventType, str | None, dict[str, Any]], upto: int | None = None) -> RunState:
    """Tell a run, with what follows of itself left to the teller."""
    state: RunState | None = None
    first = [(E.RUN_CREATED, None, {"inputs": {"l": [1, 2, 3]}, "machine": 2}), (E.RUN_STARTED, None, {})]
    for number, (kind, step, data) in enumerate([*first, *told][:upto], start=1):
        state, _ = decide(workflow, state, event(number, kind, step, data))
    assert state is not None
    return state


def flow(*steps: Step, **more: Any) -> Workflow:
    return Workflow(**({"name": "w", "version": "1", "steps": steps} | more))


def go(name: str, **more: Any) -> Step:
    return Step(**({"id": name, "uses": "x.y"} | more))


def test_why_names_the_requirement_that_is_not_met() -> None:
    workflow = flow(go("a"), go("b", needs=("a",)), go("c"), go("z", always=True), max_workers=1, on_failure=(go("r"),))
    state = story(workflow)

    found = {each.step: (each.kind, each.details) for each in why(workflow, state)}
    assert found == {
        "a": ("running", {"attempt": 1}),
        "b": ("dependency", {"needs": ["a"]}),
        "c": ("worker", {"limit": 1, "in_flight": 1}),
        "z": ("dependency", {"needs": ["a", "b", "c"]}),
    }
    assert why(workflow, state, "r")[0].kind == "trouble"
    assert why(workflow, state, "b")[0].to_dict()["message"] == "`b` waits for `a` (running)"
    with pytest.raises(NotFoundError, match="no step `d`"):
        why(workflow, state, "d")


def test_why_tells_of_fan_outs_retries_timers_and_signals() -> None:
    workflow = flow(
        go("m", each="inputs.l", max_workers=2),
        go("f", retry=Backoff(attempts=2)),
        go("t", uses="wait.timer", with_={"seconds": 9}),
        go("s", uses="wait.signal", with_={"name": "paid"}),
    )
    error = {"code": "step-failed.script", "message": "no", "details": {}}
    state = story(
        workflow,
        (E.STEP_STARTED, "t", {"with": {"seconds": 9}, "due_at": 10.0}),
        (E.STEP_STARTED, "s", {"with": {"name": "paid"}}),
        (E.STEP_FAILED, "f", {"error": error}),
        (E.RETRY_SCHEDULED, "f", {"due_at": 5.0}),
        (E.ITEMS_SUCCEEDED, "m", {"items": [[0, {}]]}),
    )

    found = {each.step: (each.kind, each.details) for each in why(workflow, state)}
    assert found == {
        "m": ("running", {"items": 3, "ended": 1, "in_flight": 2}),
        "f": ("retry", {"due_at": 5.0}),
        "t": ("timer", {"due_at": 10.0}),
        "s": ("signal", {"signal": "paid"}),
    }


def test_why_tells_of_the_end() -> None:
    workflow = flow(go("a"), go("b"), on_failure=(go("r"), go("q")), max_workers=2)
    error = {"code": "internal", "message": "no", "details": {}}
    failing = story(workflow, (E.STEP_FAILED, "a", {"error": error}))
    assert [(each.step, each.kind) for each in why(workflow, failing)] == [
        ("b", "running"),
        ("r", "dependency"),
        ("q", "dependency"),
    ]
    back = story(workflow, (E.STEP_FAILED, "a", {"error": error}), (E.STEP_SUCCEEDED, "b", {"output": {}}))
    assert why(workflow, back, "q")[0].details == {"needs": ["r"]}
    assert why(workflow, back, "a")[0].message == "`a` has ended as failed"
    given_up = story(
        workflow, (E.STEP_FAILED, "a", {"error": error}), (E.RUN_FINISHED, None, {"status": "needs-attention"})
    )
    assert (why(workflow, given_up), why(workflow, given_up, "b")[0].kind) == ([], "end")
    ending = flow(go("a"), go("b"), max_workers=1)
    stopped = story(ending, (E.CANCEL_REQUESTED, None, {"reason": "x"}))
    assert why(ending, stopped, "b")[0].kind == "trouble"


# -- what cannot follow ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "step", "data"),
    [
        (E.STEP_STARTED, "a", {}),
        (E.STEP_SKIPPED, "a", {}),
        (E.RETRY_SCHEDULED, "a", {"due_at": 1.0}),
        (E.STEP_FAILED, "b", {"error": {}}),
        (E.ITEMS_SUCCEEDED, "m", {"items": [[2, {}]]}),
        (E.STEP_SUCCEEDED, "m", {}),
        (E.STEP_SUCCEEDED, "l#2", {}),
        (E.STEP_SUCCEEDED, "r", {}),
        (E.RUN_RESUMED, None, {}),
        (E.RUN_CHANGED, None, {"state": {"k": 1}}),
        (E.SCOPE_STOPPED, "s", {"error": {}}),
        (E.RUN_FINISHED, None, {"status": "succeeded"}),
    ],
)
def test_what_was_not_decided_cannot_be_recorded(kind: EventType, step: str | None, data: dict[str, Any]) -> None:
    workflow = flow(
        go("a"),
        go("b", needs=("a",)),
        go("m", each="inputs.l", max_workers=1),
        go("l", until="true"),
        Step(id="s", uses="flow.scope"),
        on_failure=(go("r"),),
    )

    with pytest.raises(JournalConflictError):
        story(workflow, (kind, step, data))


def test_nobody_can_speak_to_a_run_that_has_not_begun() -> None:
    assert refusal(None, E.SIGNAL_RECEIVED) == "the run has not begun"


def test_trouble_gives_up_items_that_wait_for_another_attempt_and_keeps_a_fan_out_that_ended() -> None:
    workflow = flow(go("done", each="[]"), go("m", each="inputs.l", max_workers=1, retry=Backoff(attempts=2)), go("b"))
    error = {"code": "step-failed.script", "message": "no", "details": {}}

    state = story(
        workflow,
        (E.STEP_SUCCEEDED, "done", {"status": "succeeded"}),
        (E.STEP_FAILED, "m[0]", {"error": error}),
        (E.RETRY_SCHEDULED, "m[0]", {"due_at": 9.0}),
        (E.CANCEL_REQUESTED, None, {"reason": "x"}),
        (E.STEP_FAILED, "m", {"error": error, "status": "cancelled"}),
    )

    assert state.steps["m"].status == "cancelled"
    assert [item.status for item in state.steps["m"].items or ()] == ["cancelled", "pending", "pending"]
    assert state.steps["done"].status == "succeeded"


def test_a_run_cannot_be_paused_twice_or_at_its_end() -> None:
    workflow = flow(go("a"), go("z", always=True))

    with pytest.raises(JournalConflictError, match="paused already"):
        story(workflow, (E.RUN_PAUSED, None, {}), (E.RUN_PAUSED, None, {}))
    with pytest.raises(JournalConflictError, match="is ending"):
        story(workflow, (E.STEP_SUCCEEDED, "a", {"output": {}}), (E.RUN_PAUSED, None, {}))


# -- determinism -----------------------------------------------------------------------------------------------------

PROGRAM = """
from workflow_agent.engine import decide
from workflow_agent.model.event import Event, EventType as E
from workflow_agent.model.workflow import Step, Workflow
steps = tuple(Step(id=f"s{n}", uses="x.y", with_={"a": "${{ state }}"}) for n in range(40))
flow, state = Workflow(name="w", version="1", steps=steps, output="state"), None
told = [(E.RUN_CREATED, None, {"machine": 2}), (E.RUN_STARTED, None, {})]
told += [(E.STEP_SUCCEEDED, f"s{n}", {"output": {}, "state": {"set": {f"k{n}": n}}}) for n in range(40)]
for number, (kind, step, data) in enumerate(told, start=1):
    event = Event(run_id="r", seq=number, type=kind, at=1.0, step=step, data=data)
    state, commands = decide(flow, state, event)
    print(commands)
print(state, state.work)
"""


def test_a_replay_is_the_same_under_any_hash_seed_and_time_zone() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
            check=True,
            capture_output=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Kolkata"), ("3", "America/St_Johns"))
    }

    assert len(said) == 1
