"""The application: opens everything in order, runs workflows, closes everything in the reverse order."""

from __future__ import annotations

import asyncio
import fcntl
import getpass
import os
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from workflow_agent.app.run_report import report_run
from workflow_agent.model.errors import (
    ConflictError,
    InterruptedRunError,
    NotFoundError,
    RollbackIncompleteError,
    RolledBackError,
    TargetLockedError,
    WorkflowAgentError,
    error_from_dict,
)
from workflow_agent.model.event import Event, EventType
from workflow_agent.model.identity import new_run_id
from workflow_agent.model.status import TERMINAL_RUN, RunStatus
from workflow_agent.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from workflow_agent.agents.person import Approver, PersonAgent
    from workflow_agent.agents.serving import ServedAgents
    from workflow_agent.app.container import Container
    from workflow_agent.app.settings import Settings
    from workflow_agent.integrations import Registry
    from workflow_agent.model.event import RunState
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Bus, History, TargetRegistry, WorkflowCatalogue

__all__ = ["App", "open_app"]

#: Workflows that change a target; before them, what a crashed run left is settled.
_CHANGING = frozenset({"install", "rollback"})


class App:
    """Everything that a command or a program needs, opened by :func:`open_app`."""

    def __init__(self, settings: Settings, store: SqliteStore, container: Container | None) -> None:
        self.settings = settings
        self._store = store
        self._container = container
        self._served: ServedAgents | None = None
        self._owned: dict[str, int] = {}

    # -- parts -------------------------------------------------------------------------------------------------------

    @property
    def history(self) -> History:
        """What was done."""
        return self._store.history

    @property
    def _parts(self) -> Container:
        if self._container is None:
            from workflow_agent.app.container import build_container  # noqa: PLC0415  # late: 150 ms

            self._container = build_container(self.settings, self._store)
        return self._container

    @property
    def catalogue(self) -> WorkflowCatalogue:
        """Workflows by name."""
        return self._parts.catalogue()

    @property
    def registry(self) -> Registry:
        """Integrations by name."""
        return self._parts.registry()

    @property
    def bus(self) -> Bus:
        """The bus that the agents are on."""
        return self._parts.bus()

    @property
    def targets(self) -> TargetRegistry:
        """Targets by name."""
        return self._parts.targets()

    def agents(self) -> list[dict[str, Any]]:
        """List the agents: name, implementation, verbs with the schemas of requests and replies."""
        return [
            {
                "name": agent.name,
                "implementation": f"{type(agent).__module__}:{type(agent).__qualname__}",
                "verbs": sorted(agent.verbs()),
                "subjects": [f"agent.{agent.name}.{verb}" for verb in sorted(agent.verbs())],
                "schemas": {
                    name: {"request": verb.request.model_json_schema(), "reply": verb.reply.model_json_schema()}
                    for name, verb in sorted(agent.verbs().items())
                },
            }
            for agent in self._agents()
        ]

    def _agents(self) -> list[Any]:  # Any: Agent, of whatever class the settings name
        from workflow_agent.app.container import AGENTS  # noqa: PLC0415  # late: 150 ms

        return [getattr(self._parts, name.replace("-", "_"))() for name in AGENTS]

    # -- running -----------------------------------------------------------------------------------------------------

    async def run(
        self,
        workflow: str,
        inputs: Mapping[str, Any],
        *,
        run_id: str | None = None,
        approver: Approver | None = None,
        on_event: Callable[[Mapping[str, Any], str], None] | None = None,
        on_output: Callable[[str, str], None] | None = None,
    ) -> dict[str, Any]:
        """Run a workflow to its end.

        Args:
            workflow: Its name in the catalogue.
            inputs: Its inputs.
            run_id: The id; a fresh one when None.
            approver: Asked for consent; without one, a run that needs consent fails.
            on_event: Called with each event (JSON form) and the run's status then, in order.
            on_output: Called with the step and each line of a script's output.

        Returns:
            The run, as :func:`report_run` gives it.

        Raises:
            WorkflowAgentError: the run did not succeed; `run_id` is set. RolledBackError when it failed and was
                taken back, RollbackIncompleteError when something is left; else the error of the failed step.
        """
        definition = self.catalogue.get(workflow)
        run_id = run_id or new_run_id()
        if workflow in _CHANGING:
            await self.settle(str(inputs.get("target", "host")))
        await self._serve()
        self._own(run_id)
        person: PersonAgent = self._parts.person()
        person.ask_for(run_id, approver)
        watcher = _Watcher(self.bus, run_id, on_event, on_output)
        try:
            await watcher.start()
            state = await self._parts.driver().start(definition, inputs, self._meta(workflow, inputs), run_id)
            await watcher.stop()
        finally:
            person.ask_for(run_id, None)
            self._disown(run_id)
        if state.status is not RunStatus.SUCCEEDED:
            raise _error_of(state)
        return await self.report(run_id)

    async def cancel(self, run_id: str, reason: str) -> bool:
        """Ask a run of this process to stop; it takes back what it did. False when it is past that."""
        try:
            return await self._parts.driver().cancel(run_id, reason)
        except NotFoundError:
            return False

    async def report(self, run_id: str) -> dict[str, Any]:
        """Describe a run; raises NotFoundError."""
        return await report_run(self.history, run_id)

    async def settle(self, target: str) -> list[str]:
        """End the runs on a target whose process died: what they had begun is taken back. Gives their ids.

        A run whose process lives is left alone: its owner file is locked.
        """
        settled = []
        for run in await self.history.unfinished(target):
            run_id = run["run_id"]
            try:
                self._own(run_id)
            except ConflictError:
                continue
            try:
                await self._take_back(run_id, run["workflow"])
                settled.append(run_id)
            except TargetLockedError:
                continue  # somebody works on the target: the new run will say so
            finally:
                self._disown(run_id)
        return settled

    async def _take_back(self, run_id: str, workflow: str) -> None:
        await self._serve()
        journal = self._store.journal
        events = await journal.events(run_id)
        if not any(event.type is EventType.CANCEL_REQUESTED for event in events):
            head = events[-1].seq
            reason = {"reason": "its process died"}
            at = self._parts.clock().now()
            cancel = Event(run_id=run_id, seq=head + 1, type=EventType.CANCEL_REQUESTED, at=at, data=reason)
            await journal.append(run_id, head, [cancel])
        await self._parts.driver().resume(self.catalogue.get(workflow), run_id)

    def _meta(self, workflow: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Say who, where and what for, as history lists it."""
        return {
            "action": workflow,
            "integration": inputs.get("integration"),
            "target": inputs.get("target", "host"),
            "user": os.environ.get("SUDO_USER") or getpass.getuser(),
            "host": socket.gethostname(),
        }

    # -- owning a run ------------------------------------------------------------------------------------------------

    def _own(self, run_id: str) -> None:
        """Hold the run's owner file, so that others see that its process lives; raises ConflictError."""
        path = self._store.artifacts_dir(run_id) / "owner"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise ConflictError("another process is driving this run", run_id=run_id) from error
        self._owned[run_id] = descriptor

    def _disown(self, run_id: str) -> None:
        descriptor = self._owned.pop(run_id, None)
        if descriptor is not None:
            os.close(descriptor)

    # -- start and stop ----------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        if self._served is None:
            from workflow_agent.agents.serving import serve  # noqa: PLC0415  # late: pydantic, 36 ms

            self._served = await serve(self.bus, *self._agents())
            await self.bus.subscribe("run.*.event", self._parts.executor().run_ended)

    async def close(self) -> None:
        """Stop the agents, the bus and the targets; the store is closed by whoever opened it."""
        if self._container is None:
            return
        if self._served is not None:
            await self._served.close()
            await self.bus.drain()
        await self._container.targets().close()


class _Watcher:
    """Hands a run's events and output on, in order, while it lasts."""

    def __init__(
        self,
        bus: Bus,
        run_id: str,
        on_event: Callable[[Mapping[str, Any], str], None] | None,
        on_output: Callable[[str, str], None] | None,
    ) -> None:
        self._bus = bus
        self._run_id = run_id
        self._on_event = on_event
        self._on_output = on_output
        self._status = RunStatus.QUEUED.value
        self._ended = asyncio.Event()
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Begin to watch."""
        events = await self._bus.subscribe(f"run.{self._run_id}.event", self._event)
        self._stack.push_async_callback(events.close)
        if self._on_output is not None:
            output = await self._bus.subscribe(f"run.{self._run_id}.output", self._output)
            self._stack.push_async_callback(output.close)

    async def stop(self) -> None:
        """Stop when what is queued was handed on."""
        await self._stack.aclose()

    async def _event(self, message: Message) -> None:
        data = message.data
        if data["type"] == EventType.RUN_FINISHED:
            self._status = data["data"]["status"]
        elif phase := data["data"].get("phase"):
            self._status = phase
        if self._on_event is not None:
            self._on_event(data, self._status)

    async def _output(self, message: Message) -> None:
        assert self._on_output is not None
        self._on_output(str(message.data["step"]), str(message.data["line"]))


def _error_of(state: RunState) -> WorkflowAgentError:
    """Turn the end of a run that did not succeed into the error that a caller gets."""
    assert state.status in TERMINAL_RUN
    cause = error_from_dict(state.error) if state.error else None
    where = cause.where if cause else state.failed_step
    if state.cancel_reason is not None:
        taken_back = state.status is RunStatus.ROLLED_BACK
        return InterruptedRunError(
            f"the run was cancelled: {state.cancel_reason}",
            run_id=state.run_id,
            state="everything was taken back" if taken_back else _end_state(state),
        )
    if state.status is RunStatus.ROLLED_BACK:
        return RolledBackError(
            f"the run failed and was taken back: {cause.message if cause else state.failed_step}",
            where=where,
            cause=cause.cause if cause else None,
            state="everything that the run changed was taken back",
            hint=f"`workflow-agent show {state.run_id}` has the evidence",
            run_id=state.run_id,
            details=dict(state.error or {}),
        )
    if state.status is RunStatus.NEEDS_ATTENTION:
        return RollbackIncompleteError(
            f"the run failed and something is left: {cause.message if cause else state.failed_step}",
            where=where,
            cause=cause.cause if cause else None,
            state=_end_state(state),
            hint=f"`workflow-agent show {state.run_id}` lists it",
            run_id=state.run_id,
            details=dict(state.error or {}),
        )
    error = cause or InterruptedRunError(run_id=state.run_id)
    error.run_id = state.run_id
    error.state = error.state or "nothing was changed"
    return error


def _end_state(state: RunState) -> str:
    if state.status is RunStatus.NEEDS_ATTENTION:
        return "changes of the run are in place"
    return "nothing was changed"


@asynccontextmanager
async def open_app(settings: Settings, *, read_only: bool = False) -> AsyncIterator[App]:
    """Open the application.

    Args:
        settings: From ``load_settings``.
        read_only: Only look at history; nothing is created on disk.

    Raises:
        StoreError: the database cannot be opened.
    """
    folder = settings.paths.state
    store = SqliteStore.open_read_only(folder) if read_only else await SqliteStore.open(folder)
    app = App(settings, store, None)
    try:
        yield app
    finally:
        try:
            await app.close()
        finally:
            await store.close()
