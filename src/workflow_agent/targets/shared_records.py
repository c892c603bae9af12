"""Files in which packages keep records of many owners: one owner's records are taken out, the others' stay (rule 24).

What belongs here: which files these are, and the merge, on contents alone. What does not: account files, whose lines
have fields of their own (``account_records``), and where contents come from (``merging``).

Bytes of records of others are kept, and so is the order of records. Sources: deb-control(5), dpkg's
``lib/dpkg/dump.c`` and ``db-fsys-divert.c``, apt's ``apt-pkg/depcache.cc``, debconf-devel(7).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from workflow_agent.model.records import dataclass
from workflow_agent.targets import account_records, alternative_records
from workflow_agent.targets.account_records import RecordConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

__all__ = [
    "STATES",
    "STATUS",
    "RecordConflictError",
    "Records",
    "changed_records",
    "holds_records",
    "is_left_to_others",
    "record_texts",
    "same_records",
    "without_records",
]

#: What was changed: name of a record to its text before and after (None: it is not there).
Records: TypeAlias = "Mapping[str, tuple[str | None, str | None]]"

STATUS = b"/var/lib/dpkg/status"
STATES = b"/var/lib/apt/extended_states"

#: Copies of a state before, and what is made anew: whoever wrote last keeps it, and nothing has to be merged.
_LEFT = (
    rb"/var/lib/dpkg/(status-old|diversions-old|statoverride-old|available(-old)?)"
    rb"|/var/cache/debconf/[a-z]+\.dat-old"
    rb"|/var/lib/ucf/(hashfile|registry)\.[0-9]+"
    rb"|/etc/ld\.so\.cache|/var/cache/(ldconfig|man|fontconfig)/.*"
    rb"|/var/log/apt/eipp\.log\.xz"
)
_LEFT_BELOW = (b"/etc/", b"/var/")
_TRIGGER_WORDS = frozenset({"installed", "triggers-pending", "triggers-awaited"})
_TRIGGER_FIELDS = frozenset({"Triggers-Pending", "Triggers-Awaited"})
_STANZA = r"[^\n].*?(?:\n{2,}|\n?\Z)"
_FIELD = r"(?P<name>[^\s:]+):(?P<value>.*(?:\n[ \t].*)*)\n?"


@dataclass(frozen=True, slots=True)
class _Format:
    """How one kind of file is read: texts of records by name, which joined are the file; `noun` is for people."""

    noun: str
    split: Callable[[str], dict[str, str]]
    end: str = "\n"  # of a record that another one follows
    lists: frozenset[str] = frozenset()  # fields that name several owners
    fields: bool = False


# -- which files ---------------------------------------------------------------------------------------------------


def holds_records(path: bytes) -> bool:
    """Say whether a file holds records of many owners that can be merged."""
    return _own_module(path) is not None or _format(path) is not None


def is_left_to_others(path: bytes) -> bool:
    """Say whether a file is a copy or a cache: where others wrote it since, it stays as they left it."""
    if not path.startswith(_LEFT_BELOW):
        return False
    return account_records.is_copy_of_records(path) or re.fullmatch(_LEFT, path, re.DOTALL) is not None


def _own_module(path: bytes) -> ModuleType | None:
    """Give the module of files that are no plain list of records."""
    return next((one for one in (account_records, alternative_records) if one.holds_records(path)), None)


def _format(path: bytes) -> _Format | None:
    return next((form for pattern, form in _formats() if pattern.fullmatch(path)), None)


# -- contents ------------------------------------------------------------------------------------------------------


def changed_records(path: bytes, before: bytes, after: bytes) -> dict[str, tuple[str | None, str | None]]:
    """Compare two states of a file with records; empty for a file that holds none.

    Returns:
        Name of each record that differs, with its text before and after (None: it is not there).
    """
    if own := _own_module(path):
        return dict(own.changed_records(before, after))
    form = _format(path)
    if form is None:
        return {}
    old, new = form.split(_text(before)), form.split(_text(after))
    return {
        name: (old.get(name), new.get(name))
        for name in [*old, *(name for name in new if name not in old)]
        if _trimmed(old.get(name)) != _trimmed(new.get(name))
    }


def record_texts(path: bytes, content: bytes) -> dict[str, str]:
    """Give the texts of a file's records by name; empty for a file that holds none."""
    if own := _own_module(path):
        return dict(own.record_texts(content))
    form = _format(path)
    return {} if form is None else form.split(_text(content))


