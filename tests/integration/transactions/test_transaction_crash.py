"""Whatever interrupts a commit or a rollback, and wherever: the host is entirely before or entirely after."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model import failpoint
from workflow_agent.model.errors import CommitError, RollbackIncompleteError, TransactionError
from workflow_agent.targets.host import HostTarget
from workflow_agent.targets.transaction import TransactionState
from workflow_agent.testing.lab import LabHost, diff
from workflow_agent.testing.transactions import Trial

if TYPE_CHECKING:
    from workflow_agent.testing.lab import FileRecord

_SET_UP = """
mkdir -p /srv/crash/d/e; cd /srv/crash; echo old > f; echo gone > gone; echo x > d/x; echo y > d/e/y; ln f d/hard
mkdir r; echo r > r/r; ln -s f l; echo line > /var/log/crash.log
find /srv/crash -depth -exec touch -h -d '2001-01-01 01:01:01.5' {} +
"""
_SCRIPT = """
cd /srv/crash; echo new > f; rm gone; rm -r d/e; echo n > d/n; mkdir -p new/deep; echo 1 > new/deep/1
rm -r r; mkdir r; echo 2 > r/2; ln -sfn d l; echo more >> /var/log/crash.log; chmod 711 d
"""
#: Every operation that the script above needs: create 2, exchange 4 (one file by two names), remove 2, log, folders.
_OPERATIONS = 11

_CHILD = """
import asyncio, json, sys
from workflow_agent.targets.host import HostTarget
async def main():
    pid, run_id, verb, transaction = json.loads(sys.argv[1])
    target = HostTarget("host", pid=pid)
    await target.acquire(run_id)
    await getattr(target, verb)(transaction)
    await target.close()
