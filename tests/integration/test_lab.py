"""Lab hosts are real Debian hosts, and nothing of them stays behind."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from workflow_agent.model.errors import StepFailedError, UnreachableError, ValidationError
from workflow_agent.testing.lab import LabHost, base_image, diff
from workflow_agent.testing.lab.__main__ import main
from workflow_agent.testing.lab.host import _shows
from workflow_agent.testing.lab.image import (
    DISK_NAME,
    SUITE,
    _apt_settings,
    _command,
    _debian_sources,
    cache_folder,
    copy_disk,
)
from workflow_agent.testing.lab.setup import missing_programs, obstacle

_STARTS_A_HOST = """
import sys
from workflow_agent.testing.lab import LabHost
host = LabHost("plain")
host.start()
print(host.pid, flush=True)
sys.stdin.read()
"""
_STATE_LISTENING = "0A"


def _listening_ports(host: LabHost) -> set[int]:
    """Read the ports of the host's network namespace from outside: nothing is needed inside."""
    ports = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/{host.pid}/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _STATE_LISTENING:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def _traces(host: LabHost, disk: str = "") -> dict[str, object]:
    """What a host could leave on the machine; `disk` is what the kernel calls its disk, once it has one."""
    loops = Path("/sys/block").glob("loop*/loop/backing_file")
    return {
        "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "lab" in line],
        "folders": sorted(path.name for path in Path("/tmp").glob("workflow-agent-*")),
        "files": sorted(path.name for path in base_image(host.kind).parent.glob(f"{DISK_NAME}*")),
        "loop": any(disk and disk in path.read_text() for path in loops),
        "groups": sorted(str(path) for path in Path("/sys/fs/cgroup").rglob(f"workflow-agent-lab-{os.getpid()}-*")),
    }


def test_a_package_installs_without_any_network_and_its_init_script_starts_it(lab_plain: LabHost) -> None:
    lab_plain.run(["apt-get", "install", "-y", "prometheus-node-exporter"])
    lab_plain.run(["service", "prometheus-node-exporter", "start"])
    lab_plain.run(["sh", "-c", "until grep -q ':238C' /proc/net/tcp6; do :; done"], timeout_s=20)

    assert 9100 in _listening_ports(lab_plain)
    programs = {process.program: process for process in lab_plain.processes()}
    exporter = programs["/usr/bin/prometheus-node-exporter"]
    assert exporter.uid != 0
    assert f"/proc/{exporter.pid}" != f"/proc/{exporter.inner_pid}"


def test_systemd_is_up_and_starts_what_is_installed(lab_systemd: LabHost) -> None:
    lab_systemd.run(["apt-get", "install", "-y", "nginx"])
    lab_systemd.run(["systemctl", "start", "nginx"])

    units = lab_systemd.units()
    assert units["nginx.service"] == "active/running"
    assert [name for name, state in units.items() if state.startswith("failed")] == []
    assert {80} <= _listening_ports(lab_systemd)
    assert lab_systemd.processes()[0].program == "/usr/lib/systemd/systemd"


def test_the_image_has_nothing_that_a_probe_could_lean_on(lab_plain: LabHost) -> None:
    for program in ("curl", "wget", "ps", "ss", "python3"):
        assert lab_plain.run(["sh", "-c", f"command -v {program}"], check=False).returncode != 0


def test_a_host_sees_its_own_name_disk_and_loopback_only(lab_plain: LabHost) -> None:
    assert lab_plain.run(["uname", "-n"]).stdout.strip() == "lab"
    assert lab_plain.run(["ls", "/sys/class/net"]).stdout.split() == ["lo"]
    assert lab_plain.run(["cat", "/sys/class/net/lo/flags"]).stdout.strip() == "0x9"
    root = lab_plain.run(["grep", " / ", "/proc/self/mounts"]).stdout.split()
    assert root[0].startswith("/dev/loop")
    assert root[2] == "ext4"
    assert lab_plain.run(["sh", "-c", "echo 1 > /proc/sys/vm/drop_caches"], check=False).returncode != 0


