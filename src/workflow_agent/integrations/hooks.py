"""Python hooks of an integration: files that are read as text, never imported, and run inside a capture only."""

from __future__ import annotations

import ast
import hashlib
from typing import TYPE_CHECKING, Final

from workflow_agent.model.errors import ManifestError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["HOOK_FOLDER", "hook_problem", "read_hook"]

HOOK_FOLDER: Final = "hooks"
_LARGEST: Final = 64 << 10


def hook_problem(folder: Path, name: str) -> str | None:
    """Say what is wrong with a hook of an integration's folder. It is parsed, nothing of it is carried out."""
    file = folder / HOOK_FOLDER / f"{name}.py"
    if file.is_symlink() or not file.is_file():
        return f"is no file {HOOK_FOLDER}/{name}.py"
    content = file.read_bytes()
    if len(content) > _LARGEST:
        return f"is larger than {_LARGEST >> 10} KiB"
    try:
        ast.parse(content.decode("utf-8"))
    except (SyntaxError, ValueError) as error:
        return f"is no Python: {error}"
    return None


def read_hook(folder: Path, name: str) -> tuple[str, str]:
    """Give a hook's text and its digest (SHA-256, hex).

    Raises:
        ManifestError: there is no such file, or it is no Python.
    """
    if problem := hook_problem(folder, name):
        raise ManifestError(f"the hook `{name}` {problem}", where=str(folder))
    content = (folder / HOOK_FOLDER / f"{name}.py").read_bytes()
    return content.decode("utf-8"), hashlib.sha256(content).hexdigest()
