"""Whatever goes wrong, the answer is a problem in our form, and tells nothing of the inside."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from workflow_agent.api.problems import problem, problems_as_answers
from workflow_agent.api.server import listener, listening
from workflow_agent.model.errors import error_classes, error_from_dict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def asked(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> tuple[int, dict[str, object]]:
    application = web.Application(middlewares=[problems_as_answers])
    application.router.add_get("/", handler)
    with listener("localhost:0", None) as (sock, url):
        async with listening(application, sock), aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.content_type == "application/problem+json"
            return answer.status, await answer.json(content_type=None)


async def test_a_defect_is_told_without_the_inside_and_logged_with_it(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: web.Request) -> web.StreamResponse:
        raise RuntimeError("canary-of-the-inside")

    with caplog.at_level(logging.ERROR):
        status, said = await asked(broken)

    assert (status, said["code"]) == (500, "internal")
    assert "canary" not in str(said)
    assert "canary-of-the-inside" in caplog.text


@pytest.mark.parametrize(("refusal", "code"), [(web.HTTPServiceUnavailable, "internal"), (web.HTTPGone, "usage")])
async def test_what_the_framework_refuses_is_told_in_our_form(refusal: type[web.HTTPException], code: str) -> None:
    async def refused(_: web.Request) -> web.StreamResponse:
        raise refusal

    status, said = await asked(refused)

    assert (status, said["code"]) == (refusal.status_code, code)


@pytest.mark.parametrize("cls", list(error_classes()), ids=lambda cls: cls.__name__)
def test_each_error_comes_out_at_the_other_end(cls: type) -> None:
    error = cls("it failed", where="w", cause="c", state="s", hint="h", run_id="r-1", details={"a": [1]})
    answer = problem(error)
    said = json.loads(str(answer.text))

    assert (answer.status, said["status"], said["detail"]) == (error.http_status, error.http_status, "it failed")
    again = error_from_dict(said)
    assert (type(again), again.to_dict()) == (cls, error.to_dict())
