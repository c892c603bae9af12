"""Public fakes and helpers for tests of workflow-agent and of what is built on it.

memory   MemoryJournal, EventChain

Names are resolved late, so that importing one part does not load the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflow_agent.testing.memory import EventChain, MemoryJournal

__all__ = ["EventChain", "MemoryJournal"]


def __getattr__(name: str) -> Any:  # Any: a class, looked up by name
    if name in __all__:
        from workflow_agent.testing import memory  # noqa: PLC0415  # late: only who asks pays

        return getattr(memory, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
