"""Requests of steps, against a real server on this machine."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from workflow_agent.agents.http_agent import HttpAgent, HttpRequest
from workflow_agent.agents.http_calls import AiohttpCalls, HttpCall, shown_address
from workflow_agent.model.errors import (
    ParameterError,
    StepFailedError,
    StepTimeoutError,
    UnreachableError,
    WorkflowAgentError,
)
from workflow_agent.model.message import Message
from workflow_agent.security.secret import Secret
from workflow_agent.security.vault import Vault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_TOKEN = "a-very-secret-token"
_RUN = "r-1"


class Site:
    """A server that keeps what it was asked."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.never = asyncio.Event()
        self.server = TestServer(web.Application())
        self.server.app.router.add_route("*", "/{way:.*}", self._answer)

    def url(self, way: str) -> str:
        return str(self.server.make_url(way))

    async def _answer(self, request: web.Request) -> web.StreamResponse:  # noqa: PLR0911  # a table of answers
        body = await request.text()
        self.seen.append({"method": request.method, "path": request.path_qs, "headers": request.headers, "body": body})
        match request.match_info["way"].split("/"):
            case ["echo"]:
                data = {"auth": request.headers.get("Authorization"), "body": body, "ok": True}
                return web.json_response(data, headers={"Set-Cookie": "session=1", "X-Kind": "echo"})
            case ["status", code]:
                return web.Response(status=int(code), text=f"{request.headers.get('Authorization')} said {code}")
            case ["to", way]:
                return web.Response(status=302, headers={"Location": f"/{way}"})
            case ["round"]:
                return web.Response(status=302, headers={"Location": "/round"})
            case ["away"]:
                return web.Response(status=307, headers={"Location": "http://127.0.0.2:1/"})
            case ["large"]:
                return web.Response(body=b"x" * 5000)
            case ["wrong"]:
                return web.Response(text="{", content_type="application/json", charset="utf-8")
            case ["slow"]:
                await self.never.wait()
        return web.Response(text="plain")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    await made.server.start_server()
    yield made
    made.never.set()
    await made.server.close()


@pytest.fixture
def vault() -> Vault:
    held = Vault()
    held.hold(_RUN, {"token": Secret(_TOKEN)})
    return held


async def ask(vault: Vault, **said: Any) -> dict[str, Any]:
    """Ask the agent as the bus does; gives the reply with what it says besides."""
    message = Message(
        "agent.http.request", said, source="test", run_id=_RUN, step_id="call", headers={"idempotency-key": "key-1"}
    )
    verb = HttpAgent(vault, AiohttpCalls()).verbs()["request"]
    reply, special = await verb.handler(HttpRequest.model_validate(said), message)
    return {**reply.model_dump(mode="json"), **special}


async def test_an_answer_is_kept_without_cookies_and_without_secrets(site: Site, vault: Vault) -> None:
    headers = {"Authorization": {"$secret": "token", "before": "Bearer "}}

    reply = await ask(vault, url=site.url("/echo"), headers=headers, query={"a": "1 2"}, keep_as="found")

    assert site.seen[0]["headers"]["Authorization"] == f"Bearer {_TOKEN}"
    assert site.seen[0]["path"] == "/echo?a=1+2"
    assert reply["status"] == 200
    assert reply["data"] == {"auth": "Bearer ***", "body": "", "ok": True}
    assert reply["text"] == ""
    assert reply["_state"] == {"set": {"found": reply["data"]}}
    assert reply["headers"]["X-Kind".lower()] == "echo"
    assert "set-cookie" not in reply["headers"]
    assert _TOKEN not in json.dumps(reply)


async def test_what_is_sent_twice_carries_the_same_key_and_a_text_goes_as_it_is(site: Site, vault: Vault) -> None:
    await ask(vault, url=site.url("/echo"), method="post", body={"a": [1, {"$secret": "token"}]})
    await ask(vault, url=site.url("/echo"), method="POST", body="as it is", headers={"Idempotency-Key": "own"})
    await ask(vault, url=site.url("/echo"), method="PUT", body="x")

    first, second, third = site.seen
    assert json.loads(first["body"]) == {"a": [1, _TOKEN]}
    assert first["headers"]["Content-Type"] == "application/json"
    assert first["headers"]["Idempotency-Key"] == "key-1"
    assert (second["body"], second["headers"]["Idempotency-Key"]) == ("as it is", "own")
    assert "Idempotency-Key" not in third["headers"]


