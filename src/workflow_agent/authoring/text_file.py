"""Definitions as text from files, whatever is then done with the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_BYTES", "read_text"]

MAX_BYTES = 1 << 20


def read_text(path: Path) -> str:
    """Read a definition file (UTF-8, at most 1 MiB). Blocks.

    Raises:
        ValidationError: it is larger or not UTF-8.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValidationError(f"the file is larger than {MAX_BYTES} bytes", where=str(path))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValidationError("the file is not UTF-8 text", where=str(path), cause=str(error)) from error
