"""What an integration requires comes with it, in one run: before it, taken back after it, untouched where it works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.system.machine import Machine, World

pytestmark = [pytest.mark.root, pytest.mark.slow]

DONE = "set -eu\nmkdir -p /opt/{0}\necho {0} >>/opt/order\ntouch /opt/{0}/done\n"
#: Needs what its requirement leaves on the target.
NEEDING = "set -eu\ntest -e /opt/below/done\n" + DONE.format("above")
GONE = "negative_checks: [{{id: gone, kind: file, path: /opt/{0}/done, exists: false}}]\n"


@pytest.fixture
def before(machine: Machine) -> World:
    folder = machine.folder / "config"
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text(f'[integrations]\nfolders = ["{machine.folder}/own"]\n', encoding="utf-8")
    for name in ("below", "above", "top"):
        write(machine, name)
    return machine.world()


def write(machine: Machine, name: str, *, script: str = "", requires: str = "", more: str = "") -> None:
    needs = {"below": "[]", "above": "[below]", "top": "[above]"}[name]
    usual = NEEDING if name == "above" else DONE.format(name)
    more = f"requires: {requires or needs}\n{GONE.format(name)}{more}"
    machine.integration(name, script or usual, more=more)


def statuses(run: dict[str, Any]) -> dict[str, str]:
    return {step["id"]: step["status"] for step in run["steps"]}


def exists(machine: Machine, path: str) -> bool:
    return (machine.host.root / path.lstrip("/")).exists()


def test_missing_requirements_come_first_and_go_last(machine: Machine, before: World) -> None:
    done = machine.json("install", "top", "--yes").data
    assert (done["status"], done["integration"], done["changed"]) == ("succeeded", "top", True)
    assert (machine.host.root / "opt/order").read_text(encoding="utf-8") == "below\nabove\ntop\n"
    assert statuses(done)["below_commit"] == "succeeded"
    taken = machine.json("rollback", "--yes").data
    assert (taken["status"], taken["undoes"], taken["integration"]) == ("succeeded", done["run_id"], "top")
    machine.assert_as(before)
    again = machine.json("rollback", taken["run_id"], "--yes").data
    assert again["status"] == "succeeded"
    assert (machine.host.root / "opt/order").read_text(encoding="utf-8") == "below\nabove\ntop\n"
    assert machine.json("show", done["run_id"]).data["status"] == "succeeded"
    assert machine.json("rollback", done["run_id"], "--yes").data["status"] == "succeeded"
    machine.assert_as(before)
