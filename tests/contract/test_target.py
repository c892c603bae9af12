"""The fake target keeps the promises of every target, so that pipelines tested on it are tested on something true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import NotFoundError
from workflow_agent.testing.fake_target import FakeTarget, FakeTargets

pytest.register_assert_rewrite("target_contract")

if TYPE_CHECKING:
    from tests.contract.target_contract import TargetContract
else:  # pytest puts this folder on the path, the type checker knows modules from the root
    from target_contract import TargetContract


class TestFakeTarget(TargetContract):
    @pytest.fixture
    def target(self) -> FakeTarget:
        self.fake = FakeTarget()
        return self.fake

    def read(self, path: str) -> str | None:
        return self.fake.world.files.get(path)

    def write(self, path: str, text: str) -> None:
        self.fake.world.files[path] = text

    def remove(self, path: str) -> None:
        del self.fake.world.files[path]


async def test_the_fake_registry_knows_one_name() -> None:
    targets = FakeTargets()

    with pytest.raises(NotFoundError) as unknown:
        targets.get("hots")
    await targets.close()
    target = targets.get("host")
    await target.acquire("r-1")
    await targets.close()

    assert unknown.value.hint == "did you mean `host`?"
    assert targets.opened() == ["host"]
    assert target.world.holder is None
