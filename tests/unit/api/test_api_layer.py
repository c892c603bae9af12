"""Only the API's own layer imports the web framework: the client half of aiohttp is used elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

SOURCES = Path(__file__).parents[3] / "src" / "workflow_agent"
WEB = re.compile(r"^\s*(from aiohttp import .*\bweb\b|from aiohttp\.web|import aiohttp\.web)", re.MULTILINE)


def test_only_the_api_imports_the_web_framework() -> None:
    """What plays a model's service in tests is no part of the product: `testing` may import everything."""
    users = {
        path.relative_to(SOURCES).parts[0]
        for path in SOURCES.rglob("*.py")
        if WEB.search(path.read_text(encoding="utf-8"))
    }

    assert users - {"testing"} == {"api"}
