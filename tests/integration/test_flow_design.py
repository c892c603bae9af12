"""The examples of the SDK's design, as they stand there: in containers on a real engine, and with containers played."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Dict, List  # noqa: UP035  # as the design writes it

import pytest

from workflow_agent import (
    Context,
    ErrorHandler,
    ExecutionMode,
    RetryPolicy,
    WorkflowClient,
    step,
    workflow,
)
from workflow_agent.model.errors import StepFailedError
from workflow_agent.model.status import RunStatus
from workflow_agent.testing import WorkflowTestCase, mock_agent
from workflow_agent.testing.lab.engine import container_image, docker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

# fmt: off
# mypy: disable-error-code="no-any-return,type-arg,union-attr,return-value,no-untyped-def"
# ruff: noqa: UP006, RET504, RET505


@workflow(
    name="my_workflow",
    description="Process data through multiple stages",
    max_retries=3,
    timeout="1h"
)
class DataWorkflow:
    """A complete data processing workflow."""

    def __init__(self, config: Dict[str, Any]):
        self.config = config

    @step(name="fetch", timeout="10m")
    async def fetch_data(self, ctx: Context) -> Dict[str, Any]:
        """Fetch data from external source."""
        agent = await ctx.deploy_agent(
            name="fetcher",
            image="my-fetcher:latest",
            env={
                "SOURCE_URL": self.config["source_url"],
                "API_KEY": ctx.secrets["api_key"]
            }
        )
        result = await agent.wait_for_completion()

        # Store in workflow state
        ctx.state["raw_data"] = result.output["data_path"]
        return result.output

    @step(name="validate", depends_on=["fetch"])
    async def validate_data(self, ctx: Context, fetch_result: Dict) -> bool:
        """Validate the fetched data."""
        agent = await ctx.deploy_agent(
            name="validator",
            image="data-validator:latest",
            env={"DATA_PATH": fetch_result["data_path"]}
        )
        result = await agent.wait_for_completion()
        return result.output["is_valid"]

    @step(
        name="process",
        depends_on=["validate"],
        parallel=True,
        max_workers=5
    )
    async def process_chunk(self, ctx: Context, chunk_id: int) -> Dict:
        """Process a single chunk of data in parallel."""
        agent = await ctx.deploy_agent(
            name=f"processor-{chunk_id}",
            image="processor:latest",
            env={
                "DATA_PATH": ctx.state["raw_data"],
                "CHUNK_ID": str(chunk_id),
                "TOTAL_CHUNKS": str(ctx.parallel_context.total)
            }
        )
        return await agent.wait_for_completion()

    @step(
        name="aggregate",
        depends_on=["process"],
        reduce=True  # Indicates this step aggregates parallel results
    )
    async def aggregate_results(
        self,
        ctx: Context,
        process_results: List[Dict]
    ) -> Dict:
        """Aggregate results from parallel processing."""
        # Store intermediate results
        ctx.state["processed_chunks"] = len(process_results)

        agent = await ctx.deploy_agent(
            name="aggregator",
            image="aggregator:latest",
            env={
                "CHUNK_RESULTS": ctx.json(process_results),
                "OUTPUT_PATH": self.config["output_path"]
            }
        )
        return await agent.wait_for_completion()


@workflow(name="conditional_workflow")
class ConditionalWorkflow:

    @step(name="check_condition")
    async def check_condition(self, ctx: Context) -> str:
        # Some logic to determine path
        if ctx.input["data_size"] > 1000:
            return "large"
        else:
            return "small"

    @step(
        name="process_large",
        depends_on=["check_condition"],
        when=lambda result: result == "large"
    )
    async def process_large_data(self, ctx: Context):
        # Process large dataset
        pass

    @step(
        name="process_small",
        depends_on=["check_condition"],
        when=lambda result: result == "small"
    )
    async def process_small_data(self, ctx: Context):
        # Process small dataset
        pass


@workflow(name="data_processing")
class DataProcessingWorkflow:
    def __init__(self, config: Dict[str, Any]):
        self.config = config

    @step
    async def process(self) -> str:
        return f"processed {self.config['data_path']}"


@workflow(name="parent_workflow")
class ParentWorkflow:

    @step(name="prepare")
    async def prepare_data(self, ctx: Context):
        # Prepare data
        return {"data_path": "/path/to/data"}

    @step(name="run_sub_workflow", depends_on=["prepare"])
    async def run_sub_workflow(self, ctx: Context, prepare_result: Dict):
        # Run another workflow as a step
        sub_wf = DataProcessingWorkflow(prepare_result)
        result = await ctx.run_workflow(sub_wf)
        return result


@workflow(name="dynamic_parallel")
class DynamicParallelWorkflow:

    @step(name="determine_tasks")
    async def determine_tasks(self, ctx: Context) -> List[Dict]:
        # Dynamically determine what to process
        agent = await ctx.deploy_agent(
            name="analyzer",
            image="analyzer:latest"
        )
        result = await agent.wait_for_completion()
        return result.output["tasks"]  # List of task definitions

    @step(
        name="process_task",
        depends_on=["determine_tasks"],
        parallel=True,
        dynamic=True  # Indicates dynamic parallelism
    )
    async def process_task(self, ctx: Context, task: Dict):
        # Process each task from the previous step
        agent = await ctx.deploy_agent(
            name=f"processor-{task['id']}",
            image=task["processor_image"],
            env=task["env_vars"]
        )
        return await agent.wait_for_completion()


CALLED: List[str] = []


@workflow(
    name="resilient_workflow",
    retry_policy=RetryPolicy(
        max_attempts=3,
        backoff="exponential",
        max_delay="5m"
    )
)
class ResilientWorkflow:

    @step(
        name="flaky_step",
        retry_policy=RetryPolicy(max_attempts=5, initial_delay="1ms"),
        error_handler=ErrorHandler.CONTINUE  # Continue workflow on failure
    )
    async def flaky_operation(self, ctx: Context):
        # Operation that might fail
        CALLED.append("flaky")
        raise OSError("flaky")

    @step(
        name="critical_step",
        retry_policy=RetryPolicy(max_attempts=1),
        error_handler=ErrorHandler.FAIL  # Fail workflow on error
    )
    async def critical_operation(self, ctx: Context):
        # Critical operation
        CALLED.append("critical")
        if ctx.input.get("fail"):
            raise OSError("critical")

    @step(
        name="cleanup",
        always_run=True  # Run even if previous steps failed
    )
    async def cleanup(self, ctx: Context):
        # Cleanup resources
        CALLED.append("cleanup")


class TestDataWorkflow(WorkflowTestCase):

    async def test_successful_workflow(self):
        # Setup test data
        config = {"source_url": "test://data", "output_path": "test://output"}
        wf = DataWorkflow(config)

        # Mock agent responses
        with mock_agent("fetcher") as fetcher:
            fetcher.returns({"data_path": "/test/data.json"})

        with mock_agent("validator") as validator:
            validator.returns({"is_valid": True})

        with mock_agent("processor-*") as processor:
            processor.returns({"processed": True})

        with mock_agent("aggregator") as aggregator:
            aggregator.returns({"result": "success"})

        # Run workflow
        result = await self.run_workflow(wf)

        # Assertions
        assert result["result"] == "success"
        assert self.workflow_state["raw_data"] == "/test/data.json"
        assert self.workflow_state["processed_chunks"] == 5
        assert [call.env["CHUNK_ID"] for call in processor.calls] == list("01234")
        assert {call.env["TOTAL_CHUNKS"] for call in processor.calls} == {"5"}
# fmt: on


IMAGES = {
    "my-fetcher:latest": 'echo fetching; echo "{\\"data_path\\": \\"/data/from-$SOURCE_URL\\"}"',
    "data-validator:latest": 'test -n "$DATA_PATH" && echo "{\\"is_valid\\": true}"',
    "processor:latest": 'echo "{\\"chunk\\": \\"$CHUNK_ID of $TOTAL_CHUNKS in $DATA_PATH$TASK\\"}"',
    "aggregator:latest": 'echo "{\\"results\\": $CHUNK_RESULTS, \\"to\\": \\"$OUTPUT_PATH\\"}"',
    "analyzer:latest": "echo '"
    + json.dumps(
        {
            "tasks": [
                {"id": number, "processor_image": "processor:latest", "env_vars": {"TASK": f"task-{number}"}}
                for number in range(3)
            ]
        }
    )
    + "'",
}


@pytest.fixture(scope="module")
def images(engine: None) -> Iterator[None]:
    """The images of the design, made of the lab's: each runs a line of shell."""
    del engine
    base = container_image("plain")
    for name, script in IMAGES.items():
        made = docker("create", base, "true").strip()
        change = f"CMD {json.dumps(['sh', '-c', script])}"
        docker("commit", "--change", "ENTRYPOINT []", "--change", change, made, name)
        docker("rm", made)
    yield
    docker("rmi", *IMAGES)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[WorkflowClient]:
    async with WorkflowClient(settings={"paths.state": str(tmp_path)}) as opened:
        yield opened


