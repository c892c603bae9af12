"""When records reach the disk, what begins before, and what a crash takes away: no more than the mode says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.bus import InProcessBus
from workflow_agent.engine import Driver, fold
from workflow_agent.engine.writing import UNWRITTEN
from workflow_agent.model.errors import ConflictError, StoreError
from workflow_agent.model.event import Event, EventType
from workflow_agent.model.status import RunStatus
from workflow_agent.model.workflow import Durability, EffectPolicy, Step, Workflow
from workflow_agent.testing import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.unit.engine.driver_house import TickingClock, until
    from tests.unit.engine.test_engine_sweep import FLOWS, World, check

    from workflow_agent.model.message import Message
else:
    from driver_house import TickingClock, until
    from test_engine_sweep import FLOWS, World, check

GO: dict[str, Any] = {"uses": "x.go"}
RUN = "r-01ARZ3NDEKTSV4RRFFQ69G5FAV"
LATE = [Durability.PIPELINED, Durability.EXIT]


def chain(*steps: Step, durability: Durability, **more: Any) -> Workflow:
    linked = tuple(replace(step, needs=(steps[n - 1].id,)) if n else step for n, step in enumerate(steps))
    return Workflow(name="w", version="1", steps=linked, durability=durability, **more)


class Disk(MemoryJournal):
    """A journal whose writes can be held up, can fail, and are counted; from the n-th on they never come back."""

    def __init__(self, lives: int = 10**9) -> None:
        super().__init__()
        self.going = asyncio.Event()
        self.going.set()
        self.dead = asyncio.Event()
        self.full = False
        self.writes: list[list[EventType]] = []
        self._lives = lives

    async def append(self, run_id: str, expected_head: int, events: Sequence[Event]) -> int:
        if len(self.writes) >= self._lives:
            self.dead.set()
            await asyncio.Event().wait()
        await self.going.wait()
        if self.full:
            raise StoreError("the disk is full")
        head = await super().append(run_id, expected_head, events)
        self.writes.append([event.type for event in events])
        return head


class Place:
    """A driver on a disk; agents say which steps they were asked for."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.bus = InProcessBus(grace_s=0.1)
        self.driver = Driver(self.bus, disk, TickingClock(), grace_s=0.1)
        self.asked: list[str] = []
        self.on_disk: dict[str, set[str]] = {}
        self.told: list[int] = []
        self.held = asyncio.Event()

    async def open(self) -> Place:
        async def act(message: Message) -> Mapping[str, Any]:
            unit = str(message.step_id)
            self.asked.append(unit)
            if "#" not in unit:
                events = await self.disk.events(str(message.run_id))
                self.on_disk[unit] = {f"{event.type} {event.step}" for event in events}
            if message.subject.endswith("hold"):
                await self.held.wait()
            return {}

        async def hear(message: Message) -> None:
            if message.data["seq"] and message.data["seq"] < 100:
                assert any(event.seq == message.data["seq"] for event in await self.disk.events(str(message.run_id)))
                self.told.append(message.data["seq"])

        await self.bus.subscribe("agent.x.*", act, concurrency=8)
        await self.bus.subscribe("run.*.event", hear)
        return self


async def test_a_strict_step_finds_on_disk_all_that_led_to_it() -> None:
    place = await Place(Disk()).open()
    steps = [Step(id=name, pure=True, **GO) for name in "abc"]

    await place.driver.start(chain(*steps, durability=Durability.STRICT), {})
    await place.bus.drain()

    assert place.on_disk["b"] >= {"StepSucceeded a"}
    assert place.on_disk["c"] >= {"StepSucceeded a", "StepSucceeded b"}
    assert len(place.disk.writes) == 4


async def test_pipelined_a_pure_step_goes_ahead_of_the_disk_and_an_effect_waits_for_it() -> None:
    place = await Place(Disk()).open()
    steps = Step(id="a", **GO), Step(id="b", pure=True, **GO), Step(id="c", pure=True, **GO), Step(id="d", **GO)
    running = asyncio.create_task(place.driver.start(chain(*steps, durability=Durability.PIPELINED), {}, run_id=RUN))
    await until(lambda: "a" in place.asked or not place.disk.going.is_set())
    place.disk.going.clear()
    await until(lambda: "c" in place.asked)
    for _ in range(50):
        await asyncio.sleep(0)

    assert place.asked == ["a", "b", "c"]
    assert not place.on_disk["c"] & {"StepSucceeded a", "StepSucceeded b"}
    place.disk.going.set()
    state = await running
    await place.bus.drain()

    assert place.on_disk["d"] >= {"StepSucceeded a", "StepSucceeded b", "StepSucceeded c"}
    assert state == fold(chain(*steps, durability=Durability.PIPELINED), await place.disk.events(RUN))
    assert place.told == [*range(1, state.head + 1)], "everything is told once, in order, when it is on disk"


async def test_at_exit_a_run_is_two_writes_and_a_wait_is_one_more() -> None:
    place = await Place(Disk()).open()
    steps = [Step(id=f"s{number}", **GO) for number in range(20)]

    state = await place.driver.start(chain(*steps, durability=Durability.EXIT), {})
    assert [len(types) for types in place.disk.writes] == [2, 21]
    assert state.head == 23

    place.disk.writes.clear()
    timer = Step(id="t", uses="wait.timer", with_={"seconds": 0.001})
    await place.driver.start(chain(steps[0], timer, steps[1], durability=Durability.EXIT), {})
    await place.bus.drain()
    assert [types[-1] for types in place.disk.writes] == ["RunStarted", "StepStarted", "RunFinished"]


