"""What comes after an installation, on real hosts: uninstall, upgrade, repair, and the way back from each."""

from __future__ import annotations

import os
import shutil
import signal
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.integrations import builtin_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.system.machine import APPENDED_LOGS, Answer, Machine, World
else:
    from machine import APPENDED_LOGS

pytestmark = [pytest.mark.root, pytest.mark.slow]

NODE_EXPORTER = "prometheus-node-exporter"
PORTS = {NODE_EXPORTER: 9100, "nginx": 80}
PROGRAMS = {NODE_EXPORTER: "/usr/bin/prometheus-node-exporter", "nginx": "/usr/sbin/nginx"}
CROSSED = pytest.mark.parametrize(
    ("machine", "integration"),
    [
        ("plain", NODE_EXPORTER),
        pytest.param("systemd", NODE_EXPORTER, marks=[pytest.mark.systemd, pytest.mark.long]),
        pytest.param("plain", "nginx", marks=pytest.mark.long),
        pytest.param("systemd", "nginx", marks=pytest.mark.systemd),
    ],
    indirect=["machine"],
)
#: Logs that a service's own program writes to while it runs.
OWN_LOGS = frozenset(
    {"/var/log/prometheus/prometheus-node-exporter.log", "/var/log/nginx/access.log", "/var/log/nginx/error.log"}
)
#: What Debian keeps of a package that is removed and not purged.
KEPT_OF_A_PACKAGE = ("/etc/", "/var/lib/dpkg/", "/var/lib/systemd/deb-systemd-helper-enabled/")
STATE = {NODE_EXPORTER: ("/var/lib/prometheus", "/var/log/prometheus"), "nginx": ("/var/www", "/var/log/nginx")}


@pytest.fixture
def before(machine: Machine) -> World:
    return machine.world()


def done(answer: Answer) -> dict[str, Any]:
    report: dict[str, Any] = answer.data
    assert report["status"] == "succeeded", str(answer)
    return report


def programs(machine: Machine, integration: str) -> list[int]:
    return [one.pid for one in machine.host.processes() if one.program == PROGRAMS[integration]]


def package_state(machine: Machine, name: str) -> str:
    return machine.host.run(["dpkg-query", "-Wf", "${db:Status-Status}", name], check=False).stdout


def take_back_all(machine: Machine, before: World) -> None:
    while (answer := machine.json("rollback", "--yes")).code == 0:
        continue
    assert answer.code == 5, str(answer)
    machine.assert_as(before, logs=APPENDED_LOGS)


# -- uninstall -----------------------------------------------------------------------------------------------------


@CROSSED
def test_an_uninstall_is_proven_and_goes_back_running(machine: Machine, before: World, integration: str) -> None:
    installed = done(machine.json("install", integration, "--yes"))
    working = machine.world()
    plan = machine.json("uninstall", integration, "--plan", "--check")
    assert plan.code == 3, str(plan)
    machine.assert_as(working, logs=OWN_LOGS)

    report = done(machine.json("uninstall", integration, "--yes"))
    assert (report["action"], report["changed"], report["generation"]) == ("uninstall", True, None)
    assert {"process-gone", "port-closed", "package-gone", "unit-gone"} <= {check["id"] for check in report["checks"]}
    assert programs(machine, integration) == []
    assert not machine.listens(PORTS[integration])
    assert package_state(machine, integration) == "config-files" or integration == "nginx"
    gone = machine.world()
    assert not [line for line in before.differences(gone, machine.host.root) if line.startswith(("processes", "units"))]
    assert machine.json("show", installed["run_id"]).data["generation"]["live"] is False
    assert machine.json("verify", integration).code == 1
    again = done(machine.json("uninstall", integration, "--yes"))
    assert (again["changed"], again["rollback_command"]) == (False, None)

    refused = machine.json("rollback", installed["run_id"], "--yes")
    assert refused.code == 6, str(refused)
    assert f"workflow-agent rollback {report['run_id']}" in refused.error["hint"]
    machine.assert_as(gone)

    back = done(machine.json("rollback", "--yes"))
    assert back["undoes"] == report["run_id"]
    assert {check["status"] for check in back["checks"]} - {"not-applicable"} == {"passed"}
    assert {"process", "port"} <= {check["id"] for check in back["checks"]}, "the checks of what is live again"
    machine.assert_as(working, logs=APPENDED_LOGS | OWN_LOGS)
    assert machine.json("show", installed["run_id"]).data["generation"]["live"] is True
    assert done(machine.json("install", integration, "--yes"))["changed"] is False

    redone = done(machine.json("rollback", back["run_id"], "--yes"))
    assert redone["undoes"] == back["run_id"]
    assert programs(machine, integration) == []
    assert done(machine.json("rollback", redone["run_id"], "--yes"))["status"] == "succeeded"
    assert machine.listens(PORTS[integration])
    assert done(machine.json("rollback", installed["run_id"], "--yes"))["undoes"] == installed["run_id"]
    machine.assert_as(before, logs=APPENDED_LOGS)


