"""What a script did that no transaction holds: what is listed, and what a person is told."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from typing import Any

import pytest

from workflow_agent.targets.kernel_requests import shown_address
from workflow_agent.targets.left_behind import processes_left
from workflow_agent.targets.outside import outside_effects, outside_notes


def _seen(**given: Any) -> dict[str, Any]:  # Any: JSON
    return {"processes": [], "memory": [], "requests": []} | given


def test_nothing_is_told_of_a_script_that_only_wrote_files() -> None:
    assert outside_effects(_seen()) == ()
    assert outside_notes(_seen()) == ()


def test_all_that_was_seen_is_listed() -> None:
    seen = _seen(
        processes=[{"command": "redis-server *:6379", "ports": [6379]}, {"command": "sleep 9", "ports": []}],
        memory=["/run/redis"],
        requests=[
            {"what": "connection", "where": "192.0.2.1:80", "count": 3},
            {"what": "mount", "where": "", "count": 1},
        ],
    )
    assert [tuple(one.values()) for one in outside_effects(seen)] == [
        ("process", "redis-server *:6379 (listens on 6379)", 1, False),
        ("process", "sleep 9", 1, False),
        ("memory", "/run/redis", 1, False),
        ("connection", "192.0.2.1:80", 3, False),
        ("mount", "", 1, False),
    ]


def _notes_of(*addresses: str) -> tuple[str, ...]:
    return outside_notes(_seen(requests=[{"what": "connection", "where": one, "count": 1} for one in addresses]))


def test_fetching_is_no_news_but_talking_to_this_system_is() -> None:
    assert _notes_of("192.0.2.1:80", "[2001:db8::1]:443", "192.0.2.1:53") == ()
    (note,) = _notes_of("127.0.0.1:80", "[::1]:443", "unix:/srv/x", "192.0.2.1:5432")
    assert note.startswith("the script talked to 127.0.0.1:80, [::1]:443, unix:/srv/x and 1 more: ")


def test_what_may_stay_is_marked() -> None:
    asked = [{"what": "connection", "where": one, "count": 1} for one in ("127.0.0.1:5432", "192.0.2.1:80")]
    assert [one["stays"] for one in outside_effects(_seen(requests=asked))] == [True, False]


def test_requests_that_a_capture_refuses_are_told_once() -> None:
    asked = [{"what": "swap", "where": "", "count": 2}, {"what": "clock", "where": "", "count": 1}]
    (note,) = outside_notes(_seen(requests=asked))
    assert note.endswith("and was refused: clock, swap")


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (struct.pack("=H", socket.AF_INET) + struct.pack("!H4s", 80, bytes([192, 0, 2, 1])), "192.0.2.1:80"),
        (struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", 443, 0) + bytes(15) + b"\1", "[::1]:443"),
        (
            struct.pack("=H", socket.AF_INET6)
            + struct.pack("!HI", 1, 0)
            + bytes(10)
            + b"\xff\xff"
            + bytes([127, 0, 0, 1]),
            "127.0.0.1:1",
        ),
        (struct.pack("=H", socket.AF_UNIX) + b"\0name", "unix:@name"),
        (struct.pack("=H", socket.AF_UNIX) + b"relative\0", None),
        (struct.pack("=H", socket.AF_UNIX) + b"/etc/passwd\0", None),
        (struct.pack("=H", socket.AF_NETLINK) + bytes(10), None),
    ],
)
def test_addresses_are_shown_as_people_write_them(raw: bytes, wanted: str | None) -> None:
    assert shown_address(raw) == wanted


def test_a_process_is_listed_with_the_ports_on_which_it_listens() -> None:
    code = "import socket, sys; s = socket.create_server(('127.0.0.1', 0))"
    code += "; print(s.getsockname()[1], flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        found = [one for one in processes_left(own=os.getpid(), most=10_000) if one["ports"] == [port]]
        assert [str(one["command"]).startswith(sys.executable) for one in found] == [True]
        process.communicate("")
