"""Times of schedules in words: ``schedule(daily(2, 30))``."""

from __future__ import annotations

from workflow_agent.model.errors import ValidationError

__all__ = ["daily", "every_minutes", "hourly"]


def daily(hour: int, minute: int = 0) -> str:
    """Give the cron expression of a time of every day."""
    return f"{_within(minute, 59, 'minute')} {_within(hour, 23, 'hour')} * * *"


def hourly(minute: int = 0) -> str:
    """Give the cron expression of a minute of every hour."""
    return f"{_within(minute, 59, 'minute')} * * * *"


def every_minutes(minutes: int) -> str:
    """Give the cron expression of every so many minutes of the hour; raises ValidationError outside of 1 to 59."""
    return f"*/{_within(minutes, 59, 'minutes', least=1)} * * * *"


def _within(value: int, most: int, what: str, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValidationError(f"`{what}` is a whole number from {least} to {most}, not {value!r}")
    return value
