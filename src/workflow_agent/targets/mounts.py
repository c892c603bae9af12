"""Which mounted file systems a script's effects are captured on, read from mountinfo."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Mount", "MountUse", "plan_mounts", "read_mounts"]

#: File systems on which capture, exchange and rollback were tried. Others are bound read-only.
CAPTURED_KINDS = frozenset({"ext2", "ext3", "ext4"})
#: Replaced inside a capture by private ones.
PRIVATE_POINTS = (b"/proc", b"/sys", b"/dev", b"/run", b"/tmp")
_MIN_FIELDS = 10


class MountUse(StrEnum):
    """What a capture does with a mounted file system."""

    OVERLAY = "overlay"
    READ_ONLY = "read-only"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of mountinfo: `point` as the target sees it, `root` the part of the file system shown there."""

    point: bytes
    root: bytes
    kind: str
    device: str
    writable: bool


def _unescape(field: bytes) -> bytes:
    return field.decode("unicode_escape").encode("latin-1") if b"\\" in field else field


def parse_mountinfo(text: bytes) -> list[Mount]:
    """Parse mountinfo in order. Source: proc(5), /proc/pid/mountinfo."""
    mounts = []
    for line in text.splitlines():
        fields = line.split(b" ")
        if len(fields) < _MIN_FIELDS:
            continue
        tail = fields.index(b"-")
        options = fields[5].split(b",") + fields[tail + 3].split(b",")
        mounts.append(
            Mount(
                point=_unescape(fields[4]),
                root=_unescape(fields[3]),
                kind=fields[tail + 1].decode(),
                device=fields[2].decode(),
                writable=b"ro" not in options,
            ),
        )
    return mounts


def read_mounts(pid: int) -> list[Mount]:
    """Read the mounts that process `pid` sees (0: ourselves)."""
    with open(f"/proc/{pid or os.getpid()}/mountinfo", "rb") as stream:
        return parse_mountinfo(stream.read())


def _below(point: bytes, folder: bytes) -> bool:
    return point == folder or point.startswith(folder.rstrip(b"/") + b"/")


def plan_mounts(mounts: list[Mount]) -> list[tuple[Mount, MountUse]]:
    """Decide the use of each visible mount, outermost first; a later mount hides earlier ones below it."""
    visible: dict[bytes, Mount] = {}
    for mount in mounts:
        for hidden in [point for point in visible if _below(point, mount.point)]:
            del visible[hidden]
        visible[mount.point] = mount
    result = []
    for mount in visible.values():
        if any(_below(mount.point, private) for private in PRIVATE_POINTS):
            use = MountUse.PRIVATE
        elif mount.writable and mount.kind in CAPTURED_KINDS and mount.root == b"/":
            use = MountUse.OVERLAY
        else:
            use = MountUse.READ_ONLY
        result.append((mount, use))
    return sorted(result, key=lambda pair: pair[0].point.count(b"/") if pair[0].point != b"/" else 0)
