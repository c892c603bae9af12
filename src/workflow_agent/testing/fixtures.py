"""Fixtures for pytest.

A project asks for them in its ``conftest.py``: ``pytest_plugins = ["workflow_agent.testing.fixtures"]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflow_agent.testing.cases import WorkflowCase
from workflow_agent.testing.virtual_time import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["virtual_clock", "workflow_case"]


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """Give the clock of this test's workflows."""
    return VirtualClock()


@pytest.fixture
def workflow_case(virtual_clock: VirtualClock) -> Iterator[WorkflowCase]:
    """Run this test's workflows: no database, no network, no Docker, no waiting."""
    with WorkflowCase(virtual_clock) as case:
        yield case
