"""What somebody says to a run of a person's own workflow: stop, pause, go on, a signal, other values.

A run has one owner. One of this process is told by its driver, one of another process by that process's socket
(``run_socket``), and one that nobody drives by its journal, which whoever says it owns for that moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.app.flow_records import StoredFlowRecords
from workflow_agent.app.run_socket import RunSocket, tell
from workflow_agent.authoring.sdk.values import as_json
from workflow_agent.engine import pasts_of
from workflow_agent.engine.machine import refusal
from workflow_agent.engine.proceeding import is_cancellable
from workflow_agent.model.errors import ConflictError, UsageError
from workflow_agent.model.event import Event, EventType, Record, RecordKind
from workflow_agent.model.status import TERMINAL_RUN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from workflow_agent.app.ownership import Owner, RunOwnership
    from workflow_agent.engine import Driver
    from workflow_agent.model.ports import Clock
    from workflow_agent.store import SqliteStore

__all__ = ["FlowWords"]


class FlowWords(StoredFlowRecords):
    """Says things to runs.

    Args:
        store: Journal and history.
        ownership: Which process drives which run.
        driver: Drives the runs of this process.
        clock: Times of records.
    """

    def __init__(self, store: SqliteStore, ownership: RunOwnership, driver: Driver, clock: Clock) -> None:
        super().__init__(store, ownership)
        self._driver = driver
        self._clock = clock
        self._socket = RunSocket(store.folder / "control", self._obey)
        self._words: dict[str, Callable[[str, Mapping[str, Any]], Awaitable[Any]]] = {
            "cancel": lambda run_id, said: driver.cancel(run_id, str(said["reason"])),
            "pause": lambda run_id, said: driver.pause(run_id, str(said["reason"])),
            "unpause": lambda run_id, said: driver.unpause(run_id, one_step=bool(said.get("step"))),
            "change": driver.change,
            "signal": lambda run_id, said: driver.signal(run_id, str(said["name"]), said.get("data")),
        }

    async def cancel(self, run_id: str, reason: str) -> bool:
        """Ask a run to stop; False when it is past that.

        Raises:
            ConflictError: no process drives it.
        """
        if self._driver.drives(run_id):
            return await self._driver.cancel(run_id, reason)
        if (await self.state(run_id)).status in TERMINAL_RUN:
            return False
        owner = await self.owner(run_id)
        if owner is None:
            raise ConflictError("no process drives the run", run_id=run_id, hint=f"`workflow-agent resume {run_id}`")
        if not owner.socket:
            owner.interrupt()
            return True
        return bool(await self._tell(owner, run_id, "cancel", {"reason": reason}))

    async def signal(self, run_id: str, name: str, data: Any = None) -> None:
        """Tell a run that something happened; see ``Driver.signal``."""
        said = {"name": name, "data": as_json(data, what="the signal's data")}
        await self._say(run_id, "signal", EventType.SIGNAL_RECEIVED, said)

    async def pause(self, run_id: str, reason: str) -> None:
        """Let nothing new start in a run; see ``Driver.pause``."""
        await self._say(run_id, "pause", EventType.RUN_PAUSED, {"reason": reason})

    async def unpause(self, run_id: str, *, one_step: bool = False) -> None:
        """Let a paused run go on; see ``Driver.unpause``. One that nobody drives goes on once it is resumed."""
        await self._say(run_id, "unpause", EventType.RUN_RESUMED, {"step": True} if one_step else {})

    async def owner(self, run_id: str) -> Owner | None:
        """Tell which process drives a run: its own, or that of the run whose step it is."""
        while True:
            owner = self._ownership.owner(run_id)
            if owner is not None:
                return owner
            past = (await pasts_of(self.journal, [run_id])).get(run_id)
            parent = None if past is None else past.created["meta"].get("parent")
            if parent is None:
                return None
            run_id = str(parent["run_id"])

    async def change(self, run_id: str, data: Mapping[str, Any]) -> None:
        """Change breakpoints, inputs of steps or the state of a run; see ``Driver.change``."""
        await self._say(run_id, "change", EventType.RUN_CHANGED, as_json(dict(data), what="the change"))

    async def _say(self, run_id: str, word: str, kind: EventType, said: Mapping[str, Any]) -> Any:
        if self._driver.drives(run_id):
            return await self._words[word](run_id, said)
        owner = await self.owner(run_id)
        if owner is not None:
            return await self._tell(owner, run_id, word, said)
        with self._ownership.held(run_id):
            return await self._note(run_id, kind, said)

    async def _tell(self, owner: Owner, run_id: str, word: str, said: Mapping[str, Any]) -> Any:
        if not owner.socket:
            hint = "say it in the process that drives it"
            raise ConflictError(f"process {owner.pid} drives the run and does not listen", run_id=run_id, hint=hint)
        return await tell(self._store.folder / "control", owner.socket, {"run": run_id, "say": word, "with": said})

    async def _obey(self, message: Mapping[str, Any]) -> Any:
        word, said = self._words.get(str(message.get("say"))), message.get("with")
        if word is None or not isinstance(said, dict):
            raise UsageError(f"`{str(message.get('say'))[:40]}` is nothing that a run understands")
        run_id = str(message.get("run"))
        if not self._driver.drives(run_id):
            raise ConflictError("the run has ended, or is about to begin", run_id=run_id)
        return await word(run_id, said)

    async def _note(self, run_id: str, kind: EventType, data: Mapping[str, Any]) -> None:
        """Write what is said into the journal of a run that nobody drives; the caller owns it."""
        state = await self.state(run_id)
        problem = refusal(state, kind, data)
        if problem is not None:
            raise ConflictError(problem, run_id=run_id)
        await self._append(run_id, state.head, kind, data)

    async def _append(self, run_id: str, head: int, kind: EventType, data: Mapping[str, Any]) -> None:
        records = (Record(RecordKind.CHANGED, data),) if kind is EventType.RUN_CHANGED else ()
        event = Event(run_id=run_id, seq=head + 1, type=kind, at=self._clock.now(), data=data, records=records)
        await self.journal.append(run_id, head, [event])

    async def _note_cancel(self, run_id: str, reason: str) -> None:
        """Write that a run is cancelled, where that has an effect; raises ConflictError when it has ended."""
        state = await self.state(run_id)
        if state.status in TERMINAL_RUN:
            raise ConflictError("the run has ended", run_id=run_id)
        if is_cancellable(state):
            with self._ownership.held(run_id):
                await self._append(run_id, state.head, EventType.CANCEL_REQUESTED, {"reason": reason})

    async def _let_go_on(self, run_id: str, *, one_step: bool) -> None:
        """Write that a paused run that nobody drives goes on."""
        if (await self.state(run_id)).paused is not None:
            with self._ownership.held(run_id):
                await self._note(run_id, EventType.RUN_RESUMED, {"step": True} if one_step else {})
