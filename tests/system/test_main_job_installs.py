"""The main job on real hosts: preview, install, verify, install again, change, take back, and nothing is left."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.system.machine import APPENDED_LOGS, Machine, World
else:
    from machine import APPENDED_LOGS

NODE_EXPORTER = "prometheus-node-exporter"
PORTS = {NODE_EXPORTER: 9100, "nginx": 80}
PROGRAMS = {NODE_EXPORTER: "/usr/bin/prometheus-node-exporter", "nginx": "/usr/sbin/nginx"}
BOTH_KINDS = pytest.mark.parametrize(
    "machine", ["plain", pytest.param("systemd", marks=pytest.mark.systemd)], indirect=True
)
#: Each integration and each kind of host once, where the other half would show nothing new.
CROSSED = pytest.mark.parametrize(
    ("machine", "integration"),
    [("plain", NODE_EXPORTER), pytest.param("systemd", "nginx", marks=pytest.mark.systemd)],
    indirect=["machine"],
)

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def before(machine: Machine) -> World:
    return machine.world()


def assert_taken_back(machine: Machine, before: World) -> None:
    machine.assert_as(before, logs=APPENDED_LOGS)
    assert machine.host.run(["apt-get", "check"]).stderr == ""
    assert machine.host.run(["dpkg", "--audit"]).stdout == ""


def programs(machine: Machine, integration: str) -> set[int]:
    return {one.pid for one in machine.host.processes() if one.program == PROGRAMS[integration]}


def install(machine: Machine, integration: str, *more: str) -> dict[str, Any]:
    report: dict[str, Any] = machine.json("install", integration, "--yes", *more).data
    assert report["status"] == "succeeded"
    return report


@CROSSED
def test_plan_shows_everything_and_changes_nothing(machine: Machine, before: World, integration: str) -> None:
    kept = machine.transactions()
    plan = machine.json("plan", integration, "--check")
    report = plan.envelope["data"]
    assert plan.code == 3, str(plan)
    paths = {change["path"] for change in report["changes"]["items"]}
    assert {PROGRAMS[integration], "/var/lib/dpkg/status"} <= paths
    assert not {path for path in paths if ".workflow-agent" in path}
    assert report["changed"] is False
    assert report["rollback_command"] is None
    machine.assert_as(before)
    assert machine.transactions() == kept


@BOTH_KINDS
@pytest.mark.parametrize("integration", PORTS)
def test_install_verify_again_and_rollback(machine: Machine, before: World, integration: str) -> None:
    first = install(machine, integration)
    assert first["changed"] is True
    assert first["tier"] == "exact"
    assert {check["status"] for check in first["checks"]} - {"not-applicable"} == {"passed"}
    assert first["generation"]["run_id"] == first["run_id"]
    assert first["generation"]["live"] is True
    packages = {item["name"] for item in first["change_set"]["packages"]}
    assert integration in packages
    assert machine.listens(PORTS[integration])
    running = programs(machine, integration)

    verified = machine.json("verify", integration).data
    assert verified["changed"] is False
    assert {check["status"] for check in verified["checks"]} - {"not-applicable"} == {"passed"}

    again = install(machine, integration)
    assert again["changed"] is False
    assert again["rollback_command"] is None
    assert programs(machine, integration) == running, "it was left running"

    back = machine.json("rollback", "--yes").data
    assert back["undoes"] == first["run_id"], "a run that changed nothing is never the one to take back"
    assert not machine.listens(PORTS[integration])
    assert_taken_back(machine, before)
    assert machine.json("show", first["run_id"]).data["undone_by"] == back["run_id"]
    nothing = machine.json("rollback", first["run_id"], "--yes")
    assert nothing.error["code"] == "conflict"
    assert nothing.code == 6
    assert machine.json("verify", integration).code == 1


@CROSSED
def test_other_parameters_reconfigure_and_go_back(machine: Machine, before: World, integration: str) -> None:
    first = install(machine, integration)
    working = machine.world()
    second = install(machine, integration, "--param", "port=8181")
    assert second["changed"] is True
    assert second["generation"]["parameters"]["port"] == 8181
    assert machine.listens(8181)
    assert not machine.listens(PORTS[integration])

    assert machine.json("rollback", "--yes").data["undoes"] == second["run_id"]
    assert machine.listens(PORTS[integration])
    assert not machine.listens(8181)
    assert {check["status"] for check in machine.json("verify", integration).data["checks"]} - {"not-applicable"} == {
        "passed"
    }
    assert install(machine, integration)["changed"] is False, "the first generation is the live one again"
    after = machine.world()
    assert working.listeners == after.listeners
    assert [name for name, _, _ in working.processes] == [name for name, _, _ in after.processes]

    assert machine.json("rollback", "--yes").data["undoes"] == first["run_id"]
    assert_taken_back(machine, before)


@CROSSED
def test_rollback_can_be_taken_back_and_done_again(machine: Machine, before: World, integration: str) -> None:
    first = install(machine, integration)
    undone = machine.json("rollback", "--yes").data
    assert undone["rollback_command"] == f"workflow-agent rollback {undone['run_id']}"

    redone = machine.json(*undone["rollback_command"].split()[1:], "--yes").data
    assert redone["undoes"] == undone["run_id"]
    assert machine.listens(PORTS[integration])
    assert {check["status"] for check in machine.json("verify", integration).data["checks"]} - {"not-applicable"} == {
        "passed"
    }
    assert install(machine, integration)["changed"] is False

    last = machine.json("rollback", "--yes").data
    assert last["status"] == "succeeded"
    assert not machine.listens(PORTS[integration])
    assert_taken_back(machine, before)
    assert machine.json("show", first["run_id"]).data["generation"]["live"] is False


@BOTH_KINDS
def test_two_integrations_at_once_and_in_any_order_back(machine: Machine, before: World) -> None:
    both = machine.json("install", "nginx", NODE_EXPORTER, "--yes").data["items"]
    assert [report["integration"] for report in both] == ["nginx", NODE_EXPORTER]
    for port in PORTS.values():
        assert machine.listens(port)
    first = machine.json("rollback", both[0]["run_id"], "--yes")
    assert first.code == 0, "the later run's records of packages stay"
    assert not machine.listens(80)
    assert machine.json("verify", NODE_EXPORTER).code == 0
    assert machine.json("rollback", "--yes").data["undoes"] == both[1]["run_id"]
    assert_taken_back(machine, before)


def test_packages_can_be_installed_as_ever_afterwards(fresh: Machine) -> None:
    install(fresh, NODE_EXPORTER)
    fresh.host.run(["apt-get", "install", "-y", "nginx"])
    assert fresh.json("verify", NODE_EXPORTER).code == 0
    taken_back = fresh.json("rollback", "--yes")
    assert taken_back.code == 0, str(taken_back)
    fresh.host.run(["sh", "-euc", "dpkg --audit; apt-get check -qq; dpkg --verify nginx"])
    listed = fresh.host.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"]).stdout.splitlines()
    assert "nginx installed" in listed, "what apt installed meanwhile stays"
    assert not any(line.startswith(NODE_EXPORTER) for line in listed)


def test_what_people_read_names_packages_units_and_the_way_back(fresh: Machine) -> None:
    done = fresh.cli("install", NODE_EXPORTER, "--yes")
    assert done.code == 0, str(done)
    assert re.search(r"undo +workflow-agent rollback r-[0-9A-Z]{26}\n", done.out)
    assert "checks" in done.out
    plan = fresh.cli("plan", "nginx")
    assert plan.code == 0, str(plan)
    for words in (r"packages +\d+ installed", r"\+ nginx", r"units", r"files +\d+ created", r"exact"):
        assert re.search(words, plan.out), words
