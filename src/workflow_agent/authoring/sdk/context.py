"""What a step sees of its run: ids, state, secrets, input, its place in a fan-out, and what it can ask for."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol

from workflow_agent.authoring.durations import duration_s
from workflow_agent.authoring.sdk.containers import AgentHandle, AgentRequest, ResourceRequirements
from workflow_agent.authoring.sdk.values import as_json, json_text
from workflow_agent.model.errors import NotFoundError, ValidationError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Sequence

    from workflow_agent.authoring.sdk.containers import Deployed

__all__ = [
    "Context",
    "ContextServices",
    "ParallelContext",
    "SecretStore",
    "StepPlace",
    "WorkflowState",
]

_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelContext:
    """Where a step stands in its fan-out: `index` from 0, of `total` items; `item` is its own."""

    index: int
    total: int
    item: Any  # Any: a JSON value


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlace:
    """Which step of which run this is. `step_id` has the item of a parallel step, ``process[3]``; `step` has not."""

    run_id: str
    workflow: str
    workflow_hash: str
    step_id: str
    step: str
    attempt: int
    key: str = ""


class WorkflowState(MutableMapping[str, Any]):
    """What steps keep for later steps of the run: JSON values by name.

    A change counts when its step ends well; it is written together with the step's result, or not at all.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = copy.deepcopy(dict(values))
        self._before = copy.deepcopy(dict(values))

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            raise KeyError(name)
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise ValidationError(f"the state's keys are texts, not {str(name)[:40]!r}")
        self._values[name] = as_json(value, what=f"the value of `{name[:60]}` in the state")

    def __delitem__(self, name: str) -> None:
        del self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"WorkflowState({self._values!r})"

    def changes(self) -> dict[str, Any]:
        """Give what changed since the step began: ``{"set": {...}, "delete": [...]}``; empty when nothing did.

        Raises:
            ValidationError: a value was changed in place to something that is not JSON.
        """
        new = {
            name: as_json(value, what=f"the value of `{name}` in the state")
            for name, value in self._values.items()
            if name not in self._before or self._before[name] != value
        }
        gone = [name for name in self._before if name not in self._values]
        return ({"set": new} if new else {}) | ({"delete": gone} if gone else {})


