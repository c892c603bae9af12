"""The links of alternatives on a target: where they lead, and where their groups want them to lead. Blocking.

A link in ``/etc/alternatives`` is nobody's own: which choice it leads to follows from what all packages registered, and
so does whether the generic name (``/usr/bin/editor``) is there at all.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.targets.alternative_records import (
    FOLDER,
    Alternatives,
    chosen,
    holds_records,
    links,
    parse,
    written,
)
from workflow_agent.targets.content import read_file
from workflow_agent.targets.operations import OperationKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workflow_agent.targets.live_tree import LiveTree
    from workflow_agent.targets.operations import Operation

__all__ = ["derived_links", "link_target", "settled", "wanted_links"]

_KINDS = frozenset({OperationKind.CREATE, OperationKind.EXCHANGE, OperationKind.REMOVE})


def link_target(tree: LiveTree, path: bytes) -> str | None:
    """Say where a link leads; None where there is nothing, or no link."""
    with suppress(OSError):
        folder_fd, name = tree.place(path)
        return os.fsdecode(os.readlink(name, dir_fd=folder_fd))
    return None


def derived_links(tree: LiveTree, operations: Iterable[Operation]) -> set[bytes]:
    """Name the links of groups in which operations registered something that are as those groups want them now.

    What somebody made of a link by hand is not among them.
    """
    found: set[bytes] = set()
    for operation in operations:
        if operation.kind in _KINDS and holds_records(operation.path):
            live = parse(read_file(tree.root_fd, operation.path) or b"")
            for path, target in wanted_links(tree, operation, live).items():
                is_there = tree.read(path) is not None
                if target == link_target(tree, path) if is_there else target is None:
                    found.add(path)
    return found


def wanted_links(tree: LiveTree, operation: Operation, group: Alternatives | None) -> dict[bytes, str | None]:
    """Say for every link that a group may have where it should lead; None where it should not be there.

    Args:
        tree: The target's files.
        operation: By which a run changed the group's file.
        group: The group as it is or will be; None where it is gone.
    """
    name = os.fsdecode(operation.path.rpartition(b"/")[2])
    current = link_target(tree, os.fsencode(f"{FOLDER}/{name}"))
    places = _places(operation, group)
    live = parse(read_file(tree.root_fd, operation.path) or b"")
    places |= {} if live is None else {name: live.link, **live.slaves}
    choice = None if group is None else chosen(group, current)[0]
    wanted: dict[str, str | None] = {place: None for one in places for place in (places[one], f"{FOLDER}/{one}")}
    wanted |= {f"{FOLDER}/{name}": None}
    wanted |= links(name, group, choice)
    return {_physical(tree, os.fsencode(path)): target for path, target in wanted.items()}


def _places(operation: Operation, group: Alternatives | None) -> dict[str, str]:
    """Give the generic links by the name of the link to which they lead, as the run's records and the group know it."""
    name = os.fsdecode(operation.path.rpartition(b"/")[2])
    found: dict[str, str] = {}
    for record, texts in operation.records.items():
        text = texts[1] or texts[0]
        if text is not None and (record == "link" or record.startswith("slave ")):
            found[name if record == "link" else record.removeprefix("slave ")] = text
    return found if group is None else found | {name: group.link, **group.slaves}


def settled(tree: LiveTree, path: bytes, content: bytes) -> bytes:
    """Let a group choose by itself again where what a person chose is gone from it, as update-alternatives does."""
    group = parse(content) if holds_records(path) else None
    if group is None or group.status == "auto":
        return content
    current = link_target(tree, os.fsencode(FOLDER) + b"/" + path.rpartition(b"/")[2])
    return content if chosen(group, current)[1] else written(replace(group, status="auto"))


def _physical(tree: LiveTree, path: bytes) -> bytes:
    """Give a path below ``/bin`` as the one below ``/usr/bin`` that it is on a merged system."""
    top = b"/" + path.split(b"/")[1]
    entry = tree.read(top)
    if entry is None or not stat.S_ISLNK(entry.mode):
        return path
    return b"/" + os.fsencode(link_target(tree, top) or "").strip(b"/") + path[len(top) :]
