"""One lab host for all tests of a module: each uses a folder of its own below /srv."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflow_agent.model import failpoint
from workflow_agent.testing.lab import LabHost
from workflow_agent.testing.transactions import Trial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="module")
def lab_plain(lab: None) -> Iterator[LabHost]:
    """A Debian host without an init system, shared by the module."""
    with LabHost("plain") as host:
        yield host


@pytest.fixture
async def trial(lab_plain: LabHost) -> AsyncIterator[Trial]:
    """A run that holds the target."""
    one = Trial(lab_plain)
    await one.begin()
    yield one
    await one.end()


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    failpoint.arm(None)
    yield
    failpoint.arm(None)
