"""Times of folders that several transactions changed (rule 22). Blocking, for one thread.

Each transaction knows what it found and what it left, which makes a chain. One that is taken
back out of turn leaves the chain, and the next one takes over what it had found: whatever the order, the last one
gives back the time from before the first.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.targets.operations import Operation, OperationKind
from workflow_agent.targets.stored_operations import selected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from workflow_agent.targets.live_tree import LiveTree

__all__ = ["stand_on_times", "times_found", "times_left", "times_taken_over"]


def times_found(tree: LiveTree, operations: Iterable[Operation]) -> Iterable[Operation]:
    """Give operations that are about to be carried out with the times that their folders have now.

    A folder that others changed since the capture (or since a rollback) never gets a time that it had before: programs
    that remember the time of a folder would not look into it again.
    """
    for operation in operations:
        live = tree.read(operation.path) if operation.kind is OperationKind.ATTRIBUTES else None
        before, after = operation.before, operation.after
        if live is None or before is None or after is None or live.mtime == before.mtime:
            yield operation
            continue
        if after.mtime == before.mtime:
            left = live.mtime
        else:
            left = after.mtime if after.mtime > live.mtime else time.time_ns()
        yield replace(operation, before=before._replace(mtime=live.mtime), after=after._replace(mtime=left))


def stand_on_times(leaving: Iterable[Operation], later: Iterable[Operation]) -> bool:
    """Whether another transaction found the time of a folder as `leaving` operations left it."""
    ours = _folders(leaving)
    return any(_stands_on(one, ours[one.path]) for one in selected(later, ours.__contains__))


def times_taken_over(leaving: Iterable[Operation], later: Sequence[Operation]) -> Sequence[Operation]:
    """Give the operations of another transaction with what `leaving` ones had found, where they stand on these."""
    folders = _folders(leaving)
    result = []
    for operation in later:
        ours, before = folders.get(operation.path), operation.before
        if ours is None or ours.before is None or before is None or not _stands_on(operation, ours):
            result.append(operation)
        else:
            result.append(replace(operation, before=before._replace(mtime=ours.before.mtime)))
    return result


def times_left(
    tree: LiveTree, leaving: Iterable[Operation], later: Iterable[Sequence[Operation]]
) -> Iterable[Operation]:
    """Give the operations of a transaction that is taken back; folders that `later` ones changed keep their time."""
    leaving = list(leaving)
    ours = _folders(leaving)
    others = [_folders(selected(operations, ours.__contains__)) for operations in later]
    for operation in leaving:
        live = tree.read(operation.path) if operation.kind is OperationKind.ATTRIBUTES else None
        is_shared = any(operation.path in each and _stands_on(each[operation.path], operation) for each in others)
        if live is not None and operation.before is not None and operation.after is not None and is_shared:
            before, after = operation.before, operation.after
            # Done again, it comes after what is live now: its own time would be an older one.
            yield replace(
                operation, before=before._replace(mtime=live.mtime), after=after._replace(mtime=time.time_ns())
            )
        else:
            yield operation


def _folders(operations: Iterable[Operation]) -> Mapping[bytes, Operation]:
    return {operation.path: operation for operation in operations if operation.kind is OperationKind.ATTRIBUTES}


def _stands_on(operation: Operation, ours: Operation) -> bool:
    """Whether an operation on a folder found it as ours left it."""
    found, before, left = operation.before, ours.before, ours.after
    if operation.kind is not OperationKind.ATTRIBUTES or found is None or before is None or left is None:
        return False
    return found.same_identity(before) and found.mtime == left.mtime != before.mtime
