"""Each mounted disk file system is captured as its own: what crosses from one to another behaves as on the host."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import CommitError, RollbackIncompleteError, TransactionError
from workflow_agent.testing.lab import diff
from workflow_agent.testing.transactions import open_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.transactions.crash_scene import interrupted

    from workflow_agent.model.errors import WorkflowAgentError
    from workflow_agent.testing.lab import FileRecord, LabHost
    from workflow_agent.testing.transactions import Trial
else:
    from crash_scene import interrupted


@pytest.fixture(scope="module")
def second_disk(lab_plain: LabHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A file system of its own at /data on the host."""
    image = tmp_path_factory.mktemp("disk") / "disk.ext4"
    device = _attach(image)
    try:
        number = Path(device).stat().st_rdev
        numbers = f"{os.major(number)} {os.minor(number)}"
        lab_plain.run(
            ["sh", "-euc", f"mknod /srv/disk b {numbers}; mkdir /data; mount -t ext4 /srv/disk /data; rm /srv/disk"]
        )
        yield "/data"
        lab_plain.run(["umount", "-l", "/data"])
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


def _attach(image: Path) -> str:
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    done = subprocess.run(["losetup", "-f", "--show", str(image)], check=True, capture_output=True, text=True)
    assert Path(done.stdout.strip()).is_block_device()
    return done.stdout.strip()


def _without_ours(records: dict[str, FileRecord]) -> dict[str, FileRecord]:
    return {name: record for name, record in records.items() if not name.startswith("/.workflow-agent")}


async def test_effects_on_both_disks_are_committed_and_come_off_exactly(trial: Trial, second_disk: str) -> None:
    trial.shell(
        "mkdir -p /data/d /srv/two; echo a > /data/d/a; echo b > /srv/two/b; echo c > /data/c; ln /data/c /data/d/c2"
    )
    trial.shell("find /data/d /data/c /srv/two -exec touch -h -d '2001-01-01' {} +")
    before = trial.look("/data"), trial.look("/srv")
    transaction, changes = await trial.capture(
        "echo new > /data/n; echo more >> /data/c; rm /data/d/a; echo new > /srv/two/n; "
        "mv /srv/two/b /data/d/b; chmod 700 /data"
    )
    assert [change.path for change in changes.changes if change.action == "created"] == [
        "/data/d/b",
        "/data/n",
        "/srv/two/n",
    ]
    for _ in range(2):
        await trial.target.commit(transaction)
        assert trial.shell("cat /data/n /data/d/c2 /data/d/b; ls /data/d /srv/two; stat -c %a /data").split() == [
            "new", "c", "more", "b", "/data/d:", "b", "c2", "/srv/two:", "n", "700",
        ]  # fmt: skip
        await trial.target.rollback(transaction)
        now = trial.look("/data"), trial.look("/srv")
        assert diff(_without_ours(before[0]), _without_ours(now[0])) == []
        assert diff(before[1], now[1]) == []


async def test_a_link_across_disks_fails_as_on_the_host_and_before_images_are_hidden(
    trial: Trial, second_disk: str
) -> None:
    trial.shell("echo a > /data/across")
    transaction, changes = await trial.capture(
        "! ln /data/across /srv/across 2>/tmp/said; cat /tmp/said; ls -A /data/.workflow-agent | wc -l;"
        "! touch /data/.workflow-agent/x"
    )
    await trial.target.discard(transaction)
    assert "Invalid cross-device link" in trial.output[0]
    assert trial.output[1] == "0"
    assert changes.changes == ()
    assert not (trial.lab.root / f"data/.workflow-agent/tx/{transaction}").exists()


async def test_a_read_only_disk_stays_read_only(trial: Trial, second_disk: str) -> None:
    trial.shell("mount -o remount,ro /data")
    try:
        transaction, changes = await trial.capture("! touch /data/x; mount | grep -q ' /data .*ro'")
    finally:
        trial.shell("mount -o remount,rw /data")
    assert changes.changes == ()
    await trial.target.discard(transaction)


async def test_a_disk_that_is_mounted_over_a_removed_folder_stops_the_commit(trial: Trial) -> None:
    trial.shell("mkdir -p /srv/over/point; echo a > /srv/over/a")
    transaction, _ = await trial.capture("rm -r /srv/over")
    trial.shell("mount -t tmpfs none /srv/over/point")
    try:
        with pytest.raises(Exception, match=r"mounted at or below|changed on the target"):
            await trial.target.commit(transaction)
    finally:
        trial.shell("umount /srv/over/point")
    assert trial.shell("cat /srv/over/a") == "a\n"


