"""The three-way difference: baseline, what the capture holds, the target now, to a list of operations.

Not a list of upper files: whiteouts and opaque folders are expanded to everything below them, entries that are
equal in content and metadata are dropped, and hard links are followed to all their names (rules 8 to 12).
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workflow_agent.model.errors import CaptureError
from workflow_agent.model.system import Change, ChangeAction, escape_path
from workflow_agent.targets.content import appended_length, differing_aspects, strip_overlay_attributes
from workflow_agent.targets.entries import Baseline, Entry, describe, read_entry, read_xattrs
from workflow_agent.targets.linux import open_beneath
from workflow_agent.targets.operations import Operation, OperationKind

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Plan", "make_plan"]

#: Left out by policy and said so: rebuilt by apt at the next `update`, and 100 MB of a layer (rule 6).
_DROPPED = (
    (b"/var/lib/apt/lists", "package lists: apt rebuilds them"),
    (b"/var/cache/apt", "package archives and caches: apt rebuilds them"),
)
#: Lock files are never part of a plan (rule 5).
_LOCK_FILES = frozenset(
    {b"/var/lib/dpkg/lock", b"/var/lib/dpkg/lock-frontend", b"/var/lib/dpkg/triggers/Lock", b"/etc/.pwd.lock"}
)
_LOGS = b"/var/log/"


@dataclass(slots=True)
class Plan:
    """Operations in the order of commit, the changes as people read them, and what was dropped."""

    operations: list[Operation] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    dropped: dict[bytes, str] = field(default_factory=dict)
    bytes_added: int = 0


def make_plan(root_fd: int, transaction: str, baselines: dict[bytes, Baseline]) -> Plan:
    """Compare each captured file system (by mount point) with its baseline.

    The staged tree is prepared on the way: the overlay's own attributes are stripped from it. Blocking.

    Raises:
        CaptureError: something in the capture cannot be committed exactly; named.
    """
    plan = Plan()
    for point, baseline in baselines.items():
        _FileSystemPlanner(root_fd, transaction, point, baseline, plan).run()
    order = {kind: index for index, kind in enumerate(_COMMIT_ORDER)}
    plan.operations.sort(key=lambda operation: order[operation.kind])
    folders = [operation for operation in plan.operations if operation.kind is OperationKind.ATTRIBUTES]
    folders.sort(key=lambda operation: operation.path.count(b"/"), reverse=True)  # deepest first
    plan.operations = [op for op in plan.operations if op.kind is not OperationKind.ATTRIBUTES] + folders
    plan.changes.sort(key=lambda change: change.path)
    return plan


_COMMIT_ORDER = (
    OperationKind.CREATE,
    OperationKind.EXCHANGE,
    OperationKind.REMOVE,
    OperationKind.APPEND,
    OperationKind.ATTRIBUTES,
)


class _FileSystemPlanner:
    """Walks one upper tree. State: the open folders and the plan that grows."""

    def __init__(self, root_fd: int, transaction: str, point: bytes, baseline: Baseline, plan: Plan) -> None:
        self._root_fd = root_fd
        self._point = point
        self._prefix = point.rstrip(b"/")
        self._baseline = baseline
        self._plan = plan
        self._folder = self._prefix + b"/.workflow-agent/tx/" + transaction.encode()
        self._sorted: list[bytes] | None = None
        self._names: dict[int, list[bytes]] | None = None
        self._links = 0

    def run(self) -> None:
        self._walk_merged(b"")

    # -- walking -----------------------------------------------------------------------------------------------

    def _open_staged(self, relative: bytes) -> int:
        path = (self._folder + b"/upper/" + relative).rstrip(b"/").lstrip(b"/")
        return open_beneath(self._root_fd, path, os.O_RDONLY | os.O_DIRECTORY)

    def _walk_merged(self, relative: bytes) -> bool:
        """Plan a folder that exists on both sides; gives whether an operation touches its entries."""
        touched = False
        folder_fd = self._open_staged(relative)
        try:
            for name in sorted(os.fsencode(text) for text in os.listdir(folder_fd)):
                touched = self._plan_entry(folder_fd, relative, name) or touched
            self._plan_attributes(folder_fd, relative, touched=touched)
        finally:
            os.close(folder_fd)
        return touched

    def _plan_entry(self, folder_fd: int, folder: bytes, name: bytes) -> bool:
        relative = folder + b"/" + name if folder else name
        path = self._prefix + b"/" + relative
        reason = next((why for top, why in _DROPPED if path == top or path.startswith(top + b"/")), None)
        if reason is not None:
            self._plan.dropped[path] = reason
            return False
        if path in _LOCK_FILES or path == self._prefix + b"/.workflow-agent":
            return False
        staged = read_entry(folder_fd, name)
        if staged is None:
            raise CaptureError("the capture changed while it was read", where=escape_path(path))
        before = self._baseline.get(path)
        if stat.S_ISCHR(staged.mode) and staged.rdev == 0:
            return self._plan_removal(path, before)
        attributes = f"/proc/self/fd/{folder_fd}/{os.fsdecode(name)}"
        marks = {key for key in os.listxattr(attributes, follow_symlinks=False) if key.startswith("trusted.overlay.")}
        _refuse_special(path, marks, staged)
        opaque = staged.is_dir and "trusted.overlay.opaque" in marks
        if staged.is_dir and before is not None and before.is_dir and not opaque:
            self._walk_merged(relative)
            return False
        copied_up = "trusted.overlay.origin" in marks
        strip_overlay_attributes(folder_fd, name, is_dir=staged.is_dir)
        after = read_entry(folder_fd, name)
        assert after is not None  # nobody else writes to a capture whose processes are dead
        return self._plan_staged(path, relative, before, after, copied_up=copied_up)

    def _plan_staged(
        self, path: bytes, relative: bytes, before: Entry | None, after: Entry, *, copied_up: bool
    ) -> bool:
        if before is None:
            return self._plan_creation(path, relative, after)
        if after.is_dir or before.is_dir:
            return self._plan_whole_exchange(path, relative, before, after)
        return self._plan_file(path, relative, before, after, copied_up=copied_up)

    # -- operations --------------------------------------------------------------------------------------------

    def _add(self, operation: Operation) -> bool:
        self._plan.operations.append(operation)
        return True

    def _note(
        self, path: bytes, action: ChangeAction, before: Entry | None, after: Entry | None, *aspects: str
    ) -> None:
        entry = after or before
        assert entry is not None
        if after is not None and stat.S_ISREG(after.mode):
            self._plan.bytes_added += after.size
        self._plan.changes.append(
            Change(
                path=escape_path(path),
                action=action,
                kind=entry.kind,
                aspects=aspects,
                before=describe(before),
                after=describe(after),
            )
        )

    def _plan_removal(self, path: bytes, before: Entry | None) -> bool:
        if before is None:
            return False  # created and deleted again
        subtree = self._subtree(path) if before.is_dir else {}
        number = sum(1 for operation in self._plan.operations if operation.kind is OperationKind.REMOVE)
        self._note(path, ChangeAction.DELETED, before, None)
        for relative, entry in subtree.items():
            self._note(path + b"/" + relative, ChangeAction.DELETED, entry, None)
        return self._add(
            Operation(
                kind=OperationKind.REMOVE,
                path=path,
                point=self._point,
                staged=b"removed/%d" % number,
                before=before,
                subtree=subtree,
            )
        )

    def _plan_creation(self, path: bytes, relative: bytes, after: Entry) -> bool:
        self._note(path, ChangeAction.CREATED, None, after)
        if after.is_dir:
            for below, entry in self._walk_staged(relative):
                self._note(path + b"/" + below, ChangeAction.CREATED, None, entry)
        return self._add(
            Operation(kind=OperationKind.CREATE, path=path, point=self._point, staged=b"upper/" + relative, after=after)
        )

    def _plan_whole_exchange(self, path: bytes, relative: bytes, before: Entry, after: Entry) -> bool:
        """A type changed, or a folder was deleted and made anew: the whole entries change places."""
        subtree = self._subtree(path) if before.is_dir else {}
        staged = dict(self._walk_staged(relative)) if after.is_dir else {}
        self._note(path, ChangeAction.MODIFIED, before, after, "type" if before.kind != after.kind else "content")
        for below, entry in subtree.items():
            if below not in staged:
                self._note(path + b"/" + below, ChangeAction.DELETED, entry, None)
        for below, entry in staged.items():
            old = subtree.get(below)
            action = ChangeAction.MODIFIED if old else ChangeAction.CREATED
            self._note(path + b"/" + below, action, old, entry, *(("content",) if old else ()))
        return self._add(
            Operation(
                kind=OperationKind.EXCHANGE,
                path=path,
                point=self._point,
                staged=b"upper/" + relative,
                before=before,
                after=after,
                subtree=subtree,
            )
        )

    def _plan_file(self, path: bytes, relative: bytes, before: Entry, after: Entry, *, copied_up: bool) -> bool:
        live = os.path.join(b"/", path).lstrip(b"/")
        staged = (self._folder + b"/upper/" + relative).lstrip(b"/")
        aspects = differing_aspects(self._root_fd, live, before, staged, after)
        if not aspects:
            return False
        if path.startswith(_LOGS) and aspects <= {"content", "mtime"} and before.nlink == 1:
            length = appended_length(self._root_fd, live, before, staged, after)
            if length is not None:
                self._note(path, ChangeAction.APPENDED, before, after, "content")
                return self._add(
                    Operation(
                        kind=OperationKind.APPEND,
                        path=path,
                        point=self._point,
                        staged=b"upper/" + relative,
                        before=before,
                        after=after,
                        offset=before.size,
                        length=length,
                    )
                )
        if copied_up and before.nlink > 1:
            return self._plan_linked(path, relative, before, after, aspects)
        return self._exchange(path, b"upper/" + relative, before, after, aspects)

    def _exchange(self, path: bytes, staged: bytes, before: Entry, after: Entry, aspects: set[str]) -> bool:
        self._note(path, ChangeAction.MODIFIED, before, after, *sorted(aspects))
        return self._add(
            Operation(
                kind=OperationKind.EXCHANGE, path=path, point=self._point, staged=staged, before=before, after=after
            )
        )

    def _plan_linked(self, path: bytes, relative: bytes, before: Entry, after: Entry, aspects: set[str]) -> bool:
        """A file with several names was changed in place: all names change together, or none (rule 9)."""
        names = self._names_of(before)
        if len(names) != before.nlink:
            raise CaptureError(
                "a changed file has names that were not found",
                where=escape_path(path),
                cause=f"{before.nlink} names exist, found: {', '.join(escape_path(name) for name in names)}",
                hint="remove the hard link, or leave this file alone",
            )
        self._exchange(path, b"upper/" + relative, before, after, aspects)
        for name in names:
            if name != path and read_staged(self._root_fd, self._folder, name[len(self._prefix) + 1 :]) is None:
                staged = self._make_link(b"upper/" + relative)
                self._exchange(name, staged, self._baseline[name], after, aspects)
        return True

    def _make_link(self, staged: bytes) -> bytes:
        self._links += 1
        name = b"links/%d" % self._links
        folder_fd = open_beneath(self._root_fd, self._folder.lstrip(b"/"), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.link(staged, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd, follow_symlinks=False)
        finally:
            os.close(folder_fd)
        return name

    def _plan_attributes(self, folder_fd: int, relative: bytes, *, touched: bool) -> None:
        path = self._prefix + b"/" + relative if relative else self._point
        before = self._baseline[path]
        after = read_entry(folder_fd, b".")
        assert after is not None
        live_fd = open_beneath(self._root_fd, path.lstrip(b"/"), os.O_RDONLY | os.O_DIRECTORY)
        try:
            old = read_xattrs(f"/proc/self/fd/{live_fd}")
        finally:
            os.close(live_fd)
        new = read_xattrs(f"/proc/self/fd/{folder_fd}")
        aspects = {
            word
            for word, differs in (
                ("mode", before.mode != after.mode),
                ("owner", (before.uid, before.gid) != (after.uid, after.gid)),
                ("xattr", old != new),
            )
            if differs
        }
        if not aspects and not touched:
            return  # only its mtime differs, through entries that are dropped
        if aspects:  # a folder's mtime follows from its entries: restored, but no change of its own to a reader
            self._note(path, ChangeAction.MODIFIED, before, after, *sorted(aspects))
        self._add(
            Operation(
                kind=OperationKind.ATTRIBUTES,
                path=path,
                point=self._point,
                before=before,
                after=after,
                before_xattrs=old,
                after_xattrs=new,
            )
        )

    # -- looking up ----------------------------------------------------------------------------------------------

    def _subtree(self, path: bytes) -> dict[bytes, Entry]:
        prefix = path + b"/"
        return {name[len(prefix) :]: entry for name, entry in self._baseline.items() if name.startswith(prefix)}

    def _walk_staged(self, relative: bytes) -> Iterator[tuple[bytes, Entry]]:
        """Yield everything below a staged folder, by path relative to it; whiteouts do not occur there."""
        pending = [b""]
        while pending:
            below = pending.pop()
            folder_fd = self._open_staged(relative + b"/" + below if below else relative)
            try:
                for name in sorted(os.fsencode(text) for text in os.listdir(folder_fd)):
                    entry = read_entry(folder_fd, name)
                    assert entry is not None
                    inner = below + b"/" + name if below else name
                    if stat.S_ISCHR(entry.mode) and entry.rdev == 0:
                        os.unlink(name, dir_fd=folder_fd)  # a whiteout that hides nothing
                        continue
                    yield inner, entry
                    if entry.is_dir:
                        pending.append(inner)
            finally:
                os.close(folder_fd)

    def _names_of(self, entry: Entry) -> list[bytes]:
        if self._names is None:
            self._names = defaultdict(list)
            for path, other in self._baseline.items():
                if other.nlink > 1 and not other.is_dir:
                    self._names[other.ino].append(path)
        return self._names.get(entry.ino, [])


def read_staged(root_fd: int, folder: bytes, relative: bytes) -> Entry | None:
    """Read an entry of the upper tree; None when it is not there."""
    parent, _, name = (folder + b"/upper/" + relative).rpartition(b"/")
    try:
        parent_fd = open_beneath(root_fd, parent.lstrip(b"/"), os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return read_entry(parent_fd, name)
    finally:
        os.close(parent_fd)


def _refuse_special(path: bytes, marks: set[str], staged: Entry) -> None:
    for mark in ("trusted.overlay.redirect", "trusted.overlay.metacopy"):
        if mark in marks:
            raise CaptureError(
                "the kernel captured a rename or a metadata change by reference, which cannot be committed exactly",
                where=escape_path(path),
                cause=f"attribute {mark}",
            )
    if stat.S_ISBLK(staged.mode):
        raise CaptureError("the script made a block device", where=escape_path(path), hint="remove it from the script")
