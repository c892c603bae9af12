"""The driver: feeds the machine, writes what it decides, asks agents, records what they answer.

Order of every round: append -> durable -> resolve waiters -> publish ``run.<id>.event`` -> act. Nothing is shown
or started before its record is on disk. What arrives while a round is being written is the next round, so many
answers share one transaction. An error of the journal leaves :meth:`Driver.start` at once with nothing
started after it: what became of the record is decided by a refold (:meth:`Driver.resume`).

Before an at-least-once step is requested, a StepStarted with ``seq`` 0 and ``{"hint": true}`` is published, which
the journal does not have: live progress shows the step, and the happy path costs one record per step.

Time-outs and cancels: ``ctl.cancel`` is published, then the agent has `grace_s` to answer. An answer ends the
step as what it is (a late success is a success, and it may be undone); without one the request is
cancelled and the step is *unknown*.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from workflow_agent.engine.asking import GRACE_S, Asker
from workflow_agent.engine.children import Children, WorkflowSource
from workflow_agent.engine.commands import CancelStep, Command, RequestStep, StartStep, TakePlace, WaitUntil
from workflow_agent.engine.definitions import definition_of
from workflow_agent.engine.entrance import Entrance
from workflow_agent.engine.inputs import as_json, checked_inputs
from workflow_agent.engine.live import Draft, LiveRun, draft_of
from workflow_agent.engine.machine import SIGNALS, outstanding
from workflow_agent.engine.merging import merged
from workflow_agent.engine.outcomes import lost
from workflow_agent.engine.places import LocalPlaces, Waiting
from workflow_agent.engine.snapshots import EVERY, Past, pasts_of, state_of
from workflow_agent.engine.snapshotting import Snapshotting
from workflow_agent.engine.timing import Timing
from workflow_agent.engine.writing import Writing
from workflow_agent.model.errors import ConflictError, NotFoundError, ValidationError
from workflow_agent.model.event import Event, EventType, Record, RecordKind
from workflow_agent.model.identity import new_run_id, ulid
from workflow_agent.model.status import TERMINAL_RUN
from workflow_agent.model.workflow import Durability

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from workflow_agent.engine.live import Arrival
    from workflow_agent.model.event import RunState
    from workflow_agent.model.places import Standing
    from workflow_agent.model.ports import Bus, Clock, Journal, Places
    from workflow_agent.model.workflow import Workflow

__all__ = ["MACHINE", "Driver", "run_id_of_key"]

#: What RunCreated says of the rules by which the run goes; without it, step by step.
MACHINE = 2


#: Runs whose journals are read at once.
_TOGETHER = 500


def run_id_of_key(workflow: str, key: str) -> str:
    """Give the id of the run that was, or will be, started with an idempotency key."""
    digest = hashlib.sha256(f"{workflow}\0{key}".encode()).digest()
    return "r-" + ulid(int.from_bytes(digest[10:16], "big"), digest)


class Driver:
    """Runs workflows to their end. One driver may run several at a time, each from one task.

    Args:
        bus: Carries requests to agents and hints to whoever watches.
        journal: The truth.
        clock: Times of records.
        grace_s: How long a cancelled step may take to confirm that it stopped, in seconds.
        workflows: Where ``workflow.run`` finds other workflows; None: nowhere.
        chance: Gives numbers from 0 to 1, for the jitter of retries.
        places: Who has which lock and which place; None: of this process alone.
        snapshot_every: Records of a run between two snapshots of where it stands, at least.
    """

    def __init__(
        self,
        bus: Bus,
        journal: Journal,
        clock: Clock,
        *,
        grace_s: float = GRACE_S,
        workflows: WorkflowSource | None = None,
        chance: Callable[[], float] = random.random,
        places: Places | None = None,
        snapshot_every: int = EVERY,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._chance = chance
        self._waiting = Waiting(places or LocalPlaces(), self.cancel)
        self._entrance = Entrance(self._waiting, clock)
        self._asker = Asker(bus, clock, Children(self, workflows), self._waiting, grace_s=grace_s)
        self._timing = Timing(clock)
        self._snapshotting = Snapshotting(journal, snapshot_every)
        self._writing = Writing(journal, self._stored, self._asker.is_watched, self._asker.tell)
        #: In what a run is driven that ``workflow.run`` asks for: of its id, its workflow and the run that asks.
        self.around_child: Callable[[str, Workflow, str], AbstractContextManager[None]] = lambda *_: nullcontext()
        self._runs: dict[str, LiveRun] = {}
        self._ends: dict[str, asyncio.Future[RunState]] = {}

    # -- runs ------------------------------------------------------------------------------------------------------

    async def start(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Any],
        meta: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        *,
        key: str | None = None,
        beginning: Mapping[str, Any] | None = None,
        durability: Durability | None = None,
    ) -> RunState:
        """Create a run and drive it to its end.

        Cancelling the calling task abandons the run where it stands; :meth:`resume` takes it up.

        Args:
            workflow: The definition.
            inputs: Checked against the definition; defaults are filled in.
            meta: JSON values that are kept with the run (who, where, what for).
            run_id: The id; a fresh one when None.
            key: Idempotency key: with the key of an earlier run of this workflow, that run is waited for, taken up,
                or read from the journal, and no other is created.
            beginning: What RunCreated says besides: ``break_before`` (steps), ``kept`` and ``origin`` of a run that is
                made from another one.
            durability: When its records reach the disk (``writing`` says what that means); as the workflow says
                when None.

        Raises:
            ValidationError: the inputs do not fit.
            ConflictError: the key belongs to a run with another definition or other inputs.
            JournalConflictError: there is a run of this id already.
            StoreError: the journal cannot be written.
        """
        values = checked_inputs(workflow, inputs)
        try:
            kept = as_json(dict(meta or {}))
        except ValueError as error:
            raise ValidationError("the meta data are not JSON values", cause=str(error)) from error
        if key is not None:
            run_id = run_id_of_key(workflow.name, key)
            kept["key"] = key
            if (known := await self._again(workflow, run_id, values)) is not None:
                return known
        mode = workflow.durability if durability is None else durability
        said = dict(beginning or {}) | ({} if mode is Durability.STRICT else {"durability": mode.value})
        return await self._create(workflow, values, kept, run_id or new_run_id(), said)

    def _create(
        self,
        workflow: Workflow,
        inputs: Any,
        meta: Any,
        run_id: str,
        beginning: Mapping[str, Any],
    ) -> Coroutine[Any, Any, RunState]:
        """Give the work that drives a new run to its end."""
        definition = definition_of(workflow)
        run = LiveRun(definition.workflow, run_id, durability=_durability(beginning))
        self._entrance.knock(run, inputs)
        created = {
            "workflow": workflow.name,
            "workflow_hash": definition.hash,
            "inputs": inputs,
            "meta": meta,
            "machine": MACHINE,
            **beginning,
        }
        self._snapshotting.begin(run, created, None)
        return self._own(run, [Draft(type=EventType.RUN_CREATED, data=created, records=(definition.record,))])

    async def _again(self, workflow: Workflow, run_id: str, inputs: Mapping[str, Any]) -> RunState | None:
        """Give the end of the run that was started with a key before, if there is one."""
        end = self._ends.get(run_id)
        past = None if end is not None else (await pasts_of(self._journal, [run_id])).get(run_id)
        end = end or self._ends.get(run_id)
        if end is None and past is None:
            return None
        first = None if past is None else past.created.get("inputs")
        live = self._runs.get(run_id)
        if live is not None:
            first = live.inputs
        if first is not None and first != inputs:
            raise ConflictError("the idempotency key belongs to a run with other inputs", run_id=run_id)
        return await asyncio.shield(end) if end is not None else await self.resume(workflow, run_id)

    async def run_child(self, workflow: Workflow, inputs: Mapping[str, Any], parent: Mapping[str, Any]) -> RunState:
        """Start, or take up, the run that a step of another run asks for; `parent` names them all.

        Raises: as :meth:`start` and :meth:`resume`, and what `around_child` raises.
        """
        run_id = str(parent["child"])
        with self.around_child(run_id, workflow, str(parent["run_id"])):
            if run_id in await pasts_of(self._journal, [run_id]):
                return await self.resume(workflow, run_id)
            link = {"run_id": parent["run_id"], "step": parent["step"]}
            return await self.start(workflow, inputs, {"parent": link}, run_id)

    async def resume(self, workflow: Workflow, run_id: str) -> RunState:
        """Take a run up where its journal ends and drive it to its end; a finished one is only read.

        A step that was in flight is requested again when its effect may repeat (at_least_once); else it becomes
        unknown, and `on_failure` decides. Timers and retries keep the time at which they are due.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it was created with another definition, or is being driven here already.
        """
        past = (await pasts_of(self._journal, [run_id])).get(run_id)
        return await self._take_up(workflow, run_id, past)

    async def resume_all(
        self, runs: Mapping[str, Workflow], known: Mapping[str, Past] | None = None
    ) -> dict[str, asyncio.Task[RunState]]:
        """Take many runs up at once, as :meth:`resume` does each: their journals are read together.

        Args:
            runs: Workflows by run id.
            known: What their journals say, where that was read already.

        Returns:
            The tasks that drive them, by run id, when all of their journals are read; each raises what
            :meth:`resume` raises.

        Raises:
            StoreError: the journal cannot be read.
        """
        driving: dict[str, asyncio.Task[RunState]] = {}
        ids = list(runs)
        for first in range(0, len(ids), _TOGETHER):
            some = ids[first : first + _TOGETHER]
            pasts = await pasts_of(self._journal, some) if known is None else known
            for run_id in some:
                work = self._take_up(runs[run_id], run_id, pasts.get(run_id))
                driving[run_id] = asyncio.create_task(work)
        return driving

    async def _take_up(self, workflow: Workflow, run_id: str, past: Past | None) -> RunState:
        if past is None:
            raise NotFoundError(f"there is no run `{run_id}`", run_id=run_id)
        definition = definition_of(workflow)
        created = past.created
        if created.get("workflow_hash") != definition.hash:
            message = f"the run was created with another definition of `{workflow.name}`"
            raise ConflictError(message, run_id=run_id)
        workflow = definition.workflow
        state = await state_of(self._journal, workflow, past)
        commands = outstanding(workflow, state)
        # The wall clock may have been set back since another process wrote that.
        spent = 0.0 if state.started_at is None else max(self._clock.now() - state.started_at, 0.0)
        run = LiveRun(workflow, run_id, state, spent_s=spent, durability=_durability(created))
        run.was_resumed = True
        self._snapshotting.begin(run, created, None if past.snapshot is None else past.snapshot.seq)
        return await self._own(run, [lost(run, command) or command for command in commands])

    def waits_of(self, run_id: str) -> list[Standing]:
        """List the places for which a run waits, and who has them; whatever process drives it."""
        return self._waiting.waiting(run_id)

    def drives(self, run_id: str) -> bool:
        """Say whether a run is being driven here."""
        return run_id in self._runs

    # -- what others ask for ---------------------------------------------------------------------------------------

    async def cancel(self, run_id: str, reason: str = "cancelled by request") -> bool:
        """Ask a run to stop, and return when that is on disk; `on_failure` follows, then `always`.

        Returns:
            False when the run is past the point where a cancel has an effect; it ends by itself.

        Raises:
            NotFoundError: no such run is being driven here.
        """
        return await self._live(run_id).cancel(reason)

    async def signal(self, run_id: str, name: str, data: Any = None) -> None:
        """Tell a run that something happened, and return when that is on disk.

        The step that waits for the name gets it, also one that begins to wait later. A run that nobody drives here is
        told by its journal alone: the caller must own it.

        Args:
            run_id: The run.
            name: The signal; a ``wait.signal`` or ``wait.person`` step names it, or it is that step's id.
            data: A JSON value; for a person's step ``{"approved": true}``, or false with a ``reason``.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it has ended, or too many signals wait for it already.
            ValidationError: `data` is no JSON value.
        """
        try:
            given = {"name": name, "data": as_json(data)}
        except ValueError as error:
            raise ValidationError("the signal's data are no JSON value", cause=str(error)) from error
        await self._tell_run(run_id, Draft(type=EventType.SIGNAL_RECEIVED, data=given))

    async def pause(self, run_id: str, reason: str = "paused by request") -> None:
        """Let nothing new start in a run; what is in flight goes on. Returns when that is on disk.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it is paused already, ending, or has ended.
        """
        await self._tell_run(run_id, Draft(type=EventType.RUN_PAUSED, data={"reason": reason}))

    async def unpause(self, run_id: str, *, one_step: bool = False) -> None:
        """Let a paused run go on, and return when that is on disk; with `one_step` it pauses before the next but one.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it is not paused.
        """
        await self._tell_run(run_id, Draft(type=EventType.RUN_RESUMED, data={"step": True} if one_step else {}))

    async def change(self, run_id: str, data: Mapping[str, Any]) -> None:
        """Change breakpoints (``break_before``), inputs of steps (``with``) or the ``state`` of a run.

        Raises:
            NotFoundError: no such run is being driven here.
            ConflictError: it has ended; or values would change, and it is not paused, or the step has begun.
        """
        records = (Record(RecordKind.CHANGED, data),)
        await self._live(run_id).told(Draft(type=EventType.RUN_CHANGED, data=data, records=records))

    async def _tell_run(self, run_id: str, draft: Draft) -> None:
        run = self._runs.get(run_id)
        if run is not None:
            await run.told(draft)
            return
        events = await self._journal.events(run_id)
        if not events:
            raise NotFoundError(f"there is no run `{run_id}`", run_id=run_id)
        head = events[-1].seq
        if events[-1].type is EventType.RUN_FINISHED:
            raise ConflictError("the run has ended", run_id=run_id)
        if sum(event.type is EventType.SIGNAL_RECEIVED for event in events) >= SIGNALS:
            raise ConflictError("too many signals wait for the run", run_id=run_id)
        await self._journal.append(run_id, head, [draft.event(run_id, head + 1, self._clock.now())])

    def _live(self, run_id: str) -> LiveRun:
        run = self._runs.get(run_id)
        if run is None:
            raise NotFoundError(f"the run `{run_id}` is not running here", run_id=run_id)
        return run

    # -- driving ---------------------------------------------------------------------------------------------------

    async def _own(self, run: LiveRun, first: Iterable[Draft | Command]) -> RunState:
        if run.run_id in self._runs:
            raise ConflictError("the run is being driven here already", run_id=run.run_id)
        self._runs[run.run_id] = run
        end: asyncio.Future[RunState] = asyncio.get_running_loop().create_future()
        self._ends[run.run_id] = end
        try:
            await self._entrance.enter_again(run)
            state = await self._drive(run, list(first))
            end.set_result(state)
            return state
        finally:
            del self._runs[run.run_id], self._ends[run.run_id]
            end.cancel()
            await run.close()
            self._entrance.leave(run)

    async def _drive(self, run: LiveRun, todo: list[Draft | Command]) -> RunState:
        drafts = [item for item in todo if isinstance(item, Draft)]
        commands = [item for item in todo if not isinstance(item, Draft)]
        while True:
            run.check()
            if not drafts:
                drafts, commands = self._perform(run, commands + run.released() if run.held else commands), []
            if not drafts:
                if run.status in TERMINAL_RUN:
                    await self._writing.settle(run)
                    assert run.state is not None
                    return run.state
                if not run.is_strict:
                    await self._writing.before_waiting(run)
                drafts = self._arrived(run, await run.arrivals())
            if drafts:
                batch, follows = self._decided(run, drafts)
                commands += await self._writing.record(run, batch, follows)
                drafts = []

    def _perform(self, run: LiveRun, commands: list[Command]) -> list[Draft]:
        """Carry commands out; gives the records of what became of those that need none of the world's time.

        Where a cancel was asked for or time is over, that comes first, and nobody is asked any more.
        """
        stop = self._asker.stop(run)
        if stop is not None:
            return [stop]
        return [draft for command in commands if (draft := self._carry_out(run, command)) is not None]

    def _carry_out(self, run: LiveRun, command: Command) -> Draft | None:
        match command:
            case RequestStep():
                self._asker.request(run, command)
            case CancelStep():
                return self._asker.cancel(run, command)
            case StartStep(not_before=float()) | StartStep(not_before=int()):
                self._timing.retry(run, command)
            case WaitUntil():
                self._timing.wait(run, command)
            case TakePlace():
                self._entrance.wait(run, command)
            case _ if run.draft is not None and command == run.draft.work.due:
                return draft_of(command, self._clock.now(), self._chance())
        return None

    def _arrived(self, run: LiveRun, arrivals: list[Arrival]) -> list[Draft]:
        """Draft what happened."""
        if (stop := self._asker.stop(run)) is not None:
            run.put_back(arrivals)
            return [stop]
        return merged([draft for arrival in arrivals if (draft := arrival()) is not None])

    def _stored(self, run: LiveRun, events: Sequence[Event]) -> None:
        self._entrance.leave_ended(run, events)
        self._snapshotting.look(run)

    def _decided(self, run: LiveRun, drafts: list[Draft]) -> tuple[list[Event], list[Command]]:
        """Make records, and those of all that follows from them without reaching the world; say what does reach it."""
        batch: list[Event] = []
        head = run.drafted
        todo: list[Command] = []
        for first in drafts:
            draft: Draft | None = first
            while draft is not None:
                event = draft.event(run.run_id, head + len(batch) + 1, self._clock.now())
                commands = run.decide(event)
                batch.append(event)
                draft = draft_of(commands[-1], event.at, self._chance()) if commands else None
                todo += commands[:-1] if draft is not None else commands
        return batch, todo


def _durability(created: Mapping[str, Any]) -> Durability:
    return Durability(created.get("durability", Durability.STRICT))
