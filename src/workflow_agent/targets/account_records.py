"""Account files hold records of many owners: one owner's records are taken out, the others' stay (rule 24)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "RecordConflictError",
    "changed_records",
    "holds_records",
    "is_copy_of_records",
    "record_texts",
    "without_records",
]

_FILES = re.compile(rb"/etc/(passwd|shadow|group|gshadow|subuid|subgid)")
_MEMBERS = re.compile(r"[^:]*:[^:]*:[^:]*:[^:]*")  # group(5), gshadow(5): four fields, the last a list of members


class RecordConflictError(Exception):
    """Records that a transaction wrote were changed since: `names` as they are told, `records` as files have them."""

    def __init__(self, names: list[str], records: list[str] | None = None) -> None:
        super().__init__(", ".join(names))
        self.names = names
        self.records = names if records is None else records


def holds_records(path: bytes) -> bool:
    """Say whether a file is one of passwd, shadow, group, gshadow, subuid, subgid in ``/etc``."""
    return _FILES.fullmatch(path) is not None


def is_copy_of_records(path: bytes) -> bool:
    """Say whether a file is the copy that useradd(8) and passwd(1) keep of the state before: ``/etc/passwd-``."""
    return path.endswith(b"-") and holds_records(path[:-1])


def changed_records(before: bytes, after: bytes) -> dict[str, tuple[str | None, str | None]]:
    """Compare two states of an account file.

    Returns:
        Name of each record that differs, with its line before and after (None: it is not there).
    """
    old, new = _records(before), _records(after)
    return {
        name: (old.get(name), new.get(name))
        for name in [*old, *(set(new) - set(old))]
        if old.get(name) != new.get(name)
    }


def without_records(live: bytes, records: Mapping[str, tuple[str | None, str | None]]) -> bytes:
    """Take changes of records back in an account file that others have changed since.

    Args:
        live: The file now.
        records: What was changed, as :func:`changed_records` gives it.

    Raises:
        RecordConflictError: one of these very records is another one now.
    """
    now = _records(live)
    conflicts = []
    for name, (before, after) in records.items():
        found = now.get(name)
        if found == after:
            result = before
        elif before is not None and after is not None and found is not None and _same_but_members(before, after, found):
            result = _with_members_back(before, after, found)
        else:
            conflicts.append(name)
            continue
        if result is None:
            del now[name]
        else:
            now[name] = result  # keeps its place; one that comes back goes to the end
    if conflicts:
        raise RecordConflictError(conflicts)
    return "".join(f"{line}\n" for line in now.values()).encode("utf-8", "surrogateescape")


def record_texts(content: bytes) -> dict[str, str]:
    """Give the lines of an account file by the names of their records."""
    return _records(content)


def _records(content: bytes) -> dict[str, str]:
    """Read lines by the name in their first field; a second line of a name (subuid has such) gets a number."""
    found: dict[str, str] = {}
    for line in content.decode("utf-8", "surrogateescape").split("\n"):
        if not line:
            continue
        name, number = line.partition(":")[0], 1
        key = name
        while key in found:
            number += 1
            key = f"{name} {number}"
        found[key] = line
    return found


def _same_but_members(*lines: str) -> bool:
    heads = {line.rpartition(":")[0] for line in lines}
    return len(heads) == 1 and all(map(_MEMBERS.fullmatch, lines))


def _with_members_back(before: str, after: str, found: str) -> str:
    old, new, now = (line.rpartition(":")[2].split(",") for line in (before, after, found))
    members = [name for name in now if name and (name in old or name not in new)]
    members += [name for name in old if name and name not in new and name not in members]
    return f"{found.rpartition(':')[0]}:{','.join(members)}"
