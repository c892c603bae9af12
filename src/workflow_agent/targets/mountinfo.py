"""How the kernel writes the names of mounts. Nothing heavy may be imported here: the capture program reads it."""

from __future__ import annotations

import re

__all__ = ["unescape"]

_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")


def unescape(field: bytes) -> bytes:
    """Undo the octal escapes of mountinfo (space, tab, newline, backslash). Source: proc(5), /proc/pid/mountinfo."""
    # No codec: it would be loaded when it is needed, and a namespace program is elsewhere by then.
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field)
