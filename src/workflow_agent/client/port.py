"""What the client needs of the application, which lies above it and is therefore found through the facade."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from typing import TypeAlias

    from workflow_agent.model.event import RunState
    from workflow_agent.model.ports import Bus, History, Journal
    from workflow_agent.model.workflow import Workflow
    from workflow_agent.security.secret import Secret

    #: Opens the records, or what drives runs.
    OpenRecords: TypeAlias = Callable[[], AbstractAsyncContextManager["FlowRecords"]]
    OpenEngine: TypeAlias = Callable[[], AbstractAsyncContextManager["FlowEngine"]]

__all__ = ["FlowEngine", "FlowRecords", "PreparedRun"]


class PreparedRun(Protocol):
    """A run before it is begun."""

    @property
    def run_id(self) -> str:
        """Its id."""
        ...

    @property
    def definition(self) -> Workflow:
        """Its definition."""
        ...


class FlowRecords(Protocol):
    """What is known of runs."""

    @property
    def journal(self) -> Journal:
        """Events of runs."""
        ...

    @property
    def history(self) -> History:
        """Questions about runs."""
        ...

    def artifacts(self, run_id: str) -> Path:
        """Give the folder of a run's files."""
        ...

    def is_driven(self, run_id: str) -> bool:
        """Say whether a process drives a run now."""
        ...

    async def scraped(self, *, with_process: bool = True) -> str:
        """Give figures of all runs, of what their steps measured and of this process, as Prometheus reads them."""
        ...

    async def state(self, run_id: str) -> RunState:
        """Fold a run's journal; raises NotFoundError."""
        ...

    async def definition(self, run_id: str) -> Workflow:
        """Give the definition that a run was created with; raises NotFoundError."""
        ...

    def outcome(self, definition: Workflow, state: RunState) -> Any:  # Any: a JSON value
        """Give a finished run's result; raises the run's error when it did not succeed."""
        ...


class FlowEngine(FlowRecords, Protocol):
    """What drives runs."""

    @property
    def bus(self) -> Bus:
        """Tells what happens, at once."""
        ...

    def prepare(
        self,
        workflow: Any,
        given: Mapping[str, Any],
        *,
        secrets: Mapping[str, str | Secret] | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        durability: str | None = None,
        break_before: Collection[str] = (),
        **meta: Any,
    ) -> PreparedRun:
        """Say which run is wanted; raises ValidationError."""
        ...

    async def run(self, run: Any) -> RunState:
        """Drive a prepared run to its end; one that the journal knows is taken up, or only read."""
        ...

    async def resume(self, run_id: str, secrets: Mapping[str, Secret] | None = None) -> RunState:
        """Drive a run to its end whose process died."""
        ...

    async def cancel(self, run_id: str, reason: str) -> bool:
        """Ask a run to stop; False when it is past that."""
        ...

    async def signal(self, run_id: str, name: str, data: Any = None) -> None:
        """Tell a run that something happened."""
        ...

    async def pause(self, run_id: str, reason: str) -> None:
        """Let nothing new start in a run."""
        ...

    async def unpause(self, run_id: str, *, one_step: bool = False) -> None:
        """Let a paused run go on, or one step of it."""
        ...

    async def change(self, run_id: str, data: Mapping[str, Any]) -> None:
        """Change breakpoints at any time; inputs of steps and the state while a run is paused."""
        ...
