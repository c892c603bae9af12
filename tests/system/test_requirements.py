"""What an integration requires comes with it, in one run: before it, taken back after it, untouched where it works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.system.machine import Machine, World

pytestmark = [pytest.mark.root, pytest.mark.slow]

DONE = "set -eu\nmkdir -p /opt/{0}\ntouch /opt/{0}/done\n"
#: What has to be there when a script runs: what it requires, and nothing of what requires it.
FIRST = {"below": "test ! -e /opt/above", "above": "test -e /opt/below/done", "top": "test -e /opt/above/done"}
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
    usual = f"{FIRST[name]} || exit 4\n{DONE.format(name)}"
    more = f"requires: {requires or needs}\n{GONE.format(name)}{more}"
    machine.integration(name, script or usual, more=more)


def statuses(run: dict[str, Any]) -> dict[str, str]:
    return {step["id"]: step["status"] for step in run["steps"]}


def exists(machine: Machine, path: str) -> bool:
    return (machine.host.root / path.lstrip("/")).exists()


def test_missing_requirements_come_first_and_go_last(machine: Machine, before: World) -> None:
    done = machine.json("install", "top", "--yes").data
    assert (done["status"], done["integration"], done["changed"]) == ("succeeded", "top", True)
    assert statuses(done)["below_commit"] == "succeeded"
    taken = machine.json("rollback", "--yes").data
    assert (taken["status"], taken["undoes"], taken["integration"]) == ("succeeded", done["run_id"], "top")
    machine.assert_as(before)
    again = machine.json("rollback", taken["run_id"], "--yes").data
    assert again["status"] == "succeeded"
    assert [machine.json("verify", name).code for name in ("below", "above", "top")] == [0, 0, 0]
    assert machine.json("show", done["run_id"]).data["status"] == "succeeded"
    assert machine.json("rollback", done["run_id"], "--yes").data["status"] == "succeeded"
    machine.assert_as(before)


def test_the_report_says_what_belongs_to_what(machine: Machine, before: World) -> None:
    done = machine.json("install", "above", "--yes").data
    assert [(one["integration"], one["required_by"], one["state"]) for one in done["requirements"]] == [
        ("below", ["above"], "installed")
    ]
    assert {item["integration"] for item in done["changes"]["items"]} == {"below", "above"}
    assert [check["integration"] for check in done["checks"]] == ["below", "above"]
    assert done["generation"]["integration"] == "above"
    assert machine.json("rollback", done["run_id"], "--yes").code == 0
    machine.assert_as(before)


def test_what_works_is_left_alone_and_keeps_what_requires_it_from_losing_it(machine: Machine, before: World) -> None:
    first = machine.json("install", "below", "--yes").data
    second = machine.json("install", "above", "--yes").data
    assert [one["state"] for one in second["requirements"]] == ["present"]
    assert "below_commit" not in {step["id"] for step in second["steps"] if step["status"] == "succeeded"}
    refused = machine.json("rollback", first["run_id"], "--yes")
    assert refused.code == 6, str(refused)
    assert "`below`" in refused.error["message"]
    assert "required by above" in refused.error["message"]
    assert second["run_id"] in refused.error["hint"]
    again = machine.json("install", "above", "--yes").data
    assert (again["status"], again["changed"]) == ("succeeded", False)
    assert machine.json("rollback", "--yes").data["undoes"] == second["run_id"]
    assert machine.json("verify", "below").code == 0, "it was there before"
    assert machine.json("rollback", "--yes").data["undoes"] == first["run_id"]
    machine.assert_as(before)


def test_a_failure_takes_back_all_that_the_run_added(machine: Machine, before: World) -> None:
    write(machine, "top", script="set -eu\necho begun\nexit 3\n")
    failed = machine.json("install", "top", "--yes")
    assert failed.code == 9, str(failed)
    assert failed.envelope["data"]["status"] == "rolled-back"
    assert [one["state"] for one in failed.envelope["data"]["requirements"]] == ["not-installed"] * 2
    machine.assert_as(before)
    assert machine.json("rollback", "--yes").code == 5, "nothing is left to roll back"


def test_a_missing_requirement_is_put_right_when_it_stopped_working(machine: Machine, before: World) -> None:
    write(machine, "below", script=DONE.format("below"))
    run = machine.json("install", "above", "--yes").data["run_id"]
    (machine.host.root / "opt/below/done").unlink()
    repaired = machine.json("install", "above", "--yes").data
    assert [one["state"] for one in repaired["requirements"]] == ["installed"]
    assert exists(machine, "/opt/below/done")
    assert repaired["integration"] == "above"
    assert machine.json("rollback", repaired["run_id"], "--yes").code == 0
    assert not exists(machine, "/opt/below/done"), "as somebody else had left it"
    assert machine.json("rollback", run, "--yes").code == 0
    machine.assert_as(before)


def test_what_somebody_else_installed_is_adopted(machine: Machine, before: World) -> None:
    folder = machine.host.root / "opt/below"
    folder.mkdir()
    (folder / "done").touch()
    with_it = machine.world()
    done = machine.json("install", "above", "--yes")
    assert [one["state"] for one in done.data["requirements"]] == ["adopted"]
    assert any("`below` is adopted" in warning for warning in done.envelope["warnings"])
    assert machine.json("rollback", "--yes").code == 0
    machine.assert_as(with_it)
    (folder / "done").unlink()
    folder.rmdir()


def test_cycles_conflicts_and_missing_ones_are_refused_with_their_chain(machine: Machine, before: World) -> None:
    write(machine, "below", requires="[top]")
    cycle = machine.json("install", "top", "--yes")
    assert (cycle.code, "top → above → below → top" in cycle.error["message"]) == (6, True), str(cycle)
    write(machine, "below", more="conflicts: [top]\n")
    conflict = machine.json("install", "top", "--yes")
    assert (conflict.code, conflict.error["cause"]) == (6, "top → above → below; top"), str(conflict)
    write(machine, "below", requires="[nothing]")
    missing = machine.json("install", "top", "--yes")
    assert (missing.code, missing.error["cause"]) == (5, "top → above → below → nothing"), str(missing)
    machine.assert_as(before)


def test_each_part_is_asked_about(machine: Machine, before: World) -> None:
    with machine.running("install", "above", terminal=True) as running:
        running.wait_for(r"required by above[\s\S]*\[y/N\]")
        running.type("y\n")
        running.wait_for(r"above 1\.0\.0 on host[\s\S]*\[y/N\]")
        assert exists(machine, "/opt/below/done")
        running.type("n\n")
        answer = running.finish()
    assert answer.code != 0, str(answer)
    machine.assert_as(before)


def test_a_plan_shows_what_comes_with_it(machine: Machine, before: World) -> None:
    write(machine, "above", script=DONE.format("above"))
    planned = machine.json("plan", "above", "--check")
    assert planned.code == 3, str(planned)
    plan = planned.envelope["data"]["plan"]
    assert (plan["integration"], [one["integration"] for one in plan["requirements"]]) == ("above", ["below"])
    assert "below 1.0.0 on host" in machine.cli("plan", "above").out
    machine.assert_as(before)


def test_what_excludes_something_that_is_installed_is_refused(machine: Machine, before: World) -> None:
    assert machine.json("install", "below", "--yes").code == 0
    write(machine, "top", requires="[]", more="conflicts: [below]\n")
    refused = machine.json("install", "top", "--yes")
    assert (refused.code, "together with `below`" in refused.error["message"]) == (6, True), str(refused)
    assert machine.json("rollback", "--yes").code == 0
    machine.assert_as(before)
