"""Before-images that are given up: what they take, and how they go.

The plan file of a committed transaction stays, and says first that it is pruned: from then on nobody rolls it back,
also where the process dies before the images are gone. What the run left is still known (drift, later runs). A
transaction that was rolled back goes as a whole, its plan file first: what is left without one is removed by whoever
takes the target next. Blocking.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import NotFoundError, PrunedError, TransactionError
from workflow_agent.model.failpoint import failpoint
from workflow_agent.targets.flags import remove_tree
from workflow_agent.targets.live_tree import transaction_folder
from workflow_agent.targets.transaction import TransactionState, opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workflow_agent.targets.transaction import Transaction, TransactionFolders

__all__ = ["drop_images", "kept_ids", "prune_transactions", "refuse_pruned"]

_IMAGES = (b"upper", b"removed", b"links", b"work", b"data")
_BLOCK = 512
_PRUNABLE = frozenset({TransactionState.COMMITTED, TransactionState.ROLLED_BACK})


def refuse_pruned(plan: Transaction) -> None:
    """Raise PrunedError where a transaction cannot be taken back any more."""
    if plan.state is TransactionState.PRUNED:
        raise PrunedError(
            f"run {plan.run_id} cannot be taken back exactly: its before-images were pruned",
            where=plan.id,
            state="nothing was changed",
            hint=f"`workflow-agent show {plan.run_id}` says what can be done instead",
            run_id=plan.run_id,
        )


def kept_ids(folders: TransactionFolders) -> list[str]:
    """List the transactions whose before-images are there."""
    found = []
    for name in folders.ids():
        with suppress(NotFoundError, TransactionError):  # half made, or damaged: its images are no use
            if folders.read(name).state is not TransactionState.PRUNED:
                found.append(name)
    return found


def prune_transactions(
    root_fd: int, folders: TransactionFolders, transactions: Sequence[str], *, plan_only: bool
) -> list[dict[str, Any]]:  # Any: JSON
    """Give up the before-images of transactions, the oldest first; the target's lock is held.

    Args:
        root_fd: The target's root.
        folders: Its transactions.
        transactions: Their ids.
        plan_only: Only look.

    Returns:
        Of each ``{transaction, was, bytes, entries, pruned}``: its state before, and what its images take on disk. One
        that is not committed or rolled back stays as it is (`pruned` is false).

    Raises:
        TransactionError: a plan file cannot be read or written.
    """
    found = []
    for name in sorted(transactions):
        try:
            plan = folders.read(name)
        except NotFoundError:
            found.append({"transaction": name, "was": "gone", "bytes": 0, "entries": 0, "pruned": False})
            continue
        size, entries = _taken(root_fd, plan)
        prunable = plan.state in _PRUNABLE
        if prunable and not plan_only:
            _prune(root_fd, folders, plan)
        told = {"transaction": name, "was": plan.state.value, "bytes": size, "entries": entries}
        found.append({**told, "pruned": prunable and not plan_only})
    return found


def _prune(root_fd: int, folders: TransactionFolders, plan: Transaction) -> None:
    try:
        if plan.state is TransactionState.COMMITTED:
            pruned = folders.move(plan, TransactionState.PRUNED)
            failpoint("transaction.pruned")
            drop_images(root_fd, pruned)
            return
        folders.forget_plan(plan.id)
        drop_images(root_fd, plan)
        folders.remove(plan.id, plan.points)
    except OSError as error:
        raise TransactionError(
            "before-images could not be removed",
            where=plan.id,
            cause=str(error),
            state="the run cannot be rolled back any more; what is left is removed by the next command",
        ) from error


def drop_images(root_fd: int, plan: Transaction) -> None:
    """Remove the before-images of a transaction; what is gone already is no error."""
    for point in plan.points:
        with suppress(FileNotFoundError):
            with opened(root_fd, transaction_folder(point, plan.id)) as folder_fd:
                for name in _IMAGES:
                    with suppress(FileNotFoundError):
                        os.stat(name, dir_fd=folder_fd)
                        failpoint("transaction.prune.folder")
                        remove_tree(name, folder_fd)


def _taken(root_fd: int, plan: Transaction) -> tuple[int, int]:
    """Measure the images: bytes on disk of what has no other name outside of them, and how many entries they are."""
    names: dict[tuple[int, int], int] = {}
    size: dict[tuple[int, int], int] = {}
    entries = 0
    for status in _walk(root_fd, plan):
        entries += 1
        inode = (status.st_dev, status.st_ino)
        names[inode] = names.get(inode, 0) + 1
        if stat.S_ISDIR(status.st_mode) or names[inode] == status.st_nlink:
            size[inode] = status.st_blocks * _BLOCK
    return sum(size.values()), entries


def _walk(root_fd: int, plan: Transaction) -> Iterator[os.stat_result]:
    for point in plan.points:
        with suppress(FileNotFoundError):
            with opened(root_fd, transaction_folder(point, plan.id)) as folder_fd:
                for name in _IMAGES:
                    with suppress(FileNotFoundError):  # few have all of them
                        for _, folders, files, inner_fd in os.fwalk(name, dir_fd=folder_fd):
                            for entry in (*folders, *files):
                                yield os.stat(entry, dir_fd=inner_fd, follow_symlinks=False)
