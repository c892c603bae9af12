"""Times of cron expressions in a time zone. Five fields as Debian's cron reads them, or a name such as ``@daily``.

Where clocks are put forward, what falls into the hour that is missing is due right after it; where they are put back,
what falls into the hour that comes twice is due once, unless it is due every hour.

Source of the rules: cron(8) of Debian, which cronsim follows.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

__all__ = ["cron_problem", "times_after", "zone_problem"]

_NAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_FIELDS: Final = 5
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


def cron_problem(text: str) -> str | None:
    """Say what is wrong with a cron expression; None where nothing is."""
    from cronsim import CronSim, CronSimError  # noqa: PLC0415  # late: few definitions have a schedule

    if text.startswith("@"):
        return None if text in _NAMES else f"known names are {', '.join(_NAMES)}"
    if len(text.split()) != _FIELDS:
        return "a cron expression has five fields: minute, hour, day of month, month, day of week"
    try:
        CronSim(text, datetime(2026, 1, 1, tzinfo=UTC))
    except (CronSimError, ValueError, AssertionError) as error:
        return f"no cron expression: {error}"
    return None


def zone_problem(name: str) -> str | None:
    """Say what is wrong with a time zone's name; None where nothing is."""
    try:
        _zone(name)
    except (OSError, ValueError, LookupError):
        return f"there is no time zone `{name[:64]}` on this machine"
    return None


def times_after(cron: str, timezone: str, after: float) -> Iterator[float]:
    """Give the times of an expression after a time, as UTC seconds, in their order; a day that never comes has none."""
    from cronsim import CronSim  # noqa: PLC0415  # late: as above

    start = datetime.fromtimestamp(after, UTC).astimezone(_zone(timezone))
    for found in CronSim(_NAMES.get(cron, cron), start):
        if found.timestamp() > after:
            yield found.timestamp()


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    if not _ZONE.fullmatch(name):
        raise ValueError(name)
    from zoneinfo import ZoneInfo  # noqa: PLC0415  # late: as above

    return ZoneInfo(name)
