"""The main job in containers: preview, install, verify, again, change, take back; what happens to a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflow_agent.testing.lab import LabContainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.system.machine import APPENDED_LOGS, Machine
else:
    from machine import APPENDED_LOGS

NODE_EXPORTER = "prometheus-node-exporter"
PORTS = {NODE_EXPORTER: 9100, "nginx": 80}
EACH = pytest.mark.parametrize(
    ("machine", "integration"),
    [
        ("docker-plain", NODE_EXPORTER),
        ("docker-plain", "nginx"),
        pytest.param("docker-systemd", NODE_EXPORTER, marks=pytest.mark.systemd),
        pytest.param("docker-systemd", "nginx", marks=pytest.mark.systemd),
    ],
    indirect=["machine"],
)

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def container(machines: Callable[..., AbstractContextManager[Machine]]) -> Iterator[Machine]:
    """A plain container for one test."""
    with machines("docker-plain") as made:
        yield made


def _lab(machine: Machine) -> LabContainer:
    assert isinstance(machine.host, LabContainer)
    return machine.host


@EACH
def test_plan_install_verify_again_change_and_back(machine: Machine, integration: str) -> None:
    before = machine.world()
    plan = machine.json("plan", integration, "--check")
    assert plan.code == 3, str(plan)
    machine.assert_as(before)

    first = machine.json("install", integration, "--yes").data
    assert (first["changed"], first["tier"]) == (True, "exact")
    assert {check["status"] for check in first["checks"]} == {"passed"}
    assert first["rollback_command"].endswith(f"--target {_lab(machine).target}")
    assert machine.listens(PORTS[integration])
    assert {check["status"] for check in machine.json("verify", integration).data["checks"]} == {"passed"}
    assert machine.json("install", integration, "--yes").data["changed"] is False

    second = machine.json("install", integration, "--param", "port=8181", "--yes").data
    assert machine.listens(8181)
    assert machine.json("rollback", "--yes").data["undoes"] == second["run_id"]
    assert machine.listens(PORTS[integration])
    assert machine.json("rollback", "--yes").data["undoes"] == first["run_id"]

    assert not machine.listens(PORTS[integration])
    machine.assert_as(before, logs=APPENDED_LOGS)
    assert machine.host.run(["apt-get", "check"]).stderr == ""
    assert machine.host.run(["dpkg", "--audit"]).stdout == ""


def test_history_knows_it_by_its_name_also_where_the_id_was_given(container: Machine) -> None:
    lab = _lab(container)
    done = container.json("install", NODE_EXPORTER, "--yes", "--target", f"docker:{lab.id[:12]}").data

    rows = container.json("history", "--target", lab.target).data["items"]

    assert [row["run_id"] for row in rows] == [done["run_id"]]
    assert container.json("rollback", "--yes").data["undoes"] == done["run_id"]


def test_what_cannot_be_reached_is_told_with_its_exit_code(container: Machine) -> None:
    lab = _lab(container)
    unknown = container.json("plan", "nginx", "--target", f"{lab.target}x")
    without = container.json("plan", "nginx", environ={"DOCKER_HOST": "unix:///nowhere/engine.sock"})
    lab.halt()
    stopped = container.json("install", "nginx", "--yes")

    assert (unknown.code, unknown.error["code"]) == (5, "not-found")
    assert f"`{lab.target}`" in unknown.error["hint"]
    assert (without.code, without.error["where"]) == (7, "/nowhere/engine.sock")
    assert (stopped.code, stopped.error["hint"].split("`")[1]) == (7, f"docker start {lab.name}")
    assert container.json("history").data["items"] == []


def test_one_that_stops_while_a_person_thinks_is_told_and_is_as_before(container: Machine) -> None:
    lab = _lab(container)
    before = container.world()
    with container.running("install", NODE_EXPORTER, terminal=True) as running:
        running.wait_for(r"\[y/N\]")
        lab.halt()
        running.type("y\n")
        answer = running.finish()
    lab.restart()

    assert answer.code == 7, str(answer)
    assert "does not run" in answer.err
    later = container.world()
    own = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")  # written by the engine at each start
    assert [line for line in before.differences(later, lab.root) if not line.split(": ")[1].startswith(own)] == []
    assert container.json("install", NODE_EXPORTER, "--yes").data["changed"] is True


def test_one_that_was_made_anew_is_not_rolled_back(container: Machine) -> None:
    lab = _lab(container)
    container.json("install", NODE_EXPORTER, "--yes")
    lab.recreate()
    before = container.world()

    refused = container.json("rollback", "--yes")

    assert refused.code == 5, str(refused)
    assert "went with that one" in refused.error["cause"]
    container.assert_as(before)
    assert container.json("install", NODE_EXPORTER, "--yes").data["changed"] is True


def test_a_kill_in_the_commit_is_settled_by_the_next_command(container: Machine) -> None:
    before = container.world()
    killed = container.cli(
        "install", NODE_EXPORTER, "--yes", environ={"WORKFLOW_AGENT_FAILPOINT": "transaction.commit.operation:20"}
    )
    assert killed.code == -9, str(killed)

    done = container.json("install", NODE_EXPORTER, "--yes").data
    assert done["changed"] is True
    assert container.json("rollback", "--yes").data["undoes"] == done["run_id"]

    container.assert_as(before, logs=APPENDED_LOGS)


def test_two_containers_have_their_own_state(
    container: Machine, machines: Callable[..., AbstractContextManager[Machine]]
) -> None:
    with machines("docker-plain") as other:
        other.folder = container.folder  # one command, one history
        first = container.json("install", NODE_EXPORTER, "--yes").data
        second = other.json("install", NODE_EXPORTER, "--yes").data

        assert (first["changed"], second["changed"]) == (True, True)
        assert container.json("rollback", "--yes").data["undoes"] == first["run_id"]
        assert other.listens(9100)
        assert other.json("rollback", "--yes").data["undoes"] == second["run_id"]
