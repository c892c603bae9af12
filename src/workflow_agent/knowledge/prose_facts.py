"""Facts from sentences: ports that something listens on, users, files, services, settings with defaults, metrics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from workflow_agent.knowledge.configuration_facts import is_metric_name
from workflow_agent.knowledge.facts import Fact, FactKind
from workflow_agent.knowledge.place import paths_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.knowledge.place import PagePlace

__all__ = ["prose_facts"]

_SENTENCE: Final = re.compile(r"(?<=[.!?;])\s+(?=[A-Z`])")
#: `80 or 443`: which of them is meant is not said, and none is taken for granted.
_ALTERNATIVE: Final = re.compile(r"(?i),?\s+or\s+(?:on\s+)?(?:ports?\s+)?\d{2,5}\b")
_PORT: Final = re.compile(r"(?i)\b(?:ports?|tcp|udp)\s+(?:number\s+)?(\d{2,5})\b(?:\s+and\s+(\d{2,5})\b)?")
_COLON: Final = re.compile(r"(?:^|\s)(?:[\w.*]*|\[::\]):(\d{2,5})\b")
_LISTENS: Final = re.compile(
    r"(?i)\b(listen(s|ing)?|serv(es|ed|ing)|answers?|expos(es|ed)|accepts?|receives?|waits?|"
    r"metrics (are )?on|available|reach(able)? at|"
    r"runs on|uses|is on|are on|console|dashboard|interface|opens?)\b"
)
_FOREIGN: Final = re.compile(
    r"(?i)\b(outgoing|outbound|connect(s|ions?)? to|your \w+|beside|behind|reachable on its|"
    r"requires? access|sends? (them |it )?to|forward(s|ed)? to|remote|upstream|firewall|chat)\b"
)
_URL_PORT: Final = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\]):(\d{2,5})")
_USER: Final = re.compile(
    r"(?i)\b(?:(?:system |service )?(?:user|account)|(?:runs?|works?|running|executed|"
    r"started) (?:on \w+ )?as(?: the)?(?: (?:system )?(?:user|"
    r"account))?)\s+[`']?(?P<name>[A-Za-z_][\w-]{1,31})[`']?"
)
_UNIT: Final = re.compile(r"(?i)\b(?:unit|service|daemon)\s+(?:is\s+|called\s+|named\s+)?$")
_DEFAULTED: Final = re.compile(
    r"(?i)^`?(?P<key>[\w.-]+)`?\s*\((?:the )?default(?: is|s to|:)?\s*`?(?P<value>[^`)]+)`?\)"
)
_FLAG_DEFAULT: Final = re.compile(
    r"(?i)(?<!\w)(--?[a-z][\w.-]+)[^.;]{0,60}?\(?"
    r"(?:the )?default(?:s)?(?: value)? (?:is|to)\s+\"?([\w./:@-]+?)\"?(?=[\s),.;]|$)"
)
_METRIC_SUFFIX: Final = re.compile(
    r"_(total|bytes|seconds|up|info|ratio|count|sum|bucket|load1|celsius|percent|errors?)$|^\w+_up$"
)
_LOWEST, _HIGHEST = 10, 65535


def prose_facts(place: PagePlace, commands: set[str]) -> Iterator[Fact]:
    """Give the facts of a paragraph.

    Args:
        place: The paragraph.
        commands: Its pieces of code that are commands; they are read elsewhere.
    """
    element = place.element
    codes = [code for code in element.codes if code not in commands]
    if found := _DEFAULTED.match(element.text):
        yield place.fact(FactKind.SETTING, found["key"], 0.85, default=found["value"].strip(), said="list")
    for flag, value in _FLAG_DEFAULT.findall(element.text):
        if flag in codes:
            yield place.fact(FactKind.SETTING, flag, 0.8, default=value.strip(), said="sentence")
    for path in dict.fromkeys(path for code in (*codes, _plain_paths(element.text)) for path in paths_in(code)):
        yield place.fact(FactKind.FILE, path, 0.8)
    for sentence in _SENTENCE.split(element.text):
        yield from _ports(place, sentence)
        yield from _users(place, sentence, codes)
    for code in codes:
        yield from _services(place, code)
        yield from _metrics(place, code)


def _plain_paths(text: str) -> str:
    """Give a text without addresses of pages, in which paths mean something else."""
    return re.sub(r"https?://\S+", " ", text)


def _ports(place: PagePlace, sentence: str) -> Iterator[Fact]:
    for found in _URL_PORT.finditer(sentence):
        yield place.fact(FactKind.PORT, found[1], 0.8, quote=sentence)
    if _FOREIGN.search(sentence) or "-p " in sentence:
        return
    listens = _LISTENS.search(sentence)
    sure = [found for found in _PORT.finditer(sentence) if not _ALTERNATIVE.match(sentence, found.end())]
    numbers = [number for found in sure for number in found.groups() if number]
    if listens:
        numbers += _COLON.findall(re.sub(r"https?://\S+", " ", sentence))
        for number in dict.fromkeys(numbers):
            if _LOWEST <= int(number) <= _HIGHEST:
                yield place.fact(FactKind.PORT, number, 0.85, quote=sentence)


def _users(place: PagePlace, sentence: str, codes: list[str]) -> Iterator[Fact]:
    for found in _USER.finditer(sentence):
        name = found["name"]
        quoted = name in codes
        if quoted or ("as user" in sentence and name not in _COMMON):
            yield place.fact(FactKind.USER, name, 0.85, quote=sentence)


def _services(place: PagePlace, code: str) -> Iterator[Fact]:
    if re.fullmatch(r"[\w@.-]+\.service", code):
        yield place.fact(FactKind.SERVICE, code.removesuffix(".service"), 0.9, quote=code)
        return
    before, found, _ = place.element.text.partition(code)
    if found and _UNIT.search(before) and re.fullmatch(r"[\w@.-]+", code):
        yield place.fact(FactKind.SERVICE, code, 0.75, quote=code)


def _metrics(place: PagePlace, code: str) -> Iterator[Fact]:
    if not is_metric_name(code) or "." in code:
        return
    said = re.search(r"(?i)\bmetrics?\b", place.element.text)
    if _METRIC_SUFFIX.search(code) or said:
        yield place.fact(FactKind.METRIC, code, 0.7, quote=code)


_COMMON: frozenset[str] = frozenset(
    {"a", "an", "the", "is", "and", "or", "with", "for", "that", "who", "has", "your", "root"}
)
