"""The driver on a real bus: order of records, hints and requests; replies; retries; what a broken part does."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.engine import asking
from workflow_agent.engine.live import LiveRun
from workflow_agent.model.errors import (
    ConflictError,
    InternalError,
    JournalConflictError,
    NoResponderError,
    OutcomeUnknownError,
    ScriptFailedError,
    UnreachableError,
    ValidationError,
)
from workflow_agent.model.event import Event, EventType, Record
from workflow_agent.model.identity import RUN_ID_PATTERN
from workflow_agent.model.status import RunStatus, StepStatus
from workflow_agent.model.workflow import Backoff, EffectPolicy, InputSpec, Step, Workflow
from workflow_agent.testing import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.engine.driver_house import House

    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Asked

TX = EffectPolicy.TRANSACTIONAL


def flow(*steps: Step, **more: Any) -> Workflow:
    # One place: steps without needs go one after the other.
    return Workflow(name="w", version="1", steps=steps, **({"max_workers": 1} | more))


async def test_the_happy_path_costs_one_record_per_step(house: House) -> None:
    await house.agent("x.go", lambda message: {"n": message.data["n"] + 1})
    workflow = flow(
        Step(id="a", uses="x.go", with_={"n": "${{ inputs.n }}"}),
        Step(id="b", uses="x.go", with_={"n": "${{ steps.a.output.n }}"}),
        inputs={"n": InputSpec(type="integer", default=1)},
    )

    state = await house.run(workflow)

    assert (state.status, state.steps["b"].output) == (RunStatus.SUCCEEDED, {"n": 3})
    assert RUN_ID_PATTERN.match(state.run_id)
    assert await house.story(state.run_id) == [
        "RunCreated",
        "RunStarted",
        "StepSucceeded a",
        "StepSucceeded b",
        "RunFinished",
    ]


async def test_live_progress_is_told_in_order_with_hints_for_what_has_no_record(house: House) -> None:
    await house.agent("x.go", lambda _: None)

    state = await house.run(flow(Step(id="a", uses="x.go"), Step(id="b", uses="x.go", effect=TX)))
    await house.bus.drain()

    assert [(event["seq"], event["type"], event["step"]) for event in house.told] == [
        (1, "RunCreated", None),
        (2, "RunStarted", None),
        (0, "StepStarted", "a"),
        (3, "StepSucceeded", "a"),
        (4, "StepStarted", "b"),
        (5, "StepSucceeded", "b"),
        (6, "RunFinished", None),
    ]
    assert house.told[2]["data"] == {"hint": True}
    journal = [event.to_dict() for event in await house.journal.events(state.run_id)]
    assert [event for event in house.told if event["seq"]] == journal


async def test_a_request_says_who_asks_for_what(house: House) -> None:
    await house.agent("x.go", lambda _: None)

    state = await house.run(flow(Step(id="a", uses="x.go", with_={"k": 1}, timeout_s=60.0)))

    (message,) = house.asked
    assert (message.run_id, message.step_id, message.attempt) == (state.run_id, "a", 1)
    assert (message.data, message.source, message.correlation_id) == ({"k": 1}, "engine", state.run_id)
    assert message.deadline is not None
    assert 60.0 < message.deadline - asyncio.get_running_loop().time() < 60.0 + 5.0 + 1.0


async def test_records_are_on_disk_before_anybody_is_asked_or_told(house: House) -> None:
    seen: dict[str, list[str]] = {}

    async def look(message: Message) -> None:
        seen[str(message.step_id)] = await house.story(str(message.run_id))

    async def finished(message: Message) -> None:
        if message.data["type"] == EventType.RUN_FINISHED:
            seen["told"] = await house.story(str(message.run_id))

    await house.agent("x.go", look)
    await house.bus.subscribe("run.*.event", finished)

    await house.run(flow(Step(id="a", uses="x.go"), Step(id="b", uses="x.go", effect=TX)))
    await house.bus.drain()

    assert seen["b"][-2:] == ["StepSucceeded a", "StepStarted b"]
    assert seen["told"][-1] == "RunFinished"


async def test_replies_say_status_changed_and_records(house: House) -> None:
    reply = {
        "value": (1, 2),
        "_status": "unchanged",
        "_changed": True,
        "_run_status": None,
        "_records": [{"kind": "finding", "data": {"rule": "X1"}}],
    }
    await house.agent("x.go", lambda _: reply)

    state = await house.run(flow(Step(id="a", uses="x.go")))

    assert (state.steps["a"].status, state.steps["a"].output) == (StepStatus.UNCHANGED, {"value": [1, 2]})
    assert state.changed is True
    assert isinstance(house.journal, MemoryJournal)
    assert await house.journal.records(state.run_id) == [Record("finding", {"rule": "X1"})]


async def test_recovery_decides_what_became_of_the_run(house: House) -> None:
    async def broken(_: Message) -> None:
        details = {"exit_code": 3, "_records": [{"kind": "output", "data": {"tail": ["x"]}}]}
        raise ScriptFailedError("exit 3", details=details)

    await house.agent("x.go", broken)
    await house.agent("x.undo", lambda _: {"_run_status": "rolled-back", "_changed": False})
    recover = Step(id="r", uses="x.undo", with_={"f": "${{ failure }}"}, phase=RunStatus.ROLLING_BACK)

    state = await house.run(flow(Step(id="a", uses="x.go"), Step(id="b", uses="x.go"), on_failure=(recover,)))

    assert (state.status, state.failed_step, state.changed) == (RunStatus.ROLLED_BACK, "a", False)
    failure = house.asked[-1].data["f"]
    assert (failure["step"], failure["error"]["code"]) == ("a", "step-failed.script")
    assert failure["error"]["details"] == {"exit_code": 3}
    assert failure["error"]["where"] == "w › a › attempt 1"
    assert isinstance(house.journal, MemoryJournal)
    assert await house.journal.records(state.run_id) == [Record("output", {"tail": ["x"]})]


@pytest.mark.parametrize(
    "reply",
    [
        {"_records": 1},
        {"_records": [{"kind": "x"}]},
        {"_records": [{"kind": 1, "data": {}}]},
        {"_status": "failed"},
        {"_run_status": "running"},
        {"_changed": "yes"},
        {"value": {1, 2}},
        {"value": float("nan")},
    ],
)
async def test_a_reply_that_cannot_be_read_fails_its_step(house: House, reply: dict[str, Any]) -> None:
    await house.agent("x.go", lambda _: reply)

    state = await house.run(flow(Step(id="a", uses="x.go")))

    assert state.error is not None
    assert (state.error["code"], state.error["message"]) == ("internal", "the reply of x.go cannot be read")


async def test_an_error_arrives_whatever_its_details_hold(house: House) -> None:
    async def broken(_: Message) -> None:
        raise ScriptFailedError("no", details={"bad": {1}, "_records": "none"})

    await house.agent("x.go", broken)

    state = await house.run(flow(Step(id="a", uses="x.go")))

    assert state.error is not None
    assert (state.error["message"], state.error["details"]) == ("no", {})


async def test_a_step_that_nobody_answers_fails_at_once(house: House) -> None:
    state = await house.run(flow(Step(id="a", uses="no.body", effect=TX)))

    assert state.error is not None
    assert state.error["code"] == NoResponderError.code
    assert state.steps["a"].status is StepStatus.FAILED


@pytest.mark.parametrize(("effect", "status"), [(TX, "unknown"), (EffectPolicy.AT_LEAST_ONCE, "failed")])
async def test_an_agent_out_of_reach_leaves_an_effect_that_must_not_repeat_unknown(
    house: House, effect: EffectPolicy, status: str
) -> None:
    async def away(_: Message) -> None:
        raise UnreachableError("gone")

    await house.agent("x.go", away)

    state = await house.run(flow(Step(id="a", uses="x.go", effect=effect)))

    assert state.steps["a"].status == status


async def test_a_retry_waits_for_its_time_and_is_journalled(house: House) -> None:
    async def second_time(message: Message) -> None:
        if message.attempt == 1:
            raise ScriptFailedError("once")

    await house.agent("x.go", second_time)
    retry = Backoff(attempts=3, initial_s=0.001)

    state = await house.run(flow(Step(id="a", uses="x.go", retry=retry)))

    assert state.status is RunStatus.SUCCEEDED
    assert [message.attempt for message in house.asked] == [1, 2]
    story = await house.story(state.run_id)
    assert story[2:6] == ["StepFailed a", "RetryScheduled a", "StepStarted a", "StepSucceeded a"]


async def test_recovery_is_tried_again_after_its_pause(house: House) -> None:
    async def second_time(message: Message) -> None:
        if message.attempt == 1:
            raise ScriptFailedError("once")

    await house.agent("x.undo", second_time)
    recover = Step(id="r", uses="x.undo", retry=Backoff(attempts=2, initial_s=0.001))

    state = await house.run(flow(Step(id="a", uses="no.body"), on_failure=(recover,)))

    assert state.steps["r"].status is StepStatus.SUCCEEDED


async def test_history_learns_when_a_step_began(house: House) -> None:
    await house.agent("x.go", lambda _: None)

    state = await house.run(flow(Step(id="a", uses="x.go", phase=RunStatus.PLANNING)))

    events = await house.journal.events(state.run_id)
    assert events[1].data == {"phase": "planning"}
    assert events[2].data["started_at"] == state.steps["a"].started_at == events[1].at


# -- what goes wrong around a run --------------------------------------------------------------------------------


async def test_inputs_are_checked_before_there_is_a_run(house: House) -> None:
    workflow = flow(Step(id="a", uses="x.go"), inputs={"port": InputSpec(type="integer", required=True)})

    with pytest.raises(ValidationError, match="the input `port` is missing"):
        await house.driver.start(workflow, {}, run_id="r-1")
    with pytest.raises(ValidationError, match="meta data are not JSON"):
        await house.driver.start(workflow, {"port": 1}, {"user": object()}, run_id="r-1")

    assert await house.journal.events("r-1") == []


async def test_a_run_id_is_used_once(house: House) -> None:
    await house.agent("x.go", lambda _: None)
    workflow = flow(Step(id="a", uses="x.go"))
    await house.driver.start(workflow, {}, {"user": "ann"}, run_id="r-1")

    with pytest.raises(JournalConflictError):
        await house.driver.start(workflow, {}, run_id="r-1")


async def test_a_run_has_one_driver_at_a_time(house: House) -> None:
    workflow = flow(Step(id="a", uses="x.go"))

    async def again(message: Message) -> dict[str, Any]:
        with pytest.raises(ConflictError, match="driven here already"):
            await house.driver.resume(workflow, str(message.run_id))
        return {"refused": True}

    await house.agent("x.go", again)

    assert (await house.run(workflow)).steps["a"].output == {"refused": True}


class FailingJournal(MemoryJournal):
    """Does not confirm an append that holds an event of a type."""

    def __init__(self, kind: EventType) -> None:
        super().__init__()
        self._kind = kind

    async def append(self, run_id: str, expected_head: int, events: Sequence[Event]) -> int:
        if any(event.type is self._kind for event in events):
            raise OutcomeUnknownError
        return await super().append(run_id, expected_head, events)


async def test_without_a_confirmed_record_nobody_is_asked_or_told(house: House) -> None:
    house.journal = FailingJournal(EventType.STEP_STARTED)
    driver = house.with_grace(5.0)
    await house.agent("x.go", lambda _: None)

    with pytest.raises(OutcomeUnknownError):
        await driver.start(flow(Step(id="a", uses="x.go", effect=TX)), {})
    await house.bus.drain()

    assert house.asked == []
    assert house.told == []


async def test_a_bus_that_cannot_tell_does_not_stop_a_run(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hears = asyncio.Event()

    async def deaf(_: Message) -> None:
        await hears.wait()

    monkeypatch.setattr(asking, "TELL_S", 0.01)
    await house.agent("x.go", lambda _: None)
    await house.bus.subscribe("run.*.event", deaf, limit=1)

    with caplog.at_level(logging.WARNING):
        state = await house.run(flow(Step(id="a", uses="x.go")))
    hears.set()

    assert state.status is RunStatus.SUCCEEDED
    assert "nobody was told on run." in caplog.text


class BrokenBus:
    """A carrier with a defect: it raises what the port does not promise."""

    def is_heard(self, _subject: str) -> bool:
        return True

    async def publish(self, _message: Message) -> None:
        """Take everything."""

    async def request(self, _message: Message, *, timeout_s: float | None = None) -> Message:
        raise RuntimeError(f"defect {timeout_s}")

    def ask(self, message: Message, _answered: object) -> Asked:
        raise RuntimeError(f"defect {message.deadline}")


class DeafBus(BrokenBus):
    """A carrier with that defect, on which nobody watches."""

    def is_heard(self, _subject: str) -> bool:
        return False


@pytest.mark.parametrize("bus", [BrokenBus, DeafBus])
async def test_a_defect_of_the_bus_fails_a_step_and_not_the_driver(
    house: House, caplog: pytest.LogCaptureFixture, bus: type[BrokenBus]
) -> None:
    house.bus = bus()  # type: ignore[assignment]
    driver = house.with_grace(1.0)

    with caplog.at_level(logging.CRITICAL):
        state = await driver.start(flow(Step(id="a", uses="x.go")), {})

    assert state.error is not None
    assert (state.error["code"], state.error["cause"]) == (InternalError.code, "RuntimeError('defect None')")


class DroppingBus(BrokenBus):
    """A carrier that forgets who waits."""

    async def request(self, _message: Message, *, timeout_s: float | None = None) -> Message:
        raise asyncio.CancelledError(timeout_s)


async def test_a_request_that_the_bus_drops_has_an_unknown_outcome(house: House) -> None:
    house.bus = DroppingBus()  # type: ignore[assignment]
    driver = house.with_grace(1.0)

    state = await driver.start(flow(Step(id="a", uses="x.go", effect=TX, timeout_s=60.0)), {})

    assert state.steps["a"].status is StepStatus.UNKNOWN


async def test_a_live_run_shows_itself() -> None:
    run = LiveRun(flow(Step(id="a", uses="x.go")), "r-1")

    assert repr(run) == "<LiveRun r-1 of w, None>"
    assert (run.head, run.is_cancellable, run.is_ending) == (0, False, False)
    await run.close()
