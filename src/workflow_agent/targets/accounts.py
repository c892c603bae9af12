"""Users and groups of a target, read from its own files. Standard library only; no name service is asked.

`pwd` and `grp` would ask the name service libraries of whichever root was current when they were loaded.
"""

from __future__ import annotations

from workflow_agent.model.records import dataclass

__all__ = ["Login", "account", "group_id"]

_PASSWD_FIELDS = 7
_GROUP_FIELDS = 4


@dataclass(frozen=True, slots=True)
class Login:
    """A user with the groups that a login would give."""

    name: str
    uid: int
    gid: int
    home: str
    groups: tuple[int, ...]


def _records(path: str, fields: int) -> list[list[str]]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            rows = [line.rstrip("\n").split(":") for line in stream]
    except FileNotFoundError:
        return []
    return [row for row in rows if len(row) >= fields]


def account(name: str, etc: str = "/etc") -> Login:
    """Look a user up by name or number.

    Raises:
        LookupError: There is no such user. The superuser exists everywhere.
    """
    groups = _records(f"{etc}/group", _GROUP_FIELDS)
    for row in _records(f"{etc}/passwd", _PASSWD_FIELDS):
        if name in (row[0], row[2]) and row[2].isdigit() and row[3].isdigit():
            own = int(row[3])
            extra = [int(one[2]) for one in groups if one[2].isdigit() and row[0] in one[3].split(",")]
            return Login(row[0], int(row[2]), own, row[5] or "/", tuple(dict.fromkeys([own, *extra])))
    if name in ("root", "0"):
        return Login("root", 0, 0, "/root", (0,))
    raise LookupError(f"there is no user `{name}` on the target")


def group_id(name: str, etc: str = "/etc") -> int:
    """Look a group up by name or number.

    Raises:
        LookupError: There is no such group.
    """
    for row in _records(f"{etc}/group", _GROUP_FIELDS):
        if name in (row[0], row[2]) and row[2].isdigit():
            return int(row[2])
    if name in ("root", "0"):
        return 0
    raise LookupError(f"there is no group `{name}` on the target")
