"""What stands against a rollback, all of it at once, and what becomes of it where somebody decided. Blocking."""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workflow_agent.model.choice import NOTHING_CHOSEN, ConflictChoice
from workflow_agent.model.errors import PathConflictError
from workflow_agent.model.records import dataclass
from workflow_agent.model.system import escape_path, unescape_path
from workflow_agent.targets.belonging import CLUSTER_MARKS, Group, GroupKind, groups_of, sqlite_base
from workflow_agent.targets.deciding import Conflict, decide
from workflow_agent.targets.entries import describe
from workflow_agent.targets.flags import flagged_since
from workflow_agent.targets.later_runs import later_runs
from workflow_agent.targets.linux import open_beneath
from workflow_agent.targets.live_tree import staged_path
from workflow_agent.targets.merging import look_at_shared
from workflow_agent.targets.noted_contents import Noted, read_noted
from workflow_agent.targets.operations import OperationKind, touched
from workflow_agent.targets.shared_records import STATES, STATUS
from workflow_agent.targets.sides import Side, Sides, at_and_above
from workflow_agent.targets.stored_operations import selected
from workflow_agent.targets.three_way import edited_configuration, text_differences
from workflow_agent.targets.transaction import TransactionState

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from workflow_agent.targets.entries import Entry
    from workflow_agent.targets.live_tree import LiveTree
    from workflow_agent.targets.operations import Operation
    from workflow_agent.targets.transaction import Transaction

__all__ = ["Looked", "groups_in", "is_sqlite", "look_before_rollback"]

