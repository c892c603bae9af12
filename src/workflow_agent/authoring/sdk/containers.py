"""What a step sees of a container that it starts: what it may use, the handle, and what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from workflow_agent.model.errors import ValidationError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "AgentHandle",
    "AgentRequest",
    "AgentResult",
    "Deployed",
    "Measure",
    "ResourceRequirements",
    "ServiceRequest",
]

_MIB = 1 << 20
_LEAST_MEMORY_MIB = 6  # Docker refuses less


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRequirements:
    """What a container may use at most.

    Attributes:
        cpu: Processors; 0.5 is half of one. None: as many as there are.
        memory_mib: Memory in MiB; what wants more is killed. None: no limit.
        pids: Processes and threads. None: no limit.
    """

    cpu: float | None = None
    memory_mib: int | None = None
    pids: int | None = None

    def checked(self, where: str) -> ResourceRequirements:
        """Give itself.

        Raises:
            ValidationError: a limit cannot be meant so; it is named.
        """
        if self.cpu is not None and not self.cpu > 0:
            raise ValidationError(f"`cpu` is more than 0, not {self.cpu}", where=where)
        if self.memory_mib is not None and self.memory_mib < _LEAST_MEMORY_MIB:
            raise ValidationError(f"`memory_mib` is at least {_LEAST_MEMORY_MIB}, not {self.memory_mib}", where=where)
        if self.pids is not None and self.pids < 1:
            raise ValidationError(f"`pids` is at least 1, not {self.pids}", where=where)
        return self

    @property
    def memory_bytes(self) -> int | None:
        """The memory limit in bytes."""
        return None if self.memory_mib is None else self.memory_mib * _MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRequest:
    """A container beside a step's, which finds it under its name. `ready` is a command in it that ends well then."""

    name: str
    image: str
    env: Mapping[str, str]
    command: tuple[str, ...] | None = None
    ready: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRequest:
    """A container that a step asks for. `step` is the identity of the step, with the item of a parallel one.

    `services` are started before it, and have `ready_timeout_s` to be ready. Without `outbound` it reaches them and
    no other machine.
    """

    run_id: str
    step: str
    name: str
    image: str
    env: Mapping[str, str]
    command: tuple[str, ...] | None
    resources: ResourceRequirements
    timeout_s: float
    services: tuple[ServiceRequest, ...] = ()
    ready_timeout_s: float = 60.0
    outbound: bool = True


class AgentResult:
    """What a container gave: `output` (the JSON value on the last line that it wrote), `exit_code`, `lines`.

    Keys of `output` can be read from the result itself, and as the result of a step it is its output.
    """

    __slots__ = ("exit_code", "lines", "output")

    def __init__(self, output: Any, *, exit_code: int = 0, lines: tuple[str, ...] = ()) -> None:
        self.output = output
        self.exit_code = exit_code
        self.lines = lines

    def __getitem__(self, key: Any) -> Any:
        return self.output[key]

    def __contains__(self, key: object) -> bool:
        return key in self.output

    def __iter__(self) -> Iterator[Any]:
        return iter(self.output)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AgentResult) and (other.output, other.exit_code) == (self.output, self.exit_code)

    __hash__ = None  # type: ignore[assignment]  # an output need not be hashable

    def __repr__(self) -> str:
        return f"AgentResult({self.output!r}, exit_code={self.exit_code})"

    def to_json(self) -> Any:
        """Give the output: what the result of a step keeps."""
        return self.output


class Measure(Protocol):
    """Takes a value that was measured."""

    def __call__(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        """Keep it with the step."""
        ...


class Deployed(Protocol):
    """A container that runs, or has run."""

    #: The engine's id.
    id: str

    async def wait(self) -> AgentResult:
        """Wait for its end; it is removed then, also when it failed or ran out of time.

        Raises:
            StepFailedError: it ended with another code than 0, or its last line is no JSON.
            StepTimeoutError: it ran out of time.
        """
        ...

    async def stop(self) -> None:
        """Kill and remove it; one that is gone is no error."""
        ...


class AgentHandle:
    """A container of a step: ``ctx.deploy_agent`` gives it."""

    __slots__ = ("_deployed", "image", "name", "timeout_s")

    def __init__(self, request: AgentRequest, deployed: Deployed) -> None:
        #: Name that the step gave it.
        self.name = request.name
        #: Image that it was made from.
        self.image = request.image
        #: Seconds after which it is killed.
        self.timeout_s = request.timeout_s
        self._deployed = deployed

    @property
    def id(self) -> str:
        """The engine's id of the container."""
        return self._deployed.id

    async def wait_for_completion(self) -> AgentResult:
        """Wait for its end; see :meth:`Deployed.wait`."""
        return await self._deployed.wait()

    async def stop(self) -> None:
        """Kill and remove it."""
        await self._deployed.stop()

    def __repr__(self) -> str:
        return f"<AgentHandle {self.name} of {self.image}>"
