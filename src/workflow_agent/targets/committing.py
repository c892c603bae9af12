"""What changes the target: commit, its undoing, rollback, and settling what a crash interrupted. Blocking."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workflow_agent.model.choice import NOTHING_CHOSEN
from workflow_agent.model.errors import (
    CommitError,
    NotFoundError,
    PathConflictError,
    RollbackIncompleteError,
    ServiceFailedError,
    TransactionError,
)
from workflow_agent.model.failpoint import failpoint
from workflow_agent.model.system import escape_path
from workflow_agent.targets.exchange import Exchanger
from workflow_agent.targets.handing_over import hand_over
from workflow_agent.targets.live_tree import LiveTree
from workflow_agent.targets.merging import look_at_shared, rebase
from workflow_agent.targets.operations import OperationKind, touched
from workflow_agent.targets.pruning import drop_images
from workflow_agent.targets.rebasing import stand_on_times, times_found, times_left, times_taken_over
from workflow_agent.targets.standing import is_standing
from workflow_agent.targets.stored_operations import moments_of
from workflow_agent.targets.transaction import Transaction, TransactionState
from workflow_agent.targets.writable_disks import refuse_read_only

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from typing import TypeAlias

    from workflow_agent.model.choice import ConflictChoice
    from workflow_agent.targets.entries import Entry
    from workflow_agent.targets.operations import Operation
    from workflow_agent.targets.rollback_look import Looked
    from workflow_agent.targets.transaction import TransactionFolders

    #: Which inode, and since when it is as it is: handle, number, ctime.
    _Moment: TypeAlias = tuple[bytes, int, int]

__all__ = ["Committer"]

_MS = 1000.0
_INTERRUPTED = frozenset({TransactionState.COMMITTING, TransactionState.ROLLING_BACK})


class Committer:
    """Carries transactions of one target out and takes them back.

    Args:
        root_fd: The target's root.
        folders: Its transactions.
        mount_points: Gives where something is mounted on the target now.
    """

    def __init__(self, root_fd: int, folders: TransactionFolders, mount_points: Callable[[], Iterable[bytes]]) -> None:
        self._root_fd = root_fd
        self._folders = folders
        self._mount_points = mount_points
        #: What a commit brought back, where its rollback had left caches to others.
        self.came_again: Transaction | None = None

    def _exchanger(self, tree: LiveTree, plan: Transaction) -> Exchanger:
        points = self._mount_points()
        return Exchanger(tree, plan.id, lambda: self._folders.release_reserve(plan.points), points)

    # -- commit --------------------------------------------------------------------------------------------------

    def commit(
        self, transaction: str, *, before_exchange: Callable[[], None] | None = None, owned: Sequence[bytes] = ()
    ) -> dict[str, Any]:  # Any: counts and timings
        """Bring a captured (or rolled back) transaction to the target; gives counts and timings.

        Args:
            transaction: Its id.
            before_exchange: Called when the plan file says that a commit has begun, to quieten what runs: a crash
                after it is settled. Only then is the target compared.
            owned: What changed below these paths meanwhile is no conflict where they go as a whole (rule 23).

        Raises:
            PathConflictError: the target changed meanwhile; it is as it was.
            CommitError: something refused; the target is as it was.
            RollbackIncompleteError: something refused, and not everything could be taken back.
        """
        plan = self._folders.read(transaction)
        if plan.state not in {TransactionState.CAPTURED, TransactionState.ROLLED_BACK}:
            raise TransactionError(f"a transaction that is {plan.state.value} cannot be committed", where=transaction)
        refuse_read_only(self._root_fd, plan, CommitError, "a disk that would change cannot be written to")
        with LiveTree(self._root_fd) as tree:
            exchanger = self._exchanger(tree, plan)
            started = time.monotonic()
            self._sync_staged(plan)
            synced = time.monotonic()
            if before_exchange is None:
                plan = self._look_before_commit(exchanger, tree, plan)
            committing = self._folders.move(plan, TransactionState.COMMITTING)
            try:
                if before_exchange is not None:
                    before_exchange()
                    plan = replace(plan, operations=tuple(_as_owned(tree, plan.operations, owned)))
                    plan = self._look_before_commit(exchanger, tree, plan)
                    committing = self._folders.move(plan, TransactionState.COMMITTING)
                exchanger.commit(plan.operations)
            except (PathConflictError, CommitError, ServiceFailedError):
                self._forget_attempt(exchanger, plan, plan.state)
                raise
            except RollbackIncompleteError as error:
                if not any(item["again"] for item in error.details["left"]):
                    self._forget_attempt(exchanger, plan, TransactionState.ROLLED_BACK)
                raise
            exchanged = time.monotonic()
            self._record_commit(exchanger, plan, committing)
            self.came_again = plan if plan.rebased else None
            ended = time.monotonic()
        return {
            "operations": len(plan.operations),
            "check_ms": round((exchanged - synced - exchanger.exchanged_s) * _MS, 3),
            "exchange_ms": round(exchanger.exchanged_s * _MS, 3),
            "sync_ms": round((synced - started + ended - exchanged) * _MS, 3),
        }

    def _look_before_commit(self, exchanger: Exchanger, tree: LiveTree, plan: Transaction) -> Transaction:
        """Find what stands against a commit; gives the plan as it stands on what lies there now.

        Folders have the times of now, and there is something in place of names that come apart.
        """
        try:
            exchanger.dry_pass(plan.operations)
            plan = replace(plan, operations=tuple(times_found(tree, plan.operations)))
            if not plan.links:
                return plan
            from workflow_agent.targets.layers import unite_names  # noqa: PLC0415  # late: containers only

            return replace(plan, operations=tuple(unite_names(tree, plan.id, plan.links, plan.operations)))
        except OSError as error:
            raise CommitError("the target cannot be read", cause=str(error), state="nothing was changed") from error

    def _sync_staged(self, plan: Transaction) -> None:
        """Contents first: an exchange has none of the safety that ext4 gives a rename (rule 15)."""
        try:
            self._folders.sync(plan.points)
        except OSError as error:
            raise CommitError(
                "the disk did not take what the script wrote", cause=str(error), state="nothing was changed"
            ) from error

    def _record_commit(self, exchanger: Exchanger, plan: Transaction, committing: Transaction) -> None:
        try:
            self._folders.sync(plan.points)
            failpoint("transaction.committed")
            self._record(exchanger, committing, TransactionState.COMMITTED)
        except (OSError, TransactionError) as error:
            seen = exchanger.refresh(plan.operations)
            exchanger.undo(plan.operations)
            self._forget_attempt(exchanger, plan, plan.state, seen)
            raise CommitError(
                "the commit could not be recorded",
                cause=error.cause if isinstance(error, TransactionError) else str(error),
                state="everything was taken back",
            ) from error

    def _forget_attempt(
        self, exchanger: Exchanger, plan: Transaction, state: TransactionState, seen: Iterable[Operation] = ()
    ) -> None:
        """Put the plan file back after a commit that was undone; a crash before that is settled as an undoing."""
        with suppress(OSError, TransactionError):
            self._folders.sync(plan.points)
            self._record(exchanger, plan, state, seen)

    # -- recording -----------------------------------------------------------------------------------------------

    def _record(
        self, exchanger: Exchanger, plan: Transaction, state: TransactionState, seen: Iterable[Operation] = ()
    ) -> None:
        """Write down what was moved, first with everybody else who knows it, then with the plan itself.

        Args:
            exchanger: Reads what lies where now.
            plan: What was carried out or taken back, as it is on disk.
            state: Where it stands now.
            seen: Its operations as they lay before they were moved, where the plan file may not say so.
        """
        operations = tuple(exchanger.refresh(plan.operations))
        if set(self._folders.ids()) - {plan.id}:
            self._tell_others(plan.id, _moves(plan.operations, operations) | _moves(seen, operations))
        if plan.rebased and state is TransactionState.ROLLED_BACK:
            self._hand_over(replace(plan, operations=operations))
        self._folders.move(plan, state, operations=operations)

    def _tell_others(self, transaction: str, moved: Mapping[_Moment, Entry]) -> None:
        """Bring other transactions up to moves of ours, which change ctimes and nothing else (rule 21).

        A run that stands on an earlier one moves the files of that one aside and back: that is no change of them.
        """
        known = {(b"%d" % number, b"%d" % ctime) for _, number, ctime in moved}
        for name in self._folders.ids():
            if name == transaction:
                continue
            with suppress(TransactionError, NotFoundError):  # damaged, or discarded meanwhile: nobody can use it
                other = self._folders.read(name)
                if known.isdisjoint(moments_of(other.operations)):
                    continue
                operations = tuple(_brought_up(operation, moved) for operation in other.operations)
                if operations != other.operations:
                    self._folders.move(other, other.state, operations=operations)

    def _hand_over(self, gone: Transaction) -> None:
        """Tell later transactions on shared files what they stand on now; see :func:`handing_over.hand_over`."""
        with LiveTree(self._root_fd) as tree:
            standing = [other for other in self._others(gone.id) if other.state is not TransactionState.PRUNED]
            for other in hand_over(tree, gone, standing):
                self._folders.move(other, other.state)

    def made_anew(self, transaction: str, seen: Mapping[bytes, Entry | None]) -> None:
        """Tell other transactions that caches which they left were made anew: that is no change of anybody's.

        Args:
            transaction: Because of which they were made anew.
            seen: What lay there before, by path.
        """
        with LiveTree(self._root_fd) as tree:
            for other in list(self._others(transaction)):
                operations = tuple(_with_cache(tree, operation, seen) for operation in other.operations)
                if operations != other.operations:
                    self._folders.move(other, other.state, operations=operations)

    # -- rollback ------------------------------------------------------------------------------------------------

    def look_before_rollback(
        self,
        plan: Transaction,
        after: Collection[str] = (),
        choice: ConflictChoice = NOTHING_CHOSEN,
        *,
        is_own: bool = False,
    ) -> Looked:
        """Find what stands against a rollback; see :func:`rollback_look.look_before_rollback`.

        `after` are the transactions that are taken back before it.
        """
        from workflow_agent.targets.rollback_look import look_before_rollback  # noqa: PLC0415  # late: rollbacks only

        refuse_read_only(
            self._root_fd, plan, RollbackIncompleteError, "a disk cannot be written to: nothing was touched"
        )
        before_it = [self._folders.read(name) for name in after]
        others = list(self._others(plan.id))
        with LiveTree(self._root_fd) as tree, tree.looking():
            return look_before_rollback(tree, plan, others, before_it, choice, is_own=is_own)

    def merges(self, plan: Transaction) -> list[str]:
        """List the files in which a rollback would leave the records of others."""
        with LiveTree(self._root_fd) as tree:
            return [escape_path(path) for path in look_at_shared(tree, plan.id, plan.operations).merged]

    def trial(self, plan: Transaction) -> str | None:
        """Give the script that tries a rollback out in an overlay, where packages of others were put in since."""
        from workflow_agent.targets import soundness  # noqa: PLC0415  # late: few rollbacks need it

        with LiveTree(self._root_fd) as tree:
            merged = look_at_shared(tree, plan.id, plan.operations).merged
            if not soundness.is_in_question(plan.operations, merged):
                return None
            return soundness.audit_script(*soundness.rehearsal_files(tree, plan, merged))

    def others(self, transaction: str) -> list[Transaction]:
        """List the other transactions that are committed, the oldest first."""
        return list(self._others(transaction))

    def rebase(self, looked: Looked) -> tuple[Transaction, list[str]]:
        """Take over what others wrote since to files that many owners share; see :func:`merging.rebase`.

        Later transactions that stand on the times of our folders stand on what we found from now on. They are told
        first: a crash in between leaves the time of such a folder to them.
        """
        # late: rollbacks only
        from workflow_agent.targets.deciding import make_folders, with_places  # noqa: PLC0415
        from workflow_agent.targets.settling_links import settle_links  # noqa: PLC0415

        plan = looked.plan
        with LiveTree(self._root_fd) as tree:
            make_folders(tree, plan, looked.folders)
            others = list(self._others(plan.id))
            left = tuple(times_left(tree, plan.operations, [other.operations for other in others]))
            for other in others:
                if not stand_on_times(plan.operations, other.operations):
                    continue
                operations = tuple(times_taken_over(plan.operations, other.operations))
                if operations != other.operations:
                    self._folders.move(other, other.state, operations=operations)
            plan, merged = rebase(tree, replace(plan, operations=left))
            return with_places(settle_links(tree, plan)), merged

    def _others(self, transaction: str) -> Iterable[Transaction]:
        for name in self._folders.ids():
            if name == transaction:
                continue
            with suppress(TransactionError, NotFoundError):
                other = self._folders.read(name)
                if other.is_in_force:
                    yield other

    def undo(self, plan: Transaction) -> None:
        """Take everything of a transaction back and record that.

        Raises:
            RollbackIncompleteError: entries are neither before nor after (all the rest is back, and that is recorded),
                or the disk refused (then it can be run again).
        """
        refuse_read_only(
            self._root_fd,
            plan,
            RollbackIncompleteError,
            "a disk cannot be written to: a transaction could not be taken back",
            state=f"transaction {plan.id} is where it stopped; nothing more was touched",
        )
        if plan.state not in _INTERRUPTED:
            plan = self._folders.move(plan, TransactionState.ROLLING_BACK)
        with LiveTree(self._root_fd) as tree:
            exchanger = self._exchanger(tree, plan)
            # Only others need to know what they looked like before.
            seen = exchanger.refresh(plan.operations) if set(self._folders.ids()) - {plan.id} else []
            left: RollbackIncompleteError | None = None
            try:
                exchanger.undo(plan.operations)
            except RollbackIncompleteError as error:
                if any(item["again"] for item in error.details["left"]):
                    raise  # it may work later: the plan file goes on saying that this is not over
                left = error  # all the rest is back: said once, not at each command
            try:
                self._folders.sync(plan.points)
                failpoint("transaction.undone")
                self._record(exchanger, plan, TransactionState.ROLLED_BACK, seen)
            except (OSError, TransactionError) as error:
                raise RollbackIncompleteError(
                    "everything was taken back, but that could not be recorded",
                    cause=str(error),
                    hint="run the command again when the disk works",
                ) from error
        if left is not None:
            raise left

    def differences(self, plan: Transaction) -> list[dict[str, object]]:
        """Compare the target with what a rolled back transaction found there."""
        with suppress(TransactionError, NotFoundError):
            recorded = self._folders.read(plan.id)
            if recorded.state is TransactionState.ROLLED_BACK:  # the same operations, looked at once more since
                plan = recorded
        with LiveTree(self._root_fd) as tree:
            return self._exchanger(tree, plan).differences_from(plan.operations)

    def missing(self, transaction: str, earlier: Iterable[str] = ()) -> list[str]:
        """List committed paths that are missing or replaced now; also of `earlier` transactions it stands upon."""
        plans = [self._folders.read(transaction)]
        for name in earlier:  # newest first
            with suppress(TransactionError, NotFoundError):  # pruned: the checks decide
                plans.append(self._folders.read(name))
        found: list[str] = []
        later: set[bytes] = set()
        with LiveTree(self._root_fd) as tree:
            for plan in plans:
                found += self._exchanger(tree, plan).missing(plan.operations, later)
                later |= set(touched(plan.operations))
        return found

    def drift(
        self, transaction: str, earlier: Iterable[str] = (), data: Collection[bytes] = ()
    ) -> list[dict[str, object]]:
        """List where the target is not as a transaction and the `earlier` ones left it; see :func:`find_drift`."""
        # late: only those who ask for drift need it
        from workflow_agent.targets.drift import find_drift  # noqa: PLC0415

        plans = [self._folders.read(transaction)]
        for name in earlier:  # newest first
            with suppress(TransactionError, NotFoundError):  # pruned: what it left is not known any more
                plans.append(self._folders.read(name))
        own = {plan.id for plan in plans}
        others = [other for other in self._others(transaction) if other.id not in own]
        with LiveTree(self._root_fd) as tree:
            return find_drift(tree, plans, others, data)

    # -- after a crash ---------------------------------------------------------------------------------------------

    def interrupted(self) -> list[Transaction]:
        """List the transactions whose commit or rollback was begun and is not over."""
        found = []
        for transaction in self._folders.ids():
            with suppress(TransactionError, NotFoundError):
                plan = self._folders.read(transaction)
                if plan.state in _INTERRUPTED:
                    found.append(plan)
        return found

    def standing(self) -> list[str]:
        """List the transactions that are taken back and whose services nobody started again."""
        found = []
        for transaction in self._folders.ids():
            with suppress(TransactionError, NotFoundError):
                plan = self._folders.read(transaction)
                if plan.state is TransactionState.ROLLED_BACK and is_standing(plan):
                    found.append(transaction)
        return found

    def settle(self, run_id: str, points: tuple[bytes, ...]) -> list[Transaction]:
        """Undo what was interrupted, forget captures of other runs; gives what was undone.

        The target's lock is held: nobody else works.

        Args:
            run_id: The run that holds the lock; it may go on with its own captures.
            points: The file systems on which captures may lie.
        """
        undone = []
        for transaction in self._folders.ids():
            try:
                plan = self._folders.read(transaction)
            except TransactionError:
                continue  # damaged: kept for a person, every command that needs it says so
            except NotFoundError:
                self._folders.remove(transaction, points)
                continue
            if plan.state in _INTERRUPTED:
                self.undo(plan)
                undone.append(plan)
            elif plan.state is TransactionState.PRUNED:
                drop_images(self._root_fd, plan)  # where a prune was killed
            elif plan.state is TransactionState.CAPTURED and plan.run_id != run_id:
                self._folders.remove(transaction, plan.points)
        return undone


def _with_cache(tree: LiveTree, operation: Operation, seen: Mapping[bytes, Entry | None]) -> Operation:
    before = seen.get(operation.path)
    if before is None or not before.same_state(operation.after):
        return operation
    return replace(operation, after=tree.read(operation.path))


def _moves(before: Iterable[Operation], after: Iterable[Operation]) -> dict[_Moment, Entry]:
    """Pair what entries were with what they are; both lists are about the same operations."""
    return {
        _moment(old): new
        for one, other in zip(before, after, strict=False)
        for old, new in ((one.before, other.before), (one.after, other.after))
        if old is not None and new is not None and old.ctime != new.ctime
    }


def _as_owned(tree: LiveTree, operations: Iterable[Operation], owned: Sequence[bytes]) -> Iterable[Operation]:
    """Take owned paths that go as a whole as they are now; whatever else changed beside them stays a conflict."""
    for operation in operations:
        if operation.kind is not OperationKind.REMOVE or operation.before is None:
            yield operation
            continue
        path = operation.path
        if path in owned:
            live = tree.read(path)
            if live is not None and live.same_identity(operation.before):
                operation = replace(operation, before=live, subtree=tree.below(path) if live.is_dir else {})  # noqa: PLW2901
        elif inner := tuple(each[len(path) + 1 :] for each in owned if each.startswith(path + b"/")):
            kept = {name: entry for name, entry in operation.subtree.items() if not _is_at_or_below(name, inner)}
            now = {name: entry for name, entry in tree.below(path).items() if _is_at_or_below(name, inner)}
            operation = replace(operation, subtree=kept | now)  # noqa: PLW2901
        yield operation


def _is_at_or_below(name: bytes, folders: Sequence[bytes]) -> bool:
    return any(name == folder or name.startswith(folder + b"/") for folder in folders)


def _moment(entry: Entry) -> _Moment:
    return entry.handle, entry.ino, entry.ctime


def _brought_up(operation: Operation, moved: Mapping[_Moment, Entry]) -> Operation:
    def now(entry: Entry | None) -> Entry | None:
        return entry if entry is None else moved.get(_moment(entry), entry)

    before, after = now(operation.before), now(operation.after)
    subtree = {path: moved.get(_moment(entry), entry) for path, entry in operation.subtree.items()}
    if (before, after, subtree) == (operation.before, operation.after, operation.subtree):
        return operation
    return replace(operation, before=before, after=after, subtree=subtree)
