"""Text to data: YAML 1.2 without its traps, JSON, limits, places."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.authoring import load_yaml, read_text
from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
parameters:
  port:
    type: integer
  names:
    - first
    - {deep: 1,
       down: 2}
empty:
"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("yes", "yes"),
        ("on", "on"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("2024-01-01", "2024-01-01"),
        ("12:30:00", "12:30:00"),
        ("1_000", "1_000"),
        ("0o17", 15),
        ("0x1f", 31),
        ("-7", -7),
        ("+7", 7),
        ("0", 0),
        ("1.50", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("0.5", 0.5),
        ("0123abc", "0123abc"),
        ("1.2.3", "1.2.3"),
        ("'010'", "010"),
        ('"true"', "true"),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
        ("1: a\ntrue: b\n~: c", {"1": "a", "true": "b", "~": "c"}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("%YAML 1.2\n---\na: 1\n...\n", {"a": 1}),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    data = load_yaml(text, source="x.yaml").data

    assert (type(data), data) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "x:3:1", "the key `a` stands here twice"),
        ("a: &anchor 1\n", "x:1:4", "anchors and aliases are not supported"),
        ("a: *gone\n", "x:1:4", "anchors and aliases are not supported"),
        ("a: !!python/name:os.system x", "x:1:4", "tags are not supported"),
        ("a: !!str 1", "x:1:4", "tags are not supported"),
        ("a: 010", "x:1:4", "`010` starts with a zero: write it in quotes, or without the zero"),
        ("a: -00.5", "x:1:4", "`-00.5` starts with a zero: write it in quotes, or without the zero"),
        ("a: .inf", "x:1:4", "`.inf` is not a number that JSON knows"),
        ("a: .nan", "x:1:4", "`.nan` is not a number that JSON knows"),
        ("a: 1e999", "x:1:4", "`1e999` is too large"),
        ("a: " + "9" * 101, "x:1:4", "the number is longer than 100 characters"),
        ("[a, b]: 1", "x:1:1", "a key must be a text"),
        ("? {a: 1}\n: 2", "x:1:3", "a key must be a text"),
        ("a: 1\n---\nb: 1", "x:2:1", "there is more than one document"),
        ("[" * 65 + "]" * 65, "x:1:65", "nested deeper than 64"),
        ("- x\n" * 50_000, "x:50000:3", "there are more than 50000 values"),
    ],
)
def test_what_is_dangerous_or_misread_is_refused_at_its_place(text: str, where: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        load_yaml(text, source="x")

    assert (caught.value.message, caught.value.where) == (message, where)


@pytest.mark.parametrize("text", ["a: [", "a: 'b", "\tx: 1", "a: b: c", "{a: 1"])
def test_a_broken_text_is_refused_with_line_and_column(text: str) -> None:
    with pytest.raises(ValidationError, match="this is not YAML: ") as caught:
        load_yaml(text, source="x.yaml")

    assert caught.value.where is not None
    assert caught.value.where.startswith("x.yaml:")


@pytest.mark.parametrize("text", ["a: \x00", "a: \x07"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="this is not YAML"):
        load_yaml(text, source="x")


def test_a_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(ValidationError, match="not valid Unicode"):
        load_yaml("a: \ud800", source="x")


def test_a_text_over_a_mebibyte_is_refused_before_it_is_parsed() -> None:
    load_yaml("#" + "x" * ((1 << 20) - 1), source="x")

    with pytest.raises(ValidationError, match="larger than 1048576 bytes"):
        load_yaml("#" + "x" * (1 << 20), source="x")


def test_the_excerpt_has_a_caret_under_the_place() -> None:
    with pytest.raises(ValidationError) as caught:
        load_yaml("a: 1\nkey" + "y" * 100 + ": &x 1\n", source="x")

    shown, caret = caught.value.details["excerpt"].split("\n")
    assert shown[caret.index("^") :] == "&x 1"


def test_an_error_past_the_last_line_has_no_excerpt_line() -> None:
    with pytest.raises(ValidationError) as caught:
        load_yaml("a: [\n", source="x")

    assert caught.value.details["excerpt"] in {"", "\n^"}


def test_every_part_knows_its_place() -> None:
    document = load_yaml(TEXT, source="dir/x.yaml")

    assert document.where(("parameters", "port", "type")) == "dir/x.yaml:3:5"
    assert document.where_value(("parameters", "port", "type")) == "dir/x.yaml:3:11"
    assert document.where(("parameters", "names", 1, "down")) == "dir/x.yaml:7:8"
    assert document.where_value(("parameters", "names", 0)) == "dir/x.yaml:5:7"
    assert document.where(("empty",)) == "dir/x.yaml:8:1"


def test_a_part_that_is_not_there_has_the_place_of_its_nearest_ancestor() -> None:
    document = load_yaml(TEXT, source="x")

    assert document.where(("parameters", "port", "missing", 3)) == "x:2:3"
    assert document.where(("nothing",)) == "x:1:1"
    assert load_yaml("", source="x").where() == "x:1:1"


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, -2.5, 1e30, None, True, "yes", "010"], "b": {"c": {}}, "d": []},
        {"emoji": "\U0001f600", "escaped": "\\ud83d\\ude00", "slash": "a/b", "quote": '"', "ctl": "\u0007\t\n"},
        ["top", {"x": "{tab}"}],
    ],
)
@pytest.mark.parametrize("indent", [None, 2, "\t"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_is_read_as_json_reads_it(value: Any, indent: int | str | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)

    assert load_yaml(text, source="x.json").data == value


def test_json_repeats_no_key_either() -> None:
    with pytest.raises(ValidationError, match="stands here twice"):
        load_yaml('{"a": 1, "a": 2}', source="x")


def test_a_file_is_read_as_utf_8_within_the_limit(tmp_path: Path) -> None:
    good, bad, large = (tmp_path / name for name in ("good", "bad", "large"))
    good.write_bytes(b"\xef\xbb\xbfa: \xc3\xa4")
    bad.write_bytes(b"a: \xff")
    large.write_bytes(b"#" * ((1 << 20) + 1))

    assert read_text(good) == "a: ä"
    with pytest.raises(ValidationError, match="not UTF-8"):
        read_text(bad)
    with pytest.raises(ValidationError, match="larger than"):
        read_text(large)
