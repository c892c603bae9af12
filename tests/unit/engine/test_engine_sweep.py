"""Reference workflows, crashed after every transaction of their journal: nothing is lost, done twice, or wrong.

The ledger is written by the steps, not by the engine: an effect is known there by its idempotency key.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.bus import InProcessBus
from workflow_agent.engine import Driver, fold
from workflow_agent.model.errors import NotFoundError, ScriptFailedError
from workflow_agent.model.event import Event, EventType
from workflow_agent.model.workflow import Backoff, EffectPolicy, Step, Workflow
from workflow_agent.testing import MemoryJournal, StepwiseJournal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.unit.engine.driver_house import TickingClock, until

    from workflow_agent.model.event import RunState
    from workflow_agent.model.message import Message
else:
    from driver_house import TickingClock, until

GO: dict[str, Any] = {"uses": "x.go"}
UNDO: dict[str, Any] = {"undo": {"uses": "x.go"}}
LIST: dict[str, Any] = {"each": "[1, 2, 3, 4, 5]", "with_": {"n": "${{ item }}"}}
TX = EffectPolicy.TRANSACTIONAL


def flow(*steps: Step, **more: Any) -> Workflow:
    return Workflow(**({"name": "w", "version": "1", "steps": steps} | more))


CHILD = flow(Step(id="c1", **GO), Step(id="c2", needs=("c1",), **GO), name="child", output="steps.c2.output")
FLOWS = {
    "sequence": flow(Step(id="a", **GO), Step(id="b", needs=("a",), **GO), Step(id="c", needs=("b",), **GO)),
    "parallel": flow(*(Step(id=f"p{n}", **GO) for n in range(5)), Step(id="end", needs=("p0", "p4"), **GO)),
    "diamond of transactions": flow(
        Step(id="a", effect=TX, **GO),
        Step(id="b", needs=("a",), effect=TX, **GO),
        Step(id="c", needs=("a",), effect=EffectPolicy.AT_MOST_ONCE, **GO),
        Step(id="d", needs=("b", "c"), **GO),
    ),
    "choice": flow(
        Step(id="a", **GO),
        Step(id="yes", when="steps.a.output.n == 1", needs=("a",), **GO),
        Step(id="no", when="steps.a.output.n != 1", needs=("a",), **GO),
        Step(id="end", needs=("yes", "no"), **GO),
    ),
    "retry": flow(Step(id="a", uses="x.flaky", retry=Backoff(attempts=3, initial_s=0.001)), Step(id="b", **GO)),
    "timer": flow(Step(id="a", **GO), Step(id="t", uses="wait.timer", needs=("a",), with_={"seconds": 0.001})),
    "approval": flow(
        Step(id="a", **GO), Step(id="ask", uses="wait.person", needs=("a",)), Step(id="z", needs=("ask",), **GO)
    ),
    "map and reduce": flow(
        Step(id="m", uses="x.go", max_workers=2, **LIST),
        Step(id="r", uses="x.go", with_={"all": "${{ steps.m.output }}"}),
    ),
    "loop": flow(Step(id="l", uses="x.add", until="previous.n >= 3", with_={"n": "${{ previous.n }}"})),
    "undo": flow(
        Step(id="a", **GO, **UNDO),
        Step(id="b", needs=("a",), **GO, **UNDO),
        Step(id="c", uses="x.broken", needs=("b",)),
    ),
    "recovery and always": flow(
        Step(id="a", **GO),
        Step(id="b", uses="x.broken", needs=("a",)),
        Step(id="z", always=True, **GO),
        on_failure=(Step(id="r1", **GO), Step(id="r2", **GO)),
    ),
    "child": flow(Step(id="sub", uses="workflow.run", with_={"workflow": "child"}), Step(id="b", needs=("sub",), **GO)),
    "state": flow(
        Step(id="a", uses="x.keep"),
        Step(id="b", needs=("a",), uses="x.go", with_={"n": "${{ state.n }}"}),
        output="state",
    ),
    "errors that are shown": flow(Step(id="a", uses="x.broken", on_error="continue"), Step(id="b", needs=("a",), **GO)),
}


class World:
    """A bus with steps that write a ledger, and a driver; answers a person's step as soon as it waits."""

    def __init__(self, journal: MemoryJournal, ledger: dict[str, int], snapshot_every: int = 1000) -> None:
        self.bus = InProcessBus(grace_s=0.1)
        self.ledger = ledger
        self.asked: list[str] = []
        self.driver = Driver(self.bus, journal, TickingClock(), workflows=self, snapshot_every=snapshot_every)

    def get(self, name: str) -> Workflow:
        if name != "child":
            raise NotFoundError(name)
        return CHILD

    async def open(self) -> None:
        for verb in ("go", "flaky", "add", "broken", "keep"):
            await self.bus.subscribe(f"agent.x.{verb}", self._act, concurrency=8)
        await self.bus.subscribe("run.*.event", self._event)

    async def _act(self, message: Message) -> Mapping[str, Any]:
        verb = message.subject.rpartition(".")[2]
        self.asked.append(f"{message.run_id} {message.step_id} {message.attempt}")
        if verb == "broken" or (verb == "flaky" and message.attempt < 3):
            raise ScriptFailedError
        key = message.headers["idempotency-key"]
        self.ledger[key] = self.ledger.get(key, 0) + 1
        if verb == "keep":
            return {"_state": {"set": {"n": 7}}}
        return {"n": (message.data.get("n") or 0) + 1 if verb == "add" else message.data.get("n", 1)}

    async def _event(self, message: Message) -> None:
        if message.data["data"].get("status") == "waiting" and message.data["step"] == "ask":
            await self.driver.signal(str(message.run_id), "ask", {"approved": True})


