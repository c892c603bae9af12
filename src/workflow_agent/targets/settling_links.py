"""Rollbacks of runs that registered alternatives: links lead to what is registered then (rule 24). Blocking."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.targets.alternative_links import link_target, wanted_links
from workflow_agent.targets.alternative_records import holds_records, parse
from workflow_agent.targets.content import read_file
from workflow_agent.targets.live_tree import LiveTree, staged_path, transaction_folder
from workflow_agent.targets.operations import Operation, OperationKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.targets.entries import Entry
    from workflow_agent.targets.transaction import Transaction

__all__ = ["settle_links", "write_link"]

_LINKS = b"relinked"
_IMAGES = frozenset({OperationKind.EXCHANGE, OperationKind.REMOVE})
_KINDS = _IMAGES | {OperationKind.CREATE}


def settle_links(tree: LiveTree, plan: Transaction) -> Transaction:
    """Give a rollback after which every link of a group that it is about leads to what the group has then.

    An operation that does so already stays: it gives back the very link from before, with its time.

    Raises:
        OSError: a link cannot be written into the transaction's folder.
    """
    files = {one.path: one for one in plan.rebased if holds_records(one.path)}  # with what the run registered
    staged = {one.path: one for one in plan.operations if one.kind in _KINDS and holds_records(one.path)}
    wanted: dict[bytes, tuple[bytes, str | None]] = {}
    for path in {**files, **staged}:
        ours = staged.get(path)
        content = None
        if ours is None:  # it stays as others left it
            content = read_file(tree.root_fd, path)
        elif ours.kind in _IMAGES:
            content = read_file(tree.root_fd, staged_path(ours, plan.id))
        known = files.get(path) or staged[path]
        links = wanted_links(tree, known, parse(content or b""))
        wanted |= {link: (known.point, target) for link, target in links.items()}
    if not wanted:
        return plan
    settler = _Settler(tree, plan, wanted)
    operations = tuple(settler.operations())
    return replace(plan, operations=operations)


class _Settler:
    def __init__(self, tree: LiveTree, plan: Transaction, wanted: dict[bytes, tuple[bytes, str | None]]) -> None:
        self._tree = tree
        self._plan = plan
        self._wanted = wanted
        self._touched: set[bytes] = set()

    def operations(self) -> Iterator[Operation]:
        """Give all operations of the plan, those on links as they have to be, folders last."""
        folders = [one for one in self._plan.operations if one.kind is OperationKind.ATTRIBUTES]
        others = [one for one in self._plan.operations if one.kind is not OperationKind.ATTRIBUTES]
        # One that was left because others had set the link since still has the link from before.
        known = {one.path: one for one in (*self._plan.rebased, *others) if one.path in self._wanted}
        yield from (one for one in others if one.path not in self._wanted or not self._is_ours_to_set(one.path))
        for path, (point, target) in self._wanted.items():
            if self._is_ours_to_set(path):
                yield from self._settled(path, point, target, known.get(path))
        yield from folders
        yield from self._other_folders({one.path for one in folders})

    def _is_ours_to_set(self, path: bytes) -> bool:
        """Whether a link, or nothing, lies there: what a person put in its place stays."""
        live = self._tree.read(path)
        return live is None or stat.S_ISLNK(live.mode)

    def _settled(self, path: bytes, point: bytes, target: str | None, ours: Operation | None) -> Iterator[Operation]:
        live = self._tree.read(path)
        if ours is not None and ours in self._plan.operations and self._comes_back_as(ours) == target:
            yield ours
            return
        if (link_target(self._tree, path) if live is not None else None) == target:
            return
        if target is None and self._goes_along(path):
            return
        if ours is not None and live is not None and ours.kind in _IMAGES and self._comes_back_as(ours) == target:
            yield replace(ours, kind=OperationKind.EXCHANGE, after=live)
            return
        self._touched.add(path.rpartition(b"/")[0])
        if target is None:
            assert live is not None  # nothing there is what is wanted
            place = self._new_place(point)
            yield Operation(kind=OperationKind.CREATE, path=path, point=point, staged=place, after=live)
            return
        staged, image = write_link(self._tree, self._plan.id, point, target)
        kind = OperationKind.REMOVE if live is None else OperationKind.EXCHANGE
        yield Operation(kind=kind, path=path, point=point, staged=staged, before=image, after=live)

    def _goes_along(self, path: bytes) -> bool:
        """Whether a link goes with a folder that the run made: nothing is left to be done about it, or the folder."""
        made = (one.path for one in self._plan.operations if one.kind is OperationKind.CREATE)
        return any(path.startswith(folder + b"/") for folder in made)

    def _comes_back_as(self, operation: Operation) -> str | None:
        if operation.kind in _IMAGES:
            return link_target(self._tree, staged_path(operation, self._plan.id))
        return None

    def _new_place(self, point: bytes) -> bytes:
        folder_fd = _open_folder(self._tree, self._plan.id, point)
        name = _free_name(folder_fd)
        # Taken by a folder of its own, so that the next one gets another.
        os.mkdir(name, 0o700, dir_fd=folder_fd)
        return _LINKS + b"/" + name + b"/link"

    def _other_folders(self, known: set[bytes]) -> Iterator[Operation]:
        """Keep the times of folders in which a link is set and the run changed nothing else."""
        for folder in sorted(self._touched - known, key=lambda path: path.count(b"/"), reverse=True):
            entry, xattrs = self._tree.read(folder), self._tree.xattrs(folder)
            yield Operation(
                kind=OperationKind.ATTRIBUTES,
                path=folder,
                point=next(point for path, (point, _) in self._wanted.items() if path.rpartition(b"/")[0] == folder),
                before=entry,
                after=entry,
                before_xattrs=xattrs,
                after_xattrs=xattrs,
            )


def write_link(
    tree: LiveTree, transaction: str, point: bytes, target: str, *, mtime: int | None = None
) -> tuple[bytes, Entry]:
    """Write a link into a transaction's folder, synced; gives its place there and what it is."""
    folder_fd = _open_folder(tree, transaction, point)
    name = _free_name(folder_fd)
    os.symlink(os.fsencode(target), name, dir_fd=folder_fd)
    if mtime is not None:
        os.utime(name, ns=(mtime, mtime), dir_fd=folder_fd, follow_symlinks=False)
    os.fsync(folder_fd)
    staged = _LINKS + b"/" + name
    image = tree.read(transaction_folder(point, transaction) + b"/" + staged)
    assert image is not None  # written a moment ago
    return staged, image


def _open_folder(tree: LiveTree, transaction: str, point: bytes) -> int:
    folder = transaction_folder(point, transaction)
    with suppress(FileExistsError):
        os.mkdir(_LINKS, 0o700, dir_fd=tree.folder(folder))
    return tree.folder(folder + b"/" + _LINKS)


def _free_name(folder_fd: int) -> bytes:
    return b"%d" % (max((int(one) for one in os.listdir(folder_fd) if one.isdigit()), default=0) + 1)
