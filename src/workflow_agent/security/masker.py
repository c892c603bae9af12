"""Text without secrets: whole texts, JSON values, and streams that come in pieces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from workflow_agent.security.secret import HIDDEN, Secret
from workflow_agent.security.spellings import BREAKS, Pattern, patterns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["LineMasker", "Masker", "StreamMasker"]

_BREAK: Final = r"(?:\\?\r?\n)?"
_LONGEST_BREAK: Final = max(map(len, BREAKS))
#: Where an excerpt was cut, beside its ends.
_ELLIPSIS: Final = "…"
#: Nothing shorter was cut; only long texts are cut at their beginning.
_SHORTEST_EXCERPT: Final = 60
_LONG_EXCERPT: Final = 500
#: Fewer characters of a secret tell nothing.
_TELLING: Final = 4
_BREAK_BEGINS: Final = frozenset({"", *(each[0] for each in BREAKS)})
#: Units by which a place is judged likely; every pattern has more.
_UNITS: Final = 3


class Masker:
    """Hides the values of secrets in every spelling that ``spellings`` knows, wherever line ends split them.

    Overlapping and touching finds become one ``***``.
    """

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._patterns = patterns = sorted({pattern for secret in secrets for pattern in patterns_of(secret.reveal())})
        #: Patterns by their first character, and by their first two.
        self._by_head: dict[str, list[Pattern]] = {}
        for pattern in patterns:
            for head in _heads(pattern):
                self._by_head.setdefault(head, []).append(pattern)
        #: Finds where a pattern can begin, by its first units; following the pattern decides.
        self._likely = re.compile(_beginning(patterns, _UNITS)) if patterns else None
        self._decided = max((_longest(pattern[:_UNITS]) for pattern in patterns), default=0)
        self._longest = max(map(_longest, patterns), default=0)

    def mask(self, text: str) -> str:
        """Give a text without the secrets."""
        spans = self.spans(text)
        if not spans:
            return text
        parts: list[str] = []
        done = 0
        for start, end in spans:
            parts += [text[done:start], HIDDEN]
            done = end
        return "".join([*parts, text[done:]])

    def mask_excerpt(self, text: str) -> str:
        """Give a text without the secrets, and without what is left of one that it was cut in, at an end or a ``…``."""
        masked = self.mask(text)
        if len(masked) < _SHORTEST_EXCERPT:
            return masked
        parts = [self._cut(part) for part in masked.split(_ELLIPSIS)]
        return _ELLIPSIS.join(parts)

    def _cut(self, text: str) -> str:
        """Hide the beginning of a secret at the end of a text; in a long one, the end of one at its beginning too."""
        begun = self.begun(text)
        if len(text) - begun >= _TELLING:
            text = text[:begun] + HIDDEN
        if len(text) < _LONG_EXCERPT:
            return text
        ends = [
            _walk(text, 0, pattern[at:]).end
            for pattern in self._patterns
            for at in range(1, len(pattern) - _TELLING + 1)
            if text[0] in {spelling[0] for spelling in pattern[at]}
        ]
        end = max(ends, default=-1)
        return HIDDEN + text[end:] if end >= _TELLING else text

    def mask_value(self, value: Any) -> Any:  # Any: a JSON value
        """Give a JSON value whose texts, keys too, are without the secrets; texts may be excerpts."""
        if isinstance(value, str):
            return self.mask_excerpt(value)
        if isinstance(value, Mapping):
            return {self.mask_value(key): self.mask_value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.mask_value(item) for item in value]
        return value

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Give where the secrets stand, in order and apart from each other."""
        found: list[tuple[int, int]] = []
        for start in self._starts(text, 0):
            end = max((_walk(text, start, pattern).end for pattern in self._at(text, start)), default=-1)
            if found and max(start, end) <= found[-1][1]:
                continue
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], end)
            elif end > start:
                found.append((start, end))
        return found

    def begun(self, text: str) -> int:
        """Give where the first secret begins that the text ends in the middle of; the text's length when none does."""
        short = max(0, len(text) - self._decided)  # from here the text is too short to tell what is likely
        for start in chain(self._starts(text, max(0, len(text) - self._longest)), range(short, len(text))):
            if any(_walk(text, start, pattern).open for pattern in self._at(text, start)):
                return start
        return len(text)

    def _at(self, text: str, start: int) -> Sequence[Pattern]:
        """Give the patterns that can begin at a place."""
        head = text[start : start + 2]
        return self._by_head.get(head if head[1:] not in _BREAK_BEGINS else head[:1], ())

    def _starts(self, text: str, position: int) -> Iterator[int]:
        """Give the places from `position` on at which a secret may begin, also those inside of another."""
        match = self._likely.search(text, position) if self._likely else None
        while match is not None and self._likely is not None:
            yield match.start()
            match = self._likely.search(text, match.start() + 1)


