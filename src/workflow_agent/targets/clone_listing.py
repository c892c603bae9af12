"""What a container holds, read from the tar stream of its files, and how two such listings differ.

A rehearsal in a clone is compared by content, owner and mode; times are not, because making the clone changes them.
Names and contents come from a script that may be hostile: nothing here raises over them.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from workflow_agent.model.errors import CaptureError
from workflow_agent.model.records import dataclass
from workflow_agent.model.system import Change, ChangeAction, ChangeSet, Tier, escape_path
from workflow_agent.targets.derive import derive_changes, needs_content
from workflow_agent.targets.plan import LOCK_FILES, dropped_reason
from workflow_agent.targets.shims import SHIM_PATHS, parse_requested

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["CLONE_FOLDER", "CloneListing", "Listed", "change_set", "read_listing"]

#: Where a clone keeps what belongs to the rehearsal and not to the target.
CLONE_FOLDER = "/.workflow-agent-clone"
#: Made anew for every container, or ours: no script of a rehearsal changes the target's.
_OUTSIDE = ("/proc", "/sys", "/dev", "/run", "/tmp", "/.workflow-agent", CLONE_FOLDER, "/.dockerenv")
_ENGINE_FILES = frozenset({"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab"})
_SHIM_PATHS = frozenset(path for paths in SHIM_PATHS.values() for path in paths)
_KEPT_BYTES = 64 << 20
_PIECE = 1 << 20
_KINDS = {
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
}
_XATTR = "SCHILY.xattr."


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One entry; `digest` is that of a file's content, `link` where a symbolic link leads."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    digest: bytes = b""
    link: str = ""
    xattrs: tuple[tuple[str, str], ...] = ()

    def described(self) -> dict[str, object]:
        """Give what change sets tell of an entry."""
        return {
            "kind": self.kind,
            "mode": f"{stat.S_IMODE(self.mode):04o}",
            "uid": self.uid,
            "gid": self.gid,
            "size": self.size,
            "mtime_ns": self.mtime_ns,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneListing:
    """Entries by escaped path, and the contents of those few that are looked into."""

    entries: dict[str, Listed] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)

    def stands(self, path: str, *, always: bool = False) -> bool:
        """Whether a file is really there (or could be): its folder is no link."""
        folder = self.entries.get(path.rpartition("/")[0])
        return folder is not None and folder.kind == "directory" and (always or path in self.entries)


def read_listing(stream: BinaryIO) -> CloneListing:
    """Read a container's files as the engine exports them; raises CaptureError where the stream breaks off."""
    listing = CloneListing()
    try:
        with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as archive:
            for member in archive:
                _add(listing, archive, member)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise CaptureError(
            "the files of the clone cannot be read", cause=str(error), state="nothing was changed"
        ) from error
    return listing


