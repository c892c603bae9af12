"""The in-process bus keeps the promises of every bus."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from workflow_agent.bus import InProcessBus
from workflow_agent.model.message import Message

pytest.register_assert_rewrite("bus_contract")

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.bus_contract import BusContract, echo
else:  # pytest puts this folder on the path, the type checker knows modules from the root
    from bus_contract import BusContract, echo


class TestInProcessBus(BusContract):
    @pytest.fixture
    async def bus(self) -> AsyncIterator[InProcessBus]:
        bus = InProcessBus()
        tasks = asyncio.all_tasks()
        yield bus
        async with asyncio.timeout(10):
            await bus.drain()
        assert asyncio.all_tasks() <= tasks | {asyncio.current_task()}

    async def test_buses_leave_no_task_behind(self) -> None:
        before = asyncio.all_tasks()
        for _ in range(50):
            bus = InProcessBus()
            for queue in (None, "group", "group"):
                await bus.subscribe("a.*", echo, queue=queue, concurrency=2)
            await asyncio.gather(*(bus.request(Message("a.b"), timeout_s=5) for _ in range(3)))
            await bus.drain()
        assert asyncio.all_tasks() == before
