"""The program that reads what file systems hold, and how it packs its answer; :mod:`.walking` starts it.

Nothing heavy may be imported here: somebody waits for it.

It gets one JSON line, ``{"root": "/proc/4711/fd/7", "points": ["/", …], "hidden": ["/home/ann/.ssh", …]}``, and answers
for each point with three lengths and as many bytes: the paths, the handles, and all numbers.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from typing import TYPE_CHECKING

from workflow_agent.targets.entries import walk_file_system
from workflow_agent.targets.linux import die_with_parent

if TYPE_CHECKING:
    from workflow_agent.targets.entries import Baseline

__all__ = ["LENGTHS", "NUMBERS", "main"]

#: How long the three parts of an answer are.
LENGTHS = struct.Struct("<QQQ")
#: Length of the handle, then the fields of an entry from `ino` on.
NUMBERS = struct.Struct("<BQqqqIIIQQQ")


def main() -> None:
    """Run the program."""
    die_with_parent(int(sys.argv[1]))
    asked = json.loads(sys.stdin.buffer.read())
    root_fd = os.open(asked["root"], os.O_PATH)
    hidden = frozenset(map(os.fsencode, asked["hidden"]))
    for point in map(os.fsencode, asked["points"]):
        parts = _packed(walk_file_system(root_fd, point, hidden))
        sys.stdout.buffer.write(LENGTHS.pack(*map(len, parts)))
        for part in parts:
            sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def _packed(baseline: Baseline) -> tuple[bytes, bytes, bytes]:
    pack = NUMBERS.pack
    numbers = b"".join([pack(len(entry.handle), *entry[1:]) for entry in baseline.values()])
    return b"\0".join(baseline), b"".join([entry.handle for entry in baseline.values()]), numbers
