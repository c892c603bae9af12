"""Random definitions, random interleavings of answers: every run ends, a refold gives the live state, order holds."""

from __future__ import annotations

import json
import operator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_agent.engine import decide, fold, plan_of
from workflow_agent.engine.commands import (
    CancelStep,
    Command,
    RequestStep,
    StartStep,
    TakePlace,
    WaitUntil,
    only_records,
)
from workflow_agent.engine.live import Draft, draft_of
from workflow_agent.engine.machine import outstanding, refusal
from workflow_agent.engine.proceeding import is_cancellable
from workflow_agent.engine.scratch import DEFAULT_WORKERS
from workflow_agent.engine.snapshots import encoded, may_be_kept, restored
from workflow_agent.engine.units import UNDO, parse_unit
from workflow_agent.model.errors import InternalError, ScriptFailedError
from workflow_agent.model.event import Event, EventType, RunState
from workflow_agent.model.status import TERMINAL_RUN, TERMINAL_STEP, RunStatus, StepStatus
from workflow_agent.model.workflow import Backoff, EffectPolicy, Step, Workflow

RETRYABLE, FATAL = ScriptFailedError("again").to_dict(), InternalError("no").to_dict()
CONDITIONS = st.sampled_from([None, None, None, "true", "false", "inputs.flag", "1 < 'a'", "steps.s0.output.ok"])
PHASES = st.sampled_from([RunStatus.PLANNING, RunStatus.RUNNING, RunStatus.VERIFYING])
REACHES = (StartStep, RequestStep, CancelStep, WaitUntil, TakePlace)
BAD = {StepStatus.FAILED, StepStatus.UNKNOWN, StepStatus.CANCELLED}
SHAPES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {},
        {},
        {"each": "inputs.items"},
        {"each": "inputs.items", "max_workers": 2, "with_": {"n": "${{ item }}", "of": "${{ total }}"}},
        {"each": "inputs.flag"},
        {"each": "inputs.items", "with_": {"n": "${{ len(item) }}"}},
        {"until": "previous.ok", "with_": {"round": "${{ iteration }}"}},
        {"until": "iteration == 2", "max_iterations": 3},
        {"until": "false", "max_iterations": 2},
        {"until": "1 < 'a'"},
        {"uses": "wait.timer", "with_": {"seconds": 5}},
        {"uses": "wait.timer", "with_": {"until": 2000.0}},
        {"uses": "wait.timer"},
        {"uses": "wait.signal", "with_": {"name": "go"}, "timeout_s": 30.0},
        {"uses": "wait.person", "timeout_s": 9.0},
    ]
)


@st.composite
def groups(draw: st.DrawFn, prefix: str, *, most: int, always: bool) -> tuple[Step, ...]:
    count = draw(st.integers(0 if prefix == "r" else 1, most))
    order = draw(st.permutations(range(count)))
    marks = [always and draw(st.sampled_from([False, False, True])) for _ in range(count)]
    steps = []
    for index in range(count):
        before = [other for other in order[: order.index(index)] if marks[other] == marks[index]]
        needs = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        given_inputs = draw(st.sampled_from([{}, {"a": "${{ inputs.flag }}"}, {"a": "${{ len(1) }}"}]))
        keys: dict[str, Any] = {
            "uses": "x.y",
            "needs": tuple(f"{prefix}{need}" for need in needs),
            "when": draw(CONDITIONS),
            "with_": given_inputs if draw(st.integers(0, 4)) == 0 else {},
            "always": marks[index],
            "phase": draw(PHASES),
            "effect": draw(st.sampled_from([EffectPolicy.AT_LEAST_ONCE, *EffectPolicy])),
            "retry": Backoff(attempts=draw(st.integers(1, 3)), jitter=0.5),
            "on_error": draw(st.sampled_from(["fail", "fail", "continue"])),
            "join": draw(st.sampled_from(["all", "all", "any", 2])) if len(needs) > 1 else "all",
            "undo": draw(st.sampled_from([None, None, {"uses": "x.undo", "with": {"o": "${{ state }}"}}])),
        }
        steps.append(Step(id=f"{prefix}{index}", **(keys | draw(SHAPES))))
    return tuple(steps)


