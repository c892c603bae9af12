"""Everything about every file of a root, and what differs between two readings of it.

What belongs here: reading a tree and comparing two readings. What does not: how the tree came to be (``host``).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from workflow_agent.model.system import escape_path, unescape_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, MutableMapping
    from pathlib import Path

__all__ = ["EXCLUDED", "FileRecord", "Known", "diff", "digest", "grown_logs"]

EXCLUDED = ("/proc", "/sys", "/dev", "/run", "/tmp", "/.workflow-agent")  # noqa: S108  # names inside the target

# Source: linux/fs.h; the flags that chattr shows, without those that the file system sets by itself (extents, index)
_FS_IOC_GETFLAGS = 0x80086601
_SETTABLE_FLAGS = 0x000300FF | 0x00800000
_BLOCK = 1 << 20
_WORKERS = 4
#: Contents by inode, size, and times of the last change of content and of status.
_Contents: TypeAlias = "MutableMapping[tuple[int, int, int, int], str]"
_SLICE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """What one name in a tree is.

    Args:
        kind: ``file``, ``directory``, ``link``, ``character``, ``block``, ``fifo`` or ``socket``.
        mode: Permission bits with setuid, setgid and sticky.
        owner: User and group id.
        size: Bytes of a regular file; 0 of everything else (a directory never shrinks on ext4).
        mtime_ns: Time of the last change of the content.
        content: BLAKE2b hash of a regular file, the target of a link, the numbers of a device.
        attributes: Extended attributes: ACL, capabilities, labels, users' own.
        flags: What ``chattr`` sets (immutable, append-only …).
        names: All names of a file with hard links, sorted; empty for a file with one name.
    """

    kind: str
    mode: int
    owner: tuple[int, int]
    size: int
    mtime_ns: int
    content: str
    attributes: tuple[tuple[str, bytes], ...] = ()
    flags: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """Contents that need not be read again: those of files which nobody touched since a disk was copied.

    Whoever writes to a file, also through a mapping, sets its status time to now; nobody can set it to another one.

    Args:
        before_ns: What was changed later is read each time.
        contents: Of every copy of the same disk; filled while they are read.
    """

    before_ns: int
    contents: _Contents

    def key(self, status: os.stat_result) -> tuple[int, int, int, int] | None:
        """Name a content; None where it has to be read."""
        if status.st_ctime_ns >= self.before_ns:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


def digest(
    root: Path | str, *, excluded: Iterable[str] = EXCLUDED, known: Known | None = None
) -> dict[str, FileRecord]:
    """Read a tree. What vanishes while it is read (a server at work deletes its own files) was not there.

    Args:
        root: Its folder, for example ``/proc/<pid>/root``.
        excluded: Absolute names below the root that are left out with everything below them.
        known: What need not be read again; everything is read without it.

    Returns:
        Absolute name, as printable text, to record; the root itself is ``/``.
    """
    base = os.fsencode(os.fspath(root)).rstrip(b"/")
    skip = frozenset(os.fsencode(name) for name in excluded)
    found = list(_walk(base, skip))
    groups = _link_groups(found)
    slices = [found[start : start + _SLICE] for start in range(0, len(found), _SLICE)]
    with ThreadPoolExecutor(_WORKERS) as pool:  # hashing leaves the interpreter's lock; a task for each file costs more
        read = pool.map(partial(_records, base, groups, known), slices)
        return {escape_path(name): record for part in read for name, record in part}


def diff(before: Mapping[str, FileRecord], after: Mapping[str, FileRecord]) -> list[str]:
    """Compare two readings.

    Returns:
        One line per name that differs, sorted by name: ``created: /a``, ``deleted: /b`` or
        ``changed: /c: mode 0o644 -> 0o600, content``; nothing when the trees are equal.
    """
    lines = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is None:
            lines.append(f"created: {name}")
        elif new is None:
            lines.append(f"deleted: {name}")
        elif old != new:
            lines.append(f"changed: {name}: {', '.join(_differences(old, new))}")
    return lines


def grown_logs(
    root: Path | str, before: Mapping[str, FileRecord], after: Mapping[str, FileRecord], *, below: str = "/var/log/"
) -> list[str]:
    """Name the logs that were only appended to: what was there is still there, byte for byte, and all else is equal.

    Args:
        root: The folder that `after` was read from, still as it was then.
        before: The earlier reading.
        after: The later reading.
        below: Only names that begin with this are considered.
    """
    base = os.fsencode(os.fspath(root)).rstrip(b"/")
    return [
        name
        for name, old in sorted(before.items())
        if name.startswith(below)
        and (new := after.get(name)) is not None
        and new.size > old.size
        and replace(new, size=old.size, mtime_ns=old.mtime_ns, content=old.content) == old
        and _content(base + unescape_path(name), old.size) == old.content
    ]


def _differences(old: FileRecord, new: FileRecord) -> Iterator[str]:
    for field in fields(FileRecord):
        one, other = getattr(old, field.name), getattr(new, field.name)
        if one == other:
            continue
        if field.name == "content" and old.kind == new.kind == "file":
            yield "content"
        elif field.name in ("mode", "flags"):
            yield f"{field.name} {one:#o} -> {other:#o}"
        else:
            yield f"{field.name} {one} -> {other}"


def _walk(base: bytes, skip: frozenset[bytes]) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield every name below the root with its status, directories before what they hold."""
    yield b"/", os.stat(base + b"/")  # noqa: PTH116  # names are bytes here
    folders = [b""]
    while folders:
        folder = folders.pop()
        with suppress(FileNotFoundError), os.scandir(base + folder + b"/") as entries:
            for entry in entries:
                name = folder + b"/" + entry.name
                if name in skip:
                    continue
                with suppress(FileNotFoundError):
                    yield name, entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)


