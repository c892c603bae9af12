"""Runs of people's own workflows: forward to their end, whatever process began them.

What belongs here: what a run holds while it is driven, and its children. What does not: which run it is (``flow_run``),
how it proceeds (``engine``), how a client tells it (``client``).
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.app.application import open_app
from workflow_agent.app.flow_records import FlowRecords
from workflow_agent.app.flow_run import FlowRun, check_same, child_id, prepared
from workflow_agent.app.settings import load_settings
from workflow_agent.authoring.sdk.compiling import compile_workflow
from workflow_agent.authoring.sdk.live import LiveFlow
from workflow_agent.authoring.sdk.loading import load_module
from workflow_agent.authoring.sdk.values import as_json
from workflow_agent.engine import replay
from workflow_agent.engine.proceeding import is_cancellable
from workflow_agent.model.errors import ConflictError, NotFoundError
from workflow_agent.model.event import Event, EventType
from workflow_agent.model.status import TERMINAL_RUN
from workflow_agent.security.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from workflow_agent.app.container import Container
    from workflow_agent.app.ownership import RunOwnership
    from workflow_agent.model.event import RunState
    from workflow_agent.model.ports import Bus
    from workflow_agent.store import SqliteStore

__all__ = ["Flows", "open_flows"]

#: Seconds that a child has to stop with its parent's step.
_CHILD_STOP_S = 15.0


class Flows(FlowRecords):
    """Drives runs in this process, and looks at those of others.

    Args:
        parts: Driver, vault, bus.
        store: Journal and history.
        ownership: Which process drives which run.
    """

    def __init__(self, parts: Container, store: SqliteStore, ownership: RunOwnership) -> None:
        super().__init__(store, ownership)
        self._driver = parts.driver()
        self._clock = parts.clock()
        self._vault = parts.vault()
        self._live = parts.live_flows()
        self._live.children = self
        self._bus: Bus = parts.bus()

    @property
    def bus(self) -> Bus:
        """Tells what happens, at once."""
        return self._bus

    def prepare(
        self,
        workflow: Any,
        given: Mapping[str, Any],
        *,
        secrets: Mapping[str, str | Secret] | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        **meta: Any,
    ) -> FlowRun:
        """Say which run is wanted; see :func:`prepared`."""
        return prepared(workflow, given, secrets=secrets, tags=tags, idempotency_key=idempotency_key, **meta)

    async def run(self, run: FlowRun) -> RunState:
        """Drive a run to its end; one that the journal knows is taken up where it stands, or only read.

        Raises:
            ConflictError: another process drives it, or the id belongs to a run of something else.
            ValidationError: the inputs do not fit the definition.
            StoreError: the journal cannot be written.
        """
        events = await self.journal.events(run.run_id)
        if events:
            check_same(run, events)
            if (state := await self.state(run.run_id)).status in TERMINAL_RUN:
                return state
        with self._ownership.held(run.run_id):
            self._vault.hold(run.run_id, run.secrets)
            definition = run.definition
            self._live.runs[run.run_id] = LiveFlow(
                workflow=definition.name, workflow_hash=definition.hash, instance=run.instance
            )
            try:
                if events:
                    return await self._driver.resume(definition, run.run_id)
                return await self._driver.start(definition, run.inputs, run.meta, run.run_id)
            finally:
                self._live.runs.pop(run.run_id, None)
                self._vault.drop(run.run_id)

    async def resume(self, run_id: str, secrets: Mapping[str, Secret] | None = None) -> RunState:
        """Drive a run to its end whose process died.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: another process drives it.
        """
        definition, events = await self.known(run_id)
        created = events[0].data
        source = created["meta"].get("source")
        if source and source.endswith(".py"):
            # What the run's functions are called only means something once their file is loaded.
            load_module(Path(source))
        run = FlowRun(
            run_id=run_id,
            definition=definition,
            inputs=created["inputs"],
            instance=None,
            secrets=secrets or {},
            meta=created["meta"],
        )
        return await self.run(run)

    async def end(self, run_id: str, reason: str) -> RunState:
        """Cancel a run whose process died: what it does after a cancel and at the end in every case, it does now.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: another process drives it, or it has ended.
        """
        definition, events = await self.known(run_id)
        state, _ = replay(definition, events)
        if state.status in TERMINAL_RUN:
            raise ConflictError("the run has ended", run_id=run_id)
        with self._ownership.held(run_id):
            if is_cancellable(state):
                head, data = events[-1].seq, {"reason": reason}
                asked = Event(
                    run_id=run_id, seq=head + 1, type=EventType.CANCEL_REQUESTED, at=self._clock.now(), data=data
                )
                await self.journal.append(run_id, head, [asked])
        return await self.resume(run_id)

    async def cancel(self, run_id: str, reason: str) -> bool:
        """Ask a run to stop; False when it is past that. One of another process is asked by a signal.

        Raises:
            ConflictError: no process drives it.
        """
        with suppress(NotFoundError):
            return await self._driver.cancel(run_id, reason)
        if (await self.state(run_id)).status in TERMINAL_RUN:
            return False
        owner = self._ownership.owner(run_id)
        if owner is None:
            raise ConflictError("no process drives the run", run_id=run_id, hint=f"`workflow-agent resume {run_id}`")
        owner.interrupt()
        return True

    async def signal(self, run_id: str, name: str, data: Any = None) -> None:
        """Tell a run of this process that something happened; see ``Driver.signal``."""
        self._require_here(run_id)
        await self._driver.signal(run_id, name, data)

    async def pause(self, run_id: str, reason: str) -> None:
        """Let nothing new start in a run of this process; see ``Driver.pause``."""
        self._require_here(run_id)
        await self._driver.pause(run_id, reason)

    async def unpause(self, run_id: str) -> None:
        """Let a paused run of this process go on; see ``Driver.unpause``."""
        self._require_here(run_id)
        await self._driver.unpause(run_id)

    def _require_here(self, run_id: str) -> None:
        """Refuse to write to the journal of a run that another process drives."""
        if run_id not in self._live.runs and self.is_driven(run_id):
            hint = "say it in the process that drives it"
            raise ConflictError("another process drives the run", run_id=run_id, hint=hint)

    # -- children ----------------------------------------------------------------------------------------------------

    async def run_child(
        self, workflow: Any, given: Mapping[str, Any], *, parent: str, step: str, number: int, wait: bool
    ) -> Any:
        """Run a workflow as part of a step; gives its result, or without `wait` the task that drives it.

        Raises:
            WorkflowAgentError: it did not succeed.
        """
        definition = compile_workflow(workflow)
        run_id = child_id(parent, step, definition, as_json(dict(given), what="the input"), number)
        secrets = {name: Secret(self._vault.reveal(parent, name)) for name in self._vault.names(parent)}
        run = prepared(workflow, given, run_id=run_id, secrets=secrets, parent={"run_id": parent, "step": step})
        driving = asyncio.ensure_future(self.run(run))
        if not wait:
            from workflow_agent.client import WorkflowExecution  # noqa: PLC0415  # late: few ask for it

            return WorkflowExecution(lambda: nullcontext(self), run_id, definition, driving)
        try:
            return self.outcome(definition, await asyncio.shield(driving))
        except asyncio.CancelledError:
            await self._stop_child(run_id, driving)
            raise

    async def _stop_child(self, run_id: str, driving: asyncio.Future[RunState]) -> None:
        with suppress(NotFoundError):
            await self._driver.cancel(run_id, "the step that ran it was stopped")
        await asyncio.wait({driving}, timeout=_CHILD_STOP_S)
        driving.cancel()


@asynccontextmanager
async def open_flows(overrides: Mapping[str, object] | None = None) -> AsyncIterator[Flows]:
    """Open the application for runs of people's own workflows.

    Args:
        overrides: Settings by ``section.key``, above the environment.

    Raises:
        StoreError: the database cannot be opened.
    """
    async with open_app(load_settings(None, overrides or {}, os.environ)) as app:
        yield await app.flows()
