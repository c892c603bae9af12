"""The probe's HTTP client survives every server."""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import UnreachableError, ValidationError
from workflow_agent.targets.probe_http import ProbedAnswer, addresses_of, fetch, parse_hosts

if TYPE_CHECKING:
    from tests.unit.targets.probe_servers import IPV6, answering, endless, free_port, http, listening, serving
else:  # pytest puts this folder on the path, the type checker knows modules from the root
    from probe_servers import IPV6, answering, endless, free_port, http, listening, serving


def _fetch(port: int, *, host: str = "127.0.0.1", path: str = "/", limit_s: float = 5.0) -> ProbedAnswer:
    return fetch(f"http://{host}:{port}{path}", deadline=time.monotonic() + limit_s)


def test_status_headers_and_body_arrive() -> None:
    with serving(answering(http("hello", "404 Not Found", "X-Two: a", "x-two:  b "))) as port:
        answer = _fetch(port)

    assert (answer.status, answer.body) == (404, b"hello")
    assert answer.header("X-TWO") == ["a", "b"]


def test_the_request_names_host_path_and_query() -> None:
    requests: list[bytes] = []
    with serving(answering(http("")), requests=requests) as port:
        _fetch(port, path="/a/b?c=d#fragment")

    first, *headers = requests[0].decode().split("\r\n")
    assert first == "GET /a/b?c=d HTTP/1.1"
    assert f"Host: 127.0.0.1:{port}" in headers
    assert "Connection: close" in headers


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok, more", b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + http("late"), b"late"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", b"abcd"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\ncontent-length: 1\n\nx", b"x"),
    ],
)
def test_every_framing_is_read(raw: bytes, body: bytes) -> None:
    with serving(answering(raw)) as port:
        assert _fetch(port).body == body


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "ended early"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "header is malformed"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "header is malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "ended early"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "content length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "content length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "larger than"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "transfer encoding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "chunk is malformed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", "longer than it says"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", "larger than"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20, "interim"),
    ],
)
def test_broken_answers_are_refused_with_the_reason(raw: bytes, reason: str) -> None:
    with serving(answering(raw)) as port, pytest.raises(UnreachableError, match=reason):
        _fetch(port)


@pytest.mark.parametrize(
    ("head", "chunk", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, "larger than"),
        (b"", b"x" * 65536, "too long"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65536, "too long"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000, "too long"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"z" * 65536 + b"\r\n", "larger"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0" * 4096, "too long"),
    ],
    ids=["body", "no newline", "one header", "many headers", "chunks", "chunk size"],
)
def test_endless_answers_end(head: bytes, chunk: bytes, reason: str) -> None:
    started = time.monotonic()
    with serving(endless(head, chunk)) as port, pytest.raises(UnreachableError, match=reason):
        _fetch(port)

    assert time.monotonic() - started < 4


def test_ten_megabytes_of_header_in_one_piece_are_refused() -> None:
    raw = b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10_000_000 + b"\r\n\r\n"
    with serving(answering(raw)) as port, pytest.raises(UnreachableError, match="too long"):
        _fetch(port)


def test_one_deadline_covers_a_server_that_never_answers() -> None:
    with listening() as waiting, pytest.raises(UnreachableError, match="in time"):
        _fetch(waiting.getsockname()[1], limit_s=0.1)


def test_a_server_that_drips_does_not_outlast_the_deadline() -> None:
    ticks = iter(range(1000))

    def drip(connection: object) -> None:
        while next(ticks, None) is not None:
            time.sleep(0.02)
            connection.sendall(b"H")  # type: ignore[attr-defined]

    with serving(drip) as port, pytest.raises(UnreachableError, match=r"in time|not HTTP"):
        _fetch(port, limit_s=0.2)


def test_a_closed_port_says_so() -> None:
    with pytest.raises(UnreachableError) as caught:
        _fetch(free_port())

    assert caught.value.cause == "127.0.0.1: Connection refused"


def test_localhost_is_tried_as_ipv4_first() -> None:
    assert addresses_of("LOCALHOST") == ["127.0.0.1", "::1"]
    with serving(answering(http("four"))) as port:
        assert _fetch(port, host="localhost").body == b"four"


@pytest.mark.skipif(not IPV6, reason="this machine has no IPv6")
def test_ipv6_literals_and_localhost_over_ipv6_work() -> None:
    with serving(answering(http("six")), "::1") as port:
        assert _fetch(port, host="[::1]").body == b"six"
        assert _fetch(port, host="localhost").body == b"six"


def test_names_come_from_the_hosts_file_or_not_at_all() -> None:
    assert addresses_of("127.0.0.9") == ["127.0.0.9"]
    with pytest.raises(UnreachableError, match="no name service"):
        addresses_of("no-such-name.invalid")


def test_the_hosts_file_is_read_line_by_line() -> None:
    text = "127.0.0.1 localhost\n::1 Web.local web # web2\n10.0.0.1\tweb\nnonsense web\n\n# 10.0.0.2 web\n"

    assert [str(address) for address in parse_hosts(text, "web")] == ["::1", "10.0.0.1"]
    assert [str(address) for address in parse_hosts(text, "web.local")] == ["::1"]
    assert parse_hosts(text, "we") == parse_hosts(text, "web2") == []


def test_every_address_that_did_not_answer_is_told() -> None:
    with pytest.raises(UnreachableError) as caught:
        _fetch(free_port(), host="localhost")

    first, second = (caught.value.cause or "").split("; ")
    assert first == "127.0.0.1: Connection refused"
    assert second.startswith("::1: ")


def test_a_server_that_breaks_the_connection_is_told() -> None:
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with serving(reset) as port, pytest.raises(UnreachableError, match="connection broke"):
        _fetch(port)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", "it begins with 15 03 01 00 02 02 46, which is TLS"),
        (b"+PONG", "it begins with 2b 50 4f 4e 47"),
    ],
)
def test_what_speaks_another_protocol_is_told_also_when_it_breaks_the_connection(said: bytes, told: str) -> None:
    def speak(connection: socket.socket) -> None:
        connection.sendall(said)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    for handler in (answering(said), speak):
        with (
            serving(handler) as port,
            pytest.raises(UnreachableError, match=r"not HTTP/1.1|connection broke") as caught,
        ):
            _fetch(port)

        if "not HTTP" in caught.value.message:  # a reset may overtake what was said before it
            assert caught.value.cause == told


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "ftp://127.0.0.1/",
        "127.0.0.1:80",
        "http:///path",
        "http://user@127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http://[::1/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nHost: evil",
        "http://127.0.0.1/ä",
    ],
)
def test_urls_that_cannot_be_probed_are_errors(url: str) -> None:
    with pytest.raises(ValidationError):
        fetch(url, deadline=time.monotonic() + 1)
