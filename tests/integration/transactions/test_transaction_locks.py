"""Who else works on the host is waited for and named: package managers, account tools, other runs."""

from __future__ import annotations

import asyncio
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import (
    CaptureError,
    PathConflictError,
    PermissionDeniedError,
    ScriptFailedError,
    TargetLockedError,
)
from workflow_agent.targets.host import HostTarget
from workflow_agent.testing.transactions import Trial, shell_script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from workflow_agent.testing.lab import LabHost

#: perl takes the same lock as dpkg: fcntl F_SETLK on the whole file (struct flock of 64-bit Linux).
#: debconf's is a flock.
_HOLD = """
open(F, '+<', $ARGV[0]) or die $!;
my $lock = pack('s s x4 q q i x4', 1, 0, 0, 0, 0);
($ARGV[0] =~ /debconf/ ? flock(F, 2) : fcntl(F, 6, $lock)) or die $!;
$| = 1; print "held\\n"; <STDIN>;
"""


@contextmanager
def _holding(lab: LabHost, path: str) -> Iterator[subprocess.Popen[str]]:
    enter = ["nsenter", f"--target={lab.pid}", "-m", "-p", "-r", "--", "perl", "-e", _HOLD, path]
    with subprocess.Popen(enter, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        if process.poll() is None:
            process.communicate("end\n", timeout=20)


@pytest.fixture
async def hurried(lab_plain: LabHost) -> AsyncIterator[Trial]:
    """A run that does not wait for package managers."""
    one = Trial(lab_plain, package_lock_wait_s=0.0)
    await one.begin()
    yield one
    await one.end()


_LOCKS = [
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/cache/apt/archives/lock",
    "/var/lib/apt/lists/lock",
    "/etc/.pwd.lock",
    "/var/cache/debconf/config.dat",
]


@pytest.mark.parametrize("path", _LOCKS)
async def test_a_held_package_lock_stops_the_run_and_names_its_holder(hurried: Trial, path: str) -> None:
    hurried.shell(f"[ -e {path} ] || touch {path}")
    with _holding(hurried.lab, path):
        with pytest.raises(TargetLockedError) as caught:
            await hurried.capture("true")

    (pid,) = [word for word in (caught.value.cause or "").rstrip(")").split() if word.isdigit()]
    assert caught.value.where == path
    assert (caught.value.cause or "").startswith("held by perl (process ")
    assert int(pid) > 1
    transaction, _ = await hurried.capture("true")
    await hurried.target.discard(transaction)


async def test_a_package_lock_that_is_released_is_waited_for(trial: Trial) -> None:
    with _holding(trial.lab, "/var/lib/dpkg/lock") as process:
        task = asyncio.create_task(trial.capture("true"))
        done, _ = await asyncio.wait({task}, timeout=0.5)
        assert not done
        assert process.stdin is not None
        process.stdin.write("end\n")
        process.stdin.flush()
        transaction, _ = await task
    await trial.target.discard(transaction)


def _apt_can_lock(lab: LabHost) -> bool:
    done = lab.run(
        ["apt-get", "install", "-y", "-o", "DPkg::Lock::Timeout=0", "nginx-common", "--print-uris"], check=False
    )
    held = lab.run(["apt-get", "remove", "-y", "-o", "DPkg::Lock::Timeout=0", "no-such-package"], check=False)
    return done.returncode == 0 and "Could not get lock" not in held.stderr


async def test_from_the_capture_to_the_end_of_the_commit_nobody_else_installs(trial: Trial) -> None:
    transaction, _ = await trial.capture("echo x > /srv/locked")
    assert not _apt_can_lock(trial.lab)
    await trial.target.commit(transaction)
    assert _apt_can_lock(trial.lab)
    await trial.target.rollback(transaction)
    assert _apt_can_lock(trial.lab)


async def test_while_a_person_thinks_others_may_install_and_the_commit_compares(trial: Trial) -> None:
    transaction, _ = await trial.capture("echo x > /etc/thinking")
    await trial.target.release_package_locks()
    assert _apt_can_lock(trial.lab)
    trial.shell("echo theirs > /etc/thinking")
    with pytest.raises(PathConflictError):
        await trial.target.commit(transaction)
    assert _apt_can_lock(trial.lab)
    trial.shell("rm /etc/thinking")
    await trial.target.discard(transaction)


async def test_every_error_gives_the_package_locks_back(trial: Trial) -> None:
    with pytest.raises(ScriptFailedError):
        await trial.capture("false")
    assert _apt_can_lock(trial.lab)
    transaction = await trial.apply("echo x > /etc/locks")
    trial.shell("echo y > /etc/locks")
    with pytest.raises(PathConflictError):
        await trial.target.rollback(transaction)
    assert _apt_can_lock(trial.lab)
    with pytest.raises(Exception, match="no transaction"):
        await trial.target.commit("nothing.1")
    assert _apt_can_lock(trial.lab)


async def test_a_second_run_is_told_who_holds_the_target(trial: Trial) -> None:
    other = Trial(trial.lab)
    try:
        with pytest.raises(TargetLockedError) as caught:
            await other.begin()
        assert caught.value.details == {"run_id": trial.run_id, "pid": os.getpid()}
        assert trial.run_id in caught.value.message
        assert "--wait" in (caught.value.hint or "")
    finally:
        await other.end()


async def test_a_second_run_can_wait_for_the_target(trial: Trial) -> None:
    other = HostTarget("host", pid=trial.lab.pid)
    task = asyncio.create_task(other.acquire("waiting", wait_s=60))
    done, _ = await asyncio.wait({task}, timeout=0.3)
    assert not done
    await trial.target.release(trial.run_id)
    await task
    await other.close()


async def test_the_same_run_takes_the_target_twice_and_only_the_holder_gives_it_back(trial: Trial) -> None:
    await trial.target.acquire(trial.run_id)
    await trial.target.release("another run")
    other = Trial(trial.lab)
    try:
        with pytest.raises(TargetLockedError):
            await other.begin()
    finally:
        await other.end()


async def test_captures_of_other_runs_are_cleared_and_those_of_this_one_stay(lab_plain: LabHost) -> None:
    """Run ids may begin alike: only whole ids count."""
    first = Trial(lab_plain)
    await first.begin()
    mine, _ = await first.capture("echo x > /srv/mine")
    await first.end()
    again = HostTarget("host", pid=lab_plain.pid)
    await again.acquire(first.run_id)
    assert mine in first.leftovers()
    await again.close()
    longer = HostTarget("host", pid=lab_plain.pid)
    await longer.acquire(first.run_id[:-1])
    assert mine not in first.leftovers()
    await longer.close()


async def test_a_runs_next_capture_never_takes_the_place_of_an_earlier_one(trial: Trial) -> None:
    first, _ = await trial.capture("echo 1 > /srv/first")
    await trial.target.release_package_locks()
    second = await trial.apply("echo 2 > /srv/second")
    await trial.target.discard(first)
    third, _ = await trial.capture("echo 3 > /srv/third")
    assert [first, second, third] == [f"{trial.run_id}.{number}" for number in (1, 2, 3)]
    await trial.target.discard(third)
    await trial.target.rollback(second)


async def test_without_root_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    target = HostTarget("host")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PermissionDeniedError):
        await target.acquire("r")
    with pytest.raises(PermissionDeniedError):
        await target.prepare("r", shell_script("true"), timeout_s=1, on_output=print)
    with pytest.raises(PermissionDeniedError):
        await target.commit("r.1")
    with pytest.raises(PermissionDeniedError):
        await target.rollback("r.1")
    await target.close()


async def test_a_capture_can_be_tried_without_leaving_anything(trial: Trial) -> None:
    before = trial.leftovers()
    assert await trial.target.try_capture() is None
    assert trial.leftovers() == before


async def test_a_script_that_stops_what_runs_on_the_target_is_refused(trial: Trial) -> None:
    trial.shell("apt-get install -y nginx >/dev/null; service nginx start")
    try:
        with pytest.raises(CaptureError, match="stops what runs on the target: nginx"):
            await trial.capture("service nginx stop; echo x >> /etc/nginx/nginx.conf")
        assert trial.run_id + ".1" not in trial.leftovers()
        await trial.capture("service nginx restart")
    finally:
        trial.shell("service nginx stop")
