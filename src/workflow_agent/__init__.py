"""Workflow Agent: changes systems safely, and runs workflows durably.

Layers, top to bottom (a row imports only from rows below it; import-linter checks it)::

    cli            what a person types
    app            composition root
    api | client   HTTP, Python client
    agents         actors on the bus
    engine         run state machine and its driver
    integrations | scripts
    authoring      front ends that compile to the model
    targets        transactions on a host
    store | bus
    model          frozen data, ports, errors

``testing`` may import everything. The names of this page are resolved when they are first used, so that importing the
package costs nothing; ``WorkflowClient`` may open the application although that lies above it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workflow_agent._version import __version__

if TYPE_CHECKING:
    from workflow_agent.authoring.builder import Workflow
    from workflow_agent.authoring.crons import daily, every_minutes, hourly
    from workflow_agent.authoring.fluent_step import Step
    from workflow_agent.authoring.sdk.containers import AgentHandle, AgentResult, ResourceRequirements
    from workflow_agent.authoring.sdk.context import Context, ParallelContext, SecretStore, WorkflowState
    from workflow_agent.authoring.sdk.decorators import step, workflow
    from workflow_agent.authoring.sdk.policies import ErrorHandler, ExecutionMode, RetryPolicy
    from workflow_agent.authoring.step_actions import secret, tool_id
    from workflow_agent.client import Client, WorkflowClient, WorkflowEvent, WorkflowExecution, WorkflowMetrics
    from workflow_agent.model.agent_definition import AgentDefinition, MemoryConfig, ToolDefinition

__all__ = [
    "AgentDefinition",
    "AgentHandle",
    "AgentResult",
    "Client",
    "Context",
    "ErrorHandler",
    "ExecutionMode",
    "MemoryConfig",
    "ParallelContext",
    "ResourceRequirements",
    "RetryPolicy",
    "SecretStore",
    "Step",
    "ToolDefinition",
    "Workflow",
    "WorkflowClient",
    "WorkflowEvent",
    "WorkflowExecution",
    "WorkflowMetrics",
    "WorkflowState",
    "__version__",
    "daily",
    "every_minutes",
    "hourly",
    "secret",
    "step",
    "tool_id",
    "workflow",
]

_SDK = "authoring.sdk"
_HOMES = {
    "AgentDefinition": "model.agent_definition",
    "AgentHandle": f"{_SDK}.containers",
    "AgentResult": f"{_SDK}.containers",
    "Client": "client",
    "Context": f"{_SDK}.context",
    "ErrorHandler": f"{_SDK}.policies",
    "ExecutionMode": f"{_SDK}.policies",
    "MemoryConfig": "model.agent_definition",
    "ParallelContext": f"{_SDK}.context",
    "ResourceRequirements": f"{_SDK}.containers",
    "RetryPolicy": f"{_SDK}.policies",
    "SecretStore": f"{_SDK}.context",
    "Step": "authoring.fluent_step",
    "ToolDefinition": "model.agent_definition",
    "Workflow": "authoring.builder",
    "WorkflowClient": "client",
    "WorkflowEvent": "client",
    "WorkflowExecution": "client",
    "WorkflowMetrics": "client",
    "WorkflowState": f"{_SDK}.context",
    "daily": "authoring.crons",
    "every_minutes": "authoring.crons",
    "hourly": "authoring.crons",
    # for the client, which lies below the application
    "known_runners": "app.health",
    "listed_credentials": "app.flow_credentials",
    "local_health": "app.health",
    "open_flow_records": "app.flow_records",
    "open_flows": "app.flows",
    "secret": "authoring.step_actions",
    "step": f"{_SDK}.decorators",
    "tool_id": "authoring.step_actions",
    "workflow": f"{_SDK}.decorators",
}


def __getattr__(name: str) -> Any:  # Any: one of `__all__`
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
