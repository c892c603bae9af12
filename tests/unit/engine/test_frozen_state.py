"""What a run's state holds is changed by its records and by nothing else: not by agents, watchers or callers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.engine import fold
from workflow_agent.engine.machine import Course
from workflow_agent.model.errors import ScriptFailedError
from workflow_agent.model.event import Event, EventType
from workflow_agent.model.status import RunStatus
from workflow_agent.model.workflow import InputSpec, Step, Workflow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.unit.engine.driver_house import House

    from workflow_agent.model.message import Message

FLOW = Workflow(
    name="w",
    version="1",
    inputs={"given": InputSpec(type="object")},
    steps=(
        Step(id="a", uses="x.go", with_={"constant": {"list": [1]}}),
        Step(id="b", uses="x.go", with_={"from": "${{ steps.a.output.list }}", "in": {"x": "${{ inputs.given }}"}}),
        Step(id="many", uses="x.go", each="steps.a.output.list", with_={"item": "${{ item }}"}, needs=("b",)),
    ),
    output="steps.many.output",
)


def parts(value: Any) -> list[Any]:
    """List all dictionaries and lists in a value, and itself if it is one."""
    if not isinstance(value, dict | list):
        return []
    return [value, *(part for each in (value.values() if isinstance(value, dict) else value) for part in parts(each))]


def refuses(value: Any) -> bool:
    """Try to change a value at every depth; raises AssertionError where one part gives way."""
    found = parts(value)
    for part in found:
        with pytest.raises(TypeError, match="change a copy"):
            part.clear()
    return bool(found)


async def test_nested_values_of_a_state_cannot_be_changed(house: House) -> None:
    await house.agent("x.go", lambda message: {"list": [{"n": 1}, {"n": 2}], "asked": dict(message.data)})

    state = await house.run(FLOW, given={"deep": [1, [2]]})

    assert state.status is RunStatus.SUCCEEDED
    for name in ("a", "b", "many"):
        assert refuses(state.steps[name].output)
    assert refuses(state.inputs)
    assert refuses(state.output)
    with pytest.raises(AttributeError):
        state.steps["a"].output = {}  # type: ignore[misc]
    with pytest.raises(TypeError):
        state.steps["a"] = state.steps["b"]  # type: ignore[index]


async def test_an_error_in_a_state_cannot_be_changed(house: House) -> None:
    def fails(message: Message) -> dict[str, Any]:
        raise ScriptFailedError("no", details={"deep": {"list": [1]}})

    await house.agent("x.go", fails)

    state = await house.run(FLOW)

    assert state.status is RunStatus.FAILED
    assert refuses(state.error)
    assert refuses(state.steps["a"].error)


async def test_an_agent_cannot_change_what_it_was_asked(house: House) -> None:
    tried: list[bool] = []

    def meddle(message: Message) -> dict[str, Any]:
        tried.append(refuses(message.data))
        return {"list": [{"n": 1}]}

    await house.agent("x.go", meddle)

    state = await house.run(FLOW, given={"deep": [1]})

    assert (state.status, tried) == (RunStatus.SUCCEEDED, [True, True, True])
    assert FLOW.steps[0].with_ == {"constant": {"list": [1]}}


async def test_what_an_agent_does_to_its_answer_afterwards_changes_nothing(house: House) -> None:
    kept: list[dict[str, Any]] = []

    def remember(message: Message) -> dict[str, Any]:
        for answer in kept:
            answer["list"].clear()
        kept.append({"list": [{"n": 1}]})
        return kept[-1]

    await house.agent("x.go", remember)

    state = await house.run(FLOW)

    assert state.steps["a"].output == {"list": [{"n": 1}]}
    assert fold(FLOW, await house.journal.events(state.run_id)).steps["a"].output == {"list": [{"n": 1}]}


def test_what_a_caller_does_to_a_record_s_data_afterwards_changes_no_state() -> None:
    inputs: dict[str, Any] = {"given": {"deep": [1]}}
    data: Mapping[str, Any] = {"inputs": inputs, "meta": {"labels": ["x"]}, "machine": 1}
    course = Course(FLOW)
    course.apply(Event(run_id="r", seq=1, type=EventType.RUN_CREATED, at=0.0, data=data))

    inputs["given"]["deep"].append(2)

    assert course.state is not None
    assert course.state.inputs == {"given": {"deep": [1]}}
    assert refuses(course.state.inputs)
    assert refuses(course.state.meta)
