"""What a client rests on: runs, wherever they are driven; and what those of this process need of the application.

The application lies above the client and is therefore found through the facade.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Collection, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from typing import TypeAlias

    from workflow_agent.client.events import WorkflowEvent
    from workflow_agent.client.logs import LogStream
    from workflow_agent.model.event import RunState
    from workflow_agent.model.ports import Bus, History, Journal
    from workflow_agent.model.status import RunStatus
    from workflow_agent.model.workflow import Workflow
    from workflow_agent.security.secret import Secret

    #: Opens the records, or what drives runs.
    OpenRecords: TypeAlias = Callable[[], AbstractAsyncContextManager["FlowRecords"]]
    OpenEngine: TypeAlias = Callable[[], AbstractAsyncContextManager["FlowEngine"]]

__all__ = ["FlowEngine", "FlowRecords", "KnownRun", "PreparedRun", "Runs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRun:
    """A run, and what is at hand of it: `driving` is the task of this process that drives it."""

    run_id: str
    workflow_name: str
    workflow_hash: str
    definition: Workflow | None = None
    driving: asyncio.Future[RunState] | None = None


class Runs(Protocol):
    """Runs, driven in this process or by a server. Where `run` is asked for, the beginning of an id is enough."""

    def use(self) -> AbstractAsyncContextManager[Any]:
        """Keep open what the others open for themselves."""
        ...

    def aside(self) -> Runs:
        """Give the same runs for another event loop: to look at them only."""
        ...

    async def begin(
        self,
        workflow: Any,
        given: Mapping[str, Any],
        *,
        is_awaited: bool,
        secrets: Mapping[str, str | Secret] | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        durability: str | None = None,
        break_before: Collection[str] = (),
    ) -> KnownRun:
        """Begin a run, or find the one of the key; with `is_awaited`, wait for its end. Raises ValidationError."""
        ...

    async def find(self, run: str) -> KnownRun:
        """Find a run; raises NotFoundError."""
        ...

    async def resume(self, run: str, secrets: Mapping[str, Secret] | None) -> KnownRun:
        """Drive a run to its end whose process died; raises ConflictError."""
        ...

    async def status(self, run: str) -> RunStatus:
        """Say where it stands."""
        ...

    async def kept(self, run: str) -> dict[str, Any]:
        """Give what its steps keep."""
        ...

    async def end(self, run: KnownRun) -> RunStatus:
        """Wait for its end; raises ConflictError where nobody drives it."""
        ...

    async def result(self, run: KnownRun) -> Any:  # Any: a JSON value
        """Wait for its end and give its result; raises the run's error when it did not succeed."""
        ...

    def events(self, run_id: str, after: str) -> AsyncIterator[WorkflowEvent]:
        """Give its events behind a place, to its last, as they happen."""
        ...

    def all_events(self, workflow_name: str | None) -> AsyncIterator[WorkflowEvent]:
        """Give the events of all runs from now on."""
        ...

    async def cancel(self, run: str, reason: str) -> bool:
        """Ask it to stop; False when it is past that."""
        ...

    async def signal(self, run_id: str, name: str, data: Any) -> None:
        """Tell it that something happened."""
        ...

    async def pause(self, run_id: str, reason: str) -> None:
        """Let nothing new start in it."""
        ...

    async def unpause(self, run_id: str, *, one_step: bool) -> None:
        """Let it go on, or one step of it."""
        ...

    async def change(self, run_id: str, data: Mapping[str, Any]) -> None:
        """Change what it does next."""
        ...

    async def look(self, run: KnownRun, step: str | None) -> dict[str, Any]:
        """Give where it stands, and what a step would be asked with."""
        ...

    async def logs(self, run: str) -> list[str]:
        """List what its steps said."""
        ...

    def log_stream(self, run: str) -> LogStream:
        """Give what its steps say, as they say it."""
        ...

    async def measured(self, run: str) -> list[dict[str, Any]]:
        """List what its steps measured."""
        ...

    async def newest(self, workflow_name: str) -> list[dict[str, Any]]:
        """List the newest runs of a workflow, as history gives them."""
        ...

    async def scraped(self) -> str:
        """Give figures of all runs as Prometheus reads them."""
        ...

    def credentials(self) -> list[dict[str, Any]]:
        """List the sets of credentials that steps can name, without values."""
        ...


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
