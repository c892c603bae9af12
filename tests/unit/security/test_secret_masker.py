"""Text is cleared of secrets in every spelling, whole or in pieces."""

from __future__ import annotations

import base64
import html
import json
import shlex
from urllib.parse import quote, quote_plus

import pytest

from workflow_agent.security.masker import LineMasker, Masker, StreamMasker
from workflow_agent.security.secret import Secret

VALUE = "c4nary/va lue\"x'$é\\t+%"
PLAIN = Masker([Secret(VALUE)])


def spelt(value: str) -> dict[str, str]:
    data = value.encode()
    return {
        "plain": value,
        "url": quote(value, safe=""),
        "url, slashes kept": quote(value),
        "url, lower case": quote(value, safe="").lower().replace(value.lower(), value),
        "form": quote_plus(value),
        "base64": base64.b64encode(data).decode(),
        "base64 for addresses": base64.urlsafe_b64encode(data).decode().rstrip("="),
        "hexadecimal": data.hex(),
        "hexadecimal, capitals": data.hex().upper(),
        "json": json.dumps(value)[1:-1],
        "json, not only ascii": json.dumps(value, ensure_ascii=False)[1:-1],
        "json in json": json.dumps(json.dumps(value)[1:-1])[1:-1],
        "shell": shlex.quote(value)[1:-1],
        "html": html.escape(value),
        "with backslashes": "".join(char if char.isalnum() else f"\\{char}" for char in value),
        "repr of bytes": repr(data)[2:-1],
    }


@pytest.mark.parametrize("name", spelt(VALUE))
def test_a_spelling_is_hidden_and_nothing_around_it(name: str) -> None:
    assert PLAIN.mask(f"before {spelt(VALUE)[name]} after") == "before *** after"


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "admin:"])
@pytest.mark.parametrize("after", ["", "\n", "@h", "@ho", "@host"])
def test_base64_of_a_longer_text_shows_nothing_of_it(before: str, after: str) -> None:
    encoded = base64.b64encode(f"{before}{VALUE}{after}".encode()).decode()
    masked = PLAIN.mask(encoded)
    head, star, tail = masked.partition("***")

    assert star
    assert len(head) <= len(base64.b64encode(before.encode()))
    assert len(tail) <= 4 * (len(after) + 3) / 3


def test_lines_of_wrapped_base64_are_hidden_too() -> None:
    long = "long-" * 40 + "secret"
    wrapped = base64.encodebytes(long.encode()).decode()

    assert Masker([Secret(long)]).mask(f"a {wrapped}b").startswith("a ***")
    assert Masker([Secret(long)]).mask(f"a {wrapped}b").strip("a b\n") == "***"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\\\n"])
def test_a_line_end_inside_does_not_help(line_end: str) -> None:
    for at in range(1, len(VALUE)):
        text = f"x {VALUE[:at]}{line_end}{VALUE[at:]} y"
        assert PLAIN.mask(text) == "x *** y", at


def test_each_line_of_a_secret_with_several_is_one() -> None:
    masker = Masker([Secret("-----BEGIN KEY-----\nc4nary-line-one\nshort\nc4nary-line-two\n-----END KEY-----\n")])

    assert masker.mask("a c4nary-line-two b") == "a *** b"
    assert masker.mask("short") == "short"
    assert masker.mask("x -----BEGIN KEY-----\\nc4nary-line-one\\nshort\\nc4nary-line-two\\n y").startswith("x ***")


def test_finds_that_overlap_or_touch_become_one() -> None:
    masker = Masker([Secret("abcdefgh"), Secret("efghijkl"), Secret("abcdefghijklmnop")])

    assert masker.mask("<abcdefghijkl>") == "<***>"
    assert masker.mask("<abcdefghabcdefgh>") == "<***>"
    assert masker.mask("<abcdefghijklmnop>") == "<***>"
    assert masker.mask("<abcdefgh efghijkl>") == "<*** ***>"


def test_a_secret_that_overlaps_itself_leaves_nothing() -> None:
    masker = Masker([Secret("abababab")])

    assert masker.mask("<ababababab>") == "<***>"


def test_what_is_no_secret_stays() -> None:
    for text in ("", "c4nary/va lu", "lue", "c4nary", "***", "%%%\\\\\n" * 100):
        assert PLAIN.mask(text) == text


def test_values_are_masked_wherever_a_text_can_stand() -> None:
    value = {"a": [VALUE, 1, None, True, 1.5], f"k {VALUE}": {"b": (VALUE,)}}

    assert PLAIN.mask_value(value) == {"a": ["***", 1, None, True, 1.5], "k ***": {"b": ["***"]}}


def test_what_an_excerpt_leaves_of_a_secret_is_hidden() -> None:
    masker = Masker([Secret("c4nary-value")])
    start = "a text of a length that is worth cutting, because it does not end soon "

    assert masker.mask_excerpt(f"{start}c4nary-va") == f"{start}***"
    assert masker.mask_excerpt(f"{start}`c4nary-val…` and c4nary…") == f"{start}`***…` and ***…"
    assert masker.mask_excerpt(f"{start}c4n") == f"{start}c4n"
    assert masker.mask_excerpt("short c4nary-va") == "short c4nary-va"
    assert masker.mask_excerpt(f"nary-value {'x' * 600}") == f"*** {'x' * 600}"
    assert masker.mask_excerpt(f"lue {'x' * 600}") == f"lue {'x' * 600}"
    assert masker.mask_excerpt(f"value {'x' * 400}") == f"value {'x' * 400}"


def test_without_secrets_nothing_is_hidden() -> None:
    masker = Masker([])

    assert masker.mask("anything") == "anything"
    assert StreamMasker(masker).feed("anything") == "anything"


def test_a_stream_holds_back_only_what_may_become_a_secret() -> None:
    stream = StreamMasker(Masker([Secret("c4nary-value")]))

    assert stream.feed("hello c4na") == "hello "
    assert stream.feed("ry-valu") == ""
    assert stream.feed("es") == "***s"
    assert stream.feed("c4n") == ""
    assert stream.end() == "c4n"
    assert stream.end() == ""


def test_a_stream_shows_a_secret_once_while_the_next_may_have_begun() -> None:
    stream = StreamMasker(Masker([Secret("abababab")]))

    assert stream.feed("<abababab") == "<***"
    assert stream.feed("ab") == ""
    assert stream.feed(">") == ">"
    assert stream.end() == ""


def test_lines_come_out_as_they_went_in() -> None:
    lines = LineMasker(Masker([Secret("c4nary-value")]))
    given = ["one", "", "has c4nary-value in it", "three"]

    assert [shown for line in given for shown in lines.line(line)] == ["one", "", "has *** in it", "three"]
    assert lines.end() == []


def test_a_secret_over_two_lines_makes_one_line() -> None:
    lines = LineMasker(Masker([Secret("c4nary-value")]))

    assert lines.line("a c4nary") == []
    assert lines.line("-value b") == ["a *** b"]
    assert lines.line("c4nary") == []
    assert lines.end() == ["c4nary"]
    assert lines.end() == []


def test_a_secret_inside_of_what_may_become_another_one_waits_for_it() -> None:
    long, short = Secret("first-c4nary-value-third"), Secret("c4nary-value")

    for rest, shown in (("-third, end", "***, end"), ("-other, end", "first-***-other, end")):
        stream = StreamMasker(Masker([long, short]))
        assert stream.feed("first-c4nary-value") == ""
        assert stream.feed(rest) + stream.end() == shown