@pytest.mark.parametrize(("code", "is_final"), [(404, True), (401, True), (429, False), (503, False)])
async def test_a_status_that_was_not_expected_fails_the_step(
    site: Site, vault: Vault, code: int, is_final: bool
) -> None:
    headers = {"Authorization": {"$secret": "token"}}
    with pytest.raises(StepFailedError, match=f"the status is {code}, expected is 2xx") as failed:
        await ask(vault, url=site.url(f"/status/{code}"), headers=headers)

    assert failed.value.cause == f"*** said {code}"
    assert ("retry" in failed.value.details) is is_final
    assert (await ask(vault, url=site.url(f"/status/{code}"), expect_status=[code]))["status"] == code


@pytest.mark.parametrize(
    ("way", "wanted", "told"),
    [
        ("echo", {"ok": False}, "at `.ok`: true, not false"),
        ("echo", {"ok": {"a": 1}}, "at `.ok`: no object"),
        ("echo", {"missing": 1}, "at `.missing`: null, not 1"),
        ("plain", {"ok": True}, "the answer is no JSON"),
        ("wrong", {"ok": True}, "the answer is no JSON"),
    ],
)
async def test_an_answer_must_hold_what_is_expected(site: Site, vault: Vault, way: str, wanted: Any, told: str) -> None:
    with pytest.raises(StepFailedError) as failed:
        await ask(vault, url=site.url(f"/{way}"), expect_json=wanted)

    assert told in failed.value.message
    assert (await ask(vault, url=site.url("/echo"), expect_json={"ok": True, "body": ""}))["status"] == 200


async def test_redirects_are_followed_and_nothing_is_taken_elsewhere(site: Site, vault: Vault) -> None:
    reply = await ask(vault, url=site.url("/to/plain"), method="POST", body="gone after it")

    assert (reply["text"], reply["url"]) == ("plain", site.url("/plain"))
    assert [(each["method"], each["body"]) for each in site.seen] == [("POST", "gone after it"), ("GET", "")]
    with pytest.raises(StepFailedError, match="leads to another one") as refused:
        await ask(vault, url=site.url("/away"), headers={"Authorization": {"$secret": "token"}})
    assert refused.value.details["retry"] is None
    with pytest.raises(UnreachableError):
        await ask(vault, url=site.url("/away"))  # it carries nothing, and so goes there
    with pytest.raises(StepFailedError, match="more than 5 redirects"):
        await AiohttpCalls().send(HttpCall(method="GET", url=site.url("/round")))


async def test_size_and_time_are_bounded(site: Site, vault: Vault) -> None:
    with pytest.raises(StepFailedError, match="larger than 4000 bytes"):
        await ask(vault, url=site.url("/large"), max_bytes=4000)
    assert len((await ask(vault, url=site.url("/large"), max_bytes=5000))["text"]) == 5000
    with pytest.raises(StepTimeoutError, match=r"no answer within 0\.05 s"):
        await ask(vault, url=site.url("/slow"), timeout="50ms")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"url": "ftp://example.org/x"}, "begins with"),
        ({"url": "http://user:password@example.org/x"}, "no user and no password"),
        ({"url": "http://[::1/x"}, "cannot be used"),
        ({"url": 3}, "`url` must be a text"),
        ({"url": "http://example.org", "method": "FETCH"}, "no method `FETCH`"),
        ({"url": {"$secret": "unknown"}}, "`unknown` is needed"),
    ],
)
async def test_a_request_that_cannot_be_meant_is_refused_before_it_is_sent(
    vault: Vault, said: dict[str, Any], told: str
) -> None:
    with pytest.raises(ParameterError, match=told) as refused:
        await ask(vault, **said)

    assert "password@" not in str(refused.value.to_dict())


async def test_an_address_that_is_a_secret_is_never_shown(site: Site) -> None:
    vault = Vault()
    vault.hold(_RUN, {"address": Secret(site.url("/status/500?key=abcdefgh"))})

    with pytest.raises(WorkflowAgentError) as failed:
        await ask(vault, url={"$secret": "address"})

    assert "abcdefgh" not in str(failed.value.to_dict())
    assert "/status" not in str(failed.value.to_dict())


async def test_nobody_there_is_said_so(vault: Vault, unused_tcp_port: int) -> None:
    with pytest.raises(UnreachableError, match="nothing answered") as failed:
        await ask(vault, url=f"http://127.0.0.1:{unused_tcp_port}/x?token=1")

    assert failed.value.where == f"http://127.0.0.1:{unused_tcp_port}/x"
    assert shown_address("http://[bad") == "http://[bad"