def _heads(pattern: Pattern) -> set[str]:
    heads = {spelling[0] for spelling in pattern[0]} | {spelling[:2] for spelling in pattern[0] if len(spelling) > 1}
    singles = [spelling for spelling in pattern[0] if len(spelling) == 1]
    return heads | {single + spelling[0] for single in singles for spelling in pattern[1]}


def _beginning(patterns: Iterable[Pattern], units: int) -> str:
    """Give an expression for the first units of patterns; each branch begins with a literal, which makes it fast."""
    follow: dict[str, list[Pattern]] = {}
    for first, *rest in patterns:
        for spelling in first:
            follow.setdefault(spelling, []).append(tuple(rest))
    return "|".join(_spelling(spelling) + _following(rests, units) for spelling, rests in sorted(follow.items()))


def _following(rests: list[Pattern], units: int) -> str:
    return "" if units == 1 else f"{_BREAK}(?:{_beginning(rests, units - 1)})"


def _spelling(text: str) -> str:
    return _BREAK.join(map(re.escape, text))


def _longest(pattern: Pattern) -> int:
    return sum(max(map(len, unit)) for unit in pattern) * (1 + _LONGEST_BREAK)


class _Walk(NamedTuple):
    """`end`: where the longest whole find ends, -1 when there is none. `open`: more text could make a longer one."""

    end: int
    open: bool


def _walk(text: str, start: int, pattern: Pattern) -> _Walk:
    """Follow a pattern from `start` in all its spellings at once; line ends may stand between any two characters."""
    places, is_open = {start}, False
    for number, unit in enumerate(pattern):
        if number and not _BREAK_BEGINS.isdisjoint(text[place : place + 1] for place in places):
            places, ends = _across_breaks(text, places)
            is_open = is_open or ends
        heads = {text[place : place + 1] for place in places}  # most places end here, cheaply
        steps = [_along(text, places, spelling) for spelling in unit if spelling[0] in heads or "" in heads]
        places = set[int]().union(*(reached for reached, _ in steps))
        is_open = is_open or any(ends for _, ends in steps)
        if not places:
            return _Walk(-1, is_open)
    return _Walk(max(places), is_open)


def _along(text: str, places: set[int], spelling: str) -> tuple[set[int], bool]:
    """Give the places behind a spelling that stands at one of `places`, and whether the text ends inside of it."""
    is_open = False
    for number, char in enumerate(spelling):
        if number:
            places, ends = _across_breaks(text, places)
            is_open = is_open or ends
        is_open = is_open or len(text) in places
        places = {place + 1 for place in places if text.startswith(char, place)}
        if not places:
            break
    return places, is_open


def _across_breaks(text: str, places: set[int]) -> tuple[set[int], bool]:
    """Give the places, and those behind a line end at one of them, and whether the text ends inside a line end."""
    reached, is_open = set(places), False
    for place in places:
        if text[place : place + 1] not in _BREAK_BEGINS:
            continue
        rest = text[place : place + _LONGEST_BREAK]
        is_open = is_open or any(each.startswith(rest) and each != rest for each in BREAKS)
        reached |= {place + len(each) for each in BREAKS if rest.startswith(each)}
    return reached, is_open


class StreamMasker:
    """Masks a text that comes in pieces, wherever it is cut; holds back only what may be the beginning of a secret."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._held = ""
        #: So many characters of what is held were shown as hidden already; -1: what was shown last is no secret.
        self._hidden = -1

    def feed(self, text: str) -> str:
        """Take a piece; give what can be shown now."""
        self._held += text
        return self._show(self._masker.begun(self._held))

    def end(self) -> str:
        """Give what was held back."""
        return self._show(len(self._held))

    def _show(self, until: int) -> str:
        """Show what stands before `until`; the rest stays held, a secret that reaches into it stays known."""
        parts: list[str] = []
        hidden = self._hidden
        done = max(0, hidden)
        for start, end in self._masker.spans(self._held):
            if start >= until:
                break
            if start > hidden:
                parts += [self._held[done:start], HIDDEN]
            hidden = max(hidden, end)
            done = max(done, end)
        parts.append(self._held[done:until])
        self._held = self._held[until:]
        self._hidden = hidden - until if hidden >= until else -1
        return "".join(parts)


class LineMasker:
    """Masks lines. A secret over several lines makes one of them."""

    def __init__(self, masker: Masker) -> None:
        self._stream = StreamMasker(masker)
        self._rest = ""

    def line(self, line: str) -> list[str]:
        """Take a line without its end; give the lines that can be shown now."""
        *lines, self._rest = (self._rest + self._stream.feed(f"{line}\n")).split("\n")
        return lines

    def end(self) -> list[str]:
        """Give the lines that were held back."""
        text = self._rest + self._stream.end()
        self._rest = ""
        return text.removesuffix("\n").split("\n") if text else []
