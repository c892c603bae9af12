"""Nodes that say what has no sense, fan-outs that grow and fail, loops that are stopped; why something waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.authoring import load_workflow
from workflow_agent.engine import fold, why
from workflow_agent.engine import nodes as nodes_module
from workflow_agent.engine.places import described
from workflow_agent.engine.plan import plan_of
from workflow_agent.model.errors import ScriptFailedError, ValidationError
from workflow_agent.model.places import Place, Standing, Wanted
from workflow_agent.model.status import RunStatus
from workflow_agent.model.workflow import Backoff, InputSpec, Step, Workflow

if TYPE_CHECKING:
    from tests.unit.engine.driver_house import House, until
    from tests.unit.engine.pattern_house import Play, statuses
else:
    from driver_house import until
    from pattern_house import Play, statuses

ITEMS = {"items": InputSpec(type="array", default=[1, 2])}


def flow(*steps: Step, **more: Any) -> Workflow:
    return Workflow(**({"name": "w", "version": "1", "steps": steps, "inputs": ITEMS} | more))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Step(id="n", uses="flow.choice", with_={"cases": 5}), "a choice has `cases`"),
        (Step(id="n", uses="flow.choice", with_={"cases": [{"name": "x", "when": "text"}]}), "a choice has `cases`"),
        (Step(id="n", uses="flow.choice", with_={"cases": [{"name": "x", "when": False}]}), "no case of `n` holds"),
        (Step(id="n", uses="flow.emit", with_={"name": 5}), "what is sent has a `name`"),
        (Step(id="n", uses="flow.end", with_={"status": "odd"}), "the `status` with which a run ends"),
        (Step(id="n", uses="flow.end", with_={"status": "failed", "reason": "no luck"}), "no luck"),
        (Step(id="n", uses="flow.end", with_={"status": "failed"}), "`n` ended the run"),
    ],
)
async def test_a_node_that_has_no_sense_fails(house: House, step: Step, message: str) -> None:
    state = await Play(house, flow(step)).run()

    assert state.status is RunStatus.FAILED
    assert state.error is not None
    assert message in state.error["message"]


async def test_a_choice_of_all_may_choose_nothing(house: House) -> None:
    step = Step(id="n", uses="flow.choice", with_={"cases": [{"name": "x", "when": None}], "every": True})

    assert (await Play(house, flow(step)).run()).output == {"chosen": []}


@pytest.mark.parametrize(
    ("levels", "status"), [(nodes_module.MAX_NESTING - 1, "succeeded"), (nodes_module.MAX_NESTING + 1, "failed")]
)
async def test_what_a_node_puts_together_may_not_nest_without_end(house: House, levels: int, status: str) -> None:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    steps = (Step(id="a", uses="shell.run"), Step(id="n", uses="flow.pass", with_={"v": "${{ steps.a.output.v }}"}))
    play = Play(house, flow(*steps))
    play.answers = {"a": {"v": value}}

    state = await play.run()

    assert statuses(state)["n"] == status


async def test_a_step_waits_until_what_it_joins_on_holds(house: House) -> None:
    steps = (
        Step(id="a", uses="shell.run"),
        Step(id="b", uses="shell.run"),
        Step(id="c", uses="shell.run"),
        Step(id="n", uses="flow.pass", needs=("a", "b", "c"), join_until='steps.b.status == "succeeded"'),
    )
    play = Play(house, flow(*steps), held=["a", "b", "c"])
    await play.begin()
    await play.until_asked("a", "b", "c")
    play.let("a")
    await play.until_told("StepSucceeded", "a")

    play.let("b")
    await play.until_told("StepSucceeded", "n")
    play.let("c")

    state = await play.end()
    ends = {name: cell.end for name, cell in state.steps.items()}
    assert ends["a"] < ends["b"] < ends["n"] < ends["c"]


async def test_a_step_whose_wait_cannot_be_told_the_end_of_fails(house: House) -> None:
    steps = (
        Step(id="a", uses="shell.run"),
        Step(id="b", uses="shell.run"),
        Step(id="n", uses="flow.pass", needs=("a", "b"), join_until="steps.a.output.there_is_none > 1"),
    )
    play = Play(house, flow(*steps), held=["b"])
    await play.begin()
    await play.until_told("StepFailed", "n")
    play.let("b")

    state = await play.end()

    assert (state.status, state.failed_step) == (RunStatus.FAILED, "n")


async def test_more_signals_than_a_run_keeps_are_not_sent(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes_module, "SIGNALS", 1)
    steps = (
        Step(id="a", uses="flow.emit", with_={"name": "x"}),
        Step(id="b", uses="flow.emit", with_={"name": "x"}, needs=("a",)),
    )

    state = await Play(house, flow(*steps)).run()

    assert statuses(state) == {"a": "succeeded", "b": "failed"}


async def test_a_signal_of_the_run_itself_reaches_the_step_that_waits(house: House) -> None:
    steps = (
        Step(id="wait", uses="wait.signal", with_={"name": "go"}),
        Step(id="send", uses="flow.emit", with_={"name": "go", "data": {"n": 5}}),
    )

    assert (await Play(house, flow(*steps)).run()).steps["wait"].output == {"n": 5}


async def test_a_list_that_grows_is_not_gone_on_with_when_an_item_failed(house: House) -> None:
    step = Step(id="m", uses="shell.run", each="default(state.more, inputs.items)", grows=True, max_workers=1)
    play = Play(house, flow(step))
    play.answers = {"m[0]": {"_state": {"set": {"more": [1, 2, 3]}}}, "m[1]": ScriptFailedError("no")}

    state = await play.run()

    assert play.asked == ["m[0]", "m[1]"]
    assert state.status is RunStatus.FAILED


async def test_a_list_that_grows_after_a_failure_is_not_gone_on_with(house: House) -> None:
    step = Step(id="m", uses="shell.run", each="default(state.more, inputs.items)", grows=True, max_workers=2)
    play = Play(house, flow(step), held=["m[1]"])
    play.answers = {"m[0]": ScriptFailedError("no"), "m[1]": {"_state": {"set": {"more": [1, 2, 3]}}}}
    await play.begin()
    await play.until_told("StepFailed", "m[0]")

    play.let("m[1]")

    state = await play.end()
    assert (sorted(play.asked), state.status) == (["m[0]", "m[1]"], RunStatus.FAILED)


async def test_a_fan_out_whose_end_cannot_be_told_fails(house: House) -> None:
    step = Step(id="m", uses="shell.run", each="inputs.items", enough="1 < 'a'")

    state = await Play(house, flow(step)).run()

    assert (state.status, state.failed_step) == (RunStatus.FAILED, "m")


async def test_a_loop_that_is_stopped_does_not_go_on_after_a_round_that_answers_all_the_same(house: House) -> None:
    class Stubborn(Play):
        async def _act(self, message: Any) -> dict[str, Any]:
            self.asked.append(str(message.step_id))
            if message.step_id == "loop#1":
                await until(lambda: bool(house.stopped))
            return {}

    steps = (Step(id="loop", uses="shell.run", until="false"), Step(id="go", uses="shell.run", cancels=("loop",)))

    state = await asyncio.wait_for(Stubborn(house, flow(*steps)).run(), 10)

    assert statuses(state) == {"loop": "cancelled", "go": "succeeded"}
    assert state.status is RunStatus.SUCCEEDED


async def test_a_failure_among_what_was_stopped_is_not_the_run_s(house: House) -> None:
    retry = Backoff(attempts=3, initial_s=0.001)

    class Stubborn(Play):
        async def _act(self, message: Any) -> dict[str, Any]:
            self.asked.append(str(message.step_id))
            if message.step_id == "a":
                await until(lambda: bool(house.stopped))
                raise ScriptFailedError("late")
            return {}

    steps = (Step(id="a", uses="shell.run", retry=retry), Step(id="go", uses="shell.run", cancels=("a",)))

    state = await asyncio.wait_for(Stubborn(house, flow(*steps)).run(), 10)

    assert statuses(state) == {"a": "failed", "go": "succeeded"}
    assert state.status is RunStatus.SUCCEEDED


def test_steps_of_a_scope_that_is_not_there_are_no_plan() -> None:
    with pytest.raises(ValidationError, match="in the scope `s`, which is in itself or not there"):
        plan_of(flow(Step(id="a", uses="x.y", scope="s")))


# -- why -------------------------------------------------------------------------------------------------------------

SCOPE = """
name: scope
version: "1"
steps:
  - id: s
    uses: flow.scope
    needs: [first]
    steps: [{id: a, uses: shell.run}]
    finally: [{id: z, uses: shell.run}]
  - {id: first, uses: shell.run}
