"""Definitions: what is read, what is refused and where, and that writing is the inverse of reading."""

from __future__ import annotations

import json
from typing import Any

import pytest

import workflow_agent.authoring
from workflow_agent.authoring import dump_workflow, load_workflow, read_definition
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.status import RunStatus
from workflow_agent.model.workflow import Backoff, EffectPolicy, InputSpec, Step, Workflow

FULL = Workflow(
    name="full",
    version="1.10",
    description="Two lines:\nsecond.\n",
    timeout_s=600.0,
    inputs={
        "port": InputSpec(type="integer", default=80, description="A port"),
        "name": InputSpec(type="string", required=True),
        "more": InputSpec(default={"yes": ["on", "0o17", "1e3", "~", "010", "2024-01-01", ""]}),
    },
    steps=(
        Step(id="a", uses="x.one", with_={"t": "${{ inputs.name }}", "raw": ".inf"}, description="First: 1"),
        Step(
            id="b",
            uses="script-builder.build",
            needs=("a",),
            when="steps.a.output.ok == true and run.id != ''",
            timeout_s=90.0,
            phase=RunStatus.VERIFYING,
            effect=EffectPolicy.TRANSACTIONAL,
            retry=Backoff(attempts=3, initial_s=0.5, factor=3.0, max_s=10.0),
        ),
        Step(id="z", uses="x.end", always=True, with_={"s": "${{ steps.b.status }}", "f": "${{ failure }}"}),
    ),
    on_failure=(Step(id="r", uses="x.undo", with_={"e": "${{ failure.error.code }}"}),),
)


def refused(text: str) -> list[tuple[str, str, str, str | None]]:
    with pytest.raises(ValidationError) as caught:
        load_workflow(text, source="w.yaml")
    problems = caught.value.details["problems"]
    assert caught.value.where == problems[0]["where"]
    return [(each["where"], each["path"], each["message"], each["hint"]) for each in problems]


def step_text(**changes: Any) -> str:
    return json.dumps({"name": "w", "version": "1", "steps": [{"id": "a", "uses": "x.y"} | changes]})


def test_writing_is_the_inverse_of_reading() -> None:
    text = dump_workflow(FULL)

    assert load_workflow(text, source="full.yaml") == FULL
    assert load_workflow(text, source="full.yaml").hash == FULL.hash
    assert dump_workflow(load_workflow(text, source="full.yaml")) == text


def test_a_small_workflow_is_written_without_what_it_does_not_say() -> None:
    small = Workflow(name="small", version="1", steps=(Step(id="a", uses="x.y"),))

    text = dump_workflow(small)

    assert text == ('schema: workflow-agent/workflow/1\nname: small\nversion: "1"\nsteps:\n- id: a\n  uses: x.y\n')


def test_json_and_yaml_give_equal_workflows() -> None:
    assert load_workflow(json.dumps(FULL.to_dict()), source="w.json").hash == FULL.hash


@pytest.mark.parametrize(
    ("text", "value"),
    [("90s", 90.0), ("10m", 600.0), ("1.5h", 5400.0), ("250ms", 0.25), ("2d", 172_800.0), (45, 45.0)],
)
def test_durations_are_seconds_or_texts_with_a_unit(text: str | int, value: float) -> None:
    workflow = load_workflow(step_text(timeout_s=text), source="w")

    assert workflow.steps[0].timeout_s == value


@pytest.mark.parametrize("text", ["- a", "text", ""])
def test_what_is_no_mapping_is_no_workflow(text: str) -> None:
    ((_, _, message, _),) = refused(text)

    assert message == "a workflow is a mapping with `name`, `version` and `steps`"


