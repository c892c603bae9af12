"""Public fakes and helpers for tests of workflow-agent and of what is built on it.

memory   MemoryJournal, EventChain
flows    WorkflowTestCase, mock_agent: people's own workflows without Docker and network

Names are resolved late, so that importing one part does not load the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflow_agent.testing.flows import MockAgent, WorkflowTestCase, mock_agent
    from workflow_agent.testing.memory import EventChain, MemoryJournal

__all__ = ["EventChain", "MemoryJournal", "MockAgent", "WorkflowTestCase", "mock_agent"]

_HOMES = {
    "EventChain": "memory",
    "MemoryJournal": "memory",
    "MockAgent": "flows",
    "WorkflowTestCase": "flows",
    "mock_agent": "flows",
}


def __getattr__(name: str) -> Any:  # Any: a class, looked up by name
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
