"""State data whose policy is `snapshot`: copied while their service stands still, and back with a rollback."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from workflow_agent.testing.lab import LabHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.system.machine import Answer, Machine

    from workflow_agent.testing.lab import FileRecord
else:
    from machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.slow]
DATA = "/var/lib/wa-keeper"
_MANIFEST = """
schema: workflow-agent/integration/1
name: keeper
version: VERSION
description: Of a test.
category: test
platforms: [{family: debian, os: [debian]}]
actions: {install: {template: install}, uninstall: {template: uninstall}}
services: [{name: wa-keeper, argv: [/usr/local/bin/wa-keeper], exe: /bin/sleep, sysvinit: false}]
checks: [{id: format, kind: file, path: /var/lib/wa-keeper/format, contains: "VERSION"}]
negative_checks: [{id: gone, kind: file, path: /usr/local/bin/wa-keeper, exists: false}]
state_data: [{path: /var/lib/wa-keeper, policy: snapshot}]
"""
#: The newer program changes what the older one wrote, as a database does when it is started anew.
_INSTALL = """
set -eu
mkdir -p /var/lib/wa-keeper
cat >/usr/local/bin/wa-keeper <<'END'
#!/bin/sh
echo VERSION >/var/lib/wa-keeper/format
MIGRATES
exec /bin/sleep 100000
END
chmod 755 /usr/local/bin/wa-keeper
cat >/etc/systemd/system/wa-keeper.service <<'END'
[Service]
ExecStart=/usr/local/bin/wa-keeper
[Install]
WantedBy=multi-user.target
END
"""
_UNINSTALL = """
set -eu
rm -f /usr/local/bin/wa-keeper /etc/systemd/system/wa-keeper.service
"""
EACH = pytest.mark.parametrize("machine", ["plain", pytest.param("systemd", marks=pytest.mark.systemd)], indirect=True)


@pytest.fixture
def machine(
    machines: Callable[..., AbstractContextManager[Machine]], request: pytest.FixtureRequest
) -> Iterator[Machine]:
    with machines(getattr(request, "param", "plain")) as made:
        yield made


def keeper(machine: Machine, version: str, migrates: str = "true") -> str:
    """Write the integration in a version; gives its folder as it is typed."""
    folder = machine.integration("keeper", _INSTALL.replace("VERSION", version).replace("MIGRATES", migrates))
    place = machine.folder / folder
    (place / "integration.yaml").write_text(_MANIFEST.replace("VERSION", version), encoding="utf-8")
    (place / "templates/uninstall.sh.j2").write_text(_UNINSTALL, encoding="utf-8")
    return folder


def installed(machine: Machine) -> dict[str, FileRecord]:
    """Install version 1.0.0 and give it data of all kinds; tells what they look like."""
    assert machine.json("install", keeper(machine, "1.0.0"), "--yes").code == 0
    data = machine.host.root / DATA.lstrip("/")
    precious = data / "precious"
    precious.write_bytes(b"precious\n")
    precious.chmod(0o640)
    os.chown(precious, 1234, 1234)
    os.setxattr(precious, "user.note", b"of somebody")
    os.utime(precious, ns=(1_000_000_001, 1_000_000_002))
    (data / "other name").hardlink_to(precious)
    (data / "link").symlink_to("precious")
    (data / "folder").mkdir(mode=0o700)
    (data / "folder" / "large").write_bytes(b"x" * (3 << 20))
    return look(machine)


def upgrade(machine: Machine, **more: dict[str, str]) -> Answer:
    migrates = "rm -f /var/lib/wa-keeper/precious; echo newer >/var/lib/wa-keeper/newer"
    return machine.json("upgrade", keeper(machine, "2.0.0", migrates), "--yes", **more)


def look(machine: Machine) -> dict[str, FileRecord]:
    """Read the data and the folder in which they lie."""
    found = machine.host.digest()
    return {name: record for name, record in found.items() if name == "/var/lib" or f"{name}/".startswith(f"{DATA}/")}


def copies(machine: Machine) -> list[Path]:
    return sorted((machine.host.root / ".workflow-agent/tx").glob("*/data"))


def running(machine: Machine) -> int:
    return sum(one.arguments[-1:] == ("100000",) for one in machine.host.processes())


@EACH
def test_a_rollback_of_an_upgrade_brings_the_data_back_as_they_were_and_the_newer_ones_come_again(
    machine: Machine,
) -> None:
    before = installed(machine)

    run = upgrade(machine).data

    assert [(one["path"], one["entries"]) for one in run["copied"]] == [(DATA, 7)]
    assert run["copied"][0]["bytes"] >= 3 << 20
    newer = look(machine)
    assert f"{DATA}/precious" not in newer
    assert f"{DATA}/newer" in newer
    shown = machine.cli("rollback", run["run_id"], "--plan")
    assert "data back" in shown.out, str(shown)

    taken_back = machine.json("rollback", run["run_id"], "--yes").data
    assert look(machine) | {f"{DATA}/format": before[f"{DATA}/format"]} == before  # the service wrote it once more
    assert (machine.host.root / DATA.lstrip("/") / "format").read_text(encoding="utf-8") == "1.0.0\n"
    assert running(machine) == 1

    assert machine.json("rollback", taken_back["run_id"], "--yes").code == 0
    again = look(machine)
    assert again.keys() == newer.keys()
    assert (machine.host.root / DATA.lstrip("/") / "format").read_text(encoding="utf-8") == "2.0.0\n"
    assert running(machine) == 1


def test_data_that_are_to_be_kept_stay_as_they_are(machine: Machine) -> None:
    installed(machine)
    run = upgrade(machine).data

    assert machine.json("rollback", run["run_id"], "--yes", "--keep-data").code == 0

    assert f"{DATA}/newer" in look(machine)


@EACH
def test_an_upgrade_that_fails_gives_the_data_back(machine: Machine) -> None:
    before = installed(machine)
    folder = keeper(machine, "2.0.0", "rm -f /var/lib/wa-keeper/precious; echo broken >/var/lib/wa-keeper/format")

    failed = machine.json("upgrade", folder, "--yes")

    assert failed.code == 9, str(failed)
    assert look(machine) | {f"{DATA}/format": before[f"{DATA}/format"]} == before
    assert running(machine) == 1


@EACH
def test_an_uninstall_copies_what_it_leaves_and_a_prune_gives_the_copy_up(machine: Machine) -> None:
    before = installed(machine)

    run = machine.json("uninstall", "keeper", "--yes").data

    assert [one["path"] for one in run["copied"]] == [DATA]
    assert look(machine) == before
    (copy,) = copies(machine)
    assert (copy / "0/precious").read_bytes() == b"precious\n"
    assert machine.json("history", "prune", "--yes", "--keep", "0").data["pruned"]["bytes"] >= 3 << 20
    assert copies(machine) == []
    assert look(machine) == before


@pytest.mark.parametrize(
    "machine", ["docker-plain", pytest.param("docker-systemd", marks=pytest.mark.systemd)], indirect=True
)
def test_in_a_container_data_are_kept_as_they_are_and_nothing_claims_a_copy(machine: Machine) -> None:
    installed(machine)

    run = upgrade(machine).data
    assert (run["copied"], copies(machine)) == ([], [])
    assert "data back" not in machine.cli("rollback", run["run_id"], "--plan").out
    assert machine.json("rollback", run["run_id"], "--yes").code == 0

    kept = look(machine)
    assert f"{DATA}/newer" in kept
    assert f"{DATA}/precious" not in kept
    assert (machine.host.root / DATA.lstrip("/") / "format").read_text(encoding="utf-8") == "1.0.0\n"
    assert running(machine) == 1


@pytest.mark.parametrize("point", ["data.copying", "data.copied"])
def test_a_process_that_is_killed_while_it_copies_leaves_what_was_before(machine: Machine, point: str) -> None:
    before = installed(machine)

    killed = upgrade(machine, environ={"WORKFLOW_AGENT_FAILPOINT": point})
    assert killed.code == -signal.SIGKILL
    assert running(machine) == 0  # it was stopped for the copy; the next command settles that
    run = upgrade(machine).data

    assert run["status"] == "succeeded"
    assert len(copies(machine)) == 1
    assert machine.json("rollback", run["run_id"], "--yes").code == 0
    assert look(machine) | {f"{DATA}/format": before[f"{DATA}/format"]} == before
    assert running(machine) == 1


@pytest.mark.parametrize("at", ["transaction.commit.operation", "transaction.committed"])
def test_newer_data_that_were_coming_again_when_the_process_died_go_back_with_their_program(
    machine: Machine, at: str
) -> None:
    """A rollback of a rollback sets the older data aside first: they may not be lost."""
    before = installed(machine)
    run = upgrade(machine).data["run_id"]
    taken_back = machine.json("rollback", run, "--yes").data["run_id"]

    killed = machine.json("rollback", taken_back, "--yes", environ={"WORKFLOW_AGENT_FAILPOINT": at})
    assert killed.code == -signal.SIGKILL
    assert machine.json("recover").code == 0

    assert look(machine) | {f"{DATA}/format": before[f"{DATA}/format"]} == before
    assert (machine.host.root / DATA.lstrip("/") / "format").read_text(encoding="utf-8") == "1.0.0\n"
    assert running(machine) == 1
    assert len(copies(machine)) == 1, "the newer ones are kept"
    assert machine.json("rollback", taken_back, "--yes").code == 0
    assert f"{DATA}/newer" in look(machine)
    assert running(machine) == 1


def test_a_full_disk_refuses_the_upgrade_before_anything_changes(
    tmp_path_factory: pytest.TempPathFactory, lab: None
) -> None:
    with LabHost("plain") as host:
        machine = Machine(host=host, folder=tmp_path_factory.mktemp("machine"))
        installed(machine)
        large = host.root / DATA.lstrip("/") / "folder/large"
        large.write_bytes(os.urandom(64 << 20))
        before = look(machine)
        free = os.statvfs(host.root)
        host.run(["fallocate", "-l", str(free.f_bfree * free.f_frsize - (40 << 20)), "/srv/full"])

        refused = upgrade(machine)

        assert refused.code in {1, 9}, str(refused)
        assert "cannot be copied" in str(refused.error), str(refused)
        assert look(machine) | {f"{DATA}/format": before[f"{DATA}/format"]} == before
        assert running(machine) == 1
        assert copies(machine) == []
        host.run(["rm", "/srv/full"])
        assert [one["path"] for one in upgrade(machine).data["copied"]] == [DATA]
