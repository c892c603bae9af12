"""Fetching from real servers on this machine, which tests allow by name."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from workflow_agent.knowledge.fetching import FetchLimits, fetch_page
from workflow_agent.model.errors import PermissionDeniedError, UnreachableError, ValidationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[int]:
    """Serve every path of a port of this machine by one function."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def page(body: str = "<h1>Page</h1>") -> Handler:
    async def answer(request: web.Request) -> web.Response:
        del request
        return web.Response(text=body, content_type="text/html")

    return answer


def allowing(*ports: int, **more: float) -> FetchLimits:
    return FetchLimits(allowed=frozenset(f"127.0.0.1:{port}" for port in ports), **more)  # type: ignore[arg-type]


async def test_a_page_comes_with_its_hash_and_its_type() -> None:
    async with served(page("<h1>Grüße</h1>")) as port:
        got = await fetch_page(f"http://127.0.0.1:{port}/x", allowing(port))

    assert (got.text, got.media_type) == ("<h1>Grüße</h1>", "text/html")
    assert len(got.sha256) == 64


async def test_this_machine_is_refused_where_nobody_allowed_it() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(text="secret")

    async with served(answer) as port:
        with pytest.raises((PermissionDeniedError, ValidationError)):
            await fetch_page(f"http://127.0.0.1:{port}/", FetchLimits(plain_http=True))

    assert asked == []


async def test_a_redirect_is_judged_like_a_new_address() -> None:
    asked: list[str] = []

    async def secret(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(text="secret")

    async with served(secret) as other:

        async def answer(request: web.Request) -> web.Response:
            del request
            raise web.HTTPFound(f"http://127.0.0.1:{other}/admin")

        async with served(answer) as port:
            with pytest.raises((PermissionDeniedError, ValidationError)):
                await fetch_page(f"http://127.0.0.1:{port}/", allowing(port))

    assert asked == []


async def test_a_relative_redirect_is_followed() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/old":
            raise web.HTTPMovedPermanently("/new")
        return web.Response(text=f"<p>{request.path}", content_type="text/html")

    async with served(answer) as port:
        got = await fetch_page(f"http://127.0.0.1:{port}/old", allowing(port))

    assert got.text == "<p>/new"
    assert got.address.endswith("/new")
    assert got.asked.endswith("/old")


async def test_redirects_end() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound("/again")

    async with served(answer) as port:
        with pytest.raises(UnreachableError, match="redirects"):
            await fetch_page(f"http://127.0.0.1:{port}/", allowing(port))

    assert len(asked) == 6


async def test_the_connection_goes_to_the_address_that_was_judged() -> None:
    """A resolver that answers something else the second time (rebinding) is not asked a second time."""
    answers: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        del port
        answers.append(host)
        return ["127.0.0.1"]

    async with served(page()) as port:
        limits = FetchLimits(allowed=frozenset({f"docs.example.net:{port}"}))
        got = await fetch_page(f"http://docs.example.net:{port}/", limits, resolve=resolve)

    assert got.text == "<h1>Page</h1>"
    assert answers == ["docs.example.net"]


async def test_a_page_that_is_too_large_is_refused() -> None:
    async with served(page("x" * 5000)) as port:
        with pytest.raises(ValidationError, match="larger"):
            await fetch_page(f"http://127.0.0.1:{port}/", allowing(port, max_bytes=4000))


async def test_size_counts_what_was_unpacked() -> None:
    async def answer(request: web.Request) -> web.Response:
        del request
        packed = gzip.compress(b"x" * 3_000_000)
        return web.Response(body=packed, content_type="text/html", headers={"Content-Encoding": "gzip"})

    async with served(answer) as port:
        with pytest.raises(ValidationError, match="larger"):
            await fetch_page(f"http://127.0.0.1:{port}/", allowing(port, max_bytes=1_000_000))


@pytest.mark.parametrize("kind", ["application/zip", "image/png", "application/octet-stream"])
async def test_what_is_no_text_is_refused_by_its_type(kind: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        del request
        return web.Response(body=b"text", content_type=kind)

    async with served(answer) as port:
        with pytest.raises(ValidationError, match=kind):
            await fetch_page(f"http://127.0.0.1:{port}/", allowing(port))


async def test_bytes_that_call_themselves_text_are_refused() -> None:
    async def answer(request: web.Request) -> web.Response:
        del request
        return web.Response(body=b"PK\x03\x04\0\0", content_type="text/html")

    async with served(answer) as port:
        with pytest.raises(ValidationError, match="no text"):
            await fetch_page(f"http://127.0.0.1:{port}/", allowing(port))


async def test_an_unknown_character_set_is_read_as_utf_8() -> None:
    async def answer(request: web.Request) -> web.Response:
        del request
        return web.Response(body="Grüße".encode(), headers={"Content-Type": "text/html; charset=klingon"})

    async with served(answer) as port:
        got = await fetch_page(f"http://127.0.0.1:{port}/", allowing(port))

    assert got.text == "Grüße"


async def test_an_error_of_the_server_is_told() -> None:
    async def answer(request: web.Request) -> web.Response:
        del request
        return web.Response(status=503)

    async with served(answer) as port:
        with pytest.raises(UnreachableError, match="503"):
            await fetch_page(f"http://127.0.0.1:{port}/", allowing(port))


async def test_a_server_that_does_not_answer_costs_its_time_and_no_more() -> None:
    waiting = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        del request
        await waiting.wait()
        return web.Response()

    async with served(answer) as port:
        with pytest.raises(UnreachableError):
            await fetch_page(f"http://127.0.0.1:{port}/", allowing(port, total_s=0.2))
        waiting.set()


async def test_nobody_there_is_unreachable() -> None:
    async with served(page()) as port:
        pass
    with pytest.raises(UnreachableError):
        await fetch_page(f"http://127.0.0.1:{port}/", allowing(port))


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    async with served(page()) as port:
        got = await fetch_page(f"http://127.0.0.1:{port}/", allowing(port))

    assert got.text == "<h1>Page</h1>"
