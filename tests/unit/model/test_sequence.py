"""The order of steps."""

from __future__ import annotations

import pytest

from workflow_agent.model.errors import ValidationError
from workflow_agent.model.sequence import stable_order


def test_steps_without_needs_stay_as_they_are_written() -> None:
    assert stable_order({"b": (), "a": (), "c": ()}) == ("b", "a", "c")


def test_a_step_comes_after_what_it_needs_and_otherwise_as_early_as_it_is_written() -> None:
    assert stable_order({"a": ("c",), "b": ("a", "a"), "c": (), "d": ("outside",)}) == ("c", "a", "b", "d")


def test_a_cycle_is_named_step_by_step() -> None:
    with pytest.raises(ValidationError) as caught:
        stable_order({"start": (), "a": ("c",), "b": ("a", "start"), "c": ("b",), "tail": ("a",)})

    assert caught.value.details["cycle"] == ["a", "c", "b", "a"]
    assert caught.value.message == "steps need each other: a → c → b → a"


def test_of_a_long_cycle_the_middle_is_left_out_of_the_sentence_only() -> None:
    wants = {f"s{number}": (f"s{(number + 1) % 30}",) for number in range(30)}

    with pytest.raises(ValidationError) as caught:
        stable_order(wants)

    said = caught.value.message.removeprefix("steps need each other: ").split(" → ")
    cycle = caught.value.details["cycle"]
    assert len(cycle) == 31
    assert said == [*cycle[:16], "(11 more)", *cycle[-4:]]
