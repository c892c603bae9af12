"""Runs with one key, locks and rates of steps: who waits, who is refused, who has to go."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.authoring import load_workflow
from workflow_agent.engine import Driver, fold, places
from workflow_agent.engine.places import LocalPlaces, described
from workflow_agent.model.errors import ConflictError, ValidationError
from workflow_agent.model.status import RunStatus
from workflow_agent.model.workflow import InputSpec, Step, Workflow

if TYPE_CHECKING:
    from tests.unit.engine.driver_house import House, until
    from tests.unit.engine.pattern_house import Play

    from workflow_agent.model.event import RunState
else:
    from driver_house import until
    from pattern_house import Play

INPUTS = {"env": InputSpec(type="any", default="prod")}


def deploy(on_conflict: str = "wait", **more: Any) -> Workflow:
    concurrency = {"key": "deploy-${{ inputs.env }}", "limit": 1, "on_conflict": on_conflict}
    steps = (Step(id="go", uses="shell.run"),)
    return Workflow(
        **({"name": "deploy", "version": "1", "steps": steps, "inputs": INPUTS, "concurrency": concurrency} | more)
    )


class Runs:
    """Runs of workflows whose step `go` waits until it is let; at most one is begun at a time."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.asked: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[RunState]] = {}

    async def serve(self) -> None:
        async def act(message: Any) -> dict[str, Any]:
            run_id = str(message.run_id)
            self.asked.append(run_id)
            await self.gates[run_id].wait()
            return {}

        await self.house.bus.subscribe("agent.shell.run", act, concurrency=20)

    async def begin(self, run_id: str, workflow: Workflow, **inputs: Any) -> None:
        self.gates[run_id] = asyncio.Event()
        self.tasks[run_id] = asyncio.create_task(self.house.driver.start(workflow, inputs, run_id=run_id))
        await until(lambda: self.tasks[run_id].done() or any(each["run_id"] == run_id for each in self.house.told))

    async def end(self, run_id: str) -> RunState:
        self.gates[run_id].set()
        return await self.tasks[run_id]


@pytest.fixture
async def runs(house: House) -> Runs:
    made = Runs(house)
    await made.serve()
    return made


async def test_a_run_waits_until_the_one_with_its_key_has_ended(house: House, runs: Runs) -> None:
    workflow = deploy()
    await runs.begin("r-1", workflow)
    await until(lambda: runs.asked == ["r-1"])
    await runs.begin("r-2", workflow)
    await runs.begin("r-3", workflow, env="test")
    await until(lambda: "r-3" in runs.asked)
    assert await house.story("r-2") == ["RunCreated"]
    (standing,) = house.driver.waits_of("r-2")
    assert described(standing) == "one of 1 places of `deploy-prod`, held by r-1"
    assert fold(workflow, await house.journal.events("r-2")).status is RunStatus.QUEUED

    states = [await runs.end(run_id) for run_id in ("r-1", "r-2", "r-3")]

    assert [state.status for state in states] == [RunStatus.SUCCEEDED] * 3
    assert house.driver.waits_of("r-2") == []


async def test_a_run_may_be_refused_instead(house: House, runs: Runs) -> None:
    await runs.begin("r-1", deploy("refuse"))
    await until(lambda: runs.asked == ["r-1"])

    with pytest.raises(ConflictError, match="would wait for one of 1 places of `deploy-prod`, held by r-1"):
        await house.driver.start(deploy("refuse"), {}, run_id="r-2")

    assert await house.journal.events("r-2") == []
    await runs.end("r-1")
    await runs.begin("r-3", deploy("refuse"))
    assert (await runs.end("r-3")).status is RunStatus.SUCCEEDED


async def test_a_newer_run_may_take_the_place_of_the_oldest(runs: Runs) -> None:
    workflow = deploy("cancel-oldest")
    await runs.begin("r-1", workflow)
    await until(lambda: runs.asked == ["r-1"])

    await runs.begin("r-2", workflow)
    runs.gates["r-1"].set()

    first = await runs.tasks["r-1"]
    assert (await runs.end("r-2")).status is RunStatus.SUCCEEDED
    assert first.cancel_reason in {"a newer run takes its place", None}


