"""Nearest names, and the types of inputs."""

from __future__ import annotations

import pytest

from workflow_agent.model.nearest import did_you_mean, nearest
from workflow_agent.model.value_types import VALUE_TYPES, is_of_type, type_of


def test_the_nearest_names_come_best_first() -> None:
    assert nearest("ngnix", ["apache", "nginy", "nginx"]) == ["nginx", "nginy"]
    assert nearest("x" * 101, ["x" * 100]) == []


def test_a_hint_names_near_names_or_all_of_few() -> None:
    assert did_you_mean("stps", ["steps", "inputs"]) == "did you mean `steps`?"
    assert did_you_mean("zzz", ["b", "a"]) == "known are `a`, `b`"
    assert did_you_mean("zzz", []) is None
    assert did_you_mean("zzz", [f"name{n}" for n in range(20)]) is None


@pytest.mark.parametrize(
    ("value", "types"),
    [
        (None, {"any"}),
        (True, {"any", "boolean"}),
        (1, {"any", "integer", "number"}),
        (1.5, {"any", "number"}),
        ("", {"any", "string"}),
        ([], {"any", "array"}),
        ({}, {"any", "object"}),
    ],
)
def test_a_value_is_of_its_types_only(value: object, types: set[str]) -> None:
    assert types == {name for name in VALUE_TYPES if is_of_type(value, name)}
    assert type_of(value) in types | {"null"}
