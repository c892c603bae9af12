"""How much a script may stage before it is stopped, and how much of a host is copied for a rehearsal."""

from __future__ import annotations

from workflow_agent.model.records import dataclass

__all__ = ["CaptureQuota", "CopyScope"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureQuota:
    """How much a script may stage on one file system before it is stopped, and how many processes it may have (rule 6).

    `keep_free_bytes` stay for the target's own services, or a quarter of what is free when that is less.
    """

    max_bytes: int = 8 << 30
    max_entries: int = 1_000_000
    max_processes: int = 2_000
    keep_free_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyScope:
    """What of a host is copied for a rehearsal: at most so many bytes, and not what is in these paths.

    A plan tells of those in `without`; those in `hidden` are ours.
    """

    max_bytes: int = 4 << 30
    without: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
