"""What people, disks and clocks do to the engine: it ends with a clear error, or goes on later; nothing is lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.authoring import load_workflow, read_definition
from workflow_agent.bus import InProcessBus
from workflow_agent.engine import Driver, fold, plan_of
from workflow_agent.model.errors import ConflictError, ExpressionError, StoreError, ValidationError
from workflow_agent.model.expression import interpolate
from workflow_agent.model.workflow import Step, Workflow
from workflow_agent.store import SqliteStore
from workflow_agent.store.sqlite import DATABASE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from workflow_agent.model.event import RunState
    from workflow_agent.model.message import Message

RUN = "r-01ARZ3NDEKTSV4RRFFQ69G5FAV"
DAY = 86_400.0


class Wall:
    """A wall clock that somebody sets."""

    def __init__(self) -> None:
        self.at = 1_000_000.0

    def now(self) -> float:
        return self.at


def flow(*steps: Step, **more: Any) -> Workflow:
    return Workflow(name="w", version="1", steps=steps, **more)


def chain(length: int) -> Workflow:
    return flow(*(Step(id=f"s{n}", uses="x.go", needs=(f"s{n - 1}",) if n else ()) for n in range(length)))


@asynccontextmanager
async def house(folder: Path, act: Callable[[Message], Mapping[str, Any]]) -> AsyncIterator[tuple[Driver, SqliteStore]]:
    async def handle(message: Message) -> Mapping[str, Any]:
        return act(message)

    store, bus = await SqliteStore.open(folder), InProcessBus()
    try:
        await bus.subscribe("agent.x.go", handle, concurrency=100)
        yield Driver(bus, store.journal, Wall()), store
        await bus.drain()
    finally:
        await store.close()


# -- definitions ---------------------------------------------------------------------------------------------------


def test_ten_thousand_steps_are_planned_and_a_cycle_through_all_of_them_is_named_shortly() -> None:
    steps: list[dict[str, Any]] = [
        {"id": f"s{n}", "uses": "x.go", "needs": [f"s{n - 1}"] if n else []} for n in range(10_000)
    ]
    definition: dict[str, Any] = {"name": "w", "version": "1", "steps": steps}
    assert len(plan_of(read_definition(definition)).main) == 10_000

    steps[0]["needs"] = ["s9999"]
    with pytest.raises(ValidationError, match="need each other") as caught:
        plan_of(read_definition(definition))
    assert "more) →" in caught.value.message
    assert len(caught.value.message) < 400


def test_a_file_of_too_many_parts_is_refused() -> None:
    lines = "".join(f"- {{id: s{n}, uses: x.go, with: {{a: 1, b: 2}}}}\n" for n in range(10_000))
    with pytest.raises(ValidationError, match="more than 50000"):
        load_workflow(f"name: w\nversion: '1'\nsteps:\n{lines}", source="w.yaml")


DOUBLED: dict[str, Any] = {
    "a text": "${{ steps.p.output.t }}${{ steps.p.output.t }}",
    "a list": "${{ [steps.p.output.t, steps.p.output.t] }}",
    "an object": {"a": "${{ steps.p.output.t }}", "b": "${{ steps.p.output.t }}"},
}


def doubled(kind: str, times: int) -> None:
    output: Any = "x" * 100_000 if kind == "a text" else ["x"]
    for _ in range(times):
        output = interpolate({"t": DOUBLED[kind]}, {"steps": {"p": {"output": {"t": output}}}})["t"]


@pytest.mark.parametrize("kind", list(DOUBLED))
def test_values_that_double_with_each_step_are_refused_in_time(kind: str) -> None:
    with pytest.raises(ExpressionError, match="Mi characters") as caught:
        doubled(kind, 40)

    assert caught.value.hint
    doubled(kind, 9)


async def test_values_that_nest_deeper_with_each_step_fail_at_a_step_and_the_run_is_kept(tmp_path: Path) -> None:
    steps = [Step(id="s0", uses="flow.pass", with_={"v": 1})]
    for number in range(1, 1200):
        before = f"s{number - 1}"
        inputs = {"v": f"${{{{ steps.{before}.output }}}}"}
        steps.append(Step(id=f"s{number}", uses="flow.pass", with_=inputs, needs=(before,)))
    nested = Workflow(name="nested", version="1", description="Each in one more.", steps=tuple(steps))
    async with house(tmp_path, lambda _: {}) as (driver, store):
        state = await driver.start(nested, {}, run_id=RUN)

        assert state.status == "failed"
        failed = [name for name, each in state.steps.items() if each.status == "failed"]
        assert failed == ["s500"]
        assert "nested deeper than 500" in str(state.steps["s500"].error)
        assert fold(nested, await store.journal.events(RUN)).status == "failed"


# -- results -------------------------------------------------------------------------------------------------------


async def large_result(folder: Path, size: int) -> None:
    text = "x" * size
    async with house(folder, lambda _: {"t": text}) as (driver, store):
        state = await driver.start(chain(2), {}, run_id=RUN)

        assert (state.status, len(state.steps["s1"].output["t"])) == ("succeeded", size)
        assert fold(chain(2), await store.journal.events(RUN)) == state
    sizes = sizes_of(folder)
    assert sum(size for name, size in sizes.items() if name.startswith(DATABASE)) < 1 << 20
    assert [found > size for name, found in sizes.items() if len(name) == 64] == [True]


def sizes_of(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


async def test_a_large_result_is_a_file_and_no_row(tmp_path: Path) -> None:
    await large_result(tmp_path, 4 << 20)


@pytest.mark.long
async def test_a_result_of_a_hundred_megabytes_is_a_file_and_no_row(tmp_path: Path) -> None:
    await large_result(tmp_path, 100 << 20)


NOT_JSON: dict[str, Any] = {
    "an object": object(),
    "not a number": float("nan"),
    "a set": {1, 2},
    "bytes": b"x",
    "an object as key": {object(): 1},
}


@pytest.mark.parametrize("what", list(NOT_JSON))
async def test_a_result_that_is_no_json_fails_its_step(tmp_path: Path, what: str) -> None:
    async with house(tmp_path, lambda _: {"t": NOT_JSON[what]}) as (driver, store):
        state = await driver.start(chain(2), {}, run_id=RUN)

        assert state.status == "failed"
        assert "cannot be read" in str(state.error)
        assert fold(chain(2), await store.journal.events(RUN)) == state


async def test_a_result_that_nests_too_deeply_fails_its_step(tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    async with house(tmp_path, lambda _: {"t": deep}) as (driver, _):
        state = await driver.start(chain(2), {}, run_id=RUN)

        assert state.status == "failed"


# -- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [DAY, -DAY])
async def test_a_clock_that_is_set_does_not_hold_a_timer_up(tmp_path: Path, jump: float) -> None:
    timer = flow(Step(id="t", uses="wait.timer", with_={"seconds": 0.3}))
    async with house(tmp_path, lambda _: {}) as (_, store):
        bus, clock, began = InProcessBus(), Wall(), asyncio.Event()

        async def look(_: Message) -> None:
            began.set()

        await bus.subscribe("run.*.event", look)
        running = asyncio.create_task(Driver(bus, store.journal, clock).start(timer, {}, run_id=RUN))
        await began.wait()
        clock.at += jump

        state = await asyncio.wait_for(running, 30)

        assert state.status == "succeeded"
        assert fold(timer, await store.journal.events(RUN)) == state
        await bus.drain()


# -- disks ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "engine-faults", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def make_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)


async def driven(driver: Driver, workflow: Workflow, *, is_new: bool) -> RunState:
    return await (driver.start(workflow, {}, run_id=RUN) if is_new else driver.resume(workflow, RUN))


async def test_a_full_disk_ends_the_run_with_an_error_and_with_space_it_goes_on(small_disk: Path) -> None:
    workflow, done = chain(60), list[str]()

    def act(message: Message) -> Mapping[str, Any]:
        done.append(str(message.step_id))
        return {"t": os.urandom(7000).hex()}  # 14 KB: a row

    with pytest.raises(StoreError) as caught:
        async with house(small_disk, act) as (driver, _):
            await driven(driver, workflow, is_new=True)
    assert caught.value.where
    assert caught.value.cause
    assert caught.value.hint
    assert 5 < len(done) < 60

    make_room(small_disk)
    before = [*done]
    async with house(small_disk, act) as (driver, store):
        known = {event.step for event in await store.journal.events(RUN) if event.type == "StepSucceeded"}
        state = await driven(driver, workflow, is_new=False)
        assert (await store.examine())[1] == []

    assert state.status == "succeeded"
    assert known >= {*before[:-1]}  # all that was acknowledged: only the last one may not have been
    assert [step for step in done[len(before) :] if step in known] == []
    assert {*done} == {step.id for step in workflow.steps}


# -- processes -----------------------------------------------------------------------------------------------------

PROGRAM = """
    import asyncio, os, sys, threading
    from workflow_agent import WorkflowClient, step, workflow

    @workflow(name="stuck")
    class Stuck:
        @step(timeout="200ms")
        def wait(self, ctx):
            threading.Event().wait()

    @workflow(name="leaky")
    class Leaky:
        @step()
        async def spawn(self, ctx):
            self.left = asyncio.create_task(asyncio.sleep(3600))
            return {"n": 1}

    @workflow(name="plain")
    class Plain:
        @step()
        async def first(self, ctx):
            return {"n": 1}

        @step(depends_on=["first"])
        async def second(self, first_result):
            return {"n": first_result["n"] + 1}

    async def main(kind, runs):
        client = WorkflowClient(settings={"paths.state": sys.argv[1]})
        chosen = {"stuck": Stuck, "leaky": Leaky, "plain": Plain}[kind]
        flows = [await client.run_workflow(chosen, {}) for _ in range(runs)]
        for flow in flows:
            try:
                print("result", await flow.get_result())
            except Exception as error:
                print("error", type(error).__name__, error)

    asyncio.run(main(sys.argv[2], int(sys.argv[3])))
    print("end")
