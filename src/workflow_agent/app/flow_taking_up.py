"""All runs that processes which died left behind, taken up together: their journals are read many at a time."""

from __future__ import annotations

import asyncio
import resource
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.app.flow_run import missing_secrets
from workflow_agent.app.left_behind import end_left_behind
from workflow_agent.engine import pasts_of
from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.app.flows import Flows
    from workflow_agent.app.ownership import RunOwnership
    from workflow_agent.engine import Driver, Past
    from workflow_agent.model.event import RunState
    from workflow_agent.model.workflow import Workflow
    from workflow_agent.security.secret import Secret

__all__ = ["TakenUp", "TakingUp", "most_at_once"]

#: Runs whose journals are read at once.
_TOGETHER: Final = 500
#: Open files that are left to everything else; a run that is driven holds one.
_FILES_LEFT: Final = 200
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenUp:
    """What became of a run: its status, and why it was left or did not succeed."""

    run_id: str
    workflow: str
    status: str
    was_left: bool = False
    reason: str | None = None


def most_at_once() -> int:
    """Say how many runs this process can drive at the same time; it asks for the files that they need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, _MOST + _FILES_LEFT)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(1, max(soft, wanted) - _FILES_LEFT)


class TakingUp:
    """Takes up runs.

    Args:
        flows: What runs need of this process.
        driver: Drives them.
        ownership: Which process drives which run.
        secrets: Values by name.
        socket: Where this process listens to what others say to runs.
        most: Runs that are driven at the same time.
    """

    def __init__(
        self,
        flows: Flows,
        driver: Driver,
        ownership: RunOwnership,
        *,
        secrets: Mapping[str, Secret],
        socket: str,
        most: int,
    ) -> None:
        self._flows = flows
        self._driver = driver
        self._ownership = ownership
        self._secrets = secrets
        self._socket = socket
        self._free = asyncio.Semaphore(most)
        self._definitions: dict[str, Workflow] = {}
        self._loaded: set[str] = set()
        self._ended: dict[str, TakenUp] = {}

    async def all(self, rows: Sequence[Mapping[str, Any]]) -> list[TakenUp]:
        """Drive runs to their end that nobody drives; `rows` are those without an end, as history lists them.

        Raises:
            StoreError: the journal cannot be read.
        """
        known = {str(row["run_id"]): row for row in rows}
        orphans = [row for run_id, row in known.items() if self._ownership.owner(run_id) is None]
        batch: list[Mapping[str, Any]] = []
        async with asyncio.TaskGroup() as group:
            for row in orphans:
                if batch and (self._free.locked() or len(batch) == _TOGETHER):
                    await self._begin(batch, known, group)
                    batch = []
                await self._free.acquire()
                batch.append(row)
            await self._begin(batch, known, group)
        return [self._ended[run_id] for run_id in known if run_id in self._ended]

    async def _begin(
        self, batch: Sequence[Mapping[str, Any]], known: Mapping[str, Any], group: asyncio.TaskGroup
    ) -> None:
        pasts = await pasts_of(self._flows.journal, [str(row["run_id"]) for row in batch])
        held: dict[str, tuple[Mapping[str, Any], ExitStack]] = {}
        workflows: dict[str, Workflow] = {}
        for row in batch:
            past = pasts[str(row["run_id"])]
            parent = past.created["meta"].get("parent")
            if parent is not None and parent["run_id"] in known:
                self._free.release()  # that one takes it up
                continue
            try:
                definition = await self._definition(past)
                held[past.run_id] = (row, self._held(row, past, definition))
                workflows[past.run_id] = definition
            except WorkflowAgentError as error:
                self._leave(row, error)
        for run_id, refusal in (await end_left_behind(workflows, self._flows.state)).items():
            row, stack = held.pop(run_id)
            stack.close()
            del workflows[run_id]
            self._leave(row, refusal)
        driving = await self._driver.resume_all(workflows, pasts)
        for run_id, (row, stack) in held.items():
            group.create_task(self._see_through(row, driving[run_id], stack))

    def _leave(self, row: Mapping[str, Any], error: WorkflowAgentError) -> None:
        self._free.release()
        reason = error.message if error.hint is None else f"{error.message} ({error.hint})"
        self._ended[row["run_id"]] = TakenUp(
            run_id=row["run_id"], workflow=row["workflow"], status=row["status"], was_left=True, reason=reason
        )

    async def _definition(self, past: Past) -> Workflow:
        digest = str(past.created["workflow_hash"])
        if digest not in self._definitions:
            self._definitions[digest] = await self._flows.kept_definition(digest, past.run_id)
        return self._definitions[digest]

    def _held(self, row: Mapping[str, Any], past: Past, definition: Workflow) -> ExitStack:
        """Own a run, and have at hand what its steps ask for."""
        if row["status"] == RunStatus.PAUSED:
            hint = f"`workflow-agent resume {past.run_id}` lets it go on"
            raise WorkflowAgentError("it is paused", run_id=past.run_id, hint=hint)
        meta = past.created["meta"]
        missing_secrets(past.first, self._secrets)
        if meta.get("source") not in self._loaded:
            self._flows.load(meta)
            self._loaded.add(meta.get("source"))
        secrets = {name: self._secrets[name] for name in meta.get("secrets", ())}
        with ExitStack() as stack:
            stack.enter_context(self._ownership.held(past.run_id, self._socket))
            stack.enter_context(self._flows.at_hand(past.run_id, definition, secrets))
            return stack.pop_all()

    async def _see_through(self, row: Mapping[str, Any], driving: asyncio.Task[RunState], stack: ExitStack) -> None:
        try:
            with stack:
                state = await driving
        except WorkflowAgentError as error:
            self._leave(row, error)
            return
        self._free.release()
        reason = None if state.error is None else str(state.error.get("message"))
        self._ended[state.run_id] = TakenUp(
            run_id=state.run_id, workflow=state.workflow, status=state.status.value, reason=reason
        )
