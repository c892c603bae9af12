"""How an agent answers on the bus: verbs with typed requests and replies, and an end when it is told to stop."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import field
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict
from pydantic import ValidationError as PydanticError

from workflow_agent.model.errors import InterruptedRunError, ValidationError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Bus, Subscription

__all__ = ["Agent", "LateAgent", "Reply", "Request", "ServedAgents", "Verb", "plain", "serve"]

_CANCEL = "ctl.cancel"
#: Requests of one verb that are answered at the same time.
_CONCURRENCY = 16


class Request(BaseModel):
    """Data of a request. Unknown keys are errors: a workflow that says more than is understood is wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Reply(BaseModel):
    """Data of a reply: a step's output."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


#: Answers a request. What it gives is the reply, and the special keys that the driver takes out (``_records`` …).
VerbHandler: TypeAlias = "Callable[[Any, Message], Awaitable[tuple[Reply, Mapping[str, Any]]]]"  # Any: its Request


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb of an agent."""

    request: type[Request]
    reply: type[Reply]
    handler: VerbHandler


class Agent(Protocol):
    """Whatever has a name and verbs is an agent; it holds no state that a restart would lose."""

    name: str

    def verbs(self) -> Mapping[str, Verb]:
        """Give the verbs by name."""
        ...


@dataclass(frozen=True, slots=True)
class LateAgent:
    """An agent that is made when it is first asked; its verbs are known before."""

    name: str
    verb_names: tuple[str, ...]
    make: Callable[[], Agent]

    def verb(self, name: str) -> Verb:
        """Give a verb, making the agent."""
        return self.make().verbs()[name]


def plain(value: Any) -> Any:  # Any: a value of the model, and its JSON form
    """Turn dataclasses, enums, tuples, mappings and paths into JSON values."""
    if dataclasses.is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, PurePath) else value


@dataclass(slots=True)
class ServedAgents:
    """Agents that answer on a bus, until closed."""

    agents: tuple[Agent | LateAgent, ...]
    _subscriptions: list[Subscription]
    _working: dict[tuple[str | None, str | None], set[asyncio.Task[Any]]] = field(default_factory=dict)

    async def close(self) -> None:
        """Stop answering."""
        for subscription in self._subscriptions:
            await subscription.close()


async def serve(bus: Bus, *agents: Agent | LateAgent) -> ServedAgents:
    """Subscribe every verb of every agent as ``agent.<name>.<verb>``, and ``ctl.cancel`` for all of them."""
    served = ServedAgents(agents, [])
    working = served._working  # noqa: SLF001  # filled below, by this function only
    for agent in agents:
        for verb_name, verb in _verbs(agent).items():
            served._subscriptions.append(  # noqa: SLF001
                await bus.subscribe(
                    f"agent.{agent.name}.{verb_name}",
                    _handler(agent.name, verb, working),
                    queue=agent.name,
                    concurrency=_CONCURRENCY,
                )
            )

    async def cancel(message: Message) -> None:
        for task in working.get((message.data.get("run_id"), message.data.get("step_id")), ()):
            task.cancel()

    served._subscriptions.append(await bus.subscribe(_CANCEL, cancel))  # noqa: SLF001
    return served


def _verbs(agent: Agent | LateAgent) -> dict[str, Callable[[], Verb]]:
    if isinstance(agent, LateAgent):
        return {name: functools.partial(agent.verb, name) for name in agent.verb_names}
    return {name: functools.partial(_same, verb) for name, verb in agent.verbs().items()}


def _same(verb: Verb) -> Verb:
    return verb


def _handler(
    agent: str, get_verb: Callable[[], Verb], working: dict[tuple[str | None, str | None], set[asyncio.Task[Any]]]
) -> Callable[[Message], Awaitable[Mapping[str, Any]]]:
    async def handle(message: Message) -> Mapping[str, Any]:
        verb = get_verb()
        try:
            request = verb.request.model_validate(dict(message.data))
        except PydanticError as error:
            raise _refused(agent, message, error) from error
        key = (message.run_id, message.step_id)
        task = asyncio.ensure_future(verb.handler(request, message))
        tasks = working.setdefault(key, set())
        tasks.add(task)
        try:
            reply, special = await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                await _ended(task)
                raise  # the request itself was withdrawn
            raise InterruptedRunError(f"`{message.subject}` was stopped", run_id=message.run_id) from None
        finally:
            tasks.discard(task)
            if not tasks:
                working.pop(key, None)
        return {**reply.model_dump(mode="json"), **special}

    return handle


async def _ended(task: asyncio.Task[Any]) -> None:
    """Cancel and wait: when the request is withdrawn, nothing of it may still work."""
    task.cancel()
    await asyncio.wait({task})


def _refused(agent: str, message: Message, error: PydanticError) -> ValidationError:
    problems = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
    return ValidationError(
        f"the request to `{agent}` is not valid: {problems[0]}",
        where=f"{message.subject} (step {message.step_id})" if message.step_id else message.subject,
        hint="look at the step's `with` in the workflow definition",
        details={"problems": problems},
    )
