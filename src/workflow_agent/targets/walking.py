"""Reads what file systems hold in a process of its own.

A walk in a thread takes three times as long, and slows down what else runs: each of its system calls hands the
interpreter over.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from workflow_agent.targets.entries import Entry
from workflow_agent.targets.spare_program import take_spare
from workflow_agent.targets.walk_program import LENGTHS, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from workflow_agent.targets.entries import Baseline

__all__ = ["walk_beside"]


def walk_beside(root_fd: int, points: Sequence[bytes], hidden: Collection[bytes]) -> dict[bytes, Baseline]:
    """Walk the file systems mounted at `points` in a process of its own; see `walk_file_system`. Blocking.

    Raises:
        OSError: it could not be started, or it ended without an answer.
    """
    asked = {
        "root": f"/proc/{os.getpid()}/fd/{root_fd}",
        "points": list(map(os.fsdecode, points)),
        "hidden": list(map(os.fsdecode, hidden)),
    }
    program = take_spare("walk")
    with open(program.stdout, "rb") as answers:
        with suppress(BrokenPipeError), open(program.stdin, "wb") as questions:  # how it ended says what was wrong
            questions.write(json.dumps(asked).encode())
        answer = answers.read()
    code = os.waitstatus_to_exitcode(os.waitpid(program.pid, 0)[1])
    if code != 0:
        raise OSError(f"what the file systems hold was not read: exit code {code}")
    found: dict[bytes, Baseline] = {}
    at = 0
    for point in points:
        lengths = LENGTHS.unpack_from(answer, at)
        at += LENGTHS.size
        parts = []
        for length in lengths:
            parts.append(answer[at : at + length])
            at += length
        found[point] = _unpacked(*parts)
    return found


def _unpacked(paths: bytes, handles: bytes, numbers: bytes) -> Baseline:
    baseline: Baseline = {}
    names = paths.split(b"\0") if numbers else []
    at = 0
    for path, (length, *fields) in zip(names, NUMBERS.iter_unpack(numbers), strict=True):
        baseline[path] = Entry(handles[at : at + length], *fields)
        at += length
    return baseline