async def test_the_data_workflow_runs_in_containers(images: None, client: WorkflowClient) -> None:
    config = {"source_url": "https://api.example.com/data", "output_path": "s3://bucket/output"}
    wf = DataWorkflow(config)

    execution = await client.run_workflow(
        workflow=wf,
        mode=ExecutionMode.ASYNC,
        secrets={"api_key": "secret-key"},
        tags={"team": "data-eng", "priority": "high"},
    )
    told = [f"[{event.timestamp}] {event.step}: {event.message}" async for event in execution.stream_events()]

    result = await execution.get_result()
    path = "/data/from-https://api.example.com/data"
    assert result == {
        "results": [{"chunk": f"{number} of 5 in {path}"} for number in range(5)],
        "to": "s3://bucket/output",
    }
    assert await execution.get_state() == {"raw_data": path, "processed_chunks": 5}
    assert any("aggregate: done" in line for line in told)
    left = docker("ps", "--all", "--quiet", "--filter", f"label=workflow-agent.run={execution.id}")
    assert left == ""


async def test_tasks_are_determined_and_processed_in_containers(images: None, client: WorkflowClient) -> None:
    execution = await client.run_workflow(DynamicParallelWorkflow())

    assert await execution.get_result() == [{"chunk": f" of  in task-{number}"} for number in range(3)]


