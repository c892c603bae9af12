"""How near a plan came to what it gave: what it named is compared once everything works, and kept in history."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.slow]

_SCRIPT = """
set -eu
mkdir /opt/near; echo one > /opt/near/one.conf; echo two > /opt/near/two.conf; touch /opt/near/done
"""
_LATER = """
effects:
  - id: settings
    kind: declared
    description: What the running system makes of its own folder.
    do: {argv: [/bin/chmod, "700", /opt/near]}
    undo: {argv: [/bin/chmod, "755", /opt/near]}
    probe: {argv: [/usr/bin/stat, -c, "%a", /opt/near], stdout_contains: "700"}
"""
_TWO_VERSIONS = "set -eu\nmkdir -p /opt/edited; echo {} > /opt/edited/app.conf; touch /opt/edited/done\n"


def test_what_is_as_the_plan_said_is_counted(machine: Machine) -> None:
    run = machine.json("install", machine.integration("near", _SCRIPT), "--yes").data
    (measured,) = machine.json("show", run["run_id"]).data["accuracy"]

    assert measured["compared"]
    assert measured["planned"] == len(run["changes"]["items"]) > 0
    assert (measured["integration"], measured["items"]) == ("near", [])
    assert f"{measured['planned']} of {measured['planned']} paths as planned" in machine.cli("show", run["run_id"]).out
    assert machine.json("rollback", "--yes").code == 0


def test_what_became_otherwise_is_named_and_can_be_asked_for_in_the_database(machine: Machine) -> None:
    """An installed path that is gone or another one fails the run; in what is left it may be otherwise."""
    run = machine.json("install", machine.integration("near", _SCRIPT, more=_LATER), "--yes").data
    (measured,) = machine.json("show", run["run_id"]).data["accuracy"]

    found = [(item["path"], item["state"], item["aspects"]) for item in measured["items"]]
    assert found == [("/opt/near", "attributes", ["mode"])]
    text = machine.cli("show", run["run_id"]).out
    assert f"{measured['planned'] - 1} of {measured['planned']} paths as planned" in text
    assert "attributes /opt/near (mode)" in text
    question = """
        SELECT json_extract(item.value, '$.path') FROM records AS r, json_each(r.data, '$.items') AS item
        WHERE r.kind = 'accuracy' AND r.run_id = ?"""
    with closing(sqlite3.connect(f"file:{machine.state}/workflow-agent.db?mode=ro", uri=True)) as database:
        assert [row[0] for row in database.execute(question, (run["run_id"],))] == [path for path, _, _ in found]
    assert machine.json("rollback", "--yes").code == 0


def test_an_edit_that_an_upgrade_leaves_is_otherwise_than_planned(machine: Machine) -> None:
    folder = machine.integration("edited", _TWO_VERSIONS.format("one"))
    assert machine.json("install", folder, "--yes").code == 0
    machine.host.run(["sh", "-c", "echo mine >> /opt/edited/app.conf"])
    machine.integration("edited", _TWO_VERSIONS.format("two"))
    manifest = machine.folder / folder / "integration.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("1.0.0", "2.0.0"), encoding="utf-8")
    run = machine.json("upgrade", folder, "--yes", "--theirs", "/opt/edited/app.conf").data
    (measured,) = machine.json("show", run["run_id"]).data["accuracy"]

    assert [(item["path"], item["state"]) for item in measured["items"]] == [("/opt/edited/app.conf", "kept")]
    assert machine.json("rollback", "--yes").code == 0
    assert machine.json("rollback", "--yes", "--force").code == 0


def test_a_script_of_ones_own_is_measured_too(machine: Machine) -> None:
    script = machine.folder / "own.sh"
    script.write_text("echo here > /srv/own-accuracy\n", encoding="utf-8")
    run = machine.json("apply", str(script), "--yes").data
    (measured,) = machine.json("show", run["run_id"]).data["accuracy"]

    assert (measured["integration"], measured["items"]) == (None, [])
    assert measured["planned"] == len(run["changes"]["items"])
    assert machine.json("rollback", "--yes").code == 0
