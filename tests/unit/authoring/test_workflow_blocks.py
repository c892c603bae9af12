"""Steps of a definition once more, before and after its own."""

from __future__ import annotations

import pytest

from workflow_agent.authoring import Block, block_prefix, load_workflow, with_blocks
from workflow_agent.model.errors import ValidationError

DEFINITION = """
schema: workflow-agent/workflow/1
name: install
version: "1"
inputs:
  integration: {type: string, description: What.}
  times: {type: array, default: []}
steps:
  - id: lookup
    uses: knowledge.lookup
    with: {name: "${{ inputs.integration }}", all: ["${{ inputs.integration }}", 1]}
  - {id: build, uses: builder.build, needs: [lookup], when: "len(steps['lookup'].output) > 0"}
on_failure:
  - {id: recover, uses: recovery.recover, with: {parts: [{of: "${{ steps.build.output.x }}"}], reason: late}}
"""


@pytest.mark.parametrize(
    ("name", "taken", "prefix"),
    [
        ("redis-server", [], "redis_server_"),
        ("7zip", [], "n7zip_"),
        ("a", ["a_", "a_2_"], "a_3_"),
        ("x" * 90, [], "x" * 40 + "_"),
    ],
)
def test_a_prefix_is_made_of_the_name_and_is_nobody_else_s(name: str, taken: list[str], prefix: str) -> None:
    assert block_prefix(name, taken) == prefix


def test_a_copy_speaks_of_its_own_steps_and_inputs() -> None:
    workflow = load_workflow(DEFINITION, source="t")

    copied = with_blocks(workflow, before=[Block(prefix="redis_", inputs={"integration": "redis"})])

    assert [step.id for step in copied.steps] == ["redis_lookup", "redis_build", "lookup", "build"]
    assert copied.inputs["redis_integration"].default == "redis"
    first, second = copied.steps[:2]
    assert first.with_["name"] == "${{ inputs.redis_integration }}"
    assert first.with_["all"] == ["${{ inputs.redis_integration }}", 1]
    assert (second.needs, second.when) == (("redis_lookup",), 'len(steps["redis_lookup"].output) > 0')


def test_recovery_hears_of_every_copy_the_last_first() -> None:
    workflow = load_workflow(DEFINITION, source="t")

    copied = with_blocks(workflow, before=[Block(prefix="a_")], after=[Block(prefix="b_")])

    (recover,) = copied.on_failure
    assert [part["of"] for part in recover.with_["parts"]] == [
        "${{ steps.b_build.output.x }}",
        "${{ steps.build.output.x }}",
        "${{ steps.a_build.output.x }}",
    ]
    assert recover.with_["reason"] == "late"


def test_a_copy_cannot_have_a_value_of_an_input_that_there_is_not() -> None:
    with pytest.raises(ValidationError, match="no input `color`"):
        with_blocks(load_workflow(DEFINITION, source="t"), before=[Block(prefix="a_", inputs={"color": 1})])


def test_two_copies_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="names of other steps"):
        with_blocks(load_workflow(DEFINITION, source="t"), before=[Block(prefix="a_")], after=[Block(prefix="a_")])
