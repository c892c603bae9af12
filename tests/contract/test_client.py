"""The same client for runs of this process and for those of a real server: each test is run with both."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent import Client, ExecutionMode, Step, Workflow, WorkflowClient
from workflow_agent.model.errors import (
    ConflictError,
    InterruptedRunError,
    NotFoundError,
    StepFailedError,
    UsageError,
    ValidationError,
)
from workflow_agent.model.status import RunStatus
from workflow_agent.security.secret import Secret
from workflow_agent.testing.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

#: A module that this process and the server both import; this one first, so that both mean the same.
MODULE = """
from workflow_agent import Context, step, workflow


@workflow(name="shared-greeting")
class Greeting:
    def __init__(self, word: str = "Hello") -> None:
        self.word = word

    @step
    def who(self, ctx: Context) -> str:
        ctx.log("looking")
        ctx.metric("looks", 2, {"kind": "first"})
        return str(ctx.input["name"])

    @step(depends_on=["who"])
    async def greet(self, ctx: Context, who_result: str) -> dict:
        return {"text": f"{self.word}, {who_result}!", "secrets": len(ctx.secrets["key"]) if ctx.input.get("s") else 0}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    found = tmp_path_factory.mktemp("shared")
    (found / "shared_flows.py").write_text(MODULE, encoding="utf-8")
    sys.path.append(str(found))
    yield found
    sys.path.remove(str(found))
    sys.modules.pop("shared_flows", None)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    path = ":".join([str(folder), *(each for each in sys.path if each)])
    with ServerProcess(folder / "served", environ={"PYTHONPATH": path}) as started:
        yield started


@pytest.fixture(params=["here", "server"])
def connect(request: pytest.FixtureRequest, tmp_path: Path, folder: Path) -> Callable[[], WorkflowClient]:
    """Make a client; all of one test have the same runs."""
    del folder
    if request.param == "here":
        return lambda: WorkflowClient(settings={"paths.state": str(tmp_path / "state")})
    server: ServerProcess = request.getfixturevalue("server")
    return lambda: WorkflowClient(api_url=server.url, api_token=server.token)


@pytest.fixture
async def client(connect: Callable[[], WorkflowClient]) -> AsyncIterator[WorkflowClient]:
    async with connect() as opened:
        yield opened


def three(last: str = "echo three") -> Workflow:
    return Workflow("three", steps=[Step("a", "echo one"), Step("b", "echo two"), Step("c", last)]).chain()


async def test_a_run_gives_its_result(client: WorkflowClient) -> None:
    execution = await client.run_workflow(three(), tags={"team": "data"})

    assert (await execution.get_result())["stdout"] == "three"
    assert await execution.get_status() is RunStatus.SUCCEEDED
    assert await execution.wait() is RunStatus.SUCCEEDED
    assert (execution.workflow_name, len(execution.workflow_hash)) == ("three", 64)


