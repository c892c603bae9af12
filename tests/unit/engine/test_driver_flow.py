"""What runs at the same time, over and over, back, later, or in another run: on a real bus, with a journal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.engine import Driver, driver, fold, timing, why
from workflow_agent.engine.driver import run_id_of_key
from workflow_agent.engine.persistent import copied_cells
from workflow_agent.model.errors import ConflictError, NotFoundError, ScriptFailedError, ValidationError
from workflow_agent.model.event import Event, EventType
from workflow_agent.model.status import RunStatus, StepStatus
from workflow_agent.model.workflow import Backoff, EffectPolicy, InputSpec, Step, Workflow
from workflow_agent.testing import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.engine.driver_house import House, TickingClock, hung, until

    from workflow_agent.model.message import Message
else:
    from driver_house import TickingClock, hung, until

ITEMS = {"items": InputSpec(type="array", required=True)}


def flow(*steps: Step, **more: Any) -> Workflow:
    return Workflow(**({"name": "w", "version": "1", "steps": steps} | more))


async def begun(house: House, workflow: Workflow, kind: str, step: str | None = None) -> tuple[str, asyncio.Task[Any]]:
    """Start a run; give its id once a record of a kind is told."""
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def listen(message: Message) -> None:
        if message.data["type"] == kind and message.data["step"] == step and not told.done():
            told.set_result(str(message.run_id))

    heard = await house.bus.subscribe("run.*.event", listen)
    task = asyncio.create_task(house.driver.start(workflow, {}))
    run_id = await told
    await heard.close()
    return run_id, task


# -- at the same time --------------------------------------------------------------------------------------------


async def test_steps_whose_needs_are_fulfilled_run_at_the_same_time(house: House) -> None:
    together = asyncio.Barrier(3)

    async def meet(_: Message) -> None:
        await together.wait()

    await house.agent("x.meet", meet)
    await house.agent("x.go", lambda _: None)
    steps = [Step(id=name, uses="x.meet") for name in "abc"]

    state = await house.run(flow(*steps, Step(id="d", uses="x.go", needs=("a", "b", "c"))))

    assert state.status is RunStatus.SUCCEEDED
    assert house.asked[-1].step_id == "d"


@pytest.mark.parametrize("limits", [{"workflow": 3}, {"step": 3}])
async def test_no_more_than_max_workers_are_in_flight(house: House, limits: dict[str, int]) -> None:
    flying, most = 0, 0

    async def count(message: Message) -> dict[str, Any]:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        await asyncio.sleep(0)
        flying -= 1
        return {"n": message.data["n"]}

    await house.agent("x.count", count)
    step = Step(id="m", uses="x.count", each="inputs.items", with_={"n": "${{ item }}"}, max_workers=limits.get("step"))

    state = await house.driver.start(
        flow(step, inputs=ITEMS, max_workers=limits.get("workflow")), {"items": [*range(20)]}
    )

    assert [output["n"] for output in state.steps["m"].output] == [*range(20)]
    assert most == 3


# -- fan-outs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 50, 10_000])
async def test_a_fan_out_keeps_the_order_of_its_items(house: House, count: int) -> None:
    await house.agent("x.go", lambda message: dict(message.data))
    inputs = {"v": "${{ item }}", "i": "${{ index }}", "of": "${{ total }}"}
    steps = (
        Step(id="map", uses="x.go", each="inputs.items", with_=inputs),
        Step(id="reduce", uses="x.go", with_={"n": "${{ len(steps.map.output) }}"}),
    )
    before = copied_cells()

    state = await house.driver.start(flow(*steps, inputs=ITEMS), {"items": [n * 2 for n in range(count)]})

    events = await house.journal.events(state.run_id)
    assert state.steps["map"].output == [{"v": n * 2, "i": n, "of": count} for n in range(count)]
    assert state.output == {"n": count}
    assert fold(flow(*steps, inputs=ITEMS), events) == state
    # Two folds, a start and an end for each item, at most three nodes of 32 for each change.
    assert copied_cells() - before <= 2 * (count + 10) * 2 * (3 * 32 + 64)
    assert len(events) < 20 + count


async def test_items_have_identities_keys_and_retries_of_their_own(house: House) -> None:
    async def flaky(message: Message) -> dict[str, Any]:
        if message.attempt == 1 and message.data["n"] == 1:
            raise ScriptFailedError
        return {"n": message.data["n"]}

    await house.agent("x.flaky", flaky)
    step = Step(
        id="m",
        uses="x.flaky",
        each="inputs.items",
        with_={"n": "${{ item }}"},
        retry=Backoff(attempts=2, initial_s=0.001, jitter=1.0),
    )

    state = await house.driver.start(flow(step, inputs=ITEMS), {"items": [0, 1, 2]})

    keys = {message.step_id: message.headers["idempotency-key"] for message in house.asked}
    assert [output["n"] for output in state.steps["m"].output] == [0, 1, 2]
    assert set(keys) == {"m[0]", "m[1]", "m[2]"}
    assert len(set(keys.values())) == 3
    assert {message.headers["idempotency-key"] for message in house.asked if message.step_id == "m[1]"} == {
        keys["m[1]"]
    }
    assert (state.steps["m"].items or [])[1].attempt == 2


@pytest.mark.parametrize(("on_error", "asked", "status"), [("fail", 1, "failed"), ("continue", 4, "succeeded")])
async def test_a_failing_item_ends_its_fan_out_or_leaves_a_gap(
    house: House, on_error: Any, asked: int, status: str
) -> None:
    async def picky(message: Message) -> dict[str, Any]:
        if message.data["n"] == 0:
            raise ScriptFailedError("not zero")
        return {"n": message.data["n"]}

    await house.agent("x.picky", picky)
    step = Step(
        id="m", uses="x.picky", each="inputs.items", with_={"n": "${{ item }}"}, max_workers=1, on_error=on_error
    )

    state = await house.driver.start(flow(step, inputs=ITEMS), {"items": [0, 1, 2, 3]})

    assert (state.status, len(house.asked), state.steps["m"].status) == (status, asked, StepStatus.FAILED)
    assert state.steps["m"].error is not None
    assert state.steps["m"].error["details"] == {"items_failed": 1, "items": 4}
    assert state.steps["m"].output[0] is None


async def test_effects_of_items_that_must_not_repeat_are_recorded_first(house: House) -> None:
    await house.agent("x.go", lambda _: None)
    step = Step(id="m", uses="x.go", each="inputs.items", effect=EffectPolicy.AT_MOST_ONCE)

    state = await house.driver.start(flow(step, inputs=ITEMS), {"items": [1, 2]})

    story = await house.story(state.run_id)
    assert story[2:4] == ["StepStarted m[0]", "StepStarted m[1]"]
    assert story[-2:] == ["StepSucceeded m", "RunFinished"]


# -- loops, joins, errors that are shown ---------------------------------------------------------------------------


async def test_a_loop_runs_until_its_condition_holds(house: House) -> None:
    await house.agent("x.add", lambda message: {"n": (message.data["n"] or 0) + 1, "round": message.data["round"]})
    inputs = {"n": "${{ previous.n }}", "round": "${{ iteration }}"}

    state = await house.run(flow(Step(id="l", uses="x.add", until="previous.n >= 3", with_=inputs)))

    assert state.output == {"n": 3, "round": 3}
    assert [message.step_id for message in house.asked] == ["l#1", "l#2", "l#3"]


async def test_a_loop_is_bounded(house: House) -> None:
    await house.agent("x.go", lambda _: None)

    state = await house.run(flow(Step(id="l", uses="x.go", until="false", max_iterations=4)))

    assert (state.status, len(house.asked)) == (RunStatus.FAILED, 4)
    assert state.error is not None
    assert state.error["message"] == "`l` is not done after 4 rounds"


async def test_the_first_of_several_needs_is_enough_for_a_join_of_any(house: House) -> None:
    release = asyncio.Event()

    async def slow(_: Message) -> None:
        await release.wait()

    async def free(_: Message) -> None:
        release.set()

    await house.agent("x.slow", slow)
    await house.agent("x.go", lambda _: None)
    await house.agent("x.free", free)

    state = await house.run(
        flow(
            Step(id="slow", uses="x.slow"),
            Step(id="fast", uses="x.go"),
            Step(id="first", uses="x.free", needs=("slow", "fast"), join="any"),
        )
    )

    assert state.status is RunStatus.SUCCEEDED


async def test_an_error_to_go_on_with_is_shown_in_a_run_that_succeeds(house: House) -> None:
    async def broken(_: Message) -> None:
        raise ScriptFailedError("so it is")

    await house.agent("x.broken", broken)
    await house.agent("x.go", lambda _: None)

    state = await house.run(
        flow(Step(id="a", uses="x.broken", on_error="continue"), Step(id="b", uses="x.go", needs=("a",)))
    )

    assert (state.status, state.error, state.steps["b"].status) == ("succeeded", None, "succeeded")
    assert state.steps["a"].error is not None


# -- state and results ---------------------------------------------------------------------------------------------


async def test_state_changes_with_the_step_that_made_them_and_is_read_by_later_ones(house: House) -> None:
    await house.agent("x.set", lambda _: {"_state": {"set": {"n": 5, "gone": 1}}, "_output": "plain"})
    await house.agent("x.drop", lambda message: {"_state": {"delete": ["gone"]}, "got": message.data["n"]})

    state = await house.run(
        flow(
            Step(id="a", uses="x.set"),
            Step(id="b", uses="x.drop", needs=("a",), with_={"n": "${{ state.n }}"}),
            output="state",
        )
    )

    assert (state.steps["a"].output, state.steps["b"].output) == ("plain", {"got": 5})
    assert (dict(state.state), state.output) == ({"n": 5}, {"n": 5})
    events = await house.journal.events(state.run_id)
    assert next(event for event in events if event.step == "a").data["state"] == {"set": {"n": 5, "gone": 1}}


@pytest.mark.parametrize("state", [5, {"put": {}}, {"set": []}, {"delete": "x"}, {"delete": [1]}])
async def test_a_state_of_another_shape_fails_its_step(house: House, state: Any) -> None:
    await house.agent("x.set", lambda _: {"_state": state})

    assert (await house.run(flow(Step(id="a", uses="x.set")))).status is RunStatus.FAILED


async def test_a_result_that_has_no_value_fails_the_run(house: House) -> None:
    await house.agent("x.go", lambda _: None)

    assert (await house.run(flow(Step(id="a", uses="x.go"), output="1 < 'a'"))).status is RunStatus.FAILED


# -- back ----------------------------------------------------------------------------------------------------------


async def test_what_was_done_is_undone_the_last_first(house: House) -> None:
    async def broken(_: Message) -> None:
        raise ScriptFailedError

    await house.agent("x.go", lambda message: {"is": message.step_id})
    await house.agent("x.undo", lambda _: None)
    await house.agent("x.broken", broken)
    undo = {"uses": "x.undo", "with": {"was": "${{ steps.a.output.is }}"}}

    state = await house.run(
        flow(
            Step(id="a", uses="x.go", undo=undo),
            Step(id="b", uses="x.go", needs=("a",), undo=undo),
            Step(id="c", uses="x.broken", needs=("b",), undo=undo),
            Step(id="z", uses="x.go", always=True),
            on_failure=(Step(id="r", uses="x.go"),),
        )
    )

    assert [message.step_id for message in house.asked] == ["a", "b", "c", "b~undo", "a~undo", "r", "z"]
    assert house.asked[3].data == {"was": "a"}
    assert [state.steps[name].status for name in "abc"] == ["undone", "undone", "failed"]
    assert state.status is RunStatus.ROLLED_BACK


async def test_an_undo_that_fails_needs_attention_and_the_others_are_done_all_the_same(house: House) -> None:
    async def broken(_: Message) -> None:
        raise ScriptFailedError

    await house.agent("x.go", lambda _: None)
    await house.agent("x.broken", broken)
    steps = (
        Step(id="a", uses="x.go", undo={"uses": "x.go"}),
        Step(id="b", uses="x.go", needs=("a",), undo={"uses": "x.broken"}),
        Step(id="c", uses="x.broken", needs=("b",)),
    )

    state = await house.run(flow(*steps))

    assert [state.steps[name].status for name in "ab"] == ["undone", "undo-failed"]
    assert state.status is RunStatus.NEEDS_ATTENTION


# -- waiting -------------------------------------------------------------------------------------------------------


async def test_a_signal_is_kept_for_a_step_that_begins_to_wait_later(house: House) -> None:
    go = asyncio.Event()

    async def slow(_: Message) -> None:
        await go.wait()

    await house.agent("x.slow", slow)
    workflow = flow(Step(id="a", uses="x.slow"), Step(id="w", uses="wait.signal", needs=("a",), with_={"name": "paid"}))
    run_id, task = await begun(house, workflow, "StepStarted", "a")

    await house.driver.signal(run_id, "paid", {"sum": 3})
    go.set()
    state = await task

    assert state.steps["w"].output == {"sum": 3}
    assert [event.type for event in await house.journal.events(run_id)].count(EventType.SIGNAL_RECEIVED) == 1


@pytest.mark.parametrize(("answer", "status"), [({"approved": True}, "succeeded"), ({"reason": "no"}, "failed")])
async def test_a_person_approves_or_declines(house: House, answer: Any, status: str) -> None:
    run_id, task = await begun(house, flow(Step(id="ask", uses="wait.person")), "StepStarted", "ask")
    state = fold(flow(Step(id="ask", uses="wait.person")), await house.journal.events(run_id))
    assert (state.status, [each.kind for each in why(flow(Step(id="ask", uses="wait.person")), state)]) == (
        RunStatus.AWAITING_APPROVAL,
        ["person"],
    )

    await house.driver.signal(run_id, "ask", answer)

    state = await task
    assert state.status == status
    assert state.error is None or state.error["code"] == "declined"


async def test_nothing_that_comes_in_time_fails_the_step(house: House) -> None:
    state = await house.run(flow(Step(id="w", uses="wait.signal", timeout_s=0.001)))

    assert (state.status, (state.error or {})["code"]) == (RunStatus.FAILED, "step-timeout")


async def test_a_timer_survives_a_restart_and_keeps_its_time(house: House) -> None:
    workflow = flow(Step(id="t", uses="wait.timer", with_={"seconds": 3600}))
    run_id, task = await begun(house, workflow, "StepStarted", "t")
    task.cancel()
    await asyncio.wait({task})
    house.clock.at += 3600

    state = await house.with_grace(1.0).resume(workflow, run_id)

    assert state.status is RunStatus.SUCCEEDED
    assert state.steps["t"].output["due_at"] == pytest.approx(1000.0 + 3600, abs=20)


async def test_a_wall_clock_that_is_set_forward_ends_a_timer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "LOOK_S", 0.001)
    workflow = flow(Step(id="t", uses="wait.timer", with_={"seconds": 3600}))
    _, task = await begun(house, workflow, "StepStarted", "t")

    house.clock.at += 3600

    assert (await task).status is RunStatus.SUCCEEDED


async def test_a_cancel_ends_timers_and_signals_at_once(house: House) -> None:
    workflow = flow(Step(id="t", uses="wait.timer", with_={"seconds": 3600}), Step(id="w", uses="wait.signal"))
    run_id, task = await begun(house, workflow, "StepStarted", "w")

    assert await house.driver.cancel(run_id)

    state = await task
    assert (state.status, {cell.status for cell in state.steps.values()}) == ("cancelled", {StepStatus.CANCELLED})


async def test_a_paused_run_starts_nothing_until_it_goes_on(house: House) -> None:
    go = asyncio.Event()

    async def slow(_: Message) -> None:
        await go.wait()

    await house.agent("x.slow", slow)
    await house.agent("x.go", lambda _: None)
    workflow = flow(Step(id="a", uses="x.slow"), Step(id="b", uses="x.go", needs=("a",)))
    run_id, task = await begun(house, workflow, "StepStarted", "a")

    await house.driver.pause(run_id, "think")
    go.set()
    with pytest.raises(ConflictError, match="paused already"):
        await house.driver.pause(run_id)
    await until(lambda: house.driver._runs[run_id].head >= 4)
    state = fold(workflow, await house.journal.events(run_id))
    assert [(each.step, each.kind) for each in why(workflow, state)] == [("b", "pause")]
    await house.driver.unpause(run_id)

    assert (await task).status is RunStatus.SUCCEEDED
    with pytest.raises(ConflictError, match="has ended"):
        await house.driver.unpause(run_id)


async def test_what_is_said_to_a_run_that_nobody_drives_is_in_its_journal(house: House) -> None:
    workflow = flow(Step(id="w", uses="wait.signal"))
    run_id, task = await begun(house, workflow, "StepStarted", "w")
    task.cancel()
    await asyncio.wait({task})

    await house.driver.signal(run_id, "w", "hello")
    state = await house.driver.resume(workflow, run_id)

    assert state.output == {"value": "hello"}
    with pytest.raises(NotFoundError):
        await house.driver.signal("r-0", "w")
    with pytest.raises(ValidationError):
        await house.driver.signal(run_id, "w", {1, 2})


# -- other runs ----------------------------------------------------------------------------------------------------


class Shelf:
    """Workflows by name."""

    def __init__(self, *workflows: Workflow) -> None:
        self._known = {workflow.name: workflow for workflow in workflows}

    def get(self, name: str) -> Workflow:
        if name not in self._known:
            raise NotFoundError(f"there is no workflow `{name}`")
        return self._known[name]


def parent(name: str = "child", **inputs: Any) -> Workflow:
    return flow(Step(id="sub", uses="workflow.run", with_={"workflow": name, "inputs": inputs}))


async def test_a_step_runs_another_workflow_under_an_id_of_its_own(house: House) -> None:
    await house.agent("x.go", lambda message: dict(message.data))
    child = flow(
        Step(id="c", uses="x.go", with_={"n": "${{ inputs.n }}"}), name="child", inputs={"n": InputSpec(type="integer")}
    )
    house.driver = Driver(house.bus, house.journal, house.clock, workflows=Shelf(child))

    state = await house.run(parent(n=3))

    output = state.steps["sub"].output
    assert (output["status"], output["output"]) == ("succeeded", {"n": 3})
    first = (await house.journal.events(output["run_id"]))[0]
    assert first.data["meta"]["parent"] == {"run_id": state.run_id, "step": "sub"}


async def test_a_child_that_fails_or_is_unknown_fails_its_step(house: House) -> None:
    async def broken(_: Message) -> None:
        raise ScriptFailedError("deep down")

    await house.agent("x.broken", broken)
    child = flow(Step(id="c", uses="x.broken"), name="child")
    house.driver = Driver(house.bus, house.journal, house.clock, workflows=Shelf(child))

    failed = await house.run(parent())
    unknown = await house.run(parent("other"))
    house.driver = Driver(house.bus, house.journal, house.clock)
    nowhere = await house.run(parent())
    wrong = await house.run(flow(Step(id="sub", uses="workflow.run")))

    assert (failed.error or {})["cause"] == "deep down"
    codes = [(state.error or {})["code"] for state in (unknown, nowhere, wrong)]
    assert codes == ["not-found", "not-found", "validation"]


async def test_a_cancel_reaches_the_child_and_a_restart_takes_the_same_child_up(house: House) -> None:
    child = flow(Step(id="w", uses="wait.signal"), name="child")
    house.driver = Driver(house.bus, house.journal, house.clock, workflows=Shelf(child))
    run_id, task = await begun(house, parent(), "StepStarted", "sub")
    await until(lambda: bool(house.told) and house.told[-1]["step"] == "w")
    inner = house.told[-1]["run_id"]
    task.cancel()
    await asyncio.wait({task})

    resumed = asyncio.create_task(house.driver.resume(parent(), run_id))
    await until(lambda: inner in house.driver._runs)
    assert await house.driver.cancel(run_id, "enough")

    state = await resumed
    assert (state.status, state.steps["sub"].status) == (RunStatus.CANCELLED, StepStatus.CANCELLED)
    assert (await house.journal.events(inner))[-1].data["status"] == "cancelled"


# -- keys ----------------------------------------------------------------------------------------------------------


async def test_a_second_start_with_the_same_key_gives_the_first_result(house: House) -> None:
    await house.agent("x.go", lambda _: {"n": len(house.asked)})
    workflow = flow(Step(id="a", uses="x.go"), inputs={"n": InputSpec(type="integer")})

    both = await asyncio.gather(*(house.driver.start(workflow, {"n": 1}, key="k") for _ in range(2)))
    again = await house.driver.start(workflow, {"n": 1}, key="k")

    assert {state.run_id for state in (*both, again)} == {run_id_of_key("w", "k")}
    assert len(house.asked) == 1
    with pytest.raises(ConflictError, match="other inputs"):
        await house.driver.start(workflow, {"n": 2}, key="k")


async def test_a_key_takes_up_the_run_that_a_crash_left(house: House) -> None:
    workflow = flow(Step(id="w", uses="wait.signal"))
    run_id = run_id_of_key("w", "k")
    task = asyncio.create_task(house.driver.start(workflow, {}, key="k"))
    await until(lambda: run_id in house.driver._runs and house.driver._runs[run_id].head >= 3)
    task.cancel()
    await asyncio.wait({task})

    again = asyncio.create_task(house.driver.start(workflow, {}, key="k"))
    await until(lambda: run_id in house.driver._runs)
    await house.driver.signal(run_id, "w", 1)

    assert (await again).output == {"value": 1}


# -- moments -------------------------------------------------------------------------------------------------------


class SlowJournal(MemoryJournal):
    """Takes its time, as a disk does; others arrive meanwhile."""

    async def append(self, run_id: str, expected_head: int, events: Sequence[Event]) -> int:
        await asyncio.sleep(0.002)
        return await super().append(run_id, expected_head, events)


async def test_what_arrives_while_a_record_is_written_shares_the_next_one(house: House) -> None:
    async def act(message: Message) -> None:
        await asyncio.sleep(0.001 * int(str(message.step_id)[1:]))

    await house.agent("x.go", act)
    house.journal = SlowJournal()
    house.with_grace(1.0)

    state = await house.run(flow(*(Step(id=f"s{n}", uses="x.go") for n in range(8))))

    assert state.status is RunStatus.SUCCEEDED


async def test_timers_that_nobody_needs_any_more_are_no_news(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: Message) -> None:
        raise ScriptFailedError

    monkeypatch.setattr(timing, "LOOK_S", 0.005)
    await house.agent("x.broken", broken)
    house.clock = TickingClock(0.0)
    house.clock.now = lambda: 5.0  # type: ignore[method-assign]  # a clock that stands
    house.with_grace(1.0)
    workflow = flow(
        Step(id="w", uses="wait.signal", timeout_s=0.01),
        Step(id="b", uses="x.broken", retry=Backoff(attempts=2, initial_s=0.02)),
        Step(id="t", uses="wait.timer", always=True, with_={"seconds": 0.05}),
    )
    run_id, task = await begun(house, workflow, "RetryScheduled", "b")

    await house.driver.signal(run_id, "nobody")
    await house.driver.signal(run_id, "w", {})
    await house.driver.cancel(run_id)

    state = await task
    assert [state.steps[name].status for name in "wbt"] == ["succeeded", "cancelled", "succeeded"]


async def test_a_signal_that_nobody_waits_for_does_not_end_another_wait(house: House) -> None:
    run_id, task = await begun(house, flow(Step(id="w", uses="wait.signal")), "StepStarted", "w")

    await house.driver.signal(run_id, "other")
    await house.driver.signal(run_id, "w", 1)

    assert (await task).output == {"value": 1}


async def test_a_late_success_of_a_step_that_may_fail_is_a_success(house: House) -> None:
    async def late(_: Message) -> dict[str, Any]:
        await asyncio.sleep(0.03)
        return {"late": True}

    await house.agent("x.late", late)

    state = await house.run(flow(Step(id="a", uses="x.late", timeout_s=0.01, on_error="continue")))

    assert (state.status, state.output) == (RunStatus.SUCCEEDED, {"late": True})


async def test_a_step_that_is_being_stopped_is_not_stopped_again_when_its_time_is_over(house: House) -> None:
    async def late(_: Message) -> None:
        await asyncio.sleep(0.04)

    await house.agent("x.late", late)
    run_id, task = await begun(house, flow(Step(id="a", uses="x.late", timeout_s=0.02)), "StepStarted", "a")

    assert await house.driver.cancel(run_id)

    assert ((await task).status, len(house.stopped)) == (RunStatus.CANCELLED, 1)


async def test_who_gives_up_waiting_is_not_told(house: House) -> None:
    house.journal = SlowJournal()
    house.with_grace(1.0)
    run_id, task = await begun(house, flow(Step(id="w", uses="wait.signal")), "StepStarted", "w")
    callers = [
        asyncio.create_task(house.driver.signal(run_id, "other")),
        asyncio.create_task(house.driver.unpause(run_id)),
        asyncio.create_task(house.driver.cancel(run_id)),
    ]
    await asyncio.sleep(0)
    for caller in callers:
        caller.cancel()

    assert (await task).status is RunStatus.CANCELLED
    assert all(caller.cancelled() for caller in callers)


class HeldJournal(MemoryJournal):
    """Holds what is appended once it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_held = False
        self.reached = asyncio.Event()

    async def append(self, run_id: str, expected_head: int, events: Sequence[Event]) -> int:
        if self.is_held:
            self.reached.set()
            await asyncio.Event().wait()
        return await super().append(run_id, expected_head, events)


