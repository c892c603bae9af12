"""Looking at an SNMP agent: one value, asked for with version 2c. Standard library only.

What is needed of BER stands here: lengths, integers, texts, object identifiers. Source: RFC 1157, RFC 1905, X.690.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from workflow_agent.targets.probe_outcome import ProbeOutcome, Site, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "DEFAULT_ADDRESS",
    "DEFAULT_COMMUNITY",
    "DEFAULT_PORT",
    "MalformedError",
    "ask",
    "look_at_snmp",
    "read_answer",
]

DEFAULT_ADDRESS = "127.0.0.1"
DEFAULT_COMMUNITY = "public"
DEFAULT_PORT = 161
#: Datagrams are lost: the question is put again.
_AGAIN_S = 1.0
_DATAGRAM = 64 << 10
_VERSION_2C = 1
_INTEGER, _OCTETS, _NULL, _OID, _SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
_GET, _RESPONSE = 0xA0, 0xA2
_IP_ADDRESS = 0x40
_COUNTS = frozenset({0x41, 0x42, 0x43, 0x46})  # Counter32, Gauge32, TimeTicks, Counter64
_ABSENT = {0x80: "has no such object", 0x81: "has no such instance", 0x82: "has nothing there"}
_LONG = 0x80
_MORE = 0x80
_LOW_7 = 0x7F
_MOST_LENGTH_BYTES = 4
#: Arcs below 2 have at most forty children. Source: X.690, 8.19.4.
_ARCS = 40
_PRINTABLE_FROM = " "


class MalformedError(ValueError):
    """Bytes that are no SNMP message, or another's."""


class _Answer(NamedTuple):
    request: int
    error: int
    oid: str
    tag: int
    raw: bytes


def look_at_snmp(spec: Mapping[str, Any], site: Site) -> ProbeOutcome:
    """SNMP: the agent tells the value of an object, with what the check says about it."""
    address, port = spec.get("address", DEFAULT_ADDRESS), spec.get("port", DEFAULT_PORT)
    number = int.from_bytes(os.urandom(3))
    question = ask(spec["oid"], spec.get("community", DEFAULT_COMMUNITY), number)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((address, port))
            answer = _answer(asking, question, number, site)
        except OSError as error:
            return ProbeOutcome(False, f"no answer on udp/{port}: {error.strerror or error}")
    if answer is None:
        return ProbeOutcome(False, f"no answer on udp/{port} in time: nobody is there, or it is not for this community")
    return _judged(spec, answer)


def _judged(spec: Mapping[str, Any], answer: _Answer) -> ProbeOutcome:
    if answer.error:
        return ProbeOutcome(False, f"it answers with error {answer.error}")
    if answer.tag in _ABSENT:
        return ProbeOutcome(False, f"it {_ABSENT[answer.tag]}: {spec['oid']}")
    value = _shown(answer.tag, answer.raw)
    holds = spec.get("equals", value) == value and spec.get("contains", "") in value
    return ProbeOutcome(holds, f"it is {shorten(value)!r}")


def _answer(asking: socket.socket, question: bytes, number: int, site: Site) -> _Answer | None:
    """Ask until the answer to this question has come; what else comes is not ours."""
    asking.send(question)
    again = time.monotonic() + _AGAIN_S
    while (now := time.monotonic()) < site.deadline:
        if now >= again:
            asking.send(question)
            again = now + _AGAIN_S
        asking.settimeout(max(0.001, min(again, site.deadline) - now))
        try:
            answer = read_answer(asking.recv(_DATAGRAM))
        except (TimeoutError, MalformedError):
            continue
        if answer.request == number:
            return answer
    return None


def ask(oid: str, community: str, number: int) -> bytes:
    """Write the request for one object's value."""
    wanted = _field(_SEQUENCE, _field(_OID, _oid_bytes(oid)) + _field(_NULL, b""))
    body = _whole(number) + _whole(0) + _whole(0) + _field(_SEQUENCE, wanted)
    return _field(_SEQUENCE, _whole(_VERSION_2C) + _field(_OCTETS, community.encode()) + _field(_GET, body))


def read_answer(data: bytes) -> _Answer:
    """Read a response with one value.

    Raises:
        MalformedError: it is none.
    """
    _version, _community, (kind, body) = _fields(_only(data, _SEQUENCE), 3)
    if kind != _RESPONSE:
        raise MalformedError
    request, error, _index, (listed, values) = _fields(body, 4)
    if listed != _SEQUENCE:
        raise MalformedError
    (named, oid), (tag, raw) = _fields(_only(values, _SEQUENCE), 2)
    if named != _OID:
        raise MalformedError
    return _Answer(_number(request), _number(error), _oid_text(oid), tag, raw)


def _whole(value: int) -> bytes:
    return _field(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def _field(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < _LONG:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, _LONG | len(length))) + length + content


def _oid_bytes(oid: str) -> bytes:
    first, second, *rest = map(int, oid.strip(".").split("."))
    return b"".join(map(_arc, (first * _ARCS + second, *rest)))


def _arc(value: int) -> bytes:
    parts = [value & _LOW_7]
    while value := value >> 7:
        parts.append(value & _LOW_7 | _MORE)
    return bytes(reversed(parts))


def _oid_text(raw: bytes) -> str:
    arcs, value = [], 0
    for byte in raw:
        value = value << 7 | byte & _LOW_7
        if not byte & _MORE:
            arcs.append(value)
            value = 0
    if not arcs:
        raise MalformedError
    top = min(arcs[0] // _ARCS, 2)
    return ".".join(map(str, (top, arcs[0] - top * _ARCS, *arcs[1:])))


def _each(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Read fields one after another: tag and content."""
    place = 0
    while place < len(data):
        if place + 2 > len(data):
            raise MalformedError
        tag, size = data[place], data[place + 1]
        place += 2
        if size & _LONG:
            count = size & _LOW_7
            if not 0 < count <= _MOST_LENGTH_BYTES:
                raise MalformedError
            size = int.from_bytes(data[place : place + count])
            place += count
        if place + size > len(data):
            raise MalformedError
        yield tag, data[place : place + size]
        place += size


def _fields(data: bytes, count: int) -> list[tuple[int, bytes]]:
    found = list(_each(data))
    if len(found) != count:
        raise MalformedError
    return found


def _only(data: bytes, tag: int) -> bytes:
    ((found, content),) = _fields(data, 1)
    if found != tag:
        raise MalformedError
    return content


def _number(field: tuple[int, bytes]) -> int:
    tag, raw = field
    if tag != _INTEGER or not raw:
        raise MalformedError
    return int.from_bytes(raw, signed=True)


def _shown(tag: int, raw: bytes) -> str:
    """Write a value as people read it: numbers in digits, texts as they are, other bytes in hexadecimal."""
    if tag == _INTEGER:
        return str(int.from_bytes(raw, signed=True))
    if tag in _COUNTS:
        return str(int.from_bytes(raw))
    if tag == _OID and raw:
        return _oid_text(raw)
    if tag == _IP_ADDRESS and len(raw) == 4:  # noqa: PLR2004 - bytes of an IPv4 address
        return str(ipaddress.IPv4Address(raw))
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return raw.hex(" ")
    return text if all(char >= _PRINTABLE_FROM or char in "\t\r\n" for char in text) else raw.hex(" ")
