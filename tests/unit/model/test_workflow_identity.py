"""The canonical form of definitions: what was hashed before keeps its hash; every new key is part of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from workflow_agent.authoring import read_definition
from workflow_agent.model.status import RunStatus
from workflow_agent.model.workflow import Backoff, EffectPolicy, InputSpec, Step, Workflow

OLD = Workflow(
    name="golden",
    version="3",
    inputs={"port": InputSpec(type="integer", required=True), "tags": InputSpec(type="array", default=["a"])},
    timeout_s=90.0,
    steps=(
        Step(id="one", uses="x.y", with_={"p": "${{ inputs.port }}"}, retry=Backoff(attempts=3, initial_s=0.5)),
        Step(id="two", uses="x.z", needs=("one",), when="steps.one.output.go", timeout_s=5.0),
        Step(id="three", uses="x.z", phase=RunStatus.VERIFYING, effect=EffectPolicy.TRANSACTIONAL),
        Step(id="last", uses="x.y", always=True, description="not part of it"),
    ),
    on_failure=(Step(id="recover", uses="x.r"),),
)
#: Computed by the release before the keys of the engine came.
OLD_HASH = "98a68d081c6144a32b08405094857d3e7d8e4f5161895aafba28d87416270259"


def test_a_definition_without_the_new_keys_keeps_its_hash() -> None:
    assert OLD.hash == OLD_HASH


@pytest.mark.parametrize(
    "change",
    [
        {"each": "inputs.tags"},
        {"max_workers": 2},
        {"until": "steps.one.output.done"},
        {"max_iterations": 7},
        {"on_error": "continue"},
        {"join": "any"},
        {"join": 2},
        {"undo": {"uses": "x.undo", "with": {"k": 1}}},
        {"retry": Backoff(attempts=2, jitter=0.5)},
    ],
)
def test_a_new_key_of_a_step_is_part_of_the_identity_and_survives_writing(change: dict[str, Any]) -> None:
    changed = replace(OLD, steps=(replace(OLD.steps[0], **change), *OLD.steps[1:]))

    assert changed.hash != OLD.hash
    assert read_definition(changed.to_dict()).hash == changed.hash


@pytest.mark.parametrize("change", [{"output": "steps.two.output"}, {"max_workers": 4}])
def test_a_new_key_of_a_workflow_is_part_of_the_identity_and_survives_writing(change: dict[str, Any]) -> None:
    changed = replace(OLD, **change)

    assert changed.hash != OLD.hash
    assert read_definition(changed.to_dict()).hash == changed.hash


def test_an_undo_without_inputs_is_written_without_them() -> None:
    changed = replace(OLD, steps=(replace(OLD.steps[0], undo={"uses": "x.undo"}),))

    assert read_definition(changed.to_dict()).steps[0].undo == {"uses": "x.undo"}
