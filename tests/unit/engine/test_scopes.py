"""Scopes: try, catch, finally; their time, their lock, one in another; edges and joins that hang on them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.authoring import load_workflow
from workflow_agent.engine import Driver
from workflow_agent.model.errors import InternalError, ScriptFailedError
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from tests.unit.engine.driver_house import House
    from tests.unit.engine.pattern_house import Play, statuses

    from workflow_agent.model.workflow import Workflow
else:
    from pattern_house import Play, statuses

PAYMENT = """
name: payment
version: "1"
steps:
  - id: pay
    uses: flow.scope
    steps:
      - {id: reserve, uses: shell.run}
      - {id: charge, uses: shell.run, needs: [reserve]}
      - {id: log, uses: shell.run}
    catch:
      - {id: refund, uses: shell.run, with: {why: "${{ steps.charge.status }}"}}
    finally:
      - {id: unlock, uses: shell.run}
  - {id: ship, uses: shell.run, needs: [pay]}
"""


def flow(text: str) -> Workflow:
    return load_workflow(text, source="w.yaml")


async def test_a_scope_whose_body_succeeds_leaves_its_catch_out(house: House) -> None:
    play = Play(house, flow(PAYMENT))
    play.answers = {"log": {"line": 1}}

    state = await play.run()

    assert statuses(state) == {
        "pay": "succeeded", "reserve": "succeeded", "log": "succeeded", "charge": "succeeded",
        "refund": "skipped", "unlock": "succeeded", "ship": "succeeded",
    }  # fmt: skip
    assert play.asked[-2:] == ["unlock", "ship"]
    assert state.steps["pay"].output == {"line": 1}
    assert state.steps["refund"].reason == "nothing failed in `pay`"


async def test_what_fails_in_a_body_is_caught_and_the_run_goes_on(house: House) -> None:
    play = Play(house, flow(PAYMENT))
    play.answers = {"charge": ScriptFailedError("no money"), "refund": {"back": True}}

    state = await play.run()

    assert play.asked[-3:] == ["refund", "unlock", "ship"]
    assert (state.status, state.error) == (RunStatus.SUCCEEDED, None)
    assert state.steps["pay"].output == {"back": True}
    assert statuses(state)["charge"] == "failed"


async def test_what_is_in_flight_when_a_body_fails_goes_on_to_its_end(house: House) -> None:
    play = Play(house, flow(PAYMENT), held=["log"])
    play.answers = {"reserve": ScriptFailedError("no")}
    await play.begin()
    await play.until_told("StepSkipped", "charge")
    assert "refund" not in play.asked

    play.let("log")

    state = await play.end()
    assert play.ended[-4:] == ["log", "refund", "unlock", "ship"]
    assert state.steps["charge"].reason == "a step of `pay` failed"


@pytest.mark.parametrize("broken", ["refund", "unlock"])
async def test_a_scope_fails_of_what_should_have_coped_with_it(house: House, broken: str) -> None:
    play = Play(house, flow(PAYMENT))
    play.answers = {"charge": ScriptFailedError("no money"), broken: InternalError("worse")}

    state = await play.run()

    assert (state.status, state.failed_step) == (RunStatus.FAILED, "pay")
    assert state.error is not None
    assert state.error["message"] == "worse"
    assert "unlock" in play.asked
    assert statuses(state)["ship"] == "skipped"


async def test_without_a_catch_the_failure_is_the_scope_s(house: House) -> None:
    text = PAYMENT.replace(
        '    catch:\n      - {id: refund, uses: shell.run, with: {why: "${{ steps.charge.status }}"}}\n', ""
    )
    play = Play(house, flow(text))
    play.answers = {"charge": ScriptFailedError("no money")}

    state = await play.run()

    assert (state.status, state.failed_step) == (RunStatus.FAILED, "pay")
    assert play.asked[-1] == "unlock"


async def test_an_edge_takes_the_failure_of_a_scope_up(house: House) -> None:
    text = """
name: edges
version: "1"
steps:
  - {id: pay, uses: flow.scope, steps: [{id: charge, uses: shell.run}]}
  - {id: sorry, uses: shell.run, needs: [pay], edges: {pay: failure}}
  - {id: thanks, uses: shell.run, needs: [pay], edges: {pay: success}}
  - {id: never, uses: shell.run, needs: [pay], edges: {pay: skip}}
  - {id: note, uses: shell.run, needs: [sorry], edges: {sorry: always}}
