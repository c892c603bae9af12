"""The three-way difference: baseline, what the capture holds, the target now, to a list of operations.

Not a list of upper files: whiteouts and opaque folders are expanded to everything below them, entries that are
equal in content and metadata are dropped, and hard links are followed to all their names (rules 8 to 12).
"""

from __future__ import annotations

import os
import shutil
import stat
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import CaptureError
from workflow_agent.model.system import Change, ChangeAction, escape_path
from workflow_agent.targets.content import (
    appended_length,
    differing_aspects,
    overlay_marks,
    strip_overlay_attributes,
)
from workflow_agent.targets.entries import STATE_FOLDER, Baseline, Entry, describe, read_entry, read_xattrs
from workflow_agent.targets.flags import held_flags, with_flags
from workflow_agent.targets.layers import can_move
from workflow_agent.targets.linked_names import LinkedNames
from workflow_agent.targets.linux import OVERLAY_MARKS, open_beneath
from workflow_agent.targets.live_tree import transaction_folder
from workflow_agent.targets.operations import Operation, OperationKind
from workflow_agent.targets.paths import read_in_root
from workflow_agent.targets.shared_records import changed_records, holds_records
from workflow_agent.targets.upper_survey import UpperSurvey, survey_upper

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["LOCK_FILES", "Plan", "dropped_reason", "make_plan"]

#: Left out by policy and said so: rebuilt by apt at the next `update`, and 100 MB of a layer (rule 6).
_DROPPED = (
    (b"/var/lib/apt/lists", "package lists: apt rebuilds them"),
    (b"/var/cache/apt", "package archives and caches: apt rebuilds them"),
)
#: Lock files are never part of a plan (rule 5).
LOCK_FILES = frozenset(
    {b"/var/lib/dpkg/lock", b"/var/lib/dpkg/lock-frontend", b"/var/lib/dpkg/triggers/Lock", b"/etc/.pwd.lock"}
)
_LOGS = b"/var/log/"
_RECORDS = 64 << 20  # larger files are not read for their records


@dataclass(slots=True)
class Plan:
    """Operations in the order of commit, the changes as people read them, and what was dropped."""

    operations: list[Operation] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    dropped: dict[bytes, str] = field(default_factory=dict)
    bytes_added: int = 0
    links: list[tuple[bytes, ...]] = field(default_factory=list)  # see `layers.shared_names`


