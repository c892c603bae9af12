"""What is left of a script that failed in a capture: what it had staged so far, and what room there is."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workflow_agent.model.system import escape_path
from workflow_agent.targets.linux import open_beneath
from workflow_agent.targets.live_tree import transaction_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workflow_agent.model.errors import WorkflowAgentError

__all__ = ["note_evidence"]

#: Entries that are listed; more are counted only.
_MOST = 1000
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link", stat.S_IFIFO: "pipe"}


def note_evidence(
    error: WorkflowAgentError, root_fd: int, transaction: str, points: Sequence[bytes], store_fd: int | None = None
) -> None:
    """Add to an error's details what a capture staged (``staged``) and what room is left (``free``).

    It never fails: what cannot be looked at is left out.

    Args:
        error: Of the capture, whose folders still exist.
        root_fd: The target's root.
        transaction: The capture's.
        points: Mount points that it covers.
        store_fd: The folder below which it staged, where that is not on the target.
    """
    error.details["free"] = [room for point in points for room in _room(root_fd, point)]
    staged: list[dict[str, Any]] = []
    count = 0
    for point in points:
        for entry in _staged(root_fd if store_fd is None else store_fd, transaction, point):
            count += 1
            if len(staged) < _MOST:
                staged.append(entry)
    error.details["staged"] = {"count": count, "entries": staged}


def _room(root_fd: int, point: bytes) -> Iterator[dict[str, Any]]:
    with suppress(OSError):
        descriptor = open_beneath(root_fd, point.strip(b"/"), os.O_PATH | os.O_DIRECTORY)
        try:
            status = os.fstatvfs(descriptor)
        finally:
            os.close(descriptor)
        size = status.f_frsize
        yield {
            "path": escape_path(point),
            "free_bytes": status.f_bavail * size,
            "total_bytes": status.f_blocks * size,
            "free_entries": status.f_favail,
        }


def _staged(root_fd: int, transaction: str, point: bytes) -> Iterator[dict[str, Any]]:
    with suppress(OSError):
        folder = transaction_folder(point, transaction).strip(b"/") + b"/upper"
        top = open_beneath(root_fd, folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for base, folders, files, descriptor in os.fwalk(b".", dir_fd=top):
                for name in sorted([*folders, *files]):
                    yield _entry(point, base, name, os.lstat(name, dir_fd=descriptor))
        finally:
            os.close(top)


def _entry(point: bytes, base: bytes, name: bytes, status: os.stat_result) -> dict[str, Any]:
    path = os.path.normpath(os.path.join(point, base, name))
    gone = stat.S_ISCHR(status.st_mode) and status.st_rdev == 0  # an overlay's sign for "deleted"
    kind = "deleted" if gone else _KINDS.get(stat.S_IFMT(status.st_mode), "device")
    return {"path": escape_path(path), "kind": kind, "bytes": status.st_size}
