"""Patterns of others: as Python matches them, and never for long."""

from __future__ import annotations

import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from workflow_agent.integrations import Registry, builtin_folder
from workflow_agent.integrations.loading import parse_manifest
from workflow_agent.integrations.patterns import MAX_CHARS, BoundedMatcher, matches

#: Each keeps Python's matcher busy for longer than anybody waits; the last two hide that behind flags and a comment.
ENDLESS = [
    ("(a+)+b", "a" * 60),
    ("(a|a)*b", "a" * 60),
    ("(?:a*){20}b", "a" * 60),
    ("a*" * 12 + "b", "a" * 400),
    ("a?" * 60 + "a" * 60, "a" * 60),
    ("[]a]*[]a]*(a+)+b", "a" * 60),
    ("(?x)#[\n(a+)+b#]", "a" * 60),
    ("(?#[)(a+)+b(?#])", "a" * 60),
]
#: A second of processor time, and a machine on which others work.
AT_MOST_S = 20.0


@pytest.mark.parametrize(("pattern", "text"), ENDLESS)
def test_what_could_take_for_ever_is_given_up(pattern: str, text: str) -> None:
    begun = time.monotonic()
    with pytest.raises(ValueError, match="takes too long"):
        BoundedMatcher().matches(pattern, text)
    assert time.monotonic() - begun < AT_MOST_S


@pytest.mark.parametrize(("pattern", "text"), [*ENDLESS[:2], ("(a+)+b", "aab"), ("(a+)+b", "aac")])
def test_in_another_thread_it_is_the_same(pattern: str, text: str) -> None:
    def said() -> bool | None:
        try:
            return BoundedMatcher().matches(pattern, text)
        except ValueError:
            return None

    with ThreadPoolExecutor() as pool:
        assert pool.submit(said).result(AT_MOST_S) is {"aab": True, "aac": False}.get(text)


def test_nothing_of_the_limit_stays() -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    assert matches("(a+)+c", "aac")

    assert signal.getsignal(signal.SIGVTALRM) is before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_many_that_are_slow_take_no_longer_than_a_few() -> None:
    matcher = BoundedMatcher(allowance_s=2)
    begun = time.monotonic()
    for number in range(300):
        with pytest.raises(ValueError, match="takes too long"):
            matcher.matches("(a+)+b", "a" * (60 + number))
    assert time.monotonic() - begun < AT_MOST_S


@pytest.mark.parametrize("text", ["aab", "aac", "", "a" * 12 + "b", "é\n"])
@pytest.mark.parametrize("pattern", ["(a+)+b", "a*b", "(?i)A*B", "[^\\n]*", ".*", "(a|b)*", "(a|b){2}b", "a{2}[bc]"])
def test_it_is_what_python_says(pattern: str, text: str) -> None:
    assert matches(pattern, text) is (re.fullmatch(pattern, text) is not None)


def test_all_that_is_shipped_is_compared_as_before() -> None:
    registry = Registry([builtin_folder()])
    declared = [spec for name in registry.names() for spec in registry.get(name).parameters.values()]
    samples = [
        (spec.pattern, str(value))
        for spec in declared
        if spec.pattern is not None
        for given in (spec.default, spec.example)
        for value in (given if isinstance(given, list | tuple) else [given])
        if value is not None
    ]

    assert len(samples) > 50
    assert [sample for sample in samples if not matches(*sample)] == []


def manifest(**parameter: Any) -> dict[str, Any]:
    return {
        "schema": "workflow-agent/integration/1",
        "name": "example",
        "version": "1.0.0",
        "description": "An example.",
        "category": "test",
        "platforms": [{"family": "debian", "os": ["debian"]}],
        "parameters": {"text": {"type": "string", "description": "Text.", **parameter}},
        "actions": {"install": {"template": "apt/install"}},
        "checks": [{"id": "said", "kind": "file", "path": "/x", "contains": "${{ parameters.text }}"}],
    }


@pytest.mark.parametrize(
    ("parameter", "key", "said"),
    [
        ({"pattern": "(a+)+b", "default": "a" * 60}, "default", "takes too long"),
        ({"pattern": "(a+)+b", "example": "a" * 60}, "example", "takes too long"),
        ({"pattern": "a" * (MAX_CHARS + 1)}, "pattern", "is longer than"),
        ({"pattern": "(" * 500 + ")" * 500}, "pattern", "is no regular expression"),
        ({"pattern": "a{99999999999}"}, "pattern", "is no regular expression"),
    ],
)
def test_a_manifest_with_such_a_pattern_is_refused_in_time(parameter: dict[str, Any], key: str, said: str) -> None:
    begun = time.monotonic()
    _, problems = parse_manifest(manifest(**parameter))

    assert [(problem.path, problem.code) for problem in problems] == [(("parameters", "text", key), "parameter")]
    assert said in problems[0].message
    assert time.monotonic() - begun < AT_MOST_S
