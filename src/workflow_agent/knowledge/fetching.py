"""Fetches a page of documentation, and nothing else: from addresses that everybody can reach, bounded in every way.

A name is resolved once. All its addresses are judged (:mod:`.addresses`), and the connection goes to one of those
that were judged, so that a second answer of the resolver changes nothing. Redirects are followed here, each like a new
address. aiohttp asks no resolver for a host that is written as an address: those are judged here as well.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

from workflow_agent.knowledge.addresses import refusal
from workflow_agent.model.errors import PermissionDeniedError, UnreachableError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import aiohttp

__all__ = ["FetchLimits", "Fetched", "fetch_page", "judged_addresses"]

_TYPES: Final = frozenset(
    {"text/html", "application/xhtml+xml", "text/markdown", "text/x-markdown", "text/plain", "text/x-rst"}
)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PORTS: Final = {"https": 443, "http": 80}
_OK: Final = 200
_CHUNK: Final = 64 * 1024
_LONGEST: Final = 2000
_HINT: Final = "download the page yourself and give the file: `workflow-agent knowledge fetch FILE`"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """What a page may cost, and where it may come from.

    `allowed` are hosts with their port (``127.0.0.1:8080``) that a person named although they are not for everybody;
    there plain HTTP is allowed too. `denied` switches all fetching off.
    """

    max_bytes: int = 5 << 20
    connect_s: float = 10.0
    total_s: float = 30.0
    redirects: int = 5
    plain_http: bool = False
    denied: bool = False
    allowed: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A page as it came: `address` after redirects, SHA-256 (hex) of its bytes, its media type."""

    address: str
    asked: str
    media_type: str
    text: str
    sha256: str


async def fetch_page(
    address: str,
    limits: FetchLimits | None = None,
    *,
    resolve: Callable[[str, int], Awaitable[list[str]]] | None = None,
) -> Fetched:
    """Fetch a page.

    Args:
        address: Where it is; ``https`` (``http`` only where the limits say so).
        limits: Its bounds.
        resolve: Gives the addresses of a host, as text; the system's resolver when omitted.

    Raises:
        ValidationError: the address cannot be used, or what came is no text.
        PermissionDeniedError: the address, or one that it leads to, is not for everybody.
        UnreachableError: nothing came, or not in time.
    """
    bounds = limits or FetchLimits()
    if bounds.denied:
        raise PermissionDeniedError("nothing is fetched: `knowledge.fetch` is off", where=address[:_LONGEST])
    try:
        async with asyncio.timeout(bounds.total_s):
            return await _follow(address, bounds, resolve or _resolved)
    except TimeoutError as error:
        raise UnreachableError(f"no page within {bounds.total_s:g} seconds", where=address[:200], hint=_HINT) from error


async def _follow(address: str, limits: FetchLimits, resolve: Callable[[str, int], Awaitable[list[str]]]) -> Fetched:
    here = address
    for _ in range(limits.redirects + 1):
        hosts = await judged_addresses(here, limits, resolve)
        answer = await _ask(here, hosts, limits)
        if isinstance(answer, str):
            here = urljoin(here, answer)
            continue
        body, media_type, charset = answer
        return Fetched(
            address=here,
            asked=address,
            media_type=media_type,
            text=_text(body, charset, here),
            sha256=hashlib.sha256(body).hexdigest(),
        )
    raise UnreachableError(f"more than {limits.redirects} redirects", where=address[:200], hint=_HINT)


async def judged_addresses(
    address: str, limits: FetchLimits, resolve: Callable[[str, int], Awaitable[list[str]]]
) -> list[str]:
    """Give the addresses behind an URL, each judged.

    Raises:
        ValidationError: it is no address of a page.
        PermissionDeniedError: one of them is not for everybody.
        UnreachableError: the name has no address.
    """
    scheme, host, port = _parts(address, limits)
    named = f"{host}:{port}" in limits.allowed or f"[{host}]:{port}" in limits.allowed
    found = await resolve(host, port)
    if not found:
        raise UnreachableError(f"`{host}` has no address", where=address[:200])
    for text in found:
        try:
            reason = refusal(ipaddress.ip_address(text.partition("%")[0]))
        except ValueError:
            reason = "no address"
        if reason and not named:
            raise PermissionDeniedError(
                f"nothing is fetched from `{host}`: {text} is {reason}"
                if text != host
                else f"nothing is fetched from {host}: it is {reason}",
                where=address[:200],
                hint=_HINT,
                details={"address": text, "scheme": scheme},
            )
    return found


