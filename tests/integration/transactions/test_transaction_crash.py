"""Whatever interrupts a commit or a rollback, and wherever: the host is entirely before or entirely after."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model import failpoint
from workflow_agent.model.errors import CommitError, RollbackIncompleteError, TransactionError
from workflow_agent.targets.transaction import TransactionState
from workflow_agent.testing.lab import LabHost, diff
from workflow_agent.testing.transactions import Trial

if TYPE_CHECKING:
    from tests.integration.transactions.crash_scene import OPERATIONS, interrupted, look, ready
else:
    from crash_scene import OPERATIONS, interrupted, look, ready


async def _sweep(trial: Trial, verb: str, specs: list[str]) -> None:
    before, after, transaction = await ready(trial)
    for spec in specs:
        if verb == "rollback":
            await trial.target.commit(transaction)
        reached = await interrupted(trial, verb, transaction, spec)
        assert reached, f"{spec} is never passed"
        await trial.target.acquire("settler")
        now = look(trial)
        is_after = now != before
        assert diff(after if is_after else before, now) == [], spec
        state = trial.target._folders.read(transaction).state
        assert state is (TransactionState.COMMITTED if is_after else TransactionState.ROLLED_BACK), spec
        if not is_after:  # both directions work from here
            await trial.target.commit(transaction)
            assert diff(after, look(trial)) == [], spec
        await trial.target.rollback(transaction)
        assert diff(before, look(trial)) == [], spec
        await trial.target.release("settler")


def _points(operation: str, last: str, numbers: list[int]) -> list[str]:
    fixed = [f"transaction.{name}:{n}" for name in ("plan-written", "plan-renamed") for n in (1, 2)]
    return [*fixed, "transaction.sync:1", f"transaction.{last}", *(f"transaction.{operation}:{n}" for n in numbers)]


async def test_a_commit_that_is_killed_anywhere_leaves_no_mixture(trial: Trial) -> None:
    specs = _points("commit.operation", "committed", [1, 2, OPERATIONS // 2, OPERATIONS])
    await _sweep(trial, "commit", [*specs, "transaction.sync:2"])


async def test_a_rollback_that_is_killed_anywhere_leaves_no_mixture(trial: Trial) -> None:
    await _sweep(trial, "rollback", _points("undo.operation", "undone", [1, 2, OPERATIONS // 2, OPERATIONS]))


@pytest.mark.long
@pytest.mark.parametrize("verb", ["commit", "rollback"])
async def test_each_single_operation_can_be_the_last(trial: Trial, verb: str) -> None:
    name = "commit" if verb == "commit" else "undo"
    await _sweep(trial, verb, [f"transaction.{name}.operation:{n}" for n in range(1, OPERATIONS + 1)])


async def test_settling_can_be_interrupted_too(trial: Trial) -> None:
    before, after, transaction = await ready(trial)
    assert await interrupted(trial, "commit", transaction, f"transaction.commit.operation:{OPERATIONS}")
    assert await interrupted(trial, "commit", transaction, "transaction.undo.operation:3")
    assert await interrupted(trial, "commit", transaction, "transaction.undone")
    await trial.target.acquire("settler")
    assert diff(before, look(trial)) == []
    await trial.target.commit(transaction)
    assert diff(after, look(trial)) == []
    await trial.target.rollback(transaction)


@pytest.mark.parametrize(
    "spec",
    [
        "transaction.sync:1",
        "transaction.plan-written:1",
        "transaction.plan-renamed:1",
        "transaction.sync:2",
        "transaction.committed",
        "transaction.plan-written:2",
        "transaction.plan-renamed:2",
    ],
)
async def test_a_disk_that_refuses_during_a_commit_has_everything_taken_back(trial: Trial, spec: str) -> None:
    before, after, transaction = await ready(trial)

    await _refused_commit(trial, transaction, spec)

    assert diff(before, look(trial)) == []
    await trial.target.release(trial.run_id)
    await trial.target.acquire(trial.run_id)  # settles what could not be recorded
    await trial.target.commit(transaction)
    assert diff(after, look(trial)) == []
    await trial.target.rollback(transaction)


async def _refused_commit(trial: Trial, transaction: str, spec: str) -> None:
    failpoint.arm(f"{spec}=error")
    with pytest.raises((CommitError, TransactionError)) as caught:
        await trial.target.commit(transaction)
    failpoint.arm(None)
    assert caught.value.state in {"nothing was changed", "everything was taken back"}
    assert "failure point" in (caught.value.cause or "")


async def test_a_disk_that_refuses_any_single_operation_of_a_commit_has_everything_taken_back(trial: Trial) -> None:
    before, after, transaction = await ready(trial)
    for n in range(1, OPERATIONS + 1):
        await _refused_commit(trial, transaction, f"transaction.commit.operation:{n}")
        assert diff(before, look(trial)) == [], n

    failpoint.arm(f"transaction.commit.operation:{OPERATIONS + 1}=error")  # there is none: all were tried
    await trial.target.commit(transaction)
    assert diff(after, look(trial)) == []
    await trial.target.rollback(transaction)


@pytest.mark.parametrize("spec", ["sync:1", "undone", "plan-written:2"])
async def test_a_disk_that_refuses_during_a_rollback_is_said_and_the_rest_comes_back_later(
    trial: Trial, spec: str
) -> None:
    before, _, transaction = await ready(trial)
    await trial.target.commit(transaction)
    failpoint.arm(f"transaction.{spec}=error")

    with pytest.raises(RollbackIncompleteError):
        await trial.target.rollback(transaction)
    failpoint.arm(None)

    await trial.target.rollback(transaction)
    assert diff(before, look(trial)) == []


async def test_a_disk_that_refuses_any_single_operation_of_a_rollback_is_said_and_the_entry_comes_back_later(
    trial: Trial,
) -> None:
    before, _, transaction = await ready(trial)
    named = set()
    for n in range(1, OPERATIONS + 1):
        await trial.target.commit(transaction)
        failpoint.arm(f"transaction.undo.operation:{n}=error")
        with pytest.raises(RollbackIncompleteError) as caught:
            await trial.target.rollback(transaction)
        failpoint.arm(None)
        (left,) = caught.value.details["left"]
        assert "failure point" in left["cause"]
        named.add(left["path"])
        await trial.target.rollback(transaction)
        assert diff(before, look(trial)) == [], n

    assert len(named) == OPERATIONS, "every operation was the one that was refused"
    await trial.target.commit(transaction)
    failpoint.arm(f"transaction.undo.operation:{OPERATIONS + 1}=error")
    await trial.target.rollback(transaction)
    assert diff(before, look(trial)) == []


async def test_a_disk_that_refuses_any_single_operation_while_a_crash_is_settled_is_said_and_settled_later(
    trial: Trial,
) -> None:
    before, _, transaction = await ready(trial)
    points = [f"undo.operation:{n}" for n in range(1, OPERATIONS + 1)]
    for point in [*points, "sync:1", "undone", "plan-written:1", "plan-renamed:1"]:
        assert await interrupted(trial, "commit", transaction, "transaction.committed")
        failpoint.arm(f"transaction.{point}=error")
        with pytest.raises((RollbackIncompleteError, TransactionError)) as caught:
            await trial.target.acquire("settler")
        failpoint.arm(None)
        if point in points:
            assert "failure point" in str(caught.value.cause), point
            assert len(caught.value.details["left"]) == 1, point
        await trial.target.acquire("another")  # the lock was given back
        assert diff(before, look(trial)) == [], point
        assert trial.target._folders.read(transaction).state is TransactionState.ROLLED_BACK, point
        await trial.target.release("another")


async def test_a_cancelled_commit_ends_what_it_began(trial: Trial) -> None:
    _, after, transaction = await ready(trial)
    task = asyncio.create_task(trial.target.commit(transaction))
    at_rest = trial.target._folders.read(transaction).state
    while trial.target._folders.read(transaction).state is at_rest:  # noqa: ASYNC110  # a thread commits
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert diff(after, look(trial)) == []
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
            before = look(trial)
            script = "cd /srv/crash; echo b > a; rm -r d; mkdir n; for i in $(seq 300); do echo > n/$i; done"
            transaction, _ = await trial.capture(script)
            _fill(trial)
            assert trial.lab.run(["dd", "if=/dev/zero", "of=/srv/no", "bs=64k", "count=1"], check=False).returncode != 0

            await trial.target.commit(transaction)
            assert trial.shell("cat /srv/crash/a") == "b\n"
            await trial.target.rollback(transaction)

            assert diff(before, look(trial)) == []
        finally:
            await trial.end()


async def test_on_a_full_disk_without_a_reserve_nothing_is_begun(lab: None) -> None:
    with LabHost("plain", size=1 << 30) as host:
        trial = Trial(host)
        try:
            await trial.begin()
            trial.shell("mkdir -p /srv/crash; cd /srv/crash; mkdir d; for i in $(seq 900); do echo > d/$i; done")
            before = look(trial)
            transaction, _ = await trial.capture("rm -r /srv/crash/d")
            trial.shell("rm /.workflow-agent/reserve")
            _fill(trial)

            with pytest.raises(TransactionError) as caught:
                await trial.target.commit(transaction)

            assert "No space left" in (caught.value.cause or "")
            assert caught.value.state == "nothing was changed"
            assert diff(before, look(trial)) == []
            await trial.target.discard(transaction)
            assert trial.leftovers() == []
        finally:
            await trial.end()
