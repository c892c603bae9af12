"""Conflicts in a container are decided as on a host, also in folders of its image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.choice import ConflictChoice
from workflow_agent.model.errors import PathConflictError
from workflow_agent.testing.lab import LabContainer, diff
from workflow_agent.testing.transactions import Trial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_SCRIPT = "cd /etc; echo ours >> issue; rm -r apt/apt.conf.d; echo ours > debian_version; mkdir wa; echo ours > wa/c"
_EDITS = "cd /etc; echo theirs >> issue; mkdir apt/apt.conf.d; echo theirs > apt/apt.conf.d/mine; echo theirs > wa/c"
_PATHS = ["/etc/apt/apt.conf.d", "/etc/issue", "/etc/wa/c"]


@pytest.fixture(scope="module")
def container(engine: None) -> Iterator[LabContainer]:
    with LabContainer() as one:
        yield one


@pytest.fixture
async def runs(container: LabContainer) -> AsyncIterator[tuple[Trial, Trial]]:
    """The run that changes something, and the one that takes it back."""
    first, second = Trial(container), Trial(container)
    await first.begin()
    yield first, second
    await first.end()
    await second.end()


async def test_sides_are_decided_in_a_container_too(runs: tuple[Trial, Trial]) -> None:
    first, second = runs
    before = first.look("/etc")
    transaction = await first.apply(_SCRIPT)
    first.shell(_EDITS)
    await first.target.release(first.run_id)
    await second.begin()

    with pytest.raises(PathConflictError) as caught:
        await second.target.rollback(transaction)
    named = sorted({one["path"] for one in caught.value.details["conflicts"]})
    assert [path for path in named if path in _PATHS] == _PATHS

    kept = ConflictChoice(theirs=("/etc/apt/apt.conf.d", "/etc/wa/c"), back=("/etc/issue",))
    result = await second.target.rollback(transaction, choice=kept)

    assert second.shell("cd /etc; cat apt/apt.conf.d/mine wa/c; ls apt/apt.conf.d").split() == ["theirs"] * 2 + ["mine"]
    asides = {one["path"]: one["aside"] for one in result["decided"]}
    assert second.shell(f"tail -2 {asides['/etc/issue']}") == "ours\ntheirs\n"
    second.shell("rm -r /etc/wa /etc/apt/apt.conf.d")
    left = [line for line in diff(before, second.look("/etc")) if "apt.conf.d" not in line and "mtime" not in line]
    assert left == []