def test_all_problems_of_the_shape_are_told_in_the_order_of_the_text() -> None:
    text = (
        "name: Big\n"
        "steps:\n"
        "  - id: a\n"
        "    uses: commit\n"
        "    whn: true\n"
        "    needs: b\n"
        "    phase: runing\n"
        "    retry: {attemps: 2, attempts: x}\n"
        "    with: 3\n"
        "inputs:\n"
        "  port: {typ: integer}\n"
    )

    assert refused(text) == [
        ("w.yaml:1:1", "", "the key `version` is missing", None),
        (
            "w.yaml:1:7",
            "name",
            "must match ^[a-z][a-z0-9_-]{0,63}$",
            "a name is lower case: letters, digits, `-` and `_`, a letter first",
        ),
        (
            "w.yaml:4:11",
            "steps.0.uses",
            "must match ^[a-z][a-z0-9-]{0,63}\\.[a-z][a-z0-9-]{0,63}$",
            "a step uses an agent's verb, such as `executor.commit`",
        ),
        ("w.yaml:5:5", "steps.0.whn", "there is no such key", "did you mean `when`?"),
        ("w.yaml:6:12", "steps.0.needs", "must be a list", None),
        (
            "w.yaml:7:12",
            "steps.0.phase",
            "must be one of planning, awaiting-approval, running, waiting, verifying, rolling-back",
            "did you mean `running`?",
        ),
        ("w.yaml:8:13", "steps.0.retry.attemps", "there is no such key", "did you mean `attempts`?"),
        ("w.yaml:8:35", "steps.0.retry.attempts", "must be a whole number", None),
        ("w.yaml:9:11", "steps.0.with", "must be a mapping", None),
        ("w.yaml:11:10", "inputs.port.typ", "there is no such key", "did you mean `type`?"),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timeout_s": "90 minutes"}, "a duration is a number of seconds, or a number with ms, s, m, h or d"),
        ({"timeout_s": 0}, "Input should be greater than 0"),
        ({"timeout_s": True}, "must be a number"),
        ({"retry": {"attempts": 101}}, "Input should be less than or equal to 100"),
        ({"id": "A"}, "must match ^[a-z]"),
        ({"stepz": 1}, "there is no such key"),
        ({"always": "yes"}, "must be true or false"),
        ({"when": True}, "must be a text"),
    ],
)
def test_a_value_out_of_its_range_is_refused(change: dict[str, Any], message: str) -> None:
    ((_, _, found, _),) = refused(step_text(**change))

    assert message in found


def test_an_unknown_key_at_the_top_has_the_nearest_one() -> None:
    text = "name: a\nversion: '1'\nstep: []\nsteps:\n  - {id: a, uses: x.y}\n"

    assert refused(text) == [("w.yaml:3:1", "step", "there is no such key", "did you mean `steps`?")]


HEAD = "name: w\nversion: '1'\ninputs: {port: {type: integer}}\nsteps:\n"