class SecretStore(Mapping[str, str]):
    """The run's secrets by name. They are read where they are used, and shown nowhere.

    Args:
        names: Of the secrets that the run has.
        reveal: Gives the value of one.
    """

    def __init__(self, names: Collection[str], reveal: Callable[[str], str]) -> None:
        self._names = names
        self._reveal = reveal

    def __getitem__(self, name: str) -> str:
        if name not in self._names:
            hint = did_you_mean(name, self._names) or f'give it: run_workflow(..., secrets={{"{name[:40]}": ...}})'
            raise NotFoundError(f"the run was given no secret `{name[:60]}`", hint=hint)
        return self._reveal(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Give the value of a secret, or `default` where the run has none of this name."""
        return self._reveal(name) if name in self._names else default

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"SecretStore({', '.join(sorted(self._names))})"


class StepEnvironment(Mapping[str, str]):
    """The variables of the sets of credentials that a step names. It shows their names only.

    They are not in ``os.environ``, which all steps of a process share; what a step starts gets them by
    ``env={**os.environ, **ctx.env}``.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        if name not in self._values:
            hint = did_you_mean(name, self._values) or "the step names its sets: `credentials=[...]`"
            raise NotFoundError(f"the step's credentials have no variable `{str(name)[:60]}`", hint=hint)
        return self._values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Give a variable, or `default` where no set of the step has it."""
        return self._values.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"StepEnvironment({', '.join(sorted(self._values))})"


class ContextServices(Protocol):
    """What a context asks for on behalf of its step."""

    def log(self, level: str, message: str) -> None:
        """Take one message. May be called from any thread."""
        ...

    def metric(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        """Take one value. May be called from any thread."""
        ...

    async def deploy(self, request: AgentRequest) -> Deployed:
        """Start a container, or find the one that an earlier attempt of the run started."""
        ...

    async def run_child(self, workflow: Any, given: Mapping[str, Any], *, wait: bool) -> Any:
        """Run another workflow; gives its result, or with `wait` false its execution."""
        ...


class _Done:
    """Awaiting it does nothing: what was asked for is done already."""

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield  # makes it a generator, as an awaitable's is


class Context:
    """A step's view of its run. Made by the agent that calls the step, for one attempt.

    Attributes:
        workflow_id: Hash of the workflow's definition.
        workflow_name: Name of the workflow.
        execution_id: Id of the run.
        step_id: The step, with the item of a parallel one: ``process[3]``.
        step_name: Name of the step.
        attempt: 1 for the first one.
        idempotency_key: Tells whoever carries an effect out that it is the same one: it does not change with attempts,
            nor when the run is taken up by another process.
        state: What steps keep for later steps.
        secrets: The run's secrets.
        env: The variables of the credentials that the step names.
        input: What the run was given.
        parallel_context: Place in a fan-out; None outside of one.
    """

    def __init__(
        self,
        place: StepPlace,
        services: ContextServices,
        *,
        state: WorkflowState,
        secrets: SecretStore,
        given: Mapping[str, Any],
        parallel: ParallelContext | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.workflow_id = place.workflow_hash
        self.workflow_name = place.workflow
        self.execution_id = place.run_id
        self.step_id = place.step_id
        self.step_name = place.step
        self.attempt = place.attempt
        self.idempotency_key = place.key
        self.state = state
        self.secrets = secrets
        self.env = StepEnvironment(env or {})
        self.input: dict[str, Any] = dict(given)
        self.parallel_context = parallel
        self._services = services

    def __repr__(self) -> str:
        return f"<Context of {self.step_id} in {self.execution_id}>"

    async def deploy_agent(  # noqa: PLR0917  # as designed
        self,
        name: str,
        image: str,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
        resources: ResourceRequirements | None = None,
        timeout: float | str = "30m",  # noqa: ASYNC109  # the container's own, which also ends it
        *,
        outbound: bool = True,
    ) -> AgentHandle:
        """Start a container on the local Docker engine.

        The last line that it writes to stdout is its output, as JSON. It has no published port. It is removed when it
        has ended; when the run is taken up by another process, its container is found again.

        Args:
            name: Name within the step.
            image: Image, which must be on the engine or can be pulled by it.
            env: Environment variables.
            command: In place of the image's own.
            resources: What it may use at most.
            timeout: After this time it is killed.
            outbound: Whether it may reach anything; without, it has no network at all.

        Raises:
            ValidationError: a value cannot be meant so.
            UnreachableError: no engine answers, or it refused.
        """
        where = f"{self.step_id} › deploy_agent"
        bad = [key for key, value in (env or {}).items() if not isinstance(key, str) or not isinstance(value, str)]
        if bad:
            raise ValidationError(f"the environment variable `{str(bad[0])[:60]}` is no text", where=where)
        request = AgentRequest(
            run_id=self.execution_id,
            step=self.step_id,
            name=name,
            image=image,
            env=dict(env or {}),
            command=None if command is None else tuple(command),
            resources=(resources or ResourceRequirements()).checked(where),
            timeout_s=duration_s(timeout, where=where),
            outbound=outbound,
        )
        return AgentHandle(request, await self._services.deploy(request))

    async def run_workflow(
        self,
        workflow: Any,
        wait: bool = True,
        *,
        input: Mapping[str, Any] | None = None,  # noqa: A002  # as it is called everywhere
    ) -> Any:
        """Run another workflow, as a run of its own that knows this one as its parent.

        It has this run's secrets, and is cancelled with this step. Asked for again by a later attempt, it answers from
        the journal.

        Args:
            workflow: An instance of a workflow class, a workflow function or a ``Workflow``.
            wait: Whether to wait for its result.
            input: What it is given.

        Returns:
            Its result; with `wait` false its execution, whose ``get_result()`` waits.

        Raises:
            WorkflowAgentError: it did not succeed.
        """
        return await self._services.run_child(workflow, dict(input or {}), wait=wait)

    def json(self, obj: Any) -> str:
        """Write a value as JSON text; dates and times as ISO 8601.

        Raises:
            ValidationError: a part of it cannot be written.
        """
        return json_text(obj)

    def log(self, message: str, level: str = "info") -> _Done:
        """Write to the run's log; may be awaited, and need not be.

        Raises:
            ValidationError: there is no such level.
        """
        if level not in _LEVELS:
            raise ValidationError(f"there is no level `{str(level)[:40]}`", hint=did_you_mean(str(level), _LEVELS))
        self._services.log(level, str(message))
        return _Done()

    def metric(self, name: str, value: float, tags: Mapping[str, str] | None = None) -> _Done:
        """Record a value under a name; may be awaited, and need not be.

        Raises:
            ValidationError: the value is no number, or none that the journal can hold.
        """
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValidationError(f"the metric `{str(name)[:60]}` is a number, not `{type(value).__name__}`")
        if not math.isfinite(value):
            raise ValidationError(f"the metric `{str(name)[:60]}` is a finite number, not `{value}`")
        self._services.metric(str(name), float(value), {str(key): str(each) for key, each in (tags or {}).items()})
        return _Done()
