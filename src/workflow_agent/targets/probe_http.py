"""A small HTTP/1.1 client for probes. Standard library only; it runs inside a target's network namespace.

Own code instead of `http.client`, because a probe talks to programs that may be broken or hostile: the
whole exchange has one deadline, header and body have caps, nothing is followed, no proxy and no name service
is asked (the resolver would load libraries of the target into this process).
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from workflow_agent.model.errors import UnreachableError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ProbedAnswer", "addresses_of", "connect", "fetch", "parse_hosts"]

BODY_LIMIT = 8 << 20
HEADER_LIMIT = 64 << 10
_CHUNK_LINE_LIMIT = 1024
_CONNECT_LIMIT_S = 2.0
_RECEIVE = 64 << 10
_MAX_INTERIM = 8
_HOSTS_LIMIT = 1 << 20
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?")
_UNSAFE = re.compile(r"[\x00-\x20\x7f]")
_DIGITS = re.compile(rb"[0-9]{1,18}")
_HEX_DIGITS = re.compile(rb"[0-9a-fA-F]{1,8}")
_HTTP = b"HTTP/1."
#: An alert, a handshake. Source: RFC 8446 section 5.1.
_TLS_RECORDS = (b"\x15", b"\x16")
_NO_BODY = frozenset({204, 304})
_HTTP_PORT = 80


class ProbedAnswer(NamedTuple):
    """What a server answered. `headers`: (lower-case name, value) in the order sent."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        """Give the values of a header."""
        return [value for key, value in self.headers if key == name.lower()]


class _Address(NamedTuple):
    host: str
    port: int
    path: str
    authority: str


def _parse_url(url: str) -> _Address:
    if _UNSAFE.search(url) or not url.isascii():
        raise ValidationError("a URL must be ASCII without blanks and control characters", cause=url[:200])
    try:
        parts = urlsplit(url)
        port = parts.port if parts.port is not None else _HTTP_PORT
    except ValueError as error:
        raise ValidationError("the URL is malformed", cause=f"{url[:200]}: {error}") from error
    if parts.scheme != "http" or not parts.hostname or "@" in parts.netloc:
        raise ValidationError("probes speak http://host[:port]/path only", cause=url[:200])
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Address(parts.hostname, port, path, parts.netloc)


def addresses_of(host: str) -> list[str]:
    """Give the addresses of a host, IPv4 first: a literal, `localhost`, or a name in `/etc/hosts`.

    Raises:
        UnreachableError: `/etc/hosts` does not know the name.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    if host.lower() == "localhost":
        return ["127.0.0.1", "::1"]
    found = sorted(_hosts_file(host.lower()), key=lambda address: address.version)
    if not found:
        raise UnreachableError(f"`{host}` is no address and not in /etc/hosts; probes ask no name service")
    return [str(address) for address in found]


