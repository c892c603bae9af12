"""``WorkflowClient``: begins runs of workflows, and tells what became of them."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from workflow_agent.client.connection import blocking
from workflow_agent.client.events import check_types
from workflow_agent.client.execution import WorkflowExecution
from workflow_agent.client.metrics import WorkflowMetrics, summed_up
from workflow_agent.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping
    from types import TracebackType

    from workflow_agent.authoring.sdk.policies import ExecutionMode
    from workflow_agent.client.events import WorkflowEvent
    from workflow_agent.client.logs import LogStream
    from workflow_agent.client.port import Runs
    from workflow_agent.client.runners import Runner, RunnerHealth
    from workflow_agent.model.status import RunStatus
    from workflow_agent.security.secret import Secret

__all__ = ["WorkflowClient"]

_API_URL = "WORKFLOW_AGENT_API_URL"
_API_TOKEN = "WORKFLOW_AGENT_API_TOKEN"  # noqa: S105  # the name of a variable
#: Where `serve` listens when nothing else is said.
_USUAL_URL = "http://127.0.0.1:8437"


class WorkflowClient:
    """Begins runs and looks at all of them: in this process, on the database that the command uses too, or of a server.

    ``async with`` keeps the database, or the connection, open between calls; without it, each run opens it for itself.

    Args:
        api_url: Address of a server (``http://127.0.0.1:8437``, ``unix:/run/wfa.sock``, ``https://…``); that of
            ``WORKFLOW_AGENT_API_URL`` when None. Without both, and without a token, runs are driven in this process.
        api_token: The server's token; that of ``WORKFLOW_AGENT_API_TOKEN`` when None.
        settings: Settings by ``section.key`` for runs of this process, above those of the environment;
            ``{"paths.state": "/srv/flows"}`` names the folder of the database.
        runner: A runner of the settings, in place of an address and a token: it is asked whether it is well before each
            run. ``local`` is this process.
        required_components: What a runner must have, besides what the steps of a workflow need.

    Raises:
        UsageError: the address is none, the token is missing, or settings are given for a server, which has its own.
        NotFoundError: there is no such runner.
        ParameterError: the runner's token cannot be read.
    """

    def __init__(
        self,
        api_url: str | None = None,
        api_token: str | None = None,
        *,
        settings: Mapping[str, object] | None = None,
        runner: str | None = None,
        required_components: Collection[str] = (),
    ) -> None:
        self._settings = dict(settings or {})
        self._required = frozenset(required_components)
        if runner is not None and (api_url or api_token):
            raise UsageError("a runner has an address and a token: give its name, or those", where="runner")
        if runner is None:
            self._runs = _runs_of(api_url, api_token, self._settings)
        else:
            self._runs = self._runs_at(runner)
        self._runner = runner
        self._kept: AsyncExitStack | None = None

    async def __aenter__(self) -> Self:
        self._kept = AsyncExitStack()
        await self._kept.enter_async_context(self._runs.use())
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
        runner: str | None = None,
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
            runner: Where this one is driven; where the client says when None.

        Raises:
            ValidationError: the workflow, its input or a secret is not valid; nothing was begun.
            ConflictError: the key belongs to a run of something else.
            StoreError: the database cannot be used.
            NotFoundError: there is no such runner.
            UnreachableError: the runner is not well, or lacks what the steps need: nothing was begun; or the server
                does not answer. The request is repeated with a key of its own, so that no run
                begins twice.
        """
        runs = self._runs if runner in {None, self._runner} else self._runs_at(str(runner))
        begun = await runs.begin(
            workflow,
            input or {},
            is_awaited=str(mode) != "async",
            secrets=secrets,
            tags=tags,
            idempotency_key=idempotency_key,
            durability=durability,
            break_before=break_before,
        )
        return WorkflowExecution(runs, begun)

    def _runs_at(self, name: str) -> Runs:
        """Give the runs of a runner."""
        from workflow_agent.client.runners import find_runner  # noqa: PLC0415  # late: few choose one

        runner = find_runner(name, self._runners())
        if runner.url is None:
            from workflow_agent.client.embedded import runs_here  # noqa: PLC0415  # late: one of two is needed

            return runs_here(self._settings)
        from workflow_agent.client.runner_runs import RunnerRuns  # noqa: PLC0415  # late: as above

        return RunnerRuns(runner, self._required)

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
        return WorkflowExecution(self._runs, await self._runs.find(run))

    async def resume(self, run: str, *, secrets: Mapping[str, Secret] | None = None) -> WorkflowExecution:
        """Drive a run to its end whose process died.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: a process drives it.
        """
        return WorkflowExecution(self._runs, await self._runs.resume(run, secrets))

    async def cancel(self, run: str, reason: str = "cancelled by request") -> bool:
        """Ask a run to stop; False when it is past that.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: no process drives it.
        """
        return await self._runs.cancel(run, reason)

    # -- looking -----------------------------------------------------------------------------------------------------

    def get_workflow_status(self, run: str) -> RunStatus:
        """Say where a run stands; raises NotFoundError. Blocks for the time of one question."""
        return blocking(lambda: self._runs.aside().status(run))

    def get_logs(self, run: str) -> list[str]:
        """List what the steps of a run said; raises NotFoundError. Blocks for the time of one question."""
        return blocking(lambda: self._runs.aside().logs(run))

    def stream_logs(self, run: str) -> LogStream:
        """Give what the steps of a run say, as they say it, until it ends: for ``for`` and ``async for``."""
        return self._runs.log_stream(run)

    def get_run_metrics(self, run: str) -> list[dict[str, Any]]:
        """List what the steps of a run recorded with ``ctx.metric``: at, step, name, value, tags."""
        return blocking(lambda: self._runs.aside().measured(run))

    def get_credentials(self) -> list[dict[str, Any]]:
        """List the sets of credentials that steps can name: name, description, variables (name, source, available).

        No value is among them.
        """
        return self._runs.credentials()

    def get_runners(self) -> list[Runner]:
        """List the places that drive runs: this process, which is ``local``, and the servers of the settings."""
        return [*self._runners().values()]

    def _runners(self) -> dict[str, Runner]:
        import workflow_agent  # noqa: PLC0415  # late: the facade finds the application, which lies above

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

    async def get_workflow_metrics(self, workflow_name: str, time_range: float | str = "24h") -> WorkflowMetrics:
        """Sum up the runs of a workflow that began in the last `time_range`, of the newest 10,000 runs.

        Raises:
            ValidationError: the span is no duration.
        """
        from workflow_agent.authoring.durations import duration_s  # noqa: PLC0415  # late: needed here only

        since = time.time() - duration_s(time_range, where="time_range")
        runs = await self._runs.newest(workflow_name)
        return summed_up(workflow_name, (run for run in runs if run["created_at"] >= since))

    async def get_metrics_text(self) -> str:
        """Give figures of all runs and the newest values of what their steps measured, as Prometheus reads them.

        Of this process it says nothing, so that the text can stand in a file beside what others measure.
        """
        return await self._runs.scraped()

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
        async for event in self._runs.all_events(workflow_name):
            if event.type in wanted:
                yield event


def _runs_of(url: str | None, token: str | None, settings: Mapping[str, object]) -> Runs:
    """Say where runs are driven."""
    url = url or os.environ.get(_API_URL)
    if not url and not token:
        from workflow_agent.client.embedded import runs_here  # noqa: PLC0415  # late: one of two is needed

        return runs_here(settings)
    if settings:
        raise UsageError("settings are for runs of this process", hint="a server has its own; leave `settings` out")
    token = token or os.environ.get(_API_TOKEN)
    if not token:
        hint = f"give `api_token`, or set {_API_TOKEN}; `workflow-agent serve` says which file has it"
        raise UsageError("a server wants a token", where=url, hint=hint)
    from workflow_agent.client.remote import RemoteRuns  # noqa: PLC0415  # late: as above

    return RemoteRuns(url or _USUAL_URL, token)
