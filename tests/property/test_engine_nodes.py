"""Random scopes, edges, choices, cancels and fan-outs that end early: every run ends, and a refold gives the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_agent.engine import decide, fold, plan_of
from workflow_agent.engine.commands import CancelStep, Command, RequestStep, StartStep, TakePlace, WaitUntil
from workflow_agent.engine.live import Draft
from workflow_agent.engine.machine import outstanding
from workflow_agent.model.event import Event, EventType
from workflow_agent.model.status import TERMINAL_STEP, RunStatus, StepStatus
from workflow_agent.model.workflow import Backoff, EffectPolicy, Step, Workflow

if TYPE_CHECKING:
    from tests.property.test_engine_runs import FATAL, World
else:
    from test_engine_runs import FATAL, World

CASES = {"cases": [{"name": "x", "when": "${{ inputs.flag }}"}, {"name": "y", "when": True}], "every": True}
KINDS: list[dict[str, Any]] = [
    {},
    {},
    {"retry": Backoff(attempts=2)},
    {"effect": EffectPolicy.AT_MOST_ONCE},
    {"uses": "flow.scope"},
    {"uses": "flow.scope", "timeout_s": 9.0},
    {"uses": "flow.scope", "lock": "one"},
    {"uses": "flow.pass"},
    {"uses": "flow.choice", "with_": CASES},
    {"uses": "flow.choice", "with_": {"cases": [{"name": "x", "when": "${{ inputs.flag }}"}]}},
    {"uses": "flow.emit", "with_": {"name": "go"}},
    {"uses": "flow.end"},
    {"uses": "flow.end", "with_": {"status": "failed"}},
    {"uses": "wait.signal", "with_": {"name": "go", "transient": True}},
    {"uses": "wait.timer", "with_": {"seconds": 5}},
    {"each": "inputs.items", "enough": "done >= 1"},
    {"each": "inputs.items", "enough": "done >= 1", "rest": "finish", "max_workers": 2},
    {"each": "inputs.items", "enough": "1 < 'a'"},
    {"each": "default(state.s0, inputs.items)", "grows": True, "retry": Backoff(attempts=2)},
    {"until": "previous.ok", "max_iterations": 3},
]
ENDS = st.sampled_from(["success", "failure", "skip", "always", "x"])


@st.composite
def nested(draw: st.DrawFn) -> Workflow:
    steps: list[Step] = []
    for index in range(draw(st.integers(2, 9))):
        scopes = [step.id for step in steps if step.uses == "flow.scope"]
        scope = draw(st.sampled_from([None, *scopes, *scopes]))
        empty = scope is not None and not any((step.scope, step.part) == (scope, "body") for step in steps)
        part = "body" if scope is None or empty else draw(st.sampled_from(["body", "body", "catch", "finally"]))
        beside = [step.id for step in steps if (step.scope, step.part) == (scope, part)]
        needs = draw(st.lists(st.sampled_from(beside), unique=True, max_size=3)) if beside else []
        keys: dict[str, Any] = {
            "uses": "x.y",
            "needs": tuple(needs),
            "edges": {need: draw(ENDS) for need in needs if draw(st.integers(0, 2)) == 0},
            "scope": scope,
            "part": part,
            "when": draw(st.sampled_from([None, None, None, None, "inputs.flag", "1 < 'a'"])),
            "on_error": draw(st.sampled_from(["fail", "fail", "fail", "continue"])),
        }
        if needs and draw(st.integers(0, 4)) == 0:
            keys |= draw(st.sampled_from([{"join": "any"}, {"join_until": "inputs.flag"}, {"join_until": "1 < 'a'"}]))
        if draw(st.integers(0, 3)) == 0 and steps:
            keys["cancels"] = (draw(st.sampled_from(steps)).id,)
        steps.append(Step(id=f"s{index}", **(keys | draw(st.sampled_from(KINDS)))))
    held = {(step.scope, step.part) for step in steps}
    whole = [
        step if step.uses != "flow.scope" or (step.id, "body") in held else Step(id=step.id, uses="flow.pass",
        needs=step.needs, scope=step.scope, part=step.part) for step in steps
    ]  # fmt: skip
    return Workflow(
        name="w",
        version="1",
        steps=(*whole, Step(id="z", uses="x.y", always=True)),
        max_workers=draw(st.sampled_from([None, None, 1, 2])),
        concurrency=draw(st.sampled_from([None, None, {"key": "k", "limit": 1, "on_conflict": "wait"}])),
    )


class NodeWorld(World):
    """Plays places, and the end of a scope's time, too."""

    def _note(self, event: Event, commands: tuple[Command, ...]) -> None:
        if event.type in {EventType.RUN_STARTED, EventType.RUN_FINISHED}:
            self.open.pop("", None)
        super()._note(event, commands)
        self._drop_waits()
        assert self.state is not None
        for name, command in [*self.open.items()]:
            work = self.state.work.open.get(self.plan.index.get(name))
            if isinstance(command, WaitUntil) and self.plan.steps[name].uses == "flow.scope":
                if work is None or not work.is_in_body:
                    del self.open[name]
            elif isinstance(command, TakePlace) and name and self._cell(name).status is not StepStatus.WAITING:
                del self.open[name]

    def _news(self) -> Draft:
        assert self.state is not None
        places = [name for name, command in self.open.items() if isinstance(command, TakePlace)]
        times = [name for name, each in self.open.items() if isinstance(each, WaitUntil) and self._is_scope(name)]
        if "" in places:
            return self._begins()
        if places and (len(places) == len(self.open) or self._draw.draw(st.booleans())):
            return self._place(sorted(places))
        if times and (len(times) + len(places) == len(self.open) or self._draw.draw(st.integers(0, 3)) == 0):
            over = self._draw.draw(st.sampled_from(sorted(times)))
            is_all = all(self._is_scope(name) for name in self.open) and bool(self.state.work.waits)
            return self._word() if is_all else Draft(type=EventType.SCOPE_STOPPED, step=over, data={"error": FATAL})
        held = {name: self.open.pop(name) for name in {*places, *times}}
        try:
            return super()._news()
        finally:
            self.open |= held

    def _begins(self) -> Draft:
        if self._draw.draw(st.integers(0, 3)) == 0:
            return Draft(type=EventType.RUN_FINISHED, data={"status": "cancelled", "error": FATAL, "reason": "x"})
        return Draft(type=EventType.RUN_STARTED, data={"phase": "running"})

    def _place(self, places: list[str]) -> Draft:
        name = self._draw.draw(st.sampled_from(places))
        if self._draw.draw(st.integers(0, 5)) == 0:
            return Draft(type=EventType.STEP_FAILED, step=name, data={"error": FATAL, "status": "failed"})
        return Draft(type=EventType.STEP_STARTED, step=name, data={"with": {}})

    def _is_scope(self, name: str) -> bool:
        return name in self.plan.steps and self.plan.steps[name].uses == "flow.scope"


