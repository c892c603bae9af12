"""The driver: feeds the machine, writes what it decides, asks agents, records what they answer.

Order of every step: append -> durable -> resolve waiters -> publish ``run.<id>.event`` -> act. Nothing is shown
or started before its record is on disk. An error of the journal leaves :meth:`Driver.start` at once with nothing
started after it: what became of the record is decided by a refold (:meth:`Driver.resume`).

Before an at-least-once step is requested, a StepStarted with ``seq`` 0 and ``{"hint": true}`` is published, which
the journal does not have: live progress shows the step, and the happy path costs one record per step.

Time-outs and cancels: ``ctl.cancel`` is published, then the agent has `grace_s` to answer. An answer ends the
step as what it is (a late success is a success, and `on_failure` may undo it); without one the request is
cancelled and the step is *unknown*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.engine.asking import GRACE_S, Asker, lost
from workflow_agent.engine.commands import CancelStep, Command, RequestStep, StartStep
from workflow_agent.engine.inputs import as_json, checked_inputs
from workflow_agent.engine.live import Draft, LiveRun, draft_of
from workflow_agent.engine.machine import decide, replay
from workflow_agent.model.errors import ConflictError, NotFoundError, ValidationError
from workflow_agent.model.event import Event, EventType, Record, RecordKind
from workflow_agent.model.identity import new_run_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.model.event import RunState
    from workflow_agent.model.ports import Bus, Clock, Journal
    from workflow_agent.model.workflow import Workflow

__all__ = ["Driver"]


class Driver:
    """Runs workflows to their end. One driver may run several at a time, each from one task.

    Args:
        bus: Carries requests to agents and hints to whoever watches.
        journal: The truth.
        clock: Times of records.
        grace_s: How long a cancelled step may take to confirm that it stopped, in seconds.
    """

    def __init__(self, bus: Bus, journal: Journal, clock: Clock, *, grace_s: float = GRACE_S) -> None:
        self._journal = journal
        self._clock = clock
        self._asker = Asker(bus, clock, grace_s=grace_s)
        self._runs: dict[str, LiveRun] = {}

    async def start(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Any],
        meta: Mapping[str, Any] | None = None,
        run_id: str | None = None,
    ) -> RunState:
        """Create a run and drive it to its end.

        Cancelling the calling task abandons the run where it stands; :meth:`resume` takes it up.

        Args:
            workflow: The definition.
            inputs: Checked against the definition; defaults are filled in.
            meta: JSON values that are kept with the run (who, where, what for).
            run_id: The id; a fresh one when None.

        Raises:
            ValidationError: the inputs do not fit.
            JournalConflictError: there is a run of this id already.
            StoreError: the journal cannot be written.
        """
        values = checked_inputs(workflow, inputs)
        try:
            kept = as_json(dict(meta or {}))
        except ValueError as error:
            raise ValidationError("the meta data are not JSON values", cause=str(error)) from error
        run = LiveRun(workflow, run_id or new_run_id())
        created = {"workflow": workflow.name, "workflow_hash": workflow.hash, "inputs": values, "meta": kept}
        definition = Record(RecordKind.DEFINITION, {"hash": workflow.hash, "definition": workflow.to_dict()})
        return await self._own(run, Draft(type=EventType.RUN_CREATED, data=created, records=(definition,)))

    async def resume(self, workflow: Workflow, run_id: str) -> RunState:
        """Take a run up where its journal ends and drive it to its end; a finished one is only read.

        A step that was in flight is requested again when its effect may repeat (at_least_once); else it becomes
        unknown, and `on_failure` decides.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it was created with another definition, or is being driven here already.
        """
        events = await self._journal.events(run_id)
        if not events:
            raise NotFoundError(f"there is no run `{run_id}`", run_id=run_id)
        if events[0].data.get("workflow_hash") != workflow.hash:
            message = f"the run was created with another definition of `{workflow.name}`"
            raise ConflictError(message, run_id=run_id)
        state, commands = replay(workflow, events)
        # The wall clock may have been set back since another process wrote that.
        spent = 0.0 if state.started_at is None else max(self._clock.now() - state.started_at, 0.0)
        run = LiveRun(workflow, run_id, state, spent_s=spent)
        return await self._own(run, *[lost(run, command) or command for command in commands])

    async def cancel(self, run_id: str, reason: str = "cancelled by request") -> bool:
        """Ask a run to stop, and return when that is on disk; `on_failure` follows, then `always`.

        Returns:
            False when the run is past the point where a cancel has an effect; it ends by itself.

        Raises:
            NotFoundError: no such run is being driven here.
        """
        run = self._runs.get(run_id)
        if run is None:
            raise NotFoundError(f"the run `{run_id}` is not running here", run_id=run_id)
        return await run.cancel(reason)

    async def _own(self, run: LiveRun, *first: Draft | Command) -> RunState:
        if run.run_id in self._runs:
            raise ConflictError("the run is being driven here already", run_id=run.run_id)
        self._runs[run.run_id] = run
        try:
            return await self._drive(run, first)
        finally:
            del self._runs[run.run_id]
            await run.close()

    async def _drive(self, run: LiveRun, todo: tuple[Draft | Command, ...]) -> RunState:
        while todo:
            (first,) = todo
            draft = first if isinstance(first, Draft) else await self._perform(run, first)
            todo = await self._record(run, draft)
        assert run.state is not None
        return run.state

    async def _perform(self, run: LiveRun, command: Command) -> Draft:
        """Carry out a command; gives the record of what became of it."""
        if (draft := draft_of(command, self._clock.now()) or self._asker.stop(run)) is not None:
            return draft
        match command:
            case StartStep():
                return await self._asker.start(run, command)
            case RequestStep():
                return await self._asker.request(run, command)
            case CancelStep():
                return await self._asker.cancel(run, command)
        raise AssertionError(command)  # pragma: no cover  # every other command has a draft

    async def _record(self, run: LiveRun, first: Draft) -> tuple[Command, ...]:
        """Append a record, and in the same transaction all that follows from it without reaching the world."""
        state, batch = run.state, list[Event]()
        draft: Draft | None = first
        commands: tuple[Command, ...] = ()
        while draft is not None:
            event = draft.event(run.run_id, run.head + len(batch) + 1, self._clock.now())
            state, commands = decide(run.workflow, state, event)
            batch.append(event)
            draft = draft_of(commands[0], event.at) if commands else None
        await self._journal.append(run.run_id, run.head, batch)
        run.state = state
        run.answer()
        for event in batch:
            await self._asker.tell(event)
        return commands
