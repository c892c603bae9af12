"""Real servers on free loopback ports for probes to talk to; well-behaved and hostile ones."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["IPV6", "answering", "endless", "free_port", "http", "listening", "serving"]


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


IPV6 = _has_ipv6()


def free_port() -> int:
    """Give a port on which nothing listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def listening(address: str = "127.0.0.1", kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """Hold a socket that waits on a free port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as waiting:
        waiting.bind((address, 0))
        if kind == socket.SOCK_STREAM:
            waiting.listen(16)
        yield waiting


@contextmanager
def serving(
    talk: Callable[[socket.socket], None], address: str = "127.0.0.1", requests: list[bytes] | None = None
) -> Iterator[int]:
    """Let `talk` handle each connection after the request's header was read; gives the port.

    The headers are kept in `requests`.
    """
    with listening(address) as waiting:
        stopped = threading.Event()
        thread = threading.Thread(target=_accept, args=(waiting, talk, stopped, requests))
        thread.start()
        try:
            yield int(waiting.getsockname()[1])
        finally:
            stopped.set()
            waiting.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(
    waiting: socket.socket,
    talk: Callable[[socket.socket], None],
    stopped: threading.Event,
    requests: list[bytes] | None,
) -> None:
    while not stopped.is_set():
        with suppress(OSError):
            connection, _ = waiting.accept()
            with connection:
                connection.settimeout(5)
                request = b""
                while b"\r\n\r\n" not in request and (data := connection.recv(65536)):
                    request += data
                if requests is not None:
                    requests.append(request)
                talk(connection)


def answering(*answers: bytes) -> Callable[[socket.socket], None]:
    """Send the first answer to the first connection and so on; the last one to all others."""
    left = list(answers)

    def talk(connection: socket.socket) -> None:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return talk


def endless(head: bytes, chunk: bytes) -> Callable[[socket.socket], None]:
    """Send `head` and then `chunk` until the other side has enough."""

    def talk(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(head)
            while True:
                connection.sendall(chunk)

    return talk


def http(body: bytes | str, status: str = "200 OK", *headers: str) -> bytes:
    """Write an HTTP/1.1 answer."""
    raw = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(raw)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + raw