def same_records(path: bytes, one: bytes, other: bytes) -> bool:
    """Say whether two states of a file differ in nothing but the order of its records."""
    return one == other or not changed_records(path, one, other)


def without_records(path: bytes, live: bytes, records: Records) -> bytes:
    """Take changes of records back in a file that others have changed since.

    Args:
        path: Which file it is.
        live: The file now.
        records: What was changed, as :func:`changed_records` gives it.

    Raises:
        RecordConflictError: some of these very records are others now; says which, and how.
    """
    if alternative_records.holds_records(path):
        return alternative_records.without_records(live, records)
    form = _format(path)
    if form is None:
        try:
            return account_records.without_records(live, records)
        except RecordConflictError as error:
            told = [f"record {name} was changed since" for name in error.names]
            raise RecordConflictError(told, error.records) from error
    now = form.split(_text(live))
    conflicts: dict[str, str] = {}
    for name, (before, after) in records.items():
        try:
            result = _taken_back(form, before, after, now.get(name))
        except _ChangedError:
            conflicts[name] = _story(form, name, after, now.get(name))
            continue
        if result is None:
            now.pop(name, None)
        else:
            _put(now, name, result, form.end)
    if conflicts:
        raise RecordConflictError(list(conflicts.values()), list(conflicts))
    return "".join(_ended(now, form.end)).encode("utf-8", "surrogateescape")


class _ChangedError(Exception):
    """A record is neither what it was before nor what was made of it."""


def _taken_back(form: _Format, before: str | None, after: str | None, found: str | None) -> str | None:
    if _trimmed(found) == _trimmed(after):
        return before
    if not form.fields or after is None or found is None:
        raise _ChangedError
    old, new, now = (_fields(text) for text in (before or "", after, found))
    return _merged(form, old, new, now, whole=before is None)


def _merged(form: _Format, old: dict[str, str], new: dict[str, str], now: dict[str, str], *, whole: bool) -> str | None:
    """Take back the fields that were changed; a `whole` record that came goes, unless it has other owners by now."""
    if whole:
        _require_untouched(form, new, now)
        owners = {name: _members_back("", new.get(name, ""), now.get(name, "")) for name in form.lists}
        if not any(owners.values()):
            return None
        return _joined(now | {name: value for name, value in owners.items() if value})
    result = dict(now)
    for name in [*old, *(name for name in new if name not in old)]:
        before, after, found = old.get(name), new.get(name), now.get(name)
        if before == after:
            continue
        if name in form.lists and found is not None:
            result[name] = _members_back(before or "", after or "", found)
        elif found != after:
            raise _ChangedError
        elif before is None:
            del result[name]
        else:
            result[name] = before
    order = [name for name in old if name in result]
    return _joined({name: result[name] for name in [*order, *(name for name in result if name not in old)]})


def _require_untouched(form: _Format, new: dict[str, str], now: dict[str, str]) -> None:
    """Refuse a record that somebody changed: waiting triggers and further owners are no change of it."""
    for name in {**new, **now}:
        if name in _TRIGGER_FIELDS or name in form.lists or new.get(name) == now.get(name):
            continue
        words, found = new.get(name, "").split(), now.get(name, "").split()
        same = name == "Status" and words[:-1] == found[:-1] and {*words[-1:], *found[-1:]} <= _TRIGGER_WORDS
        if not same:
            raise _ChangedError


def _members_back(before: str, after: str, found: str) -> str:
    old, new, now = ([part.strip() for part in text.split(",") if part.strip()] for text in (before, after, found))
    members = [name for name in now if name in old or name not in new]
    members += [name for name in old if name not in new and name not in members]
    return f" {', '.join(members)}" if members else ""


def _put(records: dict[str, str], name: str, text: str, end: str) -> None:
    """Put a record in its place; one that comes back goes where the order of names, if there is one, has it."""
    names = list(records)
    if name in records or names != sorted(names) or not names or name > names[-1]:
        records[name] = text
        return
    place = bisect_left(names, name)
    later = {other: records.pop(other) for other in names[place:]}
    records[name] = text if text.endswith(end) else text.rstrip("\n") + end
    records.update(later)


