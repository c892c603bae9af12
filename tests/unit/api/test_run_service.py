"""What the application hands to the API is what the API asks for."""

from __future__ import annotations

import inspect

from workflow_agent.api.port import RunEvent, RunService
from workflow_agent.app.served_runs import ServedRuns
from workflow_agent.app.serving import serving
from workflow_agent.client.events import WorkflowEvent


def test_each_question_of_the_api_has_its_answer() -> None:
    asked = {name: value for name, value in vars(RunService).items() if inspect.isfunction(value) and name[0] != "_"}
    # health is joined where the application is at hand
    answered = {name: getattr(ServedRuns, name) for name in asked if name != "health"}

    assert len(answered) > 7
    for name, function in answered.items():
        assert [*inspect.signature(function).parameters] == [*inspect.signature(asked[name]).parameters], name
    assert inspect.isfunction(serving)


def test_each_part_of_an_event_is_there() -> None:
    parts = {name for name, value in vars(RunEvent).items() if isinstance(value, property)}

    assert parts == set(WorkflowEvent.__dataclass_fields__)
