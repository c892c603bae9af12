"""Rehearsals in a clone of a container: what is told, what a script cannot do there, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import CaptureError, ScriptFailedError, StepTimeoutError
from workflow_agent.model.system import ChangeAction, FileWrite, Tier
from workflow_agent.targets.clone import LOADER, left_behind, sweep
from workflow_agent.targets.engine import Engine
from workflow_agent.targets.quota import CaptureQuota
from workflow_agent.testing.escapes import ESCAPES, tries
from workflow_agent.testing.lab import LabContainer, diff
from workflow_agent.testing.lab.engine import docker
from workflow_agent.testing.transactions import open_target, shell_script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.model.system import ChangeSet

pytestmark = [pytest.mark.root, pytest.mark.slow]

_LABEL = "workflow-agent.rehearsal"
_CHILD = """
import asyncio, sys
from workflow_agent.testing.lab import LabContainer
from workflow_agent.testing.transactions import open_target, shell_script
async def main():
    lab = LabContainer()
    lab.name = sys.argv[1]
    text = "echo begun; while :; do sleep 1; done"
    await open_target(lab).rehearse(shell_script(text), timeout_s=100, on_output=lambda line: print(line, flush=True))
asyncio.run(main())
"""
#: Runs the first process of a clone 304 times, eight at once, its input open; tells each that had to be ended. With
#: `true` for an interpreter the script ends as fast as one can.
_MANY = r"""
many() {
    for _ in $(seq 38); do
        exec 4< <(printf '/run/workflow-agent/script\0true\0/run/workflow-agent/removes\0\0\0'; exec sleep 60)
        timeout 10 bash -c "$1" rehearsal true <&4 || echo "ended with $?"
        kill $!
    done
}
mkdir -p /.workflow-agent-clone
for _ in 1 2 3 4 5 6 7 8; do many "$1" & done
wait
"""
_LOOK = r"""
grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr '\t' ' '
echo "net $(tail -n +3 /proc/net/dev | cut -d: -f1 | xargs)"
echo "pids $(cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null)"
echo "memory $(cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null)"
echo "cpu $(cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us /sys/fs/cgroup/cpu.max \
    2>/dev/null | xargs)"
echo "before-images $(ls -A /.workflow-agent | wc -l)"
mount -t tmpfs none /mnt 2>/dev/null && echo mounted
mknod /tmp/disk b 8 0 2>/dev/null && echo device
echo x 2>/dev/null > /proc/sys/kernel/hostname && echo renamed
ls /.workflow-agent-clone /run/workflow-agent
"""


@pytest.fixture(scope="module")
def container(engine: None) -> Iterator[LabContainer]:
    """A container that every test leaves as it was, and no clone of which is left."""
    with LabContainer(options=("--volume=/var/lib/data", "--label=other.program=acts on it")) as made:
        made.run(["mkdir", "-p", "/.workflow-agent/tx/before-image"])
        before = made.digest()
        yield made
        assert diff(before, made.digest()) == []


@pytest.fixture(autouse=True)
def _nothing_stays(rehearsals_alone: None) -> Iterator[None]:
    yield
    assert left() == []


def left() -> list[str]:
    """List what exists of rehearsals: containers, images, volumes without an owner."""
    by_label = f"--filter=label={_LABEL}"
    found = docker("ps", "--all", "--quiet", by_label) + docker("image", "ls", "--all", "--quiet", by_label)
    return (found + docker("volume", "ls", "--quiet", "--filter=dangling=true")).split()


async def rehearse(container: LabContainer, text: str, **options: Any) -> tuple[ChangeSet, list[str]]:
    """Rehearse a script; gives what it did and what it said."""
    said: list[str] = []
    quota = options.pop("quota", CaptureQuota())
    files = options.pop("files", ())
    target = open_target(container, quota=quota)
    defaults: dict[str, Any] = {"timeout_s": 60, "on_output": said.append}
    return await target.rehearse(shell_script(text, files=files), **defaults | options), said


async def test_effects_are_told_as_approximate(container: LabContainer) -> None:
    changes, said = await rehearse(
        container,
        "echo hello; cat /run/workflow-agent/secrets/word; echo; cd /etc; echo new > motd; rm -r skel; "
        "useradd --system web; ln -s motd link; chmod 600 fstab; mkdir /srv/kept; echo x > /srv/kept/x; "
        "service web start; touch /var/lib/data/x; cp motd same; mv same motd",
        secrets={"word": "sesame"},
        keep=["/srv/kept"],
        files=[FileWrite(path="/etc/web/site.conf", format="text", content="a = 1\n", mode="0640", owner="root:web")],
    )

    found = {change.path: change for change in changes.changes}
    assert said == ["hello", "sesame"]
    assert changes.tier is Tier.APPROXIMATE
    assert (found["/etc/motd"].action, found["/etc/motd"].aspects) == (ChangeAction.MODIFIED, ("content",))
    assert found["/etc/skel"].action is ChangeAction.DELETED
    assert found["/etc/skel/.bashrc"].action is ChangeAction.DELETED
    assert (found["/etc/link"].kind, found["/etc/fstab"].aspects) == ("symlink", ("mode",))
    declared = found["/etc/web/site.conf"].after
    assert declared is not None
    assert (declared["mode"], declared["uid"], declared["size"]) == ("0640", 0, 6)
    assert declared["gid"] != 0
    assert [user["name"] for user in changes.users] == ["web"]
    assert changes.requested == ({"verb": "start", "unit": "web"},)
    assert [drop["reason"] for drop in changes.dropped] == ["state data is kept: /srv/kept"]
    assert any("/var/lib/data" in note for note in changes.notes)
    alien = ("/run", "/tmp", "/proc", "/dev", "/.", "/usr/sbin", "/usr/bin", "/var/lib/data", "/etc/hostname/")
    assert [path for path in found if path.startswith(alien)] == []


async def test_a_clone_is_walled_in(container: LabContainer) -> None:
    _, said = await rehearse(container, _LOOK)

    told = {line.split(" ")[0]: line.split(" ")[1:] for line in said}
    # chown, dac_override, fowner, fsetid, kill, setgid, setuid, sys_chroot, audit_write, setfcap: nothing else.
    wanted = sum(1 << number for number in (0, 1, 3, 4, 5, 6, 7, 18, 29, 31))
    assert {int(told[name][0], 16) for name in ("CapEff:", "CapBnd:")} == {wanted}
    assert told["NoNewPrivs:"] == ["1"]
    assert told["net"] == ["lo"]
    assert (told["pids"], told["memory"]) == (["512"], [str(1 << 30)])
    assert told["cpu"] == ["100000", "100000"], "one processor: quota and period"
    assert told["before-images"] == ["0"]
    assert not {"mounted", "device", "renamed"} & set(said)


#: Process 1 of a clone is its own script: to look at it, or to stop it, leads nowhere.
#: Our folder is an empty one in memory.
_ITS_OWN = {"other root", "other working folder", "other descriptors", "trace", "our folder", "content of our folder"}


@pytest.fixture
def canary() -> Iterator[None]:
    """A file in this machine's own /run."""
    file = Path("/run/host-canary")
    file.write_text("host\n", encoding="utf-8")
    yield
    file.unlink()


