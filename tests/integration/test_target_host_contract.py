"""A real host keeps the promises of every target."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.targets.host import HostTarget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.target_contract import TargetContract

    from workflow_agent.testing.lab import LabHost
else:
    sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))
    pytest.register_assert_rewrite("target_contract")
    from target_contract import TargetContract


class TestHostTarget(TargetContract):
    @pytest.fixture
    async def target(self, lab_plain: LabHost) -> AsyncIterator[HostTarget]:
        self.root = lab_plain.root
        target = HostTarget(pid=lab_plain.pid)
        yield target
        await target.close()

    def read(self, path: str) -> str | None:
        place = self.root / path.lstrip("/")
        return place.read_text() if place.exists() else None

    def write(self, path: str, text: str) -> None:
        (self.root / path.lstrip("/")).write_text(text)

    def remove(self, path: str) -> None:
        (self.root / path.lstrip("/")).unlink()