_SHOWN = 20
_SHOWN_MEMBERS = 20
_WHOLE = frozenset({OperationKind.CREATE, OperationKind.EXCHANGE})
_FILES = _WHOLE | {OperationKind.REMOVE}
_SQLITE_MAGIC = b"SQLite format 3\0"
#: What holds no databases is not looked through for them.
_PROGRAMS = b"/usr/"
_NO_CLUSTERS = (b"/usr", b"/etc", b"/var/lib/dpkg", b"/var/log", b"/var/cache")
_NOTHING_NOTED = Noted()


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A rollback against which nothing stands.

    `plan` is what is carried out, `owned` what goes although it came later, `folders` those that have to be made in
    the transaction's own place first: mount point, and path there.
    """

    plan: Transaction
    owned: list[str]
    folders: tuple[tuple[bytes, bytes], ...] = ()


def look_before_rollback(
    tree: LiveTree,
    plan: Transaction,
    others: Sequence[Transaction],
    after: Sequence[Transaction] = (),
    choice: ConflictChoice = NOTHING_CHOSEN,
    *,
    is_own: bool = False,
) -> Looked:
    """Find what stands against a rollback.

    Args:
        tree: The target's files; nothing changes while it is looked at.
        plan: The transaction.
        others: The other transactions that are committed, the oldest first.
        after: Transactions that are taken back before it, and looked at on their own: what they left stands against
            nothing.
        choice: What was decided about conflicts.
        is_own: Whether its own run takes it back, in which nobody could have edited anything.

    Raises:
        RollbackIncompleteError: before-images are missing.
        PathConflictError: something changed since the commit, or a later run stands on this one.
    """
    sides, look = Sides(tree, plan.id), _Look(tree, plan, others)
    theirs = _Left(operation for one in after for operation in one.operations)
    groups = groups_in(tree, plan)
    found = [
        conflict
        for conflict in look.conflicts(sides, groups, {one.id for one in after}, is_own=is_own)
        if not theirs.explains(str(conflict.told["path"]))
    ]
    decided = decide(tree, plan, found, choice, groups)
    sides.check_images(decided.plan.operations)
    if decided.open:
        raise _refusal([conflict.told for conflict in decided.open])
    in_question = [one for one in decided.plan.operations if not theirs.explains(escape_path(one.path))]
    _refuse_flags(tree, in_question, {one.path for one in plan.operations if _is_untouched(tree, one)})
    kept = _Left.at(decided.kept)
    owned = [path for path in sides.owned(plan.operations) if not (theirs.explains(path) or kept.explains(path))]
    return Looked(plan=decided.plan, owned=owned, folders=decided.folders)


def _is_untouched(tree: LiveTree, operation: Operation) -> bool:
    return operation.after is not None and tree.read(operation.path, operation.after) is operation.after


def _refuse_flags(tree: LiveTree, operations: Sequence[Operation], untouched: Container[bytes]) -> None:
    """Refuse what could not be moved: without this look the rollback would end in the middle."""
    flagged = [escape_path(path) for path in flagged_since(tree, operations, untouched)]
    if not flagged:
        return
    more = f" and {len(flagged) - _SHOWN} more" if len(flagged) > _SHOWN else ""
    raise PathConflictError(
        f"immutable or append-only since the run committed: {', '.join(flagged[:_SHOWN])}{more}",
        where=flagged[0],
        cause="somebody set that flag with chattr, and nothing there can be moved or written",
        state="nothing was changed",
        hint=f"clear it, then run the command again: `chattr -ia {shlex.join(flagged[:_SHOWN])}`",
        details={"conflicts": [{"path": path, "flags": True} for path in flagged]},
    )


class _Look:
    """Looks at one transaction. State: what its paths held, and what other transactions did to them."""

    def __init__(self, tree: LiveTree, plan: Transaction, others: Sequence[Transaction]) -> None:
        self._tree = tree
        self._plan = plan
        self._others = others
        self._noted: dict[bytes, Noted] | None = None
        self._operations = {operation.path: operation for operation in plan.operations}

    def _noted_at(self, path: bytes) -> Noted:
        if self._noted is None:
            self._noted = read_noted(self._tree.root_fd, self._plan.id, self._plan.base)
        return self._noted.get(path, _NOTHING_NOTED)

    def conflicts(
        self, sides: Sides, groups: Mapping[bytes, Group], after: set[str], *, is_own: bool
    ) -> list[Conflict]:
        """List what differs from what the commit left, and what others have below it; each path once."""
        standing = look_at_shared(self._tree, self._plan.id, self._plan.operations)
        told = [*standing.conflicts, *sides.conflicts_with_rollback(standing.own)]
        told = [*self._attributed(told), *self._built_upon(after)]
        if not is_own:
            told += self._edited()
        told += self._beside_databases(groups, {str(one["path"]) for one in told})
        once = {str(one["path"]): one for one in reversed(told)}
        return [self._whole(one, groups) for one in reversed(once.values())]

    def _attributed(self, conflicts: Sequence[dict[str, object]]) -> Iterator[dict[str, object]]:
        """Add to conflicts which later runs changed the path, the newest first."""
        others: dict[str, list[tuple[str, Operation]]] = {}
        for other in self._others if conflicts else ():
            for operation in other.operations:
                others.setdefault(escape_path(operation.path), []).append((other.run_id, operation))
        ours = {escape_path(path): operation for path, operation in self._operations.items()}
        for conflict in conflicts:
            path = str(conflict["path"])
            runs = later_runs(ours[path], others.get(path, ())) if path in ours else []
            later = [run for run in runs if run != self._plan.run_id]
            yield conflict | ({"run_id": later[0], "runs": later} if later else {})

    def _built_upon(self, after: set[str]) -> list[dict[str, object]]:
        """Find what other transactions have live below folders that this one brought."""
        folders = {
            operation.path
            for operation in self._plan.operations
            if operation.after is not None and operation.after.is_dir and operation.kind in _WHOLE
        }

        def is_below(path: bytes) -> bool:
            return not folders.isdisjoint(at_and_above(path.rpartition(b"/")[0]))

        return [
            {"path": escape_path(operation.path), "run_id": other.run_id}
            for other in self._others
            if other.id not in after
            for operation in (selected(other.operations, is_below) if folders else ())
            if operation.kind is not OperationKind.ATTRIBUTES and self._is_live(other, operation)
        ]

    def _is_live(self, other: Transaction, operation: Operation) -> bool:
        if other.state is TransactionState.PRUNED:  # its other side, which usually decides, is gone
            return operation.after is not None and operation.after.same_identity(self._tree.read(operation.path))
        return Sides(self._tree, other.id).side(operation) is Side.AFTER

    def _edited(self) -> Iterator[dict[str, object]]:
        if not any(operation.content and operation.path.startswith(b"/etc/") for operation in self._plan.operations):
            return
        self._noted_at(b"")
        others = {
            (path, entry.handle)
            for other in self._others
            for operation in selected(other.operations, lambda path: path.startswith(b"/etc"))
            for path, entry in _brought(operation)
        }
        yield from edited_configuration(self._tree, self._plan.operations, self._noted or {}, others)

    def _beside_databases(self, groups: Mapping[bytes, Group], known: set[str]) -> Iterator[dict[str, object]]:
        """Find journals of databases that the transaction does not know: their rows are in no other file."""
        suspects = [path for path, group in groups.items() if group.kind is GroupKind.SQLITE]
        known_to_it = set(touched(self._plan.operations)) if suspects else set()
        for path in suspects:
            live = None if path in known_to_it else self._tree.read(path)
            if live is not None and live.size and not path.endswith(b"-shm") and escape_path(path) not in known:
                yield {"path": escape_path(path), "expected": None, "found": describe(live)}

    def _whole(self, told: dict[str, object], groups: Mapping[bytes, Group]) -> Conflict:
        """Add to a conflict to which group it belongs, when it was changed, and how its text came to be."""
        path = unescape_path(str(told["path"]))
        live = self._tree.read(path)
        mine = _groups_of_conflict(path, told, groups)
        if live is not None:
            told |= {"changed_ns": live.ctime}
        operation = self._operations.get(path)
        if operation is not None and "expected" in told:
            told |= {"before": describe(operation.before)}
        if mine:
            members = sorted(escape_path(one) for one, group in groups.items() if group in mine)
            told |= {"group": ", ".join(group.shown for group in mine), "members": members[:_SHOWN_MEMBERS]}
        if path.startswith(b"/etc/") and "changes" not in told and "run_id" not in told:
            texts = text_differences(self._tree, self._plan.id, path, operation, self._noted_at(path))
            told |= {"diffs": texts} if texts is not None else {}
        return Conflict(path=path, told=told, groups=mine)


def _brought(operation: Operation) -> Iterator[tuple[bytes, Entry]]:
    if operation.after is not None and operation.kind in _WHOLE:
        yield operation.path, operation.after
        yield from ((operation.path + b"/" + relative, entry) for relative, entry in operation.content.items())


def _groups_of_conflict(path: bytes, told: Mapping[str, Any], groups: Mapping[bytes, Group]) -> tuple[Group, ...]:
    if path in {STATUS, STATES}:
        names = [str(name).partition(" ")[0].encode() for name in told.get("records", ())]
        return tuple(dict.fromkeys(Group(GroupKind.PACKAGE, name) for name in names))
    return (groups[path],) if path in groups else ()


def groups_in(tree: LiveTree, plan: Transaction) -> dict[bytes, Group]:
    """Sort what a transaction changed into groups, with the files beside its databases that it does not know."""
    files: dict[bytes, Operation] = {}
    for operation in plan.operations:
        if operation.kind in _FILES and not operation.path.startswith(_PROGRAMS):
            files[operation.path] = operation
    beside: list[bytes] = []
    for folder in {path.rpartition(b"/")[0] for path in files}:
        for base, names in _journals_in(tree, folder).items():
            if base in files and is_sqlite(tree, files[base], plan.id):
                beside += names
    paths = touched(plan.operations)
    return groups_of([*paths, *beside, *_marks_above(tree, plan.operations)])


def _journals_in(tree: LiveTree, folder: bytes) -> dict[bytes, list[bytes]]:
    """Find files in a folder whose names are those of SQLite's journals, by the database that they would belong to."""
    found: dict[bytes, list[bytes]] = {}
    with suppress(OSError):  # it is gone
        for text in os.listdir(tree.folder(folder)):
            path = folder + b"/" + os.fsencode(text)
            base = sqlite_base(path)
            if base is not None:
                found.setdefault(base, []).append(path)
    return found


