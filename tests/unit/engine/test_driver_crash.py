"""A crash after every record: the run is taken up from each prefix of its journal and ends as it must."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.engine import Driver, fold
from workflow_agent.model.errors import NotFoundError, ScriptFailedError
from workflow_agent.model.event import EventType
from workflow_agent.model.failpoint import VARIABLE
from workflow_agent.model.status import TERMINAL_RUN, TERMINAL_STEP, RunStatus, StepStatus
from workflow_agent.model.workflow import Backoff, EffectPolicy, Step, Workflow
from workflow_agent.store import SqliteStore
from workflow_agent.testing import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.engine.driver_house import House

    from workflow_agent.model.message import Message

TX = EffectPolicy.TRANSACTIONAL
FLOW = Workflow(
    name="w",
    max_workers=1,
    version="1",
    steps=(
        Step(id="look", uses="x.go"),
        Step(id="skipped", uses="x.go", when="false"),
        Step(id="commit", uses="x.go", effect=TX),
        Step(id="flaky", uses="x.flaky", retry=Backoff(attempts=2, initial_s=0.001)),
        Step(id="once", uses="x.go", effect=EffectPolicy.AT_MOST_ONCE),
        Step(id="broken", uses="x.broken"),
        Step(id="never", uses="x.go"),
        Step(id="end", uses="x.go", always=True),
    ),
    on_failure=(Step(id="recover", uses="x.undo", effect=TX), Step(id="report", uses="x.go")),
)


async def furnish(house: House) -> None:
    async def flaky(message: Message) -> None:
        if message.attempt == 1:
            raise ScriptFailedError("once")

    async def broken(_: Message) -> None:
        raise ScriptFailedError("always")

    await house.agent("x.go", lambda _: {"_changed": True})
    await house.agent("x.flaky", flaky)
    await house.agent("x.broken", broken)
    await house.agent("x.undo", lambda _: {"_run_status": "rolled-back"})


async def test_a_run_is_taken_up_from_every_prefix_of_its_journal(house: House) -> None:
    await furnish(house)
    whole = await house.journal.events((await house.run(FLOW)).run_id)
    run_id = whole[0].run_id
    assert whole[-1].data["status"] == "rolled-back"

    for length in range(1, len(whole) + 1):
        house.journal = MemoryJournal()
        await house.journal.append(run_id, 0, whole[:length])
        house.asked.clear()

        state = await house.with_grace(1.0).resume(FLOW, run_id)

        events = await house.journal.events(run_id)
        assert events[:length] == whole[:length]
        assert fold(FLOW, events) == state
        assert state.status in TERMINAL_RUN
        assert all(step.status in TERMINAL_STEP for step in state.steps.values())
        check_nothing_ran_twice(house, whole[:length])
        last = whole[length - 1]
        if last.type is EventType.STEP_STARTED and FLOW_STEPS[str(last.step)].effect is not EffectPolicy.AT_LEAST_ONCE:
            assert state.steps[str(last.step)].status is StepStatus.UNKNOWN
        elif length < len(whole):
            assert state.status == "rolled-back"


FLOW_STEPS = {step.id: step for step in (*FLOW.steps, *FLOW.on_failure)}


def check_nothing_ran_twice(house: House, before: list[Any]) -> None:
    """What the journal says was begun and must not repeat is not asked for again."""
    begun = {event.step for event in before if event.type is EventType.STEP_STARTED}
    again = {message.step_id for message in house.asked} & begun
    assert all(FLOW_STEPS[str(step)].effect is EffectPolicy.AT_LEAST_ONCE for step in again)


@pytest.mark.parametrize("effect", list(EffectPolicy))
async def test_a_crash_after_a_cancel_was_asked_for_still_cancels(house: House, effect: EffectPolicy) -> None:
    flow = Workflow(name="w", version="1", steps=(Step(id="a", uses="x.go", effect=effect),))

    async def cancel(message: Message) -> None:
        cancelled.append(await house.driver.cancel(str(message.run_id)))

    cancelled: list[bool] = []
    await house.agent("x.go", cancel)
    state = await house.run(flow)
    events = await house.journal.events(state.run_id)
    length = [event.type for event in events].index(EventType.CANCEL_REQUESTED) + 1
    house.journal = MemoryJournal()
    await house.journal.append(state.run_id, 0, events[:length])

    state = await house.with_grace(1.0).resume(flow, state.run_id)

    expected = StepStatus.CANCELLED if effect is EffectPolicy.AT_LEAST_ONCE else StepStatus.UNKNOWN
    assert cancelled == [True]
    assert (state.status, state.steps["a"].status) == ("cancelled", expected)


async def test_the_real_journal_gives_back_what_the_driver_saw(house: House, tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    house.journal = store.journal
    await furnish(house)
    try:
        house.with_grace(1.0)
        state = await house.run(FLOW)
        kept = await store.history.run(state.run_id)
    finally:
        await store.close()

    assert kept["status"] == state.status == "rolled-back"
    assert {step["id"]: step["status"] for step in kept["steps"]} == {
        name: step.status for name, step in state.steps.items()
    }


# -- kill -9 at each failure point --------------------------------------------------------------------------------

CHILD = """
import asyncio, sys, time
from pathlib import Path
from workflow_agent.bus import InProcessBus
from workflow_agent.engine import Driver
from workflow_agent.model.workflow import EffectPolicy, Step, Workflow
from workflow_agent.store import SqliteStore

