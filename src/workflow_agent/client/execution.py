"""A run, as whoever began it holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from workflow_agent.client.events import WorkflowEvent
    from workflow_agent.client.port import KnownRun, Runs
    from workflow_agent.model.status import RunStatus

__all__ = ["WorkflowExecution"]


class WorkflowExecution:
    """One run of a workflow; made by ``WorkflowClient.run_workflow`` and ``Context.run_workflow``.

    Args:
        runs: Where it is driven.
        known: The run.
    """

    def __init__(self, runs: Runs, known: KnownRun) -> None:
        #: Id of the run.
        self.id = known.run_id
        #: Name of the workflow.
        self.workflow_name = known.workflow_name
        #: Hash of the workflow's definition.
        self.workflow_hash = known.workflow_hash
        self._runs = runs
        self._known = known

    def __repr__(self) -> str:
        return f"<WorkflowExecution {self.id} of {self.workflow_name}>"

    async def get_status(self) -> RunStatus:
        """Say where it stands."""
        return await self._runs.status(self.id)

    async def get_state(self) -> dict[str, Any]:
        """Give what its steps keep in ``ctx.state``, as it is on disk now."""
        return await self._runs.kept(self.id)

    async def get_result(self) -> Any:  # Any: a JSON value
        """Wait for its end and give its result: what its last step returned.

        Raises:
            WorkflowAgentError: it did not succeed.
            ConflictError: no process drives it.
        """
        return await self._runs.result(self._known)

    async def wait(self) -> RunStatus:
        """Wait for its end; gives its state, whatever that is."""
        return await self._runs.end(self._known)

    async def cancel(self, reason: str = "cancelled by request") -> bool:
        """Ask it to stop; False when it is past that."""
        return await self._runs.cancel(self.id, reason)

    async def signal(self, name: str, data: Any = None) -> None:
        """Tell it that something happened: a step that waits for the name, now or later, gets the JSON value.

        Raises:
            ConflictError: it has ended, or another process drives it.
        """
        await self._runs.signal(self.id, name, data)

    async def pause(self, reason: str = "paused by request") -> None:
        """Let nothing new start; what is in flight goes on. Raises ConflictError as :meth:`signal`."""
        await self._runs.pause(self.id, reason)

    async def unpause(self, *, one_step: bool = False) -> None:
        """Let it go on, or one step of it; raises ConflictError when it is not paused."""
        await self._runs.unpause(self.id, one_step=one_step)

    async def inspect(self, step: str | None = None) -> dict[str, Any]:
        """Give where it stands, its state, its breakpoints, and what a step would be asked with.

        Args:
            step: The step; None: the one that it is paused before.

        Raises:
            NotFoundError: there is no such step.
        """
        return await self._runs.look(self._known, step)

    async def change(
        self,
        *,
        state: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Mapping[str, Any]] | None = None,
        break_before: Collection[str] | None = None,
    ) -> None:
        """Change what it does next; recorded.

        Args:
            state: Values of ``ctx.state``, while it is paused.
            inputs: Inputs by step, of steps that did not begin, while it is paused.
            break_before: The steps before which it pauses from now on.

        Raises:
            ConflictError: it has ended, is not paused, or a step has begun.
        """
        data: dict[str, Any] = {} if state is None else {"state": {"set": dict(state)}}
        if inputs is not None:
            data["with"] = {name: dict(values) for name, values in inputs.items()}
        if break_before is not None:
            data["break_before"] = sorted(break_before)
        await self._runs.change(self.id, data)

    async def stream_events(self, after: str = "") -> AsyncIterator[WorkflowEvent]:
        """Give its events, from the first to the last, as they happen.

        Args:
            after: The `id` of an event: only those behind it.

        Raises:
            ValidationError: `after` is no place in this run.
        """
        async for event in self._runs.events(self.id, after):
            yield event
