"""What each parameter type accepts, and what is refused before it can reach a script."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_agent.integrations.manifest import Parameter
from workflow_agent.integrations.values import MAX_BYTES, duration_seconds, parse_value


def _declare(type_: str, **more: Any) -> Parameter:  # Any: fields of a declaration
    return Parameter.model_validate({"type": type_, "description": "x", **more})


@pytest.mark.parametrize(
    ("type_", "given", "value"),
    [
        ("string", "a b", "a b"),
        ("string", "", ""),
        ("string", "$(touch /tmp/marker)", "$(touch /tmp/marker)"),
        ("string", "tab\there", "tab\there"),
        ("integer", "-7", -7),
        ("integer", 12, 12),
        ("number", "2.5", 2.5),
        ("number", "3", 3),
        ("number", "1e3", 1000.0),
        ("number", 0.25, 0.25),
        ("boolean", "yes", True),
        ("boolean", "OFF", False),
        ("boolean", True, True),
        ("port", "9100", 9100),
        ("path", "/var/lib/x y", "/var/lib/x y"),
        ("duration", "1h30m", "1h30m"),
        ("duration", 90, "90s"),
        ("url", "https://example.org:8443/a?b=c", "https://example.org:8443/a?b=c"),
        ("url", "http://[::1]/", "http://[::1]/"),
        ("host", "web-1.example.org.", "web-1.example.org."),
        ("host", "192.0.2.7", "192.0.2.7"),
        ("address", "::0001", "::1"),
        ("list", "one", ["one"]),
        ("list", ["one", "two"], ["one", "two"]),
    ],
)
def test_values_are_parsed_by_their_type(type_: str, given: object, value: object) -> None:
    parsed = parse_value(_declare(type_), given)

    assert (value, type(value)) == (parsed, type(parsed))


@pytest.mark.parametrize(
    ("type_", "given", "sentence"),
    [
        ("string", 5, "must be a text"),
        ("string", "a\0b", "NUL"),
        ("string", "a\nb", "line break"),
        ("string", "a\x1b[2J", "control character"),
        ("string", "a\x85", "control character"),
        ("string", "a\udcff", "UTF-8"),
        ("string", "a" + chr(0xD800), "UTF-8"),
        ("string", "x" * (MAX_BYTES + 1), "longer than 64 KiB"),
        ("string", "é" * (MAX_BYTES // 2 + 1), "longer than 64 KiB"),
        ("string", ["a"], "takes a value, not a list"),
        ("string", ["a", "b"], "takes one value"),
        ("integer", "1; reboot", "must be an integer"),
        ("integer", "٣", "must be an integer"),
        ("integer", True, "must be an integer"),
        ("integer", 10**18, "too large"),
        ("number", 10**400, "too large"),
        ("number", "nan", "finite number"),
        ("number", float("inf"), "finite number"),
        ("number", "1e999", "finite number"),
        ("number", False, "finite number"),
        ("boolean", "maybe", "true or false"),
        ("boolean", 1, "true or false"),
        ("boolean", "t" * 1_000_000, "true or false"),
        ("port", "0", "port from 1 to 65535"),
        ("port", "65536", "port from 1 to 65535"),
        ("path", "etc/passwd", "absolute path"),
        ("path", "/srv/../etc", "'..'"),
        ("duration", "soon", "duration"),
        ("duration", "", "duration"),
        ("duration", -1, "must be a text"),
        ("url", "ftp://example.org/", "http or https"),
        ("url", "http://", "http or https"),
        ("url", "http://user:secret@example.org/", "user or a password"),
        ("url", "http://example.org/ x", "%XX"),
        ("url", "http://example.org/\"';", "%XX"),
        ("url", "http://example.org:99999/", "valid http"),
        ("url", "http://[::1/", "valid http"),
        ("url", "http://exa$mple.org/", "host name"),
        ("host", "-web", "host name or an address"),
        ("host", "a..b", "host name or an address"),
        ("host", "x" * 64, "host name or an address"),
        ("host", "$(reboot)", "host name or an address"),
        ("address", "300.1.1.1", "IPv4 or IPv6"),
        ("list", ["ok", "a\0"], "item 2 contains a NUL"),
        ("list", ["x"] * 1025, "more than 1024 items"),
        ("list", ["x" * 60_000, "y" * 60_000], "longer than 64 KiB"),
    ],
)
def test_hostile_and_mistaken_values_are_refused(type_: str, given: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_value(_declare(type_), given)

    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "given", "sentence"),
    [
        ({"type": "enum", "choices": ["low", "high"]}, "mid", "must be one of low, high"),
        ({"type": "enum", "choices": ["low", "high"]}, True, "must be one of low, high"),
        ({"type": "integer", "choices": [1, 2]}, "3", "must be one of 1, 2"),
        ({"type": "string", "pattern": "[a-z]+"}, "abc\u0020", "does not match"),
        ({"type": "list", "pattern": "[a-z]+"}, ["ok", "; x"], "item 2 does not match"),
        ({"type": "list", "items": "port"}, ["80", "x"], "item 2 must be an integer"),
        ({"type": "list", "min": 2}, ["a"], "at least 2 items"),
        ({"type": "string", "max": 3}, "abcd", "at most 3 characters"),
        ({"type": "integer", "min": 5}, "4", "at least 5"),
        ({"type": "duration", "max": 60}, "2m", "at most 60 seconds"),
    ],
)
def test_constraints_hold(declared: dict[str, Any], given: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_value(Parameter.model_validate({"description": "x", **declared}), given)

    assert sentence in str(caught.value)


def test_a_choice_keeps_the_declared_type() -> None:
    assert parse_value(_declare("integer", choices=[1, 2]), "2") == 2
    assert parse_value(_declare("enum", choices=["low", 7]), "7") == 7


def test_bounds_include_their_ends() -> None:
    assert parse_value(_declare("integer", min=1, max=3), 1) == 1
    assert parse_value(_declare("integer", min=1, max=3), 3) == 3


def test_multiline_texts_may_have_line_breaks_but_no_nul() -> None:
    declared = _declare("string", multiline=True)

    assert parse_value(declared, "a\nb") == "a\nb"
    with pytest.raises(ValueError, match="NUL"):
        parse_value(declared, "a\n\0")


def test_durations_in_seconds() -> None:
    assert duration_seconds("1d2h3m4s") == 93784
