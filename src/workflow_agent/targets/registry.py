"""Targets by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.model.errors import NotFoundError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.targets.host import HostTarget

if TYPE_CHECKING:
    from workflow_agent.model.ports import Target
    from workflow_agent.targets.quota import CaptureQuota

__all__ = ["Targets"]


class Targets:
    """Gives targets, each opened when it is first asked for; implements the port ``TargetRegistry``.

    Args:
        host_pid: A process of the system that `host` means; 0 is this machine as we see it.
        quota: How much a script may stage.
        package_lock_wait_s: How long to wait for somebody else's package manager.
    """

    def __init__(self, *, host_pid: int, quota: CaptureQuota, package_lock_wait_s: float) -> None:
        self._host_pid = host_pid
        self._quota = quota
        self._package_lock_wait_s = package_lock_wait_s
        self._opened: dict[str, HostTarget] = {}

    def get(self, name: str) -> Target:
        """Give a target; raises NotFoundError naming what exists."""
        if name not in self._opened:
            if name != "host":
                raise NotFoundError(
                    f"there is no target `{name[:80]}`",
                    cause="this version knows one target: `host`",
                    hint=did_you_mean(name, ["host"]) or "leave `--target` out",
                )
            self._opened[name] = HostTarget(
                name, pid=self._host_pid, quota=self._quota, package_lock_wait_s=self._package_lock_wait_s
            )
        return self._opened[name]

    def opened(self) -> list[str]:
        """List the names of targets that were given so far."""
        return list(self._opened)

    async def close(self) -> None:
        """Close every target."""
        for target in self._opened.values():
            await target.close()
        self._opened.clear()
