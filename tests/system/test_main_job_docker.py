"""The main job in containers: preview, install, verify, again, change, take back; what happens to a container."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.testing.lab import LabContainer
from workflow_agent.testing.lab.engine import docker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.system.machine import APPENDED_LOGS, Machine
else:
    from machine import APPENDED_LOGS

NODE_EXPORTER = "prometheus-node-exporter"
SMALL = "small"
FILES = """
mkdir -p /opt/small
for number in $(seq 9); do echo "$number" > "/opt/small/$number"; done
for name in motd issue issue.net; do echo changed > "/etc/$name"; done
touch /opt/small/done
"""
PORTS = {NODE_EXPORTER: 9100, "nginx": 80}
EACH = pytest.mark.parametrize(
    ("machine", "integration"),
    [
        ("docker-plain", NODE_EXPORTER),
        pytest.param("docker-plain", "nginx", marks=pytest.mark.long),
        pytest.param("docker-systemd", NODE_EXPORTER, marks=[pytest.mark.systemd, pytest.mark.long]),
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
    assert {check["status"] for check in first["checks"]} - {"not-applicable"} == {"passed"}
    assert first["rollback_command"].endswith(f"--target {_lab(machine).target}")
    assert machine.listens(PORTS[integration])
    assert {check["status"] for check in machine.json("verify", integration).data["checks"]} - {"not-applicable"} == {
        "passed"
    }
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


@pytest.mark.usefixtures("rehearsals_alone")
def test_no_client_of_an_engine_is_ever_started(container: Machine) -> None:
    """Namespaces are entered, and the engine is asked over its socket: a client process takes 70 ms each time."""
    programs = container.folder / "programs"
    programs.mkdir()
    mark = container.folder / "called"
    for name in ("docker", "podman", "nerdctl", "ctr", "runc", "nsenter"):
        (programs / name).write_text(f'#!/bin/sh\necho "$0 $*" >>{mark}\nexit 1\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    container.variables["PATH"] = f"{programs}:{container.environment()['PATH']}"
    subprocess.run(["docker", "ps"], env=container.environment(), check=False)
    assert mark.read_text(encoding="utf-8") == f"{programs}/docker ps\n", "what looks for one would find this"
    mark.unlink()
    folder = container.integration(SMALL, FILES)

    container.json("plan", folder, "--isolation", "container")
    for arguments in (
        ("plan", folder),
        ("install", NODE_EXPORTER, "--yes"),
        ("install", folder, "--yes"),
        ("verify", NODE_EXPORTER),
        ("install", NODE_EXPORTER, "--yes"),
        ("upgrade", NODE_EXPORTER, "--param", "port=9200", "--yes"),
        ("repair", NODE_EXPORTER, "--yes"),
        ("rollback", "--yes"),
        ("uninstall", NODE_EXPORTER, "--yes"),
        ("history",),
        ("doctor",),
    ):
        answer = container.json(*arguments)
        assert answer.code == 0 or arguments == ("doctor",), str(answer)

    assert not mark.exists(), mark.read_text(encoding="utf-8")


# -- rehearsals --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("rehearsals_alone")
def test_a_rehearsal_shows_what_the_capture_shows_and_touches_nothing(container: Machine) -> None:
    lab = _lab(container)
    before = container.world()

    rehearsed = container.json("plan", NODE_EXPORTER, "--isolation", "container")
    assert rehearsed.code == 0, str(rehearsed)
    container.assert_as(before)
    assert not (lab.root / ".workflow-agent").exists()
    captured = container.json("plan", NODE_EXPORTER).data

    data = rehearsed.data
    plan, exact = data["plan"], captured["plan"]
    assert (plan["tier"], plan["change_set"]["tier"], data["change_set"]["tier"]) == ("approximate",) * 3
    assert (exact["tier"], exact["change_set"]["tier"], captured["change_set"]["tier"]) == ("exact",) * 3
    for facts in ("packages", "users", "groups", "units", "requested"):
        assert plan["change_set"][facts] == exact["change_set"][facts], facts
    only_times = {change["path"] for change in exact["change_set"]["changes"] if change["aspects"] == ["mtime"]}
    assert _paths(exact) - _paths(plan) <= only_times
    assert _paths(plan) <= _paths(exact)
    assert data["transaction"] is None
    assert data["rollback_command"] is None
    left = docker("ps", "--all", "--quiet", "--filter=label=workflow-agent.rehearsal")
    assert left + docker("image", "ls", "--quiet", "--filter=label=workflow-agent.rehearsal") == ""


def _paths(plan: dict[str, Any]) -> set[str]:
    return {change["path"] for change in plan["change_set"]["changes"]}


@pytest.mark.usefixtures("rehearsals_alone")
def test_a_rehearsal_has_no_network_unless_it_is_declared(container: Machine) -> None:
    script = "grep -q eth0 /proc/net/dev && mkdir -p /opt/net && touch /opt/net/done"
    folder = container.integration("net", script)
    arguments = ("plan", folder, "--isolation", "container")
    refused = container.json(*arguments)
    manifest = container.folder / "own/net/integration.yaml"
    manifest.write_text(manifest.read_text().replace("template: install}", "template: install, network: true}"))
    shown = container.cli(*arguments)

    assert (refused.code, refused.error["code"]) == (1, "step-failed.script"), str(refused)
    assert "+ /opt/net/done" in shown.out
    assert "preview    approximate: " in shown.out


# -- several containers, other names -----------------------------------------------------------------------------------


def test_each_target_has_its_own_state_and_a_rollback_goes_to_that_of_its_run(
    container: Machine, machines: Callable[..., AbstractContextManager[Machine]]
) -> None:
    folder = container.integration(SMALL, FILES)
    with machines("docker-plain") as other:
        names = (_lab(container).target, f"docker:{_lab(other).id[:12]}")
        both = ("--target", names[0], "--target", names[1])
        before = container.world(), other.world()
        plans = container.json("plan", folder, *both).data["items"]
        first, second = container.json("install", folder, "--yes", *both).data["items"]
        again = container.json("install", folder, "--yes", *both).data["items"]

        assert [one["target"] for one in plans] == [_lab(container).target, _lab(other).target]
        assert [one["target"] for one in (first, second)] == [_lab(container).target, _lab(other).target]
        assert [one["changed"] for one in (first, second, *again)] == [True, True, False, False]
        rows = container.json("history", "--target", _lab(other).target).data["items"]
        assert second["run_id"] in [row["run_id"] for row in rows]
        assert first["run_id"] not in [row["run_id"] for row in rows]

        done = container.json("rollback", first["run_id"], "--yes").data
        assert (done["undoes"], done["target"]) == (first["run_id"], _lab(container).target)
        assert (_lab(other).root / "opt/small/done").exists()
        container.assert_as(before[0])
        other.folder = container.folder  # one command, one history
        assert other.json("rollback", "--yes").data["undoes"] == second["run_id"]
        other.assert_as(before[1])


def test_a_file_that_somebody_changed_is_a_conflict_and_stays(container: Machine) -> None:
    lab = _lab(container)
    done = container.json("install", container.integration(SMALL, FILES), "--yes").data
    lab.run(["sh", "-c", "echo mine > /etc/motd; echo mine > /opt/other"])

    refused = container.json("rollback", done["run_id"], "--yes")
    assert (refused.code, refused.error["code"]) == (6, "conflict.paths"), str(refused)
    assert [one["path"] for one in refused.error["details"]["conflicts"]] == ["/etc/motd"]
    assert lab.run(["cat", "/etc/motd"]).stdout == "mine\n"

    assert container.json("verify", "./own/small").error["details"]["missing"] == ["/etc/motd"]


# -- faults ------------------------------------------------------------------------------------------------------------


def test_what_cannot_be_reached_is_told_with_its_exit_code_and_is_in_history(container: Machine) -> None:
    lab = _lab(container)
    unknown = container.json("plan", "nginx", "--target", f"{lab.target}x")
    without = container.json("plan", "nginx", environ={"DOCKER_HOST": "unix:///nowhere/engine.sock"})
    remote = container.json("install", "nginx", "--yes", environ={"DOCKER_HOST": "tcp://10.0.0.1:2375"})
    lab.halt()
    stopped = container.json("install", "nginx", "--yes")

    assert (unknown.code, unknown.error["code"]) == (5, "not-found")
    assert f"`{lab.target}`" in unknown.error["hint"]
    assert (without.code, without.error["where"]) == (7, "/nowhere/engine.sock")
    assert (remote.code, remote.error["where"]) == (7, "tcp://10.0.0.1:2375")
    assert (remote.error["state"], remote.error["details"]) == ("nothing was changed", {"tier": "logical"})
    assert (stopped.code, stopped.error["hint"].split("`")[1]) == (7, f"docker start {lab.name}")
    rows = container.json("history", "--target", lab.target).data["items"]
    assert [(row["action"], row["status"]) for row in rows] == [("install", "failed")] * 2 + [("plan", "failed")]


@pytest.mark.usefixtures("rehearsals_alone")
def test_an_image_without_bash_is_told(container: Machine) -> None:
    _lab(container).run(["rm", "/bin/bash"])
    before = container.world()

    for more in ((), ("--isolation", "container")):
        refused = container.json("plan", NODE_EXPORTER, *more)

        assert (refused.code, refused.error["code"]) == (1, "step-failed.capture"), str(refused)
        assert "/bin/bash" in refused.error["message"]
        assert refused.error["state"] == "nothing was changed"
        assert container.json("show", refused.error["run_id"]).data["status"] == "failed"
    container.assert_as(before)


def test_one_that_stops_while_the_script_runs_or_a_person_thinks_is_told_and_is_as_before(container: Machine) -> None:
    lab = _lab(container)
    before = container.world()
    slow = container.integration("slow", "echo begun; sleep 2; mkdir /opt/slow; touch /opt/slow/done")
    with container.running("install", slow, "--yes", "--verbose", terminal=True) as running:
        running.wait_for("begun")
        lab.halt()
        while_running = running.finish()
    lab.restart()
    with container.running("install", container.integration(SMALL, FILES), terminal=True) as running:
        running.wait_for(r"\[y/N\]")
        lab.halt()
        running.type("y\n")
        while_thinking = running.finish()
    lab.restart()

    for answer in (while_running, while_thinking):
        assert answer.code == 7, str(answer)
        assert "does not run" in answer.err
    assert [row["status"] for row in container.json("history").data["items"]] == ["failed", "failed"]
    later = container.world()
    own = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")  # written by the engine at each start
    assert [line for line in before.differences(later, lab.root) if not line.split(": ")[1].startswith(own)] == []
    assert container.json("install", "./own/small", "--yes").data["changed"] is True


def test_one_that_was_made_anew_is_not_rolled_back(container: Machine) -> None:
    lab = _lab(container)
    folder = container.integration(SMALL, FILES)
    container.json("install", folder, "--yes")
    lab.recreate()
    before = container.world()

    refused = container.json("rollback", "--yes")

    assert refused.code == 5, str(refused)
    assert "went with that one" in refused.error["cause"]
    container.assert_as(before)
    assert container.json("install", folder, "--yes").data["changed"] is True


def test_a_kill_in_the_commit_is_settled_by_the_next_command(container: Machine) -> None:
    before = container.world()
    folder = container.integration(SMALL, FILES)
    killed = container.cli(
        "install", folder, "--yes", environ={"WORKFLOW_AGENT_FAILPOINT": "transaction.commit.operation:2"}
    )
    assert killed.code == -9, str(killed)

    done = container.json("install", folder, "--yes").data
    assert done["changed"] is True
    assert container.json("rollback", "--yes").data["undoes"] == done["run_id"]

    container.assert_as(before)
