"""What a decision about conflicts makes of a rollback: other operations, so that the plan file alone says it.

A path that stays loses its operation. Where it lies in a folder that the run created, the folder is not taken away as a
whole any more, but entry by entry around it. A path that gets its before-image back has an operation whose live side is
what lies there now: that goes where the run's own version would have gone, and comes back when the rollback is rolled
back. In files of many owners both is said of records. What follows (exchange, crash, recovery, doing it again) knows
nothing of decisions. Blocking.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workflow_agent.model.records import dataclass
from workflow_agent.model.system import escape_path, unescape_path
from workflow_agent.targets.belonging import Group, GroupKind
from workflow_agent.targets.live_tree import staged_path, transaction_folder
from workflow_agent.targets.merging import read_file
from workflow_agent.targets.operations import Operation, OperationKind
from workflow_agent.targets.shared_records import STATES, STATUS, holds_records, record_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.model.choice import ConflictChoice
    from workflow_agent.targets.entries import Entry
    from workflow_agent.targets.live_tree import LiveTree
    from workflow_agent.targets.transaction import Transaction

__all__ = ["ASIDE", "Conflict", "Decided", "decide", "make_folders", "with_places"]

#: Where a transaction keeps what had no place of its own in it.
ASIDE = b"aside"
_WHOLE = frozenset({OperationKind.CREATE, OperationKind.EXCHANGE})
_INFO = b"/var/lib/dpkg/info/"
#: Folders that are links to those below /usr on a merged system, as dpkg's lists do not know.
_MERGED_FOLDERS = (b"/bin/", b"/sbin/", b"/lib/", b"/lib64/", b"/lib32/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Something that stands against a rollback: its path, what is told of it, and the groups that it belongs to."""

    path: bytes
    told: dict[str, Any]  # Any: JSON
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A rollback with decisions: the plan, conflicts that nobody decided, paths that stay, folders to be made first."""

    plan: Transaction
    open: tuple[Conflict, ...]
    kept: frozenset[bytes] = frozenset()
    folders: tuple[tuple[bytes, bytes], ...] = ()


def decide(
    tree: LiveTree,
    plan: Transaction,
    conflicts: Sequence[Conflict],
    choice: ConflictChoice,
    groups: Mapping[bytes, Group],
) -> Decided:
    """Give a rollback as it is carried out with what was chosen.

    Args:
        tree: The target's files.
        plan: The transaction.
        conflicts: What stands against its rollback.
        choice: What was decided; paths that the transaction does not know are left out.
        groups: Which of its paths belong together: what is said of one is said of all.
    """
    plan = replace(plan, decided=())
    if not choice:
        return Decided(plan=plan, open=tuple(conflicts))
    return _Decision(tree, plan, conflicts, choice, groups).made()


class _Decision:
    """Makes one decision out of many paths. State: which stay, which records do, and what is noted about them."""

    def __init__(
        self,
        tree: LiveTree,
        plan: Transaction,
        conflicts: Sequence[Conflict],
        choice: ConflictChoice,
        groups: Mapping[bytes, Group],
    ) -> None:
        self._tree = tree
        self._plan = plan
        self._choice = choice
        self._groups = groups
        self._theirs = _raw(choice.theirs)
        named = [one for one in conflicts if _at_or_below(one.path, self._theirs)]
        kept_groups = {group for path, group in groups.items() if _at_or_below(path, self._theirs)}
        kept_groups |= {group for one in named for group in one.groups}
        self._of_packages = {
            path for one in kept_groups if one.kind is GroupKind.PACKAGE for path in self._files_of(one.name)
        }
        back = _raw(choice.back)
        back_groups = {group for one in conflicts if one.path in back for group in one.groups}
        self._staying = [
            one for one in conflicts if one in named or kept_groups & set(one.groups) or one.path in self._of_packages
        ]
        rest = [one for one in conflicts if one not in self._staying]
        self._back = {
            one.path: one
            for one in rest
            if "run_id" not in one.told and (choice.force or one.path in back or back_groups & set(one.groups))
        }
        self._open = [one for one in rest if one.path not in self._back]
        self._records = self._kept_records(kept_groups)
        self._kept = self._kept_paths(kept_groups)
        self._above = {above for path in self._kept if self._exists(path) for above in _above(path)}
        self._folders: list[tuple[bytes, bytes]] = []

    # -- what stays --------------------------------------------------------------------------------------------------

    def _kept_records(self, groups: set[Group]) -> dict[bytes, set[str]]:
        """Name the records that stay, by file: those in conflict, of accounts and packages those of other files too."""
        found: dict[bytes, set[str]] = {}
        for conflict in self._staying:
            found.setdefault(conflict.path, set()).update(conflict.told.get("records", ()))
        accounts = {name for path, names in found.items() if path.startswith(b"/etc/") for name in names}
        packages = {group.name.decode() for group in groups if group.kind is GroupKind.PACKAGE}
        for operation in self._plan.operations:
            for name in operation.records:
                is_account = operation.path.startswith(b"/etc/") and name.partition(" ")[0] in accounts
                is_package = operation.path in {STATUS, STATES} and name.partition(" ")[0] in packages
                if is_account or is_package:
                    found.setdefault(operation.path, set()).add(name)
        return {path: names for path, names in found.items() if names and holds_records(path)}

    def _kept_paths(self, groups: set[Group]) -> frozenset[bytes]:
        """Name the paths that stay, with everything that belongs to them, but for files of which records do."""
        found = set(self._theirs) | {conflict.path for conflict in self._staying}
        found |= {path for path, group in self._groups.items() if group in groups} | self._of_packages
        return frozenset(found - self._records.keys())

    def _files_of(self, package: bytes) -> set[bytes]:
        """Name the files that are a package's now: without them its record would tell of what is not there."""
        found: set[bytes] = set()
        with suppress(OSError):
            for text in os.listdir(self._tree.folder(_INFO.rstrip(b"/"))):
                name = os.fsencode(text)
                if name.endswith(b".list") and name.removesuffix(b".list").partition(b":")[0] == package:
                    found |= {path for path in read_file(self._tree, _INFO + name).split(b"\n") if path}
        found |= {b"/usr" + path for path in found if path.startswith(_MERGED_FOLDERS)}
        return {path for path in found if not self._is_folder(path)}

    def _read(self, path: bytes) -> Entry | None:
        with suppress(OSError):  # below a link, as lists of packages have them
            return self._tree.read(path)
        return None

    def _exists(self, path: bytes) -> bool:
        return self._read(path) is not None

    def _is_folder(self, path: bytes) -> bool:
        entry = self._read(path)
        return entry is not None and entry.is_dir

    # -- operations --------------------------------------------------------------------------------------------------

    def made(self) -> Decided:
        """Put everything together."""
        operations = [made for operation in self._plan.operations for made in self._decided(operation)]
        operations += self._set_aside()
        notes = (*self._stays(), *self._comes_back())
        return Decided(
            plan=replace(self._plan, operations=tuple(operations), decided=notes),
            open=tuple(self._open),
            kept=self._kept,
            folders=tuple(self._folders),
        )

    def _decided(self, operation: Operation) -> Iterator[Operation]:
        """Give what becomes of an operation."""
        conflict = self._back.get(operation.path)
        if operation.path in self._records:
            yield _without(operation, self._records[operation.path])
        elif _at_or_below(operation.path, self._kept):
            return
        elif operation.kind in _WHOLE and operation.path in self._above and self._is_folder(operation.path):
            if operation.kind is OperationKind.CREATE:  # one that took the place of another folder stays as a whole
                yield from self._around(operation)
        elif conflict is None:
            yield operation
        elif conflict.told.get("records"):
            yield self._records_back(operation, conflict.told["records"])
        else:
            yield from self._forced(operation, conflict)

    def _around(self, operation: Operation) -> Iterator[Operation]:
        """Take away what lies in a folder that came, but not the folder, because something in it stays."""
        place = ASIDE + b"/%d" % len(self._folders)
        self._folders.append((operation.point, place))
        yield from self._below(operation, operation.path, place)

    def _below(self, operation: Operation, folder: bytes, place: bytes) -> Iterator[Operation]:
        for text in sorted(os.listdir(self._tree.folder(folder))):
            name = os.fsencode(text)
            path, entry = folder + b"/" + name, self._tree.read(folder + b"/" + name)
            if entry is None or path in self._kept:
                continue
            if path in self._above and entry.is_dir:
                self._folders.append((operation.point, place + b"/" + name))
                yield from self._below(operation, path, place + b"/" + name)
            else:
                yield Operation(
                    kind=OperationKind.CREATE,
                    path=path,
                    point=operation.point,
                    staged=place + b"/" + name,
                    after=entry,
                    content=self._tree.below(path) if entry.is_dir else {},
                )

    def _records_back(self, operation: Operation, names: Sequence[str]) -> Operation:
        """Take records back whatever they are by now."""
        now = record_texts(operation.path, read_file(self._tree, operation.path))
        changed = {name: (operation.records[name][0], now.get(name)) for name in names}
        return replace(operation, records={**operation.records, **changed})

    def _forced(self, operation: Operation, conflict: Conflict) -> Iterator[Operation]:
        """Give the operation that takes away what lies there now, and brings back what was there before."""
        live = self._tree.read(operation.path)
        top = self._tree.read(transaction_folder(operation.point, self._plan.id))
        cause = None
        if operation.kind is OperationKind.REMOVE_FOLDER or (
            operation.kind is OperationKind.ATTRIBUTES and (live is None or not live.is_dir)
        ):
            cause = "a folder of which only entries were changed is gone or another one: make it anew by hand"
        elif live is not None and top is not None and live.dev != top.dev:
            cause = "it is on another file system and cannot be kept aside"
        if cause is not None:
            del self._back[conflict.path]
            self._open.append(replace(conflict, told=conflict.told | {"impossible": cause}))
            yield operation
            return
        content = self._tree.below(operation.path) if live is not None and live.is_dir else {}
        match operation.kind:
            case OperationKind.ATTRIBUTES:
                yield self._attributes(operation)
            case OperationKind.CREATE if live is None:
                return
            case OperationKind.EXCHANGE if live is None:
                yield replace(operation, kind=OperationKind.REMOVE, after=None, content={})
            case OperationKind.REMOVE if live is not None:
                yield replace(operation, kind=OperationKind.EXCHANGE, after=live, content=content)
            case _:
                yield replace(operation, after=live, content=content)

    def _attributes(self, operation: Operation) -> Operation:
        live, before = self._tree.read(operation.path), operation.before
        assert live is not None  # looked at a moment ago: it is a folder
        assert before is not None  # so has every operation on attributes
        wanted = live._replace(mode=before.mode, uid=before.uid, gid=before.gid, mtime=before.mtime)
        return replace(operation, before=wanted, after=live, after_xattrs=self._tree.xattrs(operation.path))

    def _set_aside(self) -> Iterator[Operation]:
        """Take away what lies where nothing was before and nothing came: the journal of somebody else's rows."""
        known = {operation.path for operation in self._plan.operations}
        for conflict in self._back.values():
            live = self._tree.read(conflict.path)
            groups = {group.kind for group in conflict.groups}
            if conflict.path in known or GroupKind.SQLITE not in groups or live is None or conflict.told["expected"]:
                continue
            base = next(one for one in self._plan.operations if one.path == conflict.groups[0].name)
            place = ASIDE + b"/%d" % len(self._folders)
            self._folders.append((base.point, place))
            name = conflict.path.rpartition(b"/")[2]
            yield Operation(
                kind=OperationKind.CREATE,
                path=conflict.path,
                point=base.point,
                staged=place + b"/" + name,
                after=live,
            )

    # -- what is noted -------------------------------------------------------------------------------------------------

    def _stays(self) -> Iterator[dict[str, Any]]:
        told = {conflict.path: conflict for conflict in self._staying}
        extra = [path for path in self._theirs if path not in told and self._knows(path)]
        for path in sorted([*told, *extra]):
            group = told[path].told.get("group") if path in told else self._group_at(path)
            records = sorted(self._records.get(path, ()))
            yield {"path": escape_path(path), "decision": "theirs", "group": group, "records": records, "aside": None}

    def _group_at(self, path: bytes) -> str | None:
        group = self._groups.get(path)
        return None if group is None else group.shown

    def _knows(self, path: bytes) -> bool:
        """Whether the transaction changed something at, above or below a path."""
        return any(
            _at_or_below(operation.path, {path})
            or (_at_or_below(path, {operation.path}) and operation.kind is not OperationKind.ATTRIBUTES)
            for operation in self._plan.operations
        )

    def _comes_back(self) -> Iterator[dict[str, Any]]:
        for conflict in sorted(self._back.values(), key=lambda one: one.path):
            yield {
                "path": escape_path(conflict.path),
                "decision": "before",
                "group": conflict.told.get("group"),
                "records": sorted(conflict.told.get("records", ())),
                "aside": None,
            }


