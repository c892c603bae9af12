"""The Python client: begins runs and looks at them, in this process or at a server.

port (runs, wherever they are driven) · embedded (here) · remote, http_api (at a server) · connection (open while
somebody uses it) · client · execution · events, stream_place, streaming · logs · metrics · simple
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflow_agent.client.client import WorkflowClient
    from workflow_agent.client.events import EVENT_TYPES, WorkflowEvent
    from workflow_agent.client.execution import WorkflowExecution
    from workflow_agent.client.metrics import WorkflowMetrics
    from workflow_agent.client.simple import Client

__all__ = ["EVENT_TYPES", "Client", "WorkflowClient", "WorkflowEvent", "WorkflowExecution", "WorkflowMetrics"]

_HOMES = {
    "Client": "simple",
    "EVENT_TYPES": "events",
    "WorkflowClient": "client",
    "WorkflowEvent": "events",
    "WorkflowExecution": "execution",
    "WorkflowMetrics": "metrics",
}


def __getattr__(name: str) -> Any:  # Any: one of `__all__`
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
