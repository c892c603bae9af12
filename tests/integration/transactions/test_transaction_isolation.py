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
from workflow_agent.targets.quota import CaptureQuota
from workflow_agent.testing.lab import LabHost, diff
from workflow_agent.testing.transactions import Trial, shell_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


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


def _syscall(number: int, arguments: str) -> str:
    """A system call of x86-64 that may not succeed; the numbers are those of syscalls(2)."""
    # Perl wants texts that could be written to, as elements of an array can.
    return f"perl -e '@given = ({arguments}); exit(syscall({number}, @given) >= 0 ? 0 : 1)'"


def _device(kind: str, major: int, minor: int, use: str = "exec 3<>/tmp/dev") -> str:
    return f"rm -f /tmp/dev; mknod /tmp/dev {kind} {major} {minor}; {use}"


#: Ways to reach more than the capture, by what they try; each ends with 0 where it is open. `/run/host-canary` lies on
#: the host, where a capture has a `/run` of its own.
ESCAPES = {
    # mounts
    "mount": "mount -t tmpfs none /mnt",
    "remount": "mount -o remount,rw /proc/sys",
    "remount sysfs": "mount -o remount,rw /sys",
    "unmount": "umount /run",
    "bind": "mount --bind /etc /mnt",
    "move a mount": "mount --move /proc /mnt",
    "proc": "mount -t proc proc /mnt",
    "sysfs anew": "mount -t sysfs sysfs /mnt",
    "devices anew": "mount -t devtmpfs dev /mnt",
    "control groups anew": "mount -t cgroup2 none /mnt",
    "overlay of ours": "cd /tmp; mkdir -p u w; mount -t overlay -o lowerdir=/etc,upperdir=u,workdir=w none /mnt",
    "bpf": "mount -t bpf none /mnt",
    "debugfs": "mount -t debugfs none /mnt",
    "tracefs": "mount -t tracefs none /mnt",
    "securityfs": "mount -t securityfs none /mnt",
    "new kind of mount": _syscall(430, '"tmpfs", 0'),
    "copy of the mounts": _syscall(428, '-100, "/", 0x8001'),
    "pivot": _syscall(155, '"/tmp", "/tmp"'),
    # namespaces and roots
    "new mount namespace": "unshare -m true",
    "new user namespace": "unshare -Urm sh -c 'mount -o remount,bind,rw /sys && echo 1 > /sys/kernel/mm/ksm/run'",
    "other root": "ls /proc/1/root/",
    "other working folder": "ls /proc/1/cwd/run/host-canary",
    "roots of all": "for r in /proc/[0-9]*/root; do [ ! -e $r/run/host-canary ] || exit 0; done; exit 1",
    "other descriptors": "for f in /proc/1/fd/*; do ! readlink $f || exit 0; done; exit 1",
    "folders that are open": "for f in /proc/[0-9]*/fd/*; do [ ! -e $f/run/host-canary ] || exit 0; done; exit 1",
    "enter namespaces": "nsenter -t 1 -m true",
    "enter by descriptor": "exec 3</proc/1/ns/mnt; " + _syscall(308, "3, 0"),
    "out of a chroot": 'perl -e \'mkdir "/tmp/c"; chroot("/tmp/c") or exit 1; chdir ".." for 1..64; chroot ".";'
    ' exit(-e "/run/host-canary" ? 0 : 1)\'',
    "link through another root": "ln -sf /proc/1/root/run/host-canary /srv/link; cat /srv/link",
    # the kernel
    "kernel settings": "echo 1 > /proc/sys/vm/drop_caches",
    "host name": "hostname escaped",
    "host name by setting": "echo escaped > /proc/sys/kernel/hostname",
    "domain name": _syscall(171, '"escaped", 7'),
    "core dumps": "echo '|/bin/sh' > /proc/sys/kernel/core_pattern",
    "loader of modules": "echo /bin/sh > /proc/sys/kernel/modprobe",
    "program formats": "echo : > /proc/sys/fs/binfmt_misc/register",
    "forwarding": "echo 1 > /proc/sys/net/ipv4/ip_forward",
    "huge pages": "echo 1 > /proc/sys/vm/nr_hugepages",
    "system request": "echo h > /proc/sysrq-trigger",
    "sysfs": "echo 1 > /sys/kernel/mm/ksm/run",
    "program for events": "echo /bin/sh > /sys/kernel/uevent_helper",
    "control groups": "echo $$ > /sys/fs/cgroup/cgroup.procs",
    "modules": _syscall(175, '0, 0, ""'),
    "another kernel": _syscall(246, "0, 0, 0, 0"),
    "restart keys": _syscall(169, "0xfee1dead, 672274793, 0"),
    "clock": "date -s 2001-01-01",
    "swap": "head -c 65536 /dev/zero > /srv/swap; mkswap /srv/swap; swapon /srv/swap",
    "accounting": "touch /srv/account; " + _syscall(163, '"/srv/account"'),
    "ports of the machine": _syscall(172, "3"),
    "one port of the machine": _syscall(173, "0x70, 1, 1"),
    "memory of the kernel": "head -c1 /proc/kcore",
    "raw handle": _syscall(304, '0, "", 0'),
    "trace": _syscall(101, "16, 1, 0, 0"),
    # devices
    "block device": "mknod /dev/shm/disk b 7 0; head -c1 /dev/shm/disk",
    "block device on disk": "mknod /srv/disk b 7 0; head -c1 /srv/disk",
    "block device in tmp": "mknod /tmp/disk b 7 0; head -c1 /tmp/disk",
    "devices of the system": "mknod /dev/disk b 7 0",
    "memory": _device("c", 1, 1, "head -c1 /tmp/dev"),
    "ports as a file": _device("c", 1, 4, "head -c1 /tmp/dev"),
    "messages of the kernel": _device("c", 1, 11, "echo escaped > /tmp/dev"),
    "console": _device("c", 5, 1, "echo escaped > /tmp/dev"),
    "loop devices": _device("c", 10, 237),
    "file systems of ours": _device("c", 10, 229),
    "network devices": _device("c", 10, 200),
    "virtual machines": _device("c", 10, 232),
    # what is ours, and what others listen on
    "our folder": "echo x > /.workflow-agent/x",
    "content of our folder": '[ -n "$(ls -A /.workflow-agent)" ]',
    "before-images": "find / -xdev -path '*/.workflow-agent/*' 2>/dev/null | grep .",
    "the upper layer": "upper=$(sed -n 's/.*upperdir=\\([^,]*\\).*/\\1/p' /proc/self/mountinfo | head -1);"
    ' ls -A "${upper:?}" | grep .',
    "whiteout by hand": "mknod /srv/white c 0 0",
    "overlay marks by hand": _syscall(188, '"/srv", "trusted.overlay.opaque", "y", 1, 0'),
    "message bus": "[ -S /run/dbus/system_bus_socket ]",
    "init system": "[ -S /run/systemd/private ]",
    "container engine": "[ -S /run/docker.sock ] || [ -S /var/run/docker.sock ]",
}
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