async def test_who_speaks_to_a_run_that_stops_is_told_so(house: House) -> None:
    house.journal = journal = HeldJournal()
    house.with_grace(1.0)
    run_id, task = await begun(house, flow(Step(id="w", uses="wait.signal")), "StepStarted", "w")
    journal.is_held = True
    first = asyncio.create_task(house.driver.signal(run_id, "one"))
    await journal.reached.wait()
    second = asyncio.create_task(house.driver.signal(run_id, "two"))
    await asyncio.sleep(0)
    task.cancel()

    for said, problem in ((first, "before that was on disk"), (second, "has ended")):
        with pytest.raises(ConflictError, match=problem):
            await said


async def test_an_abandoned_run_leaves_no_timer(house: House) -> None:
    started = asyncio.Event()
    await house.agent("x.hung", hung(started))
    task = asyncio.create_task(house.driver.start(flow(Step(id="a", uses="x.hung", timeout_s=0.3)), {}))
    await started.wait()

    task.cancel()
    await asyncio.wait({task})
    await asyncio.sleep(0.35)

    assert house.stopped == []


async def test_signals_that_nobody_takes_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = flow(Step(id="w", uses="wait.signal"))
    run_id, task = await begun(house, workflow, "StepStarted", "w")
    task.cancel()
    await asyncio.wait({task})
    monkeypatch.setattr(driver, "SIGNALS", 0)

    with pytest.raises(ConflictError, match="too many signals"):
        await house.driver.signal(run_id, "w")


