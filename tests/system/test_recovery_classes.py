"""Real failures on a host: their class, what was done about it, the evidence, and that the host is as before."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.machine import APPENDED_LOGS, Answer, Machine
else:
    from machine import APPENDED_LOGS

APT = "apt-get -q update -o Dir::Etc::sourceparts=- -o Acquire::Retries=0 -o APT::Update::Error-Mode=any"
SOON = {"WORKFLOW_AGENT_RECOVERY__FIRST_PAUSE_S": "0.05", "WORKFLOW_AGENT_RECOVERY__LOCK_PAUSE_S": "0.05"}
#: A package source of which nobody listens, and one that nobody signed.
DOWN = f"""\
echo 'deb http://deb.example.com/debian bookworm main' > /opt/list
{APT} -o Dir::Etc::sourcelist=/opt/list -o Acquire::http::Proxy=http://127.0.0.1:9
"""
UNSIGNED = f"""\
mkdir -p /opt/packages
: > /opt/packages/Packages
printf 'Suite: x\\nDate: Fri, 01 Nov 2024 00:00:00 UTC\\n' > /opt/packages/Release
echo 'deb file:/opt/packages ./' > /opt/list
{APT} -o Dir::Etc::sourcelist=/opt/list
"""
#: Tries to write a file to a file system that is full.
FULL = "head -c 40000000 /dev/zero > /srv/small/big\n"


def failure(answer: Answer) -> dict[str, Any]:
    """What the error says of its class."""
    found = answer.error["details"]
    found = found.get("details", found)["failure"]
    assert isinstance(found, dict)
    return found


def attempts(machine: Machine, answer: Answer) -> list[dict[str, Any]]:
    """What history has of the failed attempts of a run."""
    shown = machine.json("show", answer.error["run_id"]).data
    found: list[dict[str, Any]] = shown["attempts"]
    return found


def test_a_package_source_that_is_down_is_tried_again_and_each_attempt_leaves_its_evidence(machine: Machine) -> None:
    before, kept = machine.world(), machine.transactions()
    answer = machine.json("install", machine.integration("down", DOWN), "--yes", environ=SOON)

    assert answer.code == 1, str(answer)
    assert (failure(answer)["class"], failure(answer)["attempt"]) == ("network", 3)
    assert "Could not connect to 127.0.0.1:9" in answer.error["cause"]
    assert "package sources" in answer.error["hint"]
    machine.assert_as(before)
    assert machine.transactions() == kept
    found = attempts(machine, answer)
    assert [(one["attempt"], one["class"], one["decision"]) for one in found] == [
        (1, "network", "retry"),
        (2, "network", "retry"),
        (3, "network", "retry"),
    ]
    assert [one["pause_s"] for one in found] == [0.05, pytest.approx(0.15), None]
    for one in found:
        folder = Path(one["folder"])
        assert "Connection refused" in (folder / "output.log").read_text(encoding="utf-8")
        evidence = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
        assert "/opt/list" in [entry["path"] for entry in evidence["staged"]["entries"]]
    shown = machine.cli("show", answer.error["run_id"]).out
    assert "attempt   1 of prepare failed (network), tried again after 0.05 s" in shown
    logs = machine.cli("logs", answer.error["run_id"])
    assert "attempt 1 of prepare failed (network); its output: " in logs.err


def test_a_lock_that_is_given_back_is_waited_for_and_the_run_succeeds(machine: Machine) -> None:
    before = machine.world()
    folder = machine.integration("patient", "mkdir /opt/patient && touch /opt/patient/done\n")
    settings = SOON | {
        "WORKFLOW_AGENT_TIMEOUTS__PACKAGE_LOCK_S": "0.1",
        "WORKFLOW_AGENT_RECOVERY__LOCK_ATTEMPTS": "20",
    }
    with (machine.host.root / "var/lib/dpkg/lock-frontend").open("rb+") as lock:
        fcntl.fcntl(lock, fcntl.F_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        with machine.running("install", folder, "--yes", "--verbose", environ=settings) as running:
            running.wait_for(r"waiting +prepare")
            lock.close()
            assert running.finish().code == 0
    (run,) = machine.json("history", "--limit", "1").data["items"]
    shown = machine.json("show", run["run_id"]).data
    assert {one["class"] for one in shown["attempts"]} == {"lock"}
    assert "lock-frontend" in shown["attempts"][0]["cause"]
    (step,) = [step for step in shown["steps"] if step["id"] == "prepare"]
    assert step["attempt"] == len(shown["attempts"]) + 1
    assert machine.json("rollback", "--yes").code == 0
    machine.assert_as(before)


#: A script, its class, and what the error's cause says.
HOPELESS = (
    (UNSIGNED, "signature", "is not signed"),
    ("apt-get -q install -y no-such-package\n", "missing-dependency", "Unable to locate package"),
    ("setpriv --reuid=65534 --regid=65534 --clear-groups touch /etc/x\n", "permission", "Permission denied"),
    ("sleep 600\n", "time-out", "did not end within 2 s"),
)


def test_what_no_other_attempt_can_mend_stops_at_once(machine: Machine) -> None:
    before = machine.world()
    for script, name, said in HOPELESS:
        folder = machine.integration("failing", script)
        answer = machine.json("install", folder, "--yes", "--timeout", "2", environ=SOON)

        assert answer.code == 1, str(answer)
        assert failure(answer)["class"] == name
        assert failure(answer)["decision"] == "stop"
        assert answer.error["cause"].startswith(f"{name}: ")
        assert said in answer.error["cause"]
        assert answer.error["hint"]
        assert [one["class"] for one in attempts(machine, answer)] == [name]
    machine.assert_as(before)


@pytest.fixture
def small_disk(machine: Machine, tmp_path: Path) -> Iterator[str]:
    """A file system of 8 MiB at /srv/small on the host."""
    image = tmp_path / "disk.ext4"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    attached = subprocess.run(["losetup", "-f", "--show", str(image)], check=True, capture_output=True, text=True)
    device = attached.stdout.strip()
    number = Path(device).stat().st_rdev
    node = f"mknod /srv/disk b {os.major(number)} {os.minor(number)}"
    try:
        machine.host.run(["sh", "-euc", f"{node}; mkdir /srv/small; mount -t ext4 /srv/disk /srv/small; rm /srv/disk"])
        yield "/srv/small"
        machine.host.run(["sh", "-euc", "umount -l /srv/small; rmdir /srv/small"])
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


def test_a_full_disk_is_named_with_what_is_left_on_it(machine: Machine, small_disk: str) -> None:
    answer = machine.json("install", machine.integration("full", FULL), "--yes")

    assert answer.code == 1, str(answer)
    assert failure(answer)["class"] == "disk"
    assert f"no space left on {small_disk}: " in answer.error["cause"]
    assert " free of 7" in answer.error["cause"], answer.error["cause"]
    assert not (machine.host.root / "srv/small/big").exists()


def test_a_port_that_is_taken_is_named_with_its_holder_and_everything_is_taken_back(machine: Machine) -> None:
    enter = ["nsenter", f"--target={machine.host.pid}", "-m", "-n", "-p", "-r", "-w", "--"]
    listener = "IO::Socket::INET->new(LocalPort => 9100, Listen => 1, ReuseAddr => 1)"  # an earlier test had it
    holder = f"$| = 1; $s = {listener} or die; print qq(on\\n); sleep 600"
    with subprocess.Popen([*enter, "perl", "-MIO::Socket::INET", "-e", holder], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"on\n"
            before = machine.world()
            answer = machine.json("install", "prometheus-node-exporter", "--yes", environ=SOON)

            assert answer.code == 9, str(answer)
            assert failure(answer) | {"evidence": ""} == {
                "class": "port-in-use",
                "source": "output",
                "evidence": "",
                "decision": "roll-back",
                "attempt": 1,
            }
            assert answer.error["cause"].startswith("port-in-use: port 9100 is taken by perl (pid "), str(answer)
            machine.assert_as(before, logs=APPENDED_LOGS)
        finally:
            for one in machine.host.processes():
                if holder in one.arguments:  # a child of nsenter, which would outlive it
                    os.kill(one.pid, signal.SIGKILL)