def test_what_an_uninstall_leaves_is_configuration_and_data(machine: Machine, before: World) -> None:
    installed = done(machine.json("install", NODE_EXPORTER, "--yes"))
    plan = machine.cli("uninstall", NODE_EXPORTER, "--plan").out
    assert "keeps" in plan
    assert "/var/lib/prometheus/node-exporter" in plan

    done(machine.json("uninstall", NODE_EXPORTER, "--yes"))
    left = machine.world().files.keys() - before.files.keys()
    allowed = (*KEPT_OF_A_PACKAGE, *STATE[NODE_EXPORTER])
    assert [name for name in left if not name.startswith(allowed)] == []
    assert "/var/lib/prometheus/node-exporter" in left

    again = done(machine.json("install", NODE_EXPORTER, "--yes", "--param", "port=9101"))
    assert (again["changed"], machine.listens(9101)) == (True, True)
    done(machine.json("uninstall", NODE_EXPORTER, "--purge", "--yes"))
    left = machine.world().files.keys() - before.files.keys()
    assert left <= {"/etc/gshadow-", "/etc/shadow-"}, "the accounts stay, and so do their backups"
    assert package_state(machine, NODE_EXPORTER) == ""
    assert installed["run_id"] != again["run_id"]
    take_back_all(machine, before)


def test_what_was_installed_by_hand_is_taken_away_and_said_so(fresh: Machine) -> None:
    fresh.host.run(["apt-get", "install", "-y", "--no-install-recommends", "nginx"])
    fresh.host.run(["service", "nginx", "start"], check=False)
    working = fresh.world()

    answer = fresh.json("uninstall", "nginx", "--yes")
    assert done(answer)["changed"] is True
    assert ["only this uninstall can be rolled back" in text for text in answer.envelope["warnings"]] == [True]
    assert not fresh.listens(80)
    done(fresh.json("rollback", "--yes"))
    fresh.assert_as(working, logs=APPENDED_LOGS | OWN_LOGS)
    assert fresh.json("rollback", "--yes").code == 5


# -- data, services, sudden death: an integration of the test's own -------------------------------------------------

KEEPER = """
    set -eu
    mkdir -p /opt/keeper /var/lib/keeper/inner /var/cache/keeper
    echo first >/var/lib/keeper/inner/data
    echo cached >/var/cache/keeper/data
    cat >/opt/keeper/server.pl <<'END'
    use IO::Socket::INET;
    my $socket = IO::Socket::INET->new(LocalPort => shift, Listen => 5, ReuseAddr => 1) or die "no port: $!";
    open my $log, '>>', '/var/cache/keeper/log'; $log->autoflush(1);
    $SIG{TERM} = sub { print $log "stopped\\n"; exit 0 };
    while (my $client = $socket->accept) {
        while (<$client>) { last if /^\\r?$/ }
        print $log "asked\\n"; print $client "HTTP/1.0 200 OK\\r\\n\\r\\nkeeper\\n"; close $client;
    }
    END
    touch /opt/keeper/done
"""
REMOVE = "set -eu\nrm -r /opt/keeper\nrm -r /var/lib/keeper\n"
SERVICE = """
    - name: keeper
      exe: /usr/bin/perl
      argv: [/usr/bin/perl, /opt/keeper/server.pl, "8585"]
      listens: [tcp/8585]
      sysvinit: false
"""
MORE = """
    negative_checks:
      - {id: gone, kind: file, path: /opt/keeper, exists: false}
    state_data:
      - {path: /var/lib/keeper/inner, policy: keep}
      - {path: /var/cache/keeper, policy: drop}
"""
PAGE = "- {id: page, kind: http, url: 'http://127.0.0.1:8585/', contains: keeper}"


def keeper(machine: Machine, *, remove: str = REMOVE, name: str = "keeper", more: str = MORE) -> str:
    folder = machine.integration(name, KEEPER, services=SERVICE, checks=PAGE, more=textwrap.dedent(more))
    manifest = machine.folder / "own" / name / "integration.yaml"
    both = "actions: {install: {template: install}, uninstall: {template: uninstall}}"
    text = manifest.read_text(encoding="utf-8").replace("actions: {install: {template: install}}", both)
    manifest.write_text(text, encoding="utf-8")
    (manifest.parent / "templates/uninstall.sh.j2").write_text(remove, encoding="utf-8")
    return folder


def host_file(machine: Machine, path: str) -> Path:
    return machine.host.root / path.lstrip("/")