def _tries(names: Iterable[str]) -> list[str]:
    """Each is tried in a shell of its own; one that works says so."""
    return [f"if (set -e; {ESCAPES[name]}) </dev/null >/dev/null 2>&1; then echo 'OPEN {name}'; fi" for name in names]


def test_ways_out_are_open_where_nothing_stands_in_the_way() -> None:
    """A way that works nowhere would prove nothing."""
    with LabHost("plain") as lab:
        lab.run(["sh", "-c", "echo host > /run/host-canary"])
        tries = [f"unshare -mu --propagation private -- bash <<'END'\n{line}\nEND" for line in _tries(OPEN_ON_A_HOST)]
        found = lab.run(["bash", "-c", "\n".join(tries)]).stdout.splitlines()
    assert [name for name in OPEN_ON_A_HOST if f"OPEN {name}" not in found] == []


@pytest.mark.usefixtures("untouched", "canary")
async def test_no_way_out_is_open(trial: Trial) -> None:
    assert len(ESCAPES) >= 60
    left = "rm -f /srv/disk /srv/white /srv/link /srv/swap /srv/account"
    transaction, _ = await trial.capture("\n".join([*_tries(ESCAPES), left, "echo all tried"]))
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


async def test_a_capture_that_somebody_still_holds_open_is_refused(trial: Trial) -> None:
    """A process outside reached into the capture while it ran: it could go on writing to what is committed."""
    mark = f"held-{trial.run_id}-"
    task = asyncio.create_task(
        trial.capture(f"echo x > /srv/held; (exec -a {mark} sleep 1000) & while [ ! -e /srv/go ]; do sleep 0.1; done")
    )
    while not (found := _marked(mark)):  # noqa: ASYNC110  # another process's start
        await asyncio.sleep(0.01)
    inside = Path(f"/proc/{found[0]}/root/srv")
    with (inside / "held").open("a") as stream:
        (inside / "go").touch()
        with pytest.raises(CaptureError) as caught:
            await task
        stream.write("too late")
    assert "somebody still uses the capture of /" in (caught.value.cause or "")
