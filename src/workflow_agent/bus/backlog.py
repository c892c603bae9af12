"""What waits for a subscriber: deliveries ordered by priority, first come first served within one. Pure."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from workflow_agent.model.message import PRIORITY_NORMAL

if TYPE_CHECKING:
    import asyncio

    from workflow_agent.bus.asked import PendingAnswer
    from workflow_agent.bus.lane import Lane
    from workflow_agent.model.message import Message

__all__ = ["Backlog", "Delivery"]


class Delivery:
    """One message on its way to one subscriber. Mutable; owned by the lane that took it.

    Attributes:
        message: What is carried.
        reply: Where a requester waits for the answer; None for a published message.
        room: Where a publisher waits because the queue is full.
        lane: The subscriber that took it.
        worker: The task that runs the handler for it now; None before and after.
        ended: Set when the requester has given up while the handler runs; done when the handler has ended.
    """

    __slots__ = ("ended", "lane", "message", "reply", "room", "worker")

    def __init__(self, message: Message, reply: asyncio.Future[Message] | PendingAnswer | None) -> None:
        self.message = message
        self.reply = reply
        self.room: asyncio.Future[None] | None = None
        self.lane: Lane | None = None
        self.worker: asyncio.Task[None] | None = None
        self.ended: asyncio.Future[None] | None = None

    def withdraw(self) -> asyncio.Future[None] | None:
        """Ask the lane to forget it; gives what to wait for when its handler runs."""
        return None if self.lane is None else self.lane.withdraw(self)


class Backlog:
    """A priority queue that costs one deque operation for messages of normal priority, nearly all of them.

    Attributes:
        size: How many wait; to be read only. An attribute, because it is asked five times per message.
    """

    __slots__ = ("_later", "_normal", "_order", "_urgent", "size")

    def __init__(self) -> None:
        self.size = 0
        self._normal: deque[Delivery] = deque()
        self._urgent: list[tuple[int, int, Delivery]] = []
        self._later: list[tuple[int, int, Delivery]] = []
        self._order = count()

    def push(self, delivery: Delivery) -> None:
        """Add behind everything of the same priority."""
        self.size += 1
        priority = delivery.message.priority
        if priority == PRIORITY_NORMAL:
            self._normal.append(delivery)
        else:
            heap = self._urgent if priority < PRIORITY_NORMAL else self._later
            heappush(heap, (priority, next(self._order), delivery))

    def pop(self) -> Delivery:
        """Take the next one, of which there must be one."""
        self.size -= 1
        if self._urgent:
            return heappop(self._urgent)[2]
        if self._normal:
            return self._normal.popleft()
        return heappop(self._later)[2]

    def remove(self, delivery: Delivery) -> bool:
        """Take one out wherever it stands; says whether it was there. O(n), for what was given up."""
        if delivery in self._normal:
            self._normal.remove(delivery)
            self.size -= 1
            return True
        for heap in (self._urgent, self._later):
            for index, entry in enumerate(heap):
                if entry[2] is delivery:
                    del heap[index]
                    heapify(heap)
                    self.size -= 1
                    return True
        return False
