"""Durations as people write them: ``90s``, ``10m``, ``1h30m``, or a number of seconds."""

from __future__ import annotations

import re

from workflow_agent.model.errors import ValidationError

__all__ = ["duration_s"]

_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_YEAR_S = 366 * _UNIT_S["d"]
_HINT = "a duration is a number of seconds, or numbers with ms, s, m, h or d, such as `90s` or `1h30m`"


def duration_s(value: object, *, where: str | None = None, zero: bool = False) -> float:
    """Give a duration in seconds, to the millisecond, so that equal durations are equal numbers.

    Args:
        value: A number of seconds, or a text; the parts of a text are added.
        where: Place for the error.
        zero: Whether there may be none at all.

    Raises:
        ValidationError: it is no duration, not above zero, or longer than a year.
    """
    seconds = _read(value)
    if seconds is None:
        raise ValidationError(f"`{str(value)[:40]}` is no duration", where=where, hint=_HINT)
    seconds = round(seconds, 3)
    if not (0 <= seconds <= _YEAR_S) or (seconds == 0 and not zero):
        least = "at least 0" if zero else "more than 0"
        raise ValidationError(f"a duration is {least} and at most a year, not `{str(value)[:40]}`", where=where)
    return seconds


def _read(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str) or not _WHOLE.fullmatch(value.strip()):
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(value))
