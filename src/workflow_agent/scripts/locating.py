"""Findings in a rendered script, told by the template's line and by the manifest keys whose values are in it."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.system import Finding, LineOrigin, Script

__all__ = ["locate_findings"]

_ASSIGNED = re.compile(r"(?:^|[\s;(])(\w+)\+?=|\bfor\s+(\w+)\s+in\b")
_USED = re.compile(r"\$\{?[!#]?(\w+)")
_OPENS_LIST = re.compile(r"(\w+)\+?=\([^)]*$")
#: How often a value is followed from one variable to the next.
_MAX_STEPS = 4


def locate_findings(findings: Sequence[Finding], script: Script) -> list[Finding]:
    """Give each finding its `origin` and `keys`; unchanged where the script does not say where it came from.

    A value that a template puts into a variable first (``name={{ value }}``) counts at every line that uses the
    variable.
    """
    if not script.origins:
        return list(findings)
    lines = script.text.split("\n")
    variables = _variables(lines, script.origins)
    return [_located(finding, script, lines, variables) for finding in findings]


def _located(
    finding: Finding, script: Script, lines: Sequence[str], variables: Mapping[str, frozenset[str]]
) -> Finding:
    origin = _origin(script.origins, finding.line)
    if origin is None:
        return finding
    text = lines[finding.line - 1] if finding.line <= len(lines) else ""
    names = {*origin.names, *(name for used in _USED.findall(text) for name in variables.get(used, ()))}
    return replace(
        finding,
        origin=f"{origin.template}:{origin.line + finding.line - origin.first}",
        keys=tuple(sorted(_key(name, script.provenance.action) for name in names)),
    )


def _origin(origins: Sequence[LineOrigin], line: int) -> LineOrigin | None:
    index = bisect_right(origins, line, key=attrgetter("first"))
    return origins[index - 1] if index else None


def _key(name: str, action: str) -> str:
    """Give the key of a value that a template names: a parameter, a fact, or a value of the action's own."""
    root = name.partition(".")[0]
    return name if root in ("parameters", "facts") else f"actions.{action}.with.{name}"


def _variables(lines: Sequence[str], origins: Sequence[LineOrigin]) -> dict[str, frozenset[str]]:
    """Give the values that are in each of the script's variables, as far as assignments tell."""
    given: dict[str, set[str]] = {}
    copies: dict[str, set[str]] = {}
    listing = ""
    for number, line in enumerate(lines, 1):
        origin = _origin(origins, number)
        names = set(origin.names) if origin is not None and origin.first == number else set()
        targets = [first or second for first, second in _ASSIGNED.findall(line)] + ([listing] if listing else [])
        for target in targets:
            given.setdefault(target, set()).update(names)
            copies.setdefault(target, set()).update(_USED.findall(line))
        opened = _OPENS_LIST.search(line)
        listing = opened[1] if opened else "" if line.lstrip().startswith(")") else listing
    for _ in range(_MAX_STEPS):
        for target, sources in copies.items():
            given[target] = given[target].union(*(given.get(source, ()) for source in sources))
    return {name: frozenset(names) for name, names in given.items()}
