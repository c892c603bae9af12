"""Environment files are read as systemd reads them and never executed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.targets.env_file import expand_argv, parse_env_file, split_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("\n \t\n", {}),
        ("A=1", {"A": "1"}),
        ("A=1\nB=2\n", {"A": "1", "B": "2"}),
        ("  A=1  \n", {"A": "1"}),
        ("A=\nB=x", {"A": "", "B": "x"}),
        ("A=one two  \n", {"A": "one two"}),
        ('A="one two"\n', {"A": "one two"}),
        ("A='one \"two\"'\n", {"A": 'one "two"'}),
        ('A="x" "y"\n', {"A": "xy"}),
        ("A=one \\\n  two\n", {"A": "one   two"}),
        ('A="one \\\ntwo"\n', {"A": "one two"}),
        ('A="l1\nl2"\nB=3', {"A": "l1\nl2", "B": "3"}),
        ("A='a\\b'\n", {"A": "a\\b"}),
        ('A="\\"q\\" \\$x \\n"\n', {"A": '"q" $x \\n'}),
        ("A=a\\ b\\ \n", {"A": "a b "}),
        ("# A=1\n; B=2\nC=3", {"C": "3"}),
        ("# go on \\\nA=1\nB=2", {"B": "2"}),
        ("# never ends \\", {}),
        ("#", {}),
        ("no assignment\nA=1", {"A": "1"}),
        ("no assignment", {}),
        ("A=1\nA=2", {"A": "2"}),
        ("export A=1", {"A": "1"}),
        ("9A=1\nA-B=2\nC D=3", {}),
        ("A=$(touch /x) `id` $B", {"A": "$(touch /x) `id` $B"}),
        ('A=say "hi"', {"A": 'say "hi"'}),
        ("A=x\r\nB=y\r\n", {"A": "x", "B": "y"}),
        ('A="open', {"A": "open"}),
        ("A=end\\", {"A": "end\\"}),
        ('A="end\\', {"A": "end\\"}),
    ],
)
def test_assignments_are_read(text: str, expected: dict[str, str]) -> None:
    assert expected == parse_env_file(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  ", []),
        ("a b\tc\nd", ["a", "b", "c", "d"]),
        ("--x='a b' --y=\"c d\"", ["--x=a b", "--y=c d"]),
        ("it's", ["it's"]),
        ("a\\ b", ["a b"]),
        ("''", [""]),
        ("end\\", ["end\\"]),
    ],
)
def test_words_are_split_as_systemd_splits_them(text: str, expected: list[str]) -> None:
    assert expected == split_words(text)


def test_a_lone_variable_becomes_words_and_a_braced_one_a_part() -> None:
    values = {"ARGS": "--a=1 '--b=x y'", "PORT": "91 00"}

    found = expand_argv(["/bin/x", "$ARGS", "--port=${PORT}", "$UNSET", "-${UNSET}-", "$ARGS!", "$$"], values)

    assert found == ["/bin/x", "--a=1", "--b=x y", "--port=91 00", "--", "$ARGS!", "$$"]


@given(st.text(alphabet="AB=\"'\\ \n\t#;$x", max_size=40))
def test_any_text_is_read_without_an_error(text: str) -> None:
    values = parse_env_file(text)

    assert all(name.isidentifier() for name in values)
    assert isinstance(split_words(text), list)


@given(st.dictionaries(st.sampled_from(["A", "B_1", "_C"]), st.text(max_size=30)))
def test_values_in_single_quotes_come_back_unchanged(values: dict[str, str]) -> None:
    values = {name: value.replace("'", "") for name, value in values.items()}
    text = "".join(f"{name}='{value}'\n" for name, value in values.items())

    assert values == parse_env_file(text)
