"""What the state of a run keeps, and what goes on after a failure."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent import (
    Context,
    ErrorHandler,
    ExecutionMode,
    RetryPolicy,
    Step,
    Workflow,
    WorkflowClient,
    step,
    workflow,
)
from workflow_agent.model.errors import ConflictError, StepFailedError, ValidationError
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[WorkflowClient]:
    async with WorkflowClient(settings={"paths.state": str(tmp_path)}) as opened:
        yield opened


async def test_carrying_on_shows_the_failure_and_succeeds(client: WorkflowClient) -> None:
    @workflow(name="tolerant")
    class Tolerant:
        @step(error_handler=ErrorHandler.CONTINUE)
        def flaky(self) -> None:
            raise OSError("shown")

        @step(depends_on=["flaky"])
        def after(self, flaky_result: object) -> list[object]:
            return ["after", flaky_result]

    execution = await client.run_workflow(Tolerant())

    assert await execution.get_result() == ["after", None]
    failed = [event.message async for event in execution.stream_events() if event.type == "step_failed"]
    assert failed == ["`flaky` raised OSError: shown"]


async def test_state_is_kept_for_later_steps_and_dropped_with_a_failed_attempt(client: WorkflowClient) -> None:
    @workflow(name="stateful")
    class Stateful:
        @step
        def writes(self, ctx: Context) -> None:
            ctx.state["kept"] = {"list": [1]}
            ctx.state["gone"] = 1

        @step(depends_on=["writes"], retry_policy=RetryPolicy(2, initial_delay="1ms"))
        def changes(self, ctx: Context) -> None:
            ctx.state["kept"]["list"].append(2)
            del ctx.state["gone"]
            ctx.state[f"attempt-{ctx.attempt}"] = True
            if ctx.attempt == 1:
                raise OSError("the first attempt leaves nothing")

        @step(depends_on=["changes"])
        def reads(self, ctx: Context) -> list[Any]:
            assert "gone" not in ctx.state
            return [dict(ctx.state), len(ctx.state), sorted(ctx.state), repr(ctx.state).startswith("WorkflowState(")]

    execution = await client.run_workflow(Stateful())

    kept = {"kept": {"list": [1, 2]}, "attempt-2": True}
    assert await execution.get_result() == [kept, 2, ["attempt-2", "kept"], True]
    assert await execution.get_state() == kept


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda state: state.update({"bad": {1, 2}}), ValidationError),
        (lambda state: state["deep"].append(object()), ValidationError),
        (lambda state: state.update({1: 2}), ValidationError),
        (lambda state: state["never"], StepFailedError),
    ],
)
async def test_state_that_is_not_json_fails_the_step(
    client: WorkflowClient, change: Any, error: type[Exception]
) -> None:
    @workflow(name="odd-state")
    def odd(ctx: Context) -> None:
        ctx.state["deep"] = []
        change(ctx.state)

    execution = await client.run_workflow(odd)

    with pytest.raises(error):
        await execution.get_result()


async def test_a_run_waits_for_a_signal_and_can_be_paused(client: WorkflowClient) -> None:
    waiting = Step("wait").uses("wait.signal", name="go")
    after = Step("after").python(shown).depends("wait")
    execution = await client.run_workflow(Workflow("signalled", steps=[waiting, after]), "async")

    await execution.pause("a look first")
    await execution.signal("go", {"answer": 42})
    assert not (await execution.get_status()).value.startswith("succ")
    await execution.unpause()

    assert 42 in await execution.get_result()
    kinds = [event.type async for event in execution.stream_events()]
    assert [kind for kind in kinds if kind in {"workflow_paused", "signal_received", "workflow_resumed"}] == [
        "workflow_paused", "signal_received", "workflow_resumed",
    ]  # fmt: skip
    with pytest.raises(ConflictError):
        await execution.signal("go")


def shown(wait_result: Any) -> list[Any]:
    found = wait_result.get("data", wait_result)
    return [found["answer"]] if isinstance(found, dict) and "answer" in found else [wait_result]


async def test_a_step_that_blocks_the_loop_is_named_in_the_log(client: WorkflowClient) -> None:
    @workflow(name="rude")
    class Rude:
        @step
        async def blocks(self) -> None:
            time.sleep(1.6)  # noqa: ASYNC251  # what it is about

        @step(depends_on=["blocks"])
        def waits_in_a_thread(self) -> None:
            time.sleep(0.01)

    execution = await client.run_workflow(Rude())

    assert await execution.get_result() is None
    (line,) = client.get_logs(execution.id)
    assert "warning blocks: the event loop has not run for 1." in line
    assert f"it stands at {__file__}:" in line


async def test_a_run_is_debugged_through_its_execution(tmp_path: Path) -> None:
    @workflow(name="debugged")
    class Debugged:
        @step
        async def first(self, ctx: Context) -> int:
            ctx.state["n"] = 1
            return 1

        @step(depends_on=["first"])
        async def second(self, ctx: Context, first_result: int) -> int:
            return first_result + int(ctx.state["n"])

    async with WorkflowClient(settings={"paths.state": str(tmp_path)}) as client:
        execution = await client.run_workflow(Debugged(), mode=ExecutionMode.ASYNC, break_before=["second"])
        while (await execution.get_status()) is not RunStatus.PAUSED:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)

        seen = await execution.inspect()
        await execution.change(
            state={"n": 10}, inputs={"second": {"results": {"first": {"value": 100}}}}, break_before=[]
        )
        await execution.unpause()

        assert (seen["before"], seen["breakpoints"], seen["state"]) == ("second", ["second"], {"n": 1})
        assert await execution.get_result() == 110
        assert (await execution.inspect("first"))["step"]["output"] == {"value": 1}
