"""Identities of what runs: a step, an item of its fan-out, a round of its loop, what takes it back.

``fetch`` · ``fetch[3]`` (item, from 0) · ``poll#2`` (round, from 1) · ``book~undo``. The identity is what journal,
messages and idempotency keys carry; it follows from the definition and the data, never from a counter of calls.
"""

from __future__ import annotations

import hashlib

__all__ = ["UNDO", "idempotency_key", "item_of", "parse_unit", "round_of"]

#: End of the identity of what takes a step back.
UNDO = "~undo"


def item_of(step: str, index: int) -> str:
    """Name an item of a fan-out."""
    return f"{step}[{index}]"


def round_of(step: str, number: int) -> str:
    """Name a round of a loop."""
    return f"{step}#{number}"


def parse_unit(unit: str) -> tuple[str, int | None, int | None]:
    """Take an identity apart: the step (or its undo), the item's index, the round's number.

    Raises:
        ValueError: a number is none.
    """
    if unit[-1:] == "]":
        step, _, index = unit[:-1].rpartition("[")
        return step, int(index), None
    if "#" not in unit:
        return unit, None, None
    step, _, number = unit.rpartition("#")
    return step, None, int(number)


def idempotency_key(run_id: str, unit: str) -> str:
    """Give the key under which an effect may be known to whoever carries it out: the same for every attempt."""
    return hashlib.sha256(f"{run_id}\0{unit}".encode()).hexdigest()[:32]