async def test_the_oldest_is_cancelled_where_it_does_not_end(house: House, runs: Runs) -> None:
    workflow = deploy("cancel-oldest")
    house.with_grace(0.05)
    await runs.begin("r-1", workflow)
    await until(lambda: runs.asked == ["r-1"])

    await runs.begin("r-2", workflow)

    first = await asyncio.wait_for(runs.tasks["r-1"], 10)
    assert (first.status, first.cancel_reason) == (RunStatus.CANCELLED, "a newer run takes its place")
    assert (await runs.end("r-2")).status is RunStatus.SUCCEEDED


async def test_a_run_that_waits_can_be_cancelled_and_does_nothing(house: House, runs: Runs) -> None:
    always = Step(id="tidy", uses="shell.run", always=True)
    workflow = deploy(steps=(Step(id="go", uses="shell.run"), always), timeout_s=0.001)
    await runs.begin("r-1", deploy())
    await runs.begin("r-2", workflow)
    await asyncio.sleep(0.01)  # the time of a run that waits does not run

    with pytest.raises(ConflictError, match="the run waits for its place"):
        await house.driver.pause("r-2")
    assert await house.driver.cancel("r-2", "not wanted")

    state = await runs.tasks["r-2"]
    assert (state.status, state.cancel_reason) == (RunStatus.CANCELLED, "not wanted")
    assert runs.asked == ["r-1"]
    assert await house.story("r-2") == ["RunCreated", "RunFinished"]
    await runs.end("r-1")


async def test_a_signal_for_a_run_that_waits_is_kept(house: House, runs: Runs) -> None:
    steps = (Step(id="word", uses="wait.signal"),)
    await runs.begin("r-1", deploy())
    await runs.begin("r-2", deploy(steps=steps))

    await house.driver.signal("r-2", "word", {"n": 1})
    await runs.end("r-1")

    assert (await runs.end("r-2")).output == {"n": 1}


async def test_a_run_that_died_waiting_or_at_work_takes_its_place_again(house: House, runs: Runs) -> None:
    workflow = deploy()
    await runs.begin("r-1", workflow)
    await until(lambda: runs.asked == ["r-1"])
    await runs.begin("r-2", workflow)
    for run_id in ("r-1", "r-2"):
        runs.tasks[run_id].cancel()
        await asyncio.wait({runs.tasks[run_id]})
    for gate in runs.gates.values():
        gate.set()

    states = await asyncio.gather(*(house.driver.resume(workflow, run_id) for run_id in ("r-2", "r-1")))

    assert [state.status for state in states] == [RunStatus.SUCCEEDED] * 2


@pytest.mark.parametrize("how", ["cancel", "time"])
async def test_a_run_that_waits_to_take_its_place_again_stops_when_it_is_told_to(
    house: House, runs: Runs, how: str
) -> None:
    workflow = deploy(timeout_s=None if how == "cancel" else 0.3)
    other = deploy(name="other")
    await runs.begin("r-1", workflow)
    await until(lambda: runs.asked == ["r-1"])
    runs.tasks["r-1"].cancel()
    await asyncio.wait({runs.tasks["r-1"]})
    await runs.begin("r-2", other)
    await until(lambda: runs.asked == ["r-1", "r-2"])

    again = asyncio.create_task(house.driver.resume(workflow, "r-1"))
    await until(lambda: len(house.driver.waits_of("r-1")) == 1)
    if how == "cancel":
        assert await house.driver.cancel("r-1", "not any more")
    state = await again

    assert state.status is (RunStatus.CANCELLED if how == "cancel" else RunStatus.FAILED)
    assert runs.asked == ["r-1", "r-2"]
    assert house.driver.waits_of("r-1") == []
    assert (await runs.end("r-2")).status is RunStatus.SUCCEEDED


async def test_of_those_that_wait_the_highest_priority_comes_first(runs: Runs) -> None:
    await runs.begin("r-1", deploy())
    await runs.begin("r-2", deploy(priority=1))
    await runs.begin("r-3", deploy(priority=9))
    runs.gates["r-2"].set()

    await runs.end("r-1")
    await runs.end("r-3")
    await runs.tasks["r-2"]

    assert runs.asked == ["r-1", "r-3", "r-2"]


