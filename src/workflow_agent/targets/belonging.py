"""Files that belong together: they are restored together, or not at all (rule 10).

One table of rules, on paths alone. What belongs here: which group a path is of. What does not: what is done about a
group (``deciding``), and whether somebody has one of its files open (``held_groups``).

Sources: sqlite.org/tempfiles.html and sqlite.org/walformat.html (names of journals), passwd(5), shadow(5), group(5),
gshadow(5), PostgreSQL's documentation on its file layout (``PG_VERSION``), MariaDB's on InnoDB (``ibdata1``), deb(5)
and dpkg's ``lib/dpkg/db-fsys-files.c`` (``info/PACKAGE[:ARCHITECTURE].NAME``).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from workflow_agent.model.system import escape_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["CLUSTER_MARKS", "DATABASE_KINDS", "Group", "GroupKind", "group_of", "groups_of", "sqlite_base"]


class GroupKind(StrEnum):
    """Kinds of groups, as people read them."""

    SQLITE = "SQLite database"
    POSTGRESQL = "PostgreSQL cluster"
    MARIADB = "MariaDB data folder"
    ACCOUNTS = "account files"
    PACKAGE = "package"


class Group(NamedTuple):
    """A group: its kind, and the path or name that tells it from others of the kind."""

    kind: GroupKind
    name: bytes

    @property
    def shown(self) -> str:
        """As people read it: ``SQLite database /srv/app.db``."""
        return f"{self.kind.value} {escape_path(self.name)}".strip()


#: Kinds whose owner keeps their files open, and has to be stopped before any of them is exchanged.
DATABASE_KINDS = frozenset({GroupKind.SQLITE, GroupKind.POSTGRESQL, GroupKind.MARIADB})
#: A folder that holds a file of this name is a database cluster, with everything below it.
CLUSTER_MARKS = {b"PG_VERSION": GroupKind.POSTGRESQL, b"ibdata1": GroupKind.MARIADB}
_NAMED_BELOW = (b"/etc/", b"/var/lib/dpkg/info/")
_SQLITE_ENDS = (b"-wal", b"-shm", b"-journal")
#: Pattern to kind; what its group `name` matches tells the group.
_BY_NAME = (
    (re.compile(rb"/etc/(passwd|shadow|group|gshadow)()"), 2, GroupKind.ACCOUNTS),
    (re.compile(rb"/var/lib/dpkg/info/([a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?\.[a-z0-9]+"), 1, GroupKind.PACKAGE),
)


def group_of(
    path: bytes, clusters: Collection[tuple[bytes, GroupKind]] = (), bases: Collection[bytes] = ()
) -> Group | None:
    """Say which group a path belongs to; None for a file of its own.

    Args:
        path: Absolute on the target.
        clusters: Folders that are known to be database clusters, with their kinds.
        bases: Files that are known to be SQLite databases because a journal of theirs was seen.
    """
    for pattern, number, kind in _BY_NAME if path.startswith(_NAMED_BELOW) else ():
        if match := pattern.fullmatch(path):
            return Group(kind, match[number])
    for folder, kind in sorted(clusters):  # a cluster's own tables have the mark as well: the outermost counts
        if path == folder or path.startswith(folder + b"/"):
            return Group(kind, folder)
    if not bases:
        return None
    base = next((one for one in (path, sqlite_base(path)) if one in bases), None)
    return None if base is None else Group(GroupKind.SQLITE, base)


def groups_of(paths: Iterable[bytes]) -> dict[bytes, Group]:
    """Sort paths into groups, by what they say of each other; files of their own are in none."""
    every = list(paths)
    known = set(every)
    clusters = {
        (folder, CLUSTER_MARKS[name]) for folder, _, name in (path.rpartition(b"/") for path in every)
        if name in CLUSTER_MARKS
    }  # fmt: skip
    bases = {base for path in every if (base := sqlite_base(path)) is not None and base in known}
    found = ((path, group_of(path, clusters, bases)) for path in every)
    return {path: group for path, group in found if group is not None}


def sqlite_base(path: bytes) -> bytes | None:
    """Give the database to which a file belongs if it is a journal of SQLite's; None for other names."""
    if not path.endswith(_SQLITE_ENDS):
        return None
    return path.rpartition(b"-")[0] or None
