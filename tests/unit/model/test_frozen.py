"""Values that cannot be changed in place, and records that hold nothing else."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.event import Event, EventType, Record, RunState, Snapshot
from workflow_agent.model.frozen import FrozenDict, FrozenList, freeze, thaw
from workflow_agent.model.message import Message
from workflow_agent.model.records import replace
from workflow_agent.model.status import RunStatus
from workflow_agent.model.workflow import InputSpec, Step, Workflow

if TYPE_CHECKING:
    from collections.abc import Callable

OBJECT_CHANGES: list[Callable[[Any], Any]] = [
    lambda value: value.__setitem__("a", 9),
    lambda value: value.__delitem__("a"),
    lambda value: value.__ior__({"a": 9}),
    lambda value: value.clear(),
    lambda value: value.pop("a"),
    lambda value: value.popitem(),
    lambda value: value.setdefault("z", 9),
    lambda value: value.update(a=9),
]
LIST_CHANGES: list[Callable[[Any], Any]] = [
    lambda value: value.__setitem__(0, 9),
    lambda value: value.__delitem__(0),
    lambda value: value.__iadd__([9]),
    lambda value: value.__imul__(2),
    lambda value: value.append(9),
    lambda value: value.clear(),
    lambda value: value.extend([9]),
    lambda value: value.insert(0, 9),
    lambda value: value.pop(),
    lambda value: value.remove(2),
    lambda value: value.reverse(),
    lambda value: value.sort(),
]


def nested() -> dict[str, Any]:
    return {"a": {"b": [2, {"c": [1]}, [], {}]}, "d": "text", "e": None}


def every_part(value: Any) -> list[Any]:
    """List a value and all dictionaries and lists in it."""
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(part for each in inner if isinstance(each, dict | list) for part in every_part(each))]


@pytest.mark.parametrize("change", OBJECT_CHANGES)
def test_an_object_refuses_every_change(change: Callable[[Any], Any]) -> None:
    frozen = freeze({"a": 1})

    with pytest.raises(TypeError, match="change a copy"):
        change(frozen)

    assert frozen == {"a": 1}


@pytest.mark.parametrize("change", LIST_CHANGES)
def test_a_list_refuses_every_change(change: Callable[[Any], Any]) -> None:
    frozen = freeze([3, 2, 1])

    with pytest.raises(TypeError, match="change a copy"):
        change(frozen)

    assert frozen == [3, 2, 1]


def test_what_changes_dictionaries_and_lists_is_all_refused() -> None:
    reading = {"copy", "count", "fromkeys", "get", "index", "items", "keys", "values"}
    for kind, frozen in ((dict, FrozenDict), (list, FrozenList)):
        own = {name for name in vars(kind) if not name.startswith("_")} - reading

        assert own == {name for name in own if name in vars(frozen)}


def test_every_depth_is_frozen_and_the_value_is_the_same() -> None:
    value = nested()

    frozen = freeze(value)

    assert frozen == value
    assert json.dumps(frozen) == json.dumps(value)
    assert {type(part) for part in every_part(frozen)} == {FrozenDict, FrozenList}
    value["a"]["b"].append(1)
    assert frozen == nested()
    assert freeze(frozen) is frozen


def test_depth_is_no_limit() -> None:
    value: Any = 1
    for _ in range(50_000):
        value = {"a": [value]}

    part = frozen = freeze(value)

    for _ in range(50_000):
        assert (type(part), type(part["a"])) == (FrozenDict, FrozenList)
        part = part["a"][0]
    assert part == 1
    made = thaw(frozen)
    for _ in range(50_000):
        assert (type(made), type(made["a"])) == (dict, list)
        made = made["a"][0]


@pytest.mark.parametrize("copied", [thaw, copy.deepcopy])
def test_a_deep_copy_can_be_changed_and_shares_nothing(copied: Callable[[Any], Any]) -> None:
    frozen = freeze(nested())

    made = copied(frozen)
    made["a"]["b"][1]["c"].append(2)
    made["new"] = 1

    assert {type(part) for part in every_part(made)} == {dict, list}
    assert frozen == nested()
    assert copied(frozen["a"]["b"]) == nested()["a"]["b"]


def test_a_shallow_copy_can_be_changed_at_its_first_level() -> None:
    frozen = freeze(nested())

    for made in (copy.copy(frozen), frozen.copy(), frozen | {}, copy.copy(frozen["a"]["b"]), frozen["a"]["b"].copy()):
        made.clear()

    assert frozen == nested()


def test_a_pickled_value_comes_back_frozen() -> None:
    frozen = freeze(nested())

    found = pickle.loads(pickle.dumps(frozen))

    assert found == frozen
    assert {type(part) for part in every_part(found)} == {FrozenDict, FrozenList}


def test_other_things_stay_as_they_are() -> None:
    thing = object()

    assert freeze(thing) is thing
    assert thaw(thing) is thing
    assert freeze("text") == thaw("text") == "text"


def changed(value: Any) -> None:
    value["a"]["b"].append(1)


@pytest.mark.parametrize(
    "data",
    [
        lambda value: Event(run_id="r", seq=1, type=EventType.RUN_CREATED, at=0.0, data=value).data,
        lambda value: replace(Event(run_id="r", seq=1, type=EventType.RUN_CREATED, at=0.0), data=value).data,
        lambda value: Record("finding", value).data,
        lambda value: Snapshot(seq=1, fold="f", data=value).data,
        lambda value: Step(id="s", uses="x.go", with_=value).with_,
        lambda value: Step(id="s", uses="x.go", undo=value).undo,
        lambda value: InputSpec(default=value).default,
        lambda value: Workflow(name="w", version="1", steps=(), concurrency=value).concurrency,
        lambda value: Workflow(name="w", version="1", steps=(), schedule=(value,)).schedule[0],
        lambda value: Message("a.b", value).frozen().data,
    ],
    ids=["event", "replaced", "record", "snapshot", "with", "undo", "default", "concurrency", "schedule", "message"],
)
def test_records_hold_values_that_nobody_changes(data: Callable[[Any], Any]) -> None:
    given = nested()

    held = data(given)

    with pytest.raises(TypeError, match="change a copy"):
        changed(held)
    changed(given)
    assert held == nested()


def test_defaults_of_records_cannot_be_filled_for_everybody() -> None:
    state = RunState(run_id="r", head=0, status=RunStatus.QUEUED, workflow="w", inputs={}, steps={})
    event = Event(run_id="r", seq=1, type=EventType.RUN_CREATED, at=0.0)

    for value in (state.meta, state.state, event.data, Step(id="s", uses="x.go").with_):
        with pytest.raises(TypeError, match="change a copy"):
            value["a"] = 1  # type: ignore[index]  # that is the point


def test_the_form_to_show_belongs_to_whoever_asked_for_it() -> None:
    step = Step(id="s", uses="x.go", with_=nested(), undo={"uses": "x.back", "with": nested()})
    workflow = Workflow(
        name="w",
        version="1",
        steps=(step,),
        inputs={"i": InputSpec(default=nested())},
        concurrency={"key": "k", "more": nested()},
        schedule=({"cron": "* * * * *", "inputs": nested()},),
    )
    before = workflow.hash

    shown = workflow.to_dict()
    changed(shown["steps"][0]["with"])
    changed(shown["steps"][0]["undo"]["with"])
    changed(shown["inputs"]["i"]["default"])
    changed(shown["concurrency"]["more"])
    changed(shown["schedule"][0]["inputs"])

    assert workflow.hash == before
    assert workflow.to_dict() != shown


def test_a_message_that_is_frozen_keeps_all_else() -> None:
    message = Message("a.b", nested(), source="me", id="one", headers={"h": "1"})

    frozen = message.frozen()

    assert (frozen, frozen.id, frozen.headers) == (message, "one", {"h": "1"})
    assert frozen.frozen() is frozen
