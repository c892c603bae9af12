"""What can be asked for, and where."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from workflow_agent.api.guards import PUBLIC
from workflow_agent.api.orders import CancelOrder, PauseOrder, ResumeOrder, RunOrder, SignalOrder, read_order
from workflow_agent.model.errors import UsageError
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.api.port import RunService
    from workflow_agent.api.streams import EventStreams

__all__ = ["Routes"]

_V1 = "/api/v1"
_RUN = "{run:r-[0-9A-HJKMNP-TV-Z]{1,26}}"
_EVENTS = "text/event-stream"
#: Text format of Prometheus.
_FIGURES = "text/plain; version=0.0.4; charset=utf-8"
#: Longest time for which a request waits for the end of a run.
_LONGEST_WAIT_S = 60.0
_MOST_RUNS = 1000
_FEW_RUNS = 20
_LONGEST_KEY = 200


class Routes:
    """Answers requests.

    Args:
        runs: Begins runs and tells of them.
        streams: Sends their events.
    """

    def __init__(self, runs: RunService, streams: EventStreams) -> None:
        self._runs = runs
        self._streams = streams

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Say which request is answered by what."""
        router.add_get("/health", self._health, name=PUBLIC, allow_head=False)
        router.add_get("/metrics", self._metrics, allow_head=False)
        router.add_post(f"{_V1}/workflows/execute", self._execute)
        router.add_get(f"{_V1}/runs", self._list, allow_head=False)
        router.add_get(f"{_V1}/runs/{_RUN}", self._describe, allow_head=False)
        router.add_get(f"{_V1}/runs/{_RUN}/events", self._events, allow_head=False)
        router.add_get(f"{_V1}/runs/{_RUN}/logs", self._logs, allow_head=False)
        router.add_post(f"{_V1}/runs/{_RUN}/cancel", self._cancel)
        router.add_post(f"{_V1}/runs/{_RUN}/pause", self._pause)
        router.add_post(f"{_V1}/runs/{_RUN}/resume", self._resume)
        router.add_post(f"{_V1}/runs/{_RUN}/signal", self._signal)

    async def _health(self, request: web.Request) -> web.Response:
        _only(request)
        found = await self._runs.health()
        return _answer(found, HTTPStatus.SERVICE_UNAVAILABLE if found["status"] == "down" else HTTPStatus.OK)

    async def _metrics(self, request: web.Request) -> web.Response:
        _only(request)
        return web.Response(body=(await self._runs.scraped()).encode(), headers={"Content-Type": _FIGURES})

    async def _execute(self, request: web.Request) -> web.StreamResponse:
        _only(request)
        key = request.headers.get("Idempotency-Key")
        if key is not None and not 0 < len(key) <= _LONGEST_KEY:
            raise UsageError(f"a key has 1 to {_LONGEST_KEY} characters", where="Idempotency-Key")
        order = await read_order(request, RunOrder)
        wants_events = _EVENTS in request.headers.get("Accept", "")
        if wants_events:
            self._streams.check_room()  # before anything begins
        run_id = await self._runs.begin(order, key)
        place = f"{_V1}/runs/{run_id}"
        if wants_events:
            return await self._streams.send(request, await self._runs.events(run_id, ""), Location=place)
        if order.mode == "sync":
            found = await self._runs.describe(run_id, _LONGEST_WAIT_S)
            status = HTTPStatus.ACCEPTED if found["finished_at"] is None else HTTPStatus.OK
            return _answer(found, status, Location=place)
        return _answer(await self._runs.describe(run_id), HTTPStatus.ACCEPTED, Location=place)

    async def _list(self, request: web.Request) -> web.Response:
        _only(request, "limit", "status")
        limit = int(_number(request, "limit", _FEW_RUNS, _MOST_RUNS))
        status = request.query.get("status")
        known = [each.value for each in RunStatus]
        if status is not None and status not in known:
            hint = f"known are {', '.join(known)}"
            raise UsageError(f"there is no status `{status[:60]}`", where="query", hint=hint)
        return _answer({"items": await self._runs.runs(limit, status)})

    async def _describe(self, request: web.Request) -> web.Response:
        _only(request, "wait")
        wait_s = _number(request, "wait", 0.0, _LONGEST_WAIT_S)
        return _answer(await self._runs.describe(request.match_info["run"], wait_s))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        _only(request)
        run_id = await self._runs.resolve(request.match_info["run"])
        after = request.headers.get("Last-Event-ID", "")
        return await self._streams.send(request, await self._runs.events(run_id, after))

    async def _logs(self, request: web.Request) -> web.Response:
        _only(request)
        run_id = await self._runs.resolve(request.match_info["run"])
        return _answer({"run_id": run_id, "lines": await self._runs.logs(run_id)})

    async def _cancel(self, request: web.Request) -> web.Response:
        _only(request)
        order = await read_order(request, CancelOrder)
        run_id = await self._runs.resolve(request.match_info["run"])
        is_asked = await self._runs.cancel(run_id, order.reason)
        return _answer({"run_id": run_id, "cancelled": is_asked}, HTTPStatus.ACCEPTED)

    async def _pause(self, request: web.Request) -> web.Response:
        _only(request)
        order = await read_order(request, PauseOrder)
        await self._runs.pause(request.match_info["run"], order.reason)
        return _answer(await self._runs.describe(request.match_info["run"]), HTTPStatus.ACCEPTED)

    async def _resume(self, request: web.Request) -> web.Response:
        _only(request)
        order = await read_order(request, ResumeOrder)
        await self._runs.resume(request.match_info["run"], order)
        return _answer(await self._runs.describe(request.match_info["run"]), HTTPStatus.ACCEPTED)

    async def _signal(self, request: web.Request) -> web.Response:
        _only(request)
        order = await read_order(request, SignalOrder)
        await self._runs.signal(request.match_info["run"], order.name, order.data)
        return _answer(await self._runs.describe(request.match_info["run"]), HTTPStatus.ACCEPTED)


def _answer(data: Mapping[str, Any], status: int = HTTPStatus.OK, **headers: str) -> web.Response:
    text = json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")
    return web.Response(body=text, status=status, content_type="application/json", headers=headers)


def _only(request: web.Request, *known: str) -> None:
    """Refuse what stands behind the question mark and means nothing."""
    for name in request.query:
        if name not in known:
            hint = f"known here: {', '.join(known)}" if known else None
            raise UsageError(f"there is no query parameter `{name[:60]}`", hint=hint)


def _number(request: web.Request, name: str, usual: float, most: float) -> float:
    text = request.query.get(name)
    if text is None:
        return usual
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise UsageError(f"`{name}` is a number from 0 to {most:g}", where="query")
    return number
