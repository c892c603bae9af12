"""What can be seen to stand against a capture without trying one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.model.system import escape_path
from workflow_agent.targets.mounts import CAPTURED_KINDS, MountUse, may_mount

if TYPE_CHECKING:
    from workflow_agent.targets.mounts import Mount

__all__ = ["home_mounts", "home_reason", "static_reason"]

_NO_OVERLAY = "the kernel has no overlay file system (try `modprobe overlay`)"
#: Where a kernel, or a distribution's patch of it, says that people without root get no namespace of their own.
_SWITCHES = {
    "/proc/sys/user/max_user_namespaces": "0",
    "/proc/sys/kernel/unprivileged_userns_clone": "0",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",
}


def static_reason(mounts: list[tuple[Mount, MountUse]]) -> str | None:
    """Say what can be seen to stand against a capture without trying it."""
    root = next((pair for pair in mounts if pair[0].point == b"/"), None)
    if root is None:
        return "the root file system is not among the mounts"
    if root[1] is not MountUse.OVERLAY:
        return f"the root file system is {root[0].kind}: {_why_not(root[0])}"
    if not may_mount():
        return "this process may not mount: it lacks the capability CAP_SYS_ADMIN, as in a container without it"
    return None if _has_overlay() else _NO_OVERLAY


def _has_overlay() -> bool:
    with open("/proc/filesystems", encoding="utf-8") as stream:
        return "overlay" in stream.read().split()


def home_mounts(mounts: list[tuple[Mount, MountUse]], home: bytes) -> list[tuple[Mount, MountUse]]:
    """Give the one mount of a capture without root: the part of a file system that is a home folder."""
    around = [pair for pair in mounts if _holds(pair[0].point, home)]
    mount = max(around, key=lambda pair: len(pair[0].point))[0]
    use = MountUse.OVERLAY if mount.writable and mount.kind in CAPTURED_KINDS else MountUse.READ_ONLY
    return [(replace(mount, point=home), use)]


def home_reason(mounts: list[tuple[Mount, MountUse]], home: bytes) -> str | None:
    """Say what can be seen to stand against a capture without root, without trying it."""
    [(mount, use)] = home_mounts(mounts, home)
    shown = escape_path(home)
    if use is not MountUse.OVERLAY:
        cause = "it is mounted read-only" if not mount.writable else f"capture was never tried on {mount.kind}"
        return f"the file system of {shown} is {mount.kind}: {cause}"
    if inner := [pair[0].point for pair in mounts if pair[0].point != home and _holds(home, pair[0].point)]:
        return f"something is mounted in {shown}, which only root can capture: {escape_path(inner[0])}"
    if not _has_overlay():
        return _NO_OVERLAY
    for path, off in _SWITCHES.items():
        with suppress(OSError), open(path, encoding="ascii") as stream:
            if stream.read().strip() == off:
                return f"people without root get no user namespace here: {path} is {off}"
    return None


def _holds(folder: bytes, path: bytes) -> bool:
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def _why_not(root: Mount) -> str:
    if not root.writable:
        return "it is mounted read-only"
    return "only a folder of it is mounted there" if root.root != b"/" else f"capture was never tried on {root.kind}"
