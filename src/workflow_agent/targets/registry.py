"""Targets by name: ``host``, and ``docker:NAME`` for a container of the local Docker engine."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import NotFoundError
from workflow_agent.targets.host import HostTarget
from workflow_agent.targets.mounts import has_layers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from workflow_agent.model.ports import Target
    from workflow_agent.targets.container import ContainerTarget
    from workflow_agent.targets.quota import CaptureQuota, CopyScope

__all__ = ["Targets", "full_target_name"]

_DOCKER = "docker:"


def full_target_name(name: str) -> str:
    """Give the name under which history knows a target: of a container its name, also where its id was given.

    Raises:
        NotFoundError: There is no such target; names the nearest.
        UnreachableError: The container does not run, or no engine answers.
    """
    if name == "host":
        return name
    if not name.startswith(_DOCKER):
        from workflow_agent.model.nearest import did_you_mean  # noqa: PLC0415  # late: difflib, on errors only

        raise NotFoundError(
            f"there is no target `{name[:80]}`",
            cause="targets are `host` and `docker:NAME` for a running container",
            hint=did_you_mean(name, ["host"]) or "leave `--target` out, or name a container: `--target docker:NAME`",
        )
    from workflow_agent.targets.engine import Engine  # noqa: PLC0415  # late: containers only

    return _DOCKER + Engine().container(name.removeprefix(_DOCKER)).name


class Targets:
    """Gives targets, each opened when it is first asked for; implements the port ``TargetRegistry``.

    Args:
        host_pid: A process of the system that `host` means; 0 is this machine as we see it.
        store: Folder on a disk of this machine for what is staged for containers.
        quota: How much a script may stage.
        package_lock_wait_s: How long to wait for somebody else's package manager.
        private: Folders of our own that scripts of people without root do not see.
        copy_scope: What of the host is copied for a rehearsal.
    """

    def __init__(
        self,
        *,
        host_pid: int,
        store: Path,
        quota: CaptureQuota,
        package_lock_wait_s: float,
        private: Sequence[Path] = (),
        copy_scope: CopyScope | None = None,
    ) -> None:
        self._host_pid = host_pid
        self._private = private
        self._store = store
        self._quota = quota
        self._package_lock_wait_s = package_lock_wait_s
        self._copy_scope = copy_scope
        self._opened: dict[str, HostTarget] = {}
        self._gone: list[HostTarget] = []

    def get(self, name: str) -> Target:
        """Give a target; raises NotFoundError naming what exists, UnreachableError for a container that is not there.

        A container is looked up anew when it was restarted or replaced since, unless a run holds it.
        """
        if name == "host":
            return self._host()
        known = self._opened.get(name)
        # A run that holds it goes on with it: what it asks then is refused with the reason.
        if known is not None and (known.is_there or known.is_held):
            return known
        name = full_target_name(name)
        if known is not None:
            self._gone.append(self._opened.pop(name, known))
        if name not in self._opened:
            self._opened[name] = self._container(name.removeprefix(_DOCKER))
        return self._opened[name]

    def _host(self) -> HostTarget:
        if "host" not in self._opened and self._host_pid == 0 and os.geteuid() != 0:
            from workflow_agent.targets.home import HomeTarget  # noqa: PLC0415  # late: without root only

            self._opened["host"] = HomeTarget(
                "host", state=self._private, quota=self._quota, copy_scope=self._copy_scope
            )
        if "host" not in self._opened:
            options: dict[str, Any] = {
                "pid": self._host_pid,
                "quota": self._quota,
                "package_lock_wait_s": self._package_lock_wait_s,
                "copy_scope": self._copy_scope,
            }
            self._opened["host"] = self._layered_host(options) or HostTarget("host", **options)
        return self._opened["host"]

    def _layered_host(self, options: Mapping[str, Any]) -> HostTarget | None:  # Any: options of HostTarget
        """Give the host as a target where its root is an overlay."""
        with suppress(OSError):  # no such process: what asks it says so
            if has_layers(self._host_pid):
                # late: containers, and machines started from an image
                from workflow_agent.targets.layered_host import LayeredHostTarget  # noqa: PLC0415

                return LayeredHostTarget("host", store=self._store / "host", **options)
        return None

    def _container(self, name: str) -> ContainerTarget:
        from workflow_agent.targets.container import ContainerTarget  # noqa: PLC0415  # late: containers only
        from workflow_agent.targets.engine import Engine  # noqa: PLC0415  # late

        engine = Engine()
        return ContainerTarget(
            engine.container(name),
            engine=engine,
            store=self._store,
            quota=self._quota,
            package_lock_wait_s=self._package_lock_wait_s,
        )

    def opened(self) -> list[str]:
        """List the names of targets that were given so far and can still be."""
        return [name for name, target in self._opened.items() if target.is_there or target.is_held]

    async def close(self) -> None:
        """Close every target."""
        for target in [*self._opened.values(), *self._gone]:
            await target.close()
        self._opened.clear()
        self._gone.clear()
