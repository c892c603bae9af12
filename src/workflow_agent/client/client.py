"""``WorkflowClient``: begins runs of workflows, and tells what became of them."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from workflow_agent.client.connection import Connection, blocking
from workflow_agent.client.events import RunReader, begun, check_types, news
from workflow_agent.client.execution import WorkflowExecution
from workflow_agent.client.logs import LogStream, log_lines
from workflow_agent.client.metrics import WorkflowMetrics, summed_up
from workflow_agent.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType
    from typing import TypeVar

    from workflow_agent.authoring.sdk.policies import ExecutionMode
    from workflow_agent.client.events import News, WorkflowEvent
    from workflow_agent.client.port import FlowEngine, FlowRecords, PreparedRun
    from workflow_agent.client.runners import Runner, RunnerHealth
    from workflow_agent.model.event import RunState
    from workflow_agent.model.status import RunStatus
    from workflow_agent.security.secret import Secret

    _T = TypeVar("_T")

__all__ = ["WorkflowClient"]

_API_URL = "WORKFLOW_AGENT_API_URL"
#: Runs of which figures are made, at most, the newest.
_MOST_RUNS = 10_000
#: Runs that are looked at for events, the newest.
_MOST_FOLLOWED = 200


class WorkflowClient:
    """Begins runs in this process, on the database that the command uses too, and looks at all runs in it.

    ``async with`` keeps the database open between calls; without it, each run opens it for itself.

    Args:
        api_url: Address of a server. There is none to connect to in this release: leave it out.
        api_token: For a server.
        settings: Settings by ``section.key``, above those of the environment; ``{"paths.state": "/srv/flows"}`` names
            the folder of the database.

    Raises:
        UsageError: a server is named.
    """

    def __init__(
        self,
        api_url: str | None = None,
        api_token: str | None = None,
        *,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        if api_url or api_token or os.environ.get(_API_URL):
            raise UsageError(
                "there is no server that a client could connect to in this release",
                where=str(api_url or "WorkflowClient")[:200],
                hint="leave `api_url` and `api_token` out: the client then runs workflows in this process",
            )
        self._settings = dict(settings or {})
        self._connection = Connection(self._open)
        self._kept: AsyncExitStack | None = None

    def _open(self) -> AbstractAsyncContextManager[FlowEngine]:
        import workflow_agent  # noqa: PLC0415  # late: the facade finds the application, which lies above

        opened: AbstractAsyncContextManager[FlowEngine] = workflow_agent.open_flows(self._settings)
        return opened

    def _open_records(self) -> AbstractAsyncContextManager[FlowRecords]:
        import workflow_agent  # noqa: PLC0415  # late: as above

        opened: AbstractAsyncContextManager[FlowRecords] = workflow_agent.open_flow_records(self._settings)
        return opened

    async def __aenter__(self) -> Self:
        self._kept = AsyncExitStack()
        await self._kept.enter_async_context(self._connection.engine())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._kept is not None:
            await self._kept.aclose()

    # -- running -----------------------------------------------------------------------------------------------------

    async def run_workflow(
        self,
        workflow: Any,
        mode: ExecutionMode | str = "sync",
        *,
        input: Mapping[str, Any] | None = None,  # noqa: A002  # as it is called everywhere
        secrets: Mapping[str, str | Secret] | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        durability: str | None = None,
        break_before: Collection[str] = (),
    ) -> WorkflowExecution:
        """Begin a run.

        Args:
            workflow: An instance of a workflow class, a workflow function, a ``Workflow``, or a definition.
            mode: ``ExecutionMode.ASYNC`` returns when the run is begun, ``SYNC`` when it has ended.
            input: What steps see as ``ctx.input``.
            secrets: What steps see as ``ctx.secrets``: texts of at least 8 characters. They are kept in memory only.
            tags: Kept with the run.
            idempotency_key: With the same key the same run is meant: it is begun once, taken up where its process
                died, and answers from the journal when it has ended.
            durability: When its records reach the disk: ``strict``, ``pipelined`` or ``exit``; as the workflow says
                when None.
            break_before: Steps before which it pauses; see :meth:`WorkflowExecution.inspect`.

        Raises:
            ValidationError: the workflow, its input or a secret is not valid; nothing was begun.
            ConflictError: the key belongs to a run of something else.
            StoreError: the database cannot be used.
        """
        stack = AsyncExitStack()
        engine = await stack.enter_async_context(self._connection.engine())
        try:
            run = engine.prepare(
                workflow,
                input or {},
                secrets=secrets,
                tags=tags,
                idempotency_key=idempotency_key,
                durability=durability,
                break_before=break_before,
            )
            if idempotency_key is not None and engine.is_driven(run.run_id):
                execution = WorkflowExecution(self._connection.engine, run.run_id, run.definition, None)
                await stack.aclose()
                return execution
        except BaseException:
            await stack.aclose()
            raise
        driving = asyncio.ensure_future(self._drive(stack, engine, run))
        if str(mode) == "async":
            await begun(engine, run.run_id, driving)
        else:
            await asyncio.shield(driving)
        return WorkflowExecution(self._connection.engine, run.run_id, run.definition, driving)

    @staticmethod
    async def _drive(stack: AsyncExitStack, engine: FlowEngine, run: PreparedRun) -> RunState:
        async with stack:
            return await engine.run(run)

    def run(
        self,
        workflow: Any,
        *,
        input: Mapping[str, Any] | None = None,  # noqa: A002  # as it is called everywhere
        secrets: Mapping[str, str | Secret] | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        durability: str | None = None,
    ) -> Any:  # Any: a JSON value
        """Run a workflow to its end and give its result; for programs without an event loop.

        Raises:
            WorkflowAgentError: it did not succeed; or as :meth:`run_workflow` says.
        """

        async def ran() -> Any:
            execution = await self.run_workflow(
                workflow,
                input=input,
                secrets=secrets,
                tags=tags,
                idempotency_key=idempotency_key,
                durability=durability,
            )
            return await execution.get_result()

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(ran())
        raise UsageError("an event loop runs here", hint="write `await client.run_workflow(...)`")

    async def get_execution(self, run: str) -> WorkflowExecution:
        """Give a run by its id, or the beginning of one; raises NotFoundError."""
        async with self._connection.engine() as engine:
            run_id = await engine.history.resolve(run)
            return WorkflowExecution(self._connection.engine, run_id, await engine.definition(run_id), None)

    async def resume(self, run: str, *, secrets: Mapping[str, Secret] | None = None) -> WorkflowExecution:
        """Drive a run to its end whose process died.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: a process drives it.
        """
        async with self._connection.engine() as engine:
            run_id = await engine.history.resolve(run)
            await engine.resume(run_id, secrets)
        return await self.get_execution(run_id)

    async def cancel(self, run: str, reason: str = "cancelled by request") -> bool:
        """Ask a run to stop; False when it is past that.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: no process drives it.
        """
        async with self._connection.engine() as engine:
            return await engine.cancel(await engine.history.resolve(run), reason)

    # -- looking -----------------------------------------------------------------------------------------------------

    def get_workflow_status(self, run: str) -> RunStatus:
        """Say where a run stands; raises NotFoundError. Blocks for the time of one question to the database."""

        async def look(records: FlowRecords) -> RunStatus:
            return (await records.state(await records.history.resolve(run))).status

        return self._ask(look)

    def get_logs(self, run: str) -> list[str]:
        """List what the steps of a run said; raises NotFoundError. Blocks for the time of one question."""

        async def look(records: FlowRecords) -> list[str]:
            return log_lines(records, await records.history.resolve(run))

        return self._ask(look)

    def stream_logs(self, run: str) -> LogStream:
        """Give what the steps of a run say, as they say it, until it ends: for ``for`` and ``async for``."""
        return LogStream(self._open_records, run)

    def get_run_metrics(self, run: str) -> list[dict[str, Any]]:
        """List what the steps of a run recorded with ``ctx.metric``: at, step, name, value, tags."""

        async def look(records: FlowRecords) -> list[dict[str, Any]]:
            run_id = await records.history.resolve(run)
            return [dict(record.data) for record in await records.history.records(run_id, "metric")]

        return self._ask(look)

    def get_credentials(self) -> list[dict[str, Any]]:
        """List the sets of credentials that steps can name: name, description, variables (name, source, available).

        No value is among them.
        """
        import workflow_agent  # noqa: PLC0415  # late: as above

        listed: list[dict[str, Any]] = workflow_agent.listed_credentials(self._settings)
        return listed

    def get_runners(self) -> list[Runner]:
        """List the places that drive runs: this process, which is ``local``, and the servers of the settings."""
        return [*self._runners().values()]

    def _runners(self) -> dict[str, Runner]:
        import workflow_agent  # noqa: PLC0415  # late: as above

        known: dict[str, Runner] = workflow_agent.known_runners(self._settings)
        return known

    async def get_runner_health(self, name: str) -> RunnerHealth:
        """Ask a runner whether it is well; raises NotFoundError where there is none of this name."""
        import workflow_agent  # noqa: PLC0415  # late: as above
        from workflow_agent.client.runners import (  # noqa: PLC0415  # late: few ask
            asked_health,
            find_runner,
            health_of_answer,
        )

        runner = find_runner(name, self._runners())
        if runner.url is not None:
            return await asked_health(runner)
        return health_of_answer(name, await workflow_agent.local_health(self._settings))

    async def get_runners_with_health(self, required_components: Collection[str] = ()) -> list[RunnerHealth]:
        """Ask all runners; with `required_components` (``docker``, agents) those that are well and have them."""
        names = [runner.name for runner in self.get_runners()]
        found = await asyncio.gather(*map(self.get_runner_health, names))
        if not required_components:
            return found
        return [health for health in found if health.is_healthy and not health.missing(required_components)]

    def _ask(self, look: Callable[[FlowRecords], Awaitable[_T]]) -> _T:
        async def asked() -> _T:
            async with self._open_records() as records:
                return await look(records)

        return blocking(asked)

    async def get_workflow_metrics(self, workflow_name: str, time_range: float | str = "24h") -> WorkflowMetrics:
        """Sum up the runs of a workflow that began in the last `time_range`, of the newest 10,000 runs.

        Raises:
            ValidationError: the span is no duration.
        """
        from workflow_agent.authoring.durations import duration_s  # noqa: PLC0415  # late: needed here only

        since = time.time() - duration_s(time_range, where="time_range")
        async with self._connection.engine() as engine:
            runs = await engine.history.runs(limit=_MOST_RUNS, action="run")
        return summed_up(
            workflow_name, (run for run in runs if run["workflow"] == workflow_name and run["created_at"] >= since)
        )

    async def get_metrics_text(self) -> str:
        """Give figures of all runs and the newest values of what their steps measured, as Prometheus reads them.

        Of this process it says nothing, so that the text can stand in a file beside what others measure.
        """
        async with self._connection.engine() as engine:
            return await engine.scraped(with_process=False)

    async def stream_workflow_events(
        self, workflow_name: str | None = None, event_types: Collection[str] | None = None
    ) -> AsyncIterator[WorkflowEvent]:
        """Give events of all runs, those of other processes too, from now on; it has no end of its own.

        Args:
            workflow_name: Only runs of this workflow.
            event_types: Only these, of ``EVENT_TYPES``.

        Raises:
            ValidationError: there is no event of such a name.
        """
        wanted = check_types(event_types)
        async with self._connection.engine() as engine, news(engine, "*") as found:
            readers: dict[str, RunReader] = {}
            await _catch_up(engine, workflow_name, readers)
            while True:
                async for event in _new_events(engine, workflow_name, readers, found):
                    if event.type in wanted:
                        yield event
                await found.wait()


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
