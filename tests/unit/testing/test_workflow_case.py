"""Workflows in virtual time, crashed at every record, decided anew: what the kit for users' tests promises."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent import Context, RetryPolicy, Step, Workflow, step, workflow
from workflow_agent.model.errors import StepFailedError, StepTimeoutError
from workflow_agent.model.status import RunStatus
from workflow_agent.testing import StandstillError, VirtualClock, WorkflowCase, mock_agent, replay, sweep
from workflow_agent.testing.fixtures import virtual_clock, workflow_case

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["virtual_clock", "workflow_case"]  # fixtures are found by their names here

DAY = 86_400.0


@workflow(name="patient")
class Patient:
    @step(retry_policy=RetryPolicy(max_attempts=3, initial_delay="6h"))
    async def wait(self, ctx: Context) -> int:
        if ctx.attempt == 1:
            raise OSError("not yet")
        await asyncio.sleep(DAY)
        ctx.state["waited"] = True
        return 1

    @step(depends_on=["wait"])
    def count(self, wait_result: int) -> int:
        return wait_result + 1


def test_days_take_no_time(workflow_case: WorkflowCase, virtual_clock: VirtualClock) -> None:
    begun = time.monotonic()

    run = workflow_case.run(Patient())

    assert (run.result, run.state, run.steps) == (2, {"waited": True}, {"wait": "succeeded", "count": "succeeded"})
    assert virtual_clock.passed_s > DAY
    assert time.monotonic() - begun < 60
    assert repr(run) == f"<Run {run.run_id} of patient, succeeded>"


def test_a_time_out_comes_at_its_time(workflow_case: WorkflowCase, virtual_clock: VirtualClock) -> None:
    @workflow(name="late")
    class Late:
        @step(timeout="1h")
        async def never(self) -> None:
            await asyncio.sleep(10 * DAY)

    run = workflow_case.run(Late())

    assert run.status is RunStatus.FAILED
    with pytest.raises(StepTimeoutError):
        assert run.result
    assert 3600 <= virtual_clock.passed_s < DAY


def test_a_function_in_a_thread_and_a_command_take_the_time_that_they_take(workflow_case: WorkflowCase) -> None:
    """No timer comes early while nobody knows how long something takes."""

    @workflow(name="blocking")
    class Blocking:
        @step(timeout="30s")
        def sleep(self) -> str:
            time.sleep(0.05)
            return "slept"

    flow = Workflow("shell").add(Step("a", "sleep 0.05; echo done").timeout("30s"))

    assert workflow_case.run(Blocking()).result == "slept"
    assert workflow_case.run(flow).result["stdout"] == "done"


def test_what_never_comes_ends_the_test(workflow_case: WorkflowCase) -> None:
    asks = Workflow("asks").add(Step("ask").uses("wait.person"))

    assert workflow_case.run(asks, signals=[("ask", {"approved": True})]).status is RunStatus.SUCCEEDED
    with pytest.raises(StandstillError, match="never comes"):
        workflow_case.run(asks)


async def test_a_case_runs_inside_of_an_event_loop_too(workflow_case: WorkflowCase) -> None:
    assert workflow_case.run(Patient()).result == 2


def test_a_key_answers_from_the_journal_of_the_case(workflow_case: WorkflowCase) -> None:
    first = workflow_case.run(Patient(), idempotency_key="k")
    passed = workflow_case.clock.passed_s
    again = workflow_case.run(Patient(), idempotency_key="k")

    assert again.run_id == first.run_id
    assert workflow_case.clock.passed_s == pytest.approx(passed, abs=1)


def test_containers_are_played_and_an_unexpected_one_fails_the_test() -> None:
    @workflow(name="boxes")
    async def boxes(ctx: Context) -> Any:
        box = await ctx.deploy_agent(name="box-1", image="box:1", env={"KEY": ctx.secrets["key"]})
        return (await box.wait_for_completion()).output

    with WorkflowCase() as case, mock_agent("box-*") as box:
        box.returns({"n": 1})
        assert case.run(boxes).result == {"n": 1}
    with pytest.raises(AssertionError, match="nobody plays the containers box-1"), WorkflowCase() as case:
        assert isinstance(case.run(boxes).error, StepFailedError)


def test_time_does_not_go_back() -> None:
    clock = VirtualClock(100.0)
    clock.advance(5)

    assert clock.now() == 105.0
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


# -- sweep -----------------------------------------------------------------------------------------------------------

LEDGER: list[str] = []


@workflow(name="pays")
class Pays:
    @step
    async def pay(self, ctx: Context) -> int:
        if ctx.idempotency_key not in LEDGER:
            LEDGER.append(ctx.idempotency_key)
        ctx.state["paid"] = 20
        return 20

    @step(depends_on=["pay"])
    async def book(self, pay_result: int) -> int:
        return pay_result + 1


@workflow(name="careless")
class Careless:
    @step
    async def pay(self) -> int:
        LEDGER.append("paid")
        return len(LEDGER)


def test_an_idempotent_workflow_is_swept_without_a_finding() -> None:
    swept = sweep(Pays(), effects=lambda: len(LEDGER), reset=LEDGER.clear)

    assert (swept.crashes, swept.run.result) == (6, 21)


def test_an_effect_that_happens_twice_is_found() -> None:
    with pytest.raises(AssertionError, match=r"a crash before record 2 of 2 the (world|result) is"):
        sweep(Careless(), effects=lambda: len(LEDGER), reset=LEDGER.clear)
    with pytest.raises(AssertionError, match="before record 2 of 2 the result is 2, without one 1"):
        sweep(Careless(), reset=LEDGER.clear)


def test_a_workflow_that_fails_is_swept_too() -> None:
    def broken() -> None:
        raise LookupError("gone")

    fails = Workflow("fails", steps=[Step("ask").uses("wait.person")]).add(broken)
    swept = sweep(fails, signals=[("ask", {"approved": True})])

    assert swept.run.status is RunStatus.FAILED


# -- replay ----------------------------------------------------------------------------------------------------------


def two(second: str = "true", *, when: str | None = None) -> Workflow:
    last = Step("b", second, depends_on=["a"])
    return Workflow("two").step("a", "echo 1").add(last.when(when) if when else last)


def test_a_journal_replays_with_its_workflow_from_memory_and_from_a_file(
    workflow_case: WorkflowCase, tmp_path: Path
) -> None:
    workflow_case.run(two())
    events = workflow_case.events()
    path = tmp_path / "run.jsonl"
    hint = {**events[1], "seq": 0}
    lines = [*events, hint, {"type": "result"}]
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")

    assert replay(events, two()).status is replay(path, two()).status is RunStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (two("false"), "another definition"),
        (two(when="steps.a.output.stdout == 'x'"), "StepSkipped of `b`"),
        (Workflow("two").step("a", "echo 1"), "RunFinished"),
    ],
)
def test_a_journal_does_not_replay_with_another_workflow(workflow_case: WorkflowCase, now: Any, said: str) -> None:
    workflow_case.run(two())

    with pytest.raises(AssertionError, match=said):
        replay(workflow_case.events(), now)


def test_what_is_no_journal_is_said_to_be_none(workflow_case: WorkflowCase) -> None:
    workflow_case.run(two())

    with pytest.raises(AssertionError, match="does not begin with RunCreated"):
        replay(workflow_case.events()[1:], two())
