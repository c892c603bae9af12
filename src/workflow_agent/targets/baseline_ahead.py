"""A baseline that is read while the script of its capture is still written and judged.

A second of a processor that would wait. What was read is good as long as nobody has changed the target through a
package database or a transaction since; whatever else changes meanwhile is a conflict, as it is while a script runs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from workflow_agent.targets.finishing import blocking
from workflow_agent.targets.live_tree import LiveTree, transaction_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflow_agent.targets.entries import Baseline, Entry
    from workflow_agent.targets.transaction import TransactionFolders

__all__ = ["BaselineAhead"]

#: What every package manager's run replaces.
_PACKAGES = b"/var/lib/dpkg/status"


class BaselineAhead:
    """Reads the baselines of a target in a thread, and gives them if they are still good.

    Args:
        root_fd: The target's root.
        folders: Its transactions.
        walk: Gives the baseline of each file system that is captured, by mount point. Blocking.
    """

    def __init__(self, root_fd: int, folders: TransactionFolders, walk: Callable[[], dict[bytes, Baseline]]) -> None:
        self._root = root_fd
        self._folders = folders
        self._walk = walk
        self._reading = asyncio.create_task(blocking(self._read), name="baseline ahead")

    def _read(self) -> tuple[tuple[Entry | None, ...], dict[bytes, Baseline]] | None:
        try:
            return self._state(), self._walk()
        except OSError:  # whoever reads it when it is needed says what is wrong
            return None

    def _state(self) -> tuple[Entry | None, ...]:
        """Read what changes with every change through packages or transactions."""
        base = self._folders.base
        plans = [transaction_folder(base, name) + b"/plan.json" for name in self._folders.ids()]
        with LiveTree(self._root) as tree:
            return (tree.read(_PACKAGES), *map(tree.read, plans))

    async def take(self) -> dict[bytes, Baseline] | None:
        """Give the baselines by mount point; None where they are none any more. The target's locks are held."""
        read = await self._reading
        if read is None:
            return None
        state, baselines = read
        return baselines if await blocking(self._state) == state else None

    async def drop(self) -> None:
        """Wait until nothing reads any more."""
        await asyncio.wait([self._reading])
