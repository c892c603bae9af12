"""Commit and rollback: the same exchange, run forwards and backwards (rules 13 to 21).

``RENAME_EXCHANGE`` per changed entry, so that the staged tree becomes the before-images. Everything here is
loaded before the first exchange, blocking, and meant for one thread.

Where an operation stands is never remembered, it is read: each side is known by its handle, so an interrupted
commit is settled from the plan alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from workflow_agent.model.errors import CommitError, PathConflictError, RollbackIncompleteError
from workflow_agent.model.failpoint import failpoint
from workflow_agent.model.system import escape_path
from workflow_agent.targets.entries import describe
from workflow_agent.targets.linux import RENAME_EXCHANGE, RENAME_NOREPLACE, file_flags, open_beneath, rename
from workflow_agent.targets.live_tree import LiveTree, staged_path, transaction_folder
from workflow_agent.targets.many_owners import has_many_owners
from workflow_agent.targets.operations import Operation, OperationKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from workflow_agent.targets.entries import Entry

__all__ = ["Exchanger", "Side"]

_IMMUTABLE = 0x10
_APPEND_ONLY = 0x20
_SHOWN = 20
_F_SETSIG = 10  # fcntl(2)
_LOGS = b"/var/log/"


class Side(StrEnum):
    """Which side of an operation is live."""

    BEFORE = "before"
    AFTER = "after"
    FOREIGN = "foreign"


class Exchanger:
    """Carries the operations of one transaction out, in either direction.

    Args:
        tree: The target's files.
        transaction: Id of the transaction, whose folders hold the staged sides.
        release_reserve: Called when the disk is full, to free room for names (rule 19).
        mount_points: Where the target has something mounted: nothing there, and nothing above, can be exchanged.
    """

    def __init__(
        self,
        tree: LiveTree,
        transaction: str,
        release_reserve: Callable[[], None],
        mount_points: Iterable[bytes] = (),
    ) -> None:
        self._tree = tree
        self._transaction = transaction
        self._release_reserve = release_reserve
        self._mount_points = tuple(mount_points)

    # -- asking ------------------------------------------------------------------------------------------------

    def side(self, operation: Operation) -> Side:
        """Read which side is live, by identity.

        What lies in the transaction's own place decides: if the captured entry still does, nothing of this operation
        is live, whoever may have put something else at its path.
        """
        live = self._tree.read(operation.path)
        staged = self._tree.read(staged_path(operation, self._transaction)) if operation.staged else None
        before, after = operation.before, operation.after
        match operation.kind:
            case OperationKind.EXCHANGE:
                sides = {Side.AFTER: _is(live, after) and _is(staged, before), Side.BEFORE: _is(staged, after)}
            case OperationKind.CREATE:
                sides = {Side.AFTER: _is(live, after), Side.BEFORE: _is(staged, after)}
            case OperationKind.REMOVE:
                sides = {Side.AFTER: _is(staged, before), Side.BEFORE: staged is None}
            case OperationKind.ATTRIBUTES | OperationKind.APPEND:
                return Side.AFTER if _is(live, before) else Side.FOREIGN
        return next((side for side, holds in sides.items() if holds), Side.FOREIGN)

    def conflicts_with_commit(self, operations: Iterable[Operation]) -> list[dict[str, object]]:
        """Compare the target now with the baseline; each difference by name, with both sides."""
        found = []
        for operation in operations:
            live = self._tree.read(operation.path)
            before = operation.before
            if operation.kind is OperationKind.APPEND:
                # A log may have grown meanwhile; it must be the same file, and not have been cut.
                same = live is not None and before is not None and live.same_identity(before)
                same = same and live is not None and before is not None and live.size >= before.size
            elif before is None:
                same = live is None
            else:
                same = before.same_state(live) and self._same_below(operation)
            if not same:
                found.append(_difference(operation, before, live))
        return found

    def _same_below(self, operation: Operation, place: bytes | None = None) -> bool:
        """Whether everything below a folder that is exchanged or removed is as the baseline has it."""
        if operation.before is None or not operation.before.is_dir or operation.kind is OperationKind.ATTRIBUTES:
            return True
        found = self._tree.below(operation.path if place is None else place)
        return found.keys() == operation.subtree.keys() and all(
            # Exchanging another name of a file with several changes its ctime.
            entry.same_state(found[name], moved=entry.nlink > 1)
            for name, entry in operation.subtree.items()
        )

    def conflicts_with_rollback(self, operations: Iterable[Operation]) -> list[dict[str, object]]:
        """Find what somebody changed since the commit.

        Folders that the transaction created are owned with everything in them (rule 23): no conflict. Nor is what is
        back already, after an interruption or by hand.
        """
        found = []
        for operation in operations:
            live = self._tree.read(operation.path)
            if self._is_back(operation, live):
                continue
            after = operation.after
            match operation.kind:
                case OperationKind.REMOVE:
                    same = live is None
                case OperationKind.ATTRIBUTES:
                    same = self._as_committed(operation, live)
                case OperationKind.APPEND:
                    same = True
                case _:
                    assert after is not None
                    grows = operation.kind is OperationKind.CREATE and operation.path.startswith(_LOGS)
                    same = after.same_identity(live) if after.is_dir or grows else after.same_state(live)
            if not same:
                found.append(_difference(operation, after, live))
        return found

    def _is_back(self, operation: Operation, live: Entry | None) -> bool:
        match operation.kind:
            case OperationKind.EXCHANGE | OperationKind.CREATE:
                return self.side(operation) is Side.BEFORE
            case OperationKind.REMOVE:
                return _is(live, operation.before)
            case _:
                return operation.before is not None and operation.before.same_state(live)

    def _as_committed(self, operation: Operation, live: Entry | None) -> bool:
        before, after = operation.before, operation.after
        if before is None or after is None or live is None or not before.same_identity(live):
            return False
        same = (live.mode, live.uid, live.gid) == (after.mode, after.uid, after.gid)
        return same and self._tree.xattrs(operation.path) == dict(operation.after_xattrs)

    def owned(self, operations: Iterable[Operation]) -> list[str]:
        """List what appeared or changed below folders that the transaction created: it goes with an exact rollback."""
        found = []
        for operation in operations:
            if operation.after is None or not operation.after.is_dir or operation.kind is OperationKind.ATTRIBUTES:
                continue
            for relative, entry in self._tree.below(operation.path).items():
                came = operation.content.get(relative)
                # Moving another name of a file with several changes its ctime.
                if not entry.is_dir and (came is None or not came.same_state(entry, moved=came.nlink > 1)):
                    found.append(escape_path(operation.path + b"/" + relative))
        return sorted(found)

    def missing(self, operations: Iterable[Operation]) -> list[str]:
        """List committed paths that are missing or replaced now; others' records in shared files are their business."""
        return [
            escape_path(operation.path)
            for operation in operations
            if operation.kind in {OperationKind.CREATE, OperationKind.EXCHANGE}
            and not has_many_owners(operation.path)
            and not _is(self._tree.read(operation.path), operation.after)
        ]

    # -- looking before leaping ----------------------------------------------------------------------------------

    def dry_pass(self, operations: Sequence[Operation]) -> None:
        """Find everything that would stop an exchange before the first one (rules 11, 14, 19).

        Afterwards every folder is opened anew: time passes until the first exchange.

        Raises:
            PathConflictError: the target changed, or somebody has a file open for writing.
            CommitError: an entry can never be exchanged: mount point, immutable, active swap.
        """
        conflicts = self.conflicts_with_commit(operations)
        if conflicts:
            raise _conflict_error("changed on the target since the script ran", conflicts)
        swaps = _active_swaps()
        busy: list[dict[str, object]] = []
        for operation in operations:
            self._refuse_unmovable(operation, swaps)
            if operation.kind in {OperationKind.EXCHANGE, OperationKind.REMOVE}:
                busy += self._writers(operation)
        if busy:
            raise _conflict_error("open for writing", busy)
        self._refuse_lost_captures(operations)
        self._tree.forget()

    def _refuse_lost_captures(self, operations: Iterable[Operation]) -> None:
        for operation in operations:
            if operation.kind not in {OperationKind.EXCHANGE, OperationKind.CREATE}:
                continue
            staged = staged_path(operation, self._transaction)
            if not _is(self._tree.read(staged), operation.after):
                raise CommitError(
                    "what the script wrote is no longer there",
                    where=escape_path(staged),
                    state="nothing was changed",
                    hint="run the command again: the script is captured anew",
                )

    def _refuse_unmovable(self, operation: Operation, swaps: set[bytes]) -> None:
        moves = operation.kind in {OperationKind.EXCHANGE, OperationKind.REMOVE}
        mounted = [point for point in self._mount_points if moves and _at_or_below(point, operation.path)]
        if mounted:
            raise CommitError(
                "something is mounted at or below an entry that would be replaced",
                where=escape_path(mounted[0]),
                state="nothing was changed",
                hint="leave this path alone in the script, or unmount it first",
            )
        for path in {operation.path, operation.path.rpartition(b"/")[0] or b"/"}:
            flags = self._flags(path)
            if flags & (_IMMUTABLE | _APPEND_ONLY):
                raise CommitError(
                    "an entry is immutable or append-only",
                    where=escape_path(path),
                    state="nothing was changed",
                    hint=f"clear the flag with `chattr -ia {escape_path(path)}`, then run again",
                )
        if operation.path in swaps:
            raise CommitError(
                "an entry is active swap space", where=escape_path(operation.path), state="nothing was changed"
            )

    def _flags(self, path: bytes) -> int:
        entry = self._tree.read(path)
        if entry is None or not (entry.is_dir or stat.S_ISREG(entry.mode)):
            return 0  # others carry none, and opening a device can do things
        descriptor = open_beneath(self._tree.root_fd, path.strip(b"/"), os.O_RDONLY | os.O_NONBLOCK)
        try:
            return file_flags(descriptor)
        finally:
            os.close(descriptor)

    def _writers(self, operation: Operation) -> list[dict[str, object]]:
        """Find who writes to a file that would go aside, also below a folder that would."""
        assert operation.before is not None  # EXCHANGE and REMOVE have one
        files = {operation.path: operation.before} | {
            operation.path + b"/" + relative: entry for relative, entry in operation.subtree.items()
        }
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
        descriptor = open_beneath(self._tree.root_fd, path.strip(b"/"), os.O_RDONLY | os.O_NONBLOCK)
        try:
            # A broken lease sends a signal, by default one that ends the process: take one that is ignored instead.
            fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            os.close(descriptor)
            if error.errno == errno.EAGAIN:
                return None
            raise
        return descriptor

    # -- forwards --------------------------------------------------------------------------------------------------

    def commit(self, operations: Sequence[Operation]) -> None:
        """Carry every operation out; on any failure undo those that were and raise.

        Raises:
            PathConflictError: what came out of an exchange was not the baseline; everything is back.
            CommitError: the kernel refused; everything is back.
            RollbackIncompleteError: and not everything could be taken back.
        """
        for operation in operations:
            try:
                failpoint("transaction.commit.operation")
                self._forward(operation)
            except (OSError, PathConflictError) as error:
                self.undo(operations)  # all: folders' times are set last
                if isinstance(error, PathConflictError):
                    raise
                raise CommitError(
                    "an entry could not be put in place",
                    where=escape_path(operation.path),
                    cause=str(error),
                    state="everything was taken back",
                ) from error

    def _forward(self, operation: Operation) -> None:
        match operation.kind:
            case OperationKind.EXCHANGE:
                self._exchange_checked(operation)
            case OperationKind.CREATE:
                try:
                    self._rename(staged_path(operation, self._transaction), operation.path, RENAME_NOREPLACE)
                except FileExistsError as error:
                    live = self._tree.read(operation.path)
                    difference = _difference(operation, None, live)
                    raise _conflict_error("appeared on the target meanwhile", [difference]) from error
            case OperationKind.REMOVE:
                staged = staged_path(operation, self._transaction)
                self._rename(operation.path, staged, RENAME_NOREPLACE)
                self._check_came_out(operation, staged, RENAME_NOREPLACE)
            case OperationKind.ATTRIBUTES:
                self._set_attributes(operation, forward=True)
            case OperationKind.APPEND:
                self._append(operation)

    def _exchange_checked(self, operation: Operation) -> None:
        lease = None
        if operation.before is not None and stat.S_ISREG(operation.before.mode):
            lease = self._lease(operation.path)
            if lease is None:
                raise _conflict_error("open for writing", [{"path": escape_path(operation.path)}])
        try:
            staged = staged_path(operation, self._transaction)
            self._rename(staged, operation.path, RENAME_EXCHANGE)
            self._check_came_out(operation, staged, RENAME_EXCHANGE)
        finally:
            if lease is not None:
                os.close(lease)

    def _check_came_out(self, operation: Operation, staged: bytes, flags: int) -> None:
        """The check and the exchange are not one step: look at what came out, put it back if it is another."""
        before = operation.before
        came_out = self._tree.read(staged)
        assert before is not None
        if not before.same_state(came_out, moved=True) or not self._same_below(operation, staged):
            self._rename(staged, operation.path, flags)
            raise _conflict_error("changed at the moment of the exchange", [_difference(operation, before, came_out)])

    def _append(self, operation: Operation) -> None:
        staged_fd = open_beneath(self._tree.root_fd, staged_path(operation, self._transaction).strip(b"/"), os.O_RDONLY)
        live_fd = open_beneath(self._tree.root_fd, operation.path.strip(b"/"), os.O_WRONLY | os.O_APPEND)
        try:
            offset, left = operation.offset, operation.length
            while left > 0:
                chunk = os.pread(staged_fd, min(left, 1 << 20), offset)
                if not chunk:
                    raise OSError(errno.EIO, "the staged log ended early", escape_path(operation.path))
                written = os.write(live_fd, chunk)  # a nearly full disk takes a part
                offset += written
                left -= written
        finally:
            os.close(staged_fd)
            os.close(live_fd)

    # -- backwards ---------------------------------------------------------------------------------------------------

    def undo(self, operations: Sequence[Operation]) -> None:
        """Take back every operation that is live, last first. Safe to run again after an interruption.

        Appended log lines stay (see ``docs/rollback.md``).

        Raises:
            RollbackIncompleteError: entries are neither before nor after, or (`again`) the disk refused; the rest is
                taken back.
        """
        left: list[dict[str, object]] = []
        self._tree.forget()
        folders = [operation for operation in operations if operation.kind is OperationKind.ATTRIBUTES]
        entries = [operation for operation in reversed(operations) if operation.kind is not OperationKind.ATTRIBUTES]
        # Renames below a folder change its times: folders come last, deepest first, as they are listed.
        for operation in entries + folders:
            try:
                cause = self._take_back(operation)
            except OSError as error:
                left.append({"path": escape_path(operation.path), "cause": str(error), "again": True})
                continue
            if cause is not None:
                left.append({"path": escape_path(operation.path), "cause": cause, "again": False})
        if left:
            raise RollbackIncompleteError(
                f"{len(left)} entries could not be taken back",
                where=str(left[0]["path"]),
                cause=str(left[0]["cause"]),
                hint="put these paths right by hand (or remove them), then run the command again",
                details={"left": left},
            )

    def _take_back(self, operation: Operation) -> str | None:
        """Undo one operation where it is live; gives why that will never be possible."""
        failpoint("transaction.undo.operation")
        side = self.side(operation)
        if operation.kind is OperationKind.APPEND or side is Side.BEFORE:
            return None
        if side is Side.FOREIGN:
            return "the entry is neither as before nor as committed"
        self._backward(operation)
        return None

    def _backward(self, operation: Operation) -> None:
        staged = staged_path(operation, self._transaction)
        match operation.kind:
            case OperationKind.EXCHANGE:
                self._rename(staged, operation.path, RENAME_EXCHANGE)
            case OperationKind.CREATE:
                self._rename(operation.path, staged, RENAME_NOREPLACE)
            case OperationKind.REMOVE:
                self._rename(staged, operation.path, RENAME_NOREPLACE)
            case OperationKind.ATTRIBUTES:
                self._set_attributes(operation, forward=False)
            case OperationKind.APPEND:
                return  # log lines stay

    def check_images(self, operations: Iterable[Operation]) -> None:
        """Refuse a rollback whose before-images are not all there (rule 19)."""
        lost = []
        for operation in operations:
            if operation.kind in {OperationKind.EXCHANGE, OperationKind.REMOVE}:
                if self._is_back(operation, self._tree.read(operation.path)):
                    continue
                staged = self._tree.read(staged_path(operation, self._transaction))
                place = staged_path(operation, self._transaction)
                same = operation.before is not None and operation.before.same_state(staged, moved=True)
                if not same or not self._same_below(operation, place):
                    lost.append(escape_path(operation.path))
        if lost:
            raise RollbackIncompleteError(
                f"the before-images of {len(lost)} paths are missing or were changed; nothing was touched",
                where=transaction_folder(b"/", self._transaction).decode(),
                details={"paths": lost},
            )

    def differences_from(self, operations: Iterable[Operation]) -> list[dict[str, object]]:
        """Compare the target with the before side once more, after a rollback: what is claimed is checked."""
        found = []
        for operation in operations:
            if operation.kind is OperationKind.APPEND:
                continue
            live = self._tree.read(operation.path)
            before = operation.before
            same = live is None if before is None else before.same_state(live, moved=True)
            if same and operation.kind is OperationKind.ATTRIBUTES and before is not None and live is not None:
                same = live.mtime == before.mtime
                same = same and self._tree.xattrs(operation.path) == dict(operation.before_xattrs)
            if not same:
                found.append(_difference(operation, before, live))
        return found

    # -- both ----------------------------------------------------------------------------------------------------------

    def refresh(self, operations: Iterable[Operation]) -> list[Operation]:
        """Read ctimes again after a commit or a rollback: the base for drift and conflicts (rule 21).

        Moving an entry changes its ctime and nothing else; one that differs in more keeps its record, so that it is
        found to differ.
        """
        result = []
        for operation in operations:
            if operation.kind in {OperationKind.ATTRIBUTES, OperationKind.APPEND}:
                result.append(operation)
                continue
            found = [self._tree.read(operation.path), self._tree.read(staged_path(operation, self._transaction))]
            result.append(
                replace(operation, before=_moved(operation.before, found), after=_moved(operation.after, found))
            )
        return result

    def _set_attributes(self, operation: Operation, *, forward: bool) -> None:
        wanted = operation.after if forward else operation.before
        xattrs = operation.after_xattrs if forward else operation.before_xattrs
        assert wanted is not None
        descriptor = self._tree.folder(operation.path)
        now = os.fstat(descriptor)
        if (now.st_uid, now.st_gid) != (wanted.uid, wanted.gid):
            os.fchown(descriptor, wanted.uid, wanted.gid)
        if now.st_mode != wanted.mode:
            os.fchmod(descriptor, stat.S_IMODE(wanted.mode))
        for name in os.listxattr(descriptor):
            if name not in xattrs and not name.startswith("trusted.overlay."):
                os.removexattr(descriptor, name)
        for name, value in xattrs.items():
            os.setxattr(descriptor, name, value)
        os.utime(descriptor, ns=(now.st_atime_ns, wanted.mtime))

    def _rename(self, source: bytes, target: bytes, flags: int) -> None:
        try:
            rename(*self._tree.place(source), *self._tree.place(target), flags)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self._release_reserve()
            rename(*self._tree.place(source), *self._tree.place(target), flags)


def _moved(recorded: Entry | None, found: Iterable[Entry | None]) -> Entry | None:
    if recorded is None:
        return None
    return next((entry for entry in found if recorded.same_state(entry, moved=True)), recorded)


def _at_or_below(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder + b"/")


def _is(entry: Entry | None, wanted: Entry | None) -> bool:
    return entry is not None and entry.same_identity(wanted)


def _difference(operation: Operation, expected: Entry | None, found: Entry | None) -> dict[str, object]:
    return {"path": escape_path(operation.path), "expected": describe(expected), "found": describe(found)}


def _conflict_error(what: str, conflicts: list[dict[str, object]]) -> PathConflictError:
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
