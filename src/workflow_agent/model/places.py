"""Places: what only so many may have at the same time, or so often. Who stands in line, and whose turn it is.

A lock is a key with one place. Pure: rows in, answer out; who keeps the rows is a matter of the port ``Places``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LONGEST_LINE", "Place", "Standing", "Wanted", "oldest_to_leave", "standing_of"]

#: So many may stand in one line; one more is refused, so that a line never grows without bounds.
LONGEST_LINE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A place that somebody wants.

    Attributes:
        ticket: Who wants it, and for what; unique.
        key: What the places are of.
        limit: How many there are; with `per_s`, how many starts there are in that many seconds.
        run_id: The run.
        unit: The step of it; empty for the run as a whole.
        kind: ``lock``, ``concurrency`` or ``rate``.
        priority: 0 to 9; the highest stands first.
        per_s: For starts: the time that they are counted over.
        evicts: Whether the oldest holder is asked to leave.
    """

    ticket: str
    key: str
    limit: int
    run_id: str
    unit: str = ""
    kind: str = "lock"
    priority: int = 5
    per_s: float | None = None
    evicts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A row: who wants or has a place. `number` counts in the order in which they came."""

    number: int
    ticket: str
    run_id: str
    unit: str
    priority: int
    has_it: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How somebody stands: whether the place is theirs, who has the places, how many are before them.

    `pause_s` says, for starts, after which time it is worth while to ask again.
    """

    wanted: Wanted
    has_it: bool
    holders: tuple[Place, ...] = ()
    ahead: int = 0
    pause_s: float | None = None


def standing_of(wanted: Wanted, rows: Sequence[Place]) -> Standing:
    """Say how somebody stands in the line of a key; they have a row in it themselves."""
    holders = tuple(sorted((row for row in rows if row.has_it), key=lambda row: row.number))
    if any(row.ticket == wanted.ticket for row in holders):
        return Standing(wanted=wanted, has_it=True, holders=holders)
    line = sorted((row for row in rows if not row.has_it), key=lambda row: (-row.priority, row.number))
    ahead = next((at for at, row in enumerate(line) if row.ticket == wanted.ticket), len(line))
    return Standing(wanted=wanted, has_it=ahead < wanted.limit - len(holders), holders=holders, ahead=ahead)


def oldest_to_leave(rows: Sequence[Place], asked: frozenset[str]) -> Place | None:
    """Give the holder who came first and was not asked to leave yet, where fewer were asked than stand in line."""
    holders = sorted((row for row in rows if row.has_it), key=lambda row: row.number)
    left = [row for row in holders if row.ticket not in asked]
    is_enough = len(holders) - len(left) >= sum(not row.has_it for row in rows)
    return None if is_enough or not left else left[0]