class Wall:
    now = staticmethod(time.time)

FLOW = Workflow(name="w", version="1", max_workers=1, steps=tuple(
    Step(id=f"s{n}", uses="x.go", effect=EffectPolicy.TRANSACTIONAL if n % 2 else EffectPolicy.AT_LEAST_ONCE)
    for n in range(4)
))

async def main(folder, verb):
    async def act(message):
        with open(folder / "effects", "a") as file:
            file.write(f"{message.step_id}\\n")
        return {}
    bus, store = InProcessBus(), await SqliteStore.open(folder)
    await bus.subscribe("agent.x.go", act)
    driver = Driver(bus, store.journal, Wall())
    if verb == "start":
        state = await driver.start(FLOW, {}, run_id="r-1")
    elif not await store.journal.events("r-1"):
        print("nothing")
        return await store.close()
    else:
        state = await driver.resume(FLOW, "r-1")
    print(state.status, *(step.status for step in state.steps.values()))
    await store.close()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


@pytest.fixture
def child(tmp_path: Path) -> Callable[[str, str | None], subprocess.CompletedProcess[str]]:
    def run(verb: str, failpoint: str | None) -> subprocess.CompletedProcess[str]:
        environment = os.environ | ({VARIABLE: failpoint} if failpoint else {})
        command = [sys.executable, "-c", CHILD, str(tmp_path), verb]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.mark.parametrize("passage", range(1, 5))
@pytest.mark.parametrize("point", ["engine.before-request", "engine.after-reply"])
def test_kill_9_around_an_effect_never_repeats_what_must_not_repeat(
    child: Callable[[str, str | None], subprocess.CompletedProcess[str]],
    tmp_path: Path,
    point: str,
    passage: int,
) -> None:
    killed = child("start", f"{point}:{passage}")
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    resumed = child("resume", None)

    assert resumed.returncode == 0, resumed.stderr
    status, *steps = resumed.stdout.split()
    effects = (tmp_path / "effects").read_text().split() if (tmp_path / "effects").exists() else []
    assert all(effects.count(name) <= 1 for name in ("s1", "s3"))
    in_flight = passage - 1
    if in_flight % 2:
        assert (status, steps[in_flight]) == ("failed", "unknown")
    else:
        assert (status, steps) == ("succeeded", ["succeeded"] * 4)


async def test_many_runs_are_taken_up_at_once(house: House) -> None:
    """Their journals are read together; one that is not there fails alone, with the rest driven to their ends."""
    await house.agent("x.go", lambda _: {"n": 1})
    workflow = Workflow(
        name="w", version="1", steps=(Step(id="a", uses="x.go"), Step(id="b", uses="x.go", needs=("a",)))
    )
    whole = await house.run(workflow)
    events = await house.journal.events(whole.run_id)
    left = MemoryJournal()
    names = [f"r-{number}" for number in range(1200)]
    for name in names:
        await left.append(name, 0, [replace(event, run_id=name) for event in events[:3]])
    house.asked.clear()

    driver = Driver(house.bus, left, house.clock)
    driving = await driver.resume_all(dict.fromkeys([*names, "r-none"], workflow))

    with pytest.raises(NotFoundError):
        await driving.pop("r-none")
    ends = await asyncio.gather(*driving.values())
    assert {end.status for end in ends} == {RunStatus.SUCCEEDED}
    assert sorted(str(message.run_id) for message in house.asked) == sorted(names), "each does what was left of it"
