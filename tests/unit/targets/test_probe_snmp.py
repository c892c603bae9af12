"""One object of an SNMP agent is asked for; the agents here answer with bytes that were written by hand."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.targets.probe_checks import run_check
from workflow_agent.targets.probe_outcome import ProbeOutcome, Site
from workflow_agent.targets.probe_snmp import MalformedError, ask, read_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "1.3.6.1.2.1.1.5.0"
#: The request for NAME, community `public`, number 1. Source: RFC 1157, encoded by hand.
QUESTION = bytes.fromhex("302602010104067075626c6963a019020101020100020100300e300c06082b060102010105000500")


def field(tag: int, content: bytes) -> bytes:
    return bytes((tag, len(content))) + content


def response(request: bytes, tag: int, value: bytes, error: int = 0) -> bytes:
    """Answer a request: its number stands behind the community."""
    community = request[5 : 7 + request[6]]
    body = request[len(community) + 7 :]
    number = body[: 2 + body[1]]
    pair = field(0x30, bytes.fromhex("06082b06010201010500") + field(tag, value))
    parts = number + field(2, bytes((error,))) + field(2, b"\0") + field(0x30, pair)
    return field(0x30, b"\x02\x01\x01" + community + field(0xA2, parts))


@contextmanager
def agent(answer: Callable[[bytes], list[bytes]]) -> Iterator[int]:
    """Serve on a free port; the answers to one question are sent in order."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                question, client = server.recvfrom(9999)
                if question == b"end":
                    return
                for data in answer(question):
                    server.sendto(data, client)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        try:
            yield port
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"end", ("127.0.0.1", port))
            thread.join()


def look(port: int, limit_s: float = 5.0, **more: str) -> ProbeOutcome:
    return run_check("snmp", {"oid": NAME, "port": port, **more}, Site(time.monotonic() + limit_s, frozenset(), {}))


def test_a_request_is_written_as_the_standard_says() -> None:
    assert ask(NAME, "public", 1) == QUESTION


@pytest.mark.parametrize(
    ("tag", "value", "text"),
    [
        (0x04, b"lab-1", "lab-1"),
        (0x04, b"\x00\x1a\x2b", "00 1a 2b"),
        (0x04, b"\xff\xfe", "ff fe"),
        (0x04, "Ünïcode\n".encode(), "Ünïcode\n"),
        (0x02, b"\xff", "-1"),
        (0x43, b"\xff", "255"),
        (0x46, b"\x01\x00\x00\x00\x00", "4294967296"),
        (0x06, bytes.fromhex("2b06010401bf080a"), "1.3.6.1.4.1.8072.10"),
        (0x06, bytes.fromhex("883703"), "2.999.3"),
        (0x40, bytes((10, 0, 0, 5)), "10.0.0.5"),
    ],
)
def test_a_value_is_told_as_people_read_it(tag: int, value: bytes, text: str) -> None:
    with agent(lambda question: [response(question, tag, value)]) as port:
        assert look(port, equals=text) == ProbeOutcome(True, f"it is {text!r}")
        assert not look(port, equals=text + "x").holds


def test_a_part_of_a_value_can_be_asked_for() -> None:
    with agent(lambda question: [response(question, 0x04, b"Linux lab-1 6.1")]) as port:
        assert look(port, contains="lab-1").holds
        assert not look(port, contains="lab-2").holds
        assert look(port).holds


@pytest.mark.parametrize(("tag", "words"), [(0x80, "no such object"), (0x81, "no such instance"), (0x82, "nothing")])
def test_an_object_that_is_not_there_is_no_value(tag: int, words: str) -> None:
    with agent(lambda question: [response(question, tag, b"")]) as port:
        outcome = look(port)

    assert not outcome.holds
    assert words in outcome.observed


def test_an_error_of_the_agent_is_told() -> None:
    with agent(lambda question: [response(question, 0x05, b"", error=16)]) as port:
        assert look(port) == ProbeOutcome(False, "it answers with error 16")


def test_what_is_not_an_answer_to_this_question_is_passed_over() -> None:
    other = response(ask(NAME, "public", 1 << 25), 0x04, b"of another")

    with agent(lambda question: [b"", os.urandom(20), other, question, response(question, 0x04, b"ours")]) as port:
        assert look(port, equals="ours").holds


def test_a_lost_question_is_put_again() -> None:
    seen: list[bytes] = []

    def forgetful(question: bytes) -> list[bytes]:
        seen.append(question)
        return [response(question, 0x04, b"x")] if len(seen) > 1 else []

    with agent(forgetful) as port:
        assert look(port).holds
    assert seen[0] == seen[1]


def test_silence_is_no_answer_and_takes_no_longer_than_it_may() -> None:
    with agent(lambda _: []) as port:
        started = time.monotonic()
        outcome = look(port, limit_s=0.2, community="secret")

    assert not outcome.holds
    assert "community" in outcome.observed
    assert "secret" not in outcome.observed
    assert time.monotonic() - started < 2


def test_nobody_is_there() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    outcome = look(port, limit_s=1.0)

    assert not outcome.holds
    assert "Connection refused" in outcome.observed


def test_the_community_of_a_question_is_the_one_given() -> None:
    seen: list[bytes] = []

    def listening(question: bytes) -> list[bytes]:
        seen.append(question)
        return [response(question, 0x04, b"x")]

    with agent(listening) as port:
        look(port, community="x" * 100)

    assert b"\x04\x64" + b"x" * 100 in seen[0]


@given(st.binary(max_size=80))
def test_no_bytes_make_reading_fail_otherwise(data: bytes) -> None:
    with pytest.raises(MalformedError):
        read_answer(data)


@given(st.data())
def test_a_response_that_was_damaged_is_read_or_refused(data: st.DataObject) -> None:
    good = bytearray(response(ask(NAME, "public", 7), 0x04, b"value"))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_answer(bytes(good))
    except MalformedError:
        return


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=8))
def test_an_identifier_comes_back_as_it_was_asked_for(arcs: list[int]) -> None:
    oid = ".".join(map(str, (1, 3, *arcs)))
    request = ask(oid, "public", 5)

    assert read_answer(request.replace(b"\xa0", b"\xa2", 1)).oid == oid
