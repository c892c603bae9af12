"""Runs of this process, on the database that the command uses too."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, cast

from workflow_agent.client.connection import Connection
from workflow_agent.client.events import POLL_S, RunReader, begun, news
from workflow_agent.client.logs import LogStream, log_lines
from workflow_agent.client.port import KnownRun
from workflow_agent.client.stream_place import StreamPlace
from workflow_agent.client.streaming import PlacedReader, reader_at, stream_run
from workflow_agent.model.errors import ConflictError
from workflow_agent.model.status import TERMINAL_RUN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from workflow_agent.client.events import News, WorkflowEvent
    from workflow_agent.client.port import FlowEngine, OpenEngine, OpenRecords, PreparedRun
    from workflow_agent.model.event import RunState
    from workflow_agent.model.status import RunStatus
    from workflow_agent.model.workflow import Workflow
    from workflow_agent.security.secret import Secret

__all__ = ["EmbeddedRuns", "runs_here"]

#: Runs of which figures are made, at most, the newest.
_MOST_RUNS = 10_000
#: Runs that are looked at for events, the newest.
_MOST_FOLLOWED = 200


def runs_here(settings: Mapping[str, object]) -> EmbeddedRuns:
    """Give the runs of this process under some settings."""
    import workflow_agent  # noqa: PLC0415  # late: the facade finds the application, which lies above

    return EmbeddedRuns(
        lambda: workflow_agent.open_flows(settings), lambda: workflow_agent.open_flow_records(settings), settings
    )


class EmbeddedRuns:
    """Begins runs in this process, and looks at all runs in its database.

    Args:
        open_engine: Opens what drives runs.
        open_records: Opens what is known of runs, without making anything on disk.
        settings: By ``section.key``.
    """

    def __init__(
        self, open_engine: OpenEngine, open_records: OpenRecords, settings: Mapping[str, object] | None = None
    ) -> None:
        self._connection = Connection(open_engine)
        self._open_records = open_records
        self._settings = dict(settings or {})
        #: Runs that this object drives, by their ids: of two calls with one key the second finds the first one's.
        self._driven: dict[str, asyncio.Future[RunState]] = {}

    def use(self) -> AbstractAsyncContextManager[FlowEngine]:
        """Keep the database open inside the block."""
        return self._connection.use()

    def aside(self) -> EmbeddedRuns:
        """Give the same runs for another event loop: to look at them only."""
        return EmbeddedRuns(cast("OpenEngine", self._open_records), self._open_records, self._settings)

    # -- beginning ---------------------------------------------------------------------------------------------------

    async def begin(self, workflow: Any, given: Mapping[str, Any], *, is_awaited: bool, **wanted: Any) -> KnownRun:
        """Begin a run, or find the one of the key; `wanted` is what the port says."""
        stack = AsyncExitStack()
        engine = await stack.enter_async_context(self.use())
        try:
            run = engine.prepare(workflow, given, **wanted)
            driving = self._driven.get(run.run_id)
            if driving is not None or (wanted.get("idempotency_key") is not None and engine.is_driven(run.run_id)):
                await stack.aclose()
                if driving is not None and is_awaited:
                    await asyncio.shield(driving)
                return _known(run.run_id, run.definition, driving)
        except BaseException:
            await stack.aclose()
            raise
        driving = self._driven[run.run_id] = asyncio.ensure_future(self._drive(stack, engine, run))
        driving.add_done_callback(lambda _: self._driven.pop(run.run_id))
        if is_awaited:
            await asyncio.shield(driving)
        else:
            await begun(engine, run.run_id, driving)
        return _known(run.run_id, run.definition, driving)

    @staticmethod
    async def _drive(stack: AsyncExitStack, engine: FlowEngine, run: PreparedRun) -> RunState:
        async with stack:
            return await engine.run(run)

    async def find(self, run: str) -> KnownRun:
        """Find a run; raises NotFoundError."""
        async with self.use() as engine:
            run_id = await engine.history.resolve(run)
            return _known(run_id, await engine.definition(run_id))

    async def resume(self, run: str, secrets: Mapping[str, Secret] | None) -> KnownRun:
        """Drive a run to its end whose process died; raises ConflictError."""
        async with self.use() as engine:
            found = await self.find(run)
            await engine.resume(found.run_id, secrets)
            return found

    # -- one run -----------------------------------------------------------------------------------------------------

    async def status(self, run: str) -> RunStatus:
        """Say where it stands."""
        return (await self._state(run)).status

    async def kept(self, run: str) -> dict[str, Any]:
        """Give what its steps keep, as it is on disk now."""
        return dict((await self._state(run)).state)

    async def _state(self, run: str) -> RunState:
        async with self.use() as engine:
            return await engine.state(await engine.history.resolve(run))

    async def end(self, run: KnownRun) -> RunStatus:
        """Wait for its end; raises ConflictError where nobody drives it."""
        return (await self._ended(run)).status

    async def result(self, run: KnownRun) -> Any:  # Any: a JSON value
        """Wait for its end and give its result; raises the run's error when it did not succeed."""
        state = await self._ended(run)
        async with self.use() as engine:
            return engine.outcome(run.definition or await engine.definition(run.run_id), state)

    async def _ended(self, run: KnownRun) -> RunState:
        if run.driving is not None:
            return await asyncio.shield(run.driving)
        async with self.use() as engine:
            while True:
                driven = engine.is_driven(run.run_id)  # asked first: who ends it has written that before
                state = await engine.state(run.run_id)
                if state.status in TERMINAL_RUN:
                    return state
                if not driven:
                    hint = f"`workflow-agent resume {run.run_id}`, or run it again with its idempotency key"
                    raise ConflictError("no process drives the run", run_id=run.run_id, hint=hint)
                await asyncio.sleep(POLL_S)

    async def events(self, run_id: str, after: str) -> AsyncIterator[WorkflowEvent]:
        """Give its events behind a place, to its last, as they happen."""
        async with self.use() as engine:
            reader = await reader_at(engine, run_id, after) if after else PlacedReader(run_id, StreamPlace())
            async for event in stream_run(engine, run_id, reader):
                yield event

    async def cancel(self, run: str, reason: str) -> bool:
        """Ask it to stop; False when it is past that."""
        async with self.use() as engine:
            return await engine.cancel(await engine.history.resolve(run), reason)

    async def signal(self, run_id: str, name: str, data: Any) -> None:
        """Tell it that something happened."""
        async with self.use() as engine:
            await engine.signal(run_id, name, data)

    async def pause(self, run_id: str, reason: str) -> None:
        """Let nothing new start in it."""
        async with self.use() as engine:
            await engine.pause(run_id, reason)

    async def unpause(self, run_id: str, *, one_step: bool) -> None:
        """Let it go on, or one step of it."""
        async with self.use() as engine:
            await engine.unpause(run_id, one_step=one_step)

    async def change(self, run_id: str, data: Mapping[str, Any]) -> None:
        """Change what it does next."""
        async with self.use() as engine:
            await engine.change(run_id, data)

    async def look(self, run: KnownRun, step: str | None) -> dict[str, Any]:
        """Give where it stands, and what a step would be asked with."""
        from workflow_agent.engine.looking import look  # noqa: PLC0415  # late: few look

        async with self.use() as engine:
            definition = run.definition or await engine.definition(run.run_id)
            return look(definition, await engine.state(run.run_id), step)

    async def logs(self, run: str) -> list[str]:
        """List what its steps said."""
        async with self.use() as engine:
            return log_lines(engine, await engine.history.resolve(run))

    def log_stream(self, run: str) -> LogStream:
        """Give what its steps say, as they say it."""
        return LogStream(self._open_records, run)

    async def measured(self, run: str) -> list[dict[str, Any]]:
        """List what its steps measured."""
        async with self.use() as engine:
            run_id = await engine.history.resolve(run)
            return [dict(record.data) for record in await engine.history.records(run_id, "metric")]

    # -- all runs ----------------------------------------------------------------------------------------------------

    async def newest(self, workflow_name: str) -> list[dict[str, Any]]:
        """List the newest runs of a workflow, among the newest 10,000 of all."""
        async with self.use() as engine:
            runs = await engine.history.runs(limit=_MOST_RUNS, action="run")
        return [run for run in runs if run["workflow"] == workflow_name]

    async def scraped(self) -> str:
        """Give figures of all runs as Prometheus reads them, without those of this process."""
        async with self.use() as engine:
            return await engine.scraped(with_process=False)

    def credentials(self) -> list[dict[str, Any]]:
        """List the sets of credentials that steps can name, without values."""
        import workflow_agent  # noqa: PLC0415  # late: as above

        listed: list[dict[str, Any]] = workflow_agent.listed_credentials(self._settings)
        return listed

    async def all_events(self, workflow_name: str | None) -> AsyncIterator[WorkflowEvent]:
        """Give the events of all runs, those of other processes too, from now on."""
        async with self.use() as engine, news(engine, "*") as found:
            readers: dict[str, RunReader] = {}
            await _catch_up(engine, workflow_name, readers)
            while True:
                async for event in _new_events(engine, workflow_name, readers, found):
                    yield event
                await found.wait()


