"""The server: where it listens, in which order a request is looked at, and how it stops."""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from aiohttp import web

from workflow_agent.api.guards import hosts_checked, token_checked
from workflow_agent.api.problems import problems_as_answers
from workflow_agent.api.routes import Routes
from workflow_agent.api.streams import EventStreams
from workflow_agent.model.errors import ConflictError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from workflow_agent.api.port import RunService
    from workflow_agent.security.api_token import ApiToken

__all__ = ["listener", "listening", "web_application"]

#: Bytes of a request's body.
_MOST_BYTES: Final = 1 << 20
_MOST_STREAMS: Final = 100
_BACKLOG: Final = 128
#: Seconds that requests have to end when the server stops.
_LAST_S: Final = 2.0
_HIGHEST_PORT: Final = 65_535
#: Said of every answer: it is nobody's but the asker's, and is what it says it is.
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "workflow-agent"}


def web_application(runs: RunService, token: ApiToken, streams: EventStreams | None = None) -> web.Application:
    """Put the API together."""
    application = web.Application(
        middlewares=[problems_as_answers, hosts_checked, token_checked(token)], client_max_size=_MOST_BYTES
    )
    streams = streams or EventStreams(_MOST_STREAMS)
    Routes(runs, streams).add_to(application.router)

    async def mark(_: web.Request, answer: web.StreamResponse) -> None:
        answer.headers.update(_HEADERS)

    async def end_streams(_: web.Application) -> None:
        streams.close()

    application.on_response_prepare.append(mark)
    application.on_shutdown.append(end_streams)
    return application


@asynccontextmanager
async def listening(application: web.Application, sock: socket.socket) -> AsyncIterator[None]:
    """Answer requests inside the block."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_LAST_S)
    await runner.setup()
    try:
        await web.SockSite(runner, sock, backlog=_BACKLOG).start()
        yield
    finally:
        await runner.cleanup()


@contextmanager
def listener(address: str, path: Path | None) -> Iterator[tuple[socket.socket, str]]:
    """Give a socket that listens inside the block, and the URL that reaches it.

    Args:
        address: ``HOST:PORT`` of this machine only; port 0 is any that is free.
        path: A Unix socket, in place of an address.

    Raises:
        UsageError: the address is none, or can be reached from elsewhere.
        ConflictError: somebody listens there already.
        OSError: the path cannot be used.
    """
    if path is not None:
        with closing(_unix(path)) as sock:
            yield sock, f"unix:{path}"
            with suppress(OSError):
                path.unlink()
        return
    with closing(_tcp(*_local(address))) as sock:
        host, port = sock.getsockname()[:2]
        yield sock, f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _local(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    name = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise UsageError(f"`{address[:80]}` is no address", where="--listen", hint="write it as 127.0.0.1:8437")
    try:
        ip = ipaddress.ip_address("127.0.0.1" if name == "localhost" else name)
    except ValueError:
        ip = None
    if ip is None or not ip.is_loopback:
        raise UsageError(
            f"`{host[:80]}` can be reached from other machines, or is no address",
            where="--listen",
            cause="there is no TLS here: the token and all that runs would be readable on the way",
            hint="listen on 127.0.0.1, [::1] or a Unix socket, and reach it through ssh or a proxy with TLS",
        )
    return str(ip), int(port)


def _tcp(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        hint = "name another port; 0 is any that is free"
        raise ConflictError(
            f"nobody can listen on {host} port {port}", where="--listen", cause=error.strerror, hint=hint
        ) from error
    return sock


def _unix(path: Path) -> socket.socket:
    """Bind a socket that is the owner's alone; one that a dead process left is taken away."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.lstat().st_mode):
            _forget_dead(path)
        mask = os.umask(0o177)
        try:
            sock.bind(str(path))
        finally:
            os.umask(mask)
    except OSError as error:
        sock.close()
        raise UsageError(f"`{path}` cannot be listened at", where="--socket", cause=str(error)) from error
    except BaseException:
        sock.close()
        raise
    return sock


def _forget_dead(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise ConflictError(f"somebody listens at `{path}` already", where="--socket")
