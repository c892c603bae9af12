"""Where a script finds its secrets: files in memory, of mode 0600, that are there only while it runs."""

from __future__ import annotations

from typing import Final

__all__ = ["FOLDER", "secret_path"]

#: Lies in the capture's own ``/run``, a tmpfs that nobody else sees.
FOLDER: Final = "/run/workflow-agent/secrets"


def secret_path(name: str) -> str:
    """Give the path of the file that holds a secret."""
    return f"{FOLDER}/{name}"
