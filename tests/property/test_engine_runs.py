"""Random workflows with random outcomes: every run ends, a refold gives the live state, order respects needs."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_agent.engine import decide, fold, plan_of
from workflow_agent.engine.commands import CancelStep, Command, RequestStep, StartStep
from workflow_agent.engine.live import Draft, draft_of
from workflow_agent.engine.proceeding import is_cancellable
from workflow_agent.model.errors import InternalError, ScriptFailedError
from workflow_agent.model.event import Event, EventType, RunState
from workflow_agent.model.status import TERMINAL_RUN, TERMINAL_STEP, RunStatus, StepStatus
from workflow_agent.model.workflow import Backoff, EffectPolicy, Step, Workflow

RETRYABLE, FATAL = ScriptFailedError("again").to_dict(), InternalError("no").to_dict()
CONDITIONS = st.sampled_from([None, "true", "false", "inputs.flag", "1 < 'a'", "steps.s0.output.ok"])
PHASES = st.sampled_from([RunStatus.PLANNING, RunStatus.RUNNING, RunStatus.VERIFYING])


@st.composite
def groups(draw: st.DrawFn, prefix: str, *, most: int, always: bool) -> tuple[Step, ...]:
    count = draw(st.integers(0 if prefix == "r" else 1, most))
    order = draw(st.permutations(range(count)))
    marks = [always and draw(st.booleans()) for _ in range(count)]
    steps = []
    for index in range(count):
        before = [other for other in order[: order.index(index)] if marks[other] == marks[index]]
        needs = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        steps.append(
            Step(
                id=f"{prefix}{index}",
                uses="x.y",
                needs=tuple(f"{prefix}{need}" for need in needs),
                when=draw(CONDITIONS),
                with_=draw(st.sampled_from([{}, {"a": "${{ inputs.flag }}"}, {"a": "${{ len(1) }}"}])),
                always=marks[index],
                phase=draw(PHASES),
                effect=draw(st.sampled_from(EffectPolicy)),
                retry=Backoff(attempts=draw(st.integers(1, 3))),
            )
        )
    return tuple(steps)


workflows = st.builds(
    lambda steps, recovery, timeout_s: Workflow(
        name="w", version="1", steps=steps, on_failure=recovery, timeout_s=timeout_s
    ),
    groups("s", most=6, always=True),
    groups("r", most=3, always=False),
    st.sampled_from([None, 5.0, 1000.0]),
)


class World:
    """Plays driver, agents and a person who cancels; checks each step of the way."""

    def __init__(self, workflow: Workflow, draw: st.DataObject) -> None:
        self.workflow = workflow
        self._draw = draw
        self.events: list[Event] = []
        self.requested: list[tuple[str, int]] = []
        self.state: RunState | None = None

    def play(self) -> RunState:
        todo: Draft | Command | None = Draft(
            type=EventType.RUN_CREATED, data={"inputs": {"flag": self._draw.draw(st.booleans())}}
        )
        while todo is not None:
            assert len(self.events) < 500, "the run does not end"
            todo = self._tell(todo if isinstance(todo, Draft) else self._act(todo))
        assert self.state is not None
        return self.state

    def _tell(self, draft: Draft) -> Command | None:
        event = draft.event("r", len(self.events) + 1, 1000.0 + len(self.events))
        before = self.state
        self.state, commands = decide(self.workflow, self.state, event)
        assert decide(self.workflow, before, event) == (self.state, commands), "not deterministic"
        self.events.append(event)
        assert bool(commands) is (self.state.status not in TERMINAL_RUN)
        return commands[0] if commands else None

    def _act(self, command: Command) -> Draft:
        assert self.state is not None
        if (draft := draft_of(command, 1000.0 + len(self.events))) is not None:
            return draft
        assert isinstance(command, (StartStep, RequestStep, CancelStep))
        wants_cancel = self._draw.draw(st.integers(0, 9)) == 0
        if wants_cancel and is_cancellable(plan_of(self.workflow), self.state):
            data: dict[str, Any] = {"reason": "x"} | self._draw.draw(st.sampled_from([{}, {"error": FATAL}]))
            return Draft(type=EventType.CANCEL_REQUESTED, data=data)
        if isinstance(command, StartStep):
            return Draft(type=EventType.STEP_STARTED, step=command.step, attempt=command.attempt, data={"with": {}})
        if isinstance(command, RequestStep):
            self.requested.append((command.step, command.attempt))
        return self._outcome(command.step, command.attempt)

    def _outcome(self, step: str, attempt: int) -> Draft:
        choice = self._draw.draw(st.sampled_from(["ok", "ok", "unchanged", "retryable", "fatal", "unknown", "said"]))
        if choice in {"ok", "unchanged", "said"}:
            data: dict[str, Any] = {
                "output": {"ok": True},
                "status": "unchanged" if choice == "unchanged" else "succeeded",
            }
            if choice == "said":
                data |= {"run_status": "rolled-back", "changed": True}
            return Draft(type=EventType.STEP_SUCCEEDED, step=step, attempt=attempt, data=data)
        data = {"error": RETRYABLE if choice == "retryable" else FATAL}
        data["status"] = "unknown" if choice == "unknown" else "failed"
        return Draft(type=EventType.STEP_FAILED, step=step, attempt=attempt, data=data)


@settings(max_examples=300, deadline=None)
@given(workflow=workflows, data=st.data())
def test_every_run_ends_and_tells_the_truth(workflow: Workflow, data: st.DataObject) -> None:
    world = World(workflow, data)

    state = world.play()

    plan = plan_of(workflow)
    bad = {StepStatus.FAILED, StepStatus.UNKNOWN, StepStatus.CANCELLED}
    ended_badly = [name for name, step in state.steps.items() if step.status in bad]
    assert state.status in TERMINAL_RUN
    assert all(step.status in TERMINAL_STEP for step in state.steps.values())
    assert fold(workflow, world.events) == state
    if state.status is RunStatus.SUCCEEDED:
        assert not ended_badly
        assert state.error is None
    else:
        assert state.error is not None
        assert ended_badly or any(event.type is EventType.CANCEL_REQUESTED for event in world.events)
    if any(name in plan.on_failure for name in ended_badly):
        assert state.status is RunStatus.NEEDS_ATTENTION
    if any(name in plan.main for name in ended_badly):
        assert set(plan.on_failure) <= set(state.steps)


@settings(max_examples=200, deadline=None)
@given(workflow=workflows, data=st.data())
def test_order_respects_needs_and_attempts_count_up(workflow: Workflow, data: st.DataObject) -> None:
    world = World(workflow, data)
    world.play()

    plan = plan_of(workflow)
    asked = [step for step, _ in world.requested]
    first = {step: asked.index(step) for step in asked}
    for name, place in first.items():
        assert all(first[need] < place for need in plan.steps[name].needs if need in first)
    assert sorted(first, key=first.__getitem__) == [step for step in plan.sequence if step in first]
    for name in first:
        attempts = [attempt for step, attempt in world.requested if step == name]
        assert attempts == list(range(1, len(attempts) + 1))
        assert len(attempts) <= plan.steps[name].retry.attempts


@settings(max_examples=150, deadline=None)
@given(workflow=workflows, data=st.data())
def test_a_refold_of_any_prefix_goes_on_to_the_same_next_record(workflow: Workflow, data: st.DataObject) -> None:
    world = World(workflow, data)
    world.play()

    length = data.draw(st.integers(1, len(world.events)))
    state = fold(workflow, world.events[:length])

    for event in world.events[length:]:
        state, _ = decide(workflow, state, event)
    assert state == world.state
