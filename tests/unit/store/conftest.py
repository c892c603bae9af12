from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflow_agent.model import failpoint
from workflow_agent.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "store")
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    failpoint.arm(None)
    yield
    failpoint.arm(None)
