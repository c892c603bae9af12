"""Identities: run ids (``r-`` + ULID) and cheap sortable message ids. Time and randomness come in."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RUN_ID_PATTERN", "canonical_json", "content_hash", "message_ids", "new_run_id", "ulid"]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_CHARS = 26
#: A whole run id, or a prefix of one of at least one character after ``r-``.
RUN_ID_PATTERN = re.compile(r"^r-[0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{1,26}$")


def ulid(now_ms: int, randomness: bytes) -> str:
    """Encode 48 bits of milliseconds and 80 bits of randomness as 26 Crockford base-32 characters.

    Source: the ULID specification (github.com/ulid/spec), canonical string form.
    """
    value = ((now_ms & (1 << 48) - 1) << 80) | int.from_bytes(randomness[:10], "big")
    return "".join(_CROCKFORD[(value >> (5 * i)) & 31] for i in reversed(range(_ULID_CHARS)))


def new_run_id() -> str:
    """Make a fresh run id from the wall clock and the system's randomness."""
    return "r-" + ulid(time.time_ns() // 1_000_000, os.urandom(10))


def message_ids() -> Callable[[], str]:
    """Give a generator of ids that sort in the order of creation within one process."""
    prefix = f"{time.time_ns() // 1000:x}-{os.getpid():x}-"
    counter = count().__next__
    return lambda: f"{prefix}{counter():010x}"


def canonical_json(value: Any) -> str:  # Any: every JSON value
    """Serialise with sorted keys, no spaces and ASCII only, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def content_hash(value: Any) -> str:  # Any: every JSON value
    """SHA-256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
