"""What the policy takes an expansion to give is what bash gives."""

from __future__ import annotations

import subprocess

import pytest

from workflow_agent.scripts.policy.ansi import changed

_SCRIPT = 'value=$1; shift; many=("$@"); printf "%s\\n" "{}"'
_ONE = "/Etc/app.d/one.conf"
_MANY = ["etc", "usr", "var"]


def given_by_bash(expansion: str) -> list[str]:
    """Let bash expand; one line per word."""
    command = ["bash", "-c", _SCRIPT.format(expansion), "bash", _ONE, *_MANY]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.parametrize(
    "expansion",
    [
        *("${value%/*}", "${value%%/*}", "${value#*/}", "${value##*/}", "${value%.conf}", "${value%/*/*}"),
        *("${value/app/lib}", "${value//p/b}", "${value//\\//-}", "${value/#\\/Etc/\\/usr}", "${value/%.conf/.old}"),
        *("${value/#app/lib}", "${value/%app/lib}", "${value//nothing/else}", "${value//p}"),
        *("${value,,}", "${value^^}", "${value,}", "${value^}"),
        *("${value:0:4}", "${value:5}", "${value: -4}", "${value:(-4):2}", "${value:1:-5}", "${value:0:99}"),
    ],
)
def test_one_word(expansion: str) -> None:
    assert changed([_ONE], expansion) == given_by_bash(expansion)


@pytest.mark.parametrize(
    "expansion",
    [
        *("${many[@]/#/\\/}", "${many[@]%r}", "${many[@]#?}", "${many[@]^}", "${many[@]//[@]/}"),
        *("${many[@]:1}", "${many[@]:0:2}", "${many[@]: -1}"),
    ],
)
def test_words_of_an_array(expansion: str) -> None:
    assert changed(_MANY, expansion) == given_by_bash(expansion)


@pytest.mark.parametrize(
    "expansion", ["${value@Q}", "${value^^[a-c]}", "${value:${other}}", "${value%$other}", "${value:one}", "${value!}"]
)
def test_what_cannot_be_told_is_not_guessed(expansion: str) -> None:
    assert changed([_ONE], expansion) is None


def test_a_part_that_is_not_there_is_empty() -> None:
    assert changed([_ONE], "${value:99}") == [""] == given_by_bash("${value:99}")
    assert changed([_ONE], "${value: -99}") == [""] == given_by_bash("${value: -99}")
