"""Inputs of a run: unknown, missing, wrong, defaults."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_agent.engine import checked_inputs
from workflow_agent.engine.inputs import as_json
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.workflow import InputSpec, Step, Workflow

WORKFLOW = Workflow(
    name="install",
    version="1",
    steps=(Step(id="a", uses="x.y"),),
    inputs={
        "integration": InputSpec(type="string", required=True, description="Name of the integration"),
        "port": InputSpec(type="integer", default=80),
        "anything": InputSpec(),
    },
)


def test_defaults_are_filled_in_and_null_counts_as_not_given() -> None:
    given = checked_inputs(WORKFLOW, {"integration": "nginx", "port": None, "anything": (1, "x")})

    assert given == {"integration": "nginx", "port": 80, "anything": [1, "x"]}


def test_all_problems_are_told_and_unknown_names_have_the_nearest() -> None:
    with pytest.raises(ValidationError) as caught:
        checked_inputs(WORKFLOW, {"prot": 1, "port": "80"})

    assert caught.value.message == "there is no input `prot` (and 2 more)"
    assert caught.value.where == "workflow install"
    assert caught.value.details["problems"] == [
        {"message": "there is no input `prot`", "hint": "did you mean `port`?"},
        {"message": "the input `integration` is missing", "hint": "Name of the integration"},
        {"message": "the input `port` must be of type integer, not string", "hint": None},
    ]


@pytest.mark.parametrize("value", [True, 1.5, [1], {}])
def test_a_value_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="`port` must be of type integer"):
        checked_inputs(WORKFLOW, {"integration": "x", "port": value})


@pytest.mark.parametrize("value", [{1}, float("nan"), object()])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match="inputs are not JSON values"):
        checked_inputs(WORKFLOW, {"integration": "x", "anything": value})


def test_keys_and_lists_become_what_the_journal_will_give_back() -> None:
    assert as_json({1: (1, 2), "deep": {"deeper": {None: True}}}) == {"1": [1, 2], "deep": {"deeper": {"null": True}}}
