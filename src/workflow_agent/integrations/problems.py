"""Problems found in a manifest: where in the document, what, and what to do about it."""

from __future__ import annotations

from typing import Final, TypeAlias

from workflow_agent.model.records import dataclass

__all__ = ["WHOLE", "KeyPath", "ManifestProblem", "key_text"]

#: Keys and indices from the top of the document.
KeyPath: TypeAlias = tuple[str | int, ...]
#: The key of what is about the document as a whole.
WHOLE: Final = "(top)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestProblem:
    """One problem at one key. `code` is stable."""

    path: KeyPath
    message: str
    code: str = "schema"
    hint: str | None = None


def key_text(path: KeyPath) -> str:
    """Write a key path as people read it: ``checks[2].url``; the top is :data:`WHOLE`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or WHOLE
