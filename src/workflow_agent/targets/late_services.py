"""What a target does to its services, loaded when it comes to that, and begun early where it surely will."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workflow_agent.model.system import TargetFacts
    from workflow_agent.targets.live_services import LiveServices

__all__ = ["LateServices"]


class LateServices(ABC):
    """Part of a target that is known by a process of it (`_pid`)."""

    _pid: int
    _facts: TargetFacts | None = None
    _made_ready = False

    @abstractmethod
    async def facts(self) -> TargetFacts:
        """Read facts."""

    async def _services(self) -> LiveServices:
        from workflow_agent.targets.live_services import LiveServices  # noqa: PLC0415  # late: 20 ms

        facts = self._facts or await self.facts()
        return LiveServices(self._pid, facts.init)

    async def _make_services_ready(self) -> None:
        """Let the program that starts and stops services begin: it takes as long as what is done before it is asked."""
        self._made_ready = True
        await (await self._services()).make_ready()

    async def _drop_ready(self) -> None:
        if self._made_ready:
            from workflow_agent.targets.live import drop_ready  # noqa: PLC0415  # late: loaded when it was made

            await drop_ready()
