"""A copy of a host's files as an image, for a rehearsal where nothing can be captured. Blocking.

What the caller may read is copied, without following a link and without changing a time: as root that is everything.
Left out are file systems of other machines and of the kernel, the folders that a setting names, engines' own storage,
and our own folders. What is missing is said: the clone is approximate.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.errors import CaptureError, UnreachableError
from workflow_agent.model.records import dataclass
from workflow_agent.targets.clone_sources import CLONE_REPOSITORY, CloneImage
from workflow_agent.targets.entries import STATE_FOLDER
from workflow_agent.targets.linux import open_beneath
from workflow_agent.targets.mounts import PRIVATE_POINTS, MountUse, plan_mounts, read_mounts
from workflow_agent.targets.paths import open_root, read_in_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from docker import APIClient

    from workflow_agent.targets.engine import Engine
    from workflow_agent.targets.mounts import Mount
    from workflow_agent.targets.quota import CopyScope

__all__ = ["HostCopy", "Surveyed", "survey", "tar_stream"]

#: File systems that hold a host's own files. Others are remote, virtual, or another program's.
_OWN_KINDS: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "squashfs", "erofs", "vfat"})
_PIECE: Final = 1 << 20
_NAMED: Final = 5
_BLOCK: Final = 512  # of st_blocks: stat(2)
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK
#: Attributes that an engine's storage takes: capabilities of programs, access lists, those of users.
_XATTRS: Final = ("security.capability", "system.posix_acl_", "user.")
_TYPES: Final = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


@dataclass(slots=True, kw_only=True)
class Surveyed:
    """What would be copied: paths in order with their states, and what would not be, by reason."""

    entries: list[tuple[bytes, os.stat_result]] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)
    left_out: list[bytes] = field(default_factory=list)
    bytes: int = 0


class HostCopy:
    """The files of a host, to be cloned; implements ``CloneSource``.

    Args:
        name: How people call the target.
        pid: A process that lives there; 0 is this machine as we see it.
        scope: What is copied.
    """

    def __init__(self, name: str, *, pid: int, scope: CopyScope) -> None:
        self.name = name
        self._pid = pid
        self._scope = scope
        self._surveyed = Surveyed()

    def image(self, engine: Engine, client: APIClient, labels: Mapping[str, str], tag: str) -> CloneImage:
        """Copy what there is into an image; see ``CloneSource``."""
        storage = str(engine.get("/info").get("DockerRootDir") or "")
        with open_root(self._pid) as root:
            hidden = [*self._scope.hidden, *([storage] if storage else [])]
            self._surveyed = found = survey(root, read_mounts(self._pid), without=self._scope.without, hidden=hidden)
            self._require_room(found, storage)
            changes = [f'LABEL "{name}"="{value}"' for name, value in labels.items()]
            with engine.told(self.name):
                said = client.import_image_from_stream(
                    tar_stream(root, found), repository=CLONE_REPOSITORY, tag=tag, changes=changes
                )
            made = client.inspect_image(_image_id(said, self.name))
            return CloneImage(id=str(made["Id"]), hostname=_hostname(root), labels=dict(labels))

    def _require_room(self, found: Surveyed, storage: str) -> None:
        """Refuse a copy that is larger than allowed, or than the engine's disk, before it begins."""
        cause = ""
        if found.bytes > self._scope.max_bytes:
            allowed = _mib(self._scope.max_bytes)
            cause = f"its files have {_mib(found.bytes)}, the setting `limits.clone_bytes` allows {allowed}"
        with suppress(OSError):  # an engine with a storage that we cannot see refuses on its own
            free = shutil.disk_usage(storage).free
            if not cause and found.bytes > free:
                cause = f"its files have {_mib(found.bytes)}, the engine's disk has {_mib(free)} left ({storage})"
        if cause:
            raise CaptureError(
                f"`{self.name}` is too large to be cloned for a rehearsal",
                cause=cause,
                state="nothing was changed",
                hint="name folders that no script needs in the setting `targets.clone_without`",
            )

    def notes(self) -> list[str]:
        """Say what the copy lacks."""
        found = self._surveyed
        notes = ["rehearsed in a copy of the host: an installation runs the script anew, and can differ"]
        if found.left_out:
            notes.append(f"left empty in the copy: {_names(found.left_out)}")
        if found.unreadable:
            count = len(found.unreadable)
            notes.append(f"not in the copy, because you may not read it: {_names(found.unreadable)}, {count} in all")
        return notes


