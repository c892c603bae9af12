"""What runs before services start: interrupted commits and rollbacks are taken back, from their plan files alone.

``python -m workflow_agent.targets.boot_recovery`` is what the unit of ``recovery_unit`` starts. It needs the root file
system, those that took part, and nothing else: no database, no network, no service. It starts and stops nothing: at
this time nothing runs. History hears of it from the next command. Everything is loaded before the first exchange.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.targets.committing import Committer
from workflow_agent.targets.linux import open_beneath
from workflow_agent.targets.mounts import plan_mounts, read_mounts
from workflow_agent.targets.transaction import TransactionFolders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.targets.transaction import Transaction

__all__ = ["interrupted", "main", "recover_files"]

_SYSTEMD = "/run/systemd/private"
_LIBRARIES = b"/etc/ld.so.cache"
_COMMAND_S = 60.0


def interrupted(root_fd: int) -> list[str]:
    """List the transactions whose commit or rollback was begun and is not over."""
    folders = TransactionFolders(root_fd)
    try:
        return [plan.id for plan in Committer(root_fd, folders, list).interrupted()]
    finally:
        folders.close()


def recover_files(root_fd: int) -> Iterator[tuple[str, WorkflowAgentError | None]]:
    """Take back what was interrupted; gives each transaction, and why it could not be (then it is tried again later).

    Nothing is done while somebody holds the target: whoever works on it has settled what was left.
    """
    folders = TransactionFolders(root_fd)
    try:
        lock_fd = _lock(root_fd)
        if lock_fd is None:
            return
        try:
            committer = Committer(root_fd, folders, lambda: [mount.point for mount, _ in plan_mounts(read_mounts(0))])
            for plan in committer.interrupted():
                try:
                    committer.undo(plan)
                except WorkflowAgentError as error:
                    yield plan.id, error
                else:
                    _make_anew(plan)
                    yield plan.id, None
        finally:
            os.close(lock_fd)
    finally:
        folders.close()


def _lock(root_fd: int) -> int | None:
    """Take the target's lock, as `TargetLock` does; None where there is none yet, or somebody has it."""
    try:
        descriptor = open_beneath(root_fd, b".workflow-agent/lock", os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _make_anew(plan: Transaction) -> None:
    """Have the cache of libraries list those that are there, where a rollback left it to others (rule 12)."""
    if any(operation.path == _LIBRARIES for operation in plan.rebased):
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(["ldconfig"], check=False, timeout=_COMMAND_S)


def main(root: str = "/") -> int:
    """Recover and say what became of each transaction; gives the exit code: 10 where something is left."""
    code, done = 0, 0
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for transaction, error in recover_files(root_fd):
            done += 1
            if error is None:
                sys.stdout.write(f"{transaction}: interrupted, taken back\n")
            else:
                code = error.exit_code
                sys.stdout.write(f"{transaction}: {error.message}: {error.cause or error.where or ''}\n")
            sys.stdout.flush()
    finally:
        os.close(root_fd)
    if done and os.path.exists(_SYSTEMD):
        # It has read units that were there in the middle; what is gone now is not to be started.
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(["systemctl", "daemon-reload"], check=False, timeout=_COMMAND_S)
    return code


if __name__ == "__main__":
    sys.exit(main())
