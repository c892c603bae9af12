"""Files in which many programs keep records or caches: their change says nothing about one installation (rule 24)."""

from __future__ import annotations

import re
from functools import cache

__all__ = ["has_many_owners"]

_PATTERNS = (
    # accounts, with the copies that passwd(1) and useradd(8) keep
    rb"/etc/(passwd|shadow|group|gshadow|subuid|subgid)-?",
    # packages: dpkg, apt, debconf, ucf
    rb"/var/lib/dpkg/(status|available|diversions|statoverride)(-old)?",
    rb"/var/lib/dpkg/triggers/.*",
    rb"/var/lib/dpkg/alternatives/.*",
    rb"/etc/alternatives/.*",
    rb"/var/lib/apt/extended_states",
    rb"/var/cache/debconf/.*",
    rb"/var/lib/ucf/.*",
    # what is made anew from everything that is installed
    rb"/etc/ld\.so\.cache",
    rb"/var/cache/(ldconfig|man|fontconfig)/.*",
    # logs are rotated
    rb"/var/log/.*",
)


@cache
def _shared() -> re.Pattern[bytes]:  # late: 4 ms, and few commands ask
    return re.compile(b"|".join(_PATTERNS), re.DOTALL)


def has_many_owners(path: bytes) -> bool:
    """Say whether other programs write to a path as well, in the course of their work.

    Args:
        path: Absolute on the target.
    """
    return _shared().fullmatch(path) is not None
