"""Streams of events: bounded in number, alive while nothing happens, and left by the server when nobody takes them."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from workflow_agent.api.problems import problems_as_answers
from workflow_agent.api.server import listener, listening
from workflow_agent.api.streams import EventStreams
from workflow_agent.client.events import WorkflowEvent
from workflow_agent.model.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from workflow_agent.api.port import RunEvent


def event(number: int, size: int = 0) -> WorkflowEvent:
    return WorkflowEvent(
        type="step_completed",
        timestamp=datetime(2026, 1, 31, tzinfo=UTC),
        run_id="r-1",
        workflow="w",
        step=f"s{number}",
        message="done\nreally",
        details={"text": "x" * size},
        id=str(number),
    )


@asynccontextmanager
async def served(streams: EventStreams, events: Callable[[], AsyncIterator[RunEvent]]) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await streams.send(request, events())

    application = web.Application(middlewares=[problems_as_answers])
    application.router.add_get("/", answer)
    with listener("127.0.0.1:0", None) as (sock, url):
        async with listening(application, sock):
            yield url


async def test_a_comment_comes_while_nothing_happens() -> None:
    go = asyncio.Event()

    async def events() -> AsyncIterator[RunEvent]:
        yield event(1)
        await go.wait()
        yield event(2)

    streams = EventStreams(1, heartbeat_s=0.05)
    async with served(streams, events) as url, aiohttp.ClientSession() as session, session.get(url) as answer:
        text = ""
        async for piece in answer.content.iter_any():
            text += piece.decode()
            if text.count(": nothing new\n\n") == 3:
                go.set()

    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    assert [block.split("\n")[0] for block in blocks] == ["id: 1", "id: 2"]
    assert all(len(block.split("\n")) == 3 for block in blocks)  # a line end in a sentence ends no line
    assert len(streams) == 0


async def test_one_stream_more_than_may_be_is_sent_away() -> None:
    go = asyncio.Event()

    async def events() -> AsyncIterator[RunEvent]:
        await go.wait()
        yield event(1)

    async with served(EventStreams(1), events) as url, aiohttp.ClientSession() as session:
        async with session.get(url) as first:
            async with session.get(url) as second:
                assert (second.status, second.headers["Retry-After"]) == (429, "1")
                assert (await second.json())["code"] == "unreachable.busy"
            go.set()
            assert b"id: 1\n" in await first.read()
        async with session.get(url) as third:
            assert third.status == 200


async def test_who_takes_nothing_is_left_and_what_he_read_from_is_closed() -> None:
    """Events are read one by one as they are taken: nothing piles up for him."""
    made, closed = [0], asyncio.Event()

    async def events() -> AsyncIterator[RunEvent]:
        try:
            while True:
                made[0] += 1
                yield event(made[0], size=100_000)
        finally:
            closed.set()

    streams = EventStreams(1, stalled_s=0.3)
    async with served(streams, events) as url:
        host, port = url.removeprefix("http://").split(":")
        began = time.monotonic()
        reader, writer = await asyncio.open_connection(host, int(port), limit=1000)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.wait_for(closed.wait(), 20)
        assert time.monotonic() - began > 0.25
        assert made[0] < 500  # 50 MB: what sockets hold, and no more
        assert len(streams) == 0
        writer.close()
        del reader


async def test_an_end_that_is_none_is_not_told_as_one() -> None:
    """A client that sees the stream break asks again; one that sees it end does not."""

    async def events() -> AsyncIterator[RunEvent]:
        yield event(1)
        raise StoreError("the database went away")

    async with served(EventStreams(1), events) as url, aiohttp.ClientSession() as session, session.get(url) as answer:
        seen = await answer.content.readuntil(b"id: 1\n")
        assert b"these are the events" in seen
        with pytest.raises(aiohttp.ClientError):
            await answer.content.read()