def _parts(address: str, limits: FetchLimits) -> tuple[str, str, int]:
    """Take an address apart, or say why it is none that is asked."""
    if len(address) > _LONGEST or any(ord(character) <= 0x20 or character == "\\" for character in address):  # noqa: PLR2004
        raise ValidationError("this is no address of a page", where=address[:80], hint="such as https://example.org/x")
    import yarl  # noqa: PLC0415  # late: as aiohttp, which reads addresses with it: both must see the same host

    try:
        parts = yarl.URL(address)
        host, port = parts.host or "", parts.port
    except ValueError as error:
        raise ValidationError("this is no address of a page", where=address[:200], cause=str(error)) from error
    if parts.scheme not in _PORTS or not host or port is None:
        raise ValidationError("a page is fetched over https", where=address[:200], hint=_HINT)
    if parts.user is not None or parts.password is not None:
        raise ValidationError("an address with a user or a password is not asked", where=host, hint=_HINT)
    named = f"{host}:{port}" in limits.allowed or f"[{host}]:{port}" in limits.allowed
    if not named and parts.scheme == "http" and not limits.plain_http:
        raise ValidationError("a page is fetched over https, not over http", where=address[:200], hint=_HINT)
    if not named and port != _PORTS[parts.scheme]:
        raise PermissionDeniedError(f"port {port} is none of a page", where=address[:200], hint=_HINT)
    return parts.scheme, host, port


async def _resolved(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnreachableError(f"`{host}` cannot be resolved", cause=str(error), hint=_HINT) from error
    return list(dict.fromkeys(str(item[4][0]) for item in found))


async def _ask(address: str, hosts: list[str], limits: FetchLimits) -> str | tuple[bytes, str, str | None]:
    """Ask once; gives where it leads instead, or bytes, media type and character set."""
    import aiohttp  # noqa: PLC0415  # late: 120 ms

    connector = aiohttp.TCPConnector(resolver=_pinned(hosts), use_dns_cache=False, force_close=True)
    timeout = aiohttp.ClientTimeout(total=limits.total_s, sock_connect=limits.connect_s)
    headers = {"User-Agent": "workflow-agent", "Accept": "text/html, text/markdown, text/plain;q=0.8"}
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                headers=headers,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
            session.get(address, allow_redirects=False) as response,
        ):
            if response.status in _REDIRECTS and response.headers.get("Location"):
                return str(response.headers["Location"])
            if response.status != _OK:
                raise UnreachableError(f"the server answered {response.status}", where=address[:200], hint=_HINT)
            if response.content_type not in _TYPES:
                raise ValidationError(
                    f"`{response.content_type[:60]}` is no page of text", where=address[:200], hint=_HINT
                )
            return await _body(response, address, limits), response.content_type, response.charset
    except aiohttp.ClientError as error:
        raise UnreachableError(
            "the page cannot be fetched", where=address[:200], cause=str(error)[:300], hint=_HINT
        ) from error


def _pinned(hosts: list[str]) -> Any:  # Any: aiohttp's class, which is loaded late
    from aiohttp.abc import AbstractResolver, ResolveResult  # noqa: PLC0415  # late: 120 ms

    class Pinned(AbstractResolver):
        """Knows nothing but what was judged."""

        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            del family
            return [
                ResolveResult(
                    hostname=host,
                    host=one,
                    port=port,
                    family=socket.AF_INET6 if ":" in one else socket.AF_INET,
                    proto=0,
                    flags=socket.AI_NUMERICHOST,
                )
                for one in hosts
            ]

        async def close(self) -> None:
            """Nothing is open."""

    return Pinned()


async def _body(response: aiohttp.ClientResponse, address: str, limits: FetchLimits) -> bytes:
    """Read until the end or the limit, which counts what it is unpacked."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limits.max_bytes:
            raise ValidationError(
                f"the page is larger than {limits.max_bytes >> 20 or 1} MiB", where=address[:200], hint=_HINT
            )
    return bytes(body)


def _text(body: bytes, charset: str | None, address: str) -> str:
    if b"\0" in body:
        raise ValidationError("what came is no text", where=address[:200])
    try:
        return body.decode(charset or "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")