def _without(operation: Operation, names: set[str]) -> Operation:
    """Leave records out of what an operation is about: the file is merged even where nobody wrote to it since."""
    records = {name: pair for name, pair in operation.records.items() if name not in names}
    after = operation.after
    return replace(operation, records=records, after=after if after is None else after._replace(ctime=-1))


def _raw(paths: Sequence[str]) -> frozenset[bytes]:
    """Read paths as they were typed, and as conflicts show them."""
    both = {os.fsencode(path) for path in paths} | {unescape_path(path) for path in paths}
    return frozenset(path.rstrip(b"/") or b"/" for path in both)


def _above(path: bytes) -> Iterator[bytes]:
    while path := path.rpartition(b"/")[0]:
        yield path


def _at_or_below(path: bytes, tops: frozenset[bytes] | set[bytes]) -> bool:
    return path in tops or any(above in tops for above in _above(path))


def make_folders(tree: LiveTree, plan: Transaction, folders: Sequence[tuple[bytes, bytes]]) -> None:
    """Make folders in a transaction's own place, like those of a capture; what is there from an attempt is used."""
    for point, path in folders:
        top = transaction_folder(point, plan.id)
        for above in (*reversed(list(_above(b"/" + path))), b"/" + path):
            with suppress(FileExistsError):
                os.mkdir(above.rpartition(b"/")[2], 0o700, dir_fd=tree.folder(top + above.rpartition(b"/")[0]))


def with_places(plan: Transaction) -> Transaction:
    """Note with decisions where that is kept which gave way."""
    if not plan.decided:
        return plan
    places = {
        escape_path(operation.path): escape_path(staged_path(operation, plan.id))
        for operation in plan.operations
        if operation.kind in _WHOLE
    }

    def place(path: str) -> str | None:
        top = next((one for one in places if path == one or path.startswith(one + "/")), None)
        return None if top is None else places[top] + path[len(top) :]

    decided = tuple(
        {**one, "aside": place(str(one["path"]))} if one["decision"] == "before" else dict(one) for one in plan.decided
    )
    return replace(plan, decided=decided)
