"""All names of a file with hard links: on the target, and where earlier transactions keep one as a before-image."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

from workflow_agent.model.errors import CaptureError
from workflow_agent.model.system import escape_path
from workflow_agent.targets.entries import STATE_FOLDER
from workflow_agent.targets.live_tree import LiveTree

if TYPE_CHECKING:
    from workflow_agent.targets.entries import Baseline, Entry

__all__ = ["LinkedNames"]


class LinkedNames:
    """Looks names up in the baseline of one file system.

    Args:
        root_fd: The target's root.
        point: Where the file system is mounted.
        transaction: The one that is being planned: its own folders do not count.
        baseline: What the file system held before the script ran.
    """

    def __init__(self, root_fd: int, point: bytes, transaction: str, baseline: Baseline) -> None:
        self._root_fd = root_fd
        self._state = point.rstrip(b"/") + b"/" + STATE_FOLDER + b"/tx"
        self._transaction = transaction.encode()
        self._by_key: dict[bytes, list[bytes]] = defaultdict(list)
        for path, entry in baseline.items():
            if entry.nlink > 1 and not entry.is_dir:
                self._by_key[entry.key].append(path)

    def names(self, key: bytes) -> frozenset[bytes]:
        """Names of a file that has several; nothing for one that has a single name."""
        return frozenset(self._by_key.get(key, ()))

    def refuse_unknown_names(self, entry: Entry) -> None:
        """Refuse a file that has names which nobody knows: they would keep the old content (rule 9).

        Raises:
            CaptureError: with the names that are known.
        """
        names = sorted(self.names(entry.key))
        if len(names) == entry.nlink or len(names) + self._kept_images(entry) == entry.nlink:
            return
        raise CaptureError(
            "a changed file has names that were not found",
            where=escape_path(names[0]),
            cause=f"{entry.nlink} names exist, found: {', '.join(escape_path(name) for name in names)}",
            hint="remove the hard link, or leave this file alone",
        )

    def _kept_images(self, entry: Entry) -> int:
        """Count the before-images of earlier transactions that are names of the same file."""
        with LiveTree(self._root_fd) as tree, suppress(FileNotFoundError):
            return sum(
                entry.same_identity(other)
                for transaction in map(os.fsencode, os.listdir(tree.folder(self._state)))
                if transaction != self._transaction
                for other in tree.below(self._state + b"/" + transaction).values()
                if not other.is_dir
            )
        return 0