async def test_events_come_in_order_while_the_run_goes_on(client: WorkflowClient, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    execution = await client.run_workflow(three(f"while ! test -e {gate}; do sleep 0.02; done"), ExecutionMode.ASYNC)
    seen = []
    async for event in execution.stream_events():
        seen.append((event.step, event.type))
        if seen[-1] == ("c", "step_started"):
            assert await execution.get_status() is RunStatus.RUNNING
            gate.touch()

    assert seen == [
        (None, "workflow_started"),
        *((name, kind) for name in "abc" for kind in ("step_started", "step_completed")),
        (None, "workflow_completed"),
    ]


async def test_a_stream_goes_on_behind_any_of_its_events(client: WorkflowClient) -> None:
    execution = await client.run_workflow(three())
    whole = [event async for event in execution.stream_events()]

    for number, event in enumerate(whole, 1):
        assert [each async for each in execution.stream_events(after=event.id)] == whole[number:]
    for wrong in ("x", "99", "1;"):
        with pytest.raises(ValidationError):
            await anext(execution.stream_events(after=wrong))


async def test_a_failure_is_the_steps_own_error(client: WorkflowClient) -> None:
    execution = await client.run_workflow(three("echo no >&2; exit 3"))

    with pytest.raises(StepFailedError, match="code 3") as failed:
        await execution.get_result()
    assert (failed.value.run_id, failed.value.exit_code) == (execution.id, 1)
    assert await execution.get_status() is RunStatus.FAILED


async def test_a_run_is_cancelled(client: WorkflowClient) -> None:
    execution = await client.run_workflow(Workflow("slow", steps=[Step("a", "sleep 60")]), ExecutionMode.ASYNC)

    assert await client.cancel(execution.id, "enough")
    assert await execution.wait() is RunStatus.CANCELLED
    with pytest.raises(InterruptedRunError, match="enough"):
        await execution.get_result()
    assert not await execution.cancel()


async def test_a_run_pauses_before_a_step_and_goes_on_step_by_step(client: WorkflowClient) -> None:
    execution = await client.run_workflow(three(), ExecutionMode.ASYNC, break_before=["b"])
    paused = 0
    async for event in execution.stream_events():
        if event.type == "workflow_paused":
            paused += 1
            with pytest.raises(ConflictError, match="paused"):
                await execution.pause()
            await execution.unpause(one_step=paused == 1)

    assert (paused, await execution.get_status()) == (2, RunStatus.SUCCEEDED)
    with pytest.raises(ConflictError):
        await execution.unpause()


async def test_a_step_gets_the_signal_that_it_waits_for(client: WorkflowClient) -> None:
    waits = Workflow("waits", steps=[Step("go").uses("wait.signal"), Step("then", "echo then")]).chain()
    execution = await client.run_workflow(waits, ExecutionMode.ASYNC)

    await execution.signal("go", {"by": "ann"})

    assert (await execution.get_result())["stdout"] == "then"
    with pytest.raises(ConflictError):
        await execution.signal("go")


async def test_a_run_is_paused_while_a_step_goes_on(client: WorkflowClient, tmp_path: Path) -> None:
    gate = f"until test -e {tmp_path}/gate; do sleep 0.02; done"
    flow = Workflow("gated", steps=[Step("a", gate), Step("b", "echo b")]).chain()
    execution = await client.run_workflow(flow, ExecutionMode.ASYNC)

    await execution.pause("lunch")
    (tmp_path / "gate").touch()
    seen = []
    async for event in execution.stream_events():
        seen.append((event.step, event.type))
        if seen[-1] == ("a", "step_completed"):
            assert await execution.get_status() is RunStatus.PAUSED
            await execution.unpause()

    assert seen.index((None, "workflow_paused")) < seen.index(("a", "step_completed"))
    assert seen.index((None, "workflow_resumed")) < seen.index(("b", "step_started"))


async def test_a_key_stands_for_one_workflow(client: WorkflowClient) -> None:
    first = await client.run_workflow(three(), idempotency_key="order-1")
    again = await client.run_workflow(three(), idempotency_key="order-1")

    assert first.id == again.id
    with pytest.raises(ConflictError, match="another workflow"):
        await client.run_workflow(three("echo four"), idempotency_key="order-1")


async def test_calls_at_the_same_time_with_one_key_begin_one_run(client: WorkflowClient, tmp_path: Path) -> None:
    flow = Workflow("counted", steps=[Step("a", f"echo x >>{tmp_path}/count; sleep 0.3")])

    found = await asyncio.gather(
        *(client.run_workflow(flow, ExecutionMode.ASYNC, idempotency_key=f"{tmp_path}") for _ in range(4)),
        return_exceptions=True,
    )

    executions = [each for each in found if not isinstance(each, BaseException)]
    assert len({each.id for each in executions}) == 1
    assert await executions[0].wait() is RunStatus.SUCCEEDED
    assert (tmp_path / "count").read_text() == "x\n"


async def test_what_is_not_valid_is_refused_and_nothing_begins(client: WorkflowClient) -> None:
    before = (await client.get_workflow_metrics("three")).total_executions

    with pytest.raises(ValidationError):
        await client.run_workflow(three(), secrets={"key": "short"})
    with pytest.raises(ValidationError):
        await client.run_workflow(three(), input={"nobody": "asked"})
    assert (await client.get_workflow_metrics("three")).total_executions == before


async def test_a_class_from_a_module_runs_with_what_it_was_made_with(client: WorkflowClient) -> None:
    greeting = import_module("shared_flows").Greeting

    for word in ("Servus", "Salut"):
        execution = await client.run_workflow(greeting(word), input={"name": "you"})
        assert await execution.get_result() == {"text": f"{word}, you!", "secrets": 0}
    assert any("looking" in line for line in client.get_logs(execution.id))


async def test_secrets_reach_the_steps_and_stay_out_of_the_events(client: WorkflowClient) -> None:
    greeting = import_module("shared_flows").Greeting

    for secret in ("canary-51c0de77", Secret("canary-51c0de77")):
        execution = await client.run_workflow(greeting(), input={"name": "x", "s": True}, secrets={"key": secret})
        assert (await execution.get_result())["secrets"] == 15
        assert not [event async for event in execution.stream_events() if "canary" in str(event)]


async def test_a_run_is_found_by_the_beginning_of_its_id(client: WorkflowClient) -> None:
    execution = await client.run_workflow(three())

    assert (await client.get_execution(execution.id[:20])).id == execution.id
    assert client.get_workflow_status(execution.id) is RunStatus.SUCCEEDED
    assert "one" in "".join(client.get_logs(execution.id))
    with pytest.raises(NotFoundError):
        await client.get_execution("r-00000000000000000000000000")
    with pytest.raises(NotFoundError):
        client.get_workflow_status("r-00000000000000000000000000")


async def test_figures_are_summed_up(client: WorkflowClient) -> None:
    before = await client.get_workflow_metrics("three", "1h")
    await client.run_workflow(three())
    await client.run_workflow(three("false"))
    after = await client.get_workflow_metrics("three", "1h")

    assert (after.total_executions - before.total_executions, after.failed - before.failed) == (2, 1)
    assert 'workflow_agent_runs_ended_total{workflow="three",state="succeeded"}' in await client.get_metrics_text()


def test_a_program_without_a_loop_runs_a_workflow(connect: Callable[[], WorkflowClient]) -> None:
    assert connect().run(three())["stdout"] == "three"
    with pytest.raises(StepFailedError):
        connect().run(three("false"))


def test_the_smallest_client_gives_results_and_events(
    request: pytest.FixtureRequest, connect: Callable[[], WorkflowClient], server: ServerProcess, tmp_path: Path
) -> None:
    del connect
    is_here = "here" in request.node.callspec.id
    client = (
        Client(settings={"paths.state": str(tmp_path)}) if is_here else Client(api_key=server.token, api_url=server.url)
    )
    flow = three()
    before = flow.hash

    assert client.execute_workflow(flow)["stdout"] == "three"
    steps = [(event.step, event.type) for event in client.execute_workflow(flow, stream=True) if event.step]
    assert steps == [(name, kind) for name in "abc" for kind in ("step_started", "step_completed")]
    assert flow.hash == before


def test_what_a_server_does_not_offer_is_said(server: ServerProcess) -> None:
    client = WorkflowClient(api_url=server.url, api_token=server.token)
    execution = asyncio.run(client.run_workflow(three()))

    async def first(events: AsyncIterator[object]) -> object:
        return await anext(events)

    asked: list[Callable[[], Any]] = [
        execution.get_state,
        execution.inspect,
        lambda: execution.change(break_before=["a"]),
        lambda: first(client.stream_workflow_events()),
    ]
    for ask in asked:
        with pytest.raises(UsageError, match="does not offer"):
            asyncio.run(ask())
    for told in (client.get_credentials, lambda: client.get_run_metrics(execution.id), lambda: client.stream_logs("r")):
        with pytest.raises(UsageError, match="does not offer"):
            told()


async def test_a_person_is_answered_by_a_signal(client: WorkflowClient) -> None:
    asked = Workflow(
        "asked", steps=[Step("ask").uses("wait.person", prompt="Go on?"), Step("then", "echo then")]
    ).chain()
    for approved, status in ((True, RunStatus.SUCCEEDED), (False, RunStatus.FAILED)):
        execution = await client.run_workflow(asked, ExecutionMode.ASYNC)
        await execution.signal("ask", {"approved": approved} | ({} if approved else {"reason": "no"}))
        assert await execution.wait() is status