def test_data_is_kept_dropped_or_purged_as_declared(machine: Machine, before: World) -> None:
    folder = keeper(machine)
    done(machine.json("install", folder, "--yes"))
    host_file(machine, "/var/lib/keeper/inner/data").write_text("later\n", encoding="utf-8")

    done(machine.json("uninstall", folder, "--yes"))
    assert not machine.listens(8585)
    assert host_file(machine, "/var/lib/keeper/inner/data").read_text(encoding="utf-8") == "later\n"
    assert not host_file(machine, "/var/cache/keeper").exists(), (
        "what is to be dropped went, although it was written to"
    )
    assert not host_file(machine, "/opt/keeper").exists()
    done(machine.json("rollback", "--yes"))
    assert machine.listens(8585)
    assert "stopped\n" in host_file(machine, "/var/cache/keeper/log").read_text(encoding="utf-8")

    done(machine.json("uninstall", folder, "--purge", "--yes"))
    assert not host_file(machine, "/var/lib/keeper").exists()
    done(machine.json("rollback", "--yes"))
    assert host_file(machine, "/var/lib/keeper/inner/data").read_text(encoding="utf-8") == "later\n"
    host_file(machine, "/var/lib/keeper/inner/data").write_text("first\n", encoding="utf-8")
    done(machine.json("rollback", "--yes"))
    machine.assert_as(before)


def test_an_uninstall_that_does_not_end_as_it_should_is_taken_back(machine: Machine, before: World) -> None:
    folder = keeper(machine, remove="rm /opt/keeper/done\n")
    done(machine.json("install", folder, "--yes"))

    failed = machine.json("uninstall", folder, "--yes")
    assert failed.code == 9, str(failed)
    assert "gone" in failed.error["message"]
    assert machine.listens(8585), "it runs again"
    assert host_file(machine, "/opt/keeper/done").exists()
    done(machine.json("verify", folder))
    done(machine.json("rollback", "--yes"))
    machine.assert_as(before)


@pytest.mark.parametrize(
    "point",
    [
        "transaction.plan-renamed:2",
        pytest.param("transaction.plan-renamed:3", marks=pytest.mark.long),
        "transaction.commit.operation:2",
        pytest.param("transaction.committed", marks=pytest.mark.long),
        "engine.after-reply:6",
    ],
)
def test_a_killed_uninstall_leaves_the_service_running_after_the_next_command(
    machine: Machine, before: World, point: str
) -> None:
    folder = keeper(machine)
    done(machine.json("install", folder, "--yes"))
    killed = machine.json("uninstall", folder, "--yes", environ={"WORKFLOW_AGENT_FAILPOINT": f"{point}=kill"})
    assert killed.code == -signal.SIGKILL, f"the point was never passed: {killed}"

    assert done(machine.json("install", folder, "--yes"))["changed"] is False, "settled: it works as before"
    assert machine.listens(8585)
    take_back_all(machine, before)


def test_what_others_require_stays(machine: Machine, before: World) -> None:
    folder = keeper(machine)
    done(machine.json("install", folder, "--yes"))
    needs = machine.integration("needer", "mkdir -p /opt/needer\ntouch /opt/needer/done\n", more="requires: [keeper]\n")
    variables = {"WORKFLOW_AGENT_INTEGRATIONS__FOLDERS": f'["{machine.folder / "own"}"]'}
    done(machine.json("install", needs, "--yes", environ=variables))

    refused = machine.json("uninstall", folder, "--yes", environ=variables)
    assert (refused.code, refused.error["details"]["required_by"]) == (6, ["needer"]), str(refused)
    assert machine.listens(8585)
    take_back_all(machine, before)


# -- upgrade ---------------------------------------------------------------------------------------------------------


