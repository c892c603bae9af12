"""What is particular to the in-process bus; what every bus promises is in tests/contract/bus_contract.py."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import logging
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.bus import InProcessBus, inprocess
from workflow_agent.model.errors import DeadlineExceededError, UnreachableError
from workflow_agent.model.message import Message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from workflow_agent.model.ports import Bus


@pytest.fixture
async def bus() -> AsyncIterator[InProcessBus]:
    bus = InProcessBus(grace_s=0.05)
    yield bus
    async with asyncio.timeout(10):
        await bus.drain()


async def pause() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def nothing(message: Message) -> None:
    pass


def test_it_is_a_bus() -> None:
    bus: Bus = InProcessBus()
    assert bus


async def test_a_group_shares_evenly_while_all_are_free(bus: InProcessBus) -> None:
    counts = [0, 0, 0]

    def member(index: int) -> Any:
        async def handle(message: Message) -> None:
            counts[index] += 1

        return handle

    for index in range(3):
        await bus.subscribe("job.*", member(index), queue="workers")
    for number in range(30):
        # a new subject each time: fairness belongs to the group, not to a remembered route
        await bus.request(Message(f"job.{number}"))
    assert counts == [10, 10, 10]


async def test_subscribers_are_found_anew_after_every_change(bus: InProcessBus) -> None:
    seen: list[str] = []

    async def first(message: Message) -> None:
        seen.append("first")

    async def second(message: Message) -> None:
        seen.append("second")

    await bus.subscribe("a", first)
    await bus.request(Message("a"))
    subscription = await bus.subscribe("*", second)
    await bus.publish(Message("a"))
    await pause()
    await subscription.close()
    await bus.publish(Message("a"))
    await pause()
    assert seen == ["first", "first", "second", "first"]


async def test_remembered_routes_stay_few_and_right(bus: InProcessBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inprocess, "ROUTES_KEPT", 10)
    count = 0

    async def handle(message: Message) -> None:
        nonlocal count
        count += 1

    await bus.subscribe("run.>", handle)
    for number in range(35):
        await bus.publish(Message(f"run.{number}"))
        await bus.publish(Message(f"nobody.{number}"))
    await pause()
    assert count == 35
    assert len(bus._routes) <= 10


async def test_closing_leaves_nothing_in_the_bus(bus: InProcessBus) -> None:
    for _ in range(5):
        subscription = await bus.subscribe("a.*.b", nothing)
        await bus.request(Message("a.x.b"))
        await subscription.close()
    assert (len(bus._trie), bus._lanes, bus._routes) == (0, set(), {})


async def test_a_handler_that_never_waits_lets_others_run(bus: InProcessBus) -> None:
    """A publisher and a busy handler share the loop with a bystander who only wants a turn now and then."""
    handled = 0
    turns: list[int] = []

    async def handle(message: Message) -> None:
        nonlocal handled
        handled += 1

    await bus.subscribe("a", handle, limit=2000)
    for _ in range(1000):
        await bus.publish(Message("a"))
    while handled < 1000:
        turns.append(handled)
        await asyncio.sleep(0)
    assert max(later - earlier for earlier, later in pairwise(turns)) <= 64


async def test_handlers_see_the_context_of_their_subscriber(bus: InProcessBus) -> None:
    who = contextvars.ContextVar[str]("who")

    async def handle(message: Message) -> Mapping[str, Any]:
        return {"who": who.get()}

    who.set("subscriber")
    await bus.subscribe("a", handle)
    who.set("requester")
    assert (await bus.request(Message("a"))).data == {"who": "subscriber"}


async def test_a_handler_that_will_not_end_is_named_and_left(
    bus: InProcessBus, caplog: pytest.LogCaptureFixture
) -> None:
    release = asyncio.Event()

    async def stubborn(message: Message) -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    await bus.subscribe("deaf", stubborn)
    with pytest.raises(DeadlineExceededError):
        await bus.request(Message("deaf"), timeout_s=0.01)
    assert "deaf goes on" in caplog.text
    release.set()
    await bus.request(Message("deaf"))


async def test_a_second_cancellation_does_not_wait_for_the_handler() -> None:
    bus = InProcessBus(grace_s=60)
    cancelled, release = asyncio.Event(), asyncio.Event()

    async def slow_to_end(message: Message) -> None:
        try:
            await release.wait()
        except asyncio.CancelledError:
            cancelled.set()
            await release.wait()
            raise

    await bus.subscribe("a", slow_to_end)
    request = asyncio.create_task(bus.request(Message("a")))
    await pause()
    request.cancel()
    await cancelled.wait()
    await pause()
    assert not request.done()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    release.set()
    await bus.drain()


async def test_an_error_while_a_given_up_handler_cleans_up_is_logged(
    bus: InProcessBus, caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(message: Message) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            raise OSError("cannot clean up")

    await bus.subscribe("a", handle)
    with pytest.raises(DeadlineExceededError):
        await bus.request(Message("a"), timeout_s=0.01)
    assert "cannot clean up" in caplog.text


async def test_what_is_given_up_is_not_logged(bus: InProcessBus, caplog: pytest.LogCaptureFixture) -> None:
    async def handle(message: Message) -> None:
        await asyncio.get_running_loop().create_future()

    await bus.subscribe("a", handle)
    with pytest.raises(DeadlineExceededError):
        await bus.request(Message("a"), timeout_s=0.01)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def complaints(scenario: Callable[[], Awaitable[None]]) -> list[str]:
    """Run something and give what asyncio says of it when its futures are thrown away."""
    found: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(str(context["message"])))
    await scenario()
    await pause()
    gc.collect()
    return found


async def test_a_reply_in_the_moment_of_cancellation_is_dropped_quietly(bus: InProcessBus) -> None:
    """The reply is there, but the requester has not seen it yet when it is cancelled."""

    async def scenario() -> None:
        async def handle(message: Message) -> None:
            asyncio.get_running_loop().call_soon(request.cancel)
            raise UnreachableError

        await bus.subscribe("a", handle)
        request = asyncio.create_task(bus.request(Message("a")))
        await asyncio.wait({request})
        assert request.cancelled()

    assert await complaints(scenario) == []


async def test_a_reply_in_the_moment_of_the_deadline_counts(bus: InProcessBus) -> None:
    go, loop = asyncio.Event(), asyncio.get_running_loop()

    async def handle(message: Message) -> Mapping[str, Any]:
        await go.wait()
        return {"just": "in time"}

    await bus.subscribe("a", handle)
    deadline = loop.time() + 0.05
    request = asyncio.create_task(bus.request(Message("a", deadline=deadline)))
    await pause()
    go.set()  # the handler goes on before the timer, in one turn of the loop
    while loop.time() <= deadline:
        pass
    assert (await request).data == {"just": "in time"}


async def test_a_publisher_cancelled_while_room_is_made_leaves_nothing(bus: InProcessBus) -> None:
    go = asyncio.Event()
    seen: list[int] = []

    async def handle(message: Message) -> None:
        seen.append(message.data["n"])
        await go.wait()

    await bus.subscribe("a", handle, limit=1)
    publishers = [asyncio.create_task(bus.publish(Message("a", {"n": n}))) for n in range(4)]
    await pause()
    go.set()  # room is made before the publisher's task runs again
    publishers[2].cancel()
    await asyncio.wait(publishers)
    await bus.drain()
    assert seen == [0, 1, 3]


async def test_a_stop_while_a_given_up_handler_still_ends_goes_through() -> None:
    bus = InProcessBus(grace_s=60)
    cancelled, release = asyncio.Event(), asyncio.Event()

    async def slow_to_end(message: Message) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.set()
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
            raise

    await bus.subscribe("a", slow_to_end)
    request = asyncio.create_task(bus.request(Message("a"), timeout_s=0.01))
    await cancelled.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await bus.drain()
    with pytest.raises(DeadlineExceededError):
        await request
    assert bus._lanes == set()


async def test_a_worker_that_is_cancelled_from_outside_is_replaced(bus: InProcessBus) -> None:
    """Its requester hears of it, and neither a queued nor a parked message is stuck for ever."""
    fatal = True

    async def handle(message: Message) -> None:
        if fatal:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    await bus.subscribe("a", handle, limit=1)
    with pytest.raises(UnreachableError):
        await bus.request(Message("a"))
    doomed = asyncio.create_task(bus.request(Message("a")))
    queued = asyncio.create_task(bus.request(Message("a")))
    with pytest.raises(UnreachableError):
        await doomed
    fatal = False
    await pause()
    await bus.request(Message("a"))
    await queued


async def test_an_idle_worker_that_is_cancelled_from_outside_is_replaced(bus: InProcessBus) -> None:
    tasks = asyncio.all_tasks()
    await bus.subscribe("a", nothing)
    await bus.request(Message("a"))
    await pause()
    for worker in asyncio.all_tasks() - tasks:
        worker.cancel()
    await bus.request(Message("a"))
    for worker in asyncio.all_tasks() - tasks:
        worker.cancel()
    await bus.drain()
    assert asyncio.all_tasks() == tasks


async def test_cancelling_a_drain_that_has_to_wait_for_nothing_more_is_harmless() -> None:
    bus = InProcessBus()
    await bus.subscribe("a", nothing)
    await bus.request(Message("a"))
    draining = asyncio.create_task(bus.drain())
    await asyncio.sleep(0)
    draining.cancel()
    await asyncio.wait({draining})
    await bus.drain()
    assert bus._lanes == set()


async def test_cancelling_a_drain_ends_workers_that_never_ran() -> None:
    bus = InProcessBus()
    blocked = asyncio.Event()

    async def handle(message: Message) -> None:
        blocked.set()
        await asyncio.get_running_loop().create_future()

    before = asyncio.all_tasks()
    await bus.subscribe("idle", nothing)
    await bus.subscribe("a", handle, concurrency=2)
    await bus.publish(Message("a"))
    await blocked.wait()
    drains = [asyncio.create_task(bus.drain()), asyncio.create_task(bus.drain())]
    await pause()
    drains[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await drains[0]
    await drains[1]
    await pause()
    assert asyncio.all_tasks() == before
    assert bus._lanes == set()


async def test_a_publisher_blocked_by_two_queues_is_released_quietly_by_a_stop() -> None:
    async def scenario() -> None:
        bus = InProcessBus()

        async def handle(message: Message) -> None:
            await asyncio.get_running_loop().create_future()

        for _ in range(2):
            await bus.subscribe("a", handle, limit=1)
        for _ in range(2):
            await bus.publish(Message("a"))
            await pause()
        publisher = asyncio.create_task(bus.publish(Message("a")))
        await pause()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await bus.drain()
        await asyncio.wait({publisher})
        assert isinstance(publisher.exception(), UnreachableError)

    assert await complaints(scenario) == []


async def test_a_handler_that_outlives_a_stop_cannot_send() -> None:
    bus = InProcessBus(grace_s=0.01)
    running, release = asyncio.Event(), asyncio.Event()
    outcome: list[Exception] = []

    async def stubborn(message: Message) -> None:
        running.set()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        try:
            await bus.publish(Message("b"))
        except UnreachableError as error:
            outcome.append(error)

    await bus.subscribe("a", stubborn)
    await bus.publish(Message("a"))
    await running.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await bus.drain()
    release.set()
    await bus.drain()
    assert len(outcome) == 1
