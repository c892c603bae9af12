from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import StoreError
from workflow_agent.store.filelock import FileLock

if TYPE_CHECKING:
    from pathlib import Path


def test_two_locks_on_one_file_exclude_each_other(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")

    with first.held(0):
        assert not second.try_acquire()
    assert second.try_acquire()
    assert "held=True" in repr(second)

    second.close()
    first.close()


def test_a_wait_that_ends_names_the_holder(tmp_path: Path) -> None:
    holder, waiter = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    holder.acquire(0)

    with pytest.raises(StoreError) as caught:
        waiter.acquire(0.01)

    assert f"process {os.getpid()} (" in caught.value.message
    assert caught.value.where == str(tmp_path / "lock")
    holder.close()
    waiter.close()


def test_the_lock_of_a_process_that_died_is_free(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from workflow_agent.store.filelock import FileLock\n"
        "FileLock(Path(sys.argv[1])).acquire(0); os.kill(os.getpid(), 9)"
    )
    died = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=False)
    lock = FileLock(tmp_path / "lock")

    assert died.returncode == -9
    assert lock.holder().startswith("process ")
    assert "(" not in lock.holder()
    lock.acquire(0)
    lock.release()
    lock.release()
    lock.close()


def test_a_holder_that_left_no_number_is_unknown(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")

    assert lock.holder() == "unknown process"
    lock.close()


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    FileLock(tmp_path / "lock").close()

    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