def _ended(records: dict[str, str], end: str) -> list[str]:
    """Give the texts so that each one ends where another follows: the last one of a file may not have."""
    texts = list(records.values())
    return [text if text.endswith(end) else text.rstrip("\n") + end for text in texts[:-1]] + texts[-1:]


def _story(form: _Format, name: str, after: str | None, found: str | None) -> str:
    """Tell a conflict: ``package nginx was changed since: 1.2 -> 1.3``."""
    shown = f"{form.noun} {name.partition(' ')[0] if form.fields else name} was changed since"
    new, now = (_fields(text) if form.fields and text is not None else {} for text in (after, found))
    for field in ("Version", "Status", "Auto-Installed"):  # never an answer: it may be a password
        if new.get(field) != now.get(field) and found is not None and after is not None:
            return f"{shown}: {new.get(field, '').strip() or 'nothing'} -> {now.get(field, '').strip() or 'nothing'}"
    if found is None or after is None:
        known = (new or now).get("Version", "").strip() or "there"
        return f"{shown}: {known} -> not there" if found is None else f"{shown}: not there -> {known}"
    return shown


# -- formats -------------------------------------------------------------------------------------------------------


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _trimmed(text: str | None) -> str | None:
    return None if text is None else text.rstrip("\n")


def _fields(stanza: str) -> dict[str, str]:
    return {match["name"]: match["value"] for match in re.finditer(_FIELD, stanza)}


def _joined(fields: dict[str, str]) -> str:
    return "".join(f"{name}:{value}\n" for name, value in fields.items()) + "\n"


def _numbered(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Tell records of one name apart by a number."""
    found: dict[str, str] = {}
    for name, text in pairs:
        key, number = name, 1
        while key in found:
            number += 1
            key = f"{name} {number}"
        found[key] = text
    return found


def _packages(text: str) -> dict[str, str]:
    """Read stanzas by package and architecture: two architectures of a library are two packages."""
    stanzas = [match[0] for match in re.finditer(_STANZA, text, re.DOTALL)]
    heads = [_fields(stanza) for stanza in stanzas]
    # Joined so that names in order are stanzas in dpkg's order.
    names = [" ".join(head.get(field, "").strip() for field in ("Package", "Architecture")) for head in heads]
    return _numbered(list(zip(names, stanzas, strict=True)))


def _questions(text: str) -> dict[str, str]:
    stanzas = [match[0] for match in re.finditer(_STANZA, text, re.DOTALL)]
    return _numbered([(_fields(stanza).get("Name", "").strip(), stanza) for stanza in stanzas])


def _lines(text: str) -> dict[str, str]:
    return _numbered([(line.rstrip("\n"), line) for line in text.splitlines(keepends=True)])


def _last_words(text: str) -> dict[str, str]:
    """Read lines that end with the path that they are about: a mode (statoverride), a sum (ucf)."""
    pairs = []
    for line in text.splitlines(keepends=True):
        position = line.find("/")
        pairs.append((line[position:].rstrip("\n") if position >= 0 else line.rstrip("\n"), line))
    return _numbered(pairs)


def _triples(text: str) -> dict[str, str]:
    """Read diversions: three lines each, the first is the name of the file."""
    lines = text.splitlines(keepends=True)
    blocks = [lines[at : at + 3] for at in range(0, len(lines), 3)]
    return _numbered([(block[0].rstrip("\n"), "".join(block)) for block in blocks])


@cache
def _formats() -> tuple[tuple[re.Pattern[bytes], _Format], ...]:  # late: most commands only pass by
    patterns = (
        (re.escape(STATUS), _Format("package", _packages, end="\n\n", fields=True)),
        (re.escape(STATES), _Format("mark of package", _packages, end="\n\n", fields=True)),
        (
            rb"/var/cache/debconf/(config|templates|passwords)\.dat",
            _Format("debconf record", _questions, end="\n\n", fields=True, lists=frozenset({"Owners"})),
        ),
        (rb"/var/lib/dpkg/diversions", _Format("diversion of", _triples)),
        (rb"/var/lib/dpkg/statoverride", _Format("override of", _last_words)),
        (rb"/var/lib/dpkg/triggers/(?!Lock|Unincorp)[^/]+", _Format("trigger", _lines)),
        (rb"/var/lib/ucf/(hashfile|registry)", _Format("ucf record of", _last_words)),
    )
    return tuple((re.compile(pattern), form) for pattern, form in patterns)
