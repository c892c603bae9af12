"""An upgrade or a repair that would write over an edited configuration file: asked about, refused, or decided."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.system.machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.slow]

_SCRIPT = """
mkdir -p /etc/wa-edits /opt/wa-edits
echo version={0} >/etc/wa-edits/main.conf
echo more={0} >/etc/wa-edits/more.conf
echo {0} >/opt/wa-edits/version
"""
_EDITS = "echo mine >/etc/wa-edits/main.conf; echo 'my own' >>/etc/wa-edits/more.conf"
_PATHS = ["/etc/wa-edits/main.conf", "/etc/wa-edits/more.conf"]


def write(machine: Machine, version: int) -> str:
    """Write a version of the integration; gives its folder as it is typed."""
    checks = "- {id: there, kind: file, path: /opt/wa-edits/version}"
    folder = machine.integration("edits", "set -eu\n" + _SCRIPT.format(version), checks=checks)
    manifest = machine.folder / folder / "integration.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("1.0.0", f"{version}.0.0"), encoding="utf-8")
    return folder


def text(machine: Machine) -> str:
    return machine.host.run(["sh", "-c", "cat /etc/wa-edits/* /opt/wa-edits/version"]).stdout


class Edited:
    """A host with the integration installed, and both of its configuration files edited since."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.before = machine.world()
        self.folder = write(machine, 1)
        self.first: str = machine.json("install", self.folder, "--yes").data["run_id"]
        machine.host.run(["sh", "-c", _EDITS])
        write(machine, 2)
        self.world = machine.world()

    def taken_back(self) -> None:
        """Roll the last run back: everything is as it was edited."""
        assert self.machine.json("rollback", "--yes").code == 0
        self.machine.assert_as(self.world)


@pytest.fixture(scope="module")
def edited(machines: Callable[..., AbstractContextManager[Machine]]) -> Iterator[Edited]:
    with machines("plain") as machine:
        one = Edited(machine)
        yield one
        assert machine.json("rollback", one.first, "--force", "--yes").code == 0
        machine.assert_as(one.before)


def test_where_nobody_can_be_asked_it_is_refused_with_the_commands_that_decide(edited: Edited) -> None:
    machine, folder = edited.machine, edited.folder
    refused = machine.json("upgrade", folder, "--yes")
    assert refused.code == 6, str(refused)
    assert refused.error["code"] == "conflict.paths"
    assert [one["path"] for one in refused.error["details"]["conflicts"]] == _PATHS
    assert refused.error["details"]["conflicts"][0]["run_id"] == edited.first
    assert "-version=1\n" in machine.cli("upgrade", folder, "--yes").err
    assert f"--theirs {_PATHS[0]} --theirs {_PATHS[1]}`" in refused.error["hint"]
    assert refused.error["hint"].endswith("--force`")

    wrong = machine.json("upgrade", folder, "--theirs", "/etc/wa-edits/main.con", "--force", "--yes")
    assert (wrong.code, "did you mean" in wrong.error["hint"]) == (2, True), str(wrong)
    assert machine.cli("upgrade", folder, "--force", "--plan").code == 2
    assert machine.cli("upgrade", folder, "--theirs", "main.conf", "--yes").code == 2
    planned = machine.json("upgrade", folder, "--plan").data["plan"]["change_set"]
    assert [one["path"] for one in planned["edits"]] == _PATHS
    machine.assert_as(edited.world)


def test_what_stays_is_no_part_of_the_upgrade_or_of_its_rollback(edited: Edited) -> None:
    machine = edited.machine
    upgraded = machine.json("upgrade", edited.folder, "--theirs", _PATHS[0], "--force", "--yes")
    assert text(machine) == "mine\nmore=2\n2\n"
    assert [(one["path"], one["decision"]) for one in upgraded.data["decisions"]] == [(_PATHS[0], "theirs")]
    assert _PATHS[0] not in [item["path"] for item in upgraded.data["changes"]["items"]]
    assert [_PATHS[1] in warning for warning in upgraded.envelope["warnings"]] == [True]
    edited.taken_back()


def test_a_person_is_asked_about_each(edited: Edited) -> None:
    with edited.machine.running("upgrade", edited.folder, terminal=True) as running:
        running.wait_for(r"somebody edited configuration files")
        running.wait_for(r"main\.conf[\s\S]*\+mine[\s\S]*\[k/t/d/A\]")
        running.type("d\n")
        running.wait_for(r"\+version=2")
        running.type("t\n")
        running.wait_for(r"more\.conf[\s\S]*\[k/t/d/A\]")
        running.type("what?\n")
        running.wait_for(r"please answer")
        running.type("k\n")
        running.wait_for(r"stays[^/]*/etc/wa-edits/more\.conf[\s\S]*Upgrade this\?")
        running.type("y\n")
        answer = running.finish()
    assert answer.code == 0, str(answer)
    assert text(edited.machine) == "version=2\nmore=1\nmy own\n2\n"
    edited.taken_back()


def test_no_answer_is_an_abort(edited: Edited) -> None:
    with edited.machine.running("upgrade", edited.folder, terminal=True) as running:
        running.wait_for(r"\[k/t/d/A\]")
        running.type("\n")
        assert running.finish().code == 1
    edited.machine.assert_as(edited.world)


def test_a_repair_asks_the_same(edited: Edited) -> None:
    machine = edited.machine
    lost = machine.host.root / "opt/wa-edits/version"
    aside = machine.host.root / "opt/wa-edits-version"
    lost.rename(aside)
    write(machine, 1)
    refused = machine.json("repair", edited.folder, "--yes")
    assert (refused.code, refused.error["where"]) == (6, _PATHS[0]), str(refused)
    assert "repair" in refused.error["hint"]
    assert machine.json("repair", edited.folder, "--theirs", "/etc/wa-edits", "--yes").code == 0
    assert text(machine) == "mine\nmore=1\nmy own\n1\n"
    assert machine.json("rollback", "--yes").code == 0
    aside.rename(lost)
    os.utime(lost.parent, ns=(0, edited.world.files["/opt/wa-edits"].mtime_ns))
    os.utime(lost.parent.parent, ns=(0, edited.world.files["/opt"].mtime_ns))
    write(machine, 2)
    machine.assert_as(edited.world)
