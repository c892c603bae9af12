"""Sockets that wait on a port: what the kernel says over netlink, and what its tables say, is the same."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from workflow_agent.targets import listening_sockets as module
from workflow_agent.targets.listening_sockets import Listener, listening_sockets, parse_sockets

_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def _row(local: str, state: str, inode: int = 7) -> str:
    return f"   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0\n"


@pytest.mark.parametrize(
    ("local", "address", "port"),
    [
        ("0100007F:0016", "127.0.0.1", 22),
        ("00000000:238C", "0.0.0.0", 9100),
        ("00000000000000000000000000000000:0050", "::", 80),
        ("00000000000000000000000001000000:0050", "::1", 80),
        ("0000000000000000FFFF00000100007F:0050", "127.0.0.1", 80),
        ("B80D0120000000000000000001000000:FFFF", "2001:db8::1", 65535),
    ],
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the table is in the byte order of the machine")
def test_addresses_of_the_kernel_are_read(local: str, address: str, port: int) -> None:
    (found,) = parse_sockets(_HEAD + _row(local, "0A"), "tcp")

    assert (found.address, found.port, found.inode) == (address, port, 7)


@pytest.mark.parametrize(("protocol", "state"), [("tcp", "0A"), ("udp", "07")])
def test_only_waiting_sockets_count(protocol: str, state: str) -> None:
    rows = "".join(_row("0100007F:0016", f"{number:02X}", number) for number in range(1, 13))

    assert [item.inode for item in parse_sockets(_HEAD + rows, protocol)] == [int(state, 16)]


def _bound(stack: ExitStack, family: int, kind: int, address: str) -> Listener:
    """Open a socket that waits on a port."""
    one = stack.enter_context(socket.socket(family, kind))
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    one.bind((address, 0))
    if kind == socket.SOCK_STREAM:
        one.listen()
    shown = address.removeprefix("::ffff:")
    protocol = "tcp" if kind == socket.SOCK_STREAM else "udp"
    return Listener(protocol, shown, one.getsockname()[1], os.fstat(one.fileno()).st_ino)


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_waiting_sockets_are_listed(kind: int, answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not answers:
        monkeypatch.setattr(module, "_NETLINK_SOCK_DIAG", 31)  # no such protocol: the tables are read
        with pytest.raises(OSError):
            module._netlink()
    with ExitStack() as stack:
        expected = [_bound(stack, socket.AF_INET, kind, one) for one in ("127.0.0.1", "0.0.0.0")]
        if socket.has_ipv6 and Path("/proc/net/tcp6").exists():
            expected += [_bound(stack, socket.AF_INET6, kind, one) for one in ("::", "::ffff:127.0.0.1")]
        with socket.create_connection(("127.0.0.1", expected[0].port)) if kind == socket.SOCK_STREAM else ExitStack():
            found = listening_sockets(expected[0].protocol)

    inodes = {one.inode for one in expected}
    assert sorted(one for one in found if one.inode in inodes) == sorted(expected)
    assert len({one.inode for one in found}) == len(found)


def test_more_sockets_than_one_message_holds() -> None:
    with ExitStack() as stack:
        expected = {_bound(stack, socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1") for _ in range(600)}

        assert expected <= set(listening_sockets("tcp"))


@pytest.mark.root
def test_sockets_of_another_network_are_those_of_its_processes() -> None:
    script = (
        "import socket, sys; one = socket.socket(); one.bind(('0.0.0.0', 9100)); one.listen();"
        "print(flush=True); sys.stdin.read()"
    )
    argv = ["unshare", "--net", sys.executable, "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as there:
        assert there.stdout is not None
        there.stdout.readline()
        before = Path("/proc/thread-self/ns/net").stat().st_ino

        found = listening_sockets("tcp", there.pid)

        assert [(one.address, one.port) for one in found] == [("0.0.0.0", 9100)]
        assert Path("/proc/thread-self/ns/net").stat().st_ino == before
        assert found[0] not in listening_sockets("tcp")
        there.communicate()


def test_a_process_that_is_gone_has_no_sockets_to_list() -> None:
    with pytest.raises(OSError):
        listening_sockets("tcp", 2**22 - 3)
