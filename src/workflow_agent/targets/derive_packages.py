"""Which packages changed between two states of dpkg's database. Pure; hostile content does not raise.

Source: dpkg(1) for the states, deb-version(7) for the order of versions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from workflow_agent.model.system import escape_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    #: What a person is told about one package, with JSON values.
    Fact: TypeAlias = dict[str, Any]

__all__ = ["is_newer", "package_changes"]

_INSTALLED = frozenset({"installed", "triggers-awaited", "triggers-pending"})
_UNFINISHED = frozenset({"half-installed", "unpacked", "half-configured"})
_UNREADABLE = "the package database has an entry that cannot be read"
_VERSION_PART = re.compile(r"(\D*)(\d*)")


def package_changes(before: bytes, after: bytes, notes: list[str]) -> list[Fact]:
    """Compare two contents of dpkg's status file; what a person should read goes to `notes`."""
    if before == after:
        return []
    # Stanzas are compared as bytes first: a status file has thousands and a run changes a few.
    old, new = set(before.split(b"\n\n")), set(after.split(b"\n\n"))
    was, now = _stanzas(old - new, None), _stanzas(new - old, notes)
    twins = _several_architectures([*was, *now])
    facts = []
    for key in sorted({*was, *now}):
        name = ":".join(key) if key[0] in twins else key[0]
        fact = _package(name, was.get(key, ("", "")), now.get(key, ("", "")), notes)
        if fact:
            facts.append(fact)
    return facts


def _several_architectures(keys: Iterable[tuple[str, str]]) -> set[str]:
    seen: dict[str, str] = {}
    return {name for name, architecture in keys if seen.setdefault(name, architecture) != architecture}


def _stanzas(raw: Iterable[bytes], notes: list[str] | None) -> dict[tuple[str, str], tuple[str, str]]:
    """Map (name, architecture) to (state, version); the last stanza of a package wins."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for stanza in sorted(raw):
        if not stanza.strip():
            continue
        fields: dict[bytes, str] = {}
        for line in stanza.split(b"\n"):
            name, colon, value = line.partition(b":")
            if colon and not line.startswith((b" ", b"\t")):
                fields.setdefault(name.lower(), escape_path(value.strip()))
        words = fields.get(b"status", "").split()
        if b"package" not in fields or len(words) != 3:  # noqa: PLR2004  # want, error flag, state
            if notes is not None and _UNREADABLE not in notes:
                notes.append(_UNREADABLE)
            continue
        key = (fields[b"package"], fields.get(b"architecture", ""))
        found[key] = (words[2], fields.get(b"version", ""))
    return found


def _package(name: str, was: tuple[str, str], now: tuple[str, str], notes: list[str]) -> Fact | None:
    (state_was, before), (state, version) = was, now
    if state in _UNFINISHED:
        notes.append(f"package {name} is left {state}")
        return None
    if state in _INSTALLED and state_was not in _INSTALLED:
        return {"name": name, "action": "installed", "version": version, "before": None}
    if state_was in _INSTALLED and state not in _INSTALLED:
        return {"name": name, "action": "removed", "version": before, "before": before}
    if state in _INSTALLED and version != before:
        action = "upgraded" if is_newer(version, before) else "downgraded"
        return {"name": name, "action": action, "version": version, "before": before}
    return None


def is_newer(version: str, than: str) -> bool:
    """Compare two Debian package versions. Source: deb-version(7)."""
    return _version_key(version) > _version_key(than)


def _version_key(version: str) -> tuple[Any, ...]:  # Any: nested tuples of numbers and texts
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "0")
    return (_number(epoch), _part_key(upstream), _part_key(revision))


def _number(digits: str) -> tuple[int, str]:
    """Order digits by value, however many there are."""
    stripped = digits.lstrip("0")
    return len(stripped), stripped


def _part_key(text: str) -> tuple[Any, ...]:  # Any: nested tuples of numbers and texts
    # The last match is always empty and stands for the end, which a tilde sorts before.
    return tuple((_letters_key(letters), _number(digits)) for letters, digits in _VERSION_PART.findall(text))


def _letters_key(letters: str) -> tuple[int, ...]:
    """Order: tilde, end, letters, everything else."""
    return (*(-1 if char == "~" else ord(char) + (0 if char.isalpha() else 256) for char in letters), 0)
