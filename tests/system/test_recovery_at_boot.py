"""Killed in the middle of a commit, then the host boots: everything is back before the first service starts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from workflow_agent.testing.lab import diff
from workflow_agent.testing.lab.image import DEFAULT_PACKAGES

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.system.machine import Machine

    from workflow_agent.testing.lab import FileRecord

pytestmark = [pytest.mark.root, pytest.mark.slow]

UNIT = "workflow-agent-recover.service"
SCRIPT = """
mkdir -p /opt/half/deep; for i in 1 2 3; do echo $i > /opt/half/deep/$i; done
echo changed > /etc/motd; echo changed > /opt/there; rm /opt/goes; rm -r /opt/folder; mkdir /opt/folder
chmod 711 /opt/mode
"""
#: What a boot itself writes.
_BOOT = (
    "/var/log/",
    "/var/lib/systemd/",
    "/etc/machine-id",
    "/var/tmp",
    "/etc/.pwd.lock",
    "/var/cache/",
    "/etc/resolv",
)


def ours(records: dict[str, FileRecord]) -> dict[str, FileRecord]:
    return {path: one for path, one in records.items() if not path.startswith(_BOOT)}


def property_of(machine: Machine, unit: str, name: str) -> str:
    return machine.host.run(["systemctl", "show", unit, f"--property={name}", "--value"]).stdout.strip()


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="what is compiled for this Python cannot run on Debian 12's"
)
def test_an_interrupted_commit_is_taken_back_before_services_start(
    machines: Callable[..., AbstractContextManager[Machine]],
) -> None:
    with machines("systemd", packages=(*DEFAULT_PACKAGES, "python3")) as machine:
        machine.host.run(["apt-get", "install", "-y", "--no-install-recommends", "python3"])
        machine.carry_in()
        look = {one["check"]: one for one in machine.inside("doctor")["items"]}["recovery at boot"]
        assert (look["status"], "--install-unit" in look["fix"]) == ("warn", True)
        assert machine.inside("recover", "--install-unit")["installed"] is True
        look = {one["check"]: one for one in machine.inside("doctor")["items"]}["recovery at boot"]
        assert look["status"] == "ok", look
        machine.host.run(["sh", "-c", "cd /opt; echo x > there; echo x > goes; mkdir folder mode; echo 1 > folder/1"])
        (machine.folder / "half.sh").write_text(SCRIPT, encoding="utf-8")
        before = machine.host.digest()

        for verb, passage in (("commit", 4), ("undo", 3)):
            point = {"WORKFLOW_AGENT_FAILPOINT": f"transaction.{verb}.operation:{passage}"}
            if verb == "undo":
                run = machine.json("apply", "half.sh", "--yes").data["run_id"]
                assert machine.cli("rollback", run, "--yes", environ=point).code == -9
            else:
                assert machine.cli("apply", "half.sh", "--yes", environ=point).code == -9
            assert diff(ours(before), ours(machine.host.digest())), "killed in the middle"

            machine.host.power_off()
            machine.host.start()
            assert diff(ours(before), ours(machine.host.digest())) == []
            assert property_of(machine, UNIT, "Result") == "success"
            ended = int(property_of(machine, UNIT, "ExecMainExitTimestampMonotonic"))
            assert 0 < ended <= int(property_of(machine, "sysinit.target", "ActiveEnterTimestampMonotonic"))
            told = machine.host.run(["journalctl", "-b", "-u", UNIT, "--output=cat"], check=False).stdout
            assert "interrupted, taken back" in told

            # History hears of it from the next command; there is nothing left to take back.
            (item,) = machine.json("recover").data["items"]
            assert (item["transactions"], len(item["runs"])) == ([], 1)
            assert machine.json("show", item["runs"][0]).data["status"] in {"rolled-back", "succeeded"}
            assert "nothing was interrupted" in machine.cli("recover").out
            assert diff(ours(before), ours(machine.host.digest())) == []

        assert machine.inside("recover", "--remove-unit")["state"] == "removed"
        assert machine.inside("recover", "--remove-unit")["state"] == "it was not there"
        left = machine.host.run(["find", "/etc", "-name", "workflow-agent-recover*"]).stdout
        assert left == ""


def test_by_hand_it_takes_back_what_was_interrupted_now(machine: Machine) -> None:
    before = machine.world()
    (machine.folder / "half.sh").write_text(
        "mkdir /opt/half; echo 1 > /opt/half/1; echo x > /etc/motd\n", encoding="utf-8"
    )
    point = {"WORKFLOW_AGENT_FAILPOINT": "transaction.commit.operation:2"}
    assert machine.cli("apply", "half.sh", "--yes", environ=point).code == -9
    assert before.differences(machine.world(), machine.host.root)

    (item,) = machine.json("recover").data["items"]
    assert (len(item["transactions"]), len(item["runs"])) == (1, 1)
    machine.assert_as(before)
    assert machine.json("show", item["runs"][0]).data["status"] == "rolled-back"
    refused = machine.json("recover", "--install-unit")
    assert (refused.code, refused.error["code"]) == (2, "usage"), "this installation is not on the host"
    for arguments in (("--install-unit", "--remove-unit"), ("--install-unit", "--target", "docker:x")):
        assert machine.cli("recover", *arguments).code == 2
    machine.assert_as(before)
