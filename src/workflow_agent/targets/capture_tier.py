"""What can be seen to stand against a capture without trying one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.targets.mounts import MountUse, may_mount

if TYPE_CHECKING:
    from workflow_agent.targets.mounts import Mount

__all__ = ["static_reason"]


def static_reason(mounts: list[tuple[Mount, MountUse]]) -> str | None:
    """Say what can be seen to stand against a capture without trying it."""
    root = next((pair for pair in mounts if pair[0].point == b"/"), None)
    if root is None:
        return "the root file system is not among the mounts"
    if root[1] is not MountUse.OVERLAY:
        return f"the root file system is {root[0].kind}: {_why_not(root[0])}"
    if not may_mount():
        return "this process may not mount: it lacks the capability CAP_SYS_ADMIN, as in a container without it"
    with open("/proc/filesystems", encoding="utf-8") as stream:
        if "overlay" not in stream.read().split():
            return "the kernel has no overlay file system (try `modprobe overlay`)"
    return None


def _why_not(root: Mount) -> str:
    if not root.writable:
        return "it is mounted read-only"
    return "only a folder of it is mounted there" if root.root != b"/" else f"capture was never tried on {root.kind}"
