"""A line that a person types at the terminal, also one that is not shown; Ctrl-C ends the wait at any moment."""

from __future__ import annotations

import functools
import os
import select
import signal
import sys
import termios

__all__ = ["hidden_line", "typed_line"]

_LOCAL_FLAGS = 3
_PIPE_BYTES = 65536


def typed_line(question: str) -> str:
    """Ask on stderr and read a line from stdin; empty at the end of the input.

    A signal that comes just before a blocking `read` is handled by Python only after it, which may be never; so this
    waits for the input and for the signal. One that comes while Python 3.11 takes its lock back after a system call can
    be noted and not acted on (ceval_gil.h, COMPUTE_EVAL_BREAKER); so handlers are run before each wait.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    sys.stderr.write(question)
    sys.stderr.flush()
    woken, wakes = _wakeup()
    before = signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    try:
        _run_handlers()
        while sys.stdin not in select.select([sys.stdin, woken], [], [])[0]:
            os.read(woken, _PIPE_BYTES)  # an earlier signal, or one whose handler lets it go on
            _run_handlers()
    finally:
        signal.set_wakeup_fd(before)
    return sys.stdin.readline()


def hidden_line(question: str) -> str:
    """Ask as `typed_line` does; what is typed is not shown. Only for a terminal."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    hidden = termios.tcgetattr(descriptor)
    hidden[_LOCAL_FLAGS] &= ~termios.ECHO
    try:
        # what was typed ahead, while it could be seen, is no answer
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, hidden)
        return typed_line(question)
    finally:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
        sys.stderr.write("\n")
        sys.stderr.flush()


def _run_handlers() -> None:
    """Run the handlers of signals that have come: this call does so whatever else it is for."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ())


@functools.cache
def _wakeup() -> tuple[int, int]:
    """Give a pipe that is readable as soon as a signal has come; kept, as an interrupt can come before any `try`."""
    return os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
