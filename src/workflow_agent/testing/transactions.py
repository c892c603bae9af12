"""Trials of transactions on a lab host: a script is captured, committed and taken back as the agents do it."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.model.system import FileWrite, Provenance, Script
from workflow_agent.targets.container import ContainerTarget
from workflow_agent.targets.engine import Engine
from workflow_agent.targets.host import HostTarget
from workflow_agent.targets.layered_host import LayeredHostTarget
from workflow_agent.targets.mounts import has_layers
from workflow_agent.testing.lab.container import LabContainer
from workflow_agent.testing.lab.digest import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workflow_agent.model.system import ChangeSet
    from workflow_agent.testing.lab import FileRecord, LabHost

__all__ = ["Trial", "open_host", "open_target", "shell_script", "without_new_times"]

_numbers = itertools.count(1)
#: What a trial made long ago: older times must come out of a commit as they went in.
_LONG_AGO_NS = 1_600_000_000 * 10**9


def shell_script(text: str, *, files: Iterable[FileWrite] = ()) -> Script:
    """Make a script of plain text, as if an integration had rendered it."""
    provenance = Provenance(
        integration="trial", action="install", version="1", template="trial.sh.j2", template_hash="0" * 64
    )
    return Script(text=text, hash=hashlib.sha256(text.encode()).hexdigest(), provenance=provenance, files=tuple(files))


def without_new_times(records: Mapping[str, FileRecord]) -> dict[str, FileRecord]:
    """Blank the times that depend on when something ran; those set to long ago stay.

    A file whose only other name is a before-image counts as having one name.
    """
    return {
        name: replace(
            record,
            mtime_ns=record.mtime_ns if record.mtime_ns < _LONG_AGO_NS else 0,
            names=record.names if len(record.names) > 1 else (),
        )
        for name, record in records.items()
    }


def open_host(pid: int, **options: Any) -> HostTarget:  # Any: options of HostTarget
    """Give the host in which a process lives, with a root on a disk or of layers, as another process would see it."""
    if not has_layers(pid):
        return HostTarget("host", pid=pid, **options)
    store = Path(tempfile.gettempdir(), "workflow-agent-trials", f"host-{pid}")
    return LayeredHostTarget("host", pid=pid, store=store, **options)


def open_target(lab: LabHost, **options: Any) -> HostTarget:  # Any: options of HostTarget
    """Give a lab host or a lab container as a target, as another process would see it."""
    if not isinstance(lab, LabContainer):
        return open_host(lab.pid, **options)
    engine = Engine()
    store = Path(tempfile.gettempdir(), "workflow-agent-trials")
    return ContainerTarget(engine.container(lab.name), engine=engine, store=store, **options)


class Trial:
    """One run on a lab host: what the executor agent does, step by step.

    Args:
        lab: The host.
        options: Of :class:`HostTarget`.
    """

    def __init__(self, lab: LabHost, **options: Any) -> None:  # Any: options of HostTarget
        self.lab = lab
        self.run_id = f"trial-{next(_numbers)}"
        self.target = open_target(lab, **options)
        self.output: list[str] = []

    async def begin(self) -> None:
        """Take the target."""
        await self.target.acquire(self.run_id)

    async def capture(
        self, text: str, *, files: Iterable[FileWrite] = (), timeout_s: float = 90.0
    ) -> tuple[str, ChangeSet]:
        """Run a script in a capture; gives the transaction and what it would change."""
        script = shell_script(f"set -eu\n{text}\n", files=files)
        return await self.target.prepare(self.run_id, script, timeout_s=timeout_s, on_output=self.output.append)

    async def apply(self, text: str, *, files: Iterable[FileWrite] = ()) -> str:
        """Capture and commit a script; gives the transaction."""
        transaction, _ = await self.capture(text, files=files)
        await self.target.commit(transaction)
        return transaction

    def shell(self, text: str) -> str:
        """Run a command on the host itself; gives its output."""
        return self.lab.run(["bash", "-euc", text]).stdout

    def look(self, folder: str) -> dict[str, FileRecord]:
        """Read everything below a folder of the host."""
        return digest(self.lab.root / folder.strip("/"), excluded=())

    def leftovers(self) -> list[str]:
        """List the transactions whose folders exist on the host."""
        folder = self.lab.root / ".workflow-agent/tx"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    async def end(self) -> None:
        """Give everything back."""
        await self.target.close()
