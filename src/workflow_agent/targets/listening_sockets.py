"""Sockets that wait on a port, as the kernel tells over netlink. Standard library only.

The tables in `/proc/net` say the same, but to read one walks through the table of all connections: 5 ms, even where
there is none. They are read where the kernel does not answer.
Source: sock_diag(7), linux/inet_diag.h; for the tables proc(5) and net/ipv4/tcp_ipv4.c.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from contextlib import suppress
from typing import NamedTuple

from workflow_agent.targets import linux

__all__ = ["Listener", "listening_sockets", "parse_sockets"]

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
#: nlmsghdr: length, type, flags, sequence number, port.
_HEADER = struct.Struct("=IHHII")
#: inet_diag_req_v2: family, protocol, extensions, padding, states; then 48 bytes that select one socket.
_QUESTION = struct.Struct("=BBBxI48x")
#: The part of inet_diag_msg up to the source address: family, state, timer, retransmits, port, peer's port.
_ANSWER = struct.Struct("!BBBBHH")
_INODE = struct.Struct("=68xI")
_NUMBER = struct.Struct("=i")
_ALIGNED = 4
_IPV4_BYTES = 4
#: What precedes an IPv4 address as an IPv6 one (RFC 4291, 2.5.5.2).
_MAPPED = bytes(10) + b"\xff\xff"
_PIECE = 1 << 18
#: By protocol: its number, and the state in which its sockets wait (TCP_LISTEN, and TCP_CLOSE: not connected).
_WAITING = {"tcp": (socket.IPPROTO_TCP, 10), "udp": (socket.IPPROTO_UDP, 7)}


class Listener(NamedTuple):
    """A socket that takes connections or datagrams. IPv4-mapped addresses are given as IPv4."""

    protocol: str
    address: str
    port: int
    inode: int


def listening_sockets(protocol: str, pid: int | None = None) -> list[Listener]:
    """List the sockets that wait on a port in the network namespace of a process.

    Args:
        protocol: ``tcp`` or ``udp``.
        pid: The process; ours when omitted.

    Raises:
        OSError: Neither the kernel answers nor can the IPv4 table be read. A missing IPv6 table means a kernel without
            IPv6.
    """
    try:
        with _connection(pid) as connection:
            return [one for family in (socket.AF_INET, socket.AF_INET6) for one in _asked(connection, protocol, family)]
    except OSError:
        return _tabled(protocol, "self" if pid is None else str(pid))


def _connection(pid: int | None) -> socket.socket:
    """Open a netlink socket in the network namespace of a process: it stays there, whoever uses it."""
    if pid is None or os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino:
        return _netlink()
    opened: list[socket.socket] = []
    trouble: list[OSError] = []

    def open_there() -> None:  # a thread of its own: it does not come back from there
        try:
            linux.enter_network(pid)
            opened.append(_netlink())
        except OSError as error:
            trouble.append(error)

    thread = threading.Thread(target=open_there, name="netlink")
    thread.start()
    thread.join()
    if trouble:
        raise trouble[0]
    return opened[0]


def _netlink() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)


def _asked(connection: socket.socket, protocol: str, family: int) -> list[Listener]:
    number, state = _WAITING[protocol]
    question = _QUESTION.pack(family, number, 0, 1 << state)
    connection.send(_HEADER.pack(_HEADER.size + len(question), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0) + question)
    found: list[Listener] = []
    while True:
        piece = connection.recv(_PIECE)
        at = 0
        while at < len(piece):
            length, kind, *_ = _HEADER.unpack_from(piece, at)
            body = piece[at + _HEADER.size : at + length]
            if kind == _DONE:
                return found
            if kind == _ERROR:
                raise OSError(-_NUMBER.unpack_from(body)[0], f"sock_diag: {protocol}")
            found.append(_listener(protocol, family, body))
            at += -(-length // _ALIGNED) * _ALIGNED


def _listener(protocol: str, family: int, body: bytes) -> Listener:
    *_, port, _ = _ANSWER.unpack_from(body)
    size = 4 if family == socket.AF_INET else 16
    address = _readable(body[_ANSWER.size : _ANSWER.size + size])
    return Listener(protocol, address, port, *_INODE.unpack_from(body))


def _tabled(protocol: str, process: str) -> list[Listener]:
    found = parse_sockets(_table(f"/proc/{process}/net/{protocol}"), protocol)
    with suppress(FileNotFoundError):
        found += parse_sockets(_table(f"/proc/{process}/net/{protocol}6"), protocol)
    return found


def _table(path: str) -> str:
    with open(path, encoding="ascii") as stream:
        return stream.read()


def parse_sockets(table: str, protocol: str) -> list[Listener]:
    """Read the waiting sockets out of a table of the kernel (`/proc/net/tcp` and its kin)."""
    wanted = f"{_WAITING[protocol][1]:02X}"
    found = []
    for line in table.splitlines()[1:]:
        _, local, _, state, _, _, _, _, _, inode, *_ = line.split()
        if state == wanted:
            address, _, port = local.partition(":")
            words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
            raw = struct.pack(f"={len(words)}I", *words)
            found.append(Listener(protocol, _readable(raw), int(port, 16), int(inode)))
    return found


def _readable(raw: bytes) -> str:
    raw = raw.removeprefix(_MAPPED)
    return socket.inet_ntop(socket.AF_INET if len(raw) == _IPV4_BYTES else socket.AF_INET6, raw)