"""


def started(folder: Path, kind: str, runs: int = 1) -> subprocess.Popen[str]:
    program = folder / "program.py"
    program.write_text(textwrap.dedent(PROGRAM), encoding="utf-8")
    command = [sys.executable, str(program), str(folder / "state"), kind, str(runs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("kind", "said"), [("stuck", "error StepTimeoutError `wait` took longer"), ("leaky", "result {'n': 1}")]
)
def test_a_step_that_never_returns_or_leaves_a_task_holds_neither_its_run_nor_the_process(
    tmp_path: Path, kind: str, said: str
) -> None:
    out, problem = started(tmp_path, kind).communicate(timeout=90)

    assert said in out, problem
    assert out.endswith("end\n")


def test_two_processes_run_workflows_on_one_database(tmp_path: Path) -> None:
    ends = [each.communicate(timeout=120) for each in [started(tmp_path, "plain", 10) for _ in range(2)]]

    assert [out.count("result {'n': 2}") for out, _ in ends] == [10, 10], ends


async def test_an_owner_that_was_overtaken_is_told_by_its_first_record_and_starts_nothing_more(tmp_path: Path) -> None:
    """Should the lock of a run ever fail to keep a second process out, its journal does: the place is taken."""
    workflow, stalled, go_on = chain(4), asyncio.Event(), asyncio.Event()
    asked: dict[str, list[str]] = {"first": [], "second": []}
    stores = [await SqliteStore.open(tmp_path) for _ in asked]
    drivers = {}
    buses = []
    for name, store in zip(asked, stores, strict=True):

        async def act(message: Message, name: str = name) -> Mapping[str, Any]:
            asked[name].append(str(message.step_id))
            if asked["first"] == ["s0", "s1"] and name == "first":
                stalled.set()
                await go_on.wait()
            return {"by": name}

        buses.append(InProcessBus())
        await buses[-1].subscribe("agent.x.go", act, concurrency=10)
        drivers[name] = Driver(buses[-1], store.journal, Wall())
    overtaken = asyncio.ensure_future(drivers["first"].start(workflow, {}, run_id=RUN))
    await asyncio.wait_for(stalled.wait(), 30)

    state = await asyncio.wait_for(drivers["second"].resume(workflow, RUN), 30)
    go_on.set()
    with pytest.raises(ConflictError):
        await asyncio.wait_for(overtaken, 30)

    assert state.status == "succeeded"
    assert asked == {"first": ["s0", "s1"], "second": ["s1", "s2", "s3"]}
    assert fold(workflow, await stores[0].journal.events(RUN)) == state
    for bus, store in zip(buses, stores, strict=True):
        await bus.drain()
        await store.close()