def _marks_above(tree: LiveTree, operations: Iterable[Operation]) -> Iterator[bytes]:
    """Find the marks of database clusters in which a transaction changed something: they were there before it."""
    seen: set[bytes] = set()
    for operation in operations:
        folder = operation.path.rpartition(b"/")[0]
        while folder and folder not in seen and not folder.startswith(_NO_CLUSTERS):
            seen.add(folder)
            yield from (mark for name in CLUSTER_MARKS if tree.read(mark := folder + b"/" + name) is not None)
            folder = folder.rpartition(b"/")[0]


def is_sqlite(tree: LiveTree, operation: Operation, transaction: str) -> bool:
    """Say whether a file that an operation is about is a SQLite database, on either side."""
    for place in (operation.path, staged_path(operation, transaction)):
        entry = tree.read(place)
        if entry is not None and stat.S_ISREG(entry.mode):
            with suppress(OSError), os.fdopen(open_beneath(tree.root_fd, place.strip(b"/"), os.O_RDONLY), "rb") as one:
                if one.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC:
                    return True
    return False


def _refusal(conflicts: list[dict[str, object]]) -> PathConflictError:
    names = ", ".join(_named(conflict) for conflict in conflicts[:_SHOWN])
    more = f" and {len(conflicts) - _SHOWN} more" if len(conflicts) > _SHOWN else ""
    return PathConflictError(
        f"changed since the run committed: {names}{more}",
        where=str(conflicts[0]["path"]),
        state="nothing was changed",
        hint=_hint(conflicts),
        details={"conflicts": conflicts},
    )


def _named(conflict: Mapping[str, Any]) -> str:  # Any: JSON
    what = ", ".join(conflict.get("changes", ())) or str(conflict["path"])
    if "group" in conflict and "changes" not in conflict:
        what = f"{what} (of {conflict['group']}, which is restored as a whole or not at all)"
    if "impossible" in conflict:
        what = f"{what} ({conflict['impossible']})"
    return f"{what} (run {conflict['run_id']})" if "run_id" in conflict else what


def _hint(conflicts: Iterable[Mapping[str, Any]]) -> str:  # Any: JSON
    if all("run_id" in conflict for conflict in conflicts):
        return "roll back the later runs first, or take them back with it: `--cascade`"
    return "put these paths back as the run left them, or roll back the later run first"


class _Left:
    """What operations that are taken back first left: their own paths, and whatever is below what they put there."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        every = list(operations)
        self._paths = {escape_path(path) for path in touched(every)}
        self._wholes = {escape_path(operation.path) for operation in every if operation.kind in _WHOLE}

    @classmethod
    def at(cls, paths: Iterable[bytes]) -> _Left:
        """Give the same for paths that stay, with everything below them."""
        found = cls(())
        found._wholes |= {escape_path(path) for path in paths}
        return found

    def explains(self, path: str) -> bool:
        """Whether a difference at a path is theirs."""
        if path in self._paths:
            return True
        while path:
            if path in self._wholes:
                return True
            path = path.rpartition("/")[0]
        return False
