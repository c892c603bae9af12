"""The expression language: values, types, errors with a caret."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_agent.model.errors import ExpressionError
from workflow_agent.model.expression import expressions_in, interpolate, parse, references_of, text_of

NAMES: dict[str, Any] = {
    "inputs": {"name": "nginx", "port": 80, "ratio": 0.5, "tls": True, "list": [1, "a"], "none": None},
    "steps": {"script-builder": {"output": {"in": {"a b": 7}}}},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-0.5e1", -5.0),
        ("'a\\'b'", "a'b"),
        ('"line\\n\\ttab\\\\"', "line\n\ttab\\"),
        ("true", True),
        ("null", None),
        ("[]", []),
        ("[1, 'a', [true], inputs.port]", [1, "a", [True], 80]),
        ("inputs.port", 80),
        ("inputs.nothing.at.all", None),
        ("nothing", None),
        ("inputs.name.port", None),
        ("inputs.list[1]", "a"),
        ("inputs.list[2]", None),
        ("inputs.name[0]", None),
        ("inputs['port']", 80),
        ("steps.script-builder.output.in['a b']", 7),
        ("inputs.port == 80.0", True),
        ("inputs.tls == 1", False),
        ("inputs.none == null", True),
        ("inputs.list == [1, 'a']", True),
        ("inputs.list == [true, 'a']", False),
        ("inputs.list == [1]", False),
        ("inputs.list != [1, 'b']", True),
        ("steps == steps", True),
        ("steps == inputs", False),
        ("inputs.steps == inputs", False),
        ("1 < 2", True),
        ("2 <= 2.0", True),
        ("2 > 2", False),
        ("2 >= 2", True),
        ("'a' < 'b'", True),
        ("'a' in inputs.list", True),
        ("true in [1]", False),
        ("'gin' in inputs.name", True),
        ("'port' in inputs", True),
        ("1 in inputs.none", False),
        ("len(inputs.list)", 2),
        ("len('äö')", 2),
        ("len(inputs)", 6),
        ("len(inputs.none)", 0),
        ("default(inputs.none, 'x')", "x"),
        ("default(inputs.name, [])", "nginx"),
        ("not inputs.none", True),
        ("not not inputs.tls", True),
        ("true and null", False),
        ("true and true and true", True),
        ("false or false", False),
        ("null or true", True),
        ("true or 1", True),
        ("false and 1", False),
        ("not false and false", False),
        ("true or false and false", True),
        ("(true or false) and false", False),
        ("not 1 == 2", True),
    ],
)
def test_an_expression_has_its_value(text: str, value: object) -> None:
    result = parse(text).evaluate(NAMES)

    assert (type(value), value) == (type(result), result)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "expected a value, found the end"),
        ("1 +", 3, "unexpected character '+'"),
        ("a = 1", 3, "unexpected character '='"),
        ("a & b", 3, "unexpected character '&'"),
        ("!a", 1, "unexpected character '!'"),
        ("${{ a }}", 1, "unexpected character '$'"),
        ("'abc", 1, "the text has no closing quote"),
        ("'a\\q'", 3, "no escape `\\q`"),
        ("01", 1, "this is not a number"),
        ("1e999", 1, "the number is too large"),
        ("1 2", 3, "expected the end, found `2`"),
        ("(1", 3, "expected `)`, found the end"),
        ("[1 2]", 4, "expected `,`, found `2`"),
        ("[1,]", 4, "expected a value, found `]`"),
        ("a.", 3, "expected a name, found the end"),
        ("a[b]", 3, "an index is a whole number from 0 or a text"),
        ("a[-1]", 3, "an index is a whole number from 0 or a text"),
        ("a[1.5]", 3, "an index is a whole number from 0 or a text"),
        ("a[0", 4, "expected `]`, found the end"),
        ("1 < 2 < 3", 7, "comparisons do not chain"),
        ("eval('1')", 1, "no function `eval`"),
        ("len()", 1, "`len` takes 1 argument, not 0"),
        ("default(1)", 1, "`default` takes 2 arguments, not 1"),
        ("in", 1, "expected a value, found `in`"),
        ("(" * 65 + "1" + ")" * 65, 66, "nested deeper than 64"),
        ("not " * 65 + "true", 261, "nested deeper than 64"),
        ("1" * 4097, 1, "the expression is longer than 4096 bytes"),
    ],
)
def test_a_wrong_text_is_refused_at_its_column(text: str, column: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)

    assert (message, f"column {column}", column) == (
        caught.value.message,
        caught.value.where,
        caught.value.details["column"],
    )


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("1 < 'a'", 3, "`<` compares two numbers or two texts, not a number and a text"),
        ("null >= null", 6, "`>=` compares two numbers or two texts, not null and null"),
        ("true > false", 6, "`>` compares two numbers or two texts, not a boolean and a boolean"),
        ("inputs <= [1]", 8, "`<=` compares two numbers or two texts, not an object and a list"),
        ("1 in 'a1'", 3, "a number cannot be in a text"),
        ("'a' in 1", 5, "a text cannot be in a number"),
        ("len(1)", 1, "a number has no length"),
        ("not 'a'", 1, "expected true or false, found a text"),
        ("1 or true", 3, "expected true or false, found a number"),
    ],
)
def test_a_wrong_type_is_an_error_at_the_operator(text: str, column: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text).evaluate(NAMES)

    assert (message, column) == (caught.value.message, caught.value.details["column"])


def test_the_excerpt_has_a_caret_under_the_column_also_in_a_long_text() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse("a" * 100 + " =\t" + "b" * 100)

    shown, caret = caught.value.details["excerpt"].split("\n")
    assert shown[caret.index("^")] == "="
    assert "\t" not in shown
    assert len(shown) <= 80


def test_a_condition_is_a_boolean_and_null_is_false() -> None:
    assert parse("inputs.tls").holds(NAMES)
    assert not parse("inputs.none").holds(NAMES)
    with pytest.raises(ExpressionError, match="expected true or false, found a list"):
        parse("inputs.list").holds(NAMES)


def test_references_are_dotted_paths() -> None:
    text = "not a.b or [c[0].d, len(e['f'])] == default(g, 'h') and i in (j < 1)"

    assert {"a.b", "c.0.d", "e.f", "g", "i", "j"} == parse(text).references
    assert {"a.b", "x"} == references_of({"k": ["${{ a.b }} and ${{ x }}", 1, None], "${{ key }}": "plain"})


def test_expressions_are_found_with_the_way_to_them() -> None:
    found = list(expressions_in({"a": ["x", "${{ b }}"], "c": "${{ d }}${{ e }}"}))

    assert [(way, each.text) for way, each in found] == [(("a", 1), "b"), (("c",), "d"), (("c",), "e")]


def test_a_text_that_is_one_expression_keeps_the_type_of_its_value() -> None:
    value = {"n": "${{ inputs.port }}", "deep": ["${{inputs.list}}"], "k": 1, "t": ("${{ inputs.none }}",)}

    assert interpolate(value, NAMES) == {"n": 80, "deep": [[1, "a"]], "k": 1, "t": [None]}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${{ inputs.name }}:${{ inputs.port }}", "nginx:80"),
        ("ratio ${{ inputs.ratio }}", "ratio 0.5"),
        ("${{ 10.0 }} ", "10 "),
        ("tls=${{ inputs.tls }}", "tls=true"),
        ("none=${{ inputs.none }}", "none=null"),
        ("l=${{ inputs.list }}", 'l=[1,"a"]'),
        ("$${{ inputs.name }}", "${{ inputs.name }}"),
        ("$${{ a }} ${{ inputs.name }}", "${{ a }} nginx"),
        ("${{ inputs.port }}$${{", "80${{"),
        ("a $ {{ b }}", "a $ {{ b }}"),
        ("x${{ '}}' }}", "x}}"),
        ('x${{ "\\"}}" }}', 'x"}}'),
    ],
)
def test_expressions_inside_text_are_written_as_text(text: str, result: str) -> None:
    assert result == interpolate(text, NAMES)


def test_what_an_expression_gives_is_never_scanned_again() -> None:
    hostile = {"inputs": {"x": "${{ inputs.secret }}", "secret": "s3cret"}}

    assert interpolate("-${{ inputs.x }}", hostile) == "-${{ inputs.secret }}"
    assert interpolate(["${{ inputs.x }}"], hostile) == ["${{ inputs.secret }}"]


def test_an_error_inside_a_value_names_the_way_to_it() -> None:
    for value, place in (({"a": ["${{ 1 < }}"]}, "a.0, column 4"), ({"a": "${{ 1 < 'x' }}"}, "a, column 3")):
        with pytest.raises(ExpressionError) as caught:
            interpolate(value, NAMES)
        assert place == caught.value.where


def test_an_expression_without_its_end_is_refused() -> None:
    with pytest.raises(ExpressionError, match="has no closing") as caught:
        references_of("a ${{ 'b }}")

    assert caught.value.where == "column 3"


def test_values_that_nest_too_deeply_are_refused() -> None:
    value: Any = "x"
    for _ in range(65):
        value = [value]

    for walk in (references_of, lambda deep: interpolate(deep, NAMES)):
        with pytest.raises(ExpressionError, match="nested deeper than 64"):
            walk(value)


def test_deep_values_compare_without_recursion() -> None:
    left: Any = 1
    for _ in range(100_000):
        left = [left]

    assert parse("a == a").evaluate({"a": left})


@pytest.mark.parametrize("value", [[float("nan")], [object()]])
def test_what_is_no_json_cannot_become_text(value: Any) -> None:
    with pytest.raises(ExpressionError, match="cannot be written as text"):
        text_of(value)


def test_a_text_and_a_value_that_get_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"inputs": {"text": "x" * 1000, "list": [["y" * 1000] * 10] * 10}}
    value = {"all": ["${{ inputs.list }}", "${{ inputs.list }}"]}
    assert len(interpolate("${{ inputs.text }}-${{ inputs.text }}", names)) == 2001
    assert len(interpolate(value, names)["all"]) == 2

    monkeypatch.setattr("workflow_agent.model.expression.MAX_TEXT", 1500)
    monkeypatch.setattr("workflow_agent.model.expression.MAX_SIZE", 150_000)

    with pytest.raises(ExpressionError, match="the text gets longer than"):
        interpolate("${{ inputs.text }}-${{ inputs.text }}", names)
    with pytest.raises(ExpressionError, match="the value gets larger than"):
        interpolate(value, names)
