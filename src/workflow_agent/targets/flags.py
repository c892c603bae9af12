"""Immutable and append-only: the two flags of chattr(1) that stand against every change of an entry (rule 11).

An overlay keeps them beside an entry, in an attribute of its own; the entries of its upper layer carry none. So they
are recorded with each operation: cleared before the first one, set when the last one is done, and the other way round
when it is undone. What is interrupted in between is undone from the plan file, flags included.

Other flags (``A``, ``d``, ``S`` ...) stand against nothing and move with the entries that have them. Blocking.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.targets.linux import OVERLAY_MARKS, file_flags, open_beneath, set_file_flags

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from workflow_agent.targets.entries import Entry
    from workflow_agent.targets.live_tree import LiveTree
    from workflow_agent.targets.operations import Operation

__all__ = [
    "HELD",
    "clear_flags",
    "flagged_since",
    "held_flags",
    "overlay_flags",
    "remove_tree",
    "set_flags_after",
    "set_flags_before",
    "with_flags",
]

#: Immutable and append-only. Source: linux/fs.h, FS_IMMUTABLE_FL and FS_APPEND_FL.
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20
HELD = _IMMUTABLE | _APPEND_ONLY
#: Where an overlay keeps them. Source: fs/overlayfs/util.c, ovl_get_protattr.
_ATTRIBUTE = OVERLAY_MARKS + "protattr"
_LETTERS = {ord("i"): _IMMUTABLE, ord("a"): _APPEND_ONLY}


def overlay_flags(place: str, names: Iterable[str]) -> int:
    """Give the flags that an overlay shows for an entry of its upper layer.

    Args:
        place: Its path.
        names: The names of its attributes.
    """
    if _ATTRIBUTE not in names:
        return 0
    value = os.getxattr(place, _ATTRIBUTE, follow_symlinks=False)
    return sum(_LETTERS.get(letter, 0) for letter in set(value))


def held_flags(root_fd: int, path: bytes, entry: Entry | None) -> int:
    """Read which of the two flags an entry of the target has; only files and folders can have any."""
    if entry is None or not (entry.is_dir or stat.S_ISREG(entry.mode)):
        return 0  # opening a device can do things
    descriptor = open_beneath(root_fd, path.strip(b"/"), os.O_RDONLY | os.O_NONBLOCK)
    try:
        return file_flags(descriptor) & HELD
    finally:
        os.close(descriptor)


def with_flags(operation: Operation, staged: Mapping[int, int], root_fd: int) -> Operation:
    """Record the flags of both sides of an operation.

    Args:
        operation: As it is planned.
        staged: Flags by inode of the staged tree.
        root_fd: The target's root.
    """
    content = {path: staged[entry.ino] for path, entry in operation.content.items() if entry.ino in staged}
    after = staged.get(operation.after.ino, 0) if operation.after is not None else 0
    before = held_flags(root_fd, operation.path, operation.before)
    if operation.after is operation.before:  # a folder that the script saw as it is
        after = before
    if not (before or after or content):
        return operation
    return replace(operation, before_flags=before, after_flags=after, content_flags=content)


def flagged_since(
    tree: LiveTree, operations: Iterable[Operation], untouched: Container[bytes] = frozenset()
) -> list[bytes]:
    """List what stands against taking operations back: entries and folders that got a flag since they were done.

    Args:
        tree: The target's files.
        operations: What would be taken back; the flags that they left are cleared before.
        untouched: Paths to which nothing happened at all: a flag would have changed their ctime.
    """
    operations = list(operations)
    known = {operation.path: operation.after_flags for operation in operations}
    moved = [operation for operation in operations if operation.kind.moves]
    looked_at = {operation.path for operation in operations if operation.kind.is_undone}
    looked_at |= {operation.path.rpartition(b"/")[0] or b"/" for operation in moved}
    found = []
    for path in sorted(path for path in looked_at if path not in untouched):
        with suppress(FileNotFoundError, PermissionError):  # it went meanwhile, or somebody without root asks
            if held_flags(tree.root_fd, path, tree.read(path)) & ~known.get(path, 0):
                found.append(path)
    return found


def clear_flags(tree: LiveTree, operations: Iterable[Operation]) -> None:
    """Clear the flags of everything that operations are about, as it lies now, so that they can be done or undone."""
    for operation in operations:
        if operation.before_flags or operation.after_flags:
            _set(tree, operation.path, 0, (operation.before, operation.after))
        for relative in operation.content_flags:
            _set(tree, operation.path + b"/" + relative, 0, (operation.content[relative],))


def set_flags_after(tree: LiveTree, operations: Iterable[Operation]) -> None:
    """Set the flags that entries have once operations are done."""
    for operation in operations:
        for relative, flags in operation.content_flags.items():
            _set(tree, operation.path + b"/" + relative, flags, (operation.content[relative],))
        if operation.after_flags:
            _set(tree, operation.path, operation.after_flags, (operation.before, operation.after))


def set_flags_before(tree: LiveTree, operations: Iterable[Operation]) -> None:
    """Set the flags that entries had before operations, where these are undone."""
    for operation in operations:
        if operation.before_flags:
            _set(tree, operation.path, operation.before_flags, (operation.before,))


def _set(tree: LiveTree, path: bytes, flags: int, ours: tuple[Entry | None, ...]) -> None:
    """Set the two flags of an entry that is one of ours; what somebody else put there is left alone."""
    live = tree.read(path)
    if live is None or not any(live.same_identity(one) for one in ours):
        return
    if not (live.is_dir or stat.S_ISREG(live.mode)):
        return
    descriptor = open_beneath(tree.root_fd, path.strip(b"/"), os.O_RDONLY | os.O_NONBLOCK)
    try:
        set_file_flags(descriptor, flags, HELD)
    finally:
        os.close(descriptor)


def remove_tree(name: str | bytes, folder_fd: int) -> None:
    """Remove a folder with everything in it, also what is immutable; raises OSError."""
    text = os.fsdecode(name)
    try:
        shutil.rmtree(text, dir_fd=folder_fd)
    except PermissionError:
        if os.geteuid() == 0:
            _clear_below(text, folder_fd)
        else:
            _open_below(text, folder_fd)
        shutil.rmtree(text, dir_fd=folder_fd)


def _open_below(name: str, folder_fd: int) -> None:
    """Let their owner into folders that do not let him in: an overlay makes some, a script may."""
    os.chmod(name, stat.S_IRWXU, dir_fd=folder_fd)  # of a folder: links are not asked for
    inner_fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        for inner in os.listdir(inner_fd):
            if stat.S_ISDIR(os.stat(inner, dir_fd=inner_fd, follow_symlinks=False).st_mode):
                _open_below(inner, inner_fd)
    finally:
        os.close(inner_fd)


def _clear_below(name: str, folder_fd: int) -> None:
    for _, _, files, inner_fd in os.fwalk(name, dir_fd=folder_fd):
        set_file_flags(inner_fd, 0, HELD)
        for file in files:
            if stat.S_ISREG(os.stat(file, dir_fd=inner_fd, follow_symlinks=False).st_mode):
                with suppress(FileNotFoundError):
                    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=inner_fd)
                    try:
                        set_file_flags(descriptor, 0, HELD)
                    finally:
                        os.close(descriptor)