"""


async def test_why_a_step_of_a_scope_waits(house: House) -> None:
    workflow = load_workflow(SCOPE, source="w.yaml")
    play = Play(house, workflow, held=["first", "a"])
    run_id = await play.begin()
    await play.until_asked("first")
    before = fold(workflow, await house.journal.events(run_id))
    play.let("first")
    await play.until_asked("a")
    during = fold(workflow, await house.journal.events(run_id))

    told = [[(each.step, each.message) for each in why(workflow, state)] for state in (before, during)]

    assert ("a", "`a` waits for `s` (pending)") in told[0]
    assert ("s", "`s` waits for 2 of its 2 steps") in told[1]
    assert ("z", "`z` waits for `a` (running)") in told[1]
    play.let("a")
    await play.end()


def place(run_id: str, unit: str = "") -> Place:
    return Place(number=1, ticket=run_id + unit, run_id=run_id, unit=unit, priority=5, has_it=True)


async def test_why_a_step_or_a_run_stands_in_line(house: House) -> None:
    workflow = flow(Step(id="a", uses="shell.run", lock="db"), Step(id="b", uses="shell.run"))
    play = Play(house, workflow, held=["a", "b"])
    run_id = await play.begin()
    await play.until_asked("a", "b")
    state = fold(workflow, await house.journal.events(run_id))
    lock = Wanted(ticket="t", key="lock db", limit=1, run_id=run_id, unit="a")
    line = Standing(wanted=lock, has_it=False, holders=(place("r-9", "x"),), ahead=2)

    first, second = why(workflow, state, None, [line])

    assert (first.kind, first.message) == ("lock", "`a` waits for the lock `db`, held by `x` of r-9, 2 stand before it")
    assert first.details["holders"] == [{"run_id": "r-9", "step": "x"}]
    assert second.kind == "running"
    play.let("a", "b")
    ended = await play.end()
    assert why(workflow, ended, None, [line]) == []
    assert why(workflow, ended, "a", [line])[0].kind == "ended"


async def test_why_a_run_is_queued(house: House) -> None:
    workflow = flow(Step(id="a", uses="shell.run"), concurrency={"key": "k", "limit": 1, "on_conflict": "wait"})
    wanted = Wanted(ticket="t", key="runs k", limit=1, run_id="r-1", kind="concurrency")
    holders = tuple(place(f"r-{number}") for number in range(5))
    play = Play(house, workflow)
    state = await play.run()
    queued = fold(workflow, (await house.journal.events(state.run_id))[:1])

    (found,) = why(workflow, queued, None, [Standing(wanted=wanted, has_it=False, holders=holders)])

    assert found.message == "the run waits for one of 1 places of `k`, held by r-0, r-1, r-2 and 2 more"
    assert described(Standing(wanted=wanted, has_it=False)) == "one of 1 places of `k`, held by nobody"