def test_an_idle_host_does_not_change(lab_systemd: LabHost) -> None:
    before = lab_systemd.digest()
    lab_systemd.run(["true"])

    assert diff(before, lab_systemd.digest()) == []
    assert len(before) > 5_000


def test_a_change_on_the_host_is_seen_from_outside(lab_plain: LabHost) -> None:
    before = lab_plain.digest()

    lab_plain.run(["sh", "-c", "cat > /etc/motd"], stdin="hello\n")

    assert (lab_plain.root / "etc/motd").read_text() == "hello\n"
    (line,) = diff(before, lab_plain.digest())
    assert line.startswith("changed: /etc/motd: size")


def test_a_host_may_have_an_address_beside_127_0_0_1(lab: None) -> None:
    with LabHost("plain", address="10.77.0.5") as host:
        assert "10.77.0.5" in Path(f"/proc/{host.pid}/net/fib_trie").read_text()
    with LabHost("plain") as host:
        assert "10.77" not in Path(f"/proc/{host.pid}/net/fib_trie").read_text()


@pytest.mark.parametrize("kind", ["plain", "systemd"])
def test_a_stopped_host_leaves_nothing_behind(lab: None, kind: str) -> None:
    host = LabHost(kind)
    before = _traces(host)
    try:
        host.start()
        init, disk = host.pid, str(Path(f"/proc/self/fd/{host._disk}").readlink())
        assert _traces(host, disk)["loop"]
        host.run(["sh", "-c", "sleep 1000 >/dev/null 2>&1 &"])
        pids = [process.pid for process in host.processes()]
        assert len(pids) >= 2
    finally:
        host.stop()

    assert _traces(host, disk) == before
    assert not [pid for pid in [init, *pids] if Path(f"/proc/{pid}").exists()]
    with pytest.raises(UnreachableError):
        _ = host.pid


def test_a_host_dies_with_the_process_that_made_it(lab: None) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _STARTS_A_HOST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    init = os.pidfd_open(int(owner.stdout.readline()))

    owner.send_signal(signal.SIGKILL)

    assert select.select([init], [], [], 10)[0] == [init]
    os.close(init)
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()


def test_the_disk_survives_a_power_cut(lab_plain: LabHost) -> None:
    lab_plain.run(["sh", "-c", "echo kept > /root/note && sync"])

    lab_plain.power_off()
    lab_plain.start()

    assert lab_plain.run(["cat", "/root/note"]).stdout == "kept\n"
    assert len(lab_plain.processes()) == 1


@pytest.mark.parametrize(("keep_journal", "found"), [(False, None), (True, "")])
def test_a_power_cut_loses_what_was_not_on_the_disk(
    lab_plain: LabHost, *, keep_journal: bool, found: str | None
) -> None:
    """With the journal written first, a file is there by its name, and empty: nobody had synced its content."""
    lab_plain.run(["sh", "-c", "rm -f /root/lost; echo kept > /root/note; sync; echo lost > /root/lost"])

    lab_plain.cut_power(keep_journal=keep_journal)
    lab_plain.start()

    lost = lab_plain.root / "root/lost"
    assert (lost.read_text() if lost.exists() else None) == found
    assert (lab_plain.root / "root/note").read_text() == "kept\n"


def test_a_disk_is_told_from_the_one_of_another_host_that_took_its_number(lab_plain: LabHost) -> None:
    backing = Path("/sys/block", Path(lab_plain._device).name, "loop/backing_file")
    other = copy_disk(base_image("plain"), in_memory=True)
    try:
        assert lab_plain._disk is not None
        assert (_shows(backing, lab_plain._disk), _shows(backing, other)) == (True, False)
    finally:
        os.close(other)


