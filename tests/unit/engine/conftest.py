"""A house for every test of the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflow_agent.bus import InProcessBus
from workflow_agent.testing import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.unit.engine.driver_house import House
else:
    from driver_house import House


@pytest.fixture
async def house() -> AsyncIterator[House]:
    bus = InProcessBus(grace_s=0.1)
    house = House(bus, MemoryJournal())
    await house.watch()
    yield house
    await bus.drain()