@pytest.mark.usefixtures("canary")
async def test_no_way_out_of_a_clone_is_open(container: LabContainer) -> None:
    names = [name for name in ESCAPES if name not in _ITS_OWN]
    _, said = await rehearse(container, "\n".join([*tries(names), "echo all tried"]), timeout_s=100)

    assert said[-1] == "all tried"
    assert [line for line in said if line.startswith("OPEN")] == []


async def test_the_network_is_there_where_it_is_declared_but_no_label_of_the_container(container: LabContainer) -> None:
    labels: list[str] = []

    def look(line: str) -> None:
        assert "eth0" in line.split()
        (clone,) = docker("ps", "--quiet", f"--filter=label={_LABEL}").split()
        labels.append(json.loads(docker("inspect", clone))[0]["Config"]["Labels"]["other.program"])

    text = "tail -n +3 /proc/net/dev | cut -d: -f1 | xargs; sleep 1"
    changes, _ = await rehearse(container, text, network=True, on_output=look)

    assert labels == [""]
    assert changes.changes == ()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("echo why >&2; exit 3", ScriptFailedError, "exit code 3"),
        ("sleep 100", StepTimeoutError, "did not end"),
        ("head -c 2G /dev/zero | tail", CaptureError, "1024 MiB of memory"),
        ("sleep 3 & head -c 40M /dev/urandom > /srv/big; wait; sleep 9", CaptureError, "the quota is 20 MiB"),
    ],
)
async def test_one_that_fails_is_told(container: LabContainer, text: str, error: type[Exception], message: str) -> None:
    timeout_s = 5 if error is StepTimeoutError else 120  # a slow machine needs long to run out of memory
    with pytest.raises(error, match=message):
        await rehearse(container, text, timeout_s=timeout_s, quota=CaptureQuota(max_bytes=20 << 20))


async def test_a_secret_with_a_nul_is_refused_before_anything_is_made(container: LabContainer) -> None:
    with pytest.raises(CaptureError, match="NUL"):
        await rehearse(container, "true", secrets={"word": "a\0b"})


async def test_a_declared_file_of_nobody_is_told(container: LabContainer) -> None:
    file = FileWrite(path="/etc/x", format="text", content="", owner="0:nobody-knows")

    with pytest.raises(CaptureError, match="no owner `nobody-knows`"):
        await rehearse(container, "true", files=[file])


def test_a_script_that_ends_at_once_is_not_missed() -> None:
    with LabContainer() as other:
        assert other.run(["bash", "-c", _MANY, "many", LOADER]).stdout == ""


async def test_one_that_is_cancelled_leaves_nothing(container: LabContainer) -> None:
    begun = asyncio.Event()
    task = asyncio.create_task(rehearse(container, "echo begun; sleep 100", on_output=lambda _: begun.set()))
    await asyncio.wait_for(begun.wait(), 60)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_daemons_end_with_the_script(container: LabContainer) -> None:
    changes, _ = await rehearse(container, "(sleep 0.2; echo late > /etc/late) >/dev/null 2>&1 & sleep 300 & true")

    assert changes.changes == ()


async def test_what_a_killed_process_left_ends_and_is_swept_by_the_next(container: LabContainer) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CHILD, container.name, env=dict(os.environ), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), 60) == b"begun\n"
    assert sweep(Engine()) == 0  # it lives
    (clone,) = docker("ps", "--quiet", f"--filter=label={_LABEL}").split()

    child.kill()
    await child.wait()

    docker("wait", clone, timeout_s=20)  # the script ended, although nobody has removed it
    assert len(left_behind(Engine())) == 3  # two containers and an image
    assert len(left()) >= 3
    target = open_target(container)
    await target.acquire("r-1")
    await target.close()
