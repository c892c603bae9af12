"""A bus with agents that tests write, a journal, a clock, and a driver on them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from workflow_agent.engine import Driver, fold

__all__ = ["House", "TickingClock", "hung", "until"]

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from workflow_agent.bus import InProcessBus
    from workflow_agent.model.event import RunState
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Journal
    from workflow_agent.model.workflow import Workflow


class TickingClock:
    """A second passes with each look."""

    def __init__(self, at: float = 1000.0) -> None:
        self.at = at

    def now(self) -> float:
        self.at += 1.0
        return self.at


class House:
    """Everything that a run needs; remembers what was published and asked."""

    def __init__(self, bus: InProcessBus, journal: Journal, *, grace_s: float = 5.0) -> None:
        self.bus = bus
        self.journal = journal
        self.clock = TickingClock()
        self.driver = Driver(bus, journal, self.clock, grace_s=grace_s)
        self.asked: list[Message] = []
        self.told: list[dict[str, Any]] = []
        self.stopped: list[Mapping[str, Any]] = []

    async def watch(self) -> None:
        async def event(message: Message) -> None:
            self.told.append(dict(message.data))

        async def control(message: Message) -> None:
            self.stopped.append(message.data)

        await self.bus.subscribe("run.*.event", event)
        await self.bus.subscribe("ctl.cancel", control)

    async def agent(self, verb: str, act: Callable[[Message], Any]) -> None:
        """Let an agent answer ``agent.<verb>`` with what `act` gives, awaited where it is awaitable."""

        async def handle(message: Message) -> Mapping[str, Any]:
            self.asked.append(message)
            found = act(message)
            answer = await found if asyncio.iscoroutine(found) else found
            return answer or {}

        await self.bus.subscribe(f"agent.{verb}", handle, concurrency=8)

    def with_grace(self, grace_s: float) -> Driver:
        self.driver = Driver(self.bus, self.journal, self.clock, grace_s=grace_s)
        return self.driver

    async def story(self, run_id: str) -> list[str]:
        """Tell the journal in short: `type` or `type step`."""
        events = await self.journal.events(run_id)
        return [" ".join(part for part in (event.type, event.step) if part) for event in events]

    async def run(self, workflow: Workflow, **inputs: Any) -> RunState:
        """Run to the end; the live state is what a refold of the journal gives."""
        state = await self.driver.start(workflow, inputs)
        assert fold(workflow, await self.journal.events(state.run_id)) == state
        return state


def hung(started: asyncio.Event) -> Callable[[Message], Awaitable[None]]:
    """Make an agent that says that it began and never ends, unless its handler is cancelled."""

    async def act(_message: Message) -> None:
        started.set()
        await asyncio.Event().wait()

    return act


async def until(holds: Callable[[], bool]) -> None:
    """Let others run until something holds."""
    while not holds():  # noqa: ASYNC110  # what is looked at tells nobody
        await asyncio.sleep(0)