_BECAME_READ_ONLY = """
rm -rf /data/ro; mkdir -p /data/ro/d; cd /data/ro; echo old > f; echo gone > gone; echo x > d/x; ln f d/hard
find /data/ro -depth -exec touch -h -d '2001-01-01 01:01:01.5' {} +
"""
_CHANGES = "cd /data/ro; echo new > f; rm gone; echo n > d/n; mkdir m; echo 1 > m/1; chmod 711 d"


@contextmanager
def _read_only(trial: Trial) -> Iterator[None]:
    # What was killed holds files for a moment longer.
    trial.shell("for i in $(seq 50); do ! mount -o remount,ro /data || exit 0; sleep 0.2; done; exit 1")
    try:
        yield
    finally:
        trial.shell("mount -o remount,rw /data")


async def test_a_disk_that_turns_read_only_refuses_commit_and_rollback_and_both_go_on_when_it_is_writable_again(
    trial: Trial, second_disk: str
) -> None:
    trial.shell(_BECAME_READ_ONLY)
    before = trial.look("/data/ro")
    transaction, _ = await trial.capture(_CHANGES)
    await _let_go(trial)
    with _read_only(trial):
        with pytest.raises(CommitError) as refused:
            await trial.target.commit(transaction)
        _assert_told(refused.value)
        assert diff(before, trial.look("/data/ro")) == []
    assert diff(before, trial.look("/data/ro")) == []

    await trial.target.commit(transaction)
    after = trial.look("/data/ro")
    assert trial.shell("cd /data/ro; cat f d/hard m/1; ls").split() == ["new", "new", "1", "d", "f", "m"]

    await _let_go(trial)
    with _read_only(trial):
        with pytest.raises(RollbackIncompleteError) as left:
            await trial.target.rollback(transaction)
        _assert_told(left.value)
        assert diff(after, trial.look("/data/ro")) == []
    assert diff(after, trial.look("/data/ro")) == []

    await trial.target.rollback(transaction)
    assert diff(before, trial.look("/data/ro")) == []


async def test_what_a_crash_left_on_a_disk_that_turned_read_only_is_settled_when_it_is_writable_again(
    trial: Trial, second_disk: str
) -> None:
    trial.shell(_BECAME_READ_ONLY)
    before = trial.look("/data/ro")
    transaction, _ = await trial.capture(_CHANGES)
    assert await interrupted(trial, "commit", transaction, "transaction.committed")
    with _read_only(trial):
        with pytest.raises(RollbackIncompleteError) as left:
            await trial.target.acquire(trial.run_id)
        _assert_told(left.value, f"transaction {transaction} is where it stopped")
        await trial.target.close()
    trial.target = open_target(trial.lab)
    await trial.target.acquire(trial.run_id)

    assert diff(before, trial.look("/data/ro")) == []


async def test_a_root_that_turned_read_only_is_told_and_what_was_begun_goes_on_when_it_is_writable_again(
    trial: Trial,
) -> None:
    trial.shell("mkdir -p /srv/rooted; echo old > /srv/rooted/f")
    before = trial.look("/srv/rooted")
    transaction, _ = await trial.capture("echo new > /srv/rooted/f")
    await trial.target.close()
    trial.target = open_target(trial.lab)
    trial.shell("mount -o remount,ro /")
    try:
        with pytest.raises(TransactionError) as refused:
            await trial.begin()
        _assert_told(refused.value, point="/")
        assert diff(before, trial.look("/srv/rooted")) == []
    finally:
        await trial.target.close()
        trial.shell("mount -o remount,rw /")
    trial.target = open_target(trial.lab)
    await trial.begin()
    await trial.target.commit(transaction)
    await trial.target.rollback(transaction)

    assert diff(before, trial.look("/srv/rooted")) == []


async def _let_go(trial: Trial) -> None:
    """As between two commands: nothing of ours is open on the disk, so that it can be remounted."""
    await trial.target.close()
    trial.target = open_target(trial.lab)
    await trial.begin()


def _assert_told(error: WorkflowAgentError, state: str = "nothing was changed", point: str = "/data") -> None:
    """What, where, state, cause, and what to do next."""
    assert error.message
    assert error.where == point
    assert (error.state or "").startswith(state)
    assert "read-only" in (error.cause or "").lower()
    assert f"mount -o remount,rw {point}`" in (error.hint or "")