def _mib(count: int) -> str:
    return f"{count >> 20} MiB"


def _names(paths: Sequence[bytes]) -> str:
    shown = ", ".join(os.fsdecode(path) for path in paths[:_NAMED])
    return shown + (" and more" if len(paths) > _NAMED else "")


def _hostname(root: int) -> str:
    with suppress(OSError):
        return read_in_root(root, "/etc/hostname").decode("ascii", "replace").split("\n")[0].strip()[:63]
    return ""


def _image_id(said: Any, name: str) -> str:  # Any: the engine's lines
    import json  # noqa: PLC0415  # late: with rehearsals only

    for line in reversed(str(said).splitlines()):
        told = json.loads(line)
        if "error" in told:
            raise UnreachableError("the Docker engine refused the copy", where=name, cause=str(told["error"]))
        if str(told.get("status", "")).startswith("sha256:"):
            return str(told["status"])
    raise UnreachableError("the Docker engine took the copy, but names no image", where=name)


# -- what is copied ----------------------------------------------------------------------------------------------------


def survey(root: int, mounts: list[Mount], *, without: Sequence[str] = (), hidden: Sequence[str] = ()) -> Surveyed:
    """Walk what would be copied.

    Args:
        root: Descriptor of the host's root folder.
        mounts: What is mounted there.
        without: Folders that stay empty, files that stay out; told.
        hidden: The same, not told.
    """
    foreign = {mount.point for mount, use in plan_mounts(mounts) if not _is_own(mount, use)}
    told = (foreign | {os.fsencode(path) for path in without}) - {*PRIVATE_POINTS}
    walk = _Walk(root, told, {*PRIVATE_POINTS, *(os.fsencode(path) for path in hidden)})
    walk.run()
    return walk.found


def _is_own(mount: Mount, use: MountUse) -> bool:
    return mount.point == b"/" or (use is not MountUse.PRIVATE and mount.kind in _OWN_KINDS)


class _Walk:
    """Collects entries, parents first; a folder that is mounted twice is copied once."""

    def __init__(self, root: int, told: set[bytes], hidden: set[bytes]) -> None:
        self._root = root
        self._told = told
        self._hidden = hidden
        self._seen: set[tuple[int, int]] = set()
        self.found = Surveyed()

    def run(self) -> None:
        pending = [b"/"]
        while pending:
            folder = pending.pop()
            try:
                descriptor = open_beneath(self._root, folder.lstrip(b"/"), _FOLDER)
            except OSError as error:
                if isinstance(error, PermissionError):
                    self.found.unreadable.append(folder)
                continue  # else it is gone
            try:
                pending += reversed(self._folder(descriptor, folder.rstrip(b"/")))
            finally:
                os.close(descriptor)

    def _folder(self, descriptor: int, folder: bytes) -> list[bytes]:
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) in self._seen:
            self.found.left_out.append(folder)
            return []
        self._seen.add((status.st_dev, status.st_ino))
        folders = []
        for name in sorted(os.fsencode(text) for text in os.listdir(descriptor)):
            path = folder + b"/" + name
            try:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            except OSError:
                continue  # gone, or a mount that nobody may look into
            # Sockets and devices belong to what runs.
            if name == STATE_FOLDER or stat.S_IFMT(status.st_mode) not in _TYPES:
                continue
            empty = self._is_left_out(path)
            if not stat.S_ISDIR(status.st_mode):
                if empty or not self._is_readable(descriptor, name, path, status):
                    continue
                self.found.bytes += min(status.st_size, status.st_blocks * _BLOCK)
            elif not empty:
                folders.append(path)
            self.found.entries.append((path, status))
        return folders

    def _is_left_out(self, path: bytes) -> bool:
        if path in self._told:
            self.found.left_out.append(path)
        return path in self._told or path in self._hidden

    def _is_readable(self, descriptor: int, name: bytes, path: bytes, status: os.stat_result) -> bool:
        if stat.S_ISREG(status.st_mode) and not os.access(name, os.R_OK, dir_fd=descriptor, effective_ids=True):
            self.found.unreadable.append(path)
            return False
        return True


