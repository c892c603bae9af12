"""A Docker container for a test, with the interface of a lab host: throw-away, from the same tree, gone afterwards."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from workflow_agent.model.errors import UnreachableError
from workflow_agent.testing.lab.engine import container_image, docker, ensure_engine
from workflow_agent.testing.lab.host import LabHost
from workflow_agent.testing.lab.image import DEFAULT_PACKAGES, LabKind

__all__ = ["LabContainer"]

_LABEL = "workflow-agent-lab"
_START_TIMEOUT_S = 30.0
_POLL_S = 0.02
#: What systemd needs as process 1. A container with `--privileged` would see the machine's devices.
_SYSTEMD = (
    "--cap-add=SYS_ADMIN",
    "--cap-add=NET_ADMIN",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--tmpfs=/run",
    "--tmpfs=/run/lock",
    "--tmpfs=/tmp",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
    "--env=container=docker",
)


class LabContainer(LabHost):
    """A throw-away container with Debian; use it as a context manager.

    ``plain`` runs ``sleep`` under the engine's own small init, as many service containers do; ``systemd`` runs
    systemd. Containers whose test ended without removing them are removed by the next one.

    Args:
        kind: What runs as its first process.
        packages: What can be installed there without a network.
        options: More options of ``docker run``, such as ``--volume=...``.
        image: Another image than the lab's own.
        command: What it runs instead.
    """

    def __init__(
        self,
        kind: LabKind | str = LabKind.PLAIN,
        *,
        packages: tuple[str, ...] = DEFAULT_PACKAGES,
        options: tuple[str, ...] = (),
        image: str | None = None,
        command: tuple[str, ...] = (),
    ) -> None:
        super().__init__(kind, packages=packages)
        self._options = options
        self._image = image
        self._command = command
        self.name = f"lab-{self.kind.value}-{os.getpid()}-{time.monotonic_ns():x}"
        self.id = ""

    def __repr__(self) -> str:
        return f"LabContainer({self.kind.value!r}, name={self.name!r}, pid={self._pid or None})"

    @property
    def target(self) -> str:
        """What names it on the command line: ``docker:NAME``."""
        return f"docker:{self.name}"

    def start(self) -> None:
        """Run the container; raises UnreachableError when it does not come up."""
        ensure_engine()
        _remove_orphans()
        image = self._image or container_image(self.kind, packages=self._packages)
        systemd = self.kind is LabKind.SYSTEMD
        own = _SYSTEMD if systemd else ("--init",)
        command = self._command or (("/sbin/init",) if systemd else ("sleep", "infinity"))
        labels = f"--label={_LABEL}={os.getpid()}:{_started(os.getpid())}"
        self.id = docker(
            "run", "--detach", f"--name={self.name}", "--hostname=lab", labels, *own, *self._options, image, *command
        ).strip()
        try:
            self._read_pid()
        except BaseException:
            self.stop()
            raise

    def _read_pid(self) -> None:
        self._pid = int(self.inspect()["State"]["Pid"])
        if not self._pid:
            raise UnreachableError("the lab container ended at once", cause=docker("logs", self.name))
        if self.kind is LabKind.SYSTEMD:
            self._await_systemd()

    def inspect(self) -> dict[str, Any]:
        """Read what the engine knows of it."""
        found: list[dict[str, Any]] = json.loads(docker("container", "inspect", self.name))
        return found[0]

    def restart(self) -> None:
        """Stop it and start it again: the same container, another first process."""
        docker("restart", "--time=0", self.name)
        self._read_pid()

    def halt(self) -> None:
        """End all its processes; its files stay for :meth:`restart`."""
        docker("kill", self.name)
        docker("wait", self.name)
        self._pid = 0

    def recreate(self) -> None:
        """Put another container of the same name in its place."""
        self.stop()
        self.start()

    def power_off(self) -> None:
        """End it and remove it with its anonymous volumes."""
        self._pid = 0
        if self.id:
            docker("rm", "--force", "--volumes", self.id, check=False)
            self.id = ""


def _started(pid: int) -> str:
    """Give since when a process runs, in the kernel's clock ticks: its number alone is reused."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]


def _remove_orphans() -> None:
    listing = docker("ps", "--all", f"--filter=label={_LABEL}", "--format", f'{{{{.ID}}}} {{{{.Label "{_LABEL}"}}}}')
    for line in listing.splitlines():
        name, _, owner = line.partition(" ")
        pid, _, started = owner.partition(":")
        if owner and not _alive(pid, started):  # a clone for a rehearsal has the label without a value
            docker("rm", "--force", "--volumes", name, check=False)


def _alive(pid: str, started: str) -> bool:
    try:
        return _started(int(pid)) == started
    except (OSError, ValueError):
        return False
