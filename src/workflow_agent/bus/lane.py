"""A subscription of the in-process bus: a bounded backlog and the workers that empty it.

Life of a delivery: offered, then queued (or parked while the queue is full), then running, then answered. The
lane owns its workers: at most `concurrency` tasks, started when there is work for one more, ended by `close`.
A worker waits on a bare future and is woken directly.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workflow_agent.bus.backlog import Backlog, Delivery
from workflow_agent.model.errors import InternalError, UnreachableError, WorkflowAgentError, error_from_dict
from workflow_agent.model.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflow_agent.bus.asked import PendingAnswer
    from workflow_agent.model.ports import Handler

__all__ = ["Lane", "current_lane", "stopped"]

logger = logging.getLogger(__name__)

#: A worker lets others run after so many messages, should its handler never wait for anything.
FAIR_SHARE = 64

#: The lane whose handler runs here; tasks that the handler starts inherit it.
current_lane: contextvars.ContextVar[Lane | None] = contextvars.ContextVar("current_lane", default=None)


def stopped() -> UnreachableError:
    """Make the error of everything that comes after `drain`."""
    return UnreachableError("The bus has stopped", hint="start the engine again")


class Lane:
    """One subscription. The bus offers deliveries; workers hand them to the handler."""

    def __init__(
        self,
        pattern: str,
        handler: Handler,
        *,
        number: int,
        queue: str | None,
        limit: int,
        concurrency: int,
        on_close: Callable[[Lane], None],
        on_end: Callable[[Lane], None],
    ) -> None:
        self.pattern = pattern
        self.number = number
        self.queue = queue
        self.picked = 0  # when the queue group last chose it
        self._handler = handler
        self._limit = limit
        self._concurrency = concurrency
        self._on_close = on_close
        self._on_end = on_end
        self._backlog = Backlog()
        self._parked = Backlog()
        self._workers: set[asyncio.Task[None]] = set()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._quiet: list[asyncio.Future[None]] = []
        self._closed = False
        # Handlers see the context of their subscriber, not that of whoever published first. A worker keeps its
        # context from message to message: a handler that sets a context variable resets it.
        self._context = contextvars.copy_context()
        self._context.run(current_lane.set, self)

    @property
    def load(self) -> int:
        """Count what is running, queued and parked."""
        return self._backlog.size + self._parked.size + len(self._workers) - len(self._idle)

    def offer(self, delivery: Delivery) -> bool:
        """Queue a delivery, or park it while the queue is full and say False."""
        delivery.lane = self
        if self._backlog.size >= self._limit:
            self._parked.push(delivery)
            return False
        self._enqueue(delivery)
        return True

    def withdraw(self, delivery: Delivery) -> asyncio.Future[None] | None:
        """Forget a delivery that nobody waits for any more.

        A waiting one leaves the queue; a running handler is cancelled: the future is done when it has ended.
        """
        if delivery.worker is not None:
            delivery.ended = delivery.worker.get_loop().create_future()
            delivery.worker.cancel()
            return delivery.ended
        if not self._parked.remove(delivery) and self._backlog.remove(delivery):
            self._admit()
        return None

    async def close(self) -> None:
        """Stop receiving; return when what is queued has been handled and the workers have ended.

        From inside its own handler it returns at once, because that handler would wait for itself.
        """
        if not self._closed:
            self._closed = True
            self._on_close(self)
            self._wake_all()
            if not self._workers:
                self._on_end(self)
        while self._workers and current_lane.get() is not self:
            await asyncio.wait(self._workers)

    async def quiet(self) -> None:
        """Return when nothing is queued, parked or running."""
        if self.load:
            waiter = asyncio.get_running_loop().create_future()
            self._quiet.append(waiter)
            await waiter

    def abort(self) -> set[asyncio.Task[None]]:
        """Refuse what waits and cancel what runs; gives the tasks that are ending."""
        for waiting in (self._parked, self._backlog):
            while waiting.size:
                delivery = waiting.pop()
                _refuse(delivery.room)
                _refuse(delivery.reply)
        self._closed = True
        for worker in self._workers:
            worker.cancel()
        self._settle()
        if not self._workers:
            self._on_end(self)
        return set(self._workers)

    def _enqueue(self, delivery: Delivery) -> None:
        self._backlog.push(delivery)
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        if len(self._workers) < self._concurrency:
            self._hire()

    def _hire(self) -> None:
        worker = asyncio.get_running_loop().create_task(self._work(), context=self._context.copy())
        self._workers.add(worker)
        worker.add_done_callback(self._retire)

    def _retire(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        # the place of one that was cancelled while it was idle
        self._idle = deque(waiter for waiter in self._idle if not waiter.done())
        if self._backlog.size and not self._workers:  # it was cancelled from outside
            self._hire()
        self._settle()
        if self._closed and not self._workers:
            self._on_end(self)

    def _admit(self) -> None:
        """Move one parked delivery into the queue; one whose publisher was cancelled just now is dropped."""
        while self._parked.size:
            delivery = self._parked.pop()
            if delivery.room is not None:
                if delivery.room.done():
                    continue
                delivery.room.set_result(None)
            self._enqueue(delivery)
            return

    async def _work(self) -> None:
        worker, loop, backlog = asyncio.current_task(), asyncio.get_running_loop(), self._backlog
        assert worker is not None
        while True:
            while not backlog.size:
                if self._closed:
                    return
                waiter = loop.create_future()
                self._idle.append(waiter)
                if self._quiet:
                    self._settle()
                await waiter
            await self._serve(worker)

    async def _serve(self, worker: asyncio.Task[None]) -> None:
        """Handle what is queued, up to the fair share."""
        backlog, parked, handler = self._backlog, self._parked, self._handler
        for _ in range(FAIR_SHARE):
            if not backlog.size:
                return
            delivery = backlog.pop()
            if parked.size:
                self._admit()
            delivery.worker = worker
            try:
                result = await handler(delivery.message)
            except asyncio.CancelledError as error:
                if delivery.ended is None and worker.cancelling():
                    _refuse(delivery.reply)
                    raise
                _fail(delivery, error)
            except Exception as error:  # noqa: BLE001 -- the border: a handler never kills the bus
                _fail(delivery, error)
            else:
                if delivery.reply is not None:
                    _answer(delivery, delivery.reply, result)
            delivery.worker = None
            if delivery.ended is not None:
                _release(delivery.ended, worker)
        await asyncio.sleep(0)

    def _wake_all(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def _settle(self) -> None:
        if not self.load:
            for waiter in self._quiet:
                if not waiter.done():
                    waiter.set_result(None)
            self._quiet.clear()


def _answer(
    delivery: Delivery, reply: asyncio.Future[Message] | PendingAnswer, result: Mapping[str, Any] | None
) -> None:
    """Give the requester the handler's data, unless somebody was faster or nobody waits."""
    if reply.done():
        return
    request = delivery.message
    if result is None:
        result = {}
    elif type(result) is not dict and not isinstance(result, Mapping):  # the first test spares the slow second
        _fail(delivery, TypeError(f"the handler returned {type(result).__name__}, not a mapping"))
        return
    reply.set_result(
        Message(
            request.reply_to or request.subject,
            result,
            "reply",
            request.subject,
            request.correlation_id or request.id,
            request.id,
            request.run_id,
            request.step_id,
            request.attempt,
            request.priority,
            None,
            request.headers,
        )
    )


