"""Runs that pause, are changed, are made from other runs; and why a step is not under way where something is missing.

Each state that is reached live is what a refold of the journal gives.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.engine import fold, replay, why
from workflow_agent.engine.keeping import kept_of
from workflow_agent.engine.looking import look
from workflow_agent.model.errors import ConflictError, NotFoundError, ScriptFailedError
from workflow_agent.model.status import RunStatus
from workflow_agent.model.workflow import EffectPolicy, Step, Workflow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.unit.engine.driver_house import House, until

    from workflow_agent.model.event import RunState
    from workflow_agent.model.message import Message
else:
    from driver_house import until

RUN = "r-01ARZ3NDEKTSV4RRFFQ69G5FAV"


def flow(*steps: Step, **more: Any) -> Workflow:
    return Workflow(**({"name": "w", "version": "1", "steps": steps} | more))


def go(name: str, *needs: str, **more: Any) -> Step:
    return Step(**({"id": name, "uses": "x.go", "needs": needs, "with_": {"me": name}} | more))


async def agent(house: House, failing: set[str]) -> None:
    """Let steps return their name and keep it in the state; those that are named fail."""

    def act(message: Message) -> dict[str, Any]:
        if message.step_id in failing:
            raise ScriptFailedError(str(message.step_id))
        return {**message.data, "_state": {"set": {str(message.step_id): 1}}}

    await house.agent("x.go", act)


def waiting_for(gate: asyncio.Event) -> Callable[[Message], Awaitable[None]]:
    """Make an agent that answers when a gate is open."""

    async def act(_: Message) -> None:
        await gate.wait()

    return act


async def refolded(house: House, workflow: Workflow, state: RunState) -> RunState:
    assert fold(workflow, await house.journal.events(state.run_id)) == state
    return state


# -- breakpoints -----------------------------------------------------------------------------------------------------


async def paused(house: House, run_id: str = RUN) -> None:
    await until(lambda: run_id in house.driver._runs)
    live = house.driver._runs[run_id]
    await until(lambda: live.state is not None and live.state.paused is not None)


async def test_a_run_pauses_before_a_step_goes_on_by_one_step_and_to_its_end(house: House) -> None:
    await agent(house, set())
    workflow = flow(go("a"), go("b", "a"), go("c", "b"), go("d", "c"))
    run = asyncio.create_task(house.driver.start(workflow, {}, run_id=RUN, beginning={"break_before": ["b"]}))
    await paused(house)
    seen = look(workflow, fold(workflow, await house.journal.events(RUN)))
    assert (seen["before"], seen["breakpoints"], seen["state"], seen["step"]["inputs"]) == (
        "b", ["b"], {"a": 1}, {"me": "b"},
    )  # fmt: skip

    await house.driver.unpause(RUN, one_step=True)
    await paused(house)
    assert look(workflow, fold(workflow, await house.journal.events(RUN)))["before"] == "c"
    await house.driver.change(RUN, {"with": {"c": {"me": "other"}}, "state": {"set": {"x": 5}, "delete": ["a"]}})
    await house.driver.change(RUN, {"break_before": ["d"]})
    await house.driver.unpause(RUN)
    await paused(house)
    await house.driver.change(RUN, {"break_before": []})
    await house.driver.unpause(RUN)

    state = await refolded(house, workflow, await run)
    assert state.status is RunStatus.SUCCEEDED
    assert state.steps["c"].output == {"me": "other"}
    assert dict(state.state) == {"b": 1, "c": 1, "d": 1, "x": 5}


async def test_a_pause_that_somebody_asked_for_lets_one_step_go_too(house: House) -> None:
    await agent(house, set())
    gate = asyncio.Event()
    await house.agent("x.gate", waiting_for(gate))
    workflow = flow(Step(id="g", uses="x.gate"), go("b", "g"), go("c", "b"))
    run = asyncio.create_task(house.driver.start(workflow, {}, run_id=RUN))
    await until(lambda: any(message.step_id == "g" for message in house.asked))
    await house.driver.pause(RUN)
    gate.set()
    await house.driver.unpause(RUN, one_step=True)
    await paused(house)

    state = fold(workflow, await house.journal.events(RUN))
    assert (state.steps["b"].status, look(workflow, state)["before"]) == ("succeeded", "c")
    await house.driver.unpause(RUN)
    await refolded(house, workflow, await run)


async def test_what_cannot_be_changed_now_is_refused(house: House) -> None:
    await agent(house, set())
    workflow = flow(go("a"), go("b", "a"))
    run = asyncio.create_task(house.driver.start(workflow, {}, run_id=RUN, beginning={"break_before": ["b"]}))
    await paused(house)

    for data, said in (
        ({"with": {"a": {"me": 1}}}, "has begun"),
        ({"with": {"bb": {}}}, "no step `bb`"),
        ({"break_before": ["zz"]}, "no step `zz`"),
    ):
        with pytest.raises(ConflictError, match=said):
            await house.driver.change(RUN, data)
    with pytest.raises(NotFoundError):
        await house.driver.change("r-2", {})
    assert look(workflow, fold(workflow, await house.journal.events(RUN)), "a")["step"]["output"] == {"me": "a"}
    with pytest.raises(NotFoundError, match="no step `q`"):
        look(workflow, fold(workflow, await house.journal.events(RUN)), "q")
    await house.driver.cancel(RUN)
    assert (await refolded(house, workflow, await run)).status is RunStatus.CANCELLED


async def test_a_running_run_takes_breakpoints_and_no_values(house: House) -> None:
    gate = asyncio.Event()
    await house.agent("x.gate", waiting_for(gate))
    await agent(house, set())
    workflow = flow(Step(id="g", uses="x.gate"), go("b", "g"))
    run = asyncio.create_task(house.driver.start(workflow, {}, run_id=RUN))
    await until(lambda: any(message.step_id == "g" for message in house.asked))

    with pytest.raises(ConflictError, match="while the run is paused only"):
        await house.driver.change(RUN, {"state": {"set": {"x": 1}}})
    await house.driver.change(RUN, {"break_before": ["b"]})
    gate.set()
    await paused(house)
    await house.driver.unpause(RUN)
    await refolded(house, workflow, await run)


def test_inputs_of_fan_outs_and_loops_are_looked_at_with_their_first_item_and_round() -> None:
    each = go("f", each="[1, 2]", with_={"n": "${{ item }}"})
    loop = go("l", until="true", with_={"n": "${{ iteration }}"})
    wrong = go("w", each="1")
    empty = go("e", each="[]")
    workflow = flow(each, loop, wrong, empty)
    from workflow_agent.testing import EventChain  # noqa: PLC0415  # one test needs it

    created = EventChain(RUN).created(workflow="w")
    state, _ = replay(workflow, [created])

    assert look(workflow, state, "f")["step"]["inputs"] == {"n": 1, "each": [1, 2]}
    assert look(workflow, state, "l")["step"]["inputs"] == {"n": 1}
    assert look(workflow, state, "e")["step"]["inputs"] == {"each": []}
    assert look(workflow, state, "w")["step"]["problem"] == "`each` does not give a list"
    assert look(workflow, state)["step"] is None


# -- runs from runs --------------------------------------------------------------------------------------------------


async def again(house: House, workflow: Workflow, first: str | None, **more: Any) -> tuple[RunState, list[str]]:
    """Make a run from the one that ended; gives it, and what was asked for because of it."""
    events = await house.journal.events(RUN)
    kept = kept_of(workflow, fold(workflow, events), events, first)
    before = len(house.asked)
    beginning = {"kept": kept.to_dict(), "origin": {"run": RUN}, **more}
    state = await house.driver.start(workflow, {}, run_id="r-02", beginning=beginning)
    return await refolded(house, workflow, state), [str(message.step_id) for message in house.asked[before:]]


async def test_what_ended_well_is_kept_and_the_rest_is_done_again_with_new_keys(house: House) -> None:
    failing = {"c"}
    await agent(house, failing)
    workflow = flow(
        go("a"), go("no", "a", when="false == true"), go("b", "no"), go("c", "b"), go("d", "c"), go("z", always=True),
    )  # fmt: skip
    whole = await house.driver.start(workflow, {}, run_id=RUN)
    assert whole.status is RunStatus.FAILED
    failing.clear()
    events = await house.journal.events(RUN)
    told = kept_of(workflow, whole, events).again
    assert [(each.step, each.status, each.effect) for each in told] == [
        ("c", "failed", "at_least_once"), ("z", "succeeded", "at_least_once"),
    ]  # fmt: skip
    assert told[0].to_dict()["uses"] == "x.go"

    state, asked = await again(house, workflow, None)

    assert asked == ["c", "d", "z"]
    assert (state.status, state.steps["a"].output, state.steps["a"].reason) == (
        "succeeded",
        {"me": "a"},
        f"kept from {RUN}",
    )
    assert dict(state.state) == {"a": 1, "b": 1, "c": 1, "d": 1, "z": 1}
    keys = [message.headers["idempotency-key"] for message in house.asked if message.step_id == "c"]
    assert len(set(keys)) == len(keys) == 2


async def test_a_step_is_done_again_with_all_that_waits_for_it(house: House) -> None:
    await agent(house, set())
    workflow = flow(go("a"), go("b", "a"), go("c", "b"), go("side", "a"))
    await house.driver.start(workflow, {}, run_id=RUN)

    _, asked = await again(house, workflow, "b")

    assert asked == ["b", "c"]
    with pytest.raises(NotFoundError, match="no step `bb`"):
        kept_of(workflow, fold(workflow, await house.journal.events(RUN)), [], "bb")


async def test_what_was_kept_is_not_undone_by_the_new_run_and_what_was_undone_is_done_again(house: House) -> None:
    failing = {"c"}
    await agent(house, failing)
    undo = {"undo": {"uses": "x.go"}}
    workflow = flow(go("k"), go("a", **undo), go("b", "a", effect=EffectPolicy.TRANSACTIONAL, **undo), go("c", "b"))
    await house.driver.start(workflow, {}, run_id=RUN)

    state, asked = await again(house, workflow, None)

    assert asked == ["a", "b", "c", "b~undo", "a~undo"]
    assert state.steps["k"].status == "succeeded"
    failing.clear()
    events = await house.journal.events("r-02")
    kept = kept_of(workflow, fold(workflow, events), events)
    assert list(kept.steps) == ["k"]
    assert kept.state == {"k": 1}


async def test_a_scope_is_done_again_as_a_whole_with_the_scopes_around_it(house: House) -> None:
    await agent(house, set())
    workflow = flow(
        go("a"),
        Step(id="outer", uses="flow.scope", needs=("a",)),
        Step(id="inner", uses="flow.scope", scope="outer"),
        go("b", scope="inner"),
        go("c", scope="outer"),
        go("d", "outer"),
    )
    assert (await house.driver.start(workflow, {}, run_id=RUN)).status is RunStatus.SUCCEEDED

    state, asked = await again(house, workflow, "b")

    assert sorted(asked) == ["b", "c", "d"]
    assert (state.status, state.steps["a"].reason) == (RunStatus.SUCCEEDED, f"kept from {RUN}")


async def test_what_a_kept_step_took_out_of_the_state_stays_out(house: House) -> None:
    def act(message: Message) -> dict[str, Any]:
        return {"_state": {"set": {"k": 1}} if message.step_id == "a" else {"delete": ["k", "never"]}}

    await house.agent("x.go", act)
    workflow = flow(go("a"), go("b", "a"), go("c", "b"))
    await house.driver.start(workflow, {}, run_id=RUN)

    events = await house.journal.events(RUN)

    assert kept_of(workflow, fold(workflow, events), events, "c").state == {}
    assert kept_of(workflow, fold(workflow, events), events, "b").state == {"k": 1}


async def test_a_kept_step_with_an_undo_stays_when_the_new_run_fails(house: House) -> None:
    failing: set[str] = set()
    await agent(house, failing)
    workflow = flow(go("a", undo={"uses": "x.go"}), go("b", "a"))
    await house.driver.start(workflow, {}, run_id=RUN)
    failing.add("b")

    state, asked = await again(house, workflow, "b")

    assert asked == ["b"]
    assert (state.status, state.steps["a"].status) == (RunStatus.FAILED, "succeeded")


# -- why -------------------------------------------------------------------------------------------------------------


async def test_a_missing_agent_and_a_missing_process_are_named(house: House) -> None:
    await agent(house, set())
    workflow = flow(go("a"), Step(id="lone", uses="nobody.there", needs=("a",)))
    state = await house.driver.start(workflow, {}, run_id=RUN)

    (found,) = why(workflow, state, "lone")
    assert (found.kind, found.details["agent"]) == ("agent", "nobody")
    begun, _ = replay(workflow, (await house.journal.events(RUN))[:2])
    assert [each.kind for each in why(workflow, begun)] == ["running", "dependency"]
    assert [each.kind for each in why(workflow, begun, is_driven=False)] == ["process", "dependency"]