"""
    play = Play(house, flow(text))
    play.answers = {"charge": ScriptFailedError("no"), "sorry": ScriptFailedError("no")}

    state = await play.run()

    assert play.asked == ["charge", "sorry", "note"]
    assert state.status is RunStatus.SUCCEEDED
    assert state.steps["thanks"].reason == "`pay` did not succeed"
    assert state.steps["never"].reason == "`pay` was not skipped"


async def test_the_time_of_a_scope_stops_its_body_and_its_catch_runs(house: House) -> None:
    play = Play(
        house, flow(PAYMENT.replace("uses: flow.scope", "uses: flow.scope\n    timeout_s: 0.05")), held=["reserve"]
    )

    state = await asyncio.wait_for(play.run(), 10)

    assert statuses(state) == {
        "pay": "succeeded", "reserve": "cancelled", "log": "succeeded", "charge": "skipped",
        "refund": "succeeded", "unlock": "succeeded", "ship": "succeeded",
    }  # fmt: skip
    assert "ScopeStopped pay" in await house.story(state.run_id)


async def test_the_last_part_of_a_scope_runs_after_a_cancel_too(house: House) -> None:
    play = Play(house, flow(PAYMENT), held=["reserve"])
    run_id = await play.begin()
    await play.until_told("StepSucceeded", "log")

    await house.driver.cancel(run_id)

    state = await play.end()
    assert play.asked[-1] == "unlock"
    assert statuses(state) == {
        "pay": "cancelled", "reserve": "cancelled", "log": "succeeded", "charge": "skipped",
        "refund": "skipped", "unlock": "succeeded", "ship": "skipped",
    }  # fmt: skip
    assert state.status is RunStatus.CANCELLED


async def test_a_failure_elsewhere_leaves_what_is_left_of_a_scope_out_but_its_last_part(house: House) -> None:
    play = Play(house, flow(PAYMENT + "  - {id: other, uses: shell.run}\n"), held=["reserve"])
    play.answers = {"other": ScriptFailedError("no")}
    await play.begin()
    await play.until_told("StepFailed", "other")

    play.let("reserve")

    state = await play.end()
    assert play.asked[-1] == "unlock"
    assert (state.status, state.failed_step) == (RunStatus.FAILED, "other")


NESTED = """
name: nested
version: "1"
steps:
  - id: outer
    uses: flow.scope
    steps:
      - {id: first, uses: shell.run}
      - id: inner
        uses: flow.scope
        when: inputs.deep
        steps:
          - {id: a, uses: shell.run}
          - {id: b, uses: shell.run, needs: [a]}
        catch: [{id: c, uses: shell.run}]
        finally: [{id: d, uses: shell.run}]
      - {id: e, uses: shell.run, needs: [inner]}
    finally: [{id: f, uses: shell.run}]
  - {id: g, uses: shell.run, needs: [outer]}
inputs:
  deep: {type: boolean, default: true}
"""


async def test_a_scope_in_a_scope(house: House) -> None:
    play = Play(house, flow(NESTED))

    state = await play.run()

    assert play.asked == ["first", "a", "b", "d", "e", "f", "g"]
    assert state.status is RunStatus.SUCCEEDED


async def test_a_scope_that_is_left_out_is_left_out_with_all_that_is_in_it(house: House) -> None:
    play = Play(house, flow(NESTED))

    state = await play.run(deep=False)

    assert play.asked == ["first", "e", "f", "g"]
    assert state.steps["a"].reason == "`inner` did not begin"


async def test_a_failure_beside_an_inner_scope_stops_it_and_its_last_part_runs(house: House) -> None:
    play = Play(house, flow(NESTED), held=["first", "a"])
    play.answers = {"first": ScriptFailedError("no")}
    await play.begin()
    await play.until_asked("first", "a")
    play.let("first")
    await play.until_told("StepSkipped", "b")
    play.let("a")

    state = await play.end()

    assert play.asked == ["first", "a", "d", "f"]
    assert statuses(state) | {"outer": "failed", "inner": "cancelled", "c": "skipped"} == statuses(state)


async def test_steps_that_wait_in_a_region_that_is_cancelled_are_given_up(house: House) -> None:
    text = """
name: waits
version: "1"
steps:
  - id: region
    uses: flow.scope
    steps:
      - {id: answer, uses: wait.signal}
      - {id: later, uses: wait.timer, with: {seconds: 3600}}
      - {id: again, uses: shell.run, retry: {attempts: 3, initial_s: 3600, max_s: 3600}}
      - {id: many, uses: shell.run, each: "[1, 2, 3]", max_workers: 1}
      - {id: loop, uses: shell.run, until: "false"}
  - {id: go, uses: shell.run, cancels: [region]}
