"""The machine: every transition, every rule for the end of a run. No bus, no journal, no clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import workflow_agent.engine
from workflow_agent.engine import decide, fold, plan_of, replay
from workflow_agent.engine.commands import (
    CancelStep,
    Command,
    FailStep,
    FinishRun,
    RequestStep,
    ScheduleRetry,
    SkipStep,
    StartRun,
    StartStep,
)
from workflow_agent.model.errors import (
    InterruptedRunError,
    JournalConflictError,
    ScriptFailedError,
    StepTimeoutError,
    ValidationError,
)
from workflow_agent.model.event import Event, EventType, RunState
from workflow_agent.model.status import RunStatus, StepStatus
from workflow_agent.model.workflow import Backoff, EffectPolicy, Step, Workflow

ERROR = ScriptFailedError("it broke").to_dict()
HARD = InterruptedRunError().to_dict()
TIMEOUT = StepTimeoutError("too slow").to_dict()
E = EventType


class Story:
    """Tells a run event by event; keeps the last decision."""

    def __init__(self, *steps: Step, on_failure: tuple[Step, ...] = (), timeout_s: float | None = None) -> None:
        self.workflow = Workflow(name="w", version="1", steps=steps, on_failure=on_failure, timeout_s=timeout_s)
        self.events: list[Event] = []
        self._state: RunState | None = None
        self.commands: tuple[Command, ...] = ()

    @property
    def state(self) -> RunState:
        assert self._state is not None
        return self._state

    def tell(self, kind: EventType, step: str | None = None, attempt: int = 1, **data: Any) -> Story:
        number = len(self.events) + 1
        event = Event(run_id="r", seq=number, type=kind, at=100.0 + number, step=step, attempt=attempt, data=data)
        self._state, self.commands = decide(self.workflow, self._state, event)
        self.events.append(event)
        return self

    def begin(self, **inputs: Any) -> Story:
        return self.tell(E.RUN_CREATED, inputs=inputs, meta={"user": "ann"}).tell(E.RUN_STARTED)

    def start(self, step: str, inputs: dict[str, Any], attempt: int = 1) -> Story:
        return self.tell(E.STEP_STARTED, step, attempt, **{"with": inputs})

    def ok(self, step: str, output: Any = None, **data: Any) -> Story:
        return self.tell(E.STEP_SUCCEEDED, step, output=output, **data)

    def fail(self, step: str, attempt: int = 1, error: dict[str, Any] = ERROR, **data: Any) -> Story:
        return self.tell(E.STEP_FAILED, step, attempt, error=error, **data)

    def skip_all(self) -> Story:
        while isinstance(command := self.command, SkipStep):
            self.tell(E.STEP_SKIPPED, command.step, reason=command.reason)
        return self

    def finish(self) -> RunState:
        command = self.skip_all().command
        assert isinstance(command, FinishRun)
        self.tell(E.RUN_FINISHED, status=command.status.value, error=command.error, changed=command.changed)
        assert self.commands == ()
        return self.state

    @property
    def command(self) -> Any:  # Any: a Command; mypy would keep what an assertion narrowed it to
        (command,) = self.commands
        return command

    def status(self, step: str) -> StepStatus:
        return self.state.steps[step].status


def step(name: str, **more: Any) -> Step:
    return Step(id=name, uses=f"agent.{name}", **more)


# -- the happy path ----------------------------------------------------------------------------------------------


def test_a_run_is_created_started_and_walks_its_steps() -> None:
    story = Story(step("a", phase=RunStatus.PLANNING), step("b"))

    story.tell(E.RUN_CREATED, inputs={"x": 1}, meta={"user": "ann"})
    assert story.state.status is RunStatus.QUEUED
    assert (story.state.inputs, story.state.meta, story.state.created_at) == ({"x": 1}, {"user": "ann"}, 101.0)
    assert story.command == StartRun(RunStatus.PLANNING)

    story.tell(E.RUN_STARTED)
    assert story.command == RequestStep("a", 1, {})
    assert (story.state.status, story.status("a")) == (RunStatus.PLANNING, StepStatus.RUNNING)
    assert (story.state.started_at, story.state.steps["a"].started_at) == (102.0, 102.0)

    story.ok("a", {"v": 1})
    assert story.command == RequestStep("b", 1, {})
    assert (story.state.status, story.state.steps["a"].output) == (RunStatus.RUNNING, {"v": 1})

    story.ok("b")
    assert story.command == FinishRun(RunStatus.SUCCEEDED, None, changed=False)

    state = story.finish()
    assert (state.status, state.finished_at, state.head) == (RunStatus.SUCCEEDED, 105.0, 5)
    assert fold(story.workflow, story.events) == state


def test_steps_run_in_the_order_that_their_needs_ask_for() -> None:
    story = Story(step("a", needs=("b",)), step("b"), step("c")).begin()

    order = []
    while isinstance(command := story.command, RequestStep):
        order.append(command.step)
        story.ok(command.step)

    assert order == ["b", "a", "c"]


def test_inputs_of_a_step_come_from_inputs_outputs_and_the_run() -> None:
    story = Story(
        step("a", with_={"p": "${{ inputs.port }}", "run": "${{ run.workflow }}/${{ run.id }}"}),
        step("b", with_={"got": "${{ steps.a.output.got }}", "was": "${{ steps.a.status }}"}),
    ).begin(port=80)

    assert story.command == RequestStep("a", 1, {"p": 80, "run": "w/r"})
    assert story.ok("a", {"got": [1]}).command == RequestStep("b", 1, {"got": [1], "was": "succeeded"})


def test_a_step_whose_condition_does_not_hold_is_skipped_and_counts_as_ended_well() -> None:
    story = Story(step("a"), step("b", when="steps.a.output.go", needs=("a",)), step("c", needs=("b",)))
    story.begin().ok("a", {"go": False})

    assert story.command == SkipStep("b", "not when steps.a.output.go")
    assert story.skip_all().command == RequestStep("c", 1, {})
    assert story.state.steps["b"].reason == "not when steps.a.output.go"


def test_unchanged_and_changed_are_kept_and_the_last_word_counts() -> None:
    story = Story(step("a"), step("b"), step("c")).begin()
    story.ok("a", status="unchanged", changed=False).ok("b", changed=True).ok("c")

    assert story.status("a") is StepStatus.UNCHANGED
    assert story.finish().changed is True


def test_a_step_whose_effect_must_not_repeat_is_recorded_before_it_is_requested() -> None:
    for effect in (EffectPolicy.TRANSACTIONAL, EffectPolicy.AT_MOST_ONCE):
        story = Story(step("a", effect=effect, phase=RunStatus.VERIFYING, with_={"x": 1})).begin()
        assert story.command == StartStep("a", 1, {"x": 1}, phase=RunStatus.VERIFYING)
        assert (story.status("a"), story.state.status) == (StepStatus.PENDING, RunStatus.VERIFYING)

        story.start("a", {"x": 2})
        assert story.command == RequestStep("a", 1, {"x": 2})
        assert story.state.steps["a"].started_at == 103.0
        assert story.ok("a").finish().status is RunStatus.SUCCEEDED


# -- failures ----------------------------------------------------------------------------------------------------


def test_after_a_failure_the_rest_is_skipped_and_on_failure_sees_what_failed() -> None:
    seen = {"s": "${{ failure.step }}", "c": "${{ failure.error.code }}"}
    story = Story(step("a"), step("b"), step("c"), on_failure=(step("r", with_=seen),)).begin()
    assert "r" not in story.state.steps

    story.ok("a").fail("b")
    assert story.command == SkipStep("c", "`b` did not succeed")
    assert story.skip_all().command == RequestStep("r", 1, {"s": "b", "c": "step-failed.script"})

    state = story.ok("r").finish()
    assert (state.status, state.failed_step, state.error) == (RunStatus.FAILED, "b", ERROR)
    assert state.steps["b"].error == ERROR


def test_a_run_that_proves_to_be_done_after_all_has_no_error() -> None:
    story = Story(step("a"), on_failure=(step("r"),)).begin().fail("a", error=HARD)

    state = story.ok("r", run_status="succeeded").finish()

    assert (state.status, state.error) == (RunStatus.SUCCEEDED, None)


@pytest.mark.parametrize("given", ["rolled-back", "needs-attention", "failed", "cancelled"])
def test_the_last_word_of_on_failure_decides_what_became_of_the_run(given: str) -> None:
    story = Story(step("a"), on_failure=(step("r"), step("s"), step("t"))).begin().fail("a")
    story.ok("r", run_status="failed").ok("s", run_status=given).ok("t")

    assert story.finish().status == given


def test_a_main_step_cannot_decide_what_became_of_the_run() -> None:
    story = Story(step("a"), step("b")).begin().ok("a", run_status="rolled-back").fail("b")

    assert story.finish().status is RunStatus.FAILED


def test_a_failing_recovery_needs_attention_and_what_follows_it_is_skipped() -> None:
    story = Story(step("a"), on_failure=(step("r"), step("s"), step("t"))).begin().fail("a")
    story.ok("r", run_status="rolled-back").fail("s", error=HARD)

    assert story.command == SkipStep("t", "`s` did not succeed")
    state = story.finish()
    assert (state.status, state.error, state.failed_step) == (RunStatus.NEEDS_ATTENTION, HARD, "a")


def test_always_steps_run_at_the_end_in_every_case() -> None:
    def told() -> Story:
        return Story(
            step("z", always=True), step("y", always=True, needs=("z",)), step("a"), on_failure=(step("r"),)
        ).begin()

    good = told().ok("a").ok("z").ok("y").finish()
    bad = told().fail("a").ok("r").ok("z").ok("y").finish()
    worse = told().fail("a").fail("r").fail("z").ok("y").finish()

    assert [good.status, bad.status, worse.status] == ["succeeded", "failed", "needs-attention"]
    assert worse.failed_step == "a"


def test_a_failing_always_step_fails_the_run_without_recovery_and_the_others_still_run() -> None:
    story = Story(step("a"), step("y", always=True), step("z", always=True), on_failure=(step("r"),))
    story.begin().ok("a").fail("y")

    assert story.command == RequestStep("z", 1, {})
    state = story.ok("z").finish()
    assert (state.status, state.failed_step) == (RunStatus.FAILED, "y")
    assert "r" not in state.steps


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"when": "inputs.x < 'a'"}, "w › b › when › column 10"),
        ({"with_": {"k": ["${{ len(inputs.x) }}"]}}, "w › b › with › k.0, column 1"),
        ({"when": "1 <"}, "w › b › when › column 4"),
    ],
)
def test_an_expression_that_has_no_value_fails_its_step_at_its_place(more: dict[str, Any], place: str) -> None:
    story = Story(step("a"), step("b", **more), on_failure=(step("r"),)).begin(x=1).ok("a")

    command = story.command
    assert isinstance(command, FailStep)
    assert (command.step, command.error["code"], command.error["where"]) == (
        "b",
        "validation.expression",
        place,
    )
    assert story.fail("b", error=dict(command.error)).command == RequestStep("r", 1, {})


def test_an_unknown_outcome_is_a_failure_with_its_reason() -> None:
    story = Story(step("a", effect=EffectPolicy.AT_MOST_ONCE, retry=Backoff(attempts=5))).begin()
    story.tell(E.STEP_STARTED, "a").fail("a", status="unknown")

    assert (story.status("a"), story.state.steps["a"].reason) == (StepStatus.UNKNOWN, "unknown")
    assert story.finish().status is RunStatus.FAILED


# -- retries -----------------------------------------------------------------------------------------------------


def test_a_retry_is_scheduled_waits_and_starts_with_a_record() -> None:
    story = Story(step("a", retry=Backoff(attempts=2, initial_s=5), with_={"x": 1})).begin().fail("a")
    assert (story.command, story.status("a")) == (ScheduleRetry("a", 2, 5), StepStatus.WAITING)

    story.tell(E.RETRY_SCHEDULED, "a", 2, due_at=200.0)
    assert story.command == StartStep("a", 2, {"x": 1}, 200.0)
    assert (story.state.status, story.state.steps["a"].due_at) == (RunStatus.WAITING, 200.0)

    story.start("a", {"x": 1}, 2)
    assert story.command == RequestStep("a", 2, {"x": 1})
    assert (story.state.status, story.state.steps["a"].attempt) == (RunStatus.RUNNING, 2)
    state = story.ok("a").finish()
    assert (state.status, state.steps["a"].error) == (RunStatus.SUCCEEDED, None)


def test_pauses_grow_up_to_the_longest() -> None:
    story = Story(step("a", retry=Backoff(attempts=5, initial_s=2, factor=3, max_s=10))).begin()

    pauses = []
    for attempt in range(1, 5):
        command = story.fail("a", attempt).command
        assert isinstance(command, ScheduleRetry)
        pauses.append(command.delay_s)
        story.tell(E.RETRY_SCHEDULED, "a", attempt + 1, due_at=0.0).tell(E.STEP_STARTED, "a", attempt + 1)

    assert pauses == [2, 6, 10, 10]
    assert story.fail("a", 5).finish().status is RunStatus.FAILED


def test_only_errors_of_the_world_are_tried_again() -> None:
    story = Story(step("a", retry=Backoff(attempts=5))).begin().fail("a", error=ValidationError("no").to_dict())

    assert story.status("a") is StepStatus.FAILED


def test_an_agent_that_knows_better_says_whether_and_when_a_step_is_tried_again() -> None:
    def failed(retry: object) -> Story:
        error = ScriptFailedError("no", details={"retry": retry}).to_dict()
        return Story(step("a", retry=Backoff(attempts=5, initial_s=2))).begin().fail("a", error=error)

    story = failed({"pause_s": 0.5})
    assert story.status("a") is StepStatus.WAITING
    assert story.command == ScheduleRetry("a", 2, 0.5)
    for never in (None, {}, {"pause_s": -1}, {"pause_s": "soon"}, "yes"):
        assert failed(never).status("a") is StepStatus.FAILED, never


def test_no_retry_outlasts_the_time_of_the_run() -> None:
    patient = Backoff(attempts=5, initial_s=60, max_s=60)

    assert Story(step("a", retry=patient), timeout_s=61.5).begin().fail("a").status("a") is StepStatus.WAITING
    assert Story(step("a", retry=patient), timeout_s=60.5).begin().fail("a").status("a") is StepStatus.FAILED


def test_recovery_is_tried_again_too() -> None:
    story = Story(step("a"), on_failure=(step("r", retry=Backoff(attempts=2)),), timeout_s=0.1).begin().fail("a")

    assert story.fail("r").command == ScheduleRetry("r", 2, 1.0)


# -- cancels and time-outs ---------------------------------------------------------------------------------------


def test_a_cancel_stops_what_is_in_flight_and_recovers() -> None:
    story = Story(step("a"), step("b"), on_failure=(step("r", with_={"e": "${{ failure.error.code }}"}),)).begin()

    story.tell(E.CANCEL_REQUESTED, reason="Ctrl-C")
    assert story.command == CancelStep("a", 1)
    story.fail("a", error=HARD, status="cancelled")
    assert story.status("a") is StepStatus.CANCELLED
    assert story.skip_all().command == RequestStep("r", 1, {"e": "interrupted"})

    state = story.ok("r").finish()
    assert (state.status, state.cancel_reason, state.failed_step) == (RunStatus.CANCELLED, "Ctrl-C", "a")
    assert state.error is not None
    assert state.error["cause"] == "Ctrl-C"


def test_a_late_success_after_a_cancel_is_a_success_that_recovery_can_undo() -> None:
    story = Story(step("a"), on_failure=(step("r"),)).begin().tell(E.CANCEL_REQUESTED, reason="x")

    story.ok("a", {"tx": 1})
    assert (story.status("a"), story.command) == (StepStatus.SUCCEEDED, RequestStep("r", 1, {}))
    assert story.ok("r", run_status="rolled-back").finish().status is RunStatus.ROLLED_BACK


def test_a_cancelled_step_is_not_tried_again() -> None:
    story = Story(step("a", retry=Backoff(attempts=9))).begin().tell(E.CANCEL_REQUESTED, reason="x").fail("a")

    assert story.status("a") is StepStatus.FAILED
    assert story.finish().status is RunStatus.CANCELLED


def test_a_cancel_before_a_step_is_recorded_as_started_starts_nothing() -> None:
    story = Story(step("a", effect=EffectPolicy.TRANSACTIONAL), on_failure=(step("r"),)).begin()

    story.tell(E.CANCEL_REQUESTED, reason="x")
    assert story.command == SkipStep("a", "the run was cancelled")
    assert story.skip_all().command == RequestStep("r", 1, {})
    assert story.state.failed_step is None


def test_a_cancel_ends_the_wait_for_a_retry() -> None:
    story = Story(step("a", retry=Backoff(attempts=2)), step("b")).begin().fail("a")
    story.tell(E.RETRY_SCHEDULED, "a", 2, due_at=500.0).tell(E.CANCEL_REQUESTED, reason="x")

    assert (story.status("a"), story.state.steps["a"].due_at) == (StepStatus.CANCELLED, None)
    assert story.finish().status is RunStatus.CANCELLED


def test_a_run_out_of_time_fails_and_what_is_left_is_skipped() -> None:
    story = Story(step("a", effect=EffectPolicy.TRANSACTIONAL)).begin()
    story.tell(E.CANCEL_REQUESTED, reason="too slow", error=TIMEOUT)

    assert story.command == SkipStep("a", "the run ran out of time")
    state = story.finish()
    assert (state.status, state.error, state.cancel_reason) == (RunStatus.FAILED, TIMEOUT, None)


def test_there_is_nothing_to_cancel_once_the_run_is_ending() -> None:
    for story in (
        Story(step("a"), on_failure=(step("r"),)).begin().fail("a"),
        Story(step("a"), step("z", always=True)).begin().ok("a"),
    ):
        with pytest.raises(JournalConflictError, match="nothing left to cancel"):
            story.tell(E.CANCEL_REQUESTED, reason="x")


# -- the table ---------------------------------------------------------------------------------------------------


def stages() -> dict[str, Story]:
    finished = Story(step("a")).begin().ok("a")
    finished.finish()
    return {
        "absent": Story(step("a")),
        "created": Story(step("a")).tell(E.RUN_CREATED),
        "running": Story(step("a")).begin(),
        "finished": finished,
    }


#: What may follow in a stage, whatever it is about.
ALLOWED = {
    "absent": {E.RUN_CREATED},
    "created": {E.RUN_STARTED, E.SIGNAL_RECEIVED, E.RUN_FINISHED},
    "running": set(E) - {E.RUN_CREATED, E.RUN_STARTED},
    "finished": set[EventType](),
}


@pytest.mark.parametrize("kind", list(EventType))
@pytest.mark.parametrize("stage", ["absent", "created", "running", "finished"])
def test_what_cannot_follow_at_all_is_one_error(stage: str, kind: EventType) -> None:
    story = stages()[stage]
    if kind in ALLOWED[stage]:
        return

    before = story._state
    with pytest.raises(JournalConflictError, match=f"cannot follow while the run is {stage}") as caught:
        story.tell(kind, "a")

    assert caught.value.run_id == "r"
    assert story._state is before


def test_records_must_count_up_and_be_of_the_run_and_of_the_next_step() -> None:
    story = Story(step("a"), step("b")).begin()
    good = Event(run_id="r", seq=3, type=E.STEP_SUCCEEDED, at=1.0, step="a")

    for wrong, message in (
        (replace(good, seq=4), "record 4 cannot follow record 2"),
        (replace(good, run_id="other"), "belongs to the run other"),
        (replace(good, step="b"), "StepSucceeded of `b` cannot follow: it is not in flight"),
        (replace(good, step="c"), "does not carry what it must: KeyError"),
        (replace(good, step=None), "does not carry what it must"),
    ):
        with pytest.raises(JournalConflictError, match=message):
            decide(story.workflow, story.state, wrong)
    with pytest.raises(JournalConflictError, match="record 3 cannot follow record 0"):
        decide(story.workflow, None, replace(good, type=E.RUN_CREATED))


def test_a_run_cannot_end_before_its_steps_nor_a_step_follow_the_last() -> None:
    transactional = Story(step("a", effect=EffectPolicy.TRANSACTIONAL)).begin()
    with pytest.raises(JournalConflictError, match="cannot end before its steps"):
        transactional.tell(E.RUN_FINISHED, status="succeeded")

    done = Story(step("a")).begin().ok("a")
    with pytest.raises(JournalConflictError, match="StepSkipped of `a` cannot follow"):
        done.tell(E.STEP_SKIPPED, "a")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (E.STEP_FAILED, {}),
        (E.STEP_FAILED, {"error": ERROR, "status": "no such status"}),
        (E.STEP_SUCCEEDED, {"status": "no such status"}),
    ],
)
def test_a_record_without_its_data_is_the_same_error(kind: EventType, data: dict[str, Any]) -> None:
    with pytest.raises(JournalConflictError, match="does not carry what it must"):
        Story(step("a")).begin().tell(kind, "a", **data)


def test_no_events_are_no_run() -> None:
    with pytest.raises(JournalConflictError, match="no events"):
        fold(Story(step("a")).workflow, [])


def test_a_replay_gives_the_state_and_what_was_to_be_done() -> None:
    story = Story(step("a"), step("b")).begin().ok("a")

    assert replay(story.workflow, story.events) == (story.state, story.commands)


def test_a_workflow_of_always_steps_only_or_of_none_runs() -> None:
    assert Story(step("z", always=True)).begin().ok("z").finish().status is RunStatus.SUCCEEDED
    assert Story().begin().finish().status is RunStatus.SUCCEEDED


def test_ids_are_unique_over_all_steps() -> None:
    with pytest.raises(ValidationError, match="two steps have the id `a`"):
        plan_of(Workflow(name="w", version="1", steps=(step("a"),), on_failure=(step("a"),)))


def test_a_plan_is_made_once_for_a_workflow_and_anew_for_another_one() -> None:
    first, second = (Workflow(name="w", version="1", steps=(step("a"),)) for _ in range(2))

    assert plan_of(first) is plan_of(first)
    assert plan_of(first) is not plan_of(second)
    assert plan_of(first).sequence == plan_of(second).sequence == ("a",)


def test_the_package_knows_its_public_names() -> None:
    assert dir(workflow_agent.engine) == sorted(workflow_agent.engine.__all__)
    assert all(hasattr(workflow_agent.engine, name) for name in workflow_agent.engine.__all__)
    assert not hasattr(workflow_agent.engine, "anything_else")
