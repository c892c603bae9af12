"""The workflows of docs/patterns.md, and agents whose steps wait until the test lets them end."""

from __future__ import annotations

import asyncio
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.authoring import load_workflow
from workflow_agent.engine import fold
from workflow_agent.model.errors import InterruptedRunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.unit.engine.driver_house import House

    from workflow_agent.model.event import RunState
    from workflow_agent.model.message import Message
    from workflow_agent.model.workflow import Workflow

__all__ = ["Play", "pattern", "patterns", "statuses"]

_PAGE = Path(__file__).parents[3] / "docs" / "patterns.md"
_VERBS = ("shell.run", "shop.list", "shop.poll", "shop.take", "web.read")


@cache
def patterns() -> dict[int, str]:
    """Give the texts of the page's workflows by the number of the pattern."""
    sections = re.split(r"^### (?=\d+\. )", _PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = {}
    for section in sections:
        number, _, rest = section.partition(".")
        (text,) = re.findall(r"^```yaml\n(.*?)^```", rest, flags=re.MULTILINE | re.DOTALL)
        found[int(number)] = text
    return found


def pattern(number: int) -> Workflow:
    """Give the workflow of a pattern."""
    return load_workflow(patterns()[number], source=f"pattern-{number}.yaml")


def statuses(state: RunState) -> dict[str, str]:
    """Give how each step ended."""
    return {name: cell.status.value for name, cell in state.steps.items()}


class Play:
    """Runs one workflow; `held` units wait for :meth:`let`, all others end at once with their answer."""

    def __init__(self, house: House, workflow: Workflow, held: Iterable[str] = ()) -> None:
        self.house = house
        self.workflow = workflow
        self.answers: dict[str, Any] = {}
        #: Units in the order in which they were asked for, and in which they ended.
        self.asked: list[str] = []
        self.ended: list[str] = []
        self._gates = {unit: asyncio.Event() for unit in held}
        self._stops: dict[str, asyncio.Event] = {}
        self._task: asyncio.Task[RunState] | None = None
        self._run_id: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def begin(self, **inputs: Any) -> str:
        """Start the run; give its id."""

        async def event(message: Message) -> None:
            if not self._run_id.done():
                self._run_id.set_result(str(message.run_id))

        async def stop(message: Message) -> None:
            self._stops.setdefault(str(message.data["step_id"]), asyncio.Event()).set()

        await self.house.bus.subscribe("run.*.event", event)
        await self.house.bus.subscribe("ctl.cancel", stop)
        for verb in _VERBS:
            await self.house.bus.subscribe(f"agent.{verb}", self._act, concurrency=50)
        self._task = asyncio.create_task(self.house.driver.start(self.workflow, inputs))
        return await self._run_id

    async def _act(self, message: Message) -> Mapping[str, Any]:
        unit = str(message.step_id)
        self.asked.append(unit)
        gate = self._gates.get(unit)
        stop = self._stops.setdefault(unit, asyncio.Event())
        if gate is not None:
            waits = [asyncio.create_task(each.wait()) for each in (gate, stop)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if not gate.is_set():
                raise InterruptedRunError(f"`{unit}` was stopped")
        self.ended.append(unit)
        answer = self.answers.get(unit, {})
        if isinstance(answer, Exception):
            raise answer
        found = answer(message) if callable(answer) else answer
        return dict(found)

    def let(self, *units: str) -> None:
        """Let held units end."""
        for unit in units:
            self._gates[unit].set()

    async def until_asked(self, *units: str) -> None:
        """Let others run until units were asked for."""
        while not {*units} <= {*self.asked}:  # noqa: ASYNC110  # the agent is called by the bus
            await asyncio.sleep(0)

    async def until_told(self, kind: str, step: str) -> None:
        """Let others run until a record is told."""
        while not any(each["type"] == kind and each["step"] == step and each["seq"] for each in self.house.told):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0)

    async def end(self) -> RunState:
        """Wait for the run's end; a refold of the journal gives the same state."""
        assert self._task is not None
        state = await self._task
        assert fold(self.workflow, await self.house.journal.events(state.run_id)) == state
        return state

    async def run(self, **inputs: Any) -> RunState:
        """Run to the end."""
        await self.begin(**inputs)
        return await self.end()
