"""Runs as a server drives them: begun by requests, many at a time, bounded, left where they stand when it stops."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.app.flow_run import check_same, secrets_of
from workflow_agent.app.run_errors import error_of_run
from workflow_agent.authoring.flow_lowering import PYTHON
from workflow_agent.authoring.flow_source import read_any
from workflow_agent.authoring.sdk import callables
from workflow_agent.client.events import begun
from workflow_agent.client.logs import log_lines
from workflow_agent.client.streaming import reader_at, stream_run
from workflow_agent.engine import pasts_of
from workflow_agent.model.errors import BusyError, ConflictError, NotFoundError, ValidationError, WorkflowAgentError
from workflow_agent.model.records import dataclass
from workflow_agent.model.status import OWN_ACTION, TERMINAL_RUN, RunStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping

    from workflow_agent.api.orders import ResumeOrder, RunOrder
    from workflow_agent.api.port import RunEvent
    from workflow_agent.app.flow_run import FlowRun
    from workflow_agent.app.flow_taking_up import TakenUp
    from workflow_agent.app.flows import Flows
    from workflow_agent.model.event import RunState
    from workflow_agent.model.workflow import Workflow

__all__ = ["ServedRuns"]

logger = logging.getLogger(__name__)

#: Seconds between two looks at a run that another process drives.
_LOOK_S: Final = 0.25
#: Seconds between two looks whether a run is driven yet.
_BEGIN_S: Final = 0.01
_KEYS: Final = (
    "run_id",
    "workflow",
    "workflow_hash",
    "status",
    "user",
    "host",
    "created_at",
    "started_at",
    "finished_at",
    "tags",
    "steps",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Driven:
    """A run of this process and the task that drives it."""

    run: FlowRun | None
    task: asyncio.Task[RunState]


class ServedRuns:
    """What the API asks for, on top of what drives runs.

    Args:
        flows: Drives runs.
        most: So many are driven at the same time for requests.
    """

    def __init__(self, flows: Flows, *, most: int) -> None:
        self._flows = flows
        self._most = most
        self._driven: dict[str, _Driven] = {}
        self._taking_up: asyncio.Task[list[TakenUp]] | None = None

    # -- beginning ---------------------------------------------------------------------------------------------------

    async def begin(self, order: RunOrder, key: str | None) -> str:
        """Begin a run, or find the one that was begun with the key; gives its id once it is on disk.

        Raises:
            ValidationError: the workflow, its input or a secret is not valid, or its code is not here.
            ConflictError: the key belongs to a run of something else.
            BusyError: as many runs as may be are being driven.
            StoreError: the database cannot be used.
        """
        definition = read_any(json.dumps(order.workflow, indent=1), source="workflow")
        await asyncio.to_thread(_check_code, definition)
        run = self._flows.prepare(
            definition,
            order.input,
            secrets=order.secrets,
            tags=order.tags,
            idempotency_key=key,
            durability=order.durability,
            break_before=order.break_before,
            made_with=order.instance,
        )
        past = (await pasts_of(self._flows.journal, [run.run_id])).get(run.run_id)
        if past is not None:
            check_same(run, past.created)
            if self._flows.is_driven(run.run_id) or (await self._flows.state(run.run_id)).status in TERMINAL_RUN:
                return run.run_id
        driven = self._driven.get(run.run_id) or self._drive(run.run_id, self._flows.run(run), run)
        await begun(self._flows, run.run_id, driven.task)
        if driven.run is not run:  # of two requests with one key at the same time
            check_same(run, (await pasts_of(self._flows.journal, [run.run_id]))[run.run_id].created)
        return run.run_id

    def _drive(self, run_id: str, work: Coroutine[Any, Any, RunState], run: FlowRun | None) -> _Driven:
        if len(self._driven) >= self._most:
            work.close()
            raise BusyError(f"{self._most} runs are being driven", hint="try again when one of them has ended")
        task = asyncio.create_task(work, name=f"run {run_id}")
        driven = self._driven[run_id] = _Driven(run=run, task=task)
        task.add_done_callback(lambda ended: self._ended(run_id, ended))
        return driven

    def _ended(self, run_id: str, task: asyncio.Task[RunState]) -> None:
        del self._driven[run_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("run %s is not driven any more: %s", run_id, error)

    # -- looking -----------------------------------------------------------------------------------------------------

    async def resolve(self, run: str) -> str:
        """Complete the beginning of the id of a run of somebody's own workflow; raises NotFoundError."""
        run_id = await self._flows.history.resolve(run)
        if (await self._flows.history.run(run_id))["action"] != OWN_ACTION:
            raise NotFoundError(
                f"`{run_id}` is no run of a workflow of one's own", hint=f"`workflow-agent show {run_id}` tells of it"
            )
        return run_id

    async def describe(self, run: str, wait_s: float = 0.0) -> dict[str, Any]:
        """Describe a run: where it stands, its result or its error; waits so long for its end. Raises NotFoundError."""
        run_id = await self.resolve(run)
        if wait_s > 0:
            await self._wait(run_id, wait_s)
        definition = await self._flows.definition(run_id)
        row = await self._flows.history.run(run_id)
        state = await self._flows.state(run_id)
        ends: dict[str, Any] = {"result": None, "error": None}
        if row["status"] == RunStatus.SUCCEEDED:
            ends["result"] = self._flows.outcome(definition, state)
        elif row["status"] in TERMINAL_RUN:
            ends["error"] = error_of_run(state).to_dict()
        return _described(row) | {"is_driven": self._flows.is_driven(run_id)} | ends

    async def _wait(self, run_id: str, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                driven = self._driven.get(run_id)
                if driven is not None:
                    await asyncio.wait({driven.task})
                    return
                while (await self._flows.history.run(run_id))["status"] not in TERMINAL_RUN:  # noqa: ASYNC110  # another process tells nobody
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            return

    async def runs(self, limit: int, status: str | None) -> list[dict[str, Any]]:
        """List runs of people's own workflows, the newest first."""
        rows = await self._flows.history.runs(limit=limit, status=status, action=OWN_ACTION)
        return [_described(row) for row in rows]

    async def events(self, run_id: str, after: str) -> AsyncIterator[RunEvent]:
        """Give the events of a run behind a place, to its last; raises ValidationError for what is no place."""
        return stream_run(self._flows, run_id, await reader_at(self._flows, run_id, after))

    async def logs(self, run: str) -> list[str]:
        """List what the steps of a run said; raises NotFoundError."""
        return log_lines(self._flows, await self.resolve(run))

    async def cancel(self, run: str, reason: str) -> bool:
        """Ask a run to stop; False when it is past that. Raises NotFoundError, ConflictError."""
        return await self._flows.cancel(await self.resolve(run), reason)

    async def pause(self, run: str, reason: str) -> None:
        """Let nothing new start in a run. Raises NotFoundError, ConflictError."""
        await self._flows.pause(await self.resolve(run), reason)

    async def signal(self, run: str, name: str, data: Any) -> None:
        """Tell a run that something happened. Raises NotFoundError, ConflictError."""
        await self._flows.signal(await self.resolve(run), name, data)

    async def resume(self, run: str, order: ResumeOrder) -> None:
        """Let a run go on that is paused, or that nobody drives.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it has ended, or is driven and not paused.
            ParameterError: a secret is missing with which it was begun.
        """
        run_id = await self.resolve(run)
        if (await self._flows.state(run_id)).status in TERMINAL_RUN:
            raise ConflictError("the run has ended", run_id=run_id)
        if self._flows.is_driven(run_id):
            await self._flows.unpause(run_id, one_step=order.step)
            return
        secrets = secrets_of(order.secrets)
        work = self._flows.resume(run_id, secrets, one_step=order.step)
        task = self._drive(run_id, work, None).task
        while not task.done() and not self._flows.is_driven(run_id):  # noqa: ASYNC110  # the lock tells nobody
            await asyncio.sleep(_BEGIN_S)
        if task.done():
            task.result()

    async def scraped(self) -> str:
        """Give figures of all runs as Prometheus reads them."""
        return await self._flows.scraped()

    # -- start and stop ----------------------------------------------------------------------------------------------

    def take_up(self) -> asyncio.Task[list[TakenUp]]:
        """Let the runs go on whose process died; the task ends with the last of them."""
        self._taking_up = asyncio.create_task(self._flows.resume_all(), name="take up what was left")
        return self._taking_up

    async def stop(self) -> None:
        """Leave all runs where they stand: whoever takes them up does what was in flight again, and nothing else."""
        tasks: list[asyncio.Task[Any]] = [driven.task for driven in self._driven.values()]
        if self._taking_up is not None:
            tasks.append(self._taking_up)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _described(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in _KEYS if key in row}


def _check_code(definition: Workflow) -> None:
    """Refuse a workflow whose Python functions cannot be imported here: the run would fail at its first step."""
    for step in (*definition.steps, *definition.on_failure):
        name = step.with_.get("function") if step.uses == PYTHON else None
        if not isinstance(name, str) or "${{" in name:
            continue
        try:
            callables.find(name)
        except WorkflowAgentError as error:
            raise ValidationError(
                f"the server does not have the code of step `{step.id}`: {error.message}",
                where=name[:200],
                cause=error.cause,
                hint="start `workflow-agent serve` where the module can be imported, for example with PYTHONPATH",
            ) from None