workflows = st.builds(
    lambda steps, recovery, timeout_s, workers, output: Workflow(
        name="w",
        version="1",
        steps=steps,
        on_failure=recovery,
        timeout_s=timeout_s,
        max_workers=workers,
        output=output,
    ),
    groups("s", most=6, always=True),
    groups("r", most=3, always=False),
    st.sampled_from([None, 5.0, 1000.0]),
    st.sampled_from([None, None, 1, 2, 3]),
    st.sampled_from([None, None, "state", "steps.s0.output", "1 < 'a'"]),
)


class World:
    """Plays driver, agents, people and time; checks each step of the way."""

    def __init__(self, workflow: Workflow, draw: st.DataObject) -> None:
        self.workflow = workflow
        self.plan = plan_of(workflow)
        self._draw = draw
        self.events: list[Event] = []
        self.open: dict[str, Command] = {}
        self.requested: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.state: RunState | None = None
        self._limit = workflow.max_workers or DEFAULT_WORKERS

    def play(self) -> RunState:
        flags = {"flag": self._draw.draw(st.booleans()), "items": self._draw.draw(st.lists(st.just(7), max_size=4))}
        machine = self._draw.draw(st.sampled_from([2, 2, 2, None]))
        self._limit = self._limit if machine else 1
        self._tell(Draft(type=EventType.RUN_CREATED, data={"inputs": flags, "machine": machine}))
        assert self.state is not None
        while self.state.status not in TERMINAL_RUN:
            assert len(self.events) < 600, "the run does not end"
            self._tell(self._news())
        return self.state

    def _tell(self, first: Draft) -> None:
        """Record something, and all that follows from it without reaching the world."""
        draft: Draft | None = first
        while draft is not None:
            event = draft.event("r", len(self.events) + 1, 1000.0 + len(self.events))
            before = self.state
            self.state, commands = decide(self.workflow, self.state, event)
            assert decide(self.workflow, before, event) == (self.state, commands), "not deterministic"
            self.events.append(event)
            self._note(event, commands)
            due = commands[-1] if commands and only_records(commands[-1]) else None
            draft = None if due is None else draft_of(due, event.at, 0.5)
            assert not any(only_records(command) for command in commands[:-1])
            self._compare(due)
            self._take_up_from_snapshot()

    def _take_up_from_snapshot(self) -> None:
        """Go on from a snapshot, as another process would: it says what the fold of all records says."""
        if self.state is None or not may_be_kept(self.state):
            return
        stored = json.loads(json.dumps(encoded(self.state, self.events[0].data)))
        found = restored(self.workflow, stored)
        assert found == self.state
        assert outstanding(self.workflow, found) == outstanding(self.workflow, self.state)
        assert encoded(found, self.events[0].data) == stored
        self.state = found

    def _compare(self, due: Command | None) -> None:
        """What a refold says is to be done is what was said to be done and was not."""
        assert self.state is not None
        wanted = {str(command) for command in self.open.values()} | ({str(due)} if due else set())
        left = outstanding(self.workflow, self.state)
        if not self.state.error and not any(work.error for work in self.state.work.open.values()):
            assert {str(command) for command in left} == wanted
            return
        # After a refold what is in flight in a run or a scope that failed is stopped; the live run lets it end.
        reaching = [command for command in left if isinstance(command, REACHES) and not only_records(command)]
        assert {command.step for command in reaching} == set(self.open)

    def _note(self, event: Event, commands: tuple[Command, ...]) -> None:
        if event.type in {EventType.STEP_SUCCEEDED, EventType.STEP_FAILED, EventType.STEP_SKIPPED}:
            self._note_end(str(event.step))
        if event.type is EventType.ITEMS_SUCCEEDED:
            for index, _ in event.data["items"]:
                self._note_end(f"{event.step}[{index}]")
        if event.type is EventType.STEP_STARTED:
            self.open.pop(str(event.step), None)
        if event.type is EventType.CANCEL_REQUESTED or event.type is EventType.STEP_FAILED:
            self._drop_waits()
        for command in commands:
            if not only_records(command):
                assert isinstance(command, REACHES)
                self.open[command.step] = command
                if isinstance(command, RequestStep):
                    self._note_request(command)

    def _drop_waits(self) -> None:
        # Who only waits is given up with the trouble, without a record.
        assert self.state is not None
        for name, command in list(self.open.items()):
            if isinstance(command, (StartStep, WaitUntil)) and self._cell(name).status in TERMINAL_STEP:
                del self.open[name]

    def _note_end(self, unit: str) -> None:
        self.open.pop(unit, None)
        if self._cell(unit).status in TERMINAL_STEP and "#" not in unit:
            assert unit not in self.ended, "a step ends once"
            self.ended.append(unit)

    def _note_request(self, command: RequestStep) -> None:
        assert self.state is not None
        self.requested.append((command.step, command.attempt))
        step = self.plan.steps[parse_unit(command.step)[0]]
        if step.id in self.plan.main or step.id in self.plan.always:
            group = self.plan.main if step.id in self.plan.main else self.plan.always
            needed = [need for need in step.needs if need in group]
            ended = [self.state.steps[need].status for need in needed]
            well = sum(status in {StepStatus.SUCCEEDED, StepStatus.UNCHANGED} for status in ended)
            # where enough items have ended the others may go on to their end beside what comes next
            goes_on = [self.plan.steps[need].rest == "finish" for need in needed]
            have_ended = [status in TERMINAL_STEP for status in ended]
            if step.join == "all" and step.join_until is None:
                assert all(map(operator.or_, have_ended, goes_on))
            elif not step.edges and step.join != "all":
                well += sum(late and not is_over for late, is_over in zip(goes_on, have_ended, strict=True))
                assert well >= (1 if step.join == "any" else step.join)
        flying = [unit for unit, each in self.open.items() if not isinstance(each, WaitUntil | TakePlace)]
        assert len(flying) <= self._limit
        if step.max_workers is not None:
            assert sum(parse_unit(unit)[0] == step.id for unit in flying) <= step.max_workers

    def _cell(self, unit: str) -> Any:
        assert self.state is not None
        step, index, _ = parse_unit(unit)
        cell = self.state.steps[step]
        return cell if index is None or cell.items is None else cell.items[index]

    def _news(self) -> Draft:
        assert self.state is not None
        choice = self._draw.draw(st.integers(0, 19))
        if choice == 0 and is_cancellable(self.state):
            data: dict[str, Any] = {"reason": "x"} | self._draw.draw(st.sampled_from([{}, {"error": FATAL}]))
            return Draft(type=EventType.CANCEL_REQUESTED, data=data)
        if choice == 1 or not self.open:
            return self._word()
        unit = self._draw.draw(st.sampled_from(sorted(self.open)))
        command = self.open[unit]
        if isinstance(command, StartStep):
            return Draft(type=EventType.STEP_STARTED, step=unit, attempt=command.attempt, data={"with": {}})
        if isinstance(command, WaitUntil):
            is_timer = self.plan.steps[unit].uses == "wait.timer"
            return self._outcome(unit, 1, "ok" if is_timer else "fatal")
        assert isinstance(command, (RequestStep, CancelStep))
        items = self._draw.draw(st.booleans())
        step, index, _ = parse_unit(unit)
        if index is not None and items:
            others = [parse_unit(name) for name, each in self.open.items() if isinstance(each, RequestStep)]
            pairs = [[number, {"n": number}] for name, number, _ in others if name == step and number is not None]
            if pairs:
                return Draft(type=EventType.ITEMS_SUCCEEDED, step=step, data={"items": pairs})
        return self._outcome(unit, command.attempt, self._draw.draw(OUTCOMES))

    def _word(self) -> Draft:
        """What a person says: a pause, a way on, a signal; where nothing is in flight, what lets the run go on."""
        assert self.state is not None
        waits: list[str] = sorted(self.state.work.waits)
        if self.state.paused is not None and not (bool(waits) and self._draw.draw(st.booleans())):
            return Draft(type=EventType.RUN_RESUMED)
        if refusal(self.state, EventType.RUN_PAUSED) is None and self.open:
            return Draft(type=EventType.RUN_PAUSED, data={"reason": "think"})
        name = self._draw.draw(st.sampled_from([*waits, *waits, "go", "nobody"]))
        words: list[Any] = [{"approved": True}, {"approved": False, "reason": "no"}, 5]
        data = self._draw.draw(st.sampled_from(words))
        return Draft(type=EventType.SIGNAL_RECEIVED, data={"name": name, "data": data})

    def _outcome(self, unit: str, attempt: int, choice: str) -> Draft:
        if choice in {"ok", "unchanged", "said"}:
            data: dict[str, Any] = {
                "output": {"ok": self._draw.draw(st.booleans())},
                "status": "unchanged" if choice == "unchanged" else "succeeded",
            }
            if choice == "said":
                data |= {"run_status": "rolled-back", "changed": True, "state": {"set": {unit: 1}, "delete": ["s0"]}}
            return Draft(type=EventType.STEP_SUCCEEDED, step=unit, attempt=attempt, data=data)
        data = {"error": RETRYABLE if choice == "retryable" else FATAL}
        data["status"] = "unknown" if choice == "unknown" else "failed"
        return Draft(type=EventType.STEP_FAILED, step=unit, attempt=attempt, data=data)


