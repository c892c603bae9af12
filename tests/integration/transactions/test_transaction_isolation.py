"""A script in a capture reaches nothing but its own view, and nothing of it is left, however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import CaptureError, ScriptFailedError, StepTimeoutError
from workflow_agent.model.system import FileWrite
from workflow_agent.targets.process_limit import has_own_numbers
from workflow_agent.targets.quota import CaptureQuota
from workflow_agent.testing.escapes import ESCAPES, tries
from workflow_agent.testing.lab import LabHost, diff
from workflow_agent.testing.transactions import Trial, shell_script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.model.system import ChangeSet


def _marked(mark: str) -> list[int]:
    """Processes of this machine, in any namespace, whose command line holds a mark."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                line = (folder / "cmdline").read_bytes()
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if mark.encode() in line and state not in "ZX":
                found.append(int(folder.name))
    return found


def _running(lab: LabHost) -> list[int]:
    """What runs on the host, but for our own program that looks at it."""
    return [one.pid for one in lab.processes() if "probe_program" not in " ".join(one.arguments)]


@pytest.fixture
def untouched(trial: Trial) -> Iterator[None]:
    """The host is as it was, and nothing of the capture lives."""
    before, running, folders = trial.lab.digest(), _running(trial.lab), trial.leftovers()
    yield
    assert diff(before, trial.lab.digest()) == []
    assert _running(trial.lab) == running
    assert trial.leftovers() == folders


#: Those that harm nobody where they work: on a host, without a capture, they have to.
OPEN_ON_A_HOST = [
    "mount", "bind", "proc", "overlay of ours", "new kind of mount", "copy of the mounts", "new mount namespace",
    "other root", "roots of all", "enter namespaces", "enter by descriptor", "out of a chroot", "domain name",
    "link through another root", "whiteout by hand", "overlay marks by hand", "devices of the system",
]  # fmt: skip


@pytest.fixture
def canary(trial: Trial) -> Iterator[None]:
    """A file in the host's own /run."""
    trial.shell("echo host > /run/host-canary")
    yield
    trial.shell("rm -f /run/host-canary")


def test_ways_out_are_open_where_nothing_stands_in_the_way() -> None:
    """A way that works nowhere would prove nothing."""
    with LabHost("plain") as lab:
        lab.run(["sh", "-c", "echo host > /run/host-canary"])
        scripts = [f"unshare -mu --propagation private -- bash <<'END'\n{line}\nEND" for line in tries(OPEN_ON_A_HOST)]
        found = lab.run(["bash", "-c", "\n".join(scripts)]).stdout.splitlines()
    assert [name for name in OPEN_ON_A_HOST if f"OPEN {name}" not in found] == []


@pytest.mark.usefixtures("untouched", "canary")
async def test_no_way_out_is_open(trial: Trial) -> None:
    assert len(ESCAPES) >= 60
    left = "rm -f /srv/disk /srv/white /srv/link /srv/swap /srv/account"
    transaction, _ = await trial.capture("\n".join([*tries(ESCAPES), left, "echo all tried"]))
    await trial.target.discard(transaction)

    assert trial.output[-1] == "all tried"
    assert [line for line in trial.output if line.startswith("OPEN")] == []


@pytest.mark.usefixtures("untouched")
async def test_what_a_script_sees_is_its_own(trial: Trial) -> None:
    trial.shell("echo host > /run/canary; echo host > /tmp/canary")
    try:
        transaction, changes = await trial.capture(
            "ls /run /tmp; echo mine > /run/canary; echo mine > /tmp/canary; hostname;"
            "id -u; umask; env | sort; for d in /dev/*; do echo ${d#/dev/}; done; ls -A /.workflow-agent | wc -l"
        )
        await trial.target.commit(transaction)
        await trial.target.rollback(transaction)
        assert trial.shell("cat /run/canary /tmp/canary") == "host\nhost\n"
    finally:
        trial.shell("rm -f /run/canary /tmp/canary")
        trial.shell(f"rm -r /.workflow-agent/tx/{trial.run_id}.1")
    text = "\n".join(trial.output)
    assert changes.changes == ()
    assert "canary" not in text
    assert "0022" in trial.output
    assert "SYSTEMD_OFFLINE=1" in trial.output
    assert not {"loop0", "kmsg", "mem", "sda"} & set(trial.output)
    assert trial.output[-1] == "0"


