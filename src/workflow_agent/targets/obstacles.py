"""What stands against a commit, found before its first operation (rules 11, 14, 19). Blocking, for one thread."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from typing import TYPE_CHECKING

from workflow_agent.model.errors import CommitError, PathConflictError
from workflow_agent.model.system import escape_path
from workflow_agent.targets.flags import held_flags
from workflow_agent.targets.live_tree import LiveTree, staged_path
from workflow_agent.targets.operations import Operation, OperationKind
from workflow_agent.targets.sides import IMAGES, Sides, at_and_above, is_same

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from workflow_agent.targets.entries import Entry

__all__ = ["Obstacles", "conflict_error"]

_SHOWN = 20
_MOVES = frozenset({OperationKind.EXCHANGE, OperationKind.REMOVE, OperationKind.REMOVE_FOLDER})
_BROUGHT = frozenset({OperationKind.EXCHANGE, OperationKind.CREATE})
_F_SETSIG = 10  # fcntl(2)
#: The signal of a broken lease: its default is to be ignored. As a number: it is given for every file.
_IGNORED = int(signal.SIGURG)
_LOOKED_AT = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class Obstacles(Sides):
    """Looks at everything that a commit would touch.

    Args:
        tree: The target's files.
        transaction: Id of the transaction, whose folders hold the staged sides.
        mount_points: Where the target has something mounted: nothing there, and nothing above, can be exchanged.
    """

    def __init__(self, tree: LiveTree, transaction: str, mount_points: Iterable[bytes] = ()) -> None:
        super().__init__(tree, transaction)
        self._mount_points = tuple(mount_points)

    def dry_pass(self, operations: Sequence[Operation]) -> None:
        """Find everything that would stop an exchange before the first one (rules 11, 14, 19).

        Afterwards every folder is opened anew: time passes until the first exchange.

        Raises:
            PathConflictError: the target changed, or somebody has a file open for writing.
            CommitError: an entry can never be exchanged: mount point, immutable, active swap.
        """
        with self._tree.looking():
            conflicts = self.conflicts_with_commit(operations)
            if conflicts:
                raise conflict_error("changed on the target since the script ran", conflicts)
            self._refuse_unmovable(operations)
            busy: list[dict[str, object]] = []
            for operation in operations:
                if operation.kind in IMAGES:
                    busy += self._writers(operation)
            if busy:
                raise conflict_error("open for writing", busy)
            self._refuse_lost_captures(operations)
        self._tree.forget()

    def _refuse_lost_captures(self, operations: Iterable[Operation]) -> None:
        for operation in operations:
            if operation.kind not in _BROUGHT:
                continue
            staged = staged_path(operation, self._transaction)
            if not is_same(self._tree.read(staged, operation.after), operation.after):
                raise CommitError(
                    "what the script wrote is no longer there",
                    where=escape_path(staged),
                    state="nothing was changed",
                    hint="run the command again: the script is captured anew",
                )

    def _refuse_unmovable(self, operations: Iterable[Operation]) -> None:
        swaps = _active_swaps()
        looked_at: set[bytes] = set()
        operations = list(operations)
        known = {operation.path: operation.before_flags for operation in operations}
        above = {one for point in self._mount_points for one in at_and_above(point)}
        for operation in operations:
            if operation.before is not None and self._tree.read(operation.path) is operation.before:
                looked_at.add(operation.path)  # a flag that came or went would have changed its ctime
            is_held = operation.kind in _MOVES and operation.path in above
            mounted = [one for one in self._mount_points if is_held and _at_or_below(one, operation.path)]
            if mounted:
                raise CommitError(
                    "something is mounted at or below an entry that would be replaced",
                    where=escape_path(mounted[0]),
                    state="nothing was changed",
                    hint="leave this path alone in the script, or unmount it first",
                )
            for path in (operation.path, operation.path.rpartition(b"/")[0] or b"/"):
                if path not in looked_at:
                    self._refuse_flags(path, known.get(path, 0))
                    looked_at.add(path)
            if operation.path in swaps:
                raise CommitError(
                    "an entry is active swap space", where=escape_path(operation.path), state="nothing was changed"
                )

    def _refuse_flags(self, path: bytes, known: int) -> None:
        """Refuse flags that nobody knew of when the script ran: the others are cleared, and set afterwards."""
        now = held_flags(self._tree.root_fd, path, self._tree.read(path))
        if now == known:
            return
        clear = f"clear the flag with `chattr -ia {escape_path(path)}`, or have the script do it; then run again"
        raise CommitError(
            "an entry is immutable or append-only"
            if now & ~known
            else "an entry is not immutable or append-only any more",
            where=escape_path(path),
            cause="it was not when the script ran" if now & ~known else "it was when the script ran",
            state="nothing was changed",
            hint=clear if now & ~known else "run the command again: the script is captured anew",
        )

    def _writers(self, operation: Operation) -> list[dict[str, object]]:
        """Find who writes to a file that would go aside, also below a folder that would."""
        assert operation.before is not None  # EXCHANGE and REMOVE have one
        files = {operation.path: operation.before}
        files |= {operation.path + b"/" + relative: entry for relative, entry in operation.subtree.items()}
        busy: list[dict[str, object]] = []
        for path, entry in files.items():
            if not stat.S_ISREG(entry.mode):
                continue
            descriptor = self._lease(path)
            if descriptor is None:
                busy.append({"path": escape_path(path), "holders": _holders(entry)})
            else:
                os.close(descriptor)
        return busy

    def _lease(self, path: bytes) -> int | None:
        """Take a read lease: refused means that somebody has the file open for writing (rule 14)."""
        folder_fd, name = self._tree.place(path)
        descriptor = os.open(name, _LOOKED_AT, dir_fd=folder_fd)
        try:
            # A broken lease sends a signal, by default one that ends the process: take one that is ignored instead.
            fcntl.fcntl(descriptor, _F_SETSIG, _IGNORED)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            os.close(descriptor)
            if error.errno == errno.EAGAIN:
                return None
            raise
        return descriptor


def _at_or_below(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder + b"/")


def conflict_error(what: str, conflicts: list[dict[str, object]]) -> PathConflictError:
    """Make the error that names paths, the first ones in words and all in its details."""
    names = [str(conflict["path"]) for conflict in conflicts]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    holders = [str(holder) for conflict in conflicts for holder in conflict.get("holders", ())]  # type: ignore[attr-defined]
    return PathConflictError(
        f"{len(names)} {'path' if len(names) == 1 else 'paths'} {what}: {', '.join(names[:_SHOWN])}{more}",
        where=names[0],
        cause=f"held by {', '.join(holders)}" if holders else None,
        state="nothing was changed",
        hint="look at what changed, then run the command again",
        details={"conflicts": conflicts},
    )


def _active_swaps() -> set[bytes]:
    with open("/proc/swaps", "rb") as stream:
        return {line.split()[0] for line in stream.read().splitlines()[1:]}


def _holders(entry: Entry) -> list[str]:
    """Name the processes that have an inode open."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                status = os.stat(f"/proc/{pid}/fd/{descriptor}")
                if (status.st_ino, status.st_dev) == (entry.ino, entry.dev):
                    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
                        found.append(f"{stream.read().strip()} (process {pid})")
                    break
        except OSError:
            continue  # it ended meanwhile
    return found
