"""What is begun before a script is known: it is used, or it ends with the target."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import PathConflictError

if TYPE_CHECKING:
    from workflow_agent.testing.transactions import Trial

pytestmark = [pytest.mark.root, pytest.mark.slow]


def _capture_programs() -> set[int]:
    """Our own children that are told to capture something, or wait to be told."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    return {int(pid) for pid in children if b"targets.capture_program" in Path("/proc", pid, "cmdline").read_bytes()}


async def test_the_program_that_was_begun_captures(trial: Trial) -> None:
    trial.target.expect_capture()
    trial.target.expect_capture()  # said twice: begun once
    assert await trial.target.facts()
    begun = _capture_programs()
    assert len(begun) == 1

    transaction, changes = await trial.capture("mkdir -p /srv/ahead; echo new >/srv/ahead/file")

    assert sorted(change.path for change in changes.changes) == ["/srv/ahead", "/srv/ahead/file"]
    assert not _capture_programs()
    await trial.target.commit(transaction)
    assert trial.shell("cat /srv/ahead/file") == "new\n"
    await trial.capture("echo again >/srv/ahead/file")  # the next one starts its own
    assert not _capture_programs()


async def test_what_nobody_used_ends_with_the_target(trial: Trial) -> None:
    trial.target.expect_capture()
    assert await trial.target.facts()
    assert len(_capture_programs()) == 1

    await trial.target.close()

    assert not _capture_programs()


async def test_what_changes_after_it_was_begun_is_a_conflict(trial: Trial) -> None:
    trial.shell("mkdir -p /srv/late; echo old >/srv/late/file")
    trial.target.expect_capture()
    ahead = trial.target._ahead
    assert ahead is not None
    await ahead._reading  # the walk has passed it
    trial.shell("echo theirs >/srv/late/file")

    transaction, _ = await trial.capture("echo ours >/srv/late/file")
    with pytest.raises(PathConflictError, match=r"/srv/late/file|1 path"):
        await trial.target.commit(transaction)

    assert trial.shell("cat /srv/late/file") == "theirs\n"
