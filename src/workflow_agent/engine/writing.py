"""When a run's records reach the journal, and what may begin before: its durability.

``strict``: each record before anything that follows from it. ``pipelined``: a step that says that it is pure may begin
while what led to it is being written; everything else waits. ``exit``: records are kept in memory until the run ends,
waits for a time, a signal or a person, or is about to do what must not be done twice.

In every mode a run's beginning is on disk before its first step, nobody is told of a record that is not on disk, and
whoever says something to a run (cancel, signal, pause) hears back when that is on disk. So a crash takes away, in
``pipelined``, results of pure steps and of what they came from, and in ``exit`` what happened since the last wait:
these steps are asked for again, under the same idempotency keys.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from workflow_agent.engine.commands import CancelStep, RequestStep
from workflow_agent.engine.plan import CHILD
from workflow_agent.engine.units import parse_unit
from workflow_agent.model.workflow import Durability, EffectPolicy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from workflow_agent.engine.commands import Command
    from workflow_agent.engine.live import LiveRun
    from workflow_agent.model.event import Event
    from workflow_agent.model.ports import Journal

__all__ = ["UNWRITTEN", "Writing"]

#: Records of one run that are kept in memory at most.
UNWRITTEN: Final = 1000


class Writing:
    """Brings records to the journal.

    Args:
        journal: The truth.
        stored: Learns of records that are on disk, before anybody else.
        is_watched: Says whether anybody watches a run.
        tell: Tells whoever watches of a record that is on disk.
    """

    def __init__(
        self,
        journal: Journal,
        stored: Callable[[LiveRun, Sequence[Event]], None],
        is_watched: Callable[[LiveRun], bool],
        tell: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._journal = journal
        self._stored = stored
        self._is_watched = is_watched
        self._tell = tell

    async def record(self, run: LiveRun, events: Sequence[Event], commands: list[Command]) -> list[Command]:
        """Take records that were decided; gives the commands that may be carried out now, the others come later.

        Raises:
            StoreError: and what else the journal raises; what became of the records is decided by a refold.
        """
        run.unwritten += events
        # That a run began is never lost.
        if run.is_strict or run.head == 0:
            await self._write(run)
            return commands
        if run.is_awaited or len(run.unwritten) >= UNWRITTEN:
            await self.settle(run)
            return commands
        if run.durability is Durability.EXIT:
            if any(_must_be_known(run, command) for command in commands):
                await self._write(run)
            return commands
        return self._pipelined(run, commands)

    def _pipelined(self, run: LiveRun, commands: list[Command]) -> list[Command]:
        free = [command for command in commands if _is_free(run, command)]
        head = run.drafted
        run.held += ((head, command) for command in commands if not _is_free(run, command))
        if run.writing is None:
            run.writing = asyncio.create_task(self._go_on_writing(run))
            run.tasks.add(run.writing)
            run.writing.add_done_callback(run.tasks.discard)
        return free

    async def _go_on_writing(self, run: LiveRun) -> None:
        try:
            with suppress(Exception):  # the task that drives the run raises it
                await self._write(run)
        finally:
            run.writing = None
            run.wake()

    async def settle(self, run: LiveRun) -> None:
        """Bring everything to the journal; raises as :meth:`record` does."""
        while run.writing is not None:
            await asyncio.wait({run.writing})
        run.check()
        await self._write(run)

    async def before_waiting(self, run: LiveRun) -> None:
        """Bring everything to the journal where only time, a signal or a person goes on; raises as above."""
        if run.durability is Durability.EXIT and not run.flights:
            await self._write(run)

    async def _write(self, run: LiveRun) -> None:
        while run.unwritten:
            events, run.unwritten = run.unwritten, []
            # A strict run decides nothing meanwhile: how it stands is how it stood.
            state = None if run.is_strict else run.draft
            try:
                await self._journal.append(run.run_id, run.head, events)
            except BaseException as error:
                run.broken = error
                raise
            run.written(events[-1].seq, state)
            run.answer()
            self._stored(run, events)
            if self._is_watched(run):
                for event in events:
                    await self._tell(event)
            run.wake()


def _must_be_known(run: LiveRun, command: Command) -> bool:
    """Say whether what led to a command must be on disk before it, also where records are kept back."""
    if not isinstance(command, RequestStep):
        return isinstance(command, CancelStep)
    step = run.plan.steps[parse_unit(command.step)[0]]
    return step.effect is not EffectPolicy.AT_LEAST_ONCE or step.uses == CHILD or step.lock is not None


def _is_free(run: LiveRun, command: Command) -> bool:
    """Say whether a command may be carried out before what led to it is on disk."""
    if not isinstance(command, RequestStep):
        return not isinstance(command, CancelStep)
    step = run.plan.steps[parse_unit(command.step)[0]]
    return step.pure and step.lock is None
