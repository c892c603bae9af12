"""What a rollback tells of itself, and what it cannot call well."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import PathConflictError, RollbackIncompleteError
from workflow_agent.model.system import escape_path
from workflow_agent.targets.belonging import DATABASE_KINDS, Group, GroupKind
from workflow_agent.targets.live_tree import LiveTree
from workflow_agent.targets.operations import OperationKind
from workflow_agent.targets.rollback_look import groups_in, is_sqlite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.system import Effect
    from workflow_agent.targets.operations import Operation
    from workflow_agent.targets.transaction import Transaction

__all__ = ["refuse_held_databases", "refuse_left_effects", "refuse_left_paths", "rolled_back"]

_SMALLEST_PAGE = 512  # Source: https://www.sqlite.org/fileformat.html, 1.3.2
_FILES = frozenset({OperationKind.CREATE, OperationKind.EXCHANGE, OperationKind.REMOVE})
#: Folders and files in which no databases are.
_NO_DATA = (b"/usr/", b"/etc/", b"/var/log/", b"/var/lib/dpkg/")


def rolled_back(
    plan: Transaction,
    owned: Sequence[str] = (),
    kept: Sequence[str] = (),
    services: Sequence[Mapping[str, Any]] = (),
    merged: Sequence[str] = (),
) -> dict[str, Any]:
    """Count what went back; see the port."""
    kinds = [operation.kind.value for operation in plan.operations]
    return {
        "transaction": plan.id,
        "was": plan.state.value,
        "restored": kinds.count("exchange") + kinds.count("remove"),
        "removed": kinds.count("create"),
        "attributes": kinds.count("attributes"),
        "appended": [escape_path(operation.path) for operation in plan.operations if operation.kind.value == "append"],
        "owned": list(owned),
        "kept": list(kept),
        "services": [dict(service) for service in services],
        "left": [],
        "stays": [],
        "data": [],
        "merged": list(merged),
        "decided": [dict(one) for one in plan.decided],
        "exact": not merged and not plan.decided,
    }


def refuse_left_effects(left: Sequence[Effect]) -> None:
    """Refuse to call it done where effects beyond files stay; raises RollbackIncompleteError."""
    if left:
        raise RollbackIncompleteError(
            f"the files are as before, but not everything beyond them: {'; '.join(each.description for each in left)}",
            where=left[0].id,
            details={"left": [{"path": each.id, "effect": each.description} for each in left]},
            hint="start the service that it belongs to and take the run back again, or put it right by hand",
        )


def refuse_left_paths(
    differences: Sequence[Mapping[str, object]], kept: Sequence[str], data: Sequence[str] = ()
) -> None:
    """Refuse to call it done where paths are not as before; data that was `kept` changes its folder's time.

    Below `data` lie copies of what was before, which are other inodes.

    Raises:
        RollbackIncompleteError: names the paths.
    """
    left = [item for item in differences if not _holds(str(item["path"]), kept)]
    left = [item for item in left if not any(_holds(path, [str(item["path"])]) for path in data)]
    if left:
        raise RollbackIncompleteError(
            f"{len(left)} paths are not as before",
            where=str(left[0]["path"]),
            details={"left": left},
            hint="look at the paths, then put them right by hand",
        )


def _holds(path: str, kept: Sequence[str]) -> bool:
    return any(one == path or one.startswith(path.rstrip("/") + "/") for one in kept)


def refuse_held_databases(root_fd: int, plan: Transaction) -> None:
    """Refuse to exchange files of a database that somebody has open, when the services of the run are stopped.

    Whoever has one open would go on writing to what was moved aside. Blocking.

    Raises:
        PathConflictError: names the files and who has them open.
    """
    held: list[dict[str, Any]] = []
    with LiveTree(root_fd) as tree:
        groups = groups_in(tree, plan)
        files = {path: group.shown for path, group in groups.items() if group.kind in DATABASE_KINDS}
        for operation in plan.operations:
            path = operation.path
            if path not in groups and _may_be_database(tree, operation) and is_sqlite(tree, operation, plan.id):
                files[path] = Group(GroupKind.SQLITE, path).shown
        is_open = _open_files() if files else {}
        for path, shown in files.items():
            entry = tree.read(path)
            holders = [] if entry is None or entry.is_dir else is_open.get((entry.dev, entry.ino), [])
            if holders:
                held.append({"path": escape_path(path), "group": shown, "holders": holders})
    if held:
        names = ", ".join(dict.fromkeys(str(one["group"]) for one in held))
        who = sorted({holder for one in held for holder in one["holders"]})
        raise PathConflictError(
            f"in use, and restored as a whole or not at all: {names}",
            where=str(held[0]["path"]),
            cause=f"held by {', '.join(who)}",
            state="nothing was changed",
            hint="stop what has it open, then run the command again",
            details={"conflicts": held},
        )


def _may_be_database(tree: LiveTree, operation: Operation) -> bool:
    """Say whether a file can be one of SQLite, by its size: reading thousands, and all that is open, takes long."""
    if operation.kind not in _FILES or operation.path.startswith(_NO_DATA):
        return False
    sizes = [entry.size for entry in (operation.before, operation.after) if entry and not entry.is_dir]
    if 0 in sizes:  # perhaps it grew since
        entry = tree.read(operation.path)
        sizes += [] if entry is None else [entry.size]
    return any(size and size % _SMALLEST_PAGE == 0 for size in sizes)


def _open_files() -> dict[tuple[int, int], list[str]]:
    """Name who has which file open, by device and inode number."""
    found: dict[tuple[int, int], list[str]] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        files: set[tuple[int, int]] = set()
        name = f"process {pid}"
        with suppress(OSError):  # it ended meanwhile
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
                name = f"{stream.read().strip()} (process {pid})"
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):  # it was closed meanwhile
                    status = os.stat(f"/proc/{pid}/fd/{descriptor}")
                    files.add((status.st_dev, status.st_ino))
        for one in files:
            found.setdefault(one, []).append(name)
    return found
