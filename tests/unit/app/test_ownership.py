"""Who drives a run: seen by others while the process lives, and never mistaken for a later process of its number."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from workflow_agent.app.ownership import Owner, RunOwnership
from workflow_agent.model.errors import ConflictError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = "r-1"
#: Whoever starts the tests in the background has it ignored, and so would every process of theirs.
HOLD = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
from pathlib import Path
from workflow_agent.app.ownership import RunOwnership
folder = Path(sys.argv[1])
with RunOwnership(lambda run: folder).held("r-1"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def ownership(tmp_path: Path) -> RunOwnership:
    return RunOwnership(lambda _: tmp_path)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that drives the run."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_run_that_nobody_drives_has_no_owner_and_to_ask_writes_nothing(
    ownership: RunOwnership, tmp_path: Path
) -> None:
    assert ownership.owner(RUN) is None
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_driven_once_at_a_time(ownership: RunOwnership) -> None:
    with ownership.held(RUN):
        owner = ownership.owner(RUN)
        assert owner is not None
        assert owner.pid == os.getpid()
        with pytest.raises(ConflictError, match="another process is driving"), ownership.held(RUN):
            pass
    assert ownership.owner(RUN) is None


def test_the_run_of_another_process_is_free_when_that_dies(
    ownership: RunOwnership, holder: subprocess.Popen[str]
) -> None:
    owner = ownership.owner(RUN)
    assert owner is not None
    assert owner.pid == holder.pid
    holder.kill()
    holder.wait()
    assert ownership.owner(RUN) is None
    owner.interrupt()  # it has ended meanwhile: nothing to ask for
    with ownership.held(RUN):
        pass


def test_the_process_that_drives_it_is_interrupted(ownership: RunOwnership, holder: subprocess.Popen[str]) -> None:
    owner = ownership.owner(RUN)
    assert owner is not None
    owner.interrupt()
    assert holder.wait(timeout=30) == -signal.SIGINT


def test_a_later_process_of_the_same_number_is_left_alone(
    ownership: RunOwnership, holder: subprocess.Popen[str]
) -> None:
    owner = ownership.owner(RUN)
    assert owner is not None
    with pytest.raises(ConflictError, match="another one"):
        Owner(pid=holder.pid, started=owner.started + 1).interrupt()
    assert holder.poll() is None


def test_a_living_owner_in_another_process_namespace_is_seen_and_nobody_else_gets_its_signal(
    ownership: RunOwnership, tmp_path: Path
) -> None:
    """Its number there is that of somebody else here: whether the run is free does not depend on it."""
    apart = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with subprocess.Popen(
        [*apart, sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "held\n":
            pytest.skip("no process namespace can be made here")
        owner = ownership.owner(RUN)
        assert owner is not None
        assert owner.pid == 1
        with pytest.raises(ConflictError, match="another process is driving"), ownership.held(RUN):
            pass
        with pytest.raises(ConflictError, match="another process namespace"):
            owner.interrupt()
        assert process.poll() is None
        process.kill()
    with (tmp_path / "owner").open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # until the system has taken the process away
    with ownership.held(RUN):
        pass


def test_a_process_that_cannot_be_told_is_an_error(ownership: RunOwnership, tmp_path: Path) -> None:
    with ownership.held(RUN):
        (tmp_path / "owner").write_bytes(b"")
        owner = ownership.owner(RUN)
        assert owner == Owner(pid=0, started=0)
        with pytest.raises(ConflictError, match="cannot be found"):
            owner.interrupt()


def test_a_folder_that_cannot_be_written_is_an_error_of_the_store(tmp_path: Path) -> None:
    lost = RunOwnership(lambda _: tmp_path / "missing")
    with pytest.raises(StoreError, match="folder cannot be written"), lost.held(RUN):
        pass