@settings(max_examples=300, deadline=None)
@given(workflow=nested(), data=st.data())
def test_every_run_of_nodes_and_scopes_ends_and_tells_the_truth(workflow: Workflow, data: st.DataObject) -> None:
    world = NodeWorld(workflow, data)

    state = world.play()

    plan = plan_of(workflow)
    assert fold(workflow, world.events) == state
    assert all(json.dumps(event.to_dict()) for event in world.events)
    assert outstanding(workflow, state) == ()
    if state.started_at is None:
        assert world.requested == []
        return
    assert all(step.status in TERMINAL_STEP for step in state.steps.values())
    for scope, members in plan.within.items():
        began = state.steps[plan.order[scope]].started_at is not None
        inside = [name for name in plan.main if members >> plan.index[name] & 1]
        assert began or all(state.steps[name].status is StepStatus.SKIPPED for name in inside)
    failed = [name for name in plan.main if state.steps[name].status is StepStatus.FAILED]
    if state.status is RunStatus.SUCCEEDED:
        assert not [
            name
            for name in failed
            if plan.ends_run(plan.steps[name]) and not state.steps[name].reason and name not in _told(workflow)
        ]
        assert state.error is None


def _told(workflow: Workflow) -> set[str]:
    """Steps that something may have told to stop: their failure means nothing."""
    ends = {step.id for step in workflow.steps} if any(step.uses == "flow.end" for step in workflow.steps) else set()
    return ends | {name for step in workflow.steps for name in step.cancels}


@settings(max_examples=100, deadline=None)
@given(workflow=nested(), data=st.data())
def test_after_a_crash_in_a_scope_a_refold_goes_on_as_the_run_did(workflow: Workflow, data: st.DataObject) -> None:
    world = NodeWorld(workflow, data)
    world.play()

    for length in range(1, len(world.events)):
        state = fold(workflow, world.events[:length])
        after, _ = decide(workflow, state, world.events[length])
        assert after == fold(workflow, world.events[: length + 1])
        asked = [
            each.step for each in outstanding(workflow, state) if isinstance(each, RequestStep | CancelStep | StartStep)
        ]
        assert len(asked) == len(set(asked))
