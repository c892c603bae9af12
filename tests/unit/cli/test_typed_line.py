"""What is typed at a terminal: read, hidden where it is a secret, and interrupted at any moment."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ASKS = """
import sys
from workflow_agent.cli.typed_line import hidden_line
while True:
    try:
        line = hidden_line("? ")
        sys.stdout.write(f"[{line!r}]")
        sys.stdout.flush()
        if not line:
            break
    except KeyboardInterrupt:
        sys.stdout.write("[interrupted]")
        sys.stdout.flush()
"""
_LOCAL_FLAGS = 3
_SIGNALS = 20_000
_DEADLINE_S = 20.0


@contextmanager
def asking() -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """Give a process that asks, its terminal, and the other end of it."""
    parent, child = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", _ASKS], stdin=child, stdout=child, stderr=child, start_new_session=True
    ) as process:
        try:
            yield process, child, parent
        finally:
            process.kill()
            os.close(parent)
            os.close(child)


def wait_for(parent: int, text: str, seen: str = "") -> str:
    """Read until a text was seen; gives what came after it."""
    while text not in seen:
        ready, _, _ = select.select([parent], [], [], _DEADLINE_S)
        assert ready, f"{text!r} was not seen, only {seen!r}"
        seen += os.read(parent, 4096).decode()
    return seen.partition(text)[2]


def test_an_interrupt_is_heard_at_any_moment_of_the_wait() -> None:
    # Python's own reading misses one of some 5,000: the signal comes after its last look and before the system call
    with asking() as (process, _child, parent):
        rest = ""
        for at in range(_SIGNALS):
            wait_for(parent, "? ", rest)
            for _ in range(at % 100):
                pass  # not always at the same distance from the question
            process.send_signal(signal.SIGINT)
            rest = wait_for(parent, "[interrupted]")


def test_what_is_typed_is_not_shown_and_read_to_the_end() -> None:
    with asking() as (process, child, parent):
        rest = wait_for(parent, "? ")
        assert not termios.tcgetattr(child)[_LOCAL_FLAGS] & termios.ECHO

        os.write(parent, b"one two\n")
        rest = wait_for(parent, r"['one two\n']", rest)
        rest = wait_for(parent, "? ", rest)
        os.write(parent, b"\x04")
        wait_for(parent, "['']", rest)

        assert process.wait(_DEADLINE_S) == 0
        assert termios.tcgetattr(child)[_LOCAL_FLAGS] & termios.ECHO
