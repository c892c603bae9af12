"""What stands for a secret."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_agent.security.marks import (
    fill,
    mark,
    marked_names,
    named,
    reference,
    reference_digest,
    reference_name,
    unmarkable,
)

DIGEST = "0" * 64


def test_a_reference_is_known_again() -> None:
    made = reference("password", DIGEST)

    assert reference_name(made) == "password"
    assert reference_digest(made) == DIGEST


@pytest.mark.parametrize(
    "value",
    [
        "password",
        None,
        {},
        {"$secret": "password"},
        {"$secret": "password", "digest": "hunter2"},
        {"$secret": 1, "digest": DIGEST},
        {"$secret": "password", "digest": 1},
        {"$secret": "password", "digest": DIGEST, "value": "hunter2"},
    ],
)
def test_nothing_else_is_a_reference(value: object) -> None:
    assert reference_name(value) is None


def nested(text: str) -> Any:
    return {"a": [f"x{text}y", 1, None, True], text: {"b": (text, text)}}


def test_marks_are_found_and_filled_wherever_a_text_can_stand() -> None:
    marked = nested(f"{mark('one')} {mark('two')}")

    assert marked_names(marked) == {"one", "two"}
    assert fill(marked, {"one": "1", "two": "2"}) == {"a": ["x1 2y", 1, None, True], "1 2": {"b": ["1 2", "1 2"]}}
    assert named(marked)["a"][0] == "x<secret:one> <secret:two>y"
    assert marked_names(named(marked)) == frozenset()


def test_what_a_value_contains_is_not_looked_at_again() -> None:
    assert fill(mark("one"), {"one": mark("two"), "two": "2"}) == mark("two")


def test_a_mark_without_a_value_is_not_passed_over() -> None:
    with pytest.raises(KeyError):
        fill(mark("one"), {})


def test_text_that_could_hold_a_mark_is_told_from_text_that_cannot() -> None:
    assert unmarkable("anything <secret:one> é")
    assert not unmarkable(mark("one"))
    assert not unmarkable(mark("one")[0])
    assert not unmarkable(mark("one")[-1])