def _fail(delivery: Delivery, error: BaseException) -> None:
    """Tell the requester; log what is a defect, or what has no requester who could hear of it."""
    subject, reply = delivery.message.subject, delivery.reply
    if delivery.ended is not None and isinstance(error, asyncio.CancelledError):
        return
    if not isinstance(error, WorkflowAgentError):
        logger.error("The handler of %s failed", subject, exc_info=error)
        error = InternalError(
            f"The handler of {subject} failed",
            cause=f"{type(error).__name__}: {error}",
            run_id=delivery.message.run_id,
        )
    elif reply is None:
        logger.warning("The handler of %s refused %s: %s", subject, delivery.message.id, error)
    if reply is not None and not reply.done():
        # through the wire form, so that every transport gives the same
        reply.set_exception(error_from_dict(error.to_dict()))


def _refuse(waiter: asyncio.Future[Any] | PendingAnswer | None) -> None:  # Any: a requester's or a publisher's
    if waiter is not None and not waiter.done():
        waiter.set_exception(stopped())


def _release(ended: asyncio.Future[None], worker: asyncio.Task[None]) -> None:
    """The handler of a request that was given up has ended: take the cancellation back and go on."""
    if not ended.done():
        ended.set_result(None)
    if worker.uncancel():
        raise asyncio.CancelledError
