"""What later transactions hear of one that is taken back before them, on files that many owners share (rule 24).

What is gone is taken out of their before-images too: whatever the order, the last one gives back the file from before
the first. They are told when it is gone and before that is recorded; to tell it twice changes nothing, so a crash in
between is made up for by telling it again. Blocking, for one thread.
"""

from __future__ import annotations

import stat
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.targets.alternative_links import link_target
from workflow_agent.targets.live_tree import LiveTree, staged_path
from workflow_agent.targets.merging import FILE_LIMIT, Image, is_as_found, is_left, read_file, write_image
from workflow_agent.targets.operations import Operation, OperationKind
from workflow_agent.targets.settling_links import write_link
from workflow_agent.targets.shared_records import RecordConflictError, without_records

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workflow_agent.targets.entries import Entry
    from workflow_agent.targets.transaction import Transaction

__all__ = ["hand_over"]


def hand_over(tree: LiveTree, gone: Transaction, others: Iterable[Transaction]) -> list[Transaction]:
    """Give the transactions that stand on one that is taken back as they stand without it.

    Args:
        tree: The target's files.
        gone: What was taken back; its `rebased` operations say what it had found.
        others: The transactions that are committed.

    Raises:
        OSError: an image cannot be written.
    """
    found = {operation.path: operation for operation in gone.rebased}
    if not found:
        return []
    handover = _Handover(tree, gone)
    for operation in gone.operations:
        if operation.path in found and operation.after is not None and operation.before is not None:
            # What was live lies in our place now, and the merged file is live.
            handover.note(operation.path, operation.after, operation.before)
    told = [(other, [handover.without(other, operation, found) for operation in other.operations]) for other in others]
    result = []
    for other, operations in told:
        final = tuple(handover.on_images(operation) for operation in operations)
        if final != other.operations:
            result.append(replace(other, operations=final))
    return result


class _Handover:
    """Takes one transaction out of others' before-images. State: which image took the place of which."""

    def __init__(self, tree: LiveTree, gone: Transaction) -> None:
        self._tree = tree
        self._gone = gone
        self._images: dict[bytes, list[tuple[Entry, Entry]]] = {}

    def note(self, path: bytes, old: Entry, new: Entry) -> None:
        """Remember that an image took the place of another one."""
        self._images.setdefault(path, []).append((old, new))

    def on_images(self, operation: Operation) -> Operation:
        """Give an operation that left an image which was replaced since with the one that lies there now."""
        for old, new in self._images.get(operation.path, ()):
            if old.same_state(operation.after, moved=True):
                return replace(operation, after=new)
        return operation

    def without(self, other: Transaction, operation: Operation, found: dict[bytes, Operation]) -> Operation:
        """Take what is gone out of the before-image of a later operation."""
        ours, before = found.get(operation.path), operation.before
        if ours is None or operation.kind is not OperationKind.EXCHANGE or before is None:
            return operation
        place = staged_path(operation, other.id)
        if stat.S_ISLNK(before.mode):
            return self._link_without(other, operation, before, ours)
        content = self._found_without(place, before, ours)
        if content is None:
            return operation
        image = self._image(place, before, ours, content)
        if image is None:  # nothing was there
            # A place in which nothing lies, for the entry that goes.
            return replace(operation, kind=OperationKind.CREATE, before=None, staged=operation.staged + b".gone")
        staged, entry = write_image(self._tree, other.id, operation.point, image)
        self.note(operation.path, before, entry)
        if image.like is ours.before:  # a copy of it: who left that has left this
            self.note(operation.path, image.like, entry)
        return replace(operation, staged=staged, before=entry)

    def _link_without(self, other: Transaction, operation: Operation, before: Entry, ours: Operation) -> Operation:
        """Give a later operation on a link that ours had made what ours had found there."""
        if ours.after is None or not before.same_state(ours.after, moved=True):
            return operation
        if ours.before is None:
            return replace(operation, kind=OperationKind.CREATE, before=None, staged=operation.staged + b".gone")
        target = link_target(self._tree, staged_path(ours, self._gone.id))
        if target is None:
            return operation
        staged, entry = write_link(self._tree, other.id, operation.point, target, mtime=ours.before.mtime)
        return replace(operation, staged=staged, before=entry)

    def _found_without(self, place: bytes, before: Entry, ours: Operation) -> bytes | None:
        """Give what an image holds without what is gone; None where it does not stand on that."""
        stands = stat.S_ISREG(before.mode) and before.size <= FILE_LIMIT
        if not (stands and before.same_state(self._tree.read(place), moved=True)):
            return None
        if is_left(ours):
            after = ours.after
            assert after is not None
            return b"" if before.same_state(after, moved=True) else None
        with suppress(RecordConflictError):
            return without_records(ours.path, read_file(self._tree, place), ours.records)
        return None

    def _image(self, place: bytes, before: Entry, ours: Operation, content: bytes) -> Image | None:
        """Make an image: what the one that is gone had found, where that says the same."""
        found = self._found_place(ours)
        if not (is_left(ours) or is_as_found(self._tree, found, ours, content)):
            return Image(content=content, like=before, xattrs=self._tree.xattrs(place))
        if ours.before is None:
            return None
        return Image(
            content=read_file(self._tree, found),
            like=ours.before,
            xattrs=self._tree.xattrs(found),
            mtime=ours.before.mtime,
        )

    def _found_place(self, ours: Operation) -> bytes:
        """Give where that lies which was found: live again, where nothing had to be merged into it."""
        live = self._tree.read(ours.path)
        is_live = ours.before is not None and ours.before.same_state(live, moved=True)
        return ours.path if is_live else staged_path(ours, self._gone.id)
