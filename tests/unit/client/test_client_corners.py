"""What happens seldom: a run that another process drives or left, values that are missing, a database that is none."""

from __future__ import annotations

import asyncio
import importlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import workflow_agent.client
from workflow_agent import (
    Context,
    ExecutionMode,
    ResourceRequirements,
    RetryPolicy,
    Step,
    Workflow,
    WorkflowClient,
    step,
    workflow,
)
from workflow_agent.authoring.flow_source import load_flow
from workflow_agent.authoring.sdk.compiling import compile_workflow
from workflow_agent.model.errors import (
    ConflictError,
    InterruptedRunError,
    NotFoundError,
    StoreError,
    UsageError,
    ValidationError,
)
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[WorkflowClient]:
    async with WorkflowClient(settings={"paths.state": str(tmp_path)}) as opened:
        yield opened


@workflow(name="gated")
async def gated(ctx: Context) -> str:
    while not ctx.input["gate"]:
        await asyncio.Event().wait()
    return "open"


async def test_a_run_is_followed_and_stopped_through_another_client(client: WorkflowClient, tmp_path: Path) -> None:
    """The other client does not drive it: it looks at the database, and speaks to who does."""
    given: dict[str, Any] = {"gate": []}
    execution = await client.run_workflow(gated, ExecutionMode.ASYNC, input=given, idempotency_key="k")
    async with WorkflowClient(settings={"paths.state": str(tmp_path)}) as other:
        same = await other.run_workflow(gated, input=given, idempotency_key="k")
        found = await other.get_execution(execution.id[:20])
        assert same.id == found.id == execution.id
        assert repr(found) == f"<WorkflowExecution {execution.id} of gated>"
        await found.pause("to be looked at")
        with pytest.raises(ConflictError, match="paused already"):
            await found.pause()
        assert await execution.get_status() is RunStatus.PAUSED
        await found.unpause()
        await found.signal("news", {"number": 1})
        ending = asyncio.ensure_future(found.wait())
        assert await execution.cancel("seen enough")
        assert await ending is RunStatus.CANCELLED
        kinds = [event.type async for event in found.stream_events()]
    assert kinds[-1] == "workflow_cancelled"
    assert "workflow_cancelling" in kinds
    with pytest.raises(InterruptedRunError, match="seen enough"):
        await found.get_result()


async def test_a_run_that_nobody_drives_is_said_to_be_so(client: WorkflowClient) -> None:
    execution = await client.run_workflow(gated, ExecutionMode.ASYNC, input={"gate": []})
    assert execution._known.driving is not None
    execution._known.driving.cancel()
    await asyncio.wait({execution._known.driving})
    found = await client.get_execution(execution.id)

    with pytest.raises(ConflictError, match="no process drives the run"):
        await found.wait()
    with pytest.raises(ConflictError, match="no process drives the run"):
        await found.cancel()
    async with client._runs.use() as engine:
        state = await engine.end(execution.id, "left")
        assert state.status is RunStatus.CANCELLED
        with pytest.raises(ConflictError, match="has ended"):
            await engine.end(execution.id, "left")


async def test_retries_are_told(client: WorkflowClient) -> None:
    @workflow(name="again", retry_policy=RetryPolicy(2, initial_delay="1ms"))
    @step(name="again")
    def again(ctx: Context) -> int:
        if ctx.attempt == 1:
            raise OSError("once")
        return ctx.attempt

    execution = await client.run_workflow(again)

    assert await execution.get_result() == 2
    kinds = [event.type async for event in execution.stream_events() if event.step]
    assert kinds == ["step_started", "step_failed", "step_retrying", "step_started", "step_completed"]


@workflow(name="wants")
def wants(number: int, *, fixed: str = "f") -> list[Any]:
    return [number, fixed]


async def test_a_value_that_is_missing_is_named(client: WorkflowClient) -> None:
    with pytest.raises(ValidationError, match="no value for the parameter `number` of `wants`"):
        await (await client.run_workflow(wants)).get_result()

    fluent = Workflow("w", steps=[Step("a").python(wants, number=1, fixed="g")])
    assert await (await client.run_workflow(fluent)).get_result() == [1, "g"]


