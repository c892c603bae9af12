"""Server-sent events: one per thing that happened, a comment when nothing does, and never more than a client takes.

Nothing is queued for a client: the next event is read when it has taken the one before. One that takes nothing for a
while is left, and comes back with ``Last-Event-ID``.

Source: WHATWG HTML, section 9.2 (server-sent events).
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from workflow_agent.model.errors import BusyError, WorkflowAgentError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from workflow_agent.api.port import RunEvent

__all__ = ["EventStreams"]

logger = logging.getLogger(__name__)

HEARTBEAT_S: Final = 15.0
#: Seconds after which a client that takes nothing is left.
STALLED_S: Final = 30.0


class EventStreams:
    """The streams that are open now.

    Args:
        most: So many at the same time.
        heartbeat_s: Seconds without an event after which a comment is sent.
        stalled_s: Seconds after which a client that takes nothing is left.
    """

    def __init__(self, most: int, *, heartbeat_s: float = HEARTBEAT_S, stalled_s: float = STALLED_S) -> None:
        self._most = most
        self._heartbeat_s = heartbeat_s
        self._stalled_s = stalled_s
        self._open: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._open)

    def check_room(self) -> None:
        """Check that one more can be opened; raises BusyError."""
        if len(self._open) >= self._most:
            raise BusyError(f"{self._most} streams of events are open", hint="close one, or try again later")

    async def send(self, request: web.Request, events: AsyncIterator[RunEvent], **headers: str) -> web.StreamResponse:
        """Send events to their end.

        Args:
            request: Who wants them.
            events: What happens.
            headers: Of the answer, besides.

        Raises:
            BusyError: as many streams as may be are open.
        """
        with self._counted():
            answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", **headers})
            await answer.prepare(request)
            async with aclosing(_beating(events, self._heartbeat_s)) as found:
                try:
                    async for text in found:
                        await self._write(answer, text)
                    await answer.write_eof()
                except (ConnectionError, TimeoutError):
                    self._leave(request)
                except WorkflowAgentError as error:
                    logger.warning("a stream of events ended: %s", error.message)
                    self._leave(request)  # not as if it were the end: the client asks again
        return answer

    def close(self) -> None:
        """End all streams as they stand; their clients come back to whoever listens then."""
        for task in self._open:
            task.cancel()

    async def _write(self, answer: web.StreamResponse, text: str) -> None:
        async with asyncio.timeout(self._stalled_s):
            await answer.write(text.encode("utf-8", "replace"))

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.check_room()
        task: Any = asyncio.current_task()
        self._open.add(task)
        try:
            yield
        finally:
            self._open.discard(task)

    @staticmethod
    def _leave(request: web.Request) -> None:
        if request.transport is not None:
            request.transport.abort()


async def _beating(events: AsyncIterator[RunEvent], heartbeat_s: float) -> AsyncGenerator[str]:
    """Give events as texts, and a comment whenever nothing happened for a while."""
    following: asyncio.Task[RunEvent] | None = None
    yield ": these are the events of a run\n\n"
    try:
        while True:
            following = following or asyncio.create_task(_next(events))
            await asyncio.wait({following}, timeout=heartbeat_s)
            if not following.done():
                yield ": nothing new\n\n"
                continue
            done, following = following, None
            try:
                yield _text(done.result())
            except StopAsyncIteration:
                return
    finally:
        if following is not None:
            following.cancel()
            await asyncio.wait({following})


async def _next(events: AsyncIterator[RunEvent]) -> RunEvent:
    return await anext(events)


def _text(event: RunEvent) -> str:
    data = {
        "type": event.type,
        "timestamp": event.timestamp.isoformat(),
        "run_id": event.run_id,
        "workflow": event.workflow,
        "step": event.step,
        "message": event.message,
        "details": dict(event.details),
    }
    return f"id: {event.id}\nevent: {event.type}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
