"""Control-flow patterns by their numbers: basic flow, branching and joining, iteration, termination, triggers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from workflow_agent.authoring import load_workflow
from workflow_agent.engine import Driver
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from tests.unit.engine.driver_house import House
    from tests.unit.engine.pattern_house import Play, pattern, patterns, statuses

    from workflow_agent.model.workflow import Workflow
else:
    from pattern_house import Play, pattern, patterns, statuses

NUMBERS = {*range(1, 8), 9, *range(11, 17), *range(19, 28), 29, 30, 32, *range(34, 38), 39, 43}


def test_the_page_has_the_patterns_and_every_one_is_valid() -> None:
    assert set(patterns()) == NUMBERS
    assert len({pattern(number).name for number in NUMBERS}) == 32


async def test_01_sequence(house: House) -> None:
    play = Play(house, pattern(1), held=["build"])
    await play.begin()
    await play.until_asked("build")
    assert play.asked == ["build"]

    play.let("build")

    assert (await play.end()).status is RunStatus.SUCCEEDED
    assert play.ended == ["build", "test"]


async def test_02_parallel_split(house: House) -> None:
    play = Play(house, pattern(2), held=["unit", "lint"])
    await play.begin()

    await play.until_asked("unit", "lint")

    play.let("unit", "lint")
    assert (await play.end()).status is RunStatus.SUCCEEDED


async def test_03_synchronization(house: House) -> None:
    play = Play(house, pattern(3), held=["unit", "lint"])
    await play.begin()
    await play.until_asked("unit", "lint")
    play.let("lint")
    await play.until_told("StepSucceeded", "lint")
    assert "publish" not in play.asked

    play.let("unit")

    assert statuses(await play.end())["publish"] == "succeeded"


@pytest.mark.parametrize(("size", "chosen"), [(200, "truck"), (50, "van"), (5, "bike")])
async def test_04_exclusive_choice(house: House, size: int, chosen: str) -> None:
    play = Play(house, pattern(4))

    state = await play.run(size=size)

    assert play.asked == [chosen]
    assert sorted(statuses(state).values()) == ["skipped", "skipped", "succeeded", "succeeded"]


@pytest.mark.parametrize(("fast", "branch"), [(True, "air"), (False, "sea")])
async def test_05_simple_merge(house: House, *, fast: bool, branch: str) -> None:
    play = Play(house, pattern(5))

    await play.run(fast=fast)

    assert play.asked == [branch, "deliver"]


@pytest.mark.parametrize(
    ("fire", "injured", "sent"),
    [(True, True, ["engine", "ambulance"]), (True, False, ["engine"]), (False, False, ["patrol"])],
)
async def test_06_multi_choice(house: House, *, fire: bool, injured: bool, sent: list[str]) -> None:
    play = Play(house, pattern(6))

    await play.run(fire=fire, injured=injured)

    assert sorted(play.asked) == sorted(sent)


@pytest.mark.parametrize(("fire", "injured"), [(True, True), (True, False), (False, False)])
async def test_07_structured_synchronizing_merge(house: House, *, fire: bool, injured: bool) -> None:
    sent = ["engine"] * fire + ["ambulance"] * injured
    play = Play(house, pattern(7), held=sent)
    await play.begin(fire=fire, injured=injured)
    await play.until_asked(*sent)
    assert sent == [] or "report" not in play.asked
    play.let(*sent)

    await play.end()

    assert play.asked[-1] == "report"
    assert len(play.asked) == len(sent) + 1


async def test_09_structured_discriminator(house: House) -> None:
    play = Play(house, pattern(9), held=["north", "south"])
    await play.begin()
    await play.until_asked("north", "south")

    play.let("south")
    await play.until_told("StepSucceeded", "answer")
    play.let("north")

    state = await play.end()
    assert play.ended == ["south", "answer", "north"]
    assert play.asked.count("answer") == 1
    assert set(statuses(state).values()) == {"succeeded"}


async def test_11_implicit_termination(house: House) -> None:
    play = Play(house, pattern(11), held=["parcel"])
    run_id = await play.begin()
    await play.until_told("StepSucceeded", "invoice")
    assert "RunFinished" not in await house.story(run_id)

    play.let("parcel")

    assert (await play.end()).status is RunStatus.SUCCEEDED


async def test_21_structured_loop(house: House) -> None:
    play = Play(house, pattern(21))
    play.answers = {"poll#1": {"ready": False}, "poll#2": {"ready": False}, "poll#3": {"ready": True}}

    await play.run()

    assert play.asked == ["poll#1", "poll#2", "poll#3", "fetch"]


async def test_22_recursion(house: House) -> None:
    workflow = pattern(22)

    class Source:
        def get(self, name: str) -> Workflow:
            assert name == "countdown"
            return workflow

    house.driver = Driver(house.bus, house.journal, house.clock, workflows=Source())
    play = Play(house, workflow)
    play.answers = {"take": lambda message: {"left": message.data["from"][1:]}}

    state = await play.run(left=[1, 2, 3])

    assert play.asked == ["take"] * 3
    assert state.status is RunStatus.SUCCEEDED


async def test_23_transient_trigger(house: House) -> None:
    play = Play(house, pattern(23), held=["warm-up"])
    run_id = await play.begin()
    await play.until_asked("warm-up")
    await house.driver.signal(run_id, "alarm", {"number": 1})
    play.let("warm-up")
    await play.until_told("StepStarted", "alarm")
    assert "react" not in play.asked

    await house.driver.signal(run_id, "alarm", {"number": 2})

    assert (await play.end()).steps["alarm"].output == {"number": 2}


async def test_24_persistent_trigger(house: House) -> None:
    play = Play(house, pattern(24), held=["warm-up"])
    run_id = await play.begin()
    await play.until_asked("warm-up")
    await house.driver.signal(run_id, "order", {"number": 1})
    play.let("warm-up")

    state = await play.end()

    assert state.steps["order"].output == {"number": 1}
    assert play.asked == ["warm-up", "deliver"]


async def test_29_cancelling_discriminator(house: House) -> None:
    play = Play(house, pattern(29), held=["north"])

    state = await play.run()

    assert statuses(state) == {"north": "cancelled", "south": "succeeded", "first": "succeeded", "answer": "succeeded"}
    assert state.status is RunStatus.SUCCEEDED


async def test_30_structured_partial_join(house: House) -> None:
    play = Play(house, pattern(30), held=["a", "b", "c"])
    await play.begin()
    await play.until_asked("a", "b", "c")
    play.let("a")
    await play.until_told("StepSucceeded", "a")
    assert "agreed" not in play.asked
    play.let("c")
    await play.until_told("StepSucceeded", "agreed")
    play.let("b")

    assert set(statuses(await play.end()).values()) == {"succeeded"}
    assert play.asked.count("agreed") == 1


async def test_32_cancelling_partial_join(house: House) -> None:
    play = Play(house, pattern(32), held=["b"])

    state = await play.run()

    assert statuses(state)["b"] == "cancelled"
    assert (state.status, play.asked[-1]) == (RunStatus.SUCCEEDED, "agreed")


@pytest.mark.parametrize("deep", [True, False])
async def test_37_local_synchronizing_merge(house: House, *, deep: bool) -> None:
    play = Play(house, pattern(37), held=["price"])
    await play.begin(deep=deep)
    await play.until_told("StepSucceeded" if deep else "StepSkipped", "verify")
    assert "report" not in play.asked

    play.let("price")

    state = await play.end()
    assert play.asked[-1] == "report"
    assert statuses(state)["probe"] == ("succeeded" if deep else "skipped")


async def test_43_explicit_termination(house: House) -> None:
    play = Play(house, pattern(43), held=["south"])

    state = await play.run()

    assert statuses(state) == {"north": "succeeded", "south": "cancelled", "found": "succeeded", "tidy": "succeeded"}
    assert (state.status, state.output) == (RunStatus.SUCCEEDED, {"north": "succeeded", "south": "running"})


async def test_20_cancel_case(house: House) -> None:
    play = Play(house, pattern(20), held=["mortgage"])
    run_id = await play.begin()
    await play.until_asked("mortgage")

    assert await house.driver.cancel(run_id)

    state = await play.end()
    assert statuses(state) == {"mortgage": "cancelled", "pay": "skipped", "notify": "succeeded"}
    assert state.status is RunStatus.CANCELLED


async def test_16_deferred_choice(house: House) -> None:
    play = Play(house, pattern(16))
    run_id = await play.begin()
    await play.until_told("StepStarted", "late")

    await house.driver.signal(run_id, "customer", {"yes": True})

    state = await asyncio.wait_for(play.end(), 5)
    assert statuses(state) == {"answer": "succeeded", "late": "cancelled", "ship": "succeeded", "remind": "skipped"}


async def test_16_deferred_choice_the_time_comes_first(house: House) -> None:
    text = patterns()[16].replace("86400", "0")
    state = await Play(house, load_workflow(text, source="w.yaml")).run()

    assert statuses(state) == {"answer": "cancelled", "late": "succeeded", "ship": "skipped", "remind": "succeeded"}
