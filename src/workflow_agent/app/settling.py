"""Ends the runs whose process died: what they had begun is taken back, and history says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.authoring import read_definition
from workflow_agent.engine import replay
from workflow_agent.engine.proceeding import is_cancellable
from workflow_agent.model.errors import ConflictError, RunFailedError, StoreError, WorkflowAgentError
from workflow_agent.model.event import Event, EventType, RecordKind
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.app.ownership import RunOwnership
    from workflow_agent.engine import Driver
    from workflow_agent.model.ports import Clock, History, Journal, TargetRegistry, WorkflowCatalogue
    from workflow_agent.model.workflow import Workflow

__all__ = ["Settler"]

_REASON = "the process that drove the run ended"


class Settler:
    """Ends orphaned runs of a target, oldest first.

    A run whose process lives is left alone: its owner file is locked. So is one whose target cannot be taken now;
    whoever wants that target is told why.
    """

    def __init__(
        self,
        *,
        driver: Driver,
        journal: Journal,
        history: History,
        catalogue: WorkflowCatalogue,
        targets: TargetRegistry,
        clock: Clock,
        ownership: RunOwnership,
    ) -> None:
        self._driver = driver
        self._journal = journal
        self._history = history
        self._catalogue = catalogue
        self._targets = targets
        self._clock = clock
        self._ownership = ownership

    async def settle(self, target: str) -> tuple[list[str], list[str]]:
        """End the orphaned runs of a target.

        Returns:
            The ids of the runs that were ended, and sentences that a person should read.

        Raises:
            StoreError: the journal cannot be used.
        """
        settled: list[str] = []
        warnings: list[str] = []
        for run in await self._history.unfinished(target):
            try:
                warning = await self.settle_run(run["run_id"], run["workflow"], target)
            except ConflictError:
                continue  # its process lives, or somebody works on the target
            settled.append(run["run_id"])
            warnings += [warning] if warning else []
        return settled, warnings

    async def settle_run(self, run_id: str, workflow: str, target: str) -> str | None:
        """End one orphaned run; gives a sentence where only a person can say what became of it.

        Raises:
            ConflictError: its process lives, it has an end, or the target cannot be taken now.
            StoreError: the journal cannot be used.
        """
        with self._ownership.held(run_id):
            return await self._settle_run(run_id, workflow, target)

    async def _settle_run(self, run_id: str, workflow: str, target_name: str) -> str | None:
        """End one run that we own; gives a warning where only a person can say what became of it.

        Raises:
            ConflictError: the target cannot be taken now, or the run has an end already.
        """
        events = await self._journal.events(run_id)
        if not events or events[-1].type is EventType.RUN_FINISHED:
            raise ConflictError("the run has ended meanwhile", run_id=run_id)
        target = self._targets.get(target_name)
        try:
            # The target itself undoes an exchange that was interrupted.
            await target.acquire(run_id)
        except WorkflowAgentError as error:
            raise ConflictError("the target cannot be taken now", cause=error.message, run_id=run_id) from error
        try:
            await self._take_back(await self._definition(workflow, events), run_id, events)
            return None
        except StoreError:
            raise
        except WorkflowAgentError as error:
            return await self._give_up(run_id, error)
        finally:
            await target.release(run_id)

    async def _take_back(self, workflow: Workflow, run_id: str, events: Sequence[Event]) -> None:
        state, _ = replay(workflow, events)
        if is_cancellable(state):
            error = RunFailedError(_REASON, run_id=run_id, where=f"run {run_id}", details={"orphaned": True})
            await self._append(run_id, events, EventType.CANCEL_REQUESTED, reason=_REASON, error=error.to_dict())
        await self._driver.resume(workflow, run_id)

    async def _definition(self, name: str, events: Sequence[Event]) -> Workflow:
        """Give the definition with which the run was created, whatever the catalogue has now."""
        wanted = str(events[0].data.get("workflow_hash"))
        kept = await self._journal.definition(wanted)
        workflow = self._catalogue.get(name) if kept is None else read_definition(kept)
        if workflow.hash != wanted:
            raise ConflictError(f"the definition of `{name}` is another one now", run_id=events[0].run_id)
        return workflow

    async def _give_up(self, run_id: str, problem: WorkflowAgentError) -> str:
        """Record that a person must look: such a run must not stand in the way of the next one for ever."""
        events = await self._journal.events(run_id)  # taking back may have come some way
        if events[-1].type is EventType.RUN_FINISHED:
            return f"run {run_id} was ended, but not cleanly: {problem.message}"
        transactions = await self._history.records(run_id, RecordKind.TRANSACTION)
        committed = bool(transactions) and transactions[-1].data["state"] == "committed"
        error = RunFailedError(
            f"{_REASON}, and it cannot be taken back by itself: {problem.message}",
            hint=f"`workflow-agent rollback {run_id}` takes it back" if committed else None,
            cause=problem.cause,
            run_id=run_id,
        )
        await self._append(
            run_id,
            events,
            EventType.RUN_FINISHED,
            status=RunStatus.NEEDS_ATTENTION.value,
            error=error.to_dict(),
            changed=committed,
        )
        return f"run {run_id} needs attention: {error.message}" + (f" ({error.hint})" if error.hint else "")

    async def _append(self, run_id: str, events: Sequence[Event], kind: EventType, **data: object) -> None:
        head = events[-1].seq
        event = Event(run_id=run_id, seq=head + 1, type=kind, at=self._clock.now(), data=data)
        await self._journal.append(run_id, head, [event])
