"""A request whose answer calls a function, where :meth:`InProcessBus.request` wakes a task.

A task for each request, and a future that wakes it, are two turns of the event loop; a caller that only notes what
came needs neither.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from workflow_agent.model.errors import InternalError, WorkflowAgentError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from workflow_agent.bus.backlog import Delivery
    from workflow_agent.model.message import Message

__all__ = ["PendingAnswer"]


class PendingAnswer:
    """Takes the place of the future in which a lane puts the answer.

    Args:
        answered: Called once, with the reply or with why there is none; not after :meth:`give_up`.
        withdraw: Takes deliveries back from whoever has them, and waits until they have ended.
    """

    __slots__ = ("_answered", "_deliveries", "_waiters", "_withdraw")

    def __init__(
        self,
        answered: Callable[[Message | WorkflowAgentError], None],
        withdraw: Callable[[Sequence[Delivery]], Awaitable[None]],
    ) -> None:
        # These know who holds this: they are let go with the answer, so that nothing is left to the garbage collector.
        self._answered: Callable[[Message | WorkflowAgentError], None] | None = answered
        self._deliveries: tuple[Delivery, ...] = ()
        self._withdraw = withdraw
        self._waiters: tuple[asyncio.Future[None], ...] = ()

    def goes_by(self, delivery: Delivery) -> None:
        """Note one of the deliveries that carry it."""
        self._deliveries = (*self._deliveries, delivery)

    def done(self) -> bool:
        """Say whether it was answered, or given up."""
        return self._answered is None

    def set_result(self, reply: Message) -> None:
        """Take the reply."""
        self._end(reply)

    def set_exception(self, error: Exception) -> None:
        """Take why there is none."""
        ours = error if isinstance(error, WorkflowAgentError) else InternalError(cause=repr(error))
        self._end(ours)

    async def wait(self, timeout_s: float) -> bool:
        """Wait until it is answered, for so many seconds at most; says whether it is."""
        if self._answered is not None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters = (*self._waiters, waiter)
            await asyncio.wait({waiter}, timeout=timeout_s)
        return self._answered is None

    async def give_up(self) -> None:
        """Want no answer any more, and wait until the handler has ended, as long as the bus waits for that."""
        deliveries = self._deliveries
        if self._answered is not None:
            self._end(None)
            await self._withdraw(deliveries)

    def _end(self, answer: Message | WorkflowAgentError | None) -> None:
        answered, self._answered, self._deliveries = self._answered, None, ()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        if answered is not None and answer is not None:
            answered(answer)