OUTCOMES = st.sampled_from(["ok", "ok", "ok", "unchanged", "retryable", "fatal", "unknown", "said"])


@settings(max_examples=200, deadline=None)
@given(workflow=workflows, data=st.data())
def test_every_run_ends_and_tells_the_truth(workflow: Workflow, data: st.DataObject) -> None:
    world = World(workflow, data)

    state = world.play()

    plan = plan_of(workflow)
    ended_badly = {name for name, step in state.steps.items() if step.status in BAD}
    serious = {name for name in ended_badly if plan.steps[name].on_error == "fail" or name not in plan.main}
    assert all(step.status in TERMINAL_STEP for step in state.steps.values())
    assert fold(workflow, world.events) == state
    assert all(json.dumps(event.to_dict()) for event in world.events)
    assert outstanding(workflow, state) == ()
    was_stopped = any(event.type is EventType.CANCEL_REQUESTED for event in world.events)
    if state.status is RunStatus.SUCCEEDED:
        assert state.error is None
        assert not was_stopped
        assert all(plan.steps[name].on_error == "continue" for name in ended_badly)
    else:
        assert state.error is not None
        undone = any(step.status in {StepStatus.UNDONE, StepStatus.UNDO_FAILED} for step in state.steps.values())
        assert serious or was_stopped or undone or workflow.output is not None
    if any(name in plan.on_failure for name in ended_badly):
        assert state.status is RunStatus.NEEDS_ATTENTION
    if any(name in plan.main and plan.steps[name].on_error == "fail" for name in ended_badly):
        assert set(plan.on_failure) <= set(state.steps)