@step(name="guarded", when=lambda one, other: one or other)
def guarded() -> None:
    return None


async def test_a_condition_that_wants_too_much_is_refused(client: WorkflowClient) -> None:
    with pytest.raises(ValidationError, match="no value for the parameter `other`"):
        await (await client.run_workflow(Workflow("w", steps=[guarded]))).get_result()


async def test_a_condition_that_is_not_there_is_named(client: WorkflowClient) -> None:
    unguarded = Workflow("w", steps=[Step("a").python(f"{__name__}:wants").guarded()])

    with pytest.raises(NotFoundError, match="has no condition"):
        await (await client.run_workflow(unguarded)).get_result()


async def test_an_output_of_the_definition_is_the_result(client: WorkflowClient) -> None:
    definition = compile_workflow(Workflow("w", steps=[Step("a", "echo one"), Step("b", "echo two").depends("a")]))

    execution = await client.run_workflow(replace(definition, output="steps.a.output.stdout"))

    assert await execution.get_result() == "one"


async def test_a_folder_that_is_not_there_is_named(client: WorkflowClient) -> None:
    with pytest.raises(NotFoundError, match="the folder of `a` cannot be used"):
        await (await client.run_workflow(Workflow("w", steps=[Step("a", "true").dir("/no/such/folder")]))).get_result()


async def test_a_client_belongs_to_one_loop_at_a_time(client: WorkflowClient) -> None:
    with pytest.raises(UsageError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, client.get_workflow_metrics("w"))


def test_a_database_that_is_none_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "workflow-agent.db").write_text("no database at all, and long enough to be looked at", encoding="utf-8")
    client = WorkflowClient(settings={"paths.state": str(tmp_path)})

    with pytest.raises(StoreError):
        client.run(wants, input={"number": 1})
    with pytest.raises(StoreError):
        client.get_logs("r-01")


def test_the_names_of_the_package_are_its_own() -> None:
    assert "WorkflowClient" in dir(workflow_agent.client)
    with pytest.raises(AttributeError, match="no_such"):
        _ = workflow_agent.client.no_such


def test_every_module_of_the_design_has_its_place() -> None:
    page = (Path(__file__).parents[3] / "docs/sdk.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+)` \| `([\w.]+)` \| (.*) \|$", page.partition("## Where the names are")[2], re.MULTILINE
    )
    homes = {module: (home, re.findall(r"`(\w+)`", names)) for module, home, names in rows}

    wanted = {"decorators", "context", "client", "models", "execution", "testing", "cli", "errors", "utils"}
    assert homes.keys() == wanted
    for home, names in homes.values():
        module = importlib.import_module(home)
        assert names
        assert all(hasattr(module, name) for name in names), home


def test_functions_of_a_module_that_is_run_are_named_after_it(tmp_path: Path) -> None:
    text = (
        "from workflow_agent.authoring.sdk import callables\n"
        "def job(): ...\n"
        "print(callables.reference(job), callables.find(callables.reference(job)) is job)\n"
    )
    (tmp_path / "nightly.py").write_text(text, encoding="utf-8")
    said = [
        subprocess.run([sys.executable, *how], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
        for how in (["nightly.py"], ["-m", "nightly"])
    ]

    assert said == ["nightly:job True\n"] * 2


def test_what_is_wrong_with_the_whole_is_said_with_the_place_of_the_whole() -> None:
    declared = Workflow("w", steps=[Step("a", "true")]).params(Bad=1)
    assert [error["where"] for error in declared.validate().errors] == ["workflow w › inputs › Bad"]

    @step(dynamic=True)
    def fan() -> None:
        return None

    assert "is dynamic and not parallel" in Workflow("w", steps=[fan]).validate().errors[0]["message"]
    chained = load_flow("name: w\nchain: true\nsteps: [{name: a, command: x}, {name: b, command: x}]", source="w.yaml")
    assert chained.steps[1].needs == ("a",)
    assert repr(ResourceRequirements(cpu=1)).startswith("ResourceRequirements(")
