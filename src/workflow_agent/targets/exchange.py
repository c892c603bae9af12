"""Commit and rollback: the same exchange, run forwards and backwards (rules 13 to 21).

``RENAME_EXCHANGE`` per changed entry, so that the staged tree becomes the before-images. Everything here is
loaded before the first exchange, blocking, and meant for one thread.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.model.errors import CommitError, PathConflictError, RollbackIncompleteError
from workflow_agent.model.failpoint import failpoint
from workflow_agent.model.system import escape_path
from workflow_agent.targets.flags import clear_flags, set_flags_after, set_flags_before
from workflow_agent.targets.linux import OVERLAY_MARKS, RENAME_EXCHANGE, RENAME_NOREPLACE, open_beneath, rename
from workflow_agent.targets.live_tree import LiveTree, staged_path
from workflow_agent.targets.obstacles import Obstacles, conflict_error
from workflow_agent.targets.operations import Operation, OperationKind
from workflow_agent.targets.sides import IMAGES, Side, difference, is_same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from workflow_agent.targets.entries import Entry

__all__ = ["Exchanger"]


class Exchanger(Obstacles):
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
        super().__init__(tree, transaction, mount_points)
        self._release_reserve = release_reserve
        #: How long entries of both sides lay on the target in the last commit, in seconds.
        self.exchanged_s = 0.0

    # -- forwards --------------------------------------------------------------------------------------------------

    def commit(self, operations: Sequence[Operation]) -> None:
        """Carry every operation out; on any failure undo those that were and raise.

        Raises:
            PathConflictError: what came out of an exchange was not the baseline; everything is back.
            CommitError: the kernel refused; everything is back.
            RollbackIncompleteError: and not everything could be taken back.
        """
        operation = None
        try:
            clear_flags(self._tree, operations)
            self._open_folders(operations)
            started = time.monotonic()
            for operation in operations:
                failpoint("transaction.commit.operation")
                self._forward(operation)
            self.exchanged_s = time.monotonic() - started
            self._tree.forget()
            self._check_came_out(operations)
            set_flags_after(self._tree, operations)
        except (OSError, PathConflictError) as error:
            self.undo(operations)  # all: folders' times and flags are set last
            if isinstance(error, PathConflictError):
                raise
            raise CommitError(
                "an entry could not be put in place",
                where=escape_path(operation.path) if operation is not None else None,
                cause=str(error),
                state="everything was taken back",
            ) from error

    def _open_folders(self, operations: Sequence[Operation]) -> None:
        """Open what will be asked for first, so that the target is in between for as short as can be.

        What lies below an operation's own path is another folder, or none, before that operation.
        """
        own = {operation.path for operation in operations if operation.kind is not OperationKind.ATTRIBUTES}
        paths: set[bytes] = set()
        for operation in operations:
            folder = operation.path.rpartition(b"/")[0]
            if folder not in paths and own.isdisjoint(_and_above(folder)):
                paths.add(folder)
                self._tree.open_ahead(folder, staged_path(operation, self._transaction).rpartition(b"/")[0])

    def _forward(self, operation: Operation) -> None:
        match operation.kind:
            case OperationKind.EXCHANGE:
                self._exchange(operation)
            case OperationKind.CREATE:
                try:
                    self._rename(staged_path(operation, self._transaction), operation.path, RENAME_NOREPLACE)
                except FileExistsError as error:
                    live = self._tree.read(operation.path)
                    found = difference(operation, None, live)
                    raise conflict_error("appeared on the target meanwhile", [found]) from error
            case OperationKind.REMOVE:
                staged = staged_path(operation, self._transaction)
                self._rename(operation.path, staged, RENAME_NOREPLACE)
            case OperationKind.REMOVE_FOLDER:
                self._remove_folder(operation)
            case OperationKind.ATTRIBUTES:
                self._set_attributes(operation, forward=True)
            case OperationKind.APPEND:
                self._append(operation)

    def _exchange(self, operation: Operation) -> None:
        lease = None
        if operation.before is not None and stat.S_ISREG(operation.before.mode):
            lease = self._lease(operation.path)
            if lease is None:
                raise conflict_error("open for writing", [{"path": escape_path(operation.path)}])
        try:
            self._rename(staged_path(operation, self._transaction), operation.path, RENAME_EXCHANGE)
        finally:
            if lease is not None:
                os.close(lease)

    def _check_came_out(self, operations: Sequence[Operation]) -> None:
        """The look before and the exchange are not one step: look at what came out; all goes back if it is another.

        After the last operation, so that the target is in between for as short as can be.

        Raises:
            PathConflictError: something else came out.
        """
        others: list[dict[str, object]] = []
        for operation in operations:
            if operation.kind not in IMAGES:
                continue
            before, staged = operation.before, staged_path(operation, self._transaction)
            came_out = self._tree.read(staged)
            assert before is not None
            if not before.same_state(came_out, moved=True) or not self._same_below(operation, staged):
                others.append(difference(operation, before, came_out))
        if others:
            raise conflict_error("changed at the moment of the exchange", others)

    def _remove_folder(self, operation: Operation) -> None:
        """Remove an empty folder for which a twin is staged; one that is that twin, from an earlier undoing, moves."""
        self._tree.forget()  # descriptors of it would outlive it
        staged, live = staged_path(operation, self._transaction), self._tree.read(operation.path)
        try:
            if live is None or not live.same_identity(operation.before):
                raise conflict_error("changed meanwhile", [difference(operation, operation.before, live)])
            if self._tree.read(staged) is None:
                self._move_twin(operation, staged)
            else:
                folder_fd, name = self._tree.place(operation.path)
                os.rmdir(name, dir_fd=folder_fd)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            raise conflict_error("got new entries meanwhile", [{"path": escape_path(operation.path)}]) from error
        self._tree.forget()

    def _move_twin(self, operation: Operation, staged: bytes) -> None:
        if os.listdir(self._tree.folder(operation.path)):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), escape_path(operation.path))
        self._set_time_back(operation)  # as it was before its entries went
        self._rename(operation.path, staged, RENAME_NOREPLACE)

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
        with suppress(OSError):  # what it was needed for says why
            clear_flags(self._tree, operations)
        folders = [operation for operation in operations if operation.kind is OperationKind.ATTRIBUTES]
        entries = [operation for operation in reversed(operations) if operation.kind is not OperationKind.ATTRIBUTES]
        # Renames below a folder change its times: folders come last, deepest first, as they are listed.
        removed = [operation for operation in operations if operation.kind is OperationKind.REMOVE_FOLDER]
        for operation, step in [(one, self._take_back) for one in entries + folders] + [
            (one, self._set_time_back) for one in removed
        ]:
            try:
                cause = step(operation)
            except OSError as error:
                left.append({"path": escape_path(operation.path), "cause": str(error), "again": True})
                continue
            if cause is not None:
                left.append({"path": escape_path(operation.path), "cause": cause, "again": False})
        self._tree.forget()
        try:
            set_flags_before(self._tree, operations)
        except OSError as error:
            left.append({"path": escape_path(os.fsencode(error.filename or b"")), "cause": str(error), "again": True})
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
        if side is Side.FOREIGN and self._is_gone(operation):
            return None
        if side is Side.FOREIGN:
            return "the entry is neither as before nor as committed"
        self._backward(operation)
        return None

    def _is_gone(self, operation: Operation) -> bool:
        """Whether something that came is no more, as the journal of a database whose owner stopped."""
        return operation.kind is OperationKind.CREATE and self._tree.read(operation.path) is None

    def _set_time_back(self, operation: Operation) -> str | None:
        """Give a folder that came back the time that it had: its entries came back after it."""
        live = self._tree.read(operation.path)
        if is_same(live, operation.after) or is_same(live, operation.before):
            assert operation.after is not None
            descriptor = self._tree.folder(operation.path)
            os.utime(descriptor, ns=(os.fstat(descriptor).st_atime_ns, operation.after.mtime))
        return None

    def _backward(self, operation: Operation) -> None:
        staged = staged_path(operation, self._transaction)
        match operation.kind:
            case OperationKind.EXCHANGE:
                self._rename(staged, operation.path, RENAME_EXCHANGE)
            case OperationKind.CREATE:
                self._rename(operation.path, staged, RENAME_NOREPLACE)
            case OperationKind.REMOVE | OperationKind.REMOVE_FOLDER:
                self._rename(staged, operation.path, RENAME_NOREPLACE)
                if operation.kind is OperationKind.REMOVE_FOLDER:
                    self._tree.forget()  # descriptors of the one that was there before
            case OperationKind.ATTRIBUTES:
                self._set_attributes(operation, forward=False)
            case OperationKind.APPEND:
                return  # log lines stay

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
            if operation.content_flags:
                operation = self._with_content(operation)  # noqa: PLW2901
            result.append(self._refreshed(operation))
        return result

    def _refreshed(self, operation: Operation) -> Operation:
        before, after, staged = operation.before, operation.after, staged_path(operation, self._transaction)
        if operation.kind is not OperationKind.REMOVE_FOLDER:
            # As it is nearly always: both sides are ours, and one look at each says which is where.
            live = self._now(operation.path, after, before)
            if live is not None and before is None:
                return operation.with_sides(None, live)
            other = self._now(staged, before, after)
            if live is None and other is not None and after is None:
                return operation.with_sides(other, None)
            if live is not None and other is not None and live.ino != other.ino:
                is_after = after is not None and live.ino == after.ino
                return operation.with_sides(*((other, live) if is_after else (live, other)))
        found = (self._tree.read(operation.path), self._tree.read(staged))
        if operation.kind is OperationKind.REMOVE_FOLDER and is_same(found[0], after):
            before = found[0]  # from now on the twin is what is there
        return operation.with_sides(_moved(before, found), _moved(after, found))

    def _now(self, path: bytes, *sides: Entry | None) -> Entry | None:
        """Give one of the two sides as it is there now, but for folders; None where neither is."""
        status = self._tree.status(path)
        if status is None:
            return None
        return next((now for one in sides if one is not None and (now := one.moved_to(status)) is not None), None)

    def _with_content(self, operation: Operation) -> Operation:
        """Read the ctimes of flagged content again: setting flags changes them."""
        content = dict(operation.content)
        for relative in operation.content_flags:
            live = self._tree.read(operation.path + b"/" + relative)
            content[relative] = _moved(content[relative], (live,)) or content[relative]
        return replace(operation, content=content)

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
            if name not in xattrs and not name.startswith(OVERLAY_MARKS):
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


def _and_above(path: bytes) -> Iterator[bytes]:
    """Give a path and all folders above it, but not the root."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]


def _moved(recorded: Entry | None, found: Iterable[Entry | None]) -> Entry | None:
    if recorded is None:
        return None
    return next((entry for entry in found if recorded.same_state(entry, moved=True)), recorded)
