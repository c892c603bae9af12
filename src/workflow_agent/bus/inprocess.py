"""The bus inside one process: port `Bus` on asyncio.

Guarantees, beyond those of the port:

* A message is in every matching queue or its publisher waits; nothing is dropped. A publisher that is
  cancelled, or whose message's deadline passes while it waits, leaves the queues that had room served and
  the full ones not.
* Within one subscription messages of equal priority are taken in the order of their coming.
* A request that is given up (deadline or cancellation) leaves no trace: it is taken out of the queue, or its
  handler is cancelled and waited for, at most `grace_s`. So when `request` raises, the effect has ended, or
  a warning is logged.
* A handler may publish and request. The one thing that cannot work is a request to its own subscription when
  that has no free worker (or to publish to its own full queue): it ends by its deadline, so give it one.
* All calls belong to one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import math
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

from workflow_agent.bus.asked import PendingAnswer
from workflow_agent.bus.backlog import Delivery
from workflow_agent.bus.lane import Lane, current_lane, stopped
from workflow_agent.bus.subjects import SubjectTrie, subject_tokens
from workflow_agent.model.errors import DeadlineExceededError, NoResponderError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workflow_agent.model.errors import WorkflowAgentError
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Handler

__all__ = ["InProcessBus"]

logger = logging.getLogger(__name__)

#: Subjects whose subscribers are remembered; run ids make new subjects for ever.
ROUTES_KEPT = 4096

#: Each inner tuple gets the message once: a lone subscriber, or the members of a queue group.
Route: TypeAlias = "tuple[tuple[Lane, ...], ...]"


class _ExpiredError(Exception):
    """Wakes a requester whose time is over; never leaves this module."""


class InProcessBus:
    """Carrier of messages between the agents of one process.

    Args:
        grace_s: How long a request that was given up waits for its handler to end, in seconds.
    """

    def __init__(self, *, grace_s: float = 5.0) -> None:
        self._grace_s = grace_s
        self._trie: SubjectTrie[Lane] = SubjectTrie()
        self._routes: dict[str, Route] = {}
        self._lanes: set[Lane] = set()  # until their workers have ended
        self._numbers = count(1).__next__
        self._open = True
        self._drained = False

    async def publish(self, message: Message) -> None:
        """Return when the message is in every matching subscriber's queue; blocks on a full one.

        Raises:
            UsageError: the subject is not valid.
            DeadlineExceededError: a queue stayed full until the message's deadline.
            UnreachableError: the bus has stopped.
        """
        if not self._open:
            self._refuse_strangers()
        route = self._routes.get(message.subject)
        if route is None:
            route = self._resolve(message.subject)
        if len(route) > 1:
            message = message.frozen()  # what one of them does to it, the others must not see
        full: list[Delivery] | None = None
        for lanes in route:
            delivery = Delivery(message, None)
            lane = lanes[0] if len(lanes) == 1 else self._pick(lanes)
            if not lane.offer(delivery):
                delivery.room = asyncio.get_running_loop().create_future()
                full = [delivery] if full is None else [*full, delivery]
        if full is not None:
            await self._wait_for_room(message, full)

    def is_heard(self, subject: str) -> bool:
        """Say whether anybody subscribed to a subject; raises UsageError where it is not valid."""
        route = self._routes.get(subject)
        return bool(self._resolve(subject) if route is None else route)

    async def subscribe(
        self,
        pattern: str,
        handler: Handler,
        *,
        queue: str | None = None,
        limit: int = 1024,
        concurrency: int = 1,
    ) -> Lane:
        """Call `handler` for each matching message, `concurrency` at a time, with `limit` more waiting.

        Raises:
            UsageError: the pattern, the queue's name or a number is not valid.
            UnreachableError: the bus has stopped.
        """
        if not self._open:
            raise stopped()
        if queue is not None:
            subject_tokens(queue)
        if limit < 1 or concurrency < 1:
            raise UsageError("A subscription needs a limit and a concurrency of at least 1", where=pattern)
        lane = Lane(
            pattern,
            handler,
            number=self._numbers(),
            queue=queue,
            limit=limit,
            concurrency=concurrency,
            on_close=self._unsubscribe,
            on_end=self._forget,
        )
        self._trie.add(pattern, lane)
        self._lanes.add(lane)
        self._routes.clear()
        return lane

    async def request(self, message: Message, *, timeout_s: float | None = None) -> Message:
        """Send and wait for the first reply, until the message's deadline or `timeout_s`, whichever is first.

        Raises:
            NoResponderError: nobody subscribed; at once.
            DeadlineExceededError: no reply in time.
            WorkflowAgentError: the handler raised it; any other exception arrives as InternalError.
            UsageError: the subject is not valid.
            UnreachableError: the bus has stopped.
        """
        if not self._open:
            self._refuse_strangers()
        route = self._routes.get(message.subject)
        if route is None:
            route = self._resolve(message.subject)
        if not route:
            raise NoResponderError(f"Nobody answers on {message.subject}", run_id=message.run_id)
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Message] = loop.create_future()
        timer = None
        if timeout_s is not None or message.deadline is not None:
            timer = _set_timer(loop, message, timeout_s, reply)
        deliveries = []
        for lanes in route:
            delivery = Delivery(message, reply)
            deliveries.append(delivery)
            lane = lanes[0] if len(lanes) == 1 else self._pick(lanes)
            lane.offer(delivery)
        try:
            return await reply
        except _ExpiredError:
            await self._give_up(deliveries)
            raise _too_late(message) from None
        except asyncio.CancelledError:
            await self._give_up(deliveries)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def ask(self, message: Message, answered: Callable[[Message | WorkflowAgentError], None]) -> PendingAnswer:
        """Send, and call a function with the first reply or with why there is none; not before this has returned.

        Nobody is waited for, so a deadline of the message is not kept: whoever asks gives up.

        Raises:
            NoResponderError: nobody subscribed.
            UsageError: the subject is not valid.
            UnreachableError: the bus has stopped.
        """
        if not self._open:
            self._refuse_strangers()
        route = self._routes.get(message.subject)
        if route is None:
            route = self._resolve(message.subject)
        if not route:
            raise NoResponderError(f"Nobody answers on {message.subject}", run_id=message.run_id)
        asked = PendingAnswer(answered, self._give_up)
        for lanes in route:
            delivery = Delivery(message, asked)
            asked.goes_by(delivery)
            lane = lanes[0] if len(lanes) == 1 else self._pick(lanes)
            lane.offer(delivery)
        return asked

    async def drain(self) -> None:
        """Take nothing new from outside, let handlers finish what is queued (and what they send for it).

        Idempotent. Cancelled, it stops at once: what waits is refused, what runs is cancelled and waited for.

        Raises:
            UsageError: called by a handler of this bus, which would wait for itself.
        """
        if current_lane.get() in self._lanes:
            raise UsageError("A handler cannot drain the bus that runs it", hint="let the owner of the bus do it")
        self._open = False
        try:
            while busy := [lane for lane in self._lanes if lane.load]:
                await busy[0].quiet()
            self._drained = True
            for lane in tuple(self._lanes):
                await lane.close()
        except asyncio.CancelledError:
            await self._abort()
            raise

    async def _abort(self) -> None:
        self._drained = True
        ending = [worker for lane in tuple(self._lanes) for worker in lane.abort()]
        if ending:
            await asyncio.wait(ending, timeout=self._grace_s)
        for lane in tuple(self._lanes):
            self._unsubscribe(lane)

    def _refuse_strangers(self) -> None:
        """While draining only the handlers that are still at work may send."""
        if self._drained or current_lane.get() not in self._lanes:
            raise stopped()

    def _resolve(self, subject: str) -> Route:
        """Find who gets messages of this subject, and remember it."""
        lanes = sorted(self._trie.match(subject), key=_by_age)
        groups: dict[str, list[Lane]] = {}
        for lane in lanes:
            if lane.queue is not None:
                groups.setdefault(lane.queue, []).append(lane)
        alone = [(lane,) for lane in lanes if lane.queue is None]
        route = (*alone, *(tuple(members) for members in groups.values()))
        if len(self._routes) >= ROUTES_KEPT:
            self._routes.clear()
        self._routes[subject] = route
        return route

    def _pick(self, members: tuple[Lane, ...]) -> Lane:
        """Choose the member with the least to do; among equals the one that was chosen longest ago."""
        lane = min(members, key=_by_load)
        lane.picked = self._numbers()
        return lane

    async def _wait_for_room(self, message: Message, full: Sequence[Delivery]) -> None:
        try:
            async with asyncio.timeout_at(message.deadline):
                for delivery in full:
                    assert delivery.room is not None
                    await delivery.room
        except TimeoutError:
            raise _too_late(message) from None
        finally:
            for delivery in full:
                _leave(delivery)

    async def _give_up(self, deliveries: Sequence[Delivery]) -> None:
        """Withdraw what a requester no longer waits for, and wait for its handlers to end."""
        ending = [ended for delivery in deliveries if (ended := delivery.withdraw()) is not None]
        if not ending:
            return
        _, stubborn = await asyncio.wait(ending, timeout=self._grace_s)
        if stubborn:
            subject = deliveries[0].message.subject
            logger.warning("The handler of %s goes on, %g s after it was cancelled", subject, self._grace_s)

    def _unsubscribe(self, lane: Lane) -> None:
        self._trie.remove(lane.pattern, lane)
        self._routes.clear()

    def _forget(self, lane: Lane) -> None:
        self._lanes.discard(lane)


def _by_age(lane: Lane) -> int:
    return lane.number


def _by_load(lane: Lane) -> tuple[int, int]:
    return lane.load, lane.picked


def _leave(delivery: Delivery) -> None:
    """Take back a parked delivery whose publisher stops waiting."""
    room = delivery.room
    assert room is not None
    if room.cancel() or room.cancelled():
        delivery.withdraw()


def _set_timer(
    loop: asyncio.AbstractEventLoop, message: Message, timeout_s: float | None, reply: asyncio.Future[Message]
) -> asyncio.TimerHandle:
    """Let the reply fail at the earlier of the two times; raises DeadlineExceededError if that is past."""
    now = loop.time()
    due = math.inf if message.deadline is None else message.deadline
    if timeout_s is not None and now + timeout_s < due:
        due = now + timeout_s
    if due <= now:
        raise _too_late(message)
    return loop.call_at(due, _expire, reply)


def _expire(reply: asyncio.Future[Message]) -> None:
    if not reply.done():
        reply.set_exception(_ExpiredError())


def _too_late(message: Message) -> DeadlineExceededError:
    return DeadlineExceededError(f"Nothing came of {message.subject} in time", run_id=message.run_id)
