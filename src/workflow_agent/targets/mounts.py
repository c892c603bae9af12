"""Which mounted file systems a script's effects are captured on, read from mountinfo."""

from __future__ import annotations

import os
from enum import StrEnum

from workflow_agent.model.records import dataclass
from workflow_agent.targets.mountinfo import unescape

__all__ = [
    "CAPTURED_KINDS",
    "LAYERS",
    "Mount",
    "MountUse",
    "has_layers",
    "may_mount",
    "parse_mountinfo",
    "plan_mounts",
    "read_mounts",
]

#: File systems on which capture, exchange and rollback were tried. Others are bound read-only.
CAPTURED_KINDS = frozenset({"ext2", "ext3", "ext4"})
#: Several folders shown as one: a root of that kind is captured as well, staged elsewhere (``layered_host``).
LAYERS = "overlay"
#: Replaced inside a capture by private ones.
PRIVATE_POINTS = (b"/proc", b"/sys", b"/dev", b"/run", b"/tmp")
_CAP_SYS_ADMIN = 1 << 21
_MIN_FIELDS = 10
_OPTIONAL = 6


class MountUse(StrEnum):
    """What a capture does with a mounted file system."""

    OVERLAY = "overlay"
    READ_ONLY = "read-only"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of mountinfo: `point` as the target sees it, `root` the part of the file system shown there."""

    id: int
    parent: int
    point: bytes
    root: bytes
    kind: str
    device: str
    writable: bool


def parse_mountinfo(text: bytes) -> list[Mount]:
    """Parse mountinfo in order. Source: proc(5), /proc/pid/mountinfo."""
    mounts = []
    for line in text.split(b"\n"):  # a carriage return may be part of a name
        fields = line.split(b" ")
        if len(fields) < _MIN_FIELDS:
            continue
        tail = fields.index(b"-", _OPTIONAL)
        options = fields[5].split(b",") + fields[tail + 3].split(b",")
        mounts.append(
            Mount(
                id=int(fields[0]),
                parent=int(fields[1]),
                point=unescape(fields[4]),
                root=unescape(fields[3]),
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


def may_mount() -> bool:
    """Tell whether this process has the capability to mount. Source: proc(5), capabilities(7)."""
    with open("/proc/self/status", encoding="utf-8") as stream:
        fields = dict(line.split(":", 1) for line in stream if ":" in line)
    return bool(int(fields["CapEff"], 16) & _CAP_SYS_ADMIN)


def _below(point: bytes, folder: bytes) -> bool:
    return point == folder or point.startswith(folder.rstrip(b"/") + b"/")


def _visible(mounts: list[Mount]) -> list[Mount]:
    """Give the mounts that a path can lead to, outermost first.

    A mount on a folder above another one hides it: what is mounted below it later is its own child.
    """
    children: dict[int, list[Mount]] = {}
    known = {mount.id for mount in mounts}
    for mount in mounts:
        parent = mount.parent if mount.parent in known and mount.parent != mount.id else 0
        children.setdefault(parent, []).append(mount)
    found = []
    pending = children.get(0, [])
    while pending:
        mount = pending.pop()
        inner = children.get(mount.id, [])
        if all(child.point != mount.point for child in inner):
            found.append(mount)
        pending += [
            child
            for child in inner
            if not any(other.point != child.point and _below(child.point, other.point) for other in inner)
        ]
    return sorted(found, key=lambda mount: (len(mount.point.rstrip(b"/").split(b"/")), mount.point))


def plan_mounts(mounts: list[Mount], *, root_only: bool = False) -> list[tuple[Mount, MountUse]]:
    """Decide the use of each visible mount, outermost first.

    Of a container (and of others whose root is an overlay) only the root belongs to it, `root_only`; what else is
    mounted are volumes and files of the machine (rule 27).
    """
    result = []
    for mount in _visible(mounts):
        if any(_below(mount.point, private) for private in PRIVATE_POINTS):
            use = MountUse.PRIVATE
        elif root_only:
            own = mount.point == b"/" and mount.writable and mount.kind in CAPTURED_KINDS | {LAYERS}
            use = MountUse.OVERLAY if own else MountUse.READ_ONLY
        elif mount.writable and mount.kind in CAPTURED_KINDS and mount.root == b"/":
            use = MountUse.OVERLAY
        else:
            use = MountUse.READ_ONLY
        result.append((mount, use))
    return result


def captured_points(mounts: list[tuple[Mount, MountUse]]) -> tuple[bytes, ...]:
    """Give where the file systems are mounted on which effects are captured, outermost first."""
    return tuple(mount.point for mount, use in mounts if use is MountUse.OVERLAY)


def has_layers(pid: int) -> bool:
    """Tell whether the root that a process sees (0: ourselves) is an overlay."""
    root = [mount.kind for mount in _visible(read_mounts(pid)) if mount.point == b"/"]
    return root == [LAYERS]
