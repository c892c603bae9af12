r"""How the value of a secret may be spelt in text that a program writes.

A *pattern* is a sequence of units, a unit the ways in which one piece of the value can be written. The pattern of the
value itself has a unit for each character: as it is, percent-encoded, escaped for JSON, the shell or HTML. So mixtures
are found too, whatever a program takes for worth escaping. Base64 (at each of the three alignments, so that
``user:value`` is found) and hexadecimal digits are patterns of their own; so is each long enough line of a value with
several lines. Patterns with many units are cut into pieces: together they cover the whole, and each alone is hidden.
"""

from __future__ import annotations

import base64
import html
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

from workflow_agent.security.secret import MIN_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["BREAKS", "Pattern", "patterns_of"]

#: Units in order; a unit is the spellings of one piece.
Pattern: TypeAlias = tuple[tuple[str, ...], ...]

#: What may stand between two characters without being part of the value: a line end, continued or not.
BREAKS: Final = ("\n", "\r\n", "\\\n", "\\\r\n")
_LONGEST: Final = 128
_PIECE: Final = 64
#: The 48 bytes whose base64 text is the alphabet itself: 0, 1, 2 ... 63 in six bits each.
_ALPHABET: Final = sum(number << 6 * (63 - number) for number in range(64)).to_bytes(48, "big")


def patterns_of(value: str) -> list[Pattern]:
    """Give every pattern under which a value is looked for."""
    whole = {_plain(value), *_encoded(value.encode())}
    lines = [line for line in value.splitlines() if len(line.strip()) >= MIN_CHARACTERS]
    if lines != [value]:
        whole.update(map(_plain, lines))
    return sorted({piece for pattern in whole for piece in _pieces(pattern)})


def _plain(text: str) -> Pattern:
    return tuple(_spellings(char) for char in text)


def _literal(text: str) -> Pattern:
    return tuple((char,) for char in text)


def _spellings(char: str) -> tuple[str, ...]:
    """Give the ways to write one character, the longest first, so that none hides a longer one."""
    octets = char.encode()
    found = {char, _hex(octets, "%{:02X}"), _hex(octets, "%{:02x}")}
    if not (char.isascii() and char.isalnum()):
        found |= {_json(char), _json(char, ascii_only=False), _json(_json(char)), html.escape(char)}
        found |= set(_escapes(char))
        found |= {_hex(octets, "\\x{:02x}"), _hex(octets, "\\x{:02X}"), f"\\{char}"}
    found |= {" ": {"+"}, "'": {"'\\''", "'\"'\"'", "&#39;", "&apos;"}, '"': {"&#34;"}, "\n": {"\r\n"}}.get(char, set())
    return tuple(sorted(found, key=lambda spelling: (-len(spelling), spelling)))


def _json(text: str, *, ascii_only: bool = True) -> str:
    return json.dumps(text, ensure_ascii=ascii_only)[1:-1]


def _escapes(char: str) -> Iterator[str]:
    units = char.encode("utf-16-be")
    pairs = [units[at : at + 2].hex() for at in range(0, len(units), 2)]
    yield "".join(f"\\u{pair}" for pair in pairs)
    yield "".join(f"\\u{pair.upper()}" for pair in pairs)


def _hex(octets: bytes, form: str) -> str:
    return "".join(form.format(octet) for octet in octets)


def _encoded(data: bytes) -> Iterator[Pattern]:
    yield _literal(data.hex())
    yield _literal(data.hex().upper())
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        yield _literal(encode(data).decode())
        for before in range(3):
            yield _inside(encode, data, before)


def _inside(encode: Callable[[bytes], bytes], data: bytes, before: int) -> Pattern:
    """Give the pattern of a value that begins at an alignment of a longer base64 text.

    The characters at its ends hold bits of the neighbours too, so each is any of those that hold the value's bits.
    """
    after = -(before + len(data)) % 3
    zeros, ones = (encode(fill * before + data + fill * after).decode() for fill in (b"\0", b"\xff"))
    alphabet = encode(_ALPHABET).decode()
    units = []
    for low, high in zip(zeros, ones, strict=True):
        known = ~(alphabet.index(low) ^ alphabet.index(high)) & 63
        units.append(tuple(char for at, char in enumerate(alphabet) if not (at ^ alphabet.index(low)) & known))
    return tuple(unit for unit in units if len(unit) < len(alphabet))


def _pieces(pattern: Pattern) -> Iterable[Pattern]:
    if len(pattern) <= _LONGEST:
        return [pattern]
    count = len(pattern) // _PIECE
    ends = [len(pattern) * number // count for number in range(count + 1)]
    return [pattern[start:end] for start, end in pairwise(ends)]
