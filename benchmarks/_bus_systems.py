"""The buses that ``benchmarks.bus`` compares, each behind the same two functions.

Peers are imported by name, so that one that is not installed is only left out. Each is used as its documentation
shows, on one event loop, without anything on a network.
"""

from __future__ import annotations

import contextlib
import importlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from workflow_agent.bus import InProcessBus
from workflow_agent.model.message import Message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

__all__ = ["SYSTEMS", "Link", "System"]

SUBJECT = "agent.bench.ping"
#: bubus refuses a 51st event that waits; its publisher has to pace itself.
BUBUS_WAITING = 45


@dataclass(frozen=True, slots=True)
class Ping:
    """The message of systems that route by class."""

    n: int


@dataclass(frozen=True, slots=True)
class Link:
    """An open bus with one subscriber. Each call makes a fresh message that carries a number.

    `timed` is `request` with a deadline, where that is a thing of its own.
    """

    publish: Callable[[int], Awaitable[Any]]
    request: Callable[[int], Awaitable[Any]]
    timed: Callable[[int], Awaitable[Any]] | None = None


#: Opens a bus whose subscriber calls the function for each message that it handles.
Opener: TypeAlias = "Callable[[Callable[[], None]], AbstractAsyncContextManager[Link]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A bus to measure: its name, its distribution, how to open it, and how much work takes about a second."""

    name: str
    needs: tuple[str, ...]
    open: Opener
    n_publish: int
    n_request: int


@contextlib.asynccontextmanager
async def _workflow_agent(handled: Callable[[], None]) -> AsyncIterator[Link]:
    bus = InProcessBus()

    async def handle(message: Message) -> Mapping[str, Any]:
        handled()
        return {"n": message.data["n"]}

    await bus.subscribe(SUBJECT, handle)
    yield Link(
        lambda n: bus.publish(Message(SUBJECT, {"n": n})),
        lambda n: bus.request(Message(SUBJECT, {"n": n})),
        lambda n: bus.request(Message(SUBJECT, {"n": n}), timeout_s=30.0),
    )
    await bus.drain()


@contextlib.asynccontextmanager
async def _autogen_core(handled: Callable[[], None]) -> AsyncIterator[Link]:
    core = importlib.import_module("autogen_core")
    runtime = core.SingleThreadedAgentRuntime()

    async def handle(_agent: Any, message: Ping, _context: Any) -> Ping:
        handled()
        return message

    # the peer reads annotations; names of a module that may be missing cannot stand in ours
    handle.__annotations__ = {"message": Ping, "return": Ping}
    await core.ClosureAgent.register_closure(
        runtime,
        "bench",
        handle,
        subscriptions=lambda: [core.TypeSubscription(topic_type=SUBJECT, agent_type="bench")],
    )
    topic, agent = core.TopicId(SUBJECT, "default"), core.AgentId("bench", "default")
    runtime.start()
    yield Link(
        lambda n: runtime.publish_message(Ping(n), topic),
        lambda n: runtime.send_message(Ping(n), agent),
    )
    await runtime.stop_when_idle()
    await runtime.close()


@contextlib.asynccontextmanager
async def _bubus(handled: Callable[[], None]) -> AsyncIterator[Link]:
    bubus, pydantic = importlib.import_module("bubus"), importlib.import_module("pydantic")
    event = pydantic.create_model("Ping", __base__=bubus.BaseEvent, n=(int, ...))
    bus = bubus.EventBus(max_history_size=1)  # its fastest: the work per event grows with the history
    waiting: deque[Any] = deque()

    async def handle(message: Any) -> int:
        handled()
        n: int = message.n
        return n

    async def publish(n: int) -> None:
        waiting.append(bus.dispatch(event(n=n)))
        if len(waiting) > BUBUS_WAITING:
            await waiting.popleft()

    async def request(n: int) -> Any:
        return await bus.dispatch(event(n=n)).event_result()

    bus.on("Ping", handle)
    yield Link(publish, request)
    await bus.stop(timeout=5, clear=True)


@contextlib.asynccontextmanager
async def _faststream(handled: Callable[[], None]) -> AsyncIterator[Link]:
    nats = importlib.import_module("faststream.nats")

    async def handle(message: dict[str, int]) -> dict[str, int]:
        handled()
        return message

    broker = nats.NatsBroker()
    broker.subscriber(SUBJECT)(handle)
    async with nats.TestNatsBroker(broker) as memory:
        yield Link(
            lambda n: memory.publish({"n": n}, SUBJECT),
            lambda n: memory.request({"n": n}, SUBJECT),
        )


SYSTEMS = (
    System(name="workflow-agent", needs=(), open=_workflow_agent, n_publish=50_000, n_request=10_000),
    System(name="autogen-core", needs=("autogen-core",), open=_autogen_core, n_publish=5_000, n_request=2_000),
    System(name="bubus", needs=("bubus",), open=_bubus, n_publish=1_000, n_request=1_000),
    System(name="faststream", needs=("faststream", "nats-py"), open=_faststream, n_publish=1_000, n_request=1_000),
)