DAEMONS = {
    "in the background": "(exec -a MARK sleep 1000) >/dev/null 2>&1 &",
    "in a session of its own": "setsid bash -c 'exec -a MARK sleep 1000' >/dev/null 2>&1 </dev/null &",
    "that ignores what asks it to end": "bash -c 'trap \"\" TERM HUP INT; exec -a MARK sleep 1000' & sleep 0.1",
    "two hundred": "for i in $(seq 200); do (exec -a MARK sleep 1000) & done",
    "as another user": "setpriv --reuid=33 --regid=33 --clear-groups bash -c 'exec -a MARK sleep 1000' &",
}


@pytest.mark.parametrize("kind", list(DAEMONS))
async def test_daemons_that_a_script_leaves_are_dead_afterwards(trial: Trial, kind: str) -> None:
    mark = f"daemon-{trial.run_id}-"
    transaction, _ = await trial.capture(f"{DAEMONS[kind].replace('MARK', mark)}\necho started")
    assert _marked(mark) == []
    await trial.target.discard(transaction)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("end", "code"), [("exit 7", 7), ("kill -9 $$", -9), ("false", 1), ("kill -TERM $$", -15), ("no-such-program", 127)]
)
async def test_a_script_that_fails_changes_nothing_and_says_how(trial: Trial, end: str, code: int) -> None:
    with pytest.raises(ScriptFailedError) as caught:
        await trial.capture(f"echo new > /etc/new; rm /etc/motd; echo last words; {end}")

    assert caught.value.details["exit_code"] == code
    assert "last words" in caught.value.details["tail"]
    assert caught.value.state == "nothing was changed"


@pytest.mark.usefixtures("untouched")
async def test_a_script_that_runs_out_of_time_dies_with_all_its_children(trial: Trial) -> None:
    mark = f"late-{trial.run_id}-"
    started = time.monotonic()
    with pytest.raises(StepTimeoutError):
        await trial.capture(
            f"trap '' TERM INT; echo x > /etc/new; for i in 1 2 3; do (exec -a {mark} sleep 1000) & done; sleep 1000",
            timeout_s=2,
        )
    assert _marked(mark) == []
    assert time.monotonic() - started < 30


@pytest.mark.usefixtures("untouched")
async def test_a_hundred_megabytes_of_output_do_not_stay_in_memory(trial: Trial) -> None:
    seen = 0

    def count(line: str) -> None:
        nonlocal seen
        seen += len(line) + 1

    script = shell_script("head -c 50000000 /dev/zero; echo; yes line | head -c 50000000")
    transaction, _ = await trial.target.prepare(trial.run_id, script, timeout_s=90, on_output=count)
    await trial.target.discard(transaction)
    assert seen >= 100_000_000


@pytest.mark.usefixtures("untouched")
async def test_a_script_that_fills_the_disk_is_stopped(lab_plain: LabHost, trial: Trial) -> None:
    trial.target._quota = CaptureQuota(max_bytes=64 << 20)
    with pytest.raises(CaptureError, match="the quota is 64 MiB"):
        await trial.capture("dd if=/dev/zero of=/srv/big bs=1M count=1500 status=none; sleep 20")


@pytest.mark.usefixtures("untouched")
async def test_a_script_that_makes_too_many_entries_is_stopped(trial: Trial) -> None:
    trial.target._quota = CaptureQuota(max_entries=500)
    with pytest.raises(CaptureError, match="500 entries"):
        await trial.capture("mkdir /srv/m; for i in $(seq 2000); do echo > /srv/m/$i; done; sleep 20")


@pytest.mark.usefixtures("untouched")
async def test_room_stays_free_for_the_services_of_the_host(trial: Trial) -> None:
    trial.target._quota = CaptureQuota(keep_free_bytes=1 << 40)  # a quarter of what is free, then
    with pytest.raises(CaptureError, match="stay free"):
        await trial.capture("fallocate -l $(($(stat -f -c '%f * %S' /srv) * 4 / 5)) /srv/big; sleep 20")


