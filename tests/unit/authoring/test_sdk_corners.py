"""Corners of the SDK: limits of containers, handles, arguments from the input, steps that are none any more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent import AgentResult, Context, Step, Workflow, WorkflowClient, step, workflow
from workflow_agent.authoring.sdk.compiling import compile_workflow, instance_input, instance_of, instance_to_run
from workflow_agent.authoring.sdk.containers import AgentHandle, AgentRequest, ResourceRequirements
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"cpu": 0}, "`cpu` is more than 0, not 0"),
        ({"cpu": float("nan")}, "`cpu` is more than 0"),
        ({"memory_mib": 1}, "`memory_mib` is at least"),
        ({"pids": 0}, "`pids` is at least 1, not 0"),
    ],
)
def test_a_limit_that_cannot_be_meant_is_named(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        ResourceRequirements(**limits).checked("step `a`")

    assert caught.value.where == "step `a`"


def test_limits_that_can_be_meant_are_taken() -> None:
    limits = ResourceRequirements(cpu=0.5, memory_mib=64, pids=1)

    assert limits.checked("step `a`") is limits
    assert limits.memory_bytes == 64 * 1024 * 1024
    assert ResourceRequirements().memory_bytes is None


class Running:
    """A container that counts how often it was stopped."""

    id = "c0ffee"

    def __init__(self) -> None:
        self.stopped = 0

    async def wait(self) -> AgentResult:
        return AgentResult({"stopped": self.stopped})

    async def stop(self) -> None:
        self.stopped += 1


async def test_a_handle_says_what_it_is_of_and_stops_it() -> None:
    request = AgentRequest(
        run_id="r-1", step="s", name="box", image="busybox", env={}, command=None,
        resources=ResourceRequirements(), timeout_s=5.0,
    )  # fmt: skip
    handle = AgentHandle(request, Running())

    await handle.stop()

    assert (await handle.wait_for_completion())["stopped"] == 1
    assert (handle.id, handle.timeout_s) == ("c0ffee", 5.0)
    assert repr(handle) == "<AgentHandle box of busybox>"


@workflow(name="orders")
class Orders:
    """What steps do to what they are given is theirs alone."""

    @step()
    def listed(self, amounts: list[int]) -> list[int]:
        amounts.sort()
        amounts.append(100)
        return amounts

    @step(depends_on=["listed"])
    def total(self, ctx: Context, listed_result: list[int], amounts: list[int]) -> str:
        listed_result.clear()
        return ctx.json({"amounts": amounts, "input": ctx.input["amounts"]})

    @step(depends_on=["listed", "total"])
    def shown(self, listed_result: list[int], total_result: str) -> dict[str, Any]:
        return {"listed": listed_result, **json.loads(total_result)}


async def test_a_step_may_change_what_it_is_given_and_nobody_else_sees_it(tmp_path: Path) -> None:
    async with WorkflowClient(settings={"paths.state": str(tmp_path)}) as client:
        execution = await client.run_workflow(Orders(), input={"amounts": [3, 1, 2]})
        result = await execution.get_result()

    assert result == {"listed": [1, 2, 3, 100], "amounts": [3, 1, 2], "input": [3, 1, 2]}
    result["listed"].append(0)  # it belongs to whoever asked for it


async def test_the_result_of_a_parallel_step_is_the_list_of_what_it_returned(tmp_path: Path) -> None:
    def twice(item: int) -> int:
        return 2 * item

    made = Workflow("many").add(Step("twice").python(twice).parallel([1, 2, 3]))

    async with WorkflowClient(settings={"paths.state": str(tmp_path)}) as client:
        execution = await client.run_workflow(made)
        assert await execution.get_result() == [2, 4, 6]


async def test_a_run_of_which_nothing_was_done_has_no_result(tmp_path: Path) -> None:
    made = Workflow("none").add(Step("a", "true").when("run.id == ''"))

    async with WorkflowClient(settings={"paths.state": str(tmp_path)}) as client:
        execution = await client.run_workflow(made)
        assert await execution.get_result() is None


async def test_what_cannot_be_imported_here_is_met_when_it_is_called(tmp_path: Path) -> None:
    made = Workflow("gone").add(Step("a").python("there_is_no_such_module:thing", n=1))

    assert compile_workflow(made).steps[0].with_["function"] == "there_is_no_such_module:thing"
    async with WorkflowClient(settings={"paths.state": str(tmp_path)}) as client:
        execution = await client.run_workflow(made)
        status = await execution.wait()

    assert status is RunStatus.FAILED


def test_handlers_of_a_good_end_alone_add_nothing_for_a_bad_one() -> None:
    made = Workflow("w").add(Step("a", "true")).handlers(success="echo well").compile()

    assert ([each.id for each in made.steps], made.on_failure) == (["a", "on-success"], ())


def test_a_step_that_a_class_below_replaces_by_something_else_is_none_any_more() -> None:
    class Base:
        @step
        def first(self) -> int:
            return 1

        @step
        def second(self) -> int:
            return 2

    @workflow
    class Fewer(Base):
        first = None  # type: ignore[assignment]  # that is the point

    assert [each.id for each in compile_workflow(Fewer).steps] == ["second"]


def test_an_instance_below_another_workflow_class_is_made_again_with_its_own_arguments() -> None:
    @workflow
    class Above:
        def __init__(self, name: str) -> None:
            self.name = name

        @step
        def one(self) -> None:
            return None

    @workflow
    class Below(Above):
        def __init__(self, number: int) -> None:
            super().__init__(f"number {number}")

    again = instance_of(Below, instance_input(instance_to_run(Below(3))))

    assert isinstance(again, Below)
    assert again.name == "number 3"
