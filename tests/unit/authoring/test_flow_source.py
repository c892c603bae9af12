"""People's workflows as YAML and JSON: both sets of keys, and problems with their lines."""

from __future__ import annotations

import pytest

from workflow_agent import RetryPolicy, Step, Workflow
from workflow_agent.authoring import load_workflow
from workflow_agent.authoring.flow_source import load_flow, read_any
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.workflow import InputSpec

WHOLE = """\
name: nightly
version: 3
description: Everything at once.
env: {A: "1"}
timeout: 1h30m
retry: {max_attempts: 2, backoff: constant}
chain: false
inputs:
  day: {type: string, required: true}
  size: 5
steps:
  - name: list
    function: m:list_them
    with: {n: 3}
  - name: each
    command: echo $ITEM
    dir: /srv
    env: {B: "2"}
    depends_on: [list]
    dynamic: true
    max_workers: 2
    timeout: 10
    on_error: continue
  - name: box
    image: busybox
    with: {command: [echo, "1"]}
    items: [1, 2]
    when: inputs.size > 2
    retry: {max_attempts: 5, max_delay: 5m}
  - name: look
    uses: verifier.verify
    with: {checks: []}
    parallel: true
    max_workers: 2
  - name: all
    function: m:C.all_of
    depends_on: [each]
    reduce: true
    guarded: true
  - name: tidy
    command: rm -r x
    always_run: true
on_failure:
  - name: mail
    command: mail
"""


def test_every_key_has_its_word_in_the_fluent_form() -> None:
    fluent = (
        Workflow("nightly", version="3")
        .env(A="1")
        .timeout(5400)
        .retry(RetryPolicy(2, "constant"))
        .params(day=InputSpec(type="string", required=True), size=5)
        .add(Step("list").python("m:list_them", n=3))
        .add(Step("each", "echo $ITEM").dir("/srv").env(B="2").depends("list").dynamic(2).timeout("10s").continue_on())
        .add(Step("box").docker("busybox", ["echo", "1"]).parallel([1, 2]).when("inputs.size > 2")
             .retry(RetryPolicy(5, max_delay="5m")))
        .add(Step("look").uses("verifier.verify", checks=[]).parallel(max_concurrent=2))
        .add(Step("all").python("m:C.all_of").depends("each").reduce().guarded())
        .add(Step("tidy", "rm -r x").always())
        .on_failure(Step("mail", "mail"))
    )  # fmt: skip

    assert load_flow(WHOLE, source="w.yaml").to_dict() == fluent.compile().to_dict()


def test_both_forms_are_told_apart() -> None:
    model = "name: w\nversion: '1'\nsteps:\n- {id: a, uses: shell.run, with: {command: 'true'}}\n"
    own = "name: w\nsteps:\n- {name: a, command: 'true'}\n"

    assert read_any(model, source="m").hash == read_any(own, source="o").hash == load_workflow(model, source="m").hash
    with pytest.raises(ValidationError):
        read_any("[]", source="list")


TASKS = """\
id: pipeline
version: 1
retry_config: {max_attempts: 2}
error_handling: continue
tasks:
  - id: fetch
    type: tool
    tool_id: m:fetch
    inputs: {url: "${{ inputs.input.url }}"}
    outputs: {text: "check.given", size: "check.size"}
  - id: check
    type: agent
    agent_id: verifier.verify
    inputs: {checks: []}
    condition: steps.fetch.output.value.ok
  - id: last
    type: tool
    tool_id: m:last
dependencies:
  last: [check]
"""


def test_tasks_are_steps_whose_outputs_are_wired_to_inputs() -> None:
    made = load_flow(TASKS, source="t.yaml")

    assert [(each.id, each.uses, each.needs) for each in made.steps] == [
        ("fetch", "python.call", ()),
        ("check", "verifier.verify", ("fetch",)),
        ("last", "python.call", ("check",)),
    ]
    assert made.steps[1].with_ == {
        "checks": [],
        "given": "${{ steps.fetch.output.value.text }}",
        "size": "${{ steps.fetch.output.value.size }}",
    }
    assert made.steps[1].when == "steps.fetch.output.value.ok"
    assert {each.on_error for each in made.steps} == {"continue"}
    assert {each.retry.attempts for each in made.steps} == {2}


