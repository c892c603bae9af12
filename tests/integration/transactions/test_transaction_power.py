"""A power cut: only what reached the disk counts. The disk is copied at the moment of the cut and started anew.

The copy has what the kernel had written to the block device; what was only in memory is lost, as it would be.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model import failpoint
from workflow_agent.targets.transaction import TransactionState
from workflow_agent.testing.lab import LabHost, diff
from workflow_agent.testing.lab.image import DISK_NAME, _copy_sparse
from workflow_agent.testing.transactions import Trial

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILES = 60
_SCRIPT = f"""
cd /srv/power; rm -r gone
for i in $(seq {_FILES}); do {{ seq $i 1500; }} > f$i; {{ seq $i 1500; }} > new$i; done
"""
_SET_UP = f"""
mkdir -p /srv/power/gone; cd /srv/power
for i in $(seq {_FILES}); do echo old $i > f$i; echo > gone/$i; done; sync
"""

_CHILD = """
import asyncio, json, sys
from workflow_agent.targets.host import HostTarget
async def main():
    pid, run_id, transaction = json.loads(sys.argv[1])
    target = HostTarget("host", pid=pid)
    await target.acquire(run_id)
    await target.commit(transaction)
asyncio.run(main())
"""


@contextmanager
def _after_a_power_cut(host: LabHost) -> Iterator[LabHost]:
    """Give a host that starts from what is on the disk at this moment."""
    assert host._disk is not None
    copy = os.memfd_create(DISK_NAME)
    _copy_sparse(host._disk, copy)
    with_copy = LabHost(host.kind)
    with_copy._disk = copy
    with with_copy as started:
        yield started


async def _commit_until(trial: Trial, transaction: str, spec: str) -> int:
    await trial.end()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _CHILD,
        json.dumps([trial.lab.pid, trial.run_id, transaction]),
        env=os.environ | ({failpoint.VARIABLE: spec} if spec else {}),
    )
    return await asyncio.wait_for(child.wait(), 60)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("transaction.commit.operation:1", "before"),
        (f"transaction.commit.operation:{_FILES}", "before"),
        ("transaction.committed", "before"),
        ("transaction.plan-renamed:2", "after"),
        ("", "after"),
    ],
)
async def test_after_a_power_cut_no_file_is_empty_and_nothing_is_mixed(lab: None, spec: str, expected: str) -> None:
    with LabHost("plain") as host:
        trial = Trial(host)
        trial.shell(_SET_UP)
        await trial.begin()
        before = trial.look("/srv/power")
        transaction, _ = await trial.capture(_SCRIPT)
        code = await _commit_until(trial, transaction, spec)
        assert code == (-9 if spec else 0)

        with _after_a_power_cut(host) as again:
            later = Trial(again)
            try:
                await later.begin()
                state = later.target._folders.read(transaction).state
                if expected == "before":
                    assert state is TransactionState.ROLLED_BACK
                    assert diff(before, later.look("/srv/power")) == []
                    await later.target.commit(transaction)  # the staged contents survived as well
                else:
                    assert state is TransactionState.COMMITTED
                assert later.shell("cd /srv/power; cat f7 new7 | md5sum; ls | wc -l").split() == [
                    later.shell("{ seq 7 1500; seq 7 1500; } | md5sum").split()[0],
                    "-",
                    str(2 * _FILES),
                ]
                assert later.shell("find /srv/power -size 0") == ""
                await later.target.rollback(transaction)
                assert diff(before, later.look("/srv/power")) == []
            finally:
                await later.end()