@pytest.mark.parametrize(
    ("steps", "where", "message", "hint"),
    [
        ("  - {id: a, uses: x.y}\n  - {id: a, uses: x.y}\n", "w.yaml:6:10", "there are two steps `a`", None),
        (
            "  - {id: one, uses: x.y, needs: [oen]}\n  - {id: two, uses: x.y}\n",
            "w.yaml:5:34",
            "there is no step `oen`",
            "did you mean `one`?",
        ),
        (
            "  - {id: a, uses: x.y, needs: [b]}\n  - {id: b, uses: x.y, needs: [a]}\n",
            "w.yaml:5:31",
            "steps need each other: a → b → a",
            None,
        ),
        (
            "  - {id: a, uses: x.y, needs: [z]}\n  - {id: z, uses: x.y, always: true}\n",
            "w.yaml:5:32",
            "a step of the main steps cannot need one of the `always` steps",
            None,
        ),
        (
            "  - {id: a, uses: x.y}\non_failure:\n  - {id: r, uses: x.y, needs: [a]}\n",
            "w.yaml:7:32",
            "a step of on_failure cannot need one of the main steps",
            None,
        ),
        (
            "  - {id: a, uses: x.y}\non_failure:\n  - {id: r, uses: x.y, always: true}\n",
            "w.yaml:7:32",
            "a step of on_failure cannot be an `always` step",
            None,
        ),
        (
            "  - {id: a, uses: x.y, when: inputs.prot == 1}\n",
            "w.yaml:5:30",
            "there is no `inputs.prot`",
            "did you mean `port`?",
        ),
        (
            "  - {id: a, uses: x.y, when: 'inputs.port ='}\n",
            "w.yaml:5:30",
            "unexpected character '=' (column 13)",
            "write `==` to compare",
        ),
        (
            "  - {id: a, uses: x.y, with: {k: ['${{ 1 + 1 }}']}}\n",
            "w.yaml:5:35",
            "unexpected character '+' (column 3)",
            None,
        ),
        (
            "  - {id: a, uses: x.y, with: {k: '${{ input.port }}'}}\n",
            "w.yaml:5:34",
            "there is nothing called `input` here",
            "did you mean `inputs`?",
        ),
        (
            "  - {id: a, uses: x.y, with: {k: '${{ failure.error }}'}}\n",
            "w.yaml:5:34",
            "there is nothing called `failure` here",
            "only steps of on_failure and `always` steps see it",
        ),
        (
            "  - {id: a, uses: x.y, with: {k: '${{ run.ids }}'}}\n",
            "w.yaml:5:34",
            "there is no `run.ids`",
            "did you mean `id`?",
        ),
        (
            "  - {id: a, uses: x.y, with: {k: '${{ steps.a.output }}'}}\n",
            "w.yaml:5:34",
            "`a` cannot read its own result",
            None,
        ),
        (
            "  - {id: a, uses: x.y, until: steps.a.output.ok}\n",
            "w.yaml:5:31",
            "`a` cannot read its own result",
            "`previous` is the output of the iteration before",
        ),
        (
            "  - {id: a, uses: x.y, each: inputs.item}\n",
            "w.yaml:5:30",
            "there is no `inputs.item`",
            "known are `port`",
        ),
        (
            "  - {id: a, uses: x.y, each: item.parts}\n",
            "w.yaml:5:30",
            "there is nothing called `item` here",
            "known are `inputs`, `run`, `steps`",
        ),
        (
            "  - {id: a, uses: x.y, each: 'inputs.'}\n",
            "w.yaml:5:30",
            "expected a name, found the end (column 8)",
            None,
        ),
        (
            "  - {id: a, uses: x.y, each: inputs, until: previous.ok}\n",
            "w.yaml:5:45",
            "a step runs once per item or until something holds, not both",
            "let each item run a workflow that loops (`uses: workflow.run`)",
        ),
        (
            "  - {id: a, uses: wait.signal, each: inputs}\n",
            "w.yaml:5:38",
            "a step that waits (`wait.signal`) has no `each`",
            None,
        ),
        (
            "  - {id: a, uses: x.y, max_iterations: 3}\n",
            "w.yaml:5:40",
            "only a step with `until` has iterations",
            None,
        ),
        (
            "  - {id: a, uses: x.y, with: {k: '${{ steps.b.output }}'}}\n  - {id: b, uses: x.y}\n",
            "w.yaml:5:34",
            "`b` runs after `a`",
            "say `needs: [b]`, or move it up",
        ),
        (
            "  - {id: a, uses: x.y}\n  - {id: b, uses: x.y, with: {k: '${{ steps.a.result }}'}}\n",
            "w.yaml:6:34",
            "a step has no `result`",
            "known are `output`, `status`",
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(steps: str, where: str, message: str, hint: str | None) -> None:
    assert refused(HEAD + steps)[0][0::2] == (where, message)
    assert refused(HEAD + steps)[0][3] == hint


@pytest.mark.parametrize(
    ("spec", "where", "message"),
    [
        ("{Port: {}}", "w.yaml:3:10", "an input's name is lower case: letters, digits and `_`"),
        ("{p: {required: true, default: 1}}", "w.yaml:3:39", "a required input has no default"),
        ("{p: {type: integer, default: '1'}}", "w.yaml:3:38", "must be of type integer, not string"),
    ],
)
def test_inputs_are_sound(spec: str, where: str, message: str) -> None:
    text = f"name: w\nversion: '1'\ninputs: {spec}\nsteps: [{{id: a, uses: x.y}}]\n"

    assert refused(text)[0][0::2] == (where, message)


def test_whole_roots_and_steps_may_be_read() -> None:
    text = (
        "  - {id: a, uses: x.y, with: {k: '${{ inputs }}', r: '${{ run }}'}}\n"
        "  - {id: b, uses: x.y, with: {k: '${{ steps.a }}', s: '${{ steps }}'}}\n"
    )

    assert load_workflow(HEAD + text, source="w").steps[1].id == "b"


def test_the_package_knows_its_public_names() -> None:
    assert dir(workflow_agent.authoring) == sorted(workflow_agent.authoring.__all__)
    assert all(hasattr(workflow_agent.authoring, name) for name in workflow_agent.authoring.__all__)
    assert not hasattr(workflow_agent.authoring, "anything_else")


def test_a_kept_definition_of_another_release_is_told() -> None:
    with pytest.raises(ValidationError, match="a kept definition cannot be read") as told:
        read_definition({"name": "install", "from": "the future"})

    assert "from" in str(told.value.cause)
