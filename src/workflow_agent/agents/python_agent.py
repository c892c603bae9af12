"""The python agent: calls people's functions as steps, with a context, and takes what they return."""

from __future__ import annotations

import inspect
from dataclasses import field
from typing import TYPE_CHECKING, Any

from workflow_agent.agents.flow_log import FlowLog
from workflow_agent.agents.loop_watch import LoopWatch
from workflow_agent.agents.masking import masked
from workflow_agent.agents.python_calls import call
from workflow_agent.agents.serving import Answer, Question, Verb
from workflow_agent.authoring.sdk import callables
from workflow_agent.authoring.sdk.binding import Given, guard_arguments, step_arguments
from workflow_agent.authoring.sdk.compiling import instance_of
from workflow_agent.authoring.sdk.context import Context, ParallelContext, SecretStore, StepPlace, WorkflowState
from workflow_agent.authoring.sdk.decorators import guard_of
from workflow_agent.authoring.sdk.values import as_json
from workflow_agent.model.errors import NotFoundError, UnreachableError, WorkflowAgentError
from workflow_agent.model.identity import content_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from workflow_agent.authoring.sdk.containers import AgentRequest, Deployed, Measure
    from workflow_agent.authoring.sdk.live import LiveFlows
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Bus, Clock
    from workflow_agent.security.vault import Vault

__all__ = ["CallReply", "CallRequest", "Deployer", "PythonAgent"]


class CallRequest(Question):
    """Call a function. `instance` is what the workflow's class was made with.

    `credentials` names sets of variables of the settings: the context has them as `env`.
    """

    function: str
    input: dict[str, Any] | None = None
    state: dict[str, Any] | None = None
    results: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    instance: dict[str, Any] | None = None
    credentials: list[str] = field(default_factory=list)
    guard: bool = False
    item: Any = None
    index: int | None = None
    total: int | None = None


class CallReply(Answer):
    """What it returned."""

    value: Any = None


class Deployer:
    """Starts containers. This one says that there are none; the application gives another one."""

    async def deploy(self, request: AgentRequest, measure: Measure) -> Deployed:
        """Start a container, or find the one that an earlier attempt started; `measure` takes what it used."""
        del measure
        raise UnreachableError("no containers can be started here", where=request.step)


