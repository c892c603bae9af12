"""Requests to a server: each with its token, repeated where that is safe, and with the server's errors as our own."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from workflow_agent.client.connection import Connection
from workflow_agent.client.server_address import server_address
from workflow_agent.model.errors import BusyError, UnreachableError, WorkflowAgentError, error_from_dict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

__all__ = ["HttpApi", "ServerSentEvent"]

_V1: Final = "/api/v1"
#: Seconds for which a server that answered before may be away: it is being started again.
_PATIENCE_S: Final = 30.0
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0
_CONNECT_S: Final = 5.0
#: Longer than a request that waits for the end of a run, and than the silence between two heartbeats.
_ANSWER_S: Final = 90.0
_SILENCE_S: Final = 45.0
#: Bytes of one event; more is no server of ours.
_MOST_BYTES: Final = 64 << 20
_REFUSED: Final = 400
_PROBLEM: Final = "application/problem+json"
_START: Final = "`workflow-agent serve` starts one; look at the address, and at `GET /health`"


class ServerSentEvent:
    """One event of a stream."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.id = fields.get("id", "")
        self.data: dict[str, Any] = json.loads(fields["data"])


class HttpApi:
    """Asks a server.

    Args:
        url: Its address, as :func:`server_address` reads it.
        token: Its token.

    Raises:
        UsageError: the address is none.
    """

    def __init__(self, url: str, token: str) -> None:
        self._shown = url[:100]
        self._base, self._socket = server_address(url)
        self._headers = {"Authorization": f"Bearer {token}"}
        self._connection = Connection(self._session)
        self._has_answered = False

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.UnixConnector(self._socket) if self._socket else aiohttp.TCPConnector()
        async with aiohttp.ClientSession(
            self._base, connector=connector, headers=self._headers, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        ) as session:
            yield session

    @asynccontextmanager
    async def use(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Keep the connection open inside the block."""
        async with self._connection.use() as session:
            yield session

    async def get(self, path: str, query: Mapping[str, str] | None = None, *, text: bool = False) -> Any:
        """Ask for something; asked again where the server is away for a moment.

        Raises:
            UnreachableError: it stays away.
            WorkflowAgentError: it answered with this error.
        """
        return await self._patiently("GET", path, params=query, is_text=text)

    async def post(self, path: str, body: Mapping[str, Any], key: str | None = None) -> Any:
        """Ask for something to be done; repeated only with an idempotency key. Raises as :meth:`get`."""
        headers = {} if key is None else {"Idempotency-Key": key}
        if key is None:
            return await self._once("POST", path, json=dict(body), headers=headers)
        return await self._patiently("POST", path, json=dict(body), headers=headers)

    async def _patiently(self, method: str, path: str, **request: Any) -> Any:
        pause, loop = _FIRST_PAUSE_S, asyncio.get_running_loop()
        until = loop.time() + _PATIENCE_S
        while True:
            try:
                return await self._once(method, path, **request)
            except UnreachableError as error:
                is_away = type(error) is UnreachableError and self._has_answered
                if not (is_away or isinstance(error, BusyError)) or loop.time() + pause > until:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _once(self, method: str, path: str, *, is_text: bool = False, **request: Any) -> Any:
        limits = aiohttp.ClientTimeout(total=_ANSWER_S, sock_connect=_CONNECT_S)
        with self._told():
            async with (
                self.use() as session,
                session.request(method, path if is_text else _V1 + path, timeout=limits, **request) as answer,
            ):
                body = await answer.read()
                self._check(answer, body)
                return body.decode() if is_text else json.loads(body)

    async def stream(self, path: str, after: str) -> AsyncIterator[ServerSentEvent]:
        """Give the events of a stream to its end; taken up behind the last one where the server is away for a moment.

        Raises: as :meth:`get`.
        """
        pause, loop = _FIRST_PAUSE_S, asyncio.get_running_loop()
        until = loop.time() + _PATIENCE_S
        while True:
            try:
                async for event in self._streamed(path, after):
                    after = event.id or after
                    pause, until = _FIRST_PAUSE_S, loop.time() + _PATIENCE_S
                    yield event
                return
            except UnreachableError:
                if not self._has_answered or loop.time() + pause > until:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _streamed(self, path: str, after: str) -> AsyncIterator[ServerSentEvent]:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        with self._told():
            async with self.use() as session, session.get(_V1 + path, headers=headers, timeout=limits) as answer:
                if answer.status >= _REFUSED:
                    self._check(answer, await answer.read())
                self._has_answered = True
                async for fields in _blocks(answer.content):
                    yield ServerSentEvent(fields)

    def _check(self, answer: aiohttp.ClientResponse, body: bytes) -> None:
        """Raise the error that an answer is."""
        is_ours = answer.status < _REFUSED or answer.content_type == _PROBLEM
        self._has_answered = self._has_answered or is_ours
        if answer.status < _REFUSED:
            return
        if not is_ours:
            cause = f"it answers with status {answer.status}"
            raise UnreachableError("what answers is no server of workflow-agent", where=self._shown, cause=cause)
        error = error_from_dict(json.loads(body))
        error.where = error.where or self._shown
        raise error

    def _told(self) -> _Told:
        return _Told(self._shown)


class _Told:
    """Says what is wrong with a conversation, as everybody says it here."""

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, WorkflowAgentError):
            return
        if isinstance(error, aiohttp.ClientError | OSError | TimeoutError):
            cause = str(error) or type(error).__name__
            raise UnreachableError(
                "the server cannot be reached", where=self._shown, cause=cause, hint=_START
            ) from error
        if isinstance(error, ValueError | KeyError):
            raise UnreachableError(
                "what answers is no server of workflow-agent", where=self._shown, cause=str(error)[:200]
            ) from error


async def _blocks(content: aiohttp.StreamReader) -> AsyncIterator[dict[str, str]]:
    """Give the fields of each event as its empty line arrives; comments are left out."""
    rest = bytearray()
    async for piece in content.iter_any():
        rest += piece
        while (end := rest.find(b"\n\n")) >= 0:
            block = bytes(rest[:end]).decode()
            del rest[: end + 2]
            fields = dict(line.partition(": ")[::2] for line in block.split("\n") if not line.startswith(":"))
            if fields:
                yield fields
        if len(rest) > _MOST_BYTES:
            raise ValueError("an event without an end")