@pytest.mark.parametrize(("size", "skipped"), [(1001, "process_small"), (1000, "process_large")])
async def test_one_branch_of_the_conditional_workflow_runs(client: WorkflowClient, size: int, skipped: str) -> None:
    execution = await client.run_workflow(ConditionalWorkflow(), input={"data_size": size})

    assert await execution.wait() is RunStatus.SUCCEEDED
    assert [event.step async for event in execution.stream_events() if event.type == "step_skipped"] == [skipped]


async def test_the_parent_workflow_has_the_result_of_its_child(client: WorkflowClient) -> None:
    execution = await client.run_workflow(ParentWorkflow())

    assert await execution.get_result() == "processed /path/to/data"


@pytest.mark.parametrize("fail", [False, True])
async def test_the_resilient_workflow_carries_on_fails_and_cleans_up(client: WorkflowClient, fail: bool) -> None:
    CALLED.clear()

    execution = await client.run_workflow(ResilientWorkflow(), input={"fail": fail})

    assert sorted(CALLED) == ["cleanup", "critical", *["flaky"] * CALLED.count("flaky")]
    assert CALLED[-1] == "cleanup"
    if fail:
        with pytest.raises(StepFailedError, match="critical"):
            await execution.get_result()
    else:
        assert CALLED.count("flaky") == 5
        assert await execution.wait() is RunStatus.SUCCEEDED


@workflow(name="fan")
class Fan:
    @step
    def numbers(self, ctx: Context) -> List[int]:
        return list(range(ctx.input["size"]))

    @step(depends_on=["numbers"], parallel=True, dynamic=True, max_workers=7)
    async def double(self, ctx: Context, number: int) -> List[int]:
        assert ctx.parallel_context is not None
        assert ctx.parallel_context.item == number
        ctx.state[f"seen-{number}"] = True
        await asyncio.sleep(0.001 * (number % 3))
        return [ctx.parallel_context.index, ctx.parallel_context.total, number * 2]

    @step(depends_on=["double"], reduce=True)
    def total(self, ctx: Context, double_results: List[List[int]]) -> Dict[str, Any]:
        return {"results": double_results, "seen": len(ctx.state)}


@pytest.mark.parametrize("size", [0, 1, 50])
async def test_a_list_of_any_length_is_processed_in_its_order(client: WorkflowClient, size: int) -> None:
    execution = await client.run_workflow(Fan(), input={"size": size})

    expected = [[number, size, number * 2] for number in range(size)]
    assert await execution.get_result() == {"results": expected, "seen": size}


async def test_independent_steps_run_at_the_same_time(client: WorkflowClient) -> None:
    """Each waits for all others to have begun: one after the other they would never end."""
    barrier = asyncio.Barrier(10)

    async def meet() -> None:
        await barrier.wait()

    body = {f"step{number}": step(name=f"step{number}", timeout="20s")(_named(meet, number)) for number in range(10)}
    ten = workflow(name="ten")(type("Ten", (), {"__module__": __name__, **body}))

    execution = await client.run_workflow(ten())

    assert await execution.wait() is RunStatus.SUCCEEDED


def _named(meet: Any, number: int) -> Any:
    async def method(self: object) -> None:
        await meet()

    method.__name__ = method.__qualname__ = f"step{number}"
    return method