BRANCHES = """\
id: branches
error_handling: compensate
tasks:
  - {id: look, type: tool, tool_id: "m:look", agent_id: null, condition: null}
  - {id: many, type: condition, condition: steps.look.output.value > 9, then: [split], else: [load]}
  - {id: split, type: loop, tool_id: "m:part", items: [1, 2], max_workers: 2}
  - {id: load, type: loop, agent_id: verifier.verify, until: iteration == 3, max_iterations: 5, undo: {uses: a.b}}
dependencies: {many: [look]}
"""


def test_tasks_choose_and_repeat() -> None:
    made = load_flow(BRANCHES, source="t.yaml")

    steps = {each.id: each for each in made.steps}
    assert steps["many"].uses == "flow.choice"
    assert steps["many"].needs == ("look",)
    assert (steps["split"].edges, steps["load"].edges) == ({"many": "true"}, {"many": "false"})
    assert (steps["split"].each, steps["split"].max_workers) == ("[1, 2]", 2)
    assert (steps["load"].until, steps["load"].max_iterations) == ("iteration == 3", 5)
    assert steps["load"].undo == {"uses": "a.b"}
    assert {each.on_error for each in made.steps} == {"fail"}


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("[]", "x.yaml:1:1", "a workflow is a mapping"),
        ("steps: [{name: a, command: x}]", "x.yaml:1:1", "the key `name` is missing"),
        ("name: w\nsteps: []", "x.yaml:2:8", "there are no steps"),
        ("name: w\nsteps: [1]", "x.yaml:2:9", "must be a mapping"),
        ("name: w\nsteps:\n- command: x", "x.yaml:3:3", "the key `name` is missing"),
        ("name: w\nsteps:\n- name: a", "x.yaml:3:3", "it has none of them"),
        ("name: w\nsteps:\n- {name: a, command: x, function: 'm:f'}", "x.yaml:3:3", "it has `command` and `function`"),
        ("name: w\nsteps:\n- name: a\n  command: x\n  timout: 3", "x.yaml:5:3", "there is no such key"),
        ("name: w\nsteps:\n- name: a\n  command: x\n  depends_on: b", "x.yaml:5:15", "must be of type array"),
        ("name: w\nsteps:\n- name: a\n  command: x\n  depends_on: [b]", "x.yaml:3:3", "there is no such step"),
        ("name: w\nsteps:\n- name: a\n  command: x\n  timeout: abc", "x.yaml:5:12", "`abc` is no duration"),
        ("name: w\nschedule: [daily]\nsteps:\n- {name: a, command: x}", "x.yaml:2:12", "must be a mapping"),
        ("name: w\nsteps:\n- {name: a, command: x, items: 3}", "x.yaml:3:32", "must be a list, or an expression"),
        ("name: w\nsteps:\n- {name: a, command: x, items: {b: 1}}", "x.yaml:3:32", "must be a list, or an expression"),
        (
            "name: w\nagents: [{id: h, model: m}]\nsteps:\n- {name: a, agent: h, prompt: x, with: {tools: []}}",
            "x.yaml:4:48",
            "`tools` does not stand here",
        ),
        (
            "id: w\nagents: [{id: h}]\ntasks: [{id: a, type: agent, agent_id: h, inputs: {prompt: x, agent: y}}]",
            "x.yaml:3:70",
            "`agent` is said under `agents`, not here",
        ),
        (
            "id: w\ntasks: [{id: a, type: tool, tool_id: 'x:y'}]\non_failure: [[]]",
            "x.yaml:3:14",
            "must be a mapping",
        ),
        (
            "id: w\ntasks: [{id: a, type: tool, tool_id: 'x:y'}]\ndependencies: {a: b}",
            "x.yaml:3:19",
            "must be of type array",
        ),
        (
            "id: w\ntasks:\n- {id: a, type: condition, condition: 'true', then: [[]]}",
            "x.yaml:3:54",
            "there is no task `[]`",
        ),
        ("name: w\nsteps:\n- name: a\n  command: x\n  on_error: maybe", "x.yaml:5:13", "must be one of fail, continue"),
        ("name: w\nsteps:\n- name: a\n  command: x\n  env: {A: 1}", "x.yaml:5:12", "must be a text"),
        ("name: w\nsteps:\n- name: a\n  command: x\n  when: steps.q.output", "x.yaml:5:3", "there is no `steps.q`"),
        ("name: w\nsteps:\n- name: a\n  command: x\n  retry: {max_attempts: 0}", "x.yaml:5:10", "is 1 to 100"),
        ("name: w\nsteps:\n- name: a\n  command: x\n  retry: {tries: 0}", "x.yaml:5:11", "there is no such key"),
        ("name: w\nretry: {backoff: slow}\nsteps: [{name: a, command: x}]", "x.yaml:2:8", "there is no backoff `slow`"),
        ("name: w\nretry: {tries: 1}\nsteps: [{name: a, command: x}]", "x.yaml:2:9", "there is no such key"),
        (
            "name: w\ninputs: {a: {type: string, defualt: 1}}\nsteps: [{name: a, command: x}]",
            "x.yaml:2:28",
            "no such key",
        ),
        ("name: Bad Name\nsteps: [{name: a, command: x}]", "x.yaml:1:1", "no name of a workflow"),
        ("id: p\ntasks: [{id: a, type: dream}]", "x.yaml:2:23", "must be one of agent, tool, condition, loop"),
        ("id: p\ntasks: [{id: a, type: loop, items: [1]}]", "x.yaml:2:9", "`tool_id` or `agent_id` is missing"),
        ("id: p\ntasks: [{id: a, type: loop, tool_id: 'm:f'}]", "x.yaml:2:9", "a loop has `items`"),
        ("id: p\ntasks: [{id: a, type: tool, tool_id: 'm:f', agent_id: v.v}]", "x.yaml:2:9", "not both"),
        (
            "id: p\ntasks: [{id: a, type: tool, tool_id: 'm:f', items: [1]}]",
            "x.yaml:2:45",
            "only a task of the type loop",
        ),
        ("id: p\ntasks: [{id: a, type: condition, then: [a]}]", "x.yaml:2:9", "`condition` is missing"),
        ("id: p\ntasks: [{id: a, type: condition, condition: 'true'}]", "x.yaml:2:9", "says what follows"),
        (
            "id: p\ntasks: [{id: a, type: condition, condition: 'true', then: [b]}]",
            "x.yaml:2:60",
            "there is no task `b`",
        ),
        (
            "id: p\nerror_handling: pray\ntasks: [{id: a, type: tool, tool_id: 'm:f'}]",
            "x.yaml:2:17",
            "must be one of fail",
        ),
        ("id: p\ntasks: [{id: a, type: tool}]", "x.yaml:2:9", "the key `tool_id` is missing"),
        (
            "id: p\ntasks: [{id: a, type: tool, tool_id: 'm:f', outputs: {x: b.y}}]",
            "x.yaml:2:58",
            "there is no task `b`",
        ),
        ("id: p\ntasks: [{id: a, type: tool, tool_id: 'm:f', outputs: {x: a}}]", "x.yaml:2:58", "no task `a` with"),
        (
            "id: p\ntasks: [{id: a, type: tool, tool_id: 'm:f'}]\ndependencies: {b: [a]}",
            "x.yaml:3:16",
            "there is no task `b`",
        ),
    ],
)
def test_problems_are_said_with_line_and_column(text: str, where: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        load_flow(text, source="x.yaml")

    assert message in caught.value.message
    assert caught.value.where == where


def test_names_of_one_s_own_may_be_those_that_a_method_uses() -> None:
    text = """
name: w
inputs: {self: {type: string, default: "1"}}
env: {self: "1", values: "2"}
steps:
- {name: a, function: "json:dumps", with: {function: 1, self: 2}}
- {name: b, command: "true", with: {self: 1}, env: {values: "3"}}
- {name: c, uses: shell.run, with: {command: "true", verb: 1}}
"""
    steps = {step.id: step.with_ for step in load_flow(text, source="x.yaml").steps}

    assert steps["a"]["arguments"] == {"function": 1, "self": 2}
    assert steps["b"]["env"] == {"self": "1", "values": "3"}
    assert steps["c"]["verb"] == 1
