"""The manifests that come with this package, as data: who installs one of them need not load a reader of YAML (16 ms).

``python -m workflow_agent.integrations.shipped_manifests`` writes ``shipped.json``; a test compares. A manifest is
taken from it only when its text is still the one that was read (SHA-256): a file that is missing, broken or of another
release costs time, nothing else.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SHIPPED", "shipped_data", "shipped_text"]

SHIPPED: Final = Path(__file__).with_name("shipped.json")


def shipped_data(text: str) -> Any | None:  # Any: what YAML gives
    """Give what the text of a manifest says; None where it is none that came with this package."""
    known = _known().get(_key(text))
    return None if known is None else json.loads(known)


@cache
def _known() -> dict[str, str]:
    try:
        known = json.loads(SHIPPED.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def shipped_text(texts: Iterable[str]) -> str:
    """Write the file, given the manifests as their texts."""
    from workflow_agent.authoring.yaml_source import load_yaml  # noqa: PLC0415  # late: who reads the file needs none

    known = {_key(text): json.dumps(load_yaml(text, source="shipped").data, ensure_ascii=False) for text in texts}
    return json.dumps(known, indent=0, sort_keys=True, ensure_ascii=False) + "\n"


def _manifests() -> list[str]:
    from workflow_agent.integrations import builtin_folder  # noqa: PLC0415  # late, as above

    return [path.read_text(encoding="utf-8") for path in sorted(builtin_folder().glob("*/integration.yaml"))]


if __name__ == "__main__":
    SHIPPED.write_text(shipped_text(_manifests()), encoding="utf-8")