def _hosts_file(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        with open("/etc/hosts", encoding="utf-8", errors="replace") as stream:
            return parse_hosts(stream.read(_HOSTS_LIMIT), host)
    except OSError:
        return []


def parse_hosts(text: str, host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Find a lower-case name in the text of `/etc/hosts`; lines that are not in its form are skipped."""
    found = []
    for line in text.splitlines():
        address, *names = line.partition("#")[0].lower().split() or [""]
        if host in names:
            with suppress(ValueError):
                found.append(ipaddress.ip_address(address))
    return found


def connect(host: str, port: int, deadline: float) -> socket.socket:
    """Open a TCP connection to the first address that answers.

    Args:
        host: See :func:`addresses_of`.
        port: 1 to 65535.
        deadline: On the monotonic clock, in seconds.

    Raises:
        UnreachableError: None answered; `cause` tells each address and why.
    """
    reasons = []
    for address in addresses_of(host):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            connection = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # no IPv6 in this kernel
            reasons.append(f"{address}: {error.strerror}")
            continue
        try:
            connection.settimeout(max(0.01, min(_CONNECT_LIMIT_S, deadline - time.monotonic())))
            connection.connect((address, port))
        except TimeoutError:
            connection.close()
            reasons.append(f"{address}: no answer")
        except OSError as error:
            connection.close()
            reasons.append(f"{address}: {error.strerror}")
        else:
            return connection
    raise UnreachableError(f"cannot connect to port {port}", cause="; ".join(reasons))


def fetch(url: str, *, deadline: float, accept: str = "*/*") -> ProbedAnswer:
    """Send one GET request and read the whole answer. Redirects are answers like any other.

    Args:
        url: ``http://host[:port]/path``.
        deadline: For everything together, on the monotonic clock, in seconds.
        accept: Value of the `Accept` header.

    Raises:
        ValidationError: The URL cannot be probed.
        UnreachableError: No connection, no valid HTTP answer, one that is too large, or not in time.

    Source: RFC 9112 sections 2 to 7.
    """
    address = _parse_url(url)
    request = (
        f"GET {address.path} HTTP/1.1\r\nHost: {address.authority}\r\nUser-Agent: workflow-agent\r\n"
        f"Accept: {accept}\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
    )
    with connect(address.host, address.port, deadline) as connection:
        stream = _Stream(connection, deadline)
        try:
            connection.sendall(request.encode("ascii"))
            return _read_answer(stream)
        except TimeoutError as error:
            raise _not_http(stream) or UnreachableError(
                "the answer did not end in time", cause=stream.progress
            ) from error
        except OSError as error:
            raise _not_http(stream) or UnreachableError("the connection broke", cause=error.strerror) from error


def _not_http(stream: _Stream) -> UnreachableError | None:
    """Say that what came is no HTTP at all, where that can be told from its first bytes."""
    first = stream.first
    if not first or first.startswith(_HTTP[: len(first)]):
        return None
    tls = ", which is TLS" if first[:1] in _TLS_RECORDS and first[1:2] == b"\x03" else ""
    return UnreachableError("the answer is not HTTP/1.1", cause=f"it begins with {first.hex(' ')}{tls}")


def _read_answer(stream: _Stream) -> ProbedAnswer:
    for _ in range(_MAX_INTERIM):
        status = _status(stream.line(HEADER_LIMIT))
        headers = _headers(stream)
        if status >= 200:  # noqa: PLR2004 - interim answers (1xx) come before the real one
            return ProbedAnswer(status, headers, _body(stream, status, headers))
    raise UnreachableError("only interim answers came")


def _status(line: bytes) -> int:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise UnreachableError("the answer is not HTTP/1.1", cause=line[:80].decode("latin-1"))
    return int(match[1])


def _headers(stream: _Stream) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    left = HEADER_LIMIT
    while line := stream.line(left):
        left -= len(line) + 2
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise UnreachableError("a header is malformed", cause=line[:80].decode("latin-1"))
        headers.append((name.decode("latin-1").lower(), value.strip().decode("latin-1")))
    return headers


def _body(stream: _Stream, status: int, headers: list[tuple[str, str]]) -> bytes:
    if status in _NO_BODY:
        return b""
    encodings = [value.lower() for name, value in headers if name == "transfer-encoding"]
    if encodings == ["chunked"]:
        return _chunked(stream)
    if encodings:
        raise UnreachableError("the transfer encoding is unknown", cause=", ".join(encodings))
    lengths = {value for name, value in headers if name == "content-length"}
    if not lengths:
        return stream.to_end(BODY_LIMIT)
    length = lengths.pop()
    if lengths or _DIGITS.fullmatch(length.encode("latin-1")) is None:
        raise UnreachableError("the content length is malformed", cause=length[:80])
    return stream.exactly(int(length), BODY_LIMIT)


def _chunked(stream: _Stream) -> bytes:
    body = bytearray()
    while True:
        digits = stream.line(_CHUNK_LINE_LIMIT).partition(b";")[0].strip()
        if _HEX_DIGITS.fullmatch(digits) is None:
            raise UnreachableError("a chunk is malformed", cause=digits[:80].decode("latin-1"))
        size = int(digits, 16)
        if size == 0:
            return bytes(body)
        body += stream.exactly(size, BODY_LIMIT - len(body))
        if stream.line(_CHUNK_LINE_LIMIT):
            raise UnreachableError("a chunk is longer than it says")


class _Stream:
    """Bounded reading from a connection until one deadline."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._buffer = bytearray()
        self._received = 0
        self.first = b""

    @property
    def progress(self) -> str:
        return f"{self._received} bytes came"

    def _fill(self) -> bool:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        data = self._connection.recv(_RECEIVE)
        self._buffer += data
        self._received += len(data)
        self.first = self.first or data[: len(_HTTP)]
        return bool(data)

    def line(self, limit: int) -> bytes:
        """Read to a line end, which is taken off."""
        start = 0
        while (end := self._buffer.find(b"\n", start)) < 0:
            start = len(self._buffer)
            if start > limit:
                raise UnreachableError("a line of the answer is too long", cause=self.progress)
            if not self._fill():
                raise _not_http(self) or UnreachableError("the connection ended early", cause=self.progress)
        if end > limit:
            raise UnreachableError("a line of the answer is too long", cause=self.progress)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    def exactly(self, size: int, limit: int) -> bytes:
        """Read `size` bytes."""
        if size > limit:
            raise UnreachableError(f"the body is larger than {BODY_LIMIT} bytes")
        while len(self._buffer) < size:
            if not self._fill():
                raise UnreachableError("the connection ended early", cause=self.progress)
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def to_end(self, limit: int) -> bytes:
        """Read until the other side closes."""
        while self._fill():
            if len(self._buffer) > limit:
                raise UnreachableError(f"the body is larger than {BODY_LIMIT} bytes")
        return bytes(self._buffer)
