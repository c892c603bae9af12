"""Which runs are due: from the schedule, the time up to which it was dealt with, and the clock. Pure."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.cron import times_after
from workflow_agent.model.expression import interpolate
from workflow_agent.model.identity import content_hash
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.model.workflow import Workflow

__all__ = ["LATE_S", "MOST", "Due", "Schedule", "due", "next_times", "schedules_of"]

#: Seconds for which a time is not late yet: a look may be late by as much.
LATE_S: Final = 60.0
#: Times that are dealt with at once; what is left is due at the next look.
MOST: Final = 1000
_WINDOW_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule of a definition. `id` follows from what it says, so another order of schedules changes nothing."""

    id: str
    workflow: str
    cron: str
    timezone: str
    catch_up: str
    overlap: str
    inputs: Mapping[str, Any]

    def key(self, at: float) -> str:
        """Give the idempotency key of the run that is due at a time."""
        return f"schedule {self.id} {at:.0f}"

    def given(self, at: float) -> dict[str, Any]:
        """Give the inputs of the run that is due at a time; they may read ``schedule.due`` and ``schedule.id``."""
        names = {"schedule": {"id": self.id, "due": text_of_time(at)}}
        values: dict[str, Any] = interpolate(dict(self.inputs), names)
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What a look found: times to fire, and the time up to which the schedule is dealt with then.

    `missed` says that times passed by which are not caught up.
    """

    times: tuple[float, ...]
    considered: float
    missed: bool = False


def text_of_time(at: float) -> str:
    """Write a time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def schedules_of(workflow: Workflow) -> list[Schedule]:
    """List the schedules of a definition."""
    return [
        Schedule(
            id=f"{workflow.name}/{content_hash([said['cron'], said['timezone'], said['inputs']])[:12]}",
            workflow=workflow.name,
            **said,
        )
        for said in workflow.schedule
    ]


def next_times(schedule: Schedule, after: float, count: int) -> list[float]:
    """Give the next times of a schedule."""
    return [*islice(times_after(schedule.cron, schedule.timezone, after), count)]


def due(schedule: Schedule, considered: float, now: float) -> Due:
    """Say what is to be fired now.

    Args:
        schedule: The schedule.
        considered: The time up to which it was dealt with.
        now: UTC seconds. Before `considered` (the clock was set back) nothing is due.
    """
    if now <= considered:
        return Due(times=(), considered=considered)
    if schedule.catch_up == "all":
        times = _between(schedule, considered, now)
        return Due(times=times, considered=times[-1] if len(times) == MOST else now)
    if schedule.catch_up == "latest":
        newest = _newest(schedule, considered, now)
        first = next(iter(next_times(schedule, considered, 1)), None)
        return Due(times=newest, considered=now, missed=bool(newest) and first != newest[0])
    start = max(considered, now - LATE_S)
    passed = next_times(schedule, considered, 1)
    return Due(times=_between(schedule, start, now), considered=now, missed=bool(passed) and passed[0] <= start)


def _between(schedule: Schedule, after: float, until: float) -> tuple[float, ...]:
    times = times_after(schedule.cron, schedule.timezone, after)
    return tuple(islice(takewhile(lambda at: at <= until, times), MOST))


def _newest(schedule: Schedule, considered: float, now: float) -> tuple[float, ...]:
    """Find the last time before now, in windows that grow: years may have passed."""
    window = _WINDOW_S
    while True:
        start = max(considered, now - window)
        times = times_after(schedule.cron, schedule.timezone, start)
        if newest := deque(takewhile(lambda at: at <= now, times), maxlen=1):
            return (newest[0],)
        if start == considered:
            return ()
        window *= 4
