"""A system on which nothing can be captured: it is said which tier remains and why, and nothing is begun."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.testing.lab import diff
from workflow_agent.testing.lab.digest import digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.machine import Answer, Machine, World

pytestmark = [pytest.mark.root, pytest.mark.slow]

#: Number of mount(2) on x86_64 and on aarch64.
_DENY_MOUNT = """
import ctypes, os, platform, struct, sys
libc, number = ctypes.CDLL(None, use_errno=True), {"x86_64": 165, "aarch64": 40}[platform.machine()]
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("rules", ctypes.c_void_p)]
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Filter(len(rules), ctypes.addressof(program))), 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"""
_NO_OVERLAY = 'grep -v overlay /proc/filesystems > "$1"; mount --bind "$1" /proc/filesystems; shift; exec "$@"'
#: A root of another kind: what the product looks at before it begins, and a process that lives there.
_OTHER_ROOT = """
import os, shutil, sys, signal
source, place = sys.argv[1:]
for path in ("etc/os-release", "usr/bin/apt-get", "usr/bin/bash", "usr/sbin/service"):
    os.makedirs(os.path.join(place, os.path.dirname(path)), exist_ok=True)
    shutil.copy(os.path.join(source, path), os.path.join(place, path))
os.makedirs(os.path.join(place, "proc"))
os.chroot(place)
os.chdir("/")
print("ready", flush=True)
signal.pause()
"""


@pytest.fixture
def prefix(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    """What takes the facility away from the command that follows."""
    return {
        "kernel": ("unshare", "--mount", "sh", "-euc", _NO_OVERLAY, "sh", str(tmp_path / "filesystems")),
        "seccomp": (sys.executable, "-c", _DENY_MOUNT),
    }[request.param]


def assert_refused(answer: Answer, reason: str) -> None:
    assert answer.code == 1, str(answer)
    assert answer.error["code"] == "step-failed.capture"
    assert reason in answer.error["cause"]
    assert answer.error["state"] == "nothing was changed"
    assert "doctor" in answer.error["hint"]


def assert_told(doctor: Answer, reason: str) -> None:
    assert doctor.code == 1, str(doctor)
    capture = {check["check"]: check for check in doctor.envelope["data"]["items"]}["capture"]
    assert capture["status"] == "fail"
    assert capture["observed"].startswith("tier logical: ")
    assert reason in capture["observed"]
    assert "transaction" in capture["fix"]


@pytest.mark.parametrize(
    ("prefix", "reason", "known_before"),
    [
        ("kernel", "the kernel has no overlay file system", True),
        ("seccomp", "Operation not permitted: 'mount on", False),
    ],
    indirect=["prefix"],
)
def test_without_the_facility_nothing_is_begun(
    machine: Machine, prefix: tuple[str, ...], reason: str, *, known_before: bool
) -> None:
    """A kernel without overlays is known from looking; that mounts are refused shows only when one is tried."""
    before: World = machine.world()
    kept = machine.transactions()

    for command in (["plan", "nginx"], ["install", "nginx", "--yes"]):
        answer = machine.json(*command, prefix=prefix)
        assert_refused(answer, reason)
        assert ("the tier is logical" in answer.error["message"]) is known_before
    assert_told(machine.json("doctor", prefix=prefix), reason)

    machine.assert_as(before)
    assert machine.transactions() == kept
    run = machine.json("history", "--action", "install").data["items"][0]
    assert run["status"] == "failed"


@pytest.mark.parametrize("prefix", ["seccomp"], indirect=True)
@pytest.mark.usefixtures("engine", "rehearsals_alone")
def test_a_rehearsal_in_a_copy_remains(machine: Machine, prefix: tuple[str, ...]) -> None:
    before = machine.world()

    shown = machine.json("plan", "prometheus-node-exporter", "--isolation", "container", prefix=prefix)

    assert shown.code == 0, str(shown)
    change_set = shown.data["plan"]["change_set"]
    assert change_set["tier"] == "approximate"
    assert [package["name"] for package in change_set["packages"]] == ["prometheus-node-exporter"]
    assert any("a copy of the host" in note for note in change_set["notes"])
    machine.assert_as(before)


@contextmanager
def other_root(machine: Machine, mount: str) -> Iterator[int]:
    """Give a process whose root is a file system that the shell text mounts at $2, with parts of the host in it."""
    place = machine.folder / "root"
    place.mkdir(exist_ok=True)
    script = f'{mount}\nexec "{sys.executable}" -c "$3" "$1" "$2"'
    command = ["unshare", "--mount", "sh", "-euc", script, "sh", str(machine.host.root), str(place), _OTHER_ROOT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.send_signal(signal.SIGKILL)


_MOUNTS = {
    "tmpfs": 'mount -t tmpfs none "$2"',
    "folder": 'mount -t tmpfs none "$2"; mkdir "$2/l"; mount --bind "$2/l" "$2"',
}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("tmpfs", "the root file system is tmpfs: capture was never tried on tmpfs"),
        ("folder", "the root file system is tmpfs: only a folder of it is mounted there"),
    ],
)
def test_on_a_root_that_cannot_be_captured_nothing_is_begun(machine: Machine, kind: str, reason: str) -> None:
    with other_root(machine, _MOUNTS[kind]) as pid:
        settings = {"WORKFLOW_AGENT_TARGETS__HOST_PID": str(pid)}
        before = digest(Path(f"/proc/{pid}/root"))
        for command in (["plan", "nginx"], ["install", "nginx", "--yes"]):
            answer = machine.json(*command, environ=settings)
            assert_refused(answer, reason)
            assert answer.error["details"]["tier"] == "logical"
        assert_told(machine.json("doctor", environ=settings), reason)
        assert diff(before, digest(Path(f"/proc/{pid}/root"))) == []


@pytest.mark.parametrize(
    ("rights", "reason"),
    [
        (["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"], "CAP_SYS_ADMIN"),
        (["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], "not root: nothing can be captured"),
    ],
)
def test_with_too_few_rights_the_facts_say_which_tier_remains(rights: list[str], reason: str) -> None:
    """As in a container without the capability, and as for a person who is not root. The facts only look."""
    looking = textwrap.dedent("""
        import asyncio, json
        from workflow_agent.targets.host import HostTarget
        async def main():
            target = HostTarget("host")
            facts = await target.facts()
            await target.close()
            print(json.dumps([facts.tier.value, facts.tier_reason]))
        asyncio.run(main())
    """)
    done = subprocess.run([*rights, sys.executable, "-c", looking], check=True, capture_output=True, text=True)
    tier, told = json.loads(done.stdout)
    assert tier == "logical"
    assert reason in told