def make_plan(
    root_fd: int,
    transaction: str,
    baselines: dict[bytes, Baseline],
    stand_ins: Collection[bytes] = (),
    keep: Collection[bytes] = (),
    *,
    staged_fd: int | None = None,
) -> Plan:
    """Compare each captured file system (by mount point) with its baseline.

    The staged tree is prepared on the way: the overlay's own attributes are stripped from it. Blocking.

    Args:
        root_fd: The target's root.
        transaction: Its id.
        baselines: What each file system held before the script ran.
        stand_ins: Contents of programs that were replaced while it ran.
        keep: Paths that stay as they are, with everything below them, whatever the script did to them.
        staged_fd: The folder below which the staged trees lie, where that is not the target's root.

    Raises:
        CaptureError: something in the capture cannot be committed exactly; named.
    """
    plan = Plan()
    for point, baseline in baselines.items():
        planner = _FileSystemPlanner(root_fd, transaction, point, baseline, plan, keep=keep, staged_fd=staged_fd)
        planner.run(stand_ins)
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
    """Walks one upper tree. State: what the survey found, the folders that are touched, and the plan that grows."""

    def __init__(
        self,
        root_fd: int,
        transaction: str,
        point: bytes,
        baseline: Baseline,
        plan: Plan,
        *,
        keep: Collection[bytes] = (),
        staged_fd: int | None = None,
    ) -> None:
        self._root_fd = root_fd
        self._staged_fd = root_fd if staged_fd is None else staged_fd
        self._point = point
        self._prefix = point.rstrip(b"/")
        self._baseline = baseline
        self._plan = plan
        self._keep = tuple(path.rstrip(b"/") for path in keep)
        self._folder = transaction_folder(point, transaction)
        self._survey = UpperSurvey()
        self._links = LinkedNames(root_fd, point, transaction, baseline)
        self._sorted: list[bytes] = []
        self._merged: list[bytes] = []
        self._touched: set[bytes] = set()
        self._left_out: list[tuple[bytes, bytes]] = []
        self._partial: set[bytes] = set()  # folders of which something is left out
        self._made_links = 0
        self._removed = 0

    def run(self, stand_ins: Collection[bytes]) -> None:
        self._survey = survey_upper(self._staged_fd, self._folder, skip=STATE_FOLDER, stand_ins=stand_ins)
        self._refuse_flags()
        self._survey.origins |= self._broken_links()
        self._walk_merged(b"")
        self._plan_other_names()
        for relative in self._merged:
            self._plan_attributes(relative)
        for path in sorted(self._touched - {self._absolute(relative) for relative in self._merged}):
            self._plan_same_attributes(path)
        self._forget_left_out()

    def _forget_left_out(self) -> None:
        """Remove what never reaches the target: package archives would fill the disk for nothing."""
        for folder, name in self._left_out:
            folder_fd = self._open_staged(folder)
            try:
                status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    shutil.rmtree(name, dir_fd=folder_fd)
                else:
                    os.unlink(name, dir_fd=folder_fd)
            finally:
                os.close(folder_fd)

    # -- walking -----------------------------------------------------------------------------------------------

    def _absolute(self, relative: bytes) -> bytes:
        return self._prefix + b"/" + relative if relative else self._point

    def _relative(self, path: bytes) -> bytes:
        return path[len(self._prefix) + 1 :]

    def _open_staged(self, relative: bytes) -> int:
        path = (self._folder + b"/upper/" + relative).strip(b"/")
        return open_beneath(self._staged_fd, path, os.O_RDONLY | os.O_DIRECTORY)

    def _walk_merged(self, relative: bytes) -> None:
        """Plan a folder that exists on both sides."""
        self._merged.append(relative)
        folder_fd = self._open_staged(relative)
        try:
            for name in sorted(os.fsencode(text) for text in os.listdir(folder_fd)):
                if self._plan_entry(folder_fd, relative, name):
                    self._touched.add(self._absolute(relative))
        finally:
            os.close(folder_fd)

    def _plan_entry(self, folder_fd: int, folder: bytes, name: bytes) -> bool:
        """Plan what became of one name; gives whether an operation puts something else there."""
        relative = folder + b"/" + name if folder else name
        path = self._prefix + b"/" + relative
        if self._is_left_out(path):
            self._partial.add(folder)
            self._left_out.append((folder, name))
            return False
        if path in LOCK_FILES or path == self._prefix + b"/" + STATE_FOLDER:
            return False
        staged = read_entry(folder_fd, name)
        if staged is None:
            raise CaptureError("the capture changed while it was read", where=escape_path(path))
        before = self._baseline.get(path)
        if stat.S_ISCHR(staged.mode) and staged.rdev == 0:
            return self._plan_removal(path, before)
        _refuse_special(path, overlay_marks(folder_fd, name), staged)
        if staged.is_dir and before is not None and before.is_dir and relative not in self._survey.covering:
            self._walk_merged(relative)
            return False
        strip_overlay_attributes(folder_fd, name, is_dir=staged.is_dir)
        after = read_entry(folder_fd, name)
        assert after is not None  # nobody else writes to a capture whose processes are dead
        return self._plan_staged(path, relative, before, after)

    def _is_left_out(self, path: bytes) -> bool:
        """Tell whether policy or the caller leaves a path out, and note why."""
        reason = dropped_reason(path)
        for kept in self._keep:
            if path == kept or path.startswith(kept + b"/"):
                reason = f"state data is kept: {escape_path(kept)}"
        if reason is not None:
            self._plan.dropped[path] = reason
        return reason is not None

    def _plan_staged(self, path: bytes, relative: bytes, before: Entry | None, after: Entry) -> bool:
        if before is None:
            return self._plan_creation(path, relative, after)
        if after.is_dir or before.is_dir:
            return self._plan_whole_exchange(path, relative, before, after)
        return self._plan_file(path, relative, before, after)

    # -- operations --------------------------------------------------------------------------------------------

    def _add(self, operation: Operation) -> bool:
        if self._staged_fd == self._root_fd:  # elsewhere they are refused, see `_refuse_flags`
            operation = with_flags(operation, self._survey.flags, self._root_fd)
        self._plan.operations.append(operation)
        return True

    def _flags_differ(self, path: bytes, before: Entry, after: Entry) -> bool:
        return held_flags(self._root_fd, path, before) != self._survey.flags.get(after.ino, 0)

    def _refuse_flags(self) -> None:
        """Refuse flags where what is staged is copied into place: a copy cannot carry them before it is there."""
        if self._survey.flagged and self._staged_fd != self._root_fd:
            raise CaptureError(
                "the script leaves an entry immutable or append-only, which cannot be brought to a container exactly",
                where=escape_path(self._absolute(self._survey.flagged[0])),
                state="nothing was changed",
                hint="leave `chattr` out of the script",
            )

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
        if self._holds_kept(path):
            return self._plan_removal_around(path, subtree)
        self._removed += 1
        self._note(path, ChangeAction.DELETED, before, None)
        for relative, entry in subtree.items():
            self._note(path + b"/" + relative, ChangeAction.DELETED, entry, None)
        return self._add(
            Operation(
                kind=OperationKind.REMOVE,
                path=path,
                point=self._point,
                staged=b"removed/%d" % self._removed,
                before=before,
                subtree=subtree,
            )
        )

    def _holds_kept(self, path: bytes) -> bool:
        return any(kept.startswith(path + b"/") and kept in self._baseline for kept in self._keep)

    def _plan_removal_around(self, path: bytes, subtree: dict[bytes, Entry]) -> bool:
        """Remove what lies in a folder, but not what is kept in it, and so not the folder."""
        for name in sorted(relative for relative in subtree if b"/" not in relative):
            inner = path + b"/" + name
            if not self._is_left_out(inner) and self._plan_removal(inner, self._baseline[inner]):
                self._touched.add(path)
        return False

    def _plan_creation(self, path: bytes, relative: bytes, after: Entry) -> bool:
        self._note(path, ChangeAction.CREATED, None, after)
        content = dict(self._walk_staged(relative)) if after.is_dir else {}
        for below, entry in content.items():
            self._note(path + b"/" + below, ChangeAction.CREATED, None, entry)
        return self._add(
            Operation(
                kind=OperationKind.CREATE,
                path=path,
                point=self._point,
                staged=b"upper/" + relative,
                after=after,
                content=content,
                **self._records(path, b"upper/" + relative, None, after),
            )
        )

    def _plan_whole_exchange(self, path: bytes, relative: bytes, before: Entry, after: Entry) -> bool:
        """A type changed, or a folder was deleted and made anew: the whole entries change places."""
        if self._holds_kept(path):
            raise CaptureError(
                "the script replaces a folder that holds data which is to be kept",
                where=escape_path(path),
                state="nothing was changed",
                hint="leave this folder in place in the script",
            )
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
                content=staged,
            )
        )

    def _plan_file(self, path: bytes, relative: bytes, before: Entry, after: Entry) -> bool:
        staged = self._folder + b"/upper/" + relative
        aspects = differing_aspects(self._root_fd, path, before, staged, after, staged_fd=self._staged_fd)
        if not self._same_links(path, before, after.ino):
            aspects.add("links")
        if self._flags_differ(path, before, after):
            aspects.add("flags")
        if not aspects:
            return False
        if path.startswith(_LOGS) and aspects <= {"content", "mtime"} and before.nlink == 1:
            length = appended_length(self._root_fd, path, before, staged, after, staged_fd=self._staged_fd)
            if length is not None:
                return self._plan_append(path, relative, before, after, length)
        self._exchange(path, b"upper/" + relative, before, after, aspects)
        return True

    def _plan_append(self, path: bytes, relative: bytes, before: Entry, after: Entry, length: int) -> bool:
        self._note(path, ChangeAction.APPENDED, before, after, "content")
        self._add(
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
        return False  # the name stays as it is, and so does its folder

    def _exchange(self, path: bytes, staged: bytes, before: Entry, after: Entry, aspects: set[str]) -> None:
        self._note(path, ChangeAction.MODIFIED, before, after, *sorted(aspects))
        self._add(
            Operation(
                kind=OperationKind.EXCHANGE,
                path=path,
                point=self._point,
                staged=staged,
                before=before,
                after=after,
                **self._records(path, staged, before, after),
            )
        )

    def _records(self, path: bytes, staged: bytes, before: Entry | None, after: Entry) -> dict[str, Any]:
        """Compare a file of many owners by record: a later rollback takes back these and leaves those of others."""
        entries = [after] if before is None else [before, after]
        if not holds_records(path) or not all(stat.S_ISREG(one.mode) and one.size <= _RECORDS for one in entries):
            return {}
        old = b"" if before is None else read_in_root(self._root_fd, path, limit=_RECORDS)
        new = read_in_root(self._staged_fd, self._folder + b"/" + staged, limit=_RECORDS)
        return {"records": changed_records(path, old, new), "compared": True}

    # -- hard links --------------------------------------------------------------------------------------------

    def _broken_links(self) -> dict[int, bytes]:
        """Find files that the script changed through one of their names, where the overlay gives no origin (rule 9).

        Of files in the lower layers of a container the other names keep what they have, as always there. Those of its
        own layer, and those in a home folder, would change: they do where only owner, mode or attributes did; else
        nobody can say what was meant.
        """
        found: dict[int, bytes] = {}
        for inode, names in self._survey.names.items() if not self._survey.has_index else ():
            path = self._absolute(names[0])
            before = self._baseline.get(path)
            if before is None or before.is_dir or before.nlink == 1 or inode in self._survey.origins:
                continue
            if self._staged_fd != self._root_fd and not can_move(before):
                continue
            others = [name for name in self._links.names(before.key) if self._survey.shows_target(self._relative(name))]
            staged = self._folder + b"/upper/" + names[0]
            after = self._read_staged(b"upper/" + names[0])
            aspects = differing_aspects(self._root_fd, path, before, staged, after, staged_fd=self._staged_fd)
            if others and aspects & {"content", "type"}:
                raise CaptureError(
                    "a file with several names was changed through some of them",
                    where=escape_path(path),
                    cause=f"its other names: {', '.join(map(escape_path, sorted(others)))}",
                    hint="change it through all its names, or leave it alone",
                )
            if others:
                found[inode] = before.key
        return found

    def _origin_names(self, inode: int) -> frozenset[bytes]:
        """Names that the file had on the target from which a staged inode was copied."""
        handle = self._survey.origins.get(inode)
        return self._links.names(handle) if handle else frozenset()

    def _group(self, inode: int) -> frozenset[bytes]:
        """All names by which the script saw a staged file: those staged, and those left on the target."""
        staged = {self._absolute(relative) for relative in self._survey.names.get(inode, ())}
        return frozenset(staged | self._left_on_target(inode))

    def _same_links(self, path: bytes, before: Entry, inode: int) -> bool:
        """Whether leaving a name alone on the target leaves its links as the script saw them."""
        group = self._group(inode)
        if before.nlink == 1 and group == {path}:
            return True
        return self._survey.origins.get(inode) == before.key and group <= self._links.names(before.key)

    def _left_on_target(self, inode: int) -> set[bytes]:
        return {name for name in self._origin_names(inode) if self._survey.shows_target(self._relative(name))}

    def _plan_other_names(self) -> None:
        """A file with several names was changed through some of them: all its names change, or none (rule 9)."""
        for inode, source in self._survey.sources.items():
            old = self._origin_names(inode)
            if not old or all(map(dropped_reason, old)):
                continue
            before, after = self._baseline[min(old)], self._read_staged(source)
            live = self._still_at(old, before)
            staged = self._folder + b"/" + source
            aspects = differing_aspects(self._root_fd, live, before, staged, after, staged_fd=self._staged_fd)
            if self._flags_differ(live, before, after):
                aspects.add("flags")
            if not aspects and self._group(inode) <= old:
                continue
            if self._staged_fd == self._root_fd:  # images of containers hold names that nobody can see
                self._links.refuse_unknown_names(before)
            for name in sorted(self._left_on_target(inode)):
                self._exchange(name, self._make_link(source), self._baseline[name], after, aspects or {"links"})
                self._touched.add(name.rpartition(b"/")[0] or b"/")

    def _still_at(self, names: frozenset[bytes], before: Entry) -> bytes:
        """Give a name under which the target still has the file, for reading."""
        for name in sorted(names):
            folder_fd = open_beneath(self._root_fd, name.rpartition(b"/")[0].strip(b"/"), os.O_RDONLY | os.O_DIRECTORY)
            try:
                if before.same_identity(read_entry(folder_fd, name.rpartition(b"/")[2])):
                    return name
            finally:
                os.close(folder_fd)
        raise CaptureError("a file changed on the target while its capture was read", where=escape_path(min(names)))

    def _read_staged(self, source: bytes) -> Entry:
        parent, _, name = (self._folder + b"/" + source).rpartition(b"/")
        folder_fd = open_beneath(self._staged_fd, parent.strip(b"/"), os.O_RDONLY | os.O_DIRECTORY)
        try:
            entry = read_entry(folder_fd, name)
        finally:
            os.close(folder_fd)
        assert entry is not None  # the survey saw it, and nobody else writes here
        return entry

    def _make_link(self, source: bytes) -> bytes:
        self._made_links += 1
        name = b"links/%d" % self._made_links
        folder_fd = open_beneath(self._staged_fd, self._folder.strip(b"/"), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.link(source, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd, follow_symlinks=False)
            strip_overlay_attributes(folder_fd, name, is_dir=False)
        finally:
            os.close(folder_fd)
        return name

    # -- folders -----------------------------------------------------------------------------------------------

    def _plan_attributes(self, relative: bytes) -> None:
        path = self._absolute(relative)
        before = self._baseline[path]
        folder_fd = self._open_staged(relative)
        try:
            after = read_entry(folder_fd, b".")
            new = read_xattrs(f"/proc/self/fd/{folder_fd}/.")
        finally:
            os.close(folder_fd)
        assert after is not None
        old = self._live_xattrs(path)
        aspects = {
            word
            for word, differs in (
                ("mode", before.mode != after.mode),
                ("owner", (before.uid, before.gid) != (after.uid, after.gid)),
                ("xattr", old != new),
                ("flags", self._flags_differ(path, before, after)),
            )
            if differs
        }
        times_differ = before.mtime != after.mtime and relative not in self._partial
        if path in self._touched or aspects or times_differ:
            self._add_attributes(path, before, after, old, new)
        if aspects:  # a folder's mtime follows from its entries: restored, but no change of its own to a reader
            self._note(path, ChangeAction.MODIFIED, before, after, *sorted(aspects))

    def _plan_same_attributes(self, path: bytes) -> None:
        """Keep the times of a folder in which an entry is exchanged that the script changed from elsewhere."""
        before, xattrs = self._baseline[path], self._live_xattrs(path)
        self._add_attributes(path, before, before, xattrs, xattrs)

    def _add_attributes(
        self, path: bytes, before: Entry, after: Entry, old: dict[str, bytes], new: dict[str, bytes]
    ) -> None:
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

    def _live_xattrs(self, path: bytes) -> dict[str, bytes]:
        live_fd = open_beneath(self._root_fd, path.strip(b"/"), os.O_RDONLY | os.O_DIRECTORY)
        try:
            return read_xattrs(f"/proc/self/fd/{live_fd}/.")
        finally:
            os.close(live_fd)

    # -- looking up ----------------------------------------------------------------------------------------------

    def _subtree(self, path: bytes) -> dict[bytes, Entry]:
        """Everything that the baseline holds below a folder, by path relative to it."""
        if not self._sorted:
            self._sorted = sorted(self._baseline)
        prefix = path + b"/"
        first, last = bisect_left(self._sorted, prefix), bisect_left(self._sorted, path + b"0")  # "0" follows "/"
        return {name[len(prefix) :]: self._baseline[name] for name in self._sorted[first:last]}

    def _walk_staged(self, relative: bytes) -> Iterator[tuple[bytes, Entry]]:
        """Yield everything below a staged folder, by path relative to it."""
        pending = [b""]
        while pending:
            below = pending.pop()
            folder_fd = self._open_staged(relative + b"/" + below if below else relative)
            try:
                for name in sorted(os.fsencode(text) for text in os.listdir(folder_fd)):
                    entry = read_entry(folder_fd, name)
                    assert entry is not None
                    inner = below + b"/" + name if below else name
                    _refuse_special(self._absolute(relative + b"/" + inner), set(), entry)
                    yield inner, entry
                    if entry.is_dir:
                        pending.append(inner)
            finally:
                os.close(folder_fd)


def dropped_reason(path: bytes) -> str | None:
    """Say why policy leaves a path out; None when it does not."""
    return next((why for top, why in _DROPPED if path == top or path.startswith(top + b"/")), None)


def _refuse_special(path: bytes, marks: set[str], staged: Entry) -> None:
    for mark in (OVERLAY_MARKS + "redirect", OVERLAY_MARKS + "metacopy"):
        if mark in marks:
            raise CaptureError(
                "the kernel captured a rename or a metadata change by reference, which cannot be committed exactly",
                where=escape_path(path),
                cause=f"attribute {mark}",
            )
    if stat.S_ISCHR(staged.mode) and staged.rdev == 0:
        raise CaptureError("a mark of the overlay lies where none should be", where=escape_path(path))
    if stat.S_ISBLK(staged.mode):
        raise CaptureError("the script made a block device", where=escape_path(path), hint="remove it from the script")
