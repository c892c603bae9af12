"""Public fakes and helpers for tests of workflow-agent and of what is built on it.

memory       MemoryJournal, StepwiseJournal, EventChain
flows        WorkflowTestCase, mock_agent: people's own workflows without Docker and network
cases        WorkflowCase: the same without a database, in virtual time
sweeping     sweep: a workflow is crashed at every record of its journal
replaying    replay: a recorded run is decided anew
fixtures     for pytest

Names are resolved late, so that importing one part does not load the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflow_agent.testing.cases import Run, WorkflowCase
    from workflow_agent.testing.flows import MockAgent, WorkflowTestCase, mock_agent
    from workflow_agent.testing.memory import EventChain, MemoryJournal, StepwiseJournal
    from workflow_agent.testing.replaying import replay
    from workflow_agent.testing.sweeping import CrashingJournal, Sweep, sweep
    from workflow_agent.testing.virtual_time import StandstillError, VirtualClock

__all__ = [
    "CrashingJournal",
    "EventChain",
    "MemoryJournal",
    "MockAgent",
    "Run",
    "StandstillError",
    "StepwiseJournal",
    "Sweep",
    "VirtualClock",
    "WorkflowCase",
    "WorkflowTestCase",
    "mock_agent",
    "replay",
    "sweep",
]

_HOMES = {
    "CrashingJournal": "sweeping",
    "EventChain": "memory",
    "MemoryJournal": "memory",
    "MockAgent": "flows",
    "Run": "cases",
    "StandstillError": "virtual_time",
    "StepwiseJournal": "memory",
    "Sweep": "sweeping",
    "VirtualClock": "virtual_time",
    "WorkflowCase": "cases",
    "WorkflowTestCase": "flows",
    "mock_agent": "flows",
    "replay": "replaying",
    "sweep": "sweeping",
}


def __getattr__(name: str) -> Any:  # Any: a class or a function, looked up by name
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
