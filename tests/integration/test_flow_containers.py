"""Containers that steps start, on a real engine: environment, output, limits, time, removal, and finding them again."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent import (
    Context,
    ExecutionMode,
    ResourceRequirements,
    Step,
    Workflow,
    WorkflowClient,
    secret,
    workflow,
)
from workflow_agent.model.errors import StepFailedError, StepTimeoutError, UnreachableError, ValidationError
from workflow_agent.model.status import RunStatus
from workflow_agent.targets.step_services import StepServices
from workflow_agent.testing.lab.engine import container_image, docker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_RUN = "workflow-agent.run"


@pytest.fixture
async def client(engine: None, tmp_path: Path) -> AsyncIterator[WorkflowClient]:
    del engine
    async with WorkflowClient(settings={"paths.state": str(tmp_path)}) as opened:
        yield opened


@pytest.fixture(scope="module")
def image(engine: None) -> str:
    del engine
    return container_image("plain")


def left_of(run_id: str) -> list[str]:
    """List the containers of a run, ended ones too."""
    return docker("ps", "--all", "--quiet", "--filter", f"label={_RUN}={run_id}").split()


async def test_environment_command_and_output(client: WorkflowClient, image: str) -> None:
    @workflow(name="box")
    async def box(ctx: Context, image: str) -> Any:
        agent = await ctx.deploy_agent(
            name="fetcher",
            image=image,
            env={"SOURCE_URL": "x", "API_KEY": ctx.secrets["api_key"]},
            command=[
                "sh",
                "-c",
                'echo talk; echo warn >&2; echo \'{"url": "\'$SOURCE_URL\'", "key": "\'$API_KEY\'"}\'',
            ],
        )
        result = await agent.wait_for_completion()
        assert await agent.wait_for_completion() is result
        assert result.lines[0] == "talk"
        return [agent.timeout_s, result["url"], result.output, result]

    execution = await client.run_workflow(box, input={"image": image}, secrets={"api_key": "a-secret-key"})

    output = {"url": "x", "key": "***"}
    assert await execution.get_result() == [1800.0, "x", output, output]
    assert left_of(execution.id) == []


async def test_limits_and_labels_are_on_the_container(client: WorkflowClient, image: str) -> None:
    seen = []

    @workflow(name="limited")
    async def limited(ctx: Context, image: str) -> Any:
        limits = ResourceRequirements(cpu=0.5, memory_mib=64, pids=20)
        agent = await ctx.deploy_agent("a b", image, command=["sleep", "60"], resources=limits)
        seen.extend(json.loads(await asyncio.to_thread(docker, "inspect", agent.id)))
        await agent.stop()
        await agent.stop()

    execution = await client.run_workflow(limited, input={"image": image})
    assert await execution.get_result() is None

    (found,) = seen
    host = found["HostConfig"]
    assert (host["CpuQuota"], host["CpuPeriod"], host["Memory"], host["PidsLimit"]) == (50_000, 100_000, 64 << 20, 20)
    assert host["PortBindings"] in ({}, None)
    labels = found["Config"]["Labels"]
    assert (labels[_RUN], labels["workflow-agent.step"], labels["workflow-agent.name"]) == (
        execution.id, "limited", "a b",
    )  # fmt: skip
    assert left_of(execution.id) == []


@pytest.mark.parametrize(
    ("command", "limit", "error", "message"),
    [
        ("echo no json", "1m", StepFailedError, "last line of the container `c` is not JSON"),
        ("echo before; exit 3", "1m", StepFailedError, "`c` ended with code 3"),
        ("echo before; sleep 60", "1s", StepTimeoutError, "`c` took longer than 1 s"),
    ],
)
async def test_what_goes_wrong_is_said_and_the_container_removed(
    client: WorkflowClient, image: str, *, command: str, limit: str, error: type[Exception], message: str
) -> None:
    @workflow(name="wrong")
    async def wrong(ctx: Context, image: str, command: str, timeout: str) -> Any:  # noqa: ASYNC109  # an input
        agent = await ctx.deploy_agent("c", image, command=["sh", "-c", command], timeout=timeout)
        return await agent.wait_for_completion()

    given = {"image": image, "command": command, "timeout": limit}
    execution = await client.run_workflow(wrong, input=given)

    with pytest.raises(error, match=message):
        await execution.get_result()
    assert left_of(execution.id) == []


async def test_a_container_that_says_nothing_gives_null(client: WorkflowClient, image: str) -> None:
    step = Step("quiet").docker(image, ["true"])

    execution = await client.run_workflow(Workflow("silent", steps=[step]))

    assert await execution.get_result() == {"value": None}


_BUSY = "head -c 60000000 /dev/zero | tail | wc -c; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo 1"


async def test_what_containers_used_is_kept_with_their_step(client: WorkflowClient, image: str) -> None:
    @workflow(name="measured")
    async def measured(ctx: Context, image: str) -> Any:
        agent = await ctx.deploy_agent("busy", image, command=["bash", "-c", _BUSY])
        return await agent.wait_for_completion()

    direct = Workflow("direct", steps=[Step("work").docker(image, ["bash", "-c", _BUSY])])
    for flow, given, step, name in (
        (measured, {"image": image}, "measured", "busy"),
        (direct, {}, "work", "work"),
    ):
        execution = await client.run_workflow(flow, input=given)
        await execution.get_result()
        found = client.get_run_metrics(execution.id)
        assert [(one["name"], one["step"], one["tags"]) for one in found] == [
            (which, step, {"container": name, "image": image})
            for which in ("container_cpu_s", "container_memory_bytes")
        ]
        cpu_s, memory = (one["value"] for one in found)
        assert 0.1 < cpu_s < 60
        assert 55_000_000 < memory < 1 << 30


async def test_what_a_container_used_that_failed_is_kept_too(client: WorkflowClient, image: str) -> None:
    flow = Workflow("failing", steps=[Step("work").docker(image, ["bash", "-c", f"{_BUSY}; exit 3"])])
    execution = await client.run_workflow(flow)

    with pytest.raises(StepFailedError):
        await execution.get_result()
    assert [one["name"] for one in client.get_run_metrics(execution.id)] == [
        "container_cpu_s",
        "container_memory_bytes",
    ]


#: What a container sees of networks: its interfaces, and whether there is a way to what is not beside it.
_NETWORKS = "ls /sys/class/net; awk 'NR > 1 && $2 == \"00000000\" {way = 1} END {print way + 0}' /proc/net/route"
#: Lines as one JSON text.
_AS_JSON = "tr '\\n' ' ' | sed 's/.*/\"&\"/'"


@pytest.mark.parametrize(("outbound", "way"), [(True, 1), (False, 0)])
async def test_without_outbound_nothing_outside_is_reached(
    client: WorkflowClient, image: str, *, outbound: bool, way: int
) -> None:
    script = f"({_NETWORKS}) | {_AS_JSON}"

    @workflow(name="alone")
    async def alone(ctx: Context, image: str, outbound: bool) -> Any:  # an input
        agent = await ctx.deploy_agent("c", image, command=["bash", "-c", script], outbound=outbound)
        return await agent.wait_for_completion()

    execution = await client.run_workflow(alone, input={"image": image, "outbound": outbound})
    *names, reached = (await execution.get_result()).split()
    assert (set(names) - {"lo"} != set(), int(reached)) == (outbound, way)


async def test_an_image_that_is_not_there_is_refused(client: WorkflowClient) -> None:
    execution = await client.run_workflow(Workflow("w", steps=[Step("a").docker("no-such-image-anywhere:1")]))

    with pytest.raises(UnreachableError, match="refused: status 404"):
        await execution.get_result()


async def test_cancelling_removes_the_container(client: WorkflowClient, image: str) -> None:
    started = asyncio.Event()

    @workflow(name="long")
    async def long(ctx: Context, image: str) -> Any:
        agent = await ctx.deploy_agent("c", image, command=["sleep", "60"])
        started.set()
        return await agent.wait_for_completion()

    execution = await client.run_workflow(long, ExecutionMode.ASYNC, input={"image": image})
    await started.wait()
    assert len(left_of(execution.id)) == 1

    assert await execution.cancel()
    assert await execution.wait() is RunStatus.CANCELLED
    assert left_of(execution.id) == []


async def test_a_run_that_is_taken_up_finds_its_container_again(image: str, tmp_path: Path) -> None:
    ids = []
    started = asyncio.Event()

    @workflow(name="found")
    async def found(ctx: Context, image: str) -> Any:
        agent = await ctx.deploy_agent("c", image, command=["sh", "-c", "sleep 2; echo '{\"n\": 1}'"])
        ids.append(agent.id)
        if len(ids) == 1:
            started.set()
            await asyncio.Event().wait()
        return await agent.wait_for_completion()

    settings = {"paths.state": str(tmp_path)}
    async with WorkflowClient(settings=settings) as client:
        execution = await client.run_workflow(found, ExecutionMode.ASYNC, input={"image": image}, idempotency_key="k")
        await started.wait()
        assert execution._known.driving is not None
        execution._known.driving.cancel()
        await asyncio.wait({execution._known.driving})
    async with WorkflowClient(settings=settings) as client:
        again = await client.run_workflow(found, input={"image": image}, idempotency_key="k")
        assert await again.get_result() == {"n": 1}
    assert ids[0] == ids[1]
    assert left_of(execution.id) == []


@pytest.mark.parametrize(
    ("limits", "message"),
    [({"cpu": 0}, "`cpu`"), ({"memory_mib": 1}, "`memory_mib`"), ({"pids": 0}, "`pids`")],
)
def test_limits_that_cannot_be_meant_are_refused(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ResourceRequirements(**limits).checked("here")


# -- services beside a container --------------------------------------------------------------------------------------


def talking(image: str, **service: Any) -> Workflow:
    """A container that resolves the name of what stands beside it."""
    content = "getent hosts beside > /dev/null && echo '\"found\"' || echo '\"alone\"'"
    step = Step("box").docker(image, content=content).with_service("beside", image, **service)
    return Workflow("beside", steps=[step])


def networks_of(run_id: str) -> list[str]:
    """List the networks of a run."""
    return docker("network", "ls", "--quiet", "--filter", f"label={_RUN}={run_id}").split()


async def test_a_service_is_found_under_its_name_and_gone_with_the_step(client: WorkflowClient, image: str) -> None:
    command = ["sh", "-c", 'test "$WORD" = "hello you" && touch /ready; exec sleep 60']
    made = talking(image, env={"WORD": secret("word")}, command=command, ready=["test", "-e", "/ready"])

    execution = await client.run_workflow(made, secrets={"word": "hello you"})

    assert await execution.get_result() == {"value": "found"}
    assert left_of(execution.id) == []
    assert networks_of(execution.id) == []


@pytest.mark.parametrize("outbound", [True, False])
async def test_services_are_reached_and_their_network_leads_out_where_it_may(
    client: WorkflowClient, image: str, *, outbound: bool
) -> None:
    told = "getent hosts beside > /dev/null && sleep 4 && echo '\"found\"'"
    step = (
        Step("box")
        .docker(image, content=told, outbound=outbound)
        .with_service("beside", image, command=["sleep", "60"])
    )
    execution = await client.run_workflow(Workflow("apart", steps=[step]), mode=ExecutionMode.ASYNC)
    async with asyncio.timeout(60):
        while not (found := await asyncio.to_thread(networks_of, execution.id)):  # noqa: ASYNC110  # Docker's
            await asyncio.sleep(0.1)
    (network,) = json.loads(await asyncio.to_thread(docker, "network", "inspect", *found))

    assert network["Internal"] is not outbound
    assert await execution.get_result() == {"value": "found"}
    assert networks_of(execution.id) == []


async def test_a_service_that_ends_or_is_never_ready_fails_the_step_and_leaves_nothing(
    client: WorkflowClient, image: str
) -> None:
    ended = talking(image, command=["sh", "-c", "echo no room >&2; exit 3"], ready=["false"])
    never = Workflow("never", steps=[Step("box").docker(image, ["true"]).with_service(
        "beside", image, command=["sleep", "60"], ready=["false"]
    ).args(ready_timeout="500ms")])  # fmt: skip

    execution = await client.run_workflow(ended)
    with pytest.raises(StepFailedError, match="`beside` ended with code 3") as failed:
        await execution.get_result()
    assert failed.value.cause == "no room"
    late = await client.run_workflow(never)
    with pytest.raises(StepTimeoutError, match="`beside` was not ready"):
        await late.get_result()

    for one in (execution, late):
        assert left_of(one.id) == []
        assert networks_of(one.id) == []


async def test_a_service_that_cannot_be_asked_just_now_is_not_ready(engine: None, image: str) -> None:
    """The engine refuses to ask what is paused, as it does what has ended a moment ago."""
    del engine
    services = StepServices("r-asked", "step", "box")

    def look() -> list[bool]:
        beside = services.start("beside", image=image, env={}, command=["sleep", "60"])
        docker("pause", beside)
        paused = services.is_ready(beside, "beside", ["true"])
        docker("unpause", beside)
        return [paused, services.is_ready(beside, "beside", ["true"])]

    try:
        assert await asyncio.to_thread(look) == [False, True]
    finally:
        await asyncio.to_thread(services.remove)
