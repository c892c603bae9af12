"""The masker, whatever the secret, the text around it, its spelling and the pieces in which it comes."""

from __future__ import annotations

import base64
import json
import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_agent.security.masker import LineMasker, Masker, StreamMasker
from workflow_agent.security.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "url": lambda value: quote(value, safe=""),
    "path": quote,
    "form": quote_plus,
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64url": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "hex": lambda value: value.encode().hex(),
    "json": lambda value: json.dumps(value)[1:-1],
    "shell": lambda value: shlex.quote(value).strip("'"),
}
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
#: No blanks at the ends, which the shell's quoting here would lose with the quotes.
VALUE = st.text(
    st.characters(exclude_categories=["Cs", "Zs", "Cc"], exclude_characters="\0\n\r'"), min_size=8, max_size=14
).filter(lambda value: len(value.strip()) >= 8)
PIECES = st.lists(st.integers(1, 12), min_size=1, max_size=8)


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces, at, number = [], 0, 0
    while at < len(text):
        size = sizes[number % len(sizes)]
        pieces.append(text[at : at + size])
        at, number = at + size, number + 1
    return pieces


@given(VALUE, st.sampled_from(sorted(SPELLINGS)), TEXT, TEXT)
@settings(max_examples=30, deadline=None)
def test_no_spelling_is_left(value: str, spelling: str, before: str, after: str) -> None:
    spelt = SPELLINGS[spelling](value)
    masked = Masker([Secret(value)]).mask(f"{before}{spelt}{after}")

    assert "***" in masked
    assert len(masked) <= len(before) + len(after) + 3
    assert spelt not in masked.replace("***", "\0")


@given(VALUE, TEXT, TEXT)
@settings(max_examples=30, deadline=None)
def test_base64_around_it_keeps_no_more_than_its_neighbours(value: str, before: str, after: str) -> None:
    encoded = base64.b64encode(f"{before}{value}{after}".encode()).decode()
    masked = Masker([Secret(value)]).mask(encoded)

    assert "***" in masked
    assert len(masked) - 3 <= 4 * (len(before.encode()) + len(after.encode()) + 4) / 3


@given(st.lists(VALUE, min_size=1, max_size=3), st.data(), PIECES)
@settings(max_examples=30, deadline=None)
def test_pieces_give_what_the_whole_gives(values: list[str], data: st.DataObject, sizes: list[int]) -> None:
    """However a text is cut, the same is shown, and everything that is no secret."""
    part = st.one_of(
        TEXT,
        st.builds(
            lambda value, name: SPELLINGS[name](value), st.sampled_from(values), st.sampled_from(sorted(SPELLINGS))
        ),
        st.builds(lambda value, at: value[:at], st.sampled_from(values), st.integers(0, 8)),
    )
    text = "".join(data.draw(st.lists(part, max_size=6)))
    masker = Masker([Secret(value) for value in values])
    stream = StreamMasker(masker)

    assert "".join([*map(stream.feed, cut(text, sizes)), stream.end()]) == masker.mask(text)


@given(
    VALUE, st.integers(1, 23), st.sampled_from(sorted(SPELLINGS)), st.lists(st.text("ab c\t", max_size=9), max_size=3)
)
@settings(max_examples=30, deadline=None)
def test_a_secret_that_a_line_end_splits_is_hidden_from_lines(
    value: str, at: int, spelling: str, around: list[str]
) -> None:
    spelt = SPELLINGS[spelling](value)
    at = 1 + at % (len(spelt) - 1)
    lines = [*around, f"x {spelt[:at]}", f"{spelt[at:]} y", *around]
    masker = LineMasker(Masker([Secret(value)]))
    shown = [*(out for line in lines for out in masker.line(line)), *masker.end()]

    assert any("***" in line for line in shown)
    assert spelt not in "".join(shown).replace("***", "\0")


@given(st.text("ab", min_size=8, max_size=10), st.text("ab\n", max_size=60), PIECES)
@settings(max_examples=30, deadline=None)
def test_secrets_that_overlap_themselves(value: str, text: str, sizes: list[int]) -> None:
    masker = Masker([Secret(value)])
    stream = StreamMasker(masker)
    masked = masker.mask(text)

    assert value not in masked.replace("\n", "")
    assert "".join([*map(stream.feed, cut(text, sizes)), stream.end()]) == masked