def _add(listing: CloneListing, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    path = _path(member.name)
    if path == "/" or _is_outside(path):
        return
    if member.islnk():  # one more name of a file that came before
        first = _path(member.linkname)
        if first in listing.entries:
            listing.entries[path] = listing.entries[first]
        return
    entry = Listed(
        kind=_KINDS.get(member.type, "file"),
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        size=member.size if member.isreg() else 0,
        mtime_ns=int(member.mtime * 1_000_000_000),
        link=escape_path(os.fsencode(member.linkname)) if member.issym() else "",
        xattrs=tuple(sorted((key, value) for key, value in member.pax_headers.items() if key.startswith(_XATTR))),
    )
    if member.isreg():
        entry = replace(entry, digest=_digest(listing, archive, member, path))
    elif member.issym() and needs_content(path):
        listing.contents[path] = os.fsencode(member.linkname)
    listing.entries[path] = entry


def _path(name: str) -> str:
    return "/" + escape_path(os.fsencode(name)).removeprefix("./").strip("/")


def _digest(listing: CloneListing, archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> bytes:
    source = archive.extractfile(member)
    assert source is not None  # a regular file has content
    if (needs_content(path) or path in _SHIM_PATHS) and member.size <= _KEPT_BYTES:
        listing.contents[path] = content = source.read()
        return hashlib.sha256(content).digest()
    digest = hashlib.sha256()
    while piece := source.read(_PIECE):
        digest.update(piece)
    return digest.digest()


def _is_outside(path: str) -> bool:
    return path in _ENGINE_FILES or any(path == top or path.startswith(top + "/") for top in _OUTSIDE)


# -- comparing ---------------------------------------------------------------------------------------------------------


def change_set(
    before: CloneListing,
    after: CloneListing,
    *,
    requested: str,
    stand_ins: Mapping[str, str],
    keep: Sequence[str],
    notes: Sequence[str],
) -> ChangeSet:
    """Tell what a script did in a clone.

    Args:
        before: What it began with.
        after: What is there since.
        requested: What the stand-ins recorded.
        stand_ins: Their texts by path: one that is still there stands for the real program.
        keep: Paths that are left alone, with everything below them.
        notes: What a person should know of it.
    """
    ours = {path: hashlib.sha256(text.encode()).digest() for path, text in stand_ins.items()}
    left_out: dict[str, str] = {}
    changes = []
    for path in sorted(before.entries.keys() | after.entries.keys()):
        old, new = before.entries.get(path), after.entries.get(path)
        if new is not None and path in ours and new.digest == ours[path]:
            continue
        if (change := _change(path, old, new)) is None:
            continue
        if (reason := _reason(path, keep)) is not None:
            left_out.setdefault(reason, path)
        elif os.fsencode(path) not in LOCK_FILES:
            changes.append(change)
    paths = [change.path for change in changes if needs_content(change.path)]
    derived = derive_changes(
        {path: before.contents.get(path) for path in paths}, {path: after.contents.get(path) for path in paths}, changes
    )
    return ChangeSet(
        changes=tuple(changes),
        packages=derived.packages,
        users=derived.users,
        groups=derived.groups,
        units=derived.units,
        cron=derived.cron,
        requested=parse_requested(requested),
        dropped=tuple({"path": path, "reason": reason} for reason, path in left_out.items()),
        notes=derived.notes + tuple(notes),
        bytes_added=_bytes_added(changes),
        tier=Tier.APPROXIMATE,
    )


def _change(path: str, old: Listed | None, new: Listed | None) -> Change | None:
    aspects: tuple[str, ...] = ()
    if old is not None and new is not None:
        aspects = tuple(_aspects(old, new))
        if not aspects:
            return None
    entry = new or old
    assert entry is not None
    told = ChangeAction.MODIFIED if old and new else ChangeAction.CREATED if new else ChangeAction.DELETED
    return Change(
        path=path,
        action=told,
        kind=entry.kind,
        aspects=aspects,
        before=old.described() if old else None,
        after=new.described() if new else None,
    )


def _aspects(old: Listed, new: Listed) -> Iterator[str]:
    if old.kind != new.kind:
        yield "type"
    elif old.digest != new.digest:
        yield "content"
    elif old.link != new.link:
        yield "target"
    if stat.S_IMODE(old.mode) != stat.S_IMODE(new.mode):
        yield "mode"
    if (old.uid, old.gid) != (new.uid, new.gid):
        yield "owner"
    if old.xattrs != new.xattrs:
        yield "xattr"


def _reason(path: str, keep: Sequence[str]) -> str | None:
    kept = next((one for one in keep if path == one or path.startswith(one.rstrip("/") + "/")), None)
    return f"state data is kept: {kept}" if kept is not None else dropped_reason(os.fsencode(path))


def _bytes_added(changes: Sequence[Change]) -> int:
    after: list[Mapping[str, Any]] = [change.after or {} for change in changes]
    return sum(int(entry.get("size", 0)) for entry in after)