async def finish(world: World, workflow: Workflow, run_id: str, events: Sequence[Event]) -> RunState:
    if not events:
        return await world.driver.start(workflow, {}, run_id=run_id)
    begun = fold(workflow, events)
    going = asyncio.create_task(world.driver.resume(workflow, run_id))
    if begun.work.waits and not begun.work.signals and "ask" in begun.work.waits:
        await until(lambda: run_id in world.driver._runs)
        await world.driver.signal(run_id, "ask", {"approved": True})
    return await going


@pytest.mark.parametrize("every", [1000, 1])
@pytest.mark.parametrize("name", list(FLOWS))
async def test_a_crash_after_any_transaction_loses_and_repeats_nothing(name: str, every: int) -> None:
    workflow, run_id = FLOWS[name], "r-01ARZ3NDEKTSV4RRFFQ69G5FAV"
    journal, ledger = StepwiseJournal(), dict[str, int]()
    world = World(journal, ledger, every)
    await world.open()
    whole = await world.driver.start(workflow, {}, run_id=run_id)
    await world.bus.drain()
    assert set(ledger.values()) <= {1}
    used = 0

    for length in range(len(journal) + 1):
        left = await journal.after(length)
        again = World(left, done := dict[str, int](), every)
        await again.open()
        before = await left.events(run_id)
        used += len(await left.snapshots([run_id]))

        state = await finish(again, workflow, run_id, before)
        await again.bus.drain()

        check(workflow, whole, state, before)
        # What the journal knows to be done is not asked for again; the rest is, once.
        ended = {f"{run_id} {event.step} {event.attempt}" for event in before if event.type in ENDS}
        assert not ended & set(again.asked), (name, length)
        assert set(done.values()) <= {1}
        if all(step.effect is EffectPolicy.AT_LEAST_ONCE for step in workflow.steps):
            assert state.status == whole.status
    assert (used > 0) is (every == 1)


ENDS = {EventType.STEP_SUCCEEDED, EventType.STEP_FAILED}


def check(workflow: Workflow, whole: RunState, state: RunState, before: Sequence[Event]) -> None:
    """The run ends as it would have, unless what must not repeat was in flight."""
    started = {event.step for event in before if event.type is EventType.STEP_STARTED}
    ended = {event.step for event in before if event.type in ENDS}
    lost = [
        step.id
        for step in workflow.steps
        if step.effect is not EffectPolicy.AT_LEAST_ONCE and step.id in started - ended
    ]
    if lost:
        assert all(state.steps[step].status == "unknown" for step in lost)
        return
    assert {name: (cell.status, cell.output) for name, cell in state.steps.items()} == {
        name: (cell.status, cell.output if "due_at" not in (cell.output or {}) else state.steps[name].output)
        for name, cell in whole.steps.items()
    }
    assert (dict(state.state), state.status) == (dict(whole.state), whole.status)
