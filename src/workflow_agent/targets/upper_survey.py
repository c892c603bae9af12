"""One look over a staged tree before anything in it is changed: links, origins, and what hides the target."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workflow_agent.model.errors import CaptureError
from workflow_agent.model.system import escape_path
from workflow_agent.targets.flags import overlay_flags
from workflow_agent.targets.linux import OVERLAY_MARKS, open_beneath

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["UpperSurvey", "survey_upper"]

_ORIGIN = OVERLAY_MARKS + "origin"
_OPAQUE = OVERLAY_MARKS + "opaque"
#: What stands before the file handle in the attribute. Source: struct ovl_fb in fs/overlayfs/overlayfs.h.
_ORIGIN_HEADER = 21


@dataclass(slots=True)
class UpperSurvey:
    """What the overlay left behind, by path relative to the file system's root.

    `names` maps an inode of the staged tree to its names, `sources` to one place of it below the transaction's
    folder, `origins` to the handle of the file that it was copied from. Where `covering` names an entry, nothing of
    the target shows at it or below it. `flags` maps an inode to those flags of it that stand against changes;
    `flagged` lists the entries that have any. Without `has_index` the overlay lets names of one file come apart.
    """

    names: dict[int, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    sources: dict[int, bytes] = field(default_factory=dict)
    origins: dict[int, bytes] = field(default_factory=dict)
    covering: set[bytes] = field(default_factory=set)
    flags: dict[int, int] = field(default_factory=dict)
    flagged: list[bytes] = field(default_factory=list)
    has_index: bool = False

    def shows_target(self, relative: bytes) -> bool:
        """Whether the script saw the target's own entry at this path when it ended."""
        parts = relative.split(b"/")
        return not any(b"/".join(parts[:depth]) in self.covering for depth in range(1, len(parts) + 1))


def survey_upper(root_fd: int, folder: bytes, *, skip: bytes, stand_ins: Collection[bytes] = ()) -> UpperSurvey:
    """Look at every entry of a staged tree.

    Args:
        root_fd: The target's root.
        folder: The transaction's folder on one file system, absolute on the target.
        skip: Name at its top that is left out.
        stand_ins: Contents of the programs that are replaced while a script is captured.

    Raises:
        CaptureError: a stand-in was copied, moved or touched: it must not reach the target.
    """
    survey = UpperSurvey()
    pending = [b""]
    while pending:
        inner = pending.pop()
        path = (folder + b"/upper/" + inner).strip(b"/")
        folder_fd = open_beneath(root_fd, path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in map(os.fsencode, os.listdir(folder_fd)):
                relative = inner + b"/" + name if inner else name
                if relative != skip and _look(survey, folder_fd, name, relative, stand_ins):
                    pending.append(relative)
        finally:
            os.close(folder_fd)
    _look_at_index(survey, root_fd, folder)
    return survey


def _look_at_index(survey: UpperSurvey, root_fd: int, folder: bytes) -> None:
    """Find files that were changed through a name that the script removed afterwards: only the index has them."""
    try:
        index_fd = open_beneath(root_fd, (folder + b"/work/index").strip(b"/"), os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    survey.has_index = True
    try:
        for name in map(os.fsencode, os.listdir(index_fd)):
            status = os.stat(name, dir_fd=index_fd, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode) or stat.S_ISCHR(status.st_mode):
                continue
            survey.sources.setdefault(status.st_ino, b"work/index/" + name)
            _note_origin(survey, index_fd, name, status.st_ino)
    finally:
        os.close(index_fd)


def _note_origin(survey: UpperSurvey, folder_fd: int, name: bytes, inode: int) -> None:
    place = f"/proc/self/fd/{folder_fd}/{os.fsdecode(name)}"
    marks = os.listxattr(place, follow_symlinks=False)
    if flags := overlay_flags(place, marks):
        survey.flags[inode] = flags
    if _ORIGIN in marks:
        survey.origins[inode] = os.getxattr(place, _ORIGIN, follow_symlinks=False)[_ORIGIN_HEADER:]


def _look(survey: UpperSurvey, folder_fd: int, name: bytes, relative: bytes, stand_ins: Collection[bytes]) -> bool:
    """Note one entry; gives whether it is a folder."""
    status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        place = f"/proc/self/fd/{folder_fd}/{os.fsdecode(name)}"
        marks = os.listxattr(place, follow_symlinks=False)
        if _OPAQUE in marks:
            survey.covering.add(relative)
        if flags := overlay_flags(place, marks):
            survey.flags[status.st_ino] = flags
            survey.flagged.append(relative)
        return True
    survey.covering.add(relative)
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        return False  # a whiteout: all of them may be one inode
    survey.names[status.st_ino].append(relative)
    survey.sources.setdefault(status.st_ino, b"upper/" + relative)
    _note_origin(survey, folder_fd, name, status.st_ino)
    if status.st_ino in survey.flags:
        survey.flagged.append(relative)
    if stat.S_ISREG(status.st_mode) and any(status.st_size == len(text) for text in stand_ins):
        _refuse_stand_in(folder_fd, name, relative, stand_ins)
    return False


def _refuse_stand_in(folder_fd: int, name: bytes, relative: bytes, stand_ins: Collection[bytes]) -> None:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read()
    if content in stand_ins:
        raise CaptureError(
            "the script copied, moved or touched a program that is replaced while its effects are captured",
            where=escape_path(b"/" + relative),
            cause="what would be committed is the replacement, which records starts and stops of services",
            state="nothing was changed",
            hint="leave systemctl, service, invoke-rc.d and policy-rc.d alone in the script",
        )
