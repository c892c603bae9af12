"""HTTP requests of steps: the port, and aiohttp behind it. Bounded in size, time and redirects; TLS is always checked.

Where a step's request goes is the author's own decision: addresses of this machine and of private networks are allowed,
unlike for documentation, whose addresses strangers write. What a request carries goes to no other origin than the one
that was named.
"""

from __future__ import annotations

import asyncio
from dataclasses import field
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urljoin, urlsplit

from workflow_agent.model.errors import ParameterError, StepFailedError, StepTimeoutError, UnreachableError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

__all__ = ["AiohttpCalls", "HttpAnswer", "HttpCall", "HttpCalls", "shown_address"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
#: Redirects after which a GET is meant, whatever was asked.
_SEE_OTHER: Final = frozenset({301, 302, 303})
_MOST_REDIRECTS: Final = 5
_CHUNK: Final = 64 * 1024
_SCHEMES: Final = frozenset({"http", "https"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """One request, secrets filled in.

    `is_bound` says that it carries something that only its own origin may see; `is_private` that its path may not be
    shown either: it is, or holds, a secret.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout_s: float = 30.0
    max_bytes: int = 1 << 20
    is_bound: bool = False
    is_private: bool = False

    @property
    def place(self) -> str:
        """Its address as people may see it."""
        shown = shown_address(self.url)
        return "/".join(shown.split("/")[:3]) if self.is_private else shown


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What came, after redirects. Names of headers are in lower case."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes
    charset: str = "utf-8"

    @property
    def text(self) -> str:
        """The body as text."""
        try:
            return self.body.decode(self.charset, "replace")
        except LookupError:  # a character set that nobody knows
            return self.body.decode("utf-8", "replace")


class HttpCalls(Protocol):
    """Sends requests."""

    async def send(self, call: HttpCall) -> HttpAnswer:
        """Send one; an answer of any status is an answer.

        Raises:
            ParameterError: the address cannot be used.
            UnreachableError: nothing answered.
            StepTimeoutError: it took too long.
            StepFailedError: the answer is too large, or leads elsewhere.
        """
        ...


class AiohttpCalls:
    """Sends requests by aiohttp, each on a connection of its own; proxies of the environment are not used."""

    async def send(self, call: HttpCall) -> HttpAnswer:
        """See :class:`HttpCalls`."""
        import aiohttp  # noqa: PLC0415  # late: 120 ms

        _check(call.url)
        where = call.place
        try:
            async with (
                asyncio.timeout(call.timeout_s),
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True) as session,
            ):
                return await self._follow(session, call)
        except TimeoutError as error:
            raise StepTimeoutError(f"no answer within {call.timeout_s:g} s", where=where) from error
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise ParameterError("the address cannot be used", where=where, cause=type(error).__name__) from error
        except aiohttp.ClientError as error:
            raise UnreachableError("nothing answered", where=where, cause=str(error) or type(error).__name__) from error

    async def _follow(self, session: aiohttp.ClientSession, call: HttpCall) -> HttpAnswer:
        here, method, body, query = call.url, call.method, call.body, dict(call.query)
        for _ in range(_MOST_REDIRECTS + 1):
            async with session.request(
                method, here, headers=dict(call.headers), params=query, data=body, allow_redirects=False
            ) as answer:
                target = answer.headers.get("Location") if answer.status in _REDIRECTS else None
                if target is None:
                    return await _answer(answer, call)
                here, query = _next(str(answer.url), target, call), {}
                if answer.status in _SEE_OTHER and method != "HEAD":
                    method, body = "GET", None
        raise StepFailedError(f"more than {_MOST_REDIRECTS} redirects", where=call.place)


def shown_address(address: str) -> str:
    """Give an address without what may be secret in it: user, password, query."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return address.partition("?")[0][:200]
    return f"{parts.scheme}://{host}{port}{parts.path}"[:200]


def _check(address: str) -> None:
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise ParameterError("the address cannot be used", cause=str(error)) from error
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ParameterError("an address begins with `http://` or `https://`", where=shown_address(address))
    if parts.username is not None or parts.password is not None:
        hint = 'give it as a header: {"$secret": "token", "before": "Basic "}'
        raise ParameterError("an address holds no user and no password", where=shown_address(address), hint=hint)


def _next(here: str, target: str, call: HttpCall) -> str:
    """Give the address that a redirect leads to."""
    address = urljoin(here, target)
    _check(address)
    before, after = urlsplit(call.url), urlsplit(address)
    if (before.scheme, before.netloc) == (after.scheme, after.netloc):
        return address
    if call.is_bound or call.body is not None:
        raise StepFailedError(
            "the address leads to another one, which would get what is not meant for it",
            where=f"{call.place} -> {after.scheme}://{after.netloc}",
            hint="name the other address, if that is meant",
            details={"retry": None},
        )
    return address


async def _answer(answer: aiohttp.ClientResponse, call: HttpCall) -> HttpAnswer:
    body, limit = bytearray(), call.max_bytes
    async for piece in answer.content.iter_chunked(_CHUNK):
        body += piece
        if len(body) > limit:
            raise StepFailedError(
                f"the answer is larger than {limit} bytes",
                where=call.place,
                hint="allow more with `max_bytes`",
                details={"retry": None},
            )
    return HttpAnswer(
        status=answer.status,
        url=str(answer.url),
        headers={name.lower(): value for name, value in answer.headers.items()},
        body=bytes(body),
        charset=answer.charset or "utf-8",
    )
