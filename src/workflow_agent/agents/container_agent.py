"""The container agent: steps that are a container, with the services that run beside it."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from workflow_agent.agents.flow_log import FlowLog
from workflow_agent.agents.given_secrets import filled_texts
from workflow_agent.agents.masking import masked
from workflow_agent.agents.serving import Answer, Question, Verb
from workflow_agent.authoring.durations import duration_s
from workflow_agent.authoring.sdk.containers import AgentRequest, ResourceRequirements, ServiceRequest
from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from workflow_agent.agents.python_agent import Deployer
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Bus, Clock
    from workflow_agent.security.vault import Vault

__all__ = ["ContainerAgent", "ContainerReply", "ContainerRequest", "ContainerService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerService:
    """A container beside another one, which finds it under its name. `ready` is a command in it that says so."""

    name: str
    image: str
    env: dict[str, Any] = field(default_factory=dict)
    command: list[str] | None = None
    ready: list[str] | None = None


class ContainerRequest(Question):
    """Run a container to its end.

    `services` run beside it, on a network of their own, from before it starts until it has ended. A value of an `env`
    may name a secret: ``{"$secret": "token"}``. `credentials` names sets of variables of the settings, which stand
    below `env`; services do not have them. `ready_timeout` is how long services may take to be ready.
    Without `outbound` it has no network but the one with its services, which leads to no other machine.
    """

    image: str
    command: list[str] | None = None
    env: dict[str, Any] = field(default_factory=dict)
    credentials: list[str] = field(default_factory=list)
    cpu: float | None = None
    memory_mib: int | None = None
    timeout: str = "30m"
    services: list[ContainerService] = field(default_factory=list)
    ready_timeout: str = "1m"
    outbound: bool = True


class ContainerReply(Answer):
    """The JSON value on the last line of its stdout."""

    value: Any = None


class ContainerAgent:
    """Answers ``container.run``.

    Args:
        bus: Tells watchers.
        clock: Times of what is measured.
        artifacts: Gives the folder for a run's files.
        vault: The secrets of runs.
        deployer: Starts containers.
    """

    name = "container"

    def __init__(
        self, bus: Bus, clock: Clock, artifacts: Callable[[str], Path], vault: Vault, deployer: Deployer
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._artifacts = artifacts
        self._vault = vault
        self._deployer = deployer

    def verbs(self) -> Mapping[str, Verb]:
        """Run."""
        return masked(self._vault, {"run": Verb(ContainerRequest, ContainerReply, self._run)})

    async def _run(self, request: ContainerRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        where = str(message.step_id)
        asked = AgentRequest(
            run_id=str(message.run_id),
            step=where,
            name=where,
            image=request.image,
            env=self._vault.environment(message.run_id, request.credentials)
            | filled_texts(request.env, self._vault, message.run_id),
            command=None if request.command is None else tuple(request.command),
            resources=ResourceRequirements(cpu=request.cpu, memory_mib=request.memory_mib).checked(where),
            timeout_s=duration_s(request.timeout, where=f"{where} › timeout"),
            services=tuple(self._service(each, message) for each in request.services),
            ready_timeout_s=duration_s(request.ready_timeout, where=f"{where} › ready_timeout"),
            outbound=request.outbound,
        )
        folder, masker = self._artifacts(asked.run_id), self._vault.masker(asked.run_id)
        log = FlowLog(self._bus, lambda: folder / "output.log", message, self._clock, masker)
        try:
            deployed = await self._deployer.deploy(asked, log.metric)
            result = await deployed.wait()
        except WorkflowAgentError as error:
            error.details["_records"] = [*error.details.get("_records", []), *log.records()]
            raise
        return ContainerReply(value=result.output), {"_records": log.records()}

    def _service(self, asked: ContainerService, message: Message) -> ServiceRequest:
        return ServiceRequest(
            name=asked.name,
            image=asked.image,
            env=filled_texts(asked.env, self._vault, message.run_id),
            command=None if asked.command is None else tuple(asked.command),
            ready=None if asked.ready is None else tuple(asked.ready),
        )