# -- the archive -------------------------------------------------------------------------------------------------------


def tar_stream(root: int, found: Surveyed) -> Iterator[bytes]:
    """Give what was surveyed as a tar archive, in pieces; what changes meanwhile is as it was read."""
    first: dict[tuple[int, int], bytes] = {}
    for path, status in found.entries:
        key = (status.st_dev, status.st_ino)
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            if key in first:
                yield _header(path, status, kind=tarfile.LNKTYPE, link=first[key])
                continue
            first[key] = path
        yield from _member(root, path, status)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(root: int, path: bytes, status: os.stat_result) -> Iterator[bytes]:
    kind = _TYPES[stat.S_IFMT(status.st_mode)]
    if kind == tarfile.SYMTYPE:
        with suppress(OSError):  # gone
            yield _header(path, status, kind=kind, link=_link(root, path))
    elif kind == tarfile.FIFOTYPE:
        yield _header(path, status, kind=kind)
    else:
        try:
            descriptor = _opened(root, path, os.O_DIRECTORY if kind == tarfile.DIRTYPE else 0)
        except OSError:
            if kind == tarfile.DIRTYPE:  # not ours to read, but it is there
                yield _header(path, status, kind=kind)
            return
        try:
            size = os.fstat(descriptor).st_size if kind == tarfile.REGTYPE else 0
            yield _header(path, status, kind=kind, size=size, xattrs=_xattrs(descriptor))
            yield from _content(descriptor, size)
        finally:
            os.close(descriptor)


def _opened(root: int, path: bytes, flags: int) -> int:
    flags |= os.O_RDONLY | os.O_NONBLOCK
    try:
        return open_beneath(root, path.lstrip(b"/"), flags | os.O_NOATIME)
    except PermissionError:  # times may be kept by a file's owner only
        return open_beneath(root, path.lstrip(b"/"), flags)


def _link(root: int, path: bytes) -> bytes:
    folder, _, name = path.rpartition(b"/")
    descriptor = open_beneath(root, folder.lstrip(b"/"), os.O_PATH | os.O_DIRECTORY)
    try:
        return os.readlink(name, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _xattrs(descriptor: int) -> dict[str, bytes]:
    try:
        names = [name for name in os.listxattr(descriptor) if name.startswith(_XATTRS)]
        return {name: os.getxattr(descriptor, name) for name in names}
    except OSError:  # the file system has none
        return {}


def _content(descriptor: int, size: int) -> Iterator[bytes]:
    """Give exactly so many bytes, and the padding of the archive, whatever becomes of the file."""
    left = size
    while left and (piece := os.read(descriptor, min(left, _PIECE))):
        left -= len(piece)
        yield piece
    while left:
        piece = bytes(min(left, _PIECE))
        left -= len(piece)
        yield piece
    yield bytes(-size % tarfile.BLOCKSIZE)


def _header(
    path: bytes,
    status: os.stat_result,
    *,
    kind: bytes,
    size: int = 0,
    link: bytes = b"",
    xattrs: Mapping[str, bytes] | None = None,
) -> bytes:
    member = tarfile.TarInfo(os.fsdecode(path.lstrip(b"/")))
    member.type, member.size, member.mode = kind, size, stat.S_IMODE(status.st_mode)
    member.uid, member.gid, member.mtime = status.st_uid, status.st_gid, status.st_mtime_ns // 10**9
    member.linkname = os.fsdecode(link.lstrip(b"/") if kind == tarfile.LNKTYPE else link)
    member.pax_headers = {
        f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape") for name, value in (xattrs or {}).items()
    }
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
