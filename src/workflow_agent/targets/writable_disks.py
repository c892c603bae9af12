"""Refuses to begin on a disk that turned read-only: after an error of the disk, or by somebody's remount. Blocking."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from workflow_agent.model.errors import TransactionError
from workflow_agent.model.system import escape_path
from workflow_agent.targets.transaction import opened

if TYPE_CHECKING:
    from workflow_agent.model.errors import WorkflowAgentError
    from workflow_agent.targets.transaction import Transaction

__all__ = ["refuse_read_only", "require_writable"]

_CAUSE = "its file system is mounted read-only: somebody remounted it, or the kernel did after a disk error"


def refuse_read_only(
    root_fd: int,
    plan: Transaction,
    kind: type[WorkflowAgentError],
    message: str,
    *,
    state: str = "nothing was changed",
) -> None:
    """Raise an error of this kind where a disk on which the transaction changes something cannot be written to."""
    read_only = {point for point in plan.points if _is_read_only(root_fd, point)}
    if not read_only:
        return
    stopped = sorted(read_only & {operation.point for operation in plan.operations})
    if stopped:
        where = escape_path(stopped[0])
        raise kind(message, where=where, cause=_CAUSE, state=state, hint=_hint(where))


def require_writable(root_fd: int, point: bytes) -> None:
    """Raise TransactionError where the disk that holds plan files and the lock cannot be written to."""
    if _is_read_only(root_fd, point):
        where = escape_path(point)
        message = "a disk that has to be written to is read-only"
        raise TransactionError(message, where=where, cause=_CAUSE, state="nothing was changed", hint=_hint(where))


def _hint(where: str) -> str:
    return f"look at `dmesg`, make it writable (`mount -o remount,rw {where}`), then run the command again"


def _is_read_only(root_fd: int, point: bytes) -> bool:
    with suppress(FileNotFoundError):  # told by what needs it
        with opened(root_fd, point) as folder_fd:
            return bool(os.fstatvfs(folder_fd).f_flag & os.ST_RDONLY)
    return False
