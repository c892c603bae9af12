"""A run, as whoever began it holds it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from workflow_agent.client.events import POLL_S
from workflow_agent.client.streaming import stream_run
from workflow_agent.model.errors import ConflictError
from workflow_agent.model.status import TERMINAL_RUN, RunStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping
    from contextlib import AbstractAsyncContextManager

    from workflow_agent.client.events import WorkflowEvent
    from workflow_agent.client.port import FlowEngine
    from workflow_agent.model.event import RunState
    from workflow_agent.model.workflow import Workflow

__all__ = ["WorkflowExecution"]


class WorkflowExecution:
    """One run of a workflow; made by ``WorkflowClient.run_workflow`` and ``Context.run_workflow``.

    Args:
        use: Opens what drives runs, for as long as it is used.
        run_id: The run.
        definition: Its definition.
        driving: The task that drives it; None for a run of another process.
    """

    def __init__(
        self,
        use: Callable[[], AbstractAsyncContextManager[FlowEngine]],
        run_id: str,
        definition: Workflow,
        driving: asyncio.Future[RunState] | None,
    ) -> None:
        #: Id of the run.
        self.id = run_id
        #: Name of the workflow.
        self.workflow_name = definition.name
        #: Hash of the workflow's definition.
        self.workflow_hash = definition.hash
        self._use = use
        self._definition = definition
        self._driving = driving

    def __repr__(self) -> str:
        return f"<WorkflowExecution {self.id} of {self.workflow_name}>"

    async def get_status(self) -> RunStatus:
        """Say where it stands."""
        return (await self._state()).status

    async def get_state(self) -> dict[str, Any]:
        """Give what its steps keep in ``ctx.state``, as it is on disk now."""
        return dict((await self._state()).state)

    async def get_result(self) -> Any:  # Any: a JSON value
        """Wait for its end and give its result: what its last step returned.

        Raises:
            WorkflowAgentError: it did not succeed.
            ConflictError: no process drives it.
        """
        state = await self._ended()
        async with self._use() as engine:
            return engine.outcome(self._definition, state)

    async def wait(self) -> RunStatus:
        """Wait for its end; gives its state, whatever that is."""
        return (await self._ended()).status

    async def cancel(self, reason: str = "cancelled by request") -> bool:
        """Ask it to stop; False when it is past that."""
        async with self._use() as engine:
            return await engine.cancel(self.id, reason)

    async def signal(self, name: str, data: Any = None) -> None:
        """Tell it that something happened: a step that waits for the name, now or later, gets the JSON value.

        Raises:
            ConflictError: it has ended, or another process drives it.
        """
        async with self._use() as engine:
            await engine.signal(self.id, name, data)

    async def pause(self, reason: str = "paused by request") -> None:
        """Let nothing new start; what is in flight goes on. Raises ConflictError as :meth:`signal`."""
        async with self._use() as engine:
            await engine.pause(self.id, reason)

    async def unpause(self, *, one_step: bool = False) -> None:
        """Let it go on, or one step of it; raises ConflictError when it is not paused."""
        async with self._use() as engine:
            await engine.unpause(self.id, one_step=one_step)

    async def inspect(self, step: str | None = None) -> dict[str, Any]:
        """Give where it stands, its state, its breakpoints, and what a step would be asked with.

        Args:
            step: The step; None: the one that it is paused before.

        Raises:
            NotFoundError: there is no such step.
        """
        from workflow_agent.engine.looking import look  # noqa: PLC0415  # late: few look

        async with self._use() as engine:
            return look(self._definition, await engine.state(self.id), step)

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
        async with self._use() as engine:
            await engine.change(self.id, data)

    async def stream_events(self) -> AsyncIterator[WorkflowEvent]:
        """Give its events, from the first to the last, as they happen."""
        async with self._use() as engine:
            async for event in stream_run(engine, self.id):
                yield event

    async def _state(self) -> RunState:
        async with self._use() as engine:
            return await engine.state(self.id)

    async def _ended(self) -> RunState:
        if self._driving is not None:
            return await asyncio.shield(self._driving)
        async with self._use() as engine:
            while True:
                driven = engine.is_driven(self.id)  # asked first: who ends it has written that before
                state = await engine.state(self.id)
                if state.status in TERMINAL_RUN:
                    return state
                if not driven:
                    hint = f"`workflow-agent resume {self.id}`, or run it again with its idempotency key"
                    raise ConflictError("no process drives the run", run_id=self.id, hint=hint)
                await asyncio.sleep(POLL_S)