async def test_at_exit_what_must_not_repeat_and_another_run_find_everything_on_disk() -> None:
    place = await Place(Disk()).open()
    once = Step(id="once", effect=EffectPolicy.AT_MOST_ONCE, **GO)

    await place.driver.start(chain(Step(id="a", **GO), once, durability=Durability.EXIT), {})
    await place.bus.drain()

    assert place.on_disk["once"] >= {"StepSucceeded a", "StepStarted once"}


async def test_at_exit_memory_is_bounded() -> None:
    place = await Place(Disk()).open()
    loop = Step(id="l", until="iteration >= 1500", max_iterations=2000, **GO)

    await place.driver.start(chain(loop, durability=Durability.EXIT), {})
    await place.bus.drain()

    assert max(len(types) for types in place.disk.writes) <= UNWRITTEN + 2
    assert len(place.disk.writes) == 3


@pytest.mark.parametrize("mode", LATE)
@pytest.mark.parametrize("name", list(FLOWS))
async def test_every_mode_gives_the_same_results(name: str, mode: Durability) -> None:
    strict, late = await whole(name, Durability.STRICT), await whole(name, mode)

    assert {step: cell.status for step, cell in late.steps.items()} == {
        step: cell.status for step, cell in strict.steps.items()
    }
    assert (late.status, dict(late.state)) == (strict.status, dict(strict.state))


async def whole(name: str, mode: Durability) -> Any:
    journal = MemoryJournal()
    world = World(journal, {})
    await world.open()
    state = await world.driver.start(FLOWS[name], {}, run_id=RUN, durability=mode)
    await world.bus.drain()
    assert fold(FLOWS[name], await journal.events(RUN)) == state
    return state


@pytest.mark.parametrize("mode", list(Durability))
@pytest.mark.parametrize("name", ["sequence", "diamond of transactions", "map and reduce", "undo", "state", "child"])
async def test_a_crash_takes_away_what_the_mode_says_and_no_more(name: str, mode: Durability) -> None:
    """The process dies in its n-th write, for every n; the ledger of effects outlives it."""
    workflow = FLOWS[name]
    expected = await whole(name, mode)
    for lives in range(40):
        disk, ledger = Disk(lives), dict[str, int]()
        world = World(disk, ledger)
        await world.open()
        first = asyncio.create_task(world.driver.start(workflow, {}, run_id=RUN, durability=mode))
        dying = asyncio.create_task(disk.dead.wait())
        await asyncio.wait({first, dying}, return_when=asyncio.FIRST_COMPLETED)
        done = first.done()
        first.cancel()
        dying.cancel()
        await asyncio.wait({first, dying})
        before = await disk.events(RUN)
        asked = list(world.asked)
        disk._lives = 10**9
        again = World(disk, ledger)
        await again.open()
        state = (
            await again.driver.resume(workflow, RUN)
            if before
            else await again.driver.start(workflow, {}, run_id=RUN, durability=mode)
        )
        await world.bus.drain()
        await again.bus.drain()

        check(workflow, expected, state, before)
        assert max(ledger.values(), default=0) <= 2
        known = {f"{RUN} {event.step} {event.attempt}" for event in before if event.type is EventType.STEP_SUCCEEDED}
        assert not known & set(again.asked), "what is on disk is not done again"
        if mode is Durability.STRICT:
            assert before or not asked, "nothing begins before the run is on disk"
        if done:
            return
    raise AssertionError("the run never ended")


@pytest.mark.parametrize("mode", LATE)
async def test_a_disk_that_fails_ends_the_run_here_and_nothing_starts_after_it(mode: Durability) -> None:
    place = await Place(Disk()).open()
    steps = Step(id="a", uses="x.hold"), Step(id="b", **GO), Step(id="c", effect=EffectPolicy.AT_MOST_ONCE, **GO)
    running = asyncio.create_task(place.driver.start(chain(*steps, durability=mode), {}))
    await until(lambda: "a" in place.asked)
    place.disk.full = True
    place.held.set()

    with pytest.raises(StoreError):
        await running
    await place.bus.drain()
    assert "c" not in place.asked
    assert place.told == [1, 2]


@pytest.mark.parametrize("mode", LATE)
async def test_who_says_something_hears_back_when_it_is_on_disk(mode: Durability) -> None:
    place = await Place(Disk()).open()
    steps = Step(id="a", uses="x.hold"), Step(id="b", **GO)
    running = asyncio.create_task(place.driver.start(chain(*steps, durability=mode), {}, run_id=RUN))
    await until(lambda: "a" in place.asked)

    await place.driver.signal(RUN, "later", 1)
    assert (await place.disk.events(RUN))[-1].type is EventType.SIGNAL_RECEIVED
    await place.driver.pause(RUN)
    assert (await place.disk.events(RUN))[-1].type is EventType.RUN_PAUSED
    assert await place.driver.cancel(RUN)
    assert EventType.CANCEL_REQUESTED in {event.type for event in await place.disk.events(RUN)}
    state = await running
    await place.bus.drain()

    assert state.status is RunStatus.CANCELLED
    with pytest.raises(ConflictError):
        await place.driver.signal(RUN, "too late")


async def test_a_run_that_is_taken_up_keeps_its_mode() -> None:
    workflow = chain(Step(id="a", **GO), Step(id="b", **GO), Step(id="c", **GO), durability=Durability.STRICT)
    disk = Disk(1)
    place = await Place(disk).open()
    first = asyncio.create_task(place.driver.start(workflow, {}, run_id=RUN, durability=Durability.EXIT))
    await disk.dead.wait()
    first.cancel()
    await asyncio.wait({first})
    disk._lives = 10**9
    disk.writes.clear()
    again = await Place(disk).open()

    await again.driver.resume(workflow, RUN)
    await place.bus.drain()
    await again.bus.drain()

    assert again.asked == ["a", "b", "c"]
    assert len(disk.writes) == 1