class PythonAgent:
    """Answers ``python.call``.

    Args:
        bus: Tells watchers what steps log.
        clock: Times of log messages.
        artifacts: Gives the folder for a run's files.
        vault: The secrets of runs.
        flows: The runs of this process.
        deployer: Starts containers.
    """

    name = "python"

    def __init__(  # noqa: PLR0917  # the container gives them in this order
        self,
        bus: Bus,
        clock: Clock,
        artifacts: Callable[[str], Path],
        vault: Vault,
        flows: LiveFlows,
        deployer: Deployer,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._artifacts = artifacts
        self._vault = vault
        self._flows = flows
        self._deployer = deployer
        self._watch = LoopWatch()

    def verbs(self) -> Mapping[str, Verb]:
        """Call."""
        return masked(self._vault, {"call": Verb(CallRequest, CallReply, self._call)})

    async def _call(self, request: CallRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        run_id = str(message.run_id)
        log = FlowLog(
            self._bus,
            lambda: self._artifacts(run_id) / "output.log",
            message,
            self._clock,
            self._vault.masker(run_id),
        )
        services = _Services(log, self._flows, self._deployer, message)
        context = self._context(request, message, services)
        try:
            with self._watch.watching(lambda sentence: log.log("warning", sentence)):
                value = await self._value(request, message, context)
            changes = {} if request.guard else context.state.changes()
        except WorkflowAgentError as error:
            error.details["_records"] = [*error.details.get("_records", []), *log.records()]
            raise
        finally:
            await log.flush()
        special: dict[str, Any] = {"_records": records} if (records := log.records()) else {}
        return CallReply(value=value), special | ({"_state": changes} if changes else {})

    def _context(self, request: CallRequest, message: Message, services: _Services) -> Context:
        run_id, step_id = str(message.run_id), str(message.step_id)
        place = StepPlace(
            run_id=run_id,
            workflow=services.workflow_name,
            workflow_hash=self._flows.of(run_id).workflow_hash,
            step_id=step_id,
            step=step_id.partition("[")[0],
            attempt=message.attempt,
            key=message.headers.get("idempotency-key", ""),
        )
        parallel = None
        if request.index is not None:
            parallel = ParallelContext(index=request.index, total=request.total or 0, item=request.item)
        return Context(
            place,
            services,
            state=WorkflowState(request.state or {}),
            secrets=SecretStore(self._vault.names(run_id), lambda name: self._vault.reveal(run_id, name)),
            given=request.input or {},
            parallel=parallel,
            env=self._vault.environment(run_id, request.credentials),
        )

    async def _value(self, request: CallRequest, message: Message, context: Context) -> Any:  # Any: a JSON value
        function = callables.find(request.function)
        given = Given(
            results={name: _unwrapped(output) for name, output in request.results.items()},
            arguments=request.arguments,
            is_parallel=request.index is not None,
            item=request.item,
        )
        if request.guard:
            guard = guard_of(function)
            if guard is None:
                raise NotFoundError(f"`{request.function}` has no condition", where=callables.place_of(function))
            named = guard_arguments(guard, given, context)
            return bool(await call(guard, named, name=str(message.step_id)))
        bound, is_method = self._bound(request, str(message.run_id), function)
        arguments = step_arguments(function, given, context, is_method=is_method)
        result = await call(bound, arguments, name=str(message.step_id))
        return as_json(result, what=f"the result of `{message.step_id}`", where=callables.place_of(function))

    def _bound(self, request: CallRequest, run_id: str, function: Any) -> tuple[Callable[..., Any], bool]:
        """Give what is called, and whether it is a method: those need the run's instance."""
        owner_name, dot, method = request.function.rpartition(".")
        has_owner = dot and ":" in owner_name and not owner_name.endswith("<locals>")
        owner = callables.find(owner_name) if has_owner else None
        if not inspect.isclass(owner):
            return function, False
        live = self._flows.of(run_id)
        if live.instance is None:
            live.instance = instance_of(owner, request.instance)
        return getattr(live.instance, method), True


def _unwrapped(output: Any) -> Any:  # Any: a JSON value
    """Give what a Python step returned; the output of another step is given as it is."""
    if isinstance(output, list):
        return [_unwrapped(each) for each in output]
    return output["value"] if isinstance(output, dict) and set(output) == {"value"} else output


class _Services:
    """What a context asks for, for one attempt at one step."""

    def __init__(self, log: FlowLog, flows: LiveFlows, deployer: Deployer, message: Message) -> None:
        self._log = log
        self._flows = flows
        self._deployer = deployer
        self._message = message
        self._children: dict[str, int] = {}

    @property
    def workflow_name(self) -> str:
        return self._flows.of(str(self._message.run_id)).workflow

    def log(self, level: str, message: str) -> None:
        self._log.log(level, message)

    def metric(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        self._log.metric(name, value, tags)

    async def deploy(self, request: AgentRequest) -> Deployed:
        return await self._deployer.deploy(request, self._log.metric)

    async def run_child(self, workflow: Any, given: Mapping[str, Any], *, wait: bool) -> Any:
        runner = self._flows.children
        if runner is None:
            raise UnreachableError("no workflow can be run from a step here", where=str(self._message.step_id))
        # Equal children of one step are told apart by their order, which is that of the step's code.
        key = content_hash([getattr(workflow, "name", type(workflow).__qualname__), dict(given)])
        number = self._children[key] = self._children.get(key, 0) + 1
        return await runner.run_child(
            workflow, given, parent=str(self._message.run_id), step=str(self._message.step_id), number=number, wait=wait
        )
