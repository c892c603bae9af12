"""Files of update-alternatives(1): each program that can do a job is a record, taken out by itself (rule 24).

What belongs here: the files in ``/var/lib/dpkg/alternatives`` and what their links have to be, on contents alone. What
does not: the links of a target (``alternative_links``).

Source: update-alternatives(1), and dpkg's ``utils/update-alternatives.c`` for the order of lines: status, link, name
and link of each slave, an empty line; then of each choice its path, its priority, a line for each slave; an empty line.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from workflow_agent.model.records import dataclass
from workflow_agent.targets.account_records import RecordConflictError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "FOLDER",
    "Alternatives",
    "changed_records",
    "chosen",
    "holds_records",
    "links",
    "parse",
    "record_texts",
    "without_records",
    "written",
]

_FILES = b"/var/lib/dpkg/alternatives/"
#: Where links lead to the choices.
FOLDER = "/etc/alternatives"
_AUTO, _MANUAL = "auto", "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternatives:
    """One group: its status, its link, slaves by name with their links, choices by path with priority and slaves."""

    status: str
    link: str
    slaves: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[int, Mapping[str, str]]] = field(default_factory=dict)


def holds_records(path: bytes) -> bool:
    """Say whether a file is that of a group of alternatives."""
    return path.startswith(_FILES) and b"/" not in path[len(_FILES) :]


def parse(content: bytes) -> Alternatives | None:
    """Read a file; None for one that is empty or not understood."""
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    try:
        end = lines.index("", 2)
        names, places = lines[2:end:2], lines[3:end:2]
        slaves = dict(zip(names, places, strict=True))
        choices: dict[str, tuple[int, Mapping[str, str]]] = {}
        at = end + 1
        while lines[at]:
            files = lines[at + 2 : at + 2 + len(slaves)]
            choices[lines[at]] = int(lines[at + 1]), {k: v for k, v in zip(slaves, files, strict=True) if v}
            at += 2 + len(slaves)
    except (ValueError, IndexError):
        return None
    known = lines[0] in {_AUTO, _MANUAL} and lines[1].startswith("/")
    return Alternatives(status=lines[0], link=lines[1], slaves=slaves, choices=choices) if known else None


def written(group: Alternatives) -> bytes:
    """Write a file as update-alternatives does: sorted, without slaves that no choice has; nothing without choices."""
    if not group.choices:
        return b""
    used = {name for _, files in group.choices.values() for name in files}
    slaves = sorted(name for name in group.slaves if name in used)
    lines = [group.status, group.link]
    lines += [text for name in slaves for text in (name, group.slaves[name])]
    lines.append("")
    for path, (priority, files) in sorted(group.choices.items()):
        lines += [path, str(priority), *(files.get(name, "") for name in slaves)]
    return ("\n".join([*lines, ""]) + "\n").encode("utf-8", "surrogateescape")


def changed_records(before: bytes, after: bytes) -> dict[str, tuple[str | None, str | None]]:
    """Compare two states of a file: its choices, and what is said of the group itself."""
    old, new = (dict(_records(parse(content))) for content in (before, after))
    return {
        name: (old.get(name), new.get(name))
        for name in [*old, *(one for one in new if one not in old)]
        if old.get(name) != new.get(name)
    }


def record_texts(content: bytes) -> dict[str, str]:
    """Give the texts of a file's records by name."""
    return dict(_records(parse(content)))


def _records(group: Alternatives | None) -> Iterator[tuple[str, str]]:
    if group is None:
        return
    yield "status", group.status
    yield "link", group.link
    for name, place in group.slaves.items():
        yield f"slave {name}", place
    for path, (priority, files) in group.choices.items():
        yield f"choice {path}", "\n".join([str(priority), *(f"{name} {file}" for name, file in sorted(files.items()))])


def without_records(live: bytes, records: Mapping[str, tuple[str | None, str | None]]) -> bytes:
    """Take changes of records back in a file that others have changed since; empty where no choice is left.

    What is said of the group itself stays as long as a choice is left, but for what the run changed and nobody since.

    Raises:
        RecordConflictError: a choice of the run's own is another one now.
    """
    group = parse(live)
    now = dict(_records(group))
    if group is None:
        raise RecordConflictError(["the alternatives cannot be read"], list(records))
    conflicts: dict[str, str] = {}
    for name, (before, after) in records.items():
        found = now.get(name)
        is_choice = name.startswith("choice ")
        if found == before:
            continue
        if found != after and is_choice:
            state = "not there" if found is None else "changed"
            conflicts[name] = f"alternative {name.removeprefix('choice ')} was changed since: it is {state}"
        elif found == after and before is not None:
            now[name] = before
        elif found == after and is_choice:
            del now[name]
    if conflicts:
        raise RecordConflictError(list(conflicts.values()), list(conflicts))
    return written(_group(now))


def _group(records: Mapping[str, str]) -> Alternatives:
    choices: dict[str, tuple[int, Mapping[str, str]]] = {}
    slaves: dict[str, str] = {}
    for name, text in records.items():
        kind, _, key = name.partition(" ")
        if kind == "slave":
            slaves[key] = text
        elif kind == "choice":
            priority, *files = text.split("\n")
            choices[key] = int(priority), dict(file.split(" ", 1) for file in files)
    return Alternatives(status=records["status"], link=records["link"], slaves=slaves, choices=choices)


def chosen(group: Alternatives, current: str | None) -> tuple[str | None, bool]:
    """Say which choice the links of a group lead to, and whether that is by a person's wish.

    Args:
        group: The group.
        current: Where its link in ``/etc/alternatives`` leads now.
    """
    if group.status == _MANUAL and current in group.choices:
        return current, True
    best = max(group.choices.items(), key=lambda item: item[1][0], default=None)
    return (None if best is None else best[0]), False


def links(name: str, group: Alternatives | None, choice: str | None) -> dict[str, str]:
    """Give the links that a choice of a group has: each with where it leads."""
    if group is None or choice is None:
        return {}
    files = {name: choice, **group.choices[choice][1]}
    places = {name: group.link, **group.slaves}
    found = {f"{FOLDER}/{one}": file for one, file in files.items()}
    return found | {places[one]: f"{FOLDER}/{one}" for one in files}
