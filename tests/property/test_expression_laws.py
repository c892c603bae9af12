"""Expressions: total over any text, and the laws that their values keep."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from workflow_agent.authoring import load_yaml
from workflow_agent.model.errors import ExpressionError, ValidationError
from workflow_agent.model.expression import interpolate, parse, references_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
TEXT = "or and not in true false null len default a.b a[0] ( ) [ ] , . == != < <= > >= 'x' 1 -2.5 x"
WORDS = TEXT.split()
near_misses = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


@settings(max_examples=500, deadline=None)
@given(text=st.text(max_size=80) | near_misses, names=st.dictionaries(st.sampled_from(["a", "x", "len"]), values))
def test_any_text_has_a_value_or_a_located_error(text: str, names: dict[str, Any]) -> None:
    refusal: ExpressionError | None = None
    try:
        parse(text).evaluate(names)
    except ExpressionError as error:
        refusal = error
    if refusal is not None:
        assert 1 <= refusal.details["column"] <= len(text) + 1
        assert refusal.details["excerpt"].endswith("^")


@settings(max_examples=300, deadline=None)
@given(left=values, right=values)
def test_equality_is_that_of_json_with_numbers_compared_as_numbers(left: Any, right: Any) -> None:
    names = {"l": left, "r": right}
    equal = parse("l == r").evaluate(names)

    assert parse("l == l").evaluate(names) is True
    assert equal is parse("r == l").evaluate(names) is not parse("l != r").evaluate(names)
    if json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True):
        assert equal is True
    assert parse("l in [r]").evaluate(names) is equal


@given(
    left=st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    right=st.integers() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_exactly_one_order_holds_between_two_numbers(left: float, right: float) -> None:
    names = {"l": left, "r": right}
    holds = [parse(text).evaluate(names) for text in ("l < r", "l == r", "l > r")]

    assert holds.count(True) == 1
    assert parse("l <= r").evaluate(names) is not holds[2]
    assert parse("l >= r").evaluate(names) is not holds[0]


@given(value=values)
def test_a_lone_expression_gives_its_value_and_no_text_is_scanned_again(value: Any) -> None:
    assert interpolate("${{ v }}", {"v": value}) == value
    assert interpolate("<${{ v }}>", {"v": value}) == f"<{text_of(value)}>"


@given(value=values)
def test_what_has_no_expression_stays_as_it_is(value: Any) -> None:
    if "${{" not in json.dumps(value, ensure_ascii=False):
        assert interpolate(value, {}) == value
        assert references_of(value) == frozenset()


@given(text=st.text())
def test_an_escaped_opening_is_literal(text: str) -> None:
    if "${{" not in text and not text.endswith("$"):
        assert interpolate(f"{text}$${{{{{text}", {}) == f"{text}${{{{{text}"


def keys_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys_in(inner)


@settings(max_examples=300, deadline=None)
@given(value=values, indent=st.sampled_from([None, 1, "\t"]), ascii_only=st.booleans())
def test_json_is_read_back_by_the_yaml_reader(value: Any, indent: int | str | None, ascii_only: bool) -> None:
    document = {"value": value} if not isinstance(value, (list, dict)) else value
    assume(max((len(json.dumps(key)) for key in keys_in(document)), default=0) < 1024)  # YAML's limit for a key

    assert load_yaml(json.dumps(document, indent=indent, ensure_ascii=ascii_only), source="x").data == document


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("ab:-[]{},?&*!|>'\"%@`#\n \t01.~"), max_size=60))
def test_any_text_is_a_document_or_a_located_error(text: str) -> None:
    refusal: ValidationError | None = None
    try:
        json.dumps(load_yaml(text, source="x").data, allow_nan=False)
    except ValidationError as error:
        refusal = error
    if refusal is not None:
        assert (refusal.where or "").startswith("x")


def test_a_number_with_too_many_digits_is_an_error_and_no_crash() -> None:
    with pytest.raises(ValidationError, match="longer than 100"):
        load_yaml("1" * 5000, source="x")