#: Each starts itself over and over; none of them ends by itself.
BOMBS = {
    "the classic": "bomb() { bomb | bomb & }; bomb; sleep 60",
    "that never waits": "bomb() { while :; do bomb & done; }; bomb",
    "in sessions of its own": "echo 'setsid $0 & setsid $0 & sleep 60' >/srv/bomb; chmod 755 /srv/bomb; sh /srv/bomb",
    "that ignores what asks it to end": "trap '' TERM HUP INT CHLD; while :; do sleep 60 & done",
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("kind", list(BOMBS))
async def test_a_fork_bomb_is_ended_with_everything_that_it_started(trial: Trial, kind: str) -> None:
    trial.target._quota = CaptureQuota(max_processes=300)
    with pytest.raises(CaptureError, match="more than 300 processes at once") as caught:
        await trial.capture(f"echo x > /etc/new; {BOMBS[kind]}")

    assert caught.value.state == "nothing was changed; its processes were ended"
    assert "limits.capture_processes" in (caught.value.hint or "")


@pytest.mark.usefixtures("untouched")
async def test_a_script_below_the_limit_of_processes_is_not_disturbed(trial: Trial) -> None:
    trial.target._quota = CaptureQuota(max_processes=300)
    transaction, _ = await trial.capture("for i in $(seq 250); do sleep 1 & done; wait; echo all")
    await trial.target.discard(transaction)
    assert trial.output[-1] == "all"


def _highest_number() -> str:
    return Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii")


@pytest.mark.skipif(not has_own_numbers(os.uname().release), reason="the kernel has one highest number for all")
async def test_the_kernel_bounds_the_processes_of_a_capture_and_of_nobody_else(trial: Trial) -> None:
    of_all = _highest_number()
    trial.target._quota = CaptureQuota(max_processes=300)
    transaction, _ = await trial.capture("cat /proc/sys/kernel/pid_max; nice; ! echo 9999 > /proc/sys/kernel/pid_max")
    await trial.target.discard(transaction)

    assert trial.output[:2] == ["1200", str(os.getpriority(os.PRIO_PROCESS, 0))]
    assert _highest_number() == of_all


@pytest.mark.usefixtures("untouched")
async def test_thousands_of_service_requests_do_not_block(trial: Trial) -> None:
    transaction, changes = await trial.capture(
        'for i in $(seq 20000); do echo "start\tunit-with-quite-a-long-name-$i"; done >> /run/workflow-agent/requested'
    )
    await trial.target.discard(transaction)
    assert len(changes.requested) > 100


@pytest.mark.usefixtures("untouched")
async def test_a_cancelled_capture_leaves_nothing(trial: Trial) -> None:
    mark = f"cancelled-{trial.run_id}-"
    task = asyncio.create_task(trial.capture(f"echo x > /etc/new; echo up; exec -a {mark} sleep 1000"))
    while "up" not in trial.output:  # noqa: ASYNC110  # another process's word
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert _marked(mark) == []
    assert not trial.target._locks.held


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.2, 0.5, 0.8])
async def test_a_capture_that_is_cancelled_at_any_moment_leaves_nothing(trial: Trial, delay: float) -> None:
    task = asyncio.create_task(trial.capture("echo x > /etc/new; for i in $(seq 50); do echo $i > /srv/$i; done"))
    await asyncio.sleep(delay)
    task.cancel()
    outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    if not isinstance(outcome, asyncio.CancelledError):  # it was done already
        assert not isinstance(outcome, BaseException)
        await trial.target.discard(outcome[0])
    assert not trial.target._locks.held


_ENGINE = """
import asyncio, json, sys
from workflow_agent.targets.host import HostTarget
from workflow_agent.testing.transactions import shell_script
async def main():
    pid, text = json.loads(sys.stdin.readline())
    target = HostTarget("host", pid=pid)
    await target.acquire("killed")
    await target.prepare("killed", shell_script(text), timeout_s=60, on_output=lambda line: print(line, flush=True))
asyncio.run(main())
"""


async def test_an_engine_that_is_killed_takes_everything_of_the_capture_with_it(lab_plain: LabHost) -> None:
    """The engine gets SIGKILL in the middle of a script: no process is left, and the next run clears the folders."""
    mark = f"orphan-{os.getpid()}-"
    before, running = lab_plain.digest(), _running(lab_plain)
    text = f"echo x > /etc/new; (setsid bash -c 'exec -a {mark} sleep 1000' &); echo up; sleep 1000"
    engine = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _ENGINE, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert engine.stdin is not None
    assert engine.stdout is not None
    engine.stdin.write(json.dumps([lab_plain.pid, text]).encode() + b"\n")
    async with asyncio.timeout(60):
        try:
            assert await engine.stdout.readline() == b"up\n"
            while not _marked(mark):  # noqa: ASYNC110  # another process's start
                await asyncio.sleep(0.01)
        finally:
            engine.send_signal(signal.SIGKILL)
            await engine.wait()
        while _marked(mark) or _running(lab_plain) != running:  # noqa: ASYNC110  # the kernel's work
            await asyncio.sleep(0.01)

    assert diff(before, lab_plain.digest()) == []
    trial = Trial(lab_plain)
    try:
        await trial.begin()
        assert "killed.1" not in trial.leftovers()
    finally:
        await trial.end()


