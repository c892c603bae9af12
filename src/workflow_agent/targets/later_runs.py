"""Which later runs changed what a run left: read from what each found and what each left, never from times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.targets.operations import Operation, OperationKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from workflow_agent.targets.entries import Entry

__all__ = ["later_runs"]

_WHOLE = frozenset({OperationKind.CREATE, OperationKind.EXCHANGE, OperationKind.REMOVE})


def later_runs(operation: Operation, others: Iterable[tuple[str, Operation]]) -> list[str]:
    """List the runs that stand on what an operation left at its path, the newest first.

    Args:
        operation: What was done.
        others: Operations of other committed runs on the same path, each with its run.
    """
    candidates = [(run, other) for run, other in others if other.kind in _WHOLE]
    found = _by_records(operation, candidates)
    left: Entry | None = operation.after
    while True:
        at = next((at for at, (_, other) in enumerate(candidates) if _found(other, left, operation)), None)
        if at is None:
            return list(dict.fromkeys(reversed(found)))
        run, other = candidates.pop(at)
        found.append(run)
        left = other.after


def _found(other: Operation, left: Entry | None, ours: Operation) -> bool:
    """Whether an operation found at the path what was left there."""
    if left is not None:
        return left.same_identity(other.before)
    if other.before is not None or other.after is None:
        return False
    return ours.before is None or not ours.before.same_identity(other.after)  # else it made what we removed


def _by_records(operation: Operation, candidates: Sequence[tuple[str, Operation]]) -> list[str]:
    """List the runs that found one of our records as we left it, and changed it."""
    return [
        run
        for run, other in candidates
        if any(
            name in operation.records and _text(before) == _text(operation.records[name][1])
            for name, (before, _) in other.records.items()
        )
    ]


def _text(record: str | None) -> str | None:
    return None if record is None else record.rstrip("\n")
