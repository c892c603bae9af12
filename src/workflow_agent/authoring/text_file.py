"""Definitions as text from files, whatever is then done with the text."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_BYTES", "read_plain", "read_text"]

MAX_BYTES = 1 << 20


def read_text(path: Path) -> str:
    """Read a definition file (UTF-8, at most 1 MiB). Blocks.

    Raises:
        ValidationError: it is larger, no ordinary file, or not UTF-8.
        OSError: it cannot be read.
    """
    raw = read_plain(path, MAX_BYTES)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValidationError("the file is not UTF-8 text", where=str(path), cause=str(error)) from error


def read_plain(path: Path, largest: int) -> bytes:
    """Read an ordinary file; a pipe would be waited for, and a device may never end.

    Raises:
        ValidationError: it is none, or larger than `largest` bytes.
        OSError: it cannot be read.
    """
    # O_NONBLOCK: a pipe without a writer is opened, seen to be one, and refused
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValidationError("this is no ordinary file", where=str(path))
        raw = file.read(largest + 1)
    if len(raw) > largest:
        raise ValidationError(f"the file is larger than {largest} bytes", where=str(path))
    return raw
