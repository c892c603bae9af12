"""The runs of this process that Python steps belong to: their definition, their instance, who runs their children."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ChildRunner", "LiveFlow", "LiveFlows"]


class ChildRunner(Protocol):
    """Runs a workflow as part of a step of another one."""

    async def run_child(
        self, workflow: Any, given: Mapping[str, Any], *, parent: str, step: str, number: int, wait: bool
    ) -> Any:
        """Run it, or answer from the journal; `number` tells equal children of one step apart."""
        ...


@dataclass(slots=True, kw_only=True)
class LiveFlow:
    """One run. `instance` is None for functions, and until the first step of a run that was taken up is called."""

    workflow: str = ""
    workflow_hash: str = ""
    instance: object | None = None


@dataclass(slots=True)
class LiveFlows:
    """Runs by id. `children` is set by whoever drives runs."""

    runs: dict[str, LiveFlow] = field(default_factory=dict)
    children: ChildRunner | None = None

    def of(self, run_id: str) -> LiveFlow:
        """Give a run; one that nobody announced is made."""
        return self.runs.setdefault(run_id, LiveFlow())
