"""The program that reads what file systems hold, beside a process that has other work; its answer is unpacked here.

A walk in a thread takes three times as long, and slows down what else runs: each of its system calls hands the
interpreter over. Standard library only; see :mod:`.programs` for its start.

It gets one JSON line, ``{"root_fd": 7, "points": ["/", …], "hidden": ["/home/ann/.ssh", …]}``, and answers for each
point with three lengths and as many bytes: the paths, the handles, and all numbers.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

from workflow_agent.targets.entries import Entry, walk_file_system
from workflow_agent.targets.programs import program_argv

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from workflow_agent.targets.entries import Baseline

__all__ = ["main", "walk_beside"]

_LENGTHS = struct.Struct("<QQQ")
#: Length of the handle, then the fields of an entry from `ino` on.
_NUMBERS = struct.Struct("<BQqqqIIIQQQ")


def walk_beside(root_fd: int, points: Sequence[bytes], hidden: Collection[bytes]) -> dict[bytes, Baseline]:
    """Walk the file systems mounted at `points` in a process of its own; see `walk_file_system`. Blocking.

    Raises:
        OSError: it could not be started, or it ended without an answer.
    """
    asked = {"root_fd": root_fd, "points": list(map(os.fsdecode, points)), "hidden": list(map(os.fsdecode, hidden))}
    done = subprocess.run(
        program_argv("workflow_agent.targets.walk_program"),
        input=json.dumps(asked).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(root_fd,),
        env={},
        start_new_session=True,  # Ctrl-C at the terminal is ours to handle
        check=False,
    )
    if done.returncode != 0:
        raise OSError(f"what the file systems hold was not read: exit code {done.returncode}")
    found: dict[bytes, Baseline] = {}
    at = 0
    for point in points:
        lengths = _LENGTHS.unpack_from(done.stdout, at)
        at += _LENGTHS.size
        parts = []
        for length in lengths:
            parts.append(done.stdout[at : at + length])
            at += length
        found[point] = _unpacked(*parts)
    return found


def main() -> None:
    """Run the program."""
    asked = json.loads(sys.stdin.buffer.read())
    hidden = frozenset(map(os.fsencode, asked["hidden"]))
    for point in map(os.fsencode, asked["points"]):
        parts = _packed(walk_file_system(asked["root_fd"], point, hidden))
        sys.stdout.buffer.write(_LENGTHS.pack(*map(len, parts)))
        for part in parts:
            sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def _packed(baseline: Baseline) -> tuple[bytes, bytes, bytes]:
    pack = _NUMBERS.pack
    numbers = b"".join([pack(len(entry.handle), *entry[1:]) for entry in baseline.values()])
    return b"\0".join(baseline), b"".join([entry.handle for entry in baseline.values()]), numbers


def _unpacked(paths: bytes, handles: bytes, numbers: bytes) -> Baseline:
    baseline: Baseline = {}
    names = paths.split(b"\0") if numbers else []
    at = 0
    for path, (length, *fields) in zip(names, _NUMBERS.iter_unpack(numbers), strict=True):
        baseline[path] = Entry(handles[at : at + length], *fields)
        at += length
    return baseline