def test_orphans_are_reaped(lab_plain: LabHost) -> None:
    lab_plain.run(["sh", "-c", "(sleep 0 &) ; (true &)"])
    lab_plain.run(["sh", "-c", "until [ $(ls -d /proc/[0-9]* | wc -l) -le 4 ]; do :; done"], timeout_s=10)

    assert [process.inner_pid for process in lab_plain.processes()] == [1]


async def test_a_host_can_be_started_from_a_thread_of_an_event_loop(lab: None) -> None:
    host = LabHost("plain")
    await asyncio.to_thread(host.start)
    try:
        # the thread that started it may end: only the process counts
        done = await asyncio.to_thread(host.run, ["hostname"])
        assert done.stdout == "lab\n"
    finally:
        await asyncio.to_thread(host.stop)


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_disk_has_the_size_that_was_asked_for(lab: None, in_memory: bool) -> None:
    with LabHost("plain", size=4 * 1024**3, in_memory=in_memory) as host:
        status = os.statvfs(host.root)

    assert 3.5 * 1024**3 < status.f_blocks * status.f_frsize < 4 * 1024**3


def test_a_failed_command_raises_with_what_it_said(lab_plain: LabHost) -> None:
    with pytest.raises(StepFailedError) as caught:
        lab_plain.run(["ls", "/nowhere"])

    assert "/nowhere" in str(caught.value.cause)


def test_a_disk_that_is_none_is_refused_with_the_reason(lab: None, tmp_path: Path) -> None:
    image = tmp_path / "not-a-disk"
    image.write_bytes(bytes(1024 * 1024))
    host = LabHost("plain")
    host._disk = copy_disk(image)

    with pytest.raises(UnreachableError) as caught:
        host.start()

    assert "mount ext4" in str(caught.value.cause)


def test_a_strange_package_name_is_refused_before_anything_is_built() -> None:
    with pytest.raises(ValidationError):
        base_image("plain", packages=("nginx; reboot",))


def test_the_archive_is_read_from_the_sources_of_this_machine(lab: None) -> None:
    for line in _debian_sources():
        kind, address, suite, _ = line.split()
        assert kind == "deb"
        assert "://" in address
        assert suite.startswith(SUITE)


def test_only_settings_that_reach_the_archive_are_taken_from_apt(lab: None) -> None:
    for line in _apt_settings().splitlines():
        assert line.startswith("Acquire::")
        assert line.endswith(";")


def test_a_failed_program_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError) as caught:
        _command("ls", str(tmp_path / "nowhere"))
    assert "nowhere" in str(caught.value.cause)

    with pytest.raises(UnreachableError) as caught:
        _command(str(tmp_path / "no-such-program"))
    assert "could not be started" in caught.value.message


@pytest.mark.long
def test_an_image_is_built_from_nothing_by_one_of_two_builders(
    lab: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with ThreadPoolExecutor() as pool:
        images = set(pool.map(lambda _: base_image("systemd", packages=("cron",)), range(2)))

    (image,) = images
    assert {path.suffix for path in image.parent.iterdir()} == {".ext4", ".lock"}
    with LabHost("systemd", packages=("cron",)) as host:
        host.run(["apt-get", "install", "-y", "cron"])
        assert host.units()["cron.service"] == "active/running"


@pytest.mark.long
def test_a_package_that_does_not_exist_leaves_no_image(
    lab: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with pytest.raises(UnreachableError) as caught:
        base_image("plain", packages=("no-such-package",))

    assert "no-such-package" in str(caught.value.cause)
    assert [path.name for path in cache_folder().glob("plain-*.ext4")] == []


def test_setup_is_idempotent(lab: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup", "plain"]) == 0
    assert "image for a plain host" in capsys.readouterr().err
    assert (missing_programs(), obstacle()) == ([], None)


def test_setup_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup", "windows"]) == 2
    assert "usage:" in capsys.readouterr().err