def own_copy(machine: Machine) -> Path:
    folder = machine.folder / "copied" / NODE_EXPORTER
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(builtin_folder() / NODE_EXPORTER, folder)
    return folder


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "integration.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    "machine", ["plain", pytest.param("systemd", marks=[pytest.mark.systemd, pytest.mark.long])], indirect=True
)
def test_an_upgrade_brings_the_new_version_and_a_rollback_the_old_one(machine: Machine, before: World) -> None:
    folder = own_copy(machine)
    typed = f"./copied/{NODE_EXPORTER}"
    assert machine.json("upgrade", typed, "--yes").code == 5, "there is nothing to upgrade"
    first = done(machine.json("install", typed, "--yes", "--param", "port=9200", "--param", "log_level=debug"))
    assert done(machine.json("upgrade", typed, "--yes"))["changed"] is False

    edit(folder, "version: 1.0.0", "version: 1.1.0")
    edit(folder, "soak: 10", "soak: 1")
    edit(
        folder,
        "  log_level:\n    type: enum\n    choices: [debug, info, warn, error]\n    default: info\n",
        "  severity:\n    type: enum\n    choices: [debug, info, warn, error]\n    default: warn\n",
    )
    edit(folder, "parameters.log_level", "parameters.severity")
    refused = machine.json("install", typed, "--yes", "--param", "port=9200")
    assert (refused.code, refused.error["hint"]) == (6, f"`workflow-agent upgrade {NODE_EXPORTER}`"), str(refused)

    plan = machine.cli("upgrade", typed, "--plan", "--check", "--param", "listen_address=127.0.0.1")
    assert plan.code == 3, str(plan)
    for words in ("1.0.0 -> 1.1.0", "listen_address: none -> 127.0.0.1", "log_level"):
        assert words in plan.out
    upgraded = machine.json("upgrade", typed, "--yes", "--param", "listen_address=127.0.0.1")
    report = done(upgraded)
    assert [word in upgraded.envelope["warnings"][0] for word in ("log_level", "dropped")] == [True, True]
    parameters = report["generation"]["parameters"]
    assert (report["action"], report["generation"]["manifest_version"]) == ("upgrade", "1.1.0")
    assert (parameters["port"], parameters["severity"]) == (9200, "warn"), "what was installed is the base"
    (process,) = [one for one in machine.host.processes() if one.program == PROGRAMS[NODE_EXPORTER]]
    assert "--web.listen-address=127.0.0.1:9200" in process.arguments
    assert done(machine.json("upgrade", typed, "--yes"))["changed"] is False

    edit(folder, "version: 1.1.0", "version: 1.0.9")
    older = machine.json("upgrade", typed, "--yes")
    assert (older.code, "older" in older.error["message"]) == (6, True), str(older)
    back = done(machine.json("rollback", "--yes"))
    assert back["undoes"] == report["run_id"]
    (process,) = [one for one in machine.host.processes() if one.program == PROGRAMS[NODE_EXPORTER]]
    assert "--log.level=debug" in process.arguments
    assert machine.json("show", first["run_id"]).data["generation"]["live"] is True
    take_back_all(machine, before)


# -- repair ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["plain", pytest.param("systemd", marks=[pytest.mark.systemd, pytest.mark.long])])
def broken(
    request: pytest.FixtureRequest, machines: Callable[..., AbstractContextManager[Machine]]
) -> Iterator[Machine]:
    """A host of one test, which leaves it broken."""
    with machines(request.param) as made:
        yield made


def test_repair_puts_right_what_was_deleted_killed_and_changed(broken: Machine) -> None:
    machine = broken
    assert machine.json("repair", NODE_EXPORTER, "--yes").code == 5, "there is nothing to repair"
    done(machine.json("install", NODE_EXPORTER, "--yes"))
    assert done(machine.json("repair", NODE_EXPORTER, "--yes"))["changed"] is False

    program = host_file(machine, PROGRAMS[NODE_EXPORTER])
    content = program.read_bytes()
    program.unlink()
    plan = machine.cli("repair", NODE_EXPORTER, "--plan", "--check")
    assert (plan.code, "missing" in plan.out, PROGRAMS[NODE_EXPORTER] in plan.out) == (3, True, True), str(plan)
    repaired = done(machine.json("repair", NODE_EXPORTER, "--yes"))
    assert (repaired["changed"], repaired["broken"]["missing"]) == (True, [PROGRAMS[NODE_EXPORTER]])
    assert program.read_bytes() == content
    assert {check["status"] for check in repaired["checks"]} - {"not-applicable"} == {"passed"}

    for pid in programs(machine, NODE_EXPORTER):
        os.kill(pid, signal.SIGKILL)
    if machine.host.units():  # its unit starts it again by itself
        machine.host.run(["systemctl", "stop", NODE_EXPORTER])
    killed = done(machine.json("repair", NODE_EXPORTER, "--yes"))
    assert (killed["changed"], killed["broken"]["reason"], machine.listens(9100)) == (True, "checks", True)

    configuration = host_file(machine, f"/etc/default/{NODE_EXPORTER}")
    written = configuration.read_text(encoding="utf-8")
    configuration.write_text("ARGS=--no-such-flag\n", encoding="utf-8")
    changed = done(machine.json("install", NODE_EXPORTER, "--yes"))
    assert changed["broken"]["missing"] == [f"/etc/default/{NODE_EXPORTER}"]
    assert configuration.read_text(encoding="utf-8") == written
    assert done(machine.json("repair", NODE_EXPORTER, "--yes"))["changed"] is False

    # Taken back, what was broken is broken again: that is no failure of the rollback.
    back = machine.json("rollback", "--yes")
    assert back.code == 0, str(back)
    assert configuration.read_text(encoding="utf-8") == "ARGS=--no-such-flag\n"
    done(machine.json("rollback", back.data["run_id"], "--yes"))
    done(machine.json("verify", NODE_EXPORTER))