@settings(max_examples=200, deadline=None)
@given(workflow=workflows, data=st.data())
def test_attempts_count_up_and_what_was_done_is_undone_last_first(workflow: Workflow, data: st.DataObject) -> None:
    world = World(workflow, data)
    state = world.play()

    plan = plan_of(workflow)
    for name in {unit for unit, _ in world.requested}:
        attempts = [attempt for unit, attempt in world.requested if unit == name]
        assert attempts == list(range(1, len(attempts) + 1))
        assert len(attempts) <= plan.steps[parse_unit(name)[0]].retry.attempts
    undone = list(dict.fromkeys(unit.removesuffix(UNDO) for unit, _ in world.requested if unit.endswith(UNDO)))
    ends = [next(event.seq for event in world.events[::-1] if _ends(event, name)) for name in undone]
    assert ends == sorted(ends, reverse=True)
    assert all(state.steps[name].status in {StepStatus.UNDONE, StepStatus.UNDO_FAILED} for name in undone)


def _ends(event: Event, name: str) -> bool:
    # A round that fails ends its loop; items do not end their fan-out.
    step, index, _ = parse_unit(event.step or "")
    return step == name and index is None and event.type in {EventType.STEP_SUCCEEDED, EventType.STEP_FAILED}


@settings(max_examples=60, deadline=None)
@given(workflow=workflows, data=st.data())
def test_after_a_crash_at_any_record_a_refold_goes_on_as_the_run_did(workflow: Workflow, data: st.DataObject) -> None:
    world = World(workflow, data)
    world.play()

    for length in range(1, len(world.events)):
        state = fold(workflow, world.events[:length])
        after, _ = decide(workflow, state, world.events[length])
        assert after == fold(workflow, world.events[: length + 1])
