"""A container of a local Docker engine as a target: the system in which its first process lives (rule 27).

Its root is an overlay, see ``layered_host``. What differs beyond that: which files are the engine's own, what is the
same container, and that it may end or be replaced at any moment.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import ConflictError, UnreachableError
from workflow_agent.targets.finishing import blocking
from workflow_agent.targets.layered_host import LayeredHostTarget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from workflow_agent.model.ports import OutputSink
    from workflow_agent.model.system import ChangeSet, Check, CheckResult, Effect, Script, Service, TargetFacts
    from workflow_agent.targets.engine import ContainerState, Engine
    from workflow_agent.targets.entries import Baseline
    from workflow_agent.targets.mounts import Mount, MountUse
    from workflow_agent.targets.plan import Plan
    from workflow_agent.targets.transaction import Transaction

__all__ = ["ContainerTarget"]

#: Mounts that belong to the engine's own init, not to what people mount.
_ENGINE_FILES = frozenset({b"/sbin/docker-init", b"/usr/sbin/docker-init"})


class ContainerTarget(LayeredHostTarget):
    """A running container; implements the port ``Target``.

    Args:
        container: What the engine said of it.
        engine: Asked again when the container is not there any more, for the reason.
        store: Folder of this machine below which effects are staged, on a disk.
        options: As of :class:`HostTarget`.
    """

    _boots = False
    _what = "the container"

    def __init__(self, container: ContainerState, *, engine: Engine, store: Path, **options: Any) -> None:
        super().__init__(f"docker:{container.name}", store=store / container.id, pid=container.pid, **options)
        self._container = container
        self._engine = engine
        self._engine_id = ""
        self._started = _start_time(container.pid)

    @property
    def identity(self) -> str:
        """Which container of which engine it is: a later one of the same name is another target."""
        if not self._engine_id:
            self._engine_id = self._engine.identity()
        return f"{self._engine_id}/{self._container.id}"

    @property
    def is_there(self) -> bool:
        """Whether the process lives that was its first one when it was looked up."""
        return self._started is not None and _start_time(self._pid) == self._started

    def ensure_there(self) -> None:
        """Refuse to work on a container that was stopped, restarted or removed since it was looked up.

        Raises:
            UnreachableError: It does not run, or was started anew.
            ConflictError: Another container has its name.
            NotFoundError: There is none of its name any more.
        """
        if self.is_there:
            return
        now = self._engine.container(self._container.name)
        if now.id != self._container.id:
            raise ConflictError(
                f"`{self.name}` is another container than at the start of the run",
                cause=f"{self._container.id[:12]} was replaced by {now.id[:12]}",
                state="nothing was changed in the new one",
                hint="run the command again: it looks the container up anew",
            )
        raise UnreachableError(
            f"the container `{self._container.name}` was restarted meanwhile",
            where=self.name,
            hint="run the command again: it looks the container up anew",
        )

    async def acquire(self, run_id: str, *, wait_s: float = 0.0) -> None:
        """Take the target; see the port. What rehearsals of dead processes left is removed."""
        from workflow_agent.targets.clone import sweep  # noqa: PLC0415  # late: runs that change something only

        if not self.is_held:
            with suppress(UnreachableError):  # of an engine that is gone the run hears elsewhere
                await blocking(sweep, self._engine)
        await super().acquire(run_id, wait_s=wait_s)

    # -- looking and starting, which enter its namespaces ------------------------------------------------------------

    async def facts(self) -> TargetFacts:
        """Read facts; see the port."""
        self.ensure_there()
        found = await super().facts()
        return replace(found, identity=self.identity)

    async def check(self, checks: Sequence[Check]) -> list[CheckResult]:
        """Poll checks; see the port."""
        self.ensure_there()
        return await super().check(checks)

    async def activate(self, transaction: str, services: Sequence[Service]) -> list[Mapping[str, Any]]:
        """Start services; see the port."""
        self.ensure_there()
        return await super().activate(transaction, services)

    async def configure(
        self, transaction: str, effects: Sequence[Effect], *, secrets: Mapping[str, str] | None = None
    ) -> list[Mapping[str, Any]]:
        """Carry effects out; see the port."""
        self.ensure_there()
        return await super().configure(transaction, effects, secrets=secrets)

    async def rehearse(
        self,
        script: Script,
        *,
        timeout_s: float,
        on_output: OutputSink,
        keep: Sequence[str] = (),
        secrets: Mapping[str, str] | None = None,
        network: bool = False,
    ) -> ChangeSet:
        """Run the script in a clone; see the port. Nothing is written to the container, not even a lock."""
        from workflow_agent.targets.clone_sources import ContainerSource  # noqa: PLC0415  # late: few ask for it
        from workflow_agent.targets.rehearsal import rehearse  # noqa: PLC0415  # late

        self._require_root()
        self._open()
        self._require_interpreter(script.interpreter)
        return await rehearse(
            ContainerSource(self._container),
            script,
            engine=self._engine,
            timeout_s=timeout_s,
            on_output=on_output,
            keep=keep,
            secrets=secrets or {},
            network=network,
            quota=self._quota,
        )

    # -- what differs from a host ------------------------------------------------------------------------------------

    def _require_root(self) -> None:
        super()._require_root()
        self.ensure_there()

    def _mounts(self) -> list[tuple[Mount, MountUse]]:
        try:
            return super()._mounts()
        except FileNotFoundError:
            self.ensure_there()
            raise

    def _outside(self) -> Sequence[bytes]:
        return [point for point in super()._outside() if point not in _ENGINE_FILES]

    def _belongs(self, plan: Transaction) -> None:
        if plan.identity and plan.identity != self.identity:
            raise ConflictError(
                f"`{self.name}` is not the container in which this was done",
                where=plan.id,
                cause=f"it was done in {plan.identity.rpartition('/')[2][:12]}, this is {self._container.id[:12]}",
                state="nothing was changed",
                hint="a container made from an image of the other one has files of its own: install there anew",
            )

    def _missing_cause(self) -> str:
        made = self._container.created.partition(".")[0]
        return f"this container was made at {made}; what was done in an earlier one of its name went with that one"

    def _bring_in(self, plan: Plan, transaction: str, baselines: Mapping[bytes, Baseline]) -> None:
        self.ensure_there()
        super()._bring_in(plan, transaction, baselines)


def _start_time(pid: int) -> str | None:
    """Give since when a process runs, in clock ticks (proc(5), field 22); None when it does not: numbers are reused."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