"""
    play = Play(house, flow(text), held=["go", "many[1]", "loop#2"])
    play.answers = {"again": ScriptFailedError("no")}
    await play.begin()
    await play.until_told("RetryScheduled", "again")
    await play.until_asked("many[1]", "loop#2")

    play.let("go")

    state = await play.end()
    assert statuses(state) == dict.fromkeys(["region", "answer", "later", "again", "many", "loop"], "cancelled") | {
        "go": "succeeded"
    }
    items: Any = state.steps["many"].items
    assert [item.status.value for item in items] == ["succeeded", "cancelled", "pending"]
    assert state.status is RunStatus.SUCCEEDED


async def test_a_run_that_died_in_a_scope_goes_on_in_it(house: House) -> None:
    workflow = flow(PAYMENT.replace("uses: flow.scope", "uses: flow.scope\n    timeout_s: 3600\n    lock: account"))
    play = Play(house, workflow, held=["charge"])
    run_id = await play.begin()
    await play.until_asked("charge")
    assert play._task is not None  # it dies
    play._task.cancel()
    await asyncio.wait({play._task})
    play.let("charge")

    state = await Driver(house.bus, house.journal, house.clock).resume(workflow, run_id)

    assert state.status is RunStatus.SUCCEEDED
    assert play.asked.count("charge") == 2
    assert statuses(state)["refund"] == "skipped"


async def test_scopes_with_one_lock_come_one_after_the_other(house: House) -> None:
    text = """
name: locks
version: "1"
inputs: {account: {type: string, default: "7"}}
steps:
  - {id: one, uses: flow.scope, lock: "account-${{ inputs.account }}", steps: [{id: a, uses: shell.run}]}
  - {id: two, uses: flow.scope, lock: "account-${{ inputs.account }}", steps: [{id: b, uses: shell.run}]}
"""
    play = Play(house, flow(text), held=["a"])
    run_id = await play.begin()
    await play.until_asked("a")
    (standing,) = house.driver.waits_of(run_id)
    assert (standing.wanted.unit, [each.unit for each in standing.holders]) == ("two", ["one"])
    assert play.asked == ["a"]

    play.let("a")

    assert (await play.end()).status is RunStatus.SUCCEEDED
    assert play.asked == ["a", "b"]


async def test_a_scope_whose_lock_has_no_key_fails(house: House) -> None:
    text = """
name: locks
version: "1"
inputs: {account: {type: any}}
steps:
  - {id: one, uses: flow.scope, lock: "${{ inputs.account }}", steps: [{id: a, uses: shell.run}]}
"""
    state = await Play(house, flow(text)).run()

    assert (state.status, statuses(state)) == (RunStatus.FAILED, {"one": "failed", "a": "skipped"})


async def test_a_scope_that_waits_for_its_lock_can_be_cancelled(house: House) -> None:
    text = """
name: locks
version: "1"
steps:
  - {id: one, uses: flow.scope, lock: k, steps: [{id: a, uses: shell.run}]}
  - {id: two, uses: flow.scope, lock: k, steps: [{id: b, uses: shell.run}]}
  - {id: stop, uses: wait.signal, cancels: [two]}
"""
    play = Play(house, flow(text), held=["a"])
    run_id = await play.begin()
    await play.until_asked("a")
    await house.driver.signal(run_id, "stop")
    await play.until_told("StepFailed", "two")
    play.let("a")

    state = await play.end()

    assert statuses(state) == {
        "one": "succeeded",
        "a": "succeeded",
        "two": "cancelled",
        "b": "skipped",
        "stop": "succeeded",
    }
    assert state.status is RunStatus.SUCCEEDED


async def test_a_step_of_a_body_that_was_cancelled_before_the_scope_began_holds_nothing_up(house: House) -> None:
    text = """
name: early
version: "1"
steps:
  - {id: quick, uses: shell.run, cancels: [inner]}
  - id: part
    uses: flow.scope
    needs: [quick]
    steps:
      - {id: inner, uses: shell.run}
      - {id: other, uses: shell.run}
    finally:
      - {id: unlock, uses: shell.run}
"""
    play = Play(house, flow(text))

    async with asyncio.timeout(10):
        state = await play.run()

    assert statuses(state) == {
        "quick": "succeeded", "part": "succeeded", "inner": "skipped", "other": "succeeded", "unlock": "succeeded",
    }  # fmt: skip