async def test_what_was_about_to_start_does_not_when_what_was_in_flight_is_lost(house: House) -> None:
    workflow = flow(*(Step(id=name, uses="x.go", effect=EffectPolicy.TRANSACTIONAL) for name in "ab"))
    data = {"workflow": "w", "workflow_hash": workflow.hash, "inputs": {}, "meta": {}, "machine": 2}
    cut = [
        Event(run_id="r-1", seq=1, type=EventType.RUN_CREATED, at=1.0, data=data),
        Event(run_id="r-1", seq=2, type=EventType.RUN_STARTED, at=2.0),
        Event(run_id="r-1", seq=3, type=EventType.STEP_STARTED, at=2.0, step="a", data={"with": {}}),
    ]
    await house.journal.append("r-1", 0, cut)

    state = await house.driver.resume(workflow, "r-1")

    assert (state.steps["a"].status, state.steps["b"].status) == (StepStatus.UNKNOWN, StepStatus.SKIPPED)
    assert house.asked == []


async def test_a_cancel_finds_a_child_that_is_about_to_begin(house: House) -> None:
    child = flow(Step(id="w", uses="wait.signal"), name="child")
    house.journal = SlowJournal()
    house.driver = Driver(house.bus, house.journal, house.clock, workflows=Shelf(child))
    reading = house.journal.events
    asked = asyncio.Event()

    async def slowly(run_id: str, *, after: int = 0) -> list[Event]:
        asked.set()
        await asyncio.sleep(0.03)
        return await reading(run_id, after=after)

    house.journal.events = slowly  # type: ignore[method-assign]  # a slow disk
    run_id = "r-01ARZ3NDEKTSV4RRFFQ69G5FAV"
    task = asyncio.create_task(house.driver.start(parent(), {}, run_id=run_id))
    await asked.wait()

    assert await house.driver.cancel(run_id)
    assert (await task).status is RunStatus.CANCELLED


# -- journals from before ------------------------------------------------------------------------------------------


async def test_a_run_from_before_goes_on_step_by_step(house: House) -> None:
    await house.agent("x.go", lambda _: None)
    workflow = flow(*(Step(id=name, uses="x.go") for name in "abc"))
    data = {"workflow": "w", "workflow_hash": workflow.hash, "inputs": {}, "meta": {}}
    old = [
        Event(run_id="r-1", seq=1, type=EventType.RUN_CREATED, at=1.0, data=data),
        Event(run_id="r-1", seq=2, type=EventType.RUN_STARTED, at=2.0, data={"phase": "running"}),
    ]
    await house.journal.append("r-1", 0, old)

    state = await house.driver.resume(workflow, "r-1")

    assert (await house.story("r-1"))[2:] == ["StepSucceeded a", "StepSucceeded b", "StepSucceeded c", "RunFinished"]
    assert state.status is RunStatus.SUCCEEDED
