"""How an agent answers on the bus: verbs with typed requests and replies, and an end when it is told to stop.

Our own agents' requests and replies are records (``model.data``). Pydantic's models do as well: `Request` and `Reply`
are theirs, for agents of one's own.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from workflow_agent.model.data import Data, plain
from workflow_agent.model.errors import InterruptedRunError, ValidationError
from workflow_agent.model.frozen import thaw
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import pydantic

    from workflow_agent.agents.own_models import Reply, Request
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Bus, Subscription

__all__ = [
    "CONCURRENCY",
    "Agent",
    "Answer",
    "LateAgent",
    "Question",
    "Reply",
    "Request",
    "ServedAgents",
    "StoppedWork",
    "Verb",
    "plain",
    "serve",
]

_CANCEL = "ctl.cancel"
#: Requests of one verb that are answered at the same time, where an agent does not say otherwise.
CONCURRENCY = 16


class Question(Data, abstract=True):
    """Data of a request. Unknown keys are errors: a workflow that says more than is understood is wrong."""


class Answer(Data, abstract=True):
    """Data of a reply: a step's output."""


#: Answers a request. What it gives is the reply, and the special keys that the driver takes out (``_records`` …).
VerbHandler: TypeAlias = (
    "Callable[[Any, Message], Awaitable[tuple[Answer | Reply, Mapping[str, Any]]]]"  # Any: its request
)


class StoppedWork(asyncio.CancelledError):  # no error: who was told to stop did
    """Raised in the place of the cancellation by a verb that was told to stop: what it did until then is kept.

    Args:
        records: For the journal; without secrets.
    """

    def __init__(self, records: list[dict[str, Any]]) -> None:
        super().__init__()
        self.records = records


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb of an agent."""

    request: type[Question | Request]
    reply: type[Answer | Reply]
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
    concurrency: int = CONCURRENCY

    def verb(self, name: str) -> Verb:
        """Give a verb, making the agent."""
        return self.make().verbs()[name]


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
                    concurrency=getattr(agent, "concurrency", CONCURRENCY),
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
        request = _request(agent, verb, message)
        key = (message.run_id, message.step_id)
        task = asyncio.ensure_future(verb.handler(request, message))
        tasks = working.setdefault(key, set())
        tasks.add(task)
        try:
            reply, special = await task
        except asyncio.CancelledError as stopped:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                await _ended(task)
                raise  # the request itself was withdrawn
            raise InterruptedRunError(
                f"`{message.subject}` was stopped",
                run_id=message.run_id,
                details={"_records": stopped.records} if isinstance(stopped, StoppedWork) else None,
            ) from None
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


def _request(agent: str, verb: Verb, message: Message) -> Question | Request:
    try:
        # What an agent is asked belongs to it: a step's function may sort the list that it is given.
        return verb.request.model_validate(thaw(dict(message.data)))
    except ValueError as error:
        from pydantic import ValidationError as PydanticError  # noqa: PLC0415  # late: who refuses has loaded it

        if not isinstance(error, PydanticError):
            raise
        raise _refused(agent, message, error) from error


def _refused(agent: str, message: Message, error: pydantic.ValidationError) -> ValidationError:
    problems = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
    return ValidationError(
        f"the request to `{agent}` is not valid: {problems[0]}",
        where=f"{message.subject} (step {message.step_id})" if message.step_id else message.subject,
        hint="look at the step's `with` in the workflow definition",
        details={"problems": problems},
    )


def __getattr__(name: str) -> Any:  # Any: one of pydantic's models
    # late: pydantic, 130 ms, which only agents of one's own need
    if name in {"Request", "Reply"}:
        from workflow_agent.agents import own_models  # noqa: PLC0415  # late

        return getattr(own_models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
