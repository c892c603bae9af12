"""Looking at a TCP service by talking to it: what is sent, and what has to come back. Standard library only."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import UnreachableError
from workflow_agent.targets.probe_http import connect
from workflow_agent.targets.probe_outcome import ProbeOutcome, Site, quote

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

__all__ = ["ANSWER_LIMIT", "DEFAULT_ADDRESS", "look_at_tcp"]

#: Who listens everywhere or on loopback answers here.
DEFAULT_ADDRESS = "127.0.0.1"
#: A conversation that proves something is short.
ANSWER_LIMIT = 64 << 10
_RECEIVE = 4096
_SHORTEST_WAIT_S = 0.01


def look_at_tcp(spec: Mapping[str, Any], site: Site) -> ProbeOutcome:
    """TCP: each step sends its text and reads on until the text that it expects has come.

    What one step read beyond its text belongs to the next step, so that a text of an earlier answer can never
    stand for a later one.
    """
    try:
        connection = connect(spec.get("address", DEFAULT_ADDRESS), spec["port"], site.deadline)
    except UnreachableError as error:
        return ProbeOutcome(False, f"{error.message}: {error.cause}" if error.cause else error.message)
    unread = b""
    with connection:
        for number, step in enumerate(spec["exchange"], 1):
            wanted = step.get("expect", "").encode()
            try:
                connection.settimeout(_left(site))
                connection.sendall(step.get("send", "").encode())
                trouble, unread = _read_until(connection, wanted, unread, site)
            except OSError as error:
                trouble = error.strerror or str(error)
            if trouble:
                return ProbeOutcome(False, f"step {number}: {trouble}, after `{quote(unread)}`")
    return ProbeOutcome(True, "answers as expected")


def _left(site: Site) -> float:
    return max(_SHORTEST_WAIT_S, site.deadline - time.monotonic())


def _read_until(connection: socket.socket, wanted: bytes, unread: bytes, site: Site) -> tuple[str | None, bytes]:
    """Read until `wanted` has come; gives what went wrong, and what was read after it (or in place of it)."""
    seen = bytearray(unread)
    while wanted not in seen:
        if len(seen) > ANSWER_LIMIT:
            return "it answers too much", bytes(seen)
        connection.settimeout(_left(site))
        try:
            data = connection.recv(_RECEIVE)
        except TimeoutError:
            return "no such answer in time", bytes(seen)
        if not data:
            return "it ended the connection", bytes(seen)
        seen += data
    return None, bytes(seen[seen.index(wanted) + len(wanted) :])
