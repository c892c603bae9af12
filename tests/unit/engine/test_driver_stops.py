"""Cancels, time-outs and resumptions: nothing is final before it is known to have stopped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.engine import Driver, fold
from workflow_agent.model.errors import (
    ConflictError,
    InterruptedRunError,
    NotFoundError,
    ScriptFailedError,
)
from workflow_agent.model.status import RunStatus, StepStatus
from workflow_agent.model.workflow import Backoff, EffectPolicy, Step, Workflow
from workflow_agent.testing import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.engine.driver_house import House, hung

    from workflow_agent.model.event import RunState
    from workflow_agent.model.message import Message
else:
    from driver_house import hung

TX = EffectPolicy.TRANSACTIONAL
RECOVER = Step(id="r", uses="x.undo", with_={"f": "${{ failure }}"}, phase=RunStatus.ROLLING_BACK)


def flow(*steps: Step, **more: Any) -> Workflow:
    # One place: steps without needs go one after the other.
    return Workflow(name="w", version="1", steps=steps, **({"max_workers": 1} | more))


class Stoppable:
    """An agent that begins, and ends as it is told when ``ctl.cancel`` names its step."""

    def __init__(self, end: Callable[[], Any]) -> None:
        self.started = asyncio.Event()
        self._stop = asyncio.Event()
        self._end = end

    async def act(self, _message: Message) -> Any:
        self.started.set()
        await self._stop.wait()
        return self._end()

    async def on_cancel(self, _message: Message) -> None:
        self._stop.set()


def interrupted() -> None:
    raise InterruptedRunError("stopped")


async def cancelled(house: House, workflow: Workflow, started: asyncio.Event) -> RunState:
    async with asyncio.TaskGroup() as group:
        run = group.create_task(house.driver.start(workflow, {}, run_id="r-1"))
        await started.wait()
        assert await house.driver.cancel("r-1", "Ctrl-C")
    assert fold(workflow, await house.journal.events("r-1")) == run.result()
    return run.result()


async def test_a_cancelled_step_confirms_that_it_stopped_and_recovery_runs(house: House) -> None:
    agent = Stoppable(interrupted)
    await house.agent("x.go", agent.act)
    await house.bus.subscribe("ctl.cancel", agent.on_cancel)
    await house.agent("x.undo", lambda _: None)

    state = await cancelled(
        house, flow(Step(id="a", uses="x.go"), Step(id="b", uses="x.go"), on_failure=(RECOVER,)), agent.started
    )

    assert (state.status, state.steps["a"].status) == (RunStatus.CANCELLED, StepStatus.CANCELLED)
    assert house.stopped == [{"run_id": "r-1", "step_id": "a"}]
    assert house.asked[-1].data["f"]["error"]["code"] == "interrupted"
    assert await house.story("r-1") == [
        "RunCreated",
        "RunStarted",
        "CancelRequested",
        "StepFailed a",
        "StepSkipped b",
        "StepSucceeded r",
        "RunFinished",
    ]


async def test_a_late_success_is_recorded_and_recovery_can_undo_it(house: House) -> None:
    agent = Stoppable(lambda: {"transaction": "t1"})
    await house.agent("x.go", agent.act)
    await house.bus.subscribe("ctl.cancel", agent.on_cancel)
    await house.agent("x.undo", lambda _: {"_run_status": "rolled-back"})

    state = await cancelled(house, flow(Step(id="a", uses="x.go"), on_failure=(RECOVER,)), agent.started)

    assert (state.status, state.steps["a"].output) == (RunStatus.ROLLED_BACK, {"transaction": "t1"})


async def test_a_step_that_does_not_confirm_is_unknown_and_its_handler_is_cancelled(house: House) -> None:
    house.with_grace(0.02)
    started = asyncio.Event()
    ended: list[str] = []

    async def stubborn(message: Message) -> None:
        try:
            await hung(started)(message)
        except asyncio.CancelledError:
            ended.append("handler")
            raise

    await house.agent("x.go", stubborn)

    state = await cancelled(house, flow(Step(id="a", uses="x.go", effect=TX)), started)

    assert (state.status, state.steps["a"].status) == (RunStatus.CANCELLED, StepStatus.UNKNOWN)
    assert ended == ["handler"]


async def test_every_caller_of_cancel_learns_that_it_took_effect(house: House) -> None:
    agent = Stoppable(interrupted)
    await house.agent("x.go", agent.act)
    await house.bus.subscribe("ctl.cancel", agent.on_cancel)

    async with asyncio.TaskGroup() as group:
        group.create_task(house.driver.start(flow(Step(id="a", uses="x.go")), {}, run_id="r-1"))
        await agent.started.wait()
        answers = await asyncio.gather(*(house.driver.cancel("r-1", f"caller {n}") for n in range(3)))

    assert answers == [True, True, True]
    cancel = [event for event in await house.journal.events("r-1") if event.type == "CancelRequested"]
    assert [event.data for event in cancel] == [{"reason": "caller 0"}]


async def test_a_run_that_is_ending_cannot_be_cancelled(house: House) -> None:
    async def try_it(message: Message) -> dict[str, Any]:
        return {"took effect": await house.driver.cancel(str(message.run_id))}

    await house.agent("x.undo", try_it)

    state = await house.run(flow(Step(id="a", uses="no.body"), on_failure=(RECOVER,)))

    assert state.steps["r"].output == {"took effect": False}
    assert state.status is RunStatus.FAILED


async def test_what_does_not_run_here_cannot_be_cancelled(house: House) -> None:
    with pytest.raises(NotFoundError, match="`r-9` is not running here"):
        await house.driver.cancel("r-9")


async def test_a_cancel_during_the_last_step_that_ends_first_is_answered_no(house: House) -> None:
    """The last step answers before the cancel can be written: the run is done, and says so."""

    async def ask_and_end(message: Message) -> None:
        asking.append(asyncio.create_task(house.driver.cancel(str(message.run_id))))

    asking: list[asyncio.Task[bool]] = []
    await house.agent("x.go", ask_and_end)

    state = await house.run(flow(Step(id="a", uses="x.go")))

    assert state.status in {RunStatus.SUCCEEDED, RunStatus.CANCELLED}
    assert await asking[0] is (state.status is RunStatus.CANCELLED)


async def test_a_cancel_between_steps_starts_no_further_one(house: House) -> None:
    asking: list[asyncio.Task[bool]] = []

    async def cancel(message: Message) -> None:
        # Told before the next step is asked for, and nothing is in flight then.
        if message.data["type"] == "StepSucceeded":
            asking.append(asyncio.create_task(house.driver.cancel(str(message.run_id))))

    await house.agent("x.go", lambda _: None)
    await house.bus.subscribe("run.*.event", cancel, limit=1)
    steps = [Step(id=f"s{n}", uses="x.go", effect=TX) for n in range(20)]

    state = await house.run(flow(*steps))

    assert state.status is RunStatus.CANCELLED
    assert len(house.asked) < 20
    assert await asking[0] is True


async def test_a_cancel_ends_the_wait_for_a_retry(house: House) -> None:
    async def broken(_: Message) -> None:
        raise ScriptFailedError

    async def cancel(message: Message) -> None:
        if message.data["type"] == "RetryScheduled":
            assert await house.driver.cancel(str(message.run_id))

    await house.agent("x.go", broken)
    await house.bus.subscribe("run.*.event", cancel)

    state = await house.run(flow(Step(id="a", uses="x.go", retry=Backoff(attempts=2, initial_s=3600, max_s=3600))))

    assert (state.status, state.steps["a"].status) == (RunStatus.CANCELLED, StepStatus.CANCELLED)


# -- time-outs ---------------------------------------------------------------------------------------------------


async def test_a_step_out_of_time_that_confirms_is_failed_and_may_be_tried_again(house: House) -> None:
    agent = Stoppable(interrupted)
    await house.agent("x.go", agent.act)
    await house.bus.subscribe("ctl.cancel", agent.on_cancel)
    slow = Step(id="a", uses="x.go", timeout_s=0.01, retry=Backoff(attempts=2, initial_s=0.001))

    state = await house.run(flow(slow))

    assert state.error is not None
    assert (state.status, state.steps["a"].attempt) == (RunStatus.FAILED, 2)
    # The second attempt was stopped before it began: it ends within its time.
    assert state.error["code"] in {"step-timeout", "interrupted"}
    story = await house.story(state.run_id)
    assert story[2:5] == ["StepFailed a", "RetryScheduled a", "StepStarted a"]


async def test_a_step_out_of_time_names_its_limit_and_what_the_agent_said(house: House) -> None:
    agent = Stoppable(interrupted)
    await house.agent("x.go", agent.act)
    await house.bus.subscribe("ctl.cancel", agent.on_cancel)

    state = await house.run(flow(Step(id="a", uses="x.go", timeout_s=0.01)))

    assert state.error is not None
    assert (state.error["message"], state.error["cause"]) == ("`a` took longer than 0.01 s", "stopped")
    assert state.steps["a"].status is StepStatus.FAILED


async def test_a_step_out_of_time_that_does_not_confirm_is_unknown(house: House) -> None:
    house.with_grace(0.01)
    await house.agent("x.go", hung(asyncio.Event()))

    state = await house.run(flow(Step(id="a", uses="x.go", timeout_s=0.01)))

    assert (state.status, state.steps["a"].status) == (RunStatus.FAILED, StepStatus.UNKNOWN)


async def test_a_success_after_its_time_is_kept_and_recovered_from(house: House) -> None:
    agent = Stoppable(lambda: {"transaction": "t1"})
    await house.agent("x.go", agent.act)
    await house.bus.subscribe("ctl.cancel", agent.on_cancel)
    await house.agent("x.undo", lambda _: {"_run_status": "rolled-back"})

    state = await house.run(flow(Step(id="a", uses="x.go", timeout_s=0.01), on_failure=(RECOVER,)))

    assert (state.status, state.steps["a"].status) == (RunStatus.ROLLED_BACK, StepStatus.SUCCEEDED)
    assert state.steps["a"].output == {"transaction": "t1"}
    assert house.asked[-1].data["f"]["error"]["code"] == "step-timeout"


async def test_recovery_that_succeeds_late_has_succeeded(house: House) -> None:
    agent = Stoppable(lambda: {"_run_status": "rolled-back"})
    await house.agent("x.undo", agent.act)
    await house.bus.subscribe("ctl.cancel", agent.on_cancel)
    recover = Step(id="r", uses="x.undo", timeout_s=0.01)

    state = await house.run(flow(Step(id="a", uses="no.body"), on_failure=(recover,)))

    assert state.status is RunStatus.ROLLED_BACK


async def test_the_time_of_the_run_binds_its_steps(house: House) -> None:
    agent = Stoppable(interrupted)
    await house.agent("x.go", agent.act)
    await house.bus.subscribe("ctl.cancel", agent.on_cancel)
    again = Backoff(attempts=9, initial_s=0.001)

    state = await house.run(flow(Step(id="a", uses="x.go", timeout_s=60.0, retry=again), timeout_s=0.05))

    assert state.error is not None
    assert state.error["message"] == "the run took longer than 0.05 s"
    assert (state.status, state.steps["a"].attempt) == (RunStatus.FAILED, 1)


async def test_a_run_whose_time_is_over_starts_no_further_step_but_recovers(house: House) -> None:
    """After a restart the wall clock says that the time was over long ago."""
    workflow = flow(Step(id="a", uses="x.go"), Step(id="b", uses="x.go"), on_failure=(RECOVER,), timeout_s=3600.0)
    await house.agent("x.go", lambda _: None)
    await house.agent("x.undo", lambda _: None)
    done = await house.run(workflow)
    house.journal = await first_part(house.journal, done.run_id, 3)
    house.clock.at += 7200.0

    state = await house.with_grace(1.0).resume(workflow, done.run_id)

    assert state.error is not None
    assert (state.status, state.error["message"]) == (RunStatus.FAILED, "the run took longer than 3600 s")
    assert [message.step_id for message in house.asked] == ["a", "b", "r"]


# -- resumptions -------------------------------------------------------------------------------------------------


async def first_part(journal: Any, run_id: str, count: int) -> MemoryJournal:
    part = MemoryJournal()
    await part.append(run_id, 0, (await journal.events(run_id))[:count])
    return part


async def test_an_abandoned_run_is_taken_up_where_it_stood(house: House) -> None:
    workflow = flow(Step(id="a", uses="x.go"), Step(id="b", uses="x.hang"), Step(id="c", uses="x.go"))
    started = asyncio.Event()
    await house.agent("x.go", lambda _: None)
    await house.agent("x.hang", hung(started))
    run = asyncio.create_task(house.driver.start(workflow, {}, run_id="r-1"))
    await started.wait()
    waiting = asyncio.create_task(house.driver.cancel("r-1"))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert await waiting is False

    answered = Driver(house.bus, house.journal, house.clock)
    await house.agent("x.hang", lambda _: None)
    state = await finish_elsewhere(house, answered, workflow)

    assert state.status is RunStatus.SUCCEEDED
    assert (await house.story("r-1"))[2:] == [
        "StepSucceeded a",
        "StepSucceeded b",
        "StepSucceeded c",
        "RunFinished",
    ]


async def finish_elsewhere(house: House, driver: Driver, workflow: Workflow) -> RunState:
    """Resume on a bus where every agent answers."""
    fresh = type(house.bus)()

    async def answer(_: Message) -> dict[str, Any]:
        return {}

    await fresh.subscribe("agent.>", answer)
    state = await Driver(fresh, house.journal, house.clock).resume(workflow, "r-1")
    await fresh.drain()
    return state


async def test_a_finished_run_is_only_read(house: House) -> None:
    await house.agent("x.go", lambda _: None)
    workflow = flow(Step(id="a", uses="x.go"))
    state = await house.run(workflow)

    assert await house.driver.resume(workflow, state.run_id) == state
    assert len(house.asked) == 1


async def test_a_run_is_resumed_with_its_own_definition_only(house: House) -> None:
    await house.agent("x.go", lambda _: None)
    state = await house.run(flow(Step(id="a", uses="x.go")))

    with pytest.raises(ConflictError, match="another definition of `w`"):
        await house.driver.resume(flow(Step(id="b", uses="x.go")), state.run_id)
    with pytest.raises(NotFoundError, match="there is no run `r-9`"):
        await house.driver.resume(flow(Step(id="a", uses="x.go")), "r-9")
