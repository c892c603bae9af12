"""The smallest client: results, events one by one, no loop of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflow_agent import Client, Step, Workflow, WorkflowClient
from workflow_agent.model.errors import StepFailedError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def made(last: str = "echo three") -> Workflow:
    return Workflow("three", steps=[Step("a", "echo one"), Step("b", "echo two"), Step("c", last)]).chain()


def settings(tmp_path: Path) -> dict[str, object]:
    return {"paths.state": str(tmp_path / "state")}


def test_the_events_of_a_run_come_in_order_and_the_workflow_is_as_before(tmp_path: Path) -> None:
    workflow = made()
    before = workflow.hash

    events = [*Client(settings=settings(tmp_path)).execute_workflow(workflow, stream=True, tags={"team": "data"})]

    steps = [(event.step, event.type) for event in events if event.step and event.type != "step_started"]
    assert steps == [(name, "step_completed") for name in "abc"]
    assert (events[0].type, events[-1].type) == ("workflow_started", "workflow_completed")
    assert workflow.hash == before


def test_without_a_stream_the_result_is_given(tmp_path: Path) -> None:
    assert Client(settings=settings(tmp_path)).execute_workflow(made())["stdout"] == "three"


def test_a_failure_is_raised_after_the_last_event(tmp_path: Path) -> None:
    seen: list[str] = []
    events = Client(settings=settings(tmp_path)).execute_workflow(made("false"), stream=True)

    with pytest.raises(StepFailedError, match="code 1"):
        seen.extend(event.type for event in events)

    assert seen[-1] == "workflow_failed"
    with pytest.raises(UsageError, match="settings are for runs of this process"):
        Client(api_key="your-key", settings=settings(tmp_path))


async def test_a_run_goes_on_when_nobody_takes_its_events(tmp_path: Path) -> None:
    events = Client(settings=settings(tmp_path)).execute_workflow(made(f"touch {tmp_path}/done"), stream=True)
    run_id = next(events).run_id
    for _ in events:
        pass  # to its end: then the thread is over

    async with WorkflowClient(settings=settings(tmp_path)) as client:
        assert client.get_workflow_status(run_id) == "succeeded"
