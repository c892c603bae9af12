"""Hands a run's events and its script's output on to whoever asked for the run."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from workflow_agent.model.event import EventType
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Bus
    from workflow_agent.model.workflow import Workflow

    #: Takes an event (JSON form) and the run's status then.
    OnEvent: TypeAlias = Callable[[Mapping[str, Any], str], None]
    #: Takes a step and a line of a script's output.
    OnOutput: TypeAlias = Callable[[str, str], None]

__all__ = ["RunWatcher"]


class RunWatcher:
    """Watches one run inside an ``async with`` block; at its end, what is queued has been handed on."""

    def __init__(
        self, bus: Bus, workflow: Workflow, run_id: str, on_event: OnEvent | None, on_output: OnOutput | None
    ) -> None:
        self._bus = bus
        self._run_id = run_id
        self._on_event = on_event
        self._on_output = on_output
        # Steps that may be repeated begin without a record of their own, so the definition says the phase.
        self._phases = {step.id: step.phase.value for step in (*workflow.steps, *workflow.on_failure)}
        self._status = RunStatus.QUEUED.value
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._on_event is not None:
            events = await self._bus.subscribe(f"run.{self._run_id}.event", self._event)
            self._stack.push_async_callback(events.close)
        if self._on_output is not None:
            output = await self._bus.subscribe(f"run.{self._run_id}.output", self._output)
            self._stack.push_async_callback(output.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _event(self, message: Message) -> None:
        data = message.data
        match data["type"]:
            case EventType.RUN_FINISHED:
                self._status = data["data"]["status"]
            case EventType.RUN_STARTED:
                self._status = data["data"]["phase"]
            case EventType.STEP_STARTED:
                # Items, rounds and what takes a step back are no steps of the definition.
                self._status = self._phases.get(data["step"], self._status)
        assert self._on_event is not None
        self._on_event(data, self._status)

    async def _output(self, message: Message) -> None:
        assert self._on_output is not None
        self._on_output(str(message.data["step"]), str(message.data["line"]))
