"""Places of whole runs and of scopes: who may begin, and who has to wait."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from workflow_agent.engine.live import Draft
from workflow_agent.engine.places import run_place, unit_places
from workflow_agent.engine.proceeding import first_phase
from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.model.event import EventType
from workflow_agent.model.status import StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from workflow_agent.engine.commands import TakePlace
    from workflow_agent.engine.live import LiveRun
    from workflow_agent.engine.places import Waiting
    from workflow_agent.model.event import Event
    from workflow_agent.model.places import Wanted
    from workflow_agent.model.ports import Clock

__all__ = ["Entrance"]

_ENDS = frozenset({EventType.STEP_SUCCEEDED, EventType.STEP_FAILED, EventType.STEP_SKIPPED})


class Entrance:
    """Lets runs and scopes begin when their place is free.

    Args:
        waiting: Waits for places.
        clock: Times of records.
    """

    def __init__(self, waiting: Waiting, clock: Clock) -> None:
        self._waiting = waiting
        self._clock = clock

    def knock(self, run: LiveRun, inputs: Mapping[str, Any]) -> None:
        """Before a run is created: refuse it where its definition says so and there is no place.

        Raises:
            ConflictError: there is none; it names the holders.
            ValidationError: the key is no text.
        """
        wanted = run_place(run.workflow, inputs, run.run_id)
        said = run.workflow.concurrency
        if wanted is not None and said is not None and said["on_conflict"] == "refuse":
            self._waiting.try_take(wanted)
            run.places[""] = wanted

    async def enter_again(self, run: LiveRun) -> None:
        """Before a run is taken up again: wait for the places that it had, unless it is told to stop meanwhile."""
        if run.state is None or run.state.started_at is None:
            return
        for step, wanted in self._had(run):
            if not await self._taken(run, wanted):
                return
            run.places[step] = wanted

    @staticmethod
    def _had(run: LiveRun) -> Iterator[tuple[str, Wanted]]:
        """Give the places that a run had when its process ended."""
        wanted = run_place(run.workflow, run.inputs, run.run_id)
        if wanted is not None:
            yield "", wanted
        assert run.state is not None
        for scope in run.state.work.open:
            name = run.plan.order[scope]
            yield from ((name, each) for each in unit_places(run, name))

    async def _taken(self, run: LiveRun, wanted: Wanted) -> bool:
        """Wait for a place; False when the run stops before it has it."""
        taking = asyncio.ensure_future(self._waiting.take(wanted))
        stopping = asyncio.ensure_future(run.until_stopped())
        try:
            await asyncio.wait({taking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not taking.done():
                taking.cancel()
            await asyncio.wait({taking, stopping})
        if taking.cancelled():
            return False
        taking.result()
        return True

    def wait(self, run: LiveRun, command: TakePlace) -> None:
        """Wait for a place; what becomes of that arrives at the run."""
        task = asyncio.create_task(self._take(run, command.step))
        run.tasks.add(task)
        task.add_done_callback(run.tasks.discard)

    async def _take(self, run: LiveRun, step: str) -> None:
        try:
            wanted = self._wanted(run, step)
            await self._waiting.take(wanted)
        except WorkflowAgentError as error:
            run.arrive(partial(_refused, run, step, error))
            return
        run.places[step] = wanted
        run.arrive(partial(self._begun, run, step))

    @staticmethod
    def _wanted(run: LiveRun, step: str) -> Wanted:
        if step:
            return unit_places(run, step)[0]
        wanted = run_place(run.workflow, run.inputs, run.run_id)
        assert wanted is not None
        return wanted

    def _begun(self, run: LiveRun, step: str) -> Draft | None:
        """Draft that the run, or a scope, begins; None where it is not to begin any more."""
        assert run.draft is not None
        if not step:
            assert run.draft.started_at is None
            run.count_time()
            return Draft(type=EventType.RUN_STARTED, data={"phase": first_phase(run.plan, run.draft).value})
        if run.cell(step).status is not StepStatus.WAITING:
            self._leave(run, step)
            return None
        limit = run.plan.steps[step].timeout_s
        due = {} if limit is None else {"due_at": self._clock.now() + limit}
        data: dict[str, Any] = {"with": {}, "phase": run.plan.steps[step].phase.value, "status": "running", **due}
        return Draft(type=EventType.STEP_STARTED, step=step, data=data)

    # -- leaving -----------------------------------------------------------------------------------------------------

    def leave_ended(self, run: LiveRun, events: Iterable[Event]) -> None:
        """Give back the places of scopes that have ended."""
        for event in events if run.places else ():
            if event.step in run.places and event.type in _ENDS:
                self._leave(run, str(event.step))

    def leave(self, run: LiveRun) -> None:
        """Give back all places of a run."""
        for step in [*run.places]:
            self._leave(run, step)

    def _leave(self, run: LiveRun, step: str) -> None:
        wanted = run.places.pop(step, None)
        if wanted is not None:
            self._waiting.leave(wanted)


def _refused(run: LiveRun, step: str, error: WorkflowAgentError) -> Draft | None:
    if not step:
        data = {"status": "cancelled", "error": error.to_dict(), "changed": False, "reason": error.message}
        return Draft(type=EventType.RUN_FINISHED, data=data)
    if run.cell(step).status is not StepStatus.WAITING:
        return None
    return Draft(type=EventType.STEP_FAILED, step=step, data={"error": error.to_dict(), "status": "failed"})
