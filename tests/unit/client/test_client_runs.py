"""Runs of decorated classes and functions in this process, on a database of their own."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent import Context, ExecutionMode, RetryPolicy, WorkflowClient, step, workflow
from workflow_agent.model.errors import (
    ConflictError,
    InterruptedRunError,
    NotFoundError,
    StepFailedError,
    StepTimeoutError,
    UnreachableError,
    UsageError,
    ValidationError,
)
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[WorkflowClient]:
    async with WorkflowClient(settings={"paths.state": str(tmp_path / "state")}) as opened:
        yield opened


@workflow(name="two-steps", description="Greets.")
class TwoSteps:
    def __init__(self, greeting: str = "Hello") -> None:
        self.greeting = greeting

    @step(name="who")
    def find(self, ctx: Context) -> str:
        CALLS.append("who")
        return str(ctx.input["name"])

    @step(depends_on=["who"])
    async def greet(self, who_result: str) -> dict[str, Any]:
        CALLS.append("greet")
        return {"text": f"{self.greeting}, {who_result}!"}


async def test_a_class_runs_and_its_last_step_gives_the_result(client: WorkflowClient) -> None:
    execution = await client.run_workflow(TwoSteps("Good day"), input={"name": "you"})

    assert await execution.get_result() == {"text": "Good day, you!"}
    assert CALLS == ["who", "greet"]
    assert await execution.get_status() is RunStatus.SUCCEEDED


async def test_a_class_without_an_instance_is_made_without_arguments(client: WorkflowClient) -> None:
    execution = await client.run_workflow(TwoSteps, input={"name": "all"})

    assert await execution.get_result() == {"text": "Hello, all!"}


async def test_two_instances_have_their_own_configuration(client: WorkflowClient) -> None:
    texts = [await (await client.run_workflow(TwoSteps(word), input={"name": "x"})).get_result() for word in ("A", "B")]

    assert texts == [{"text": "A, x!"}, {"text": "B, x!"}]


def test_a_program_without_a_loop_runs_a_function(tmp_path: Path) -> None:
    @workflow(name="add")
    def add(left: int, right: int = 1) -> int:
        return left + right

    client = WorkflowClient(settings={"paths.state": str(tmp_path)})

    assert client.run(add, input={"left": 2}) == 3
    assert client.run(add, input={"left": 2, "right": 5}) == 7


async def test_the_short_form_refuses_inside_a_loop(client: WorkflowClient) -> None:
    with pytest.raises(UsageError, match="event loop"):
        client.run(TwoSteps())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"api_url": "http://localhost:8081"}, "wants a token"),
        ({"api_url": "http://10.0.0.1:8437", "api_token": "t"}, "readable on the way"),
        ({"api_url": "http://localhost.example.org", "api_token": "t"}, "readable on the way"),
        ({"api_url": "ftp://localhost", "api_token": "t"}, "no address"),
        ({"api_url": "localhost:8437", "api_token": "t"}, "no address"),
        ({"api_url": "http://me:pass@localhost", "api_token": "t"}, "no address"),
        ({"api_url": "http://localhost:99999", "api_token": "t"}, "no address"),
        ({"api_token": "t", "settings": {"paths.state": "/tmp"}}, "settings are for runs of this process"),
    ],
)
def test_a_server_that_cannot_be_one_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        WorkflowClient(**arguments)


async def test_a_server_in_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKFLOW_AGENT_API_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("WORKFLOW_AGENT_API_TOKEN", "t")

    with pytest.raises(UnreachableError, match="the server cannot be reached") as refused:
        await WorkflowClient().get_metrics_text()
    assert refused.value.exit_code == 7


async def test_an_asynchronous_run_is_told_at_once_and_followed(client: WorkflowClient) -> None:
    gate = asyncio.Event()

    @workflow(name="gated")
    class Gated:
        @step
        async def wait(self) -> str:
            await gate.wait()
            return "open"

        @step(depends_on=["wait"])
        async def then(self, wait_result: str) -> str:
            return f"{wait_result} then"

    execution = await client.run_workflow(workflow=Gated(), mode=ExecutionMode.ASYNC, tags={"team": "data"})
    assert await execution.get_status() is RunStatus.RUNNING
    seen = []
    async for event in execution.stream_events():
        seen.append((event.type, event.step))
        if event.type == "step_started" and event.step == "wait":
            gate.set()
        assert event.workflow == "gated"
        assert abs((datetime.now(UTC) - event.timestamp).total_seconds()) < 60

    assert seen == [
        ("workflow_started", None),
        ("step_started", "wait"),
        ("step_completed", "wait"),
        ("step_started", "then"),
        ("step_completed", "then"),
        ("workflow_completed", None),
    ]
    assert await execution.get_result() == "open then"


async def test_the_same_key_answers_from_the_journal(client: WorkflowClient) -> None:
    first = await client.run_workflow(TwoSteps(), input={"name": "once"}, idempotency_key="order-1")
    second = await client.run_workflow(TwoSteps(), input={"name": "once"}, idempotency_key="order-1")
    other = await client.run_workflow(TwoSteps(), input={"name": "once"}, idempotency_key="order-2")

    assert await second.get_result() == await first.get_result() == {"text": "Hello, once!"}
    assert second.id == first.id != other.id
    assert CALLS == ["who", "greet", "who", "greet"]


async def test_a_key_stands_for_one_input(client: WorkflowClient) -> None:
    await client.run_workflow(TwoSteps(), input={"name": "once"}, idempotency_key="order-1")

    with pytest.raises(ConflictError, match="another input"):
        await client.run_workflow(TwoSteps(), input={"name": "twice"}, idempotency_key="order-1")


async def test_a_run_that_was_abandoned_goes_on_where_it_stood(tmp_path: Path) -> None:
    """Another client with the same key takes it up: what was done is not done again."""
    begun = asyncio.Event()
    settings = {"paths.state": str(tmp_path)}

    @workflow(name="abandoned")
    class Abandoned:
        def __init__(self, patient: bool) -> None:
            self.patient = patient

        @step
        async def first(self) -> int:
            CALLS.append("first")
            return 1

        @step(depends_on=["first"])
        async def second(self, first_result: int) -> int:
            CALLS.append("second")
            begun.set()
            if CALLS.count("second") == 1:
                await asyncio.Event().wait()
            return first_result + 1

    async with WorkflowClient(settings=settings) as client:
        running = asyncio.ensure_future(client.run_workflow(Abandoned(True), "async", idempotency_key="k"))
        execution = await running
        await begun.wait()
        assert execution._known.driving is not None
        execution._known.driving.cancel()
        await asyncio.wait({execution._known.driving})
    async with WorkflowClient(settings=settings) as client:
        again = await client.run_workflow(Abandoned(True), idempotency_key="k")
        assert await again.get_result() == 2
        assert again.id == execution.id
    assert CALLS == ["first", "second", "second"]


async def test_another_process_makes_the_instance_again(client: WorkflowClient) -> None:
    """Resuming by id knows the class by its name, and what the instance was made with from the journal."""
    execution = await client.run_workflow(TwoSteps("Servus"), input={"name": "you"}, idempotency_key="again")
    resumed = await client.resume(execution.id)

    assert await resumed.get_result() == {"text": "Servus, you!"}


async def test_ids_in_a_step_are_those_of_the_records(client: WorkflowClient) -> None:
    @workflow(name="ids")
    def ids(ctx: Context) -> list[Any]:
        return [
            ctx.workflow_name, ctx.workflow_id, ctx.execution_id, ctx.step_id, ctx.step_name, ctx.attempt,
            ctx.parallel_context,
        ]  # fmt: skip

    execution = await client.run_workflow(ids)

    assert await execution.get_result() == [
        "ids", execution.workflow_hash, execution.id, "ids", "ids", 1, None,
    ]  # fmt: skip


async def test_secrets_are_read_in_steps_and_masked_elsewhere(client: WorkflowClient) -> None:
    @workflow(name="secretive")
    async def secretive(ctx: Context) -> dict[str, Any]:
        value = ctx.secrets["api_key"]
        ctx.log(f"the key is {value}")
        return {"length": len(value), "leak": f"key={value}", "names": list(ctx.secrets), "shown": repr(ctx.secrets)}

    execution = await client.run_workflow(secretive, secrets={"api_key": "s3cr3t-k3y-value"})

    assert await execution.get_result() == {
        "length": 16, "leak": "key=***", "names": ["api_key"], "shown": "SecretStore(api_key)",
    }  # fmt: skip
    assert "s3cr3t" not in "\n".join(client.get_logs(execution.id))
    assert "the key is ***" in client.get_logs(execution.id)[0]


async def test_a_secret_that_was_not_given_is_named(client: WorkflowClient) -> None:
    @workflow(name="needy")
    async def needy(ctx: Context) -> str:
        return ctx.secrets["api_kye"]

    with pytest.raises(NotFoundError, match="api_kye") as caught:
        await (await client.run_workflow(needy, secrets={"api_key": "long enough"})).get_result()
    assert caught.value.hint == "did you mean `api_key`?"


async def test_a_short_secret_is_refused_before_the_run(client: WorkflowClient) -> None:
    with pytest.raises(ValidationError, match="fewer than 8"):
        await client.run_workflow(TwoSteps(), secrets={"pin": "1234"})


async def test_a_step_that_raises_says_where(client: WorkflowClient) -> None:
    @workflow(name="broken")
    class Broken:
        @step
        def divide(self) -> float:
            return 1 / 0

    execution = await client.run_workflow(Broken)

    with pytest.raises(StepFailedError, match=r"`divide` raised ZeroDivisionError: division by zero") as caught:
        await execution.get_result()
    assert caught.value.where is not None
    assert caught.value.where.startswith(__file__)
    assert caught.value.cause == "return 1 / 0"
    assert caught.value.details["exception"] == "ZeroDivisionError"


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException])
@pytest.mark.parametrize("is_async", [True, False])
async def test_what_would_end_the_process_fails_the_step(
    client: WorkflowClient, kind: type[BaseException], is_async: bool
) -> None:
    def sync() -> None:
        raise kind("out")

    async def asynchronous() -> None:
        raise kind("out")

    chosen = workflow(name="violent")(asynchronous if is_async else sync)
    execution = await client.run_workflow(chosen)

    with pytest.raises(StepFailedError, match=f"`violent` raised {kind.__name__}: out"):
        await execution.get_result()


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_step_that_cancels_itself_fails(client: WorkflowClient, is_async: bool) -> None:
    def sync() -> None:
        raise asyncio.CancelledError

    async def asynchronous() -> None:
        raise asyncio.CancelledError

    execution = await client.run_workflow(workflow(name="quitter")(asynchronous if is_async else sync))

    with pytest.raises(InterruptedRunError, match="gave up by itself"):
        await execution.get_result()


@dataclass
class Odd:
    inner: object


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        ({1, 2}, "of the type `set`"),
        ({"a": [1, object()]}, r"at `a\[1\]`"),
        ({"a": Odd(inner=b"")}, "at `a.inner`: it is of the type `bytes`"),
        (float("nan"), "no number of JSON"),
        ({1: 2}, "the key '1'"),
        ("\ud800", "not valid Unicode"),
    ],
)
async def test_a_result_that_is_not_json_is_named(client: WorkflowClient, result: object, problem: str) -> None:
    @workflow(name="odd")
    def odd() -> object:
        return result

    execution = await client.run_workflow(odd)

    with pytest.raises(ValidationError, match=f"the result of `odd` is not JSON.*{problem}") as caught:
        await execution.get_result()
    assert caught.value.where is not None
    assert caught.value.where.startswith(__file__)


async def test_a_step_is_tried_again_as_its_policy_says(client: WorkflowClient) -> None:
    @workflow(name="flaky", retry_policy=RetryPolicy(2, initial_delay="1ms"))
    class Flaky:
        @step(retry_policy=RetryPolicy(max_attempts=3, initial_delay="1ms"))
        def own(self, ctx: Context) -> int:
            CALLS.append("own")
            if ctx.attempt < 3:
                raise OSError("not yet")
            return ctx.attempt

        @step(depends_on=["own"])
        def shared(self) -> None:
            CALLS.append("shared")
            raise OSError("never")

    execution = await client.run_workflow(Flaky())

    with pytest.raises(StepFailedError, match="never"):
        await execution.get_result()
    assert CALLS == ["own", "own", "own", "shared", "shared"]


async def test_a_workflow_says_how_often_its_steps_are_tried_again(client: WorkflowClient) -> None:
    @workflow(name="stubborn", max_retries=1, timeout="1m")
    class Stubborn:
        @step(timeout="10ms", retry_policy=RetryPolicy(1))
        async def slow(self) -> None:
            await asyncio.Event().wait()

    execution = await client.run_workflow(Stubborn())

    with pytest.raises(StepTimeoutError, match=r"longer than 0\.01 s"):
        await execution.get_result()


async def test_cleaning_up_happens_after_a_failure(client: WorkflowClient) -> None:
    @workflow(name="tidy")
    class Tidy:
        @step
        def fails(self) -> None:
            raise ValueError("bad")

        @step(depends_on=["fails"])
        def after(self) -> None:
            CALLS.append("after")

        @step(always_run=True, depends_on=["fails"])
        def cleanup(self, fails_result: object) -> None:
            CALLS.append(f"cleanup {fails_result}")

    execution = await client.run_workflow(Tidy())

    with pytest.raises(StepFailedError, match="bad"):
        await execution.get_result()
    assert CALLS == ["cleanup None"]


@pytest.mark.parametrize(("size", "taken"), [(2000, "large"), (10, "small")])
async def test_conditions_choose_and_their_answer_is_kept(client: WorkflowClient, size: int, taken: str) -> None:
    @workflow(name="conditional")
    class Conditional:
        @step(name="check")
        async def check(self, ctx: Context) -> str:
            return "large" if ctx.input["size"] > 1000 else "small"

        @step(name="process-large", depends_on=["check"], when=lambda result: result == "large")
        async def large(self) -> str:
            return "large done"

        @step(name="process-small", depends_on=["check"], when=lambda result: result == "small")
        async def small(self) -> str:
            return "small done"

    execution = await client.run_workflow(Conditional(), input={"size": size})

    assert await execution.get_result() == f"{taken} done"
    skipped = [event.step async for event in execution.stream_events() if event.type == "step_skipped"]
    assert skipped == ["process-small" if taken == "large" else "process-large"]
    answers = {
        event.step: event.details["output"]["value"]
        async for event in execution.stream_events()
        if event.type == "step_completed" and str(event.step).endswith("__when")
    }
    assert answers == {"process-large__when": taken == "large", "process-small__when": taken == "small"}


async def test_a_condition_may_take_several_results_by_name(client: WorkflowClient) -> None:
    @workflow(name="both")
    class Both:
        @step
        def left(self) -> int:
            return 1

        @step
        def right(self) -> int:
            return 2

        @step(depends_on=["left", "right"], when=lambda ctx, left_result, right_result: left_result < right_result)
        def smaller(self, left_result: int) -> int:
            return left_result

    assert await (await client.run_workflow(Both)).get_result() == 1


async def test_a_child_has_its_own_run_and_is_asked_once(client: WorkflowClient) -> None:
    @workflow(name="parent")
    class Parent:
        @step
        async def prepare(self) -> dict[str, str]:
            return {"name": "child"}

        @step(depends_on=["prepare"], retry_policy=RetryPolicy(2, initial_delay="1ms"))
        async def run_it(self, ctx: Context, prepare_result: dict[str, str]) -> Any:
            result = await ctx.run_workflow(TwoSteps("Hi"), input=prepare_result)
            if ctx.attempt == 1:
                raise OSError("after the child")
            return result

    execution = await client.run_workflow(Parent())

    assert await execution.get_result() == {"text": "Hi, child!"}
    assert CALLS == ["who", "greet"]
    async with client._runs.use() as engine:
        runs = await engine.history.runs(action="run")
        child = next(run for run in runs if run["workflow"] == "two-steps")
        (created, *_) = await engine.journal.events(child["run_id"])
    assert created.data["meta"]["parent"] == {"run_id": execution.id, "step": "run_it"}


async def test_a_child_may_be_waited_for_later(client: WorkflowClient) -> None:
    @workflow(name="later")
    async def later(ctx: Context) -> Any:
        execution = await ctx.run_workflow(TwoSteps(), wait=False, input={"name": "later"})
        return [execution.id != ctx.execution_id, await execution.get_result()]

    assert await (await client.run_workflow(later)).get_result() == [True, {"text": "Hello, later!"}]


async def test_cancelling_stops_the_step_its_child_and_still_cleans_up(client: WorkflowClient) -> None:
    begun = asyncio.Event()

    @workflow(name="endless")
    async def endless() -> None:
        begun.set()
        await asyncio.Event().wait()

    @workflow(name="waits")
    class Waits:
        @step
        async def child(self, ctx: Context) -> None:
            await ctx.run_workflow(endless)

        @step(always_run=True)
        def cleanup(self) -> None:
            CALLS.append("cleanup")

    execution = await client.run_workflow(Waits(), ExecutionMode.ASYNC)
    await begun.wait()

    assert await client.cancel(execution.id, "enough")
    assert await execution.wait() is RunStatus.CANCELLED
    assert CALLS == ["cleanup"]
    async with client._runs.use() as engine:
        runs = await engine.history.runs(action="run")
    assert {run["workflow"]: run["status"] for run in runs} == {"waits": "cancelled", "endless": "cancelled"}
    assert not await execution.cancel()


async def test_logs_and_metrics_are_told(client: WorkflowClient) -> None:
    @workflow(name="talkative")
    class Talkative:
        @step
        async def asynchronous(self, ctx: Context) -> None:
            await ctx.log("first\nsecond", level="warning")
            await ctx.metric("rows", 3, tags={"table": "t"})

        @step(depends_on=["asynchronous"])
        def threaded(self, ctx: Context) -> str:
            ctx.log("from a thread")
            return threading.current_thread().name

    execution = await client.run_workflow(Talkative())

    assert await execution.get_result() == "step threaded"
    lines = client.get_logs(execution.id[:20])
    assert [line.split(" ", 1)[1] for line in lines] == [
        "warning asynchronous: first",
        "warning asynchronous: second",
        "info    threaded: from a thread",
    ]
    assert list(client.stream_logs(execution.id)) == lines
    assert [line async for line in client.stream_logs(execution.id)] == lines
    (metric,) = client.get_run_metrics(execution.id)
    assert {key: metric[key] for key in ("name", "value", "step", "tags")} == {
        "name": "rows", "value": 3.0, "step": "asynchronous", "tags": {"table": "t"},
    }  # fmt: skip
    assert client.get_workflow_status(execution.id) is RunStatus.SUCCEEDED


async def test_figures_match_a_scripted_set_of_runs(client: WorkflowClient) -> None:
    @workflow(name="scripted")
    def scripted(fail: bool = False) -> None:
        if fail:
            raise ValueError("as asked")

    for fail in (False, True, False, False):
        await client.run_workflow(scripted, input={"fail": fail})
    await client.run_workflow(TwoSteps(), input={"name": "other"})

    metrics = await client.get_workflow_metrics(workflow_name="scripted", time_range="24h")
    assert (metrics.total_executions, metrics.succeeded, metrics.failed, metrics.running) == (4, 3, 1, 0)
    assert metrics.success_rate == 75.0
    assert metrics.avg_duration is not None
    assert metrics.avg_duration.total_seconds() >= 0
    none = await client.get_workflow_metrics("no-such-workflow")
    assert (none.total_executions, none.success_rate, none.avg_duration) == (0, None, None)


async def test_events_of_all_runs_are_filtered_by_workflow_and_type(client: WorkflowClient) -> None:
    await client.run_workflow(TwoSteps(), input={"name": "before"})
    stream = client.stream_workflow_events("two-steps", ["step_completed", "workflow_failed"])
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    while not first.done():
        await client.run_workflow(TwoSteps(), input={"name": "now"})
    second = await anext(stream)

    assert [(event.type, event.step) for event in (await first, second)] == [
        ("step_completed", "who"),
        ("step_completed", "greet"),
    ]
    await stream.aclose()  # type: ignore[attr-defined]  # a generator


async def test_an_event_that_does_not_exist_is_refused(client: WorkflowClient) -> None:
    with pytest.raises(ValidationError, match="`step_startd`") as caught:
        await anext(client.stream_workflow_events(event_types=["step_startd"]))
    assert caught.value.hint is not None
    assert "step_started" in caught.value.hint