def _link_groups(found: list[tuple[bytes, os.stat_result]]) -> dict[tuple[int, int], tuple[str, ...]]:
    groups: dict[tuple[int, int], list[str]] = {}
    for name, status in found:
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            groups.setdefault((status.st_dev, status.st_ino), []).append(escape_path(name))
    return {inode: tuple(sorted(names)) for inode, names in groups.items()}


def _records(
    base: bytes,
    groups: Mapping[tuple[int, int], tuple[str, ...]],
    known: Known | None,
    found: list[tuple[bytes, os.stat_result]],
) -> list[tuple[bytes, FileRecord]]:
    """Read what names are; those that are gone by now are left out."""
    records = []
    for name, status in found:
        with suppress(FileNotFoundError):
            records.append((name, _existing(base, groups, known, name, status)))
    return records


def _existing(
    base: bytes,
    groups: Mapping[tuple[int, int], tuple[str, ...]],
    known: Known | None,
    name: bytes,
    status: os.stat_result,
) -> FileRecord:
    path = base + name
    regular = stat.S_ISREG(status.st_mode)
    content, flags = "", 0
    if regular or stat.S_ISDIR(status.st_mode):
        content, flags = _open_and_read(path, status if regular else None, known)
    elif stat.S_ISLNK(status.st_mode):
        content = escape_path(os.readlink(path))  # noqa: PTH115
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        content = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return FileRecord(
        kind=_KINDS[stat.S_IFMT(status.st_mode)],
        mode=stat.S_IMODE(status.st_mode),
        owner=(status.st_uid, status.st_gid),
        size=status.st_size if regular else 0,
        mtime_ns=status.st_mtime_ns,
        content=content,
        attributes=_attributes(path),
        flags=flags,
        names=groups.get((status.st_dev, status.st_ino), ()),
    )


def _open_and_read(path: bytes, file: os.stat_result | None, known: Known | None) -> tuple[str, int]:
    """Give the content's hash (empty where it is no file) and the flags; the access time is left alone."""
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOATIME | os.O_CLOEXEC)
    try:
        flags = 0
        with suppress(OSError):  # not every file system has flags
            flags = int.from_bytes(fcntl.ioctl(number, _FS_IOC_GETFLAGS, bytes(8))[:4], "little")
        if file is None:
            return "", flags & _SETTABLE_FLAGS
        key = known.key(file) if known is not None else None
        if known is None or key is None:
            return _hash(number), flags & _SETTABLE_FLAGS
        if key not in known.contents:
            known.contents[key] = _hash(number)
        return known.contents[key], flags & _SETTABLE_FLAGS
    finally:
        os.close(number)


def _content(path: bytes, size: int) -> str:
    """Hash the first bytes of a file."""
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return _hash(number, size)
    finally:
        os.close(number)


def _hash(number: int, size: int | None = None) -> str:
    found = hashlib.blake2b(digest_size=32)  # twice as fast as SHA-256 where the processor has no help for it
    left = size if size is not None else 1 << 62
    while block := os.read(number, min(_BLOCK, left)):
        found.update(block)
        left -= len(block)
    return found.hexdigest()


def _attributes(path: bytes) -> tuple[tuple[str, bytes], ...]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:  # the file system has none
        return ()
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names))