asyncio.run(main())
"""


async def _interrupted(trial: Trial, verb: str, transaction: str, spec: str) -> bool:
    """Commit or roll back in a process of its own that dies at a failure point; gives whether it got there."""
    await trial.end()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _CHILD,
        json.dumps([trial.lab.pid, trial.run_id, verb, transaction]),
        env=os.environ | {failpoint.VARIABLE: spec},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode in {0, -9}, errors.decode()
    trial.target = HostTarget("host", pid=trial.lab.pid)
    return child.returncode == -9


def _look(trial: Trial) -> dict[str, FileRecord]:
    return trial.look("/srv/crash")


async def _ready(trial: Trial) -> tuple[dict[str, FileRecord], dict[str, FileRecord], str]:
    """Make the host ready once; gives how it is before and after, and a transaction that is rolled back."""
    trial.shell("rm -rf /.workflow-agent/tx/*")  # plans of earlier tests would be brought up too, which passes points
    if not (trial.lab.root / "srv/crash").exists():
        trial.shell(_SET_UP)
    before = _look(trial)
    transaction, _ = await trial.capture(_SCRIPT)
    result = await trial.target.commit(transaction)
    assert result["operations"] == _OPERATIONS
    after = _look(trial)
    await trial.target.rollback(transaction)
    assert diff(before, _look(trial)) == []
    return before, after, transaction


async def _sweep(trial: Trial, verb: str, specs: list[str]) -> None:
    before, after, transaction = await _ready(trial)
    for spec in specs:
        if verb == "rollback":
            await trial.target.commit(transaction)
        reached = await _interrupted(trial, verb, transaction, spec)
        assert reached, f"{spec} is never passed"
        await trial.target.acquire("settler")
        now = _look(trial)
        is_after = now != before
        assert diff(after if is_after else before, now) == [], spec
        state = trial.target._folders.read(transaction).state
        assert state is (TransactionState.COMMITTED if is_after else TransactionState.ROLLED_BACK), spec
        if not is_after:  # both directions work from here
            await trial.target.commit(transaction)
            assert diff(after, _look(trial)) == [], spec
        await trial.target.rollback(transaction)
        assert diff(before, _look(trial)) == [], spec
        await trial.target.release("settler")


def _points(operation: str, last: str, numbers: list[int]) -> list[str]:
    fixed = [f"transaction.{name}:{n}" for name in ("plan-written", "plan-renamed") for n in (1, 2)]
    return [*fixed, "transaction.sync:1", f"transaction.{last}", *(f"transaction.{operation}:{n}" for n in numbers)]


async def test_a_commit_that_is_killed_anywhere_leaves_no_mixture(trial: Trial) -> None:
    specs = _points("commit.operation", "committed", [1, 2, _OPERATIONS // 2, _OPERATIONS])
    await _sweep(trial, "commit", [*specs, "transaction.sync:2"])


async def test_a_rollback_that_is_killed_anywhere_leaves_no_mixture(trial: Trial) -> None:
    await _sweep(trial, "rollback", _points("undo.operation", "undone", [1, 2, _OPERATIONS // 2, _OPERATIONS]))


@pytest.mark.long
@pytest.mark.parametrize("verb", ["commit", "rollback"])
async def test_each_single_operation_can_be_the_last(trial: Trial, verb: str) -> None:
    name = "commit" if verb == "commit" else "undo"
    await _sweep(trial, verb, [f"transaction.{name}.operation:{n}" for n in range(1, _OPERATIONS + 1)])


async def test_settling_can_be_interrupted_too(trial: Trial) -> None:
    before, after, transaction = await _ready(trial)
    assert await _interrupted(trial, "commit", transaction, f"transaction.commit.operation:{_OPERATIONS}")
    assert await _interrupted(trial, "commit", transaction, "transaction.undo.operation:3")
    assert await _interrupted(trial, "commit", transaction, "transaction.undone")
    await trial.target.acquire("settler")
    assert diff(before, _look(trial)) == []
    await trial.target.commit(transaction)
    assert diff(after, _look(trial)) == []
    await trial.target.rollback(transaction)


@pytest.mark.parametrize(
    "spec",
    [
        "transaction.sync:1",
        "transaction.plan-written:1",
        "transaction.plan-renamed:1",
        "transaction.commit.operation:1",
        f"transaction.commit.operation:{_OPERATIONS // 2}",
        f"transaction.commit.operation:{_OPERATIONS}",
        "transaction.sync:2",
        "transaction.committed",
        "transaction.plan-written:2",
        "transaction.plan-renamed:2",
    ],
)
async def test_a_disk_that_refuses_during_a_commit_has_everything_taken_back(trial: Trial, spec: str) -> None:
    before, after, transaction = await _ready(trial)
    failpoint.arm(f"{spec}=error")

    with pytest.raises((CommitError, TransactionError)) as caught:
        await trial.target.commit(transaction)
    failpoint.arm(None)

    assert caught.value.state in {"nothing was changed", "everything was taken back"}
    assert "failure point" in (caught.value.cause or "")
    assert diff(before, _look(trial)) == []
    await trial.target.release(trial.run_id)
    await trial.target.acquire(trial.run_id)  # settles what could not be recorded
    await trial.target.commit(transaction)
    assert diff(after, _look(trial)) == []
    await trial.target.rollback(transaction)


@pytest.mark.parametrize("spec", ["undo.operation:1", "undo.operation:5", "sync:1", "undone", "plan-written:2"])
async def test_a_disk_that_refuses_during_a_rollback_is_said_and_the_rest_comes_back_later(
    trial: Trial, spec: str
) -> None:
    before, _, transaction = await _ready(trial)
    await trial.target.commit(transaction)
    failpoint.arm(f"transaction.{spec}=error")

    with pytest.raises(RollbackIncompleteError) as caught:
        await trial.target.rollback(transaction)
    failpoint.arm(None)

    if "operation" in spec:
        assert caught.value.details["left"][0]["path"].startswith(("/srv/crash", "/var/log"))
    await trial.target.rollback(transaction)
    assert diff(before, _look(trial)) == []


async def test_a_cancelled_commit_ends_what_it_began(trial: Trial) -> None:
    _, after, transaction = await _ready(trial)
    task = asyncio.create_task(trial.target.commit(transaction))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert diff(after, _look(trial)) == []
    assert not trial.target._locks.held
    await trial.target.rollback(transaction)


async def test_a_damaged_plan_file_is_kept_for_a_person(trial: Trial) -> None:
    transaction = await trial.apply("echo x > /srv/damaged")
    plan = trial.lab.root / f".workflow-agent/tx/{transaction}/plan.json"
    good = plan.read_text()
    for text, message in (("{", "damaged"), (good.replace('"format": 1', '"format": 99'), "format 99")):
        plan.write_text(text)
        await trial.target.release(trial.run_id)
        await trial.target.acquire("another")
        await trial.target.release("another")
        await trial.target.acquire(trial.run_id)
        with pytest.raises(TransactionError, match=message):
            await trial.target.rollback(transaction)
    plan.write_text(good)
    await trial.target.rollback(transaction)
    assert not (trial.lab.root / "srv/damaged").exists()


def _fill(trial: Trial) -> None:
    """Take every block of the disk, also those kept for root."""
    trial.shell(
        "for s in 64M 4M 256K 4K; do i=0; while fallocate -l $s /var/fill.$s.$i; do i=$((i+1)); done; done 2>/dev/null"
    )
    trial.shell("for i in $(seq 3000); do echo x > /var/fill/$i || break; done 2>/dev/null; true")


async def test_on_a_full_disk_the_reserve_lets_commit_and_rollback_through(lab: None) -> None:
    with LabHost("plain", size=1 << 30) as host:
        trial = Trial(host)
        try:
            await trial.begin()
            trial.shell(
                "mkdir -p /srv/crash; cd /srv/crash; echo a > a; mkdir d; for i in $(seq 300); do echo > d/$i; done"
            )
            before = _look(trial)
            script = "cd /srv/crash; echo b > a; rm -r d; mkdir n; for i in $(seq 300); do echo > n/$i; done"
            transaction, _ = await trial.capture(script)
            _fill(trial)
            assert trial.lab.run(["dd", "if=/dev/zero", "of=/srv/no", "bs=64k", "count=1"], check=False).returncode != 0

            await trial.target.commit(transaction)
            assert trial.shell("cat /srv/crash/a") == "b\n"
            await trial.target.rollback(transaction)

            assert diff(before, _look(trial)) == []
        finally:
            await trial.end()


async def test_on_a_full_disk_without_a_reserve_nothing_is_begun(lab: None) -> None:
    with LabHost("plain", size=1 << 30) as host:
        trial = Trial(host)
        try:
            await trial.begin()
            trial.shell("mkdir -p /srv/crash; cd /srv/crash; mkdir d; for i in $(seq 900); do echo > d/$i; done")
            before = _look(trial)
            transaction, _ = await trial.capture("rm -r /srv/crash/d")
            trial.shell("rm /.workflow-agent/reserve")
            _fill(trial)

            with pytest.raises(TransactionError) as caught:
                await trial.target.commit(transaction)

            assert "No space left" in (caught.value.cause or "")
            assert caught.value.state == "nothing was changed"
            assert diff(before, _look(trial)) == []
            await trial.target.discard(transaction)
            assert trial.leftovers() == []
        finally:
            await trial.end()