async def test_a_run_whose_key_has_no_value_is_not_begun(house: House) -> None:
    workflow = deploy(concurrency={"key": "${{ inputs.env }}", "limit": 1, "on_conflict": "wait"})

    with pytest.raises(ValidationError, match="the key of a lock or a limit is a text"):
        await house.driver.start(workflow, {"env": ["a"]}, run_id="r-1")

    assert await house.journal.events("r-1") == []


async def test_a_run_for_which_too_many_wait_ends_without_having_begun(
    house: House, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "LONGEST_LINE", 1)
    await runs.begin("r-1", deploy())

    state = await house.driver.start(deploy(), {}, run_id="r-2")

    assert state.status is RunStatus.CANCELLED
    assert state.error is not None
    assert state.error["message"] == "1 wait for `runs deploy-prod` already"
    await runs.end("r-1")


async def test_locks_hold_between_runs_and_are_left_when_a_step_fails(house: House, runs: Runs) -> None:
    steps = (Step(id="go", uses="shell.run", lock="db"),)
    workflow = deploy(concurrency=None, steps=steps)
    await runs.begin("r-1", workflow)
    await until(lambda: runs.asked == ["r-1"])
    await runs.begin("r-2", workflow)
    await until(lambda: bool(house.driver.waits_of("r-2")))
    assert described(house.driver.waits_of("r-2")[0]) == "the lock `db`, held by `go` of r-1"

    await runs.end("r-1")

    assert (await runs.end("r-2")).status is RunStatus.SUCCEEDED


async def test_a_step_that_waits_for_a_lock_can_be_cancelled(house: House, runs: Runs) -> None:
    workflow = deploy(concurrency=None, steps=(Step(id="go", uses="shell.run", lock="db"),))
    house.with_grace(0.05)
    await runs.begin("r-1", workflow)
    await until(lambda: runs.asked == ["r-1"])
    await runs.begin("r-2", workflow)
    await until(lambda: bool(house.driver.waits_of("r-2")))

    await house.driver.cancel("r-2")

    assert (await runs.tasks["r-2"]).status is RunStatus.CANCELLED
    assert runs.asked == ["r-1"]
    await runs.end("r-1")


async def test_starts_are_held_to_their_rate(house: House) -> None:
    text = """
name: calls
version: "1"
steps:
  - id: call
    uses: shell.run
    each: "['a', 'a', 'b', 'a']"
    rate: {key: "api-${{ item }}", limit: 2, per_s: 60}
"""
    now = [0.0]
    house.driver = Driver(house.bus, house.journal, house.clock, places=LocalPlaces(lambda: now[0]))
    play = Play(house, load_workflow(text, source="w.yaml"))
    run_id = await play.begin()
    await play.until_asked("call[0]", "call[1]", "call[2]")
    await until(lambda: bool(house.driver.waits_of(run_id)))
    assert described(house.driver.waits_of(run_id)[0]) == "the rate `api-a`: 2 starts in 60 s"
    assert "call[3]" not in play.asked

    now[0] += 61
    await house.driver.start(
        replace(deploy(), steps=(Step(id="x", uses="shop.list", lock="w"),)), {}
    )  # who leaves wakes

    assert (await play.end()).status is RunStatus.SUCCEEDED


async def test_children_wait_for_locks_too(house: House) -> None:
    child = Workflow(name="child", version="1", steps=(Step(id="c", uses="shell.run", lock="db"),))

    class Source:
        def get(self, name: str) -> Workflow:
            assert name == "child"
            return child

    house.driver = Driver(house.bus, house.journal, house.clock, workflows=Source())
    call = {"workflow": "child"}
    steps = tuple(Step(id=each, uses="workflow.run", with_=call, lock="one") for each in "ab")
    broken = Step(id="z", uses="workflow.run", with_=call, lock="${{ inputs.env }}", on_error="continue")
    play = Play(house, Workflow(name="p", version="1", steps=(*steps, broken), inputs={"env": InputSpec()}))

    state = await play.run()

    assert play.asked == ["c", "c"]
    assert state.status is RunStatus.SUCCEEDED
    assert state.steps["z"].status.value == "failed"
