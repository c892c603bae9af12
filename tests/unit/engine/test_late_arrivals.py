"""What comes too late: places for what has ended, times of scopes that are over, whoever is asked to go twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.authoring import load_workflow
from workflow_agent.engine import fold
from workflow_agent.engine.commands import TakePlace, WaitUntil
from workflow_agent.engine.entrance import Entrance
from workflow_agent.engine.live import LiveRun
from workflow_agent.engine.places import LocalPlaces, Waiting
from workflow_agent.engine.timing import Timing
from workflow_agent.model.errors import ConflictError, NotFoundError
from workflow_agent.model.event import Event, EventType
from workflow_agent.model.places import Wanted
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from tests.unit.engine.driver_house import House, TickingClock, until
    from tests.unit.engine.pattern_house import Play, statuses
else:
    from driver_house import TickingClock, until
    from pattern_house import Play, statuses

LOCKS = """
name: locks
version: "1"
steps:
  - {id: one, uses: flow.scope, lock: k, steps: [{id: a, uses: shell.run}]}
  - {id: two, uses: flow.scope, lock: k, timeout_s: 5, steps: [{id: b, uses: shell.run}]}
  - {id: stop, uses: wait.signal, cancels: [two]}
  - {id: last, uses: flow.scope, lock: k, needs: [one, stop], steps: [{id: c, uses: shell.run}]}
  - {id: hold, uses: shell.run}
"""


async def test_a_lock_that_a_cancelled_scope_waited_for_goes_to_the_next(house: House) -> None:
    play = Play(house, load_workflow(LOCKS, source="w.yaml"), held=["a", "hold"])
    run_id = await play.begin()
    await play.until_asked("a", "hold")
    await house.driver.signal(run_id, "stop")
    await play.until_told("StepFailed", "two")

    play.let("a")
    await play.until_asked("c")
    play.let("hold")

    state = await play.end()
    assert (state.status, statuses(state)["two"], statuses(state)["last"]) == (
        RunStatus.SUCCEEDED,
        "cancelled",
        "succeeded",
    )


def events_of(*told: tuple[EventType, str | None, dict[str, Any]]) -> list[Event]:
    first = (EventType.RUN_CREATED, None, {"machine": 1})
    return [
        Event(run_id="r-1", seq=seq, type=kind, at=float(seq), step=step, data=data)
        for seq, (kind, step, data) in enumerate((first, (EventType.RUN_STARTED, None, {}), *told), start=1)
    ]


class Gone:
    """A run with a scope that was stopped while it waited for its lock, and the parts that let it in."""

    def __init__(self) -> None:
        workflow = load_workflow(LOCKS, source="w.yaml")
        error = ConflictError("stopped").to_dict()
        events = events_of((EventType.STEP_FAILED, "two", {"error": error, "status": "cancelled"}))
        self.run = LiveRun(workflow, "r-1", fold(workflow, events))
        self.places = LocalPlaces()
        self.waiting = Waiting(self.places, self.cancel)
        self.entrance = Entrance(self.waiting, TickingClock())
        self.cancelled: list[str] = []
        self.is_known = True

    async def cancel(self, run_id: str, reason: str) -> bool:
        self.cancelled.append(run_id)
        if not self.is_known:
            raise NotFoundError(f"there is no run `{run_id}`")
        return bool(reason)

    async def drafts(self) -> list[Any]:
        if self.run.tasks:
            await asyncio.wait(self.run.tasks)
        return [arrival() for arrival in await self.run.arrivals()]


async def test_a_place_for_a_scope_that_has_ended_is_no_news_and_is_given_back() -> None:
    gone = Gone()

    gone.entrance.wait(gone.run, TakePlace("two"))

    assert await gone.drafts() == [None]
    assert gone.run.places == {}
    gone.waiting.try_take(lock("r-2"))


async def test_a_place_that_was_given_back_already_is_not_given_back_twice() -> None:
    gone = Gone()
    gone.entrance.wait(gone.run, TakePlace("two"))
    await asyncio.wait(gone.run.tasks)
    gone.entrance.leave(gone.run)
    gone.waiting.try_take(lock("r-2"))

    assert await gone.drafts() == [None]
    with pytest.raises(ConflictError, match="of r-2"):
        gone.waiting.try_take(lock("r-3"))


async def test_a_line_that_is_too_long_is_no_news_for_a_scope_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_agent.engine.places.LONGEST_LINE", 1)
    gone = Gone()
    gone.places.enter(lock("r-2"))

    gone.entrance.wait(gone.run, TakePlace("two"))

    assert await gone.drafts() == [None]


async def test_the_time_of_a_scope_that_has_ended_is_no_news() -> None:
    gone = Gone()

    Timing(TickingClock()).wait(gone.run, WaitUntil("two", 0.0))

    assert [arrival() for arrival in await gone.run.arrivals()] == [None]


async def test_a_time_that_is_far_away_is_looked_at_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_agent.engine.timing.LOOK_S", 0.001)
    gone = Gone()

    # A second passes with each look: the third finds that it is time, long before two seconds have passed here.
    Timing(TickingClock(1000.0)).wait(gone.run, WaitUntil("two", 1003.0))

    assert [arrival() for arrival in await asyncio.wait_for(gone.run.arrivals(), 1.0)] == [None]


def lock(run_id: str) -> Wanted:
    return Wanted(ticket=f"{run_id}/two", key="lock k", limit=1, run_id=run_id, unit="two")


def place(run_id: str, key: str) -> Wanted:
    return Wanted(ticket=run_id, key=f"runs {key}", limit=1, run_id=run_id, kind="concurrency", evicts=True)


async def test_every_key_s_oldest_run_is_asked_to_go_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_agent.engine.places.LOOK_S", 0.001)
    gone = Gone()
    gone.is_known = False  # it ended just now: nobody minds
    for key in ("x", "y"):
        await gone.waiting.take(place(f"r-old-{key}", key))
        gone.places.enter(place(f"r-new-{key}", key))
    await gone.waiting.take(place("r-alone", "z"))  # for it somebody goes on watching
    gone.places.enter(place("r-newest-x", "x"))  # wants the place of the newer one of another process

    await until(lambda: len(gone.cancelled) > 1)
    await asyncio.sleep(0.01)

    assert sorted(gone.cancelled) == ["r-old-x", "r-old-y"]
    gone.waiting.leave(place("r-alone", "z"))


async def test_who_watches_ends_when_nobody_is_left_who_may_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_agent.engine.places.LOOK_S", 0.001)
    gone = Gone()
    before = asyncio.all_tasks()
    await gone.waiting.take(place("r-1", "x"))
    (watching,) = asyncio.all_tasks() - before

    gone.waiting.leave(place("r-1", "x"))
    await asyncio.wait_for(watching, 10)

    await gone.waiting.take(place("r-2", "x"))
    assert len(asyncio.all_tasks() - before) == 1
