"""Addresses of servers: which there are, and which are refused. Read without loading what asks them."""

from __future__ import annotations

import ipaddress
from typing import Final

from yarl import URL

from workflow_agent.model.errors import UsageError

__all__ = ["server_address"]

_UNIX: Final = "unix:"


def server_address(url: str) -> tuple[URL, str | None]:
    """Read an address: the URL to ask, and the Unix socket where it is one.

    Raises:
        UsageError: it is none, or the token would travel to another machine for all to read.
    """
    if url.startswith(_UNIX):
        path = "/" + url.removeprefix(_UNIX).lstrip("/")
        return URL("http://localhost"), path
    try:
        found = URL(url)
        host = found.host
    except ValueError:
        found, host = URL(), None
    is_more = found.query_string or found.user or found.path not in {"", "/"}
    if host is None or found.scheme not in {"http", "https"} or is_more:
        hint = "write it as http://127.0.0.1:8437, https://HOST or unix:/PATH"
        shown = url.rpartition("@")[2][:100]  # what stands before may be a password
        raise UsageError(f"`{shown}` is no address of a server", where="api_url", hint=hint)
    if found.scheme == "http" and not _is_here(host):
        raise UsageError(
            "the token would be readable on the way to another machine",
            where=f"api_url {url[:100]}",
            hint="use https://, or `ssh -L 8437:127.0.0.1:8437 HOST` and http://127.0.0.1:8437",
        )
    return found.origin(), None


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