def _known(run_id: str, definition: Workflow, driving: asyncio.Future[RunState] | None = None) -> KnownRun:
    return KnownRun(
        run_id=run_id,
        workflow_name=definition.name,
        workflow_hash=definition.hash,
        definition=definition,
        driving=driving,
    )


async def _followed(engine: FlowEngine, name: str | None) -> list[dict[str, Any]]:
    runs = await engine.history.runs(limit=_MOST_FOLLOWED, action="run")
    return [run for run in reversed(runs) if name is None or run["workflow"] == name]


async def _catch_up(engine: FlowEngine, name: str | None, readers: dict[str, RunReader]) -> None:
    """Note what has happened already: it is not told."""
    for run in await _followed(engine, name):
        reader = readers[run["run_id"]] = RunReader(run["run_id"])
        for event in await engine.journal.events(reader.run_id):
            list(reader.read(event))


async def _new_events(
    engine: FlowEngine, name: str | None, readers: dict[str, RunReader], found: News
) -> AsyncIterator[WorkflowEvent]:
    hints, found.hints = found.hints, []
    for run in await _followed(engine, name):
        reader = readers.setdefault(run["run_id"], RunReader(run["run_id"]))
        if reader.ended:
            continue
        own = [hint for hint in hints if hint.run_id == reader.run_id]
        for event in [*await engine.journal.events(reader.run_id, after=reader.head), *own]:
            for each in reader.read(event):
                yield each