async def test_declared_files_are_written_after_the_script_whatever_the_engines_umask(trial: Trial) -> None:
    old = os.umask(0o077)
    try:
        transaction = await trial.apply(
            "useradd -r declared",
            files=[
                FileWrite(path="/srv/made/for/it/f", format="text", content="é\n", mode="0640", owner="declared:root")
            ],
        )
    finally:
        os.umask(old)
    assert trial.shell("stat -c '%a %U:%G' /srv/made /srv/made/for/it /srv/made/for/it/f").split("\n") == [
        "755 root:root", "755 root:root", "640 declared:root", "",
    ]  # fmt: skip
    await trial.target.rollback(transaction)
    assert not (trial.lab.root / "srv/made").exists()


@pytest.mark.parametrize("script", ["chmod 755 /usr/sbin/policy-rc.d", "cp -p /usr/sbin/service /srv/copy"])
@pytest.mark.usefixtures("untouched")
async def test_a_stand_in_for_a_program_never_reaches_the_host(trial: Trial, script: str) -> None:
    with pytest.raises(CaptureError, match="replaced while its effects are captured"):
        await trial.capture(script)


async def test_a_block_device_is_refused(trial: Trial) -> None:
    with pytest.raises(CaptureError, match="block device"):
        await trial.capture("mkdir /srv/in; mknod /srv/in/disk b 7 0")


async def test_a_mount_point_with_a_space_can_stand_beside_a_capture(trial: Trial) -> None:
    trial.shell("mkdir -p '/srv/my disk:1,2'; mount -t tmpfs none '/srv/my disk:1,2'; echo t > '/srv/my disk:1,2/t'")
    try:
        transaction, _ = await trial.capture("cd '/srv/my disk:1,2'; cat t; ! echo x > x")
    finally:
        trial.shell("umount '/srv/my disk:1,2'")
    assert trial.output[0] == "t"
    await trial.target.discard(transaction)


def test_processes_are_found_by_their_mark() -> None:
    with subprocess.Popen(["bash", "-c", "exec -a find-me-by-this sleep 100"]) as process:
        try:
            while process.pid not in _marked("find-me-by-this"):
                pass
        finally:
            process.kill()


async def _reached_into(trial: Trial, mark: str) -> tuple[asyncio.Task[tuple[str, ChangeSet]], Path]:
    """Begin a capture; gives its end, which comes when there is a file `/srv/go` in it, and one of its processes."""
    task = asyncio.create_task(
        trial.capture(f"echo x > /srv/held; (exec -a {mark} sleep 1000) & while [ ! -e /srv/go ]; do sleep 0.1; done")
    )
    while not (found := _marked(mark)):  # noqa: ASYNC110  # another process's start
        await asyncio.sleep(0.01)
    return task, Path(f"/proc/{found[0]}")


async def test_a_capture_that_somebody_still_holds_open_is_refused(trial: Trial) -> None:
    """A process outside reached into the capture while it ran: it could go on writing to what is committed."""
    task, process = await _reached_into(trial, f"held-{trial.run_id}-")
    with (process / "root/srv/held").open("a") as stream:
        (process / "root/srv/go").touch()
        with pytest.raises(CaptureError) as caught:
            await task
        stream.write("too late")
    assert "somebody still uses the capture of /" in (caught.value.cause or "")


async def test_who_reads_which_mounts_a_capture_has_is_waited_for(trial: Trial) -> None:
    """As `findmnt` does of every process, and another run of ours: until it closes that file, nothing is unmounted."""
    task, process = await _reached_into(trial, f"read-{trial.run_id}-")
    with (process / "mountinfo").open("rb") as mounts:
        assert b"overlay" in mounts.read()
        (process / "root/srv/go").touch()
        await asyncio.wait({task}, timeout=1)
        waited = not task.done()
    transaction, _ = await task
    assert waited
    await trial.target.discard(transaction)
