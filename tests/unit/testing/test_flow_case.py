"""The testing kit for people's workflows: who plays a container, and what happens when nobody does."""

from __future__ import annotations

import unittest
from typing import Any

import pytest

from workflow_agent import Context, ErrorHandler, Step, Workflow, step, workflow
from workflow_agent.model.errors import StepFailedError
from workflow_agent.testing import MockAgent, WorkflowTestCase, mock_agent


@workflow(name="asks")
class Asks:
    def __init__(self, *names: str) -> None:
        self.names = list(names)

    @step(error_handler=ErrorHandler.CONTINUE)
    async def ask(self, ctx: Context) -> list[Any]:
        found = []
        for name in self.names:
            agent = await ctx.deploy_agent(name=name, image=f"{name}:1", env={"KEY": ctx.secrets["key"]})
            result = await agent.wait_for_completion()
            assert await agent.wait_for_completion() is result
            found.append(result.output)
            await agent.stop()
        ctx.state["asked"] = len(found)
        return found


class TestMocks(WorkflowTestCase):
    async def test_an_exact_name_goes_before_a_pattern_and_a_later_mock_before_an_earlier(self) -> None:
        with mock_agent("box-*") as first, mock_agent("box-1") as exact, mock_agent("box-*") as later:
            first.returns("first")
            exact.returns("exact")
            later.side_effect(lambda request: {"name": request.name, "image": request.image})

        assert await self.run_workflow(Asks("box-1", "box-2")) == ["exact", {"name": "box-2", "image": "box-2:1"}]
        assert self.workflow_state == {"asked": 2}
        assert first.calls == []
        assert [call.name for call in self.calls_of("box-*")] == ["box-2"]
        assert isinstance(exact, MockAgent)

    async def test_secrets_need_not_be_given_and_can_be(self) -> None:
        with mock_agent("box") as box:
            box.returns(1)

        await self.run_workflow(Asks("box"))
        await self.run_workflow(Asks("box"), secrets={"key": "given-by-the-test"})

        assert [call.env["KEY"] for call in box.calls] == ["secret-of-the-test-key", "given-by-the-test"]

    async def test_a_failure_of_a_container_is_the_step_s(self) -> None:
        with mock_agent("box") as box:
            box.raises(StepFailedError("the container `box` ended with code 1"))

        assert await self.run_workflow(Asks("box")) is None
        events = await self.flows.journal.events(self.run_id)
        assert any("ended with code 1" in str(event.data) for event in events)

    async def test_a_model_says_what_it_is_told_to_and_nothing_else(self) -> None:
        made = Workflow(
            "asks", steps=[Step("ask").chat("What is the weather?"), Step("then").chat("And then?")]
        ).chain()
        self.model.says("*weather*", "sunny")
        self.model.says_next("rain")

        assert (await self.run_workflow(made))["text"] == "rain"
        assert [each.messages[-1]["content"] for each in self.model.questions] == ["What is the weather?", "And then?"]
        with pytest.raises(StepFailedError, match="nothing answers the question 'And then"):
            await self.run_workflow(made)

    async def test_mocks_end_with_their_test(self) -> None:
        assert self.calls_of("box") == []


def test_a_container_that_nobody_plays_fails_the_test_even_where_the_run_goes_on() -> None:
    class Unplayed(WorkflowTestCase):
        async def test_it(self) -> None:
            with mock_agent("other"):
                pass
            await self.run_workflow(Asks("nobody"))

    result = unittest.TestResult()
    Unplayed("test_it").run(result)

    ((_, text),) = result.failures
    assert "nobody plays the containers nobody" in text


def test_a_mock_without_an_answer_writes_nothing() -> None:
    request: Any = "whatever was asked"

    assert MockAgent("x").answer(request).output is None
