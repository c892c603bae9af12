"""Whether a text is what a pattern says, in bounded time: patterns come with integrations of others.

A repetition within a repetition can keep Python's matcher busy for ever. So a pattern is tried without more only where
it evidently has few ways to match. Else a signal ends it after a second of processor time: the matcher looks for those,
in the main thread. In another thread it is tried in a process of its own, with the same limit.

Source: CPython 3.11, `Modules/_sre/sre_lib.h`, MAYBE_CHECK_SIGNALS.
"""

from __future__ import annotations

import json
import math
import re
import signal
import sys
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["MAX_CHARS", "BoundedMatcher", "matches"]

#: A pattern is no longer than that.
MAX_CHARS: Final = 1000
_MOST_WAYS: Final = 1_000_000
_LIMIT_S: Final = 1
_PATIENCE_S: Final = 15.0
#: Seconds that all slow patterns together may take in a minute.
_ALLOWANCE_S: Final = 20.0
_WINDOW_S: Final = 60.0
#: What may stand after ``(?``; flags and comments could hide what follows from who reads it as we do.
_PLAIN_GROUPS: Final = re.compile(r"\(\?(?!:|=|!|<=|<!|P<\w+>)")
_ESCAPES_AND_CLASSES: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_COUNTED: Final = re.compile(r"\{(\d*),?(\d*)\}")
_PROGRAM: Final = f"""
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, ({_LIMIT_S}, {_LIMIT_S}))
pattern, text = json.load(sys.stdin)
sys.exit(0 if re.fullmatch(pattern, text) else 3)
"""
_NO_MATCH: Final = 3


class BoundedMatcher:
    """Matches; what is slow may take only so long in a minute, whoever asks, and is refused at once then."""

    def __init__(self, *, allowance_s: float = _ALLOWANCE_S) -> None:
        self._allowance_s = allowance_s
        self._begun = -math.inf
        self._spent_s = 0.0

    def matches(self, pattern: str, text: str) -> bool:
        """Say whether the whole text is what the pattern says.

        Raises:
            ValueError: it takes too long to tell.
        """
        if _ways(pattern, len(text)) <= _MOST_WAYS:
            return re.fullmatch(pattern, text) is not None
        begun = time.monotonic()
        if begun - self._begun > _WINDOW_S:
            self._begun, self._spent_s = begun, 0.0
        code = _bounded(pattern, text) if self._spent_s < self._allowance_s else None
        self._spent_s += time.monotonic() - begun
        if code not in {0, _NO_MATCH}:
            raise ValueError(f"takes too long to compare with the pattern {pattern[:100]}")
        return code == 0


#: The one of this process.
matches: Final = BoundedMatcher().matches


def _ways(pattern: str, size: int) -> float:
    """Give how many ways through a pattern a text of this size can take at most; infinite where that is not plain."""
    plain = _ESCAPES_AND_CLASSES.sub("x", pattern)
    if _PLAIN_GROUPS.search(plain) or re.search(r"\)([*+]|\{(?!\d\}))", plain):
        return math.inf
    copies = math.prod(int(found[1]) or 1 for found in re.finditer(r"\)\{(\d)\}", plain))
    counts = [int(found[2] or size) - int(found[1] or 0) for found in _COUNTED.finditer(plain) if "," in found[0]]
    rest = _COUNTED.sub("", plain)
    counts += [size] * (rest.count("*") + rest.count("+")) + [1] * (rest.count("?") + rest.count("|"))
    ways = 1.0
    for count in counts:
        ways *= min(max(count, 0), size) + 1.0
    return ways**copies if ways <= _MOST_WAYS else math.inf


class _TimeIsOverError(Exception):
    """The matcher was interrupted."""


@lru_cache(maxsize=256)
def _bounded(pattern: str, text: str) -> int | None:
    """Match for a second at most; gives 0, _NO_MATCH, or what else says that it took too long."""
    if threading.current_thread() is not threading.main_thread():
        return _asked(pattern, text)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise _TimeIsOverError

    before = signal.signal(signal.SIGVTALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, _LIMIT_S)
        try:
            return 0 if re.fullmatch(pattern, text) else _NO_MATCH
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except _TimeIsOverError:
        return None
    finally:
        signal.signal(signal.SIGVTALRM, before)


def _asked(pattern: str, text: str) -> int | None:
    """Match in a process of its own; gives how it ended, None where it did not in time."""
    import subprocess  # noqa: PLC0415  # late: few patterns need it

    argv = [sys.executable, "-I", "-S", "-c", _PROGRAM]
    try:
        done = subprocess.run(
            argv, input=json.dumps([pattern, text]).encode(), check=False, capture_output=True, timeout=_PATIENCE_S
        )
    except (OSError, subprocess.TimeoutExpired):  # it cannot be begun, or does not end
        return None
    return done.returncode
