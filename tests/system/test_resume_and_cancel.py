"""Runs without an end: one that a dead process left is ended by `resume`, one that lives is stopped by `cancel`."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.machine import Machine, World

pytestmark = [pytest.mark.root, pytest.mark.slow]

SCRIPT = "set -eu\nmkdir -p /opt/small\ntouch /opt/small/done\n"
GONE = "negative_checks: [{id: gone, kind: file, path: /opt/small/done, exists: false}]\n"


@pytest.fixture
def before(machine: Machine) -> World:
    return machine.world()


def small(machine: Machine, script: str = SCRIPT) -> str:
    return machine.integration("small", script, more=GONE)


def dies(machine: Machine, *arguments: str, at: str) -> str:
    """Let a command die at a failure point; gives the run that it left."""
    answer = machine.json(*arguments, environ={"WORKFLOW_AGENT_FAILPOINT": f"{at}=kill"})
    assert answer.code == -signal.SIGKILL, str(answer)
    run: str = machine.json("history", "--limit", "1").data["items"][0]["run_id"]
    return run


SERVER = r"""
set -eu
mkdir -p /opt/server
touch /opt/server/done
cat >/opt/server/server.pl <<'END'
use IO::Socket::INET;
my $socket = IO::Socket::INET->new(LocalPort => 8484, Listen => 5, ReuseAddr => 1) or die "no port: $!";
while (my $client = $socket->accept) {
    while (<$client>) { last if /^\r?$/ }
    print $client "HTTP/1.0 200 OK\r\n\r\nWORD\n"; close $client;
}
END
"""
SERVICE = """
- name: server
  exe: /usr/bin/perl
  argv: [/usr/bin/perl, /opt/server/server.pl]
  listens: [tcp/8484]
  sysvinit: false
"""


def server(machine: Machine, word: str) -> str:
    """Write an integration whose service answers with a word; gives its folder as it is typed."""
    check = f"- {{id: page, kind: http, url: 'http://127.0.0.1:8484/', contains: {word}}}"
    return machine.integration("server", SERVER.replace("WORD", word), services=SERVICE, checks=check)


@pytest.mark.parametrize(
    ("at", "then"),
    [
        ("transaction.undo.operation:1", "plan"),
        ("transaction.plan-renamed:2", "rollback"),
        ("transaction.standing", "resume"),
        ("transaction.standing", "recover"),
    ],
)
def test_services_that_a_killed_rollback_had_stopped_run_again(fresh: Machine, at: str, then: str) -> None:
    """The service ran before the run that is taken back: whoever takes the target next starts it with its old files."""
    machine = fresh
    assert machine.json("install", server(machine, "first"), "--yes").code == 0
    before = machine.world()
    second = machine.json("upgrade", server(machine, "second"), "--yes").data["run_id"]

    killed = dies(machine, "rollback", "--yes", at=at)
    assert not machine.listens(8484), "it stands still"
    commands = {
        "resume": ("resume", killed),
        "recover": ("recover",),
        "plan": ("plan", small(machine)),
        "rollback": ("rollback", second, "--yes"),
    }
    answer = machine.json(*commands[then])
    assert answer.code in {0, 6}, str(answer)

    assert machine.listens(8484)
    machine.assert_as(before)
    server(machine, "first")
    assert machine.json("verify", "./own/server").code == 0


def test_services_that_a_killed_settling_had_stopped_run_again(fresh: Machine) -> None:
    machine = fresh
    assert machine.json("install", server(machine, "first"), "--yes").code == 0
    before = machine.world()
    assert machine.json("upgrade", server(machine, "second"), "--yes").code == 0
    for command, at in (
        (("rollback", "--yes"), "transaction.undo.operation:1"),
        (("recover",), "transaction.undone"),
        (("recover",), "transaction.standing"),
    ):
        dies(machine, *command, at=at)
        assert not machine.listens(8484), "it stands still"

    assert machine.json("recover").code == 0

    assert machine.listens(8484)
    machine.assert_as(before)


@pytest.mark.parametrize(
    ("at", "status"),
    [
        ("engine.before-request:5", "failed"),
        ("transaction.committed", "rolled-back"),
        ("engine.after-reply:7", "rolled-back"),
    ],
)
def test_a_run_that_a_dead_process_left_is_ended(machine: Machine, before: World, at: str, status: str) -> None:
    run = dies(machine, "install", small(machine), "--yes", at=at)
    shown = machine.json("show", run)
    assert shown.data["orphaned"] is True
    assert f"workflow-agent resume {run}" in shown.envelope["warnings"][0]
    listed = machine.json("history", "--limit", "1")
    assert listed.data["items"][0]["orphaned"] is True
    assert listed.data["items"][0]["status"] == shown.data["status"], "to look changes nothing"
    ended = machine.json("resume", run)
    assert (ended.data["run_id"], ended.data["status"]) == (run, status)
    machine.assert_as(before)
    again = machine.json("resume", run)
    assert (again.code, "has ended" in again.error["message"]) == (6, True), str(again)


def test_a_killed_rollback_whose_files_are_back_succeeds_when_the_look_proves_it(
    machine: Machine, before: World
) -> None:
    installed = machine.json("install", small(machine), "--yes").data["run_id"]
    run = dies(machine, "rollback", "--yes", at="transaction.undone")
    ended = machine.json("resume", run).data
    assert (ended["status"], ended["undoes"], ended["error"]) == ("succeeded", installed, None)
    assert machine.json("show", installed).data["undone_by"] == run
    machine.assert_as(before)


def test_a_killed_rollback_keeps_the_data_that_were_to_stay(fresh: Machine) -> None:
    kept = f"{GONE}state_data: [{{path: /opt/small/data, policy: keep, description: Data.}}]\n"
    folder = fresh.integration("small", f"{SCRIPT}mkdir /opt/small/data\n", more=kept)
    assert fresh.json("install", folder, "--yes").code == 0
    (fresh.host.root / "opt/small/data/theirs").write_text("a row\n", encoding="utf-8")
    run = dies(fresh, "rollback", "--keep-data", "--yes", at="transaction.undone")
    assert fresh.json("resume", run).data["status"] == "succeeded"
    assert (fresh.host.root / "opt/small/data/theirs").read_text(encoding="utf-8") == "a row\n"
    assert not (fresh.host.root / "opt/small/done").exists()


def test_a_killed_rollback_that_did_not_come_far_leaves_what_it_found(machine: Machine, before: World) -> None:
    installed = machine.json("install", small(machine), "--yes").data["run_id"]
    run = dies(machine, "rollback", "--yes", at="engine.before-request:3")
    assert machine.json("resume", run).data["status"] == "failed"
    assert machine.json("verify", "./own/small").code == 0
    assert machine.json("rollback", installed, "--yes").code == 0
    machine.assert_as(before)


def test_a_run_that_lives_is_stopped_from_outside(machine: Machine, before: World) -> None:
    folder = small(machine, f"{SCRIPT}sleep 600\n")
    with machine.running("install", folder, "--yes", "--json") as running:
        running.wait_for("running prepare")
        run = machine.json("history", "--limit", "1").data["items"][0]
        assert run["orphaned"] is False
        refused = machine.json("resume", run["run_id"])
        assert (refused.code, f"process {running.process.pid} " in refused.error["message"]) == (6, True), str(refused)
        stopped = machine.json("cancel", run["run_id"])
        assert stopped.data["status"] == "cancelled", str(stopped)
        assert running.finish().code == 130
    machine.assert_as(before)
    again = machine.json("cancel", run["run_id"])
    assert (again.code, "has ended" in again.error["message"]) == (6, True), str(again)


def test_a_run_that_waits_for_an_answer_says_where_and_can_be_cancelled(machine: Machine, before: World) -> None:
    with machine.running("install", small(machine), terminal=True) as running:
        running.wait_for(r"\[y/N\]")
        run = machine.json("history", "--limit", "1").data["items"][0]["run_id"]
        assert "an answer" in machine.json("resume", run).error["cause"]
        assert machine.json("cancel", run).data["status"] == "cancelled"
        running.finish()
    machine.assert_as(before)


def test_cancelling_a_run_that_a_dead_process_left_ends_it(machine: Machine, before: World) -> None:
    run = dies(machine, "install", small(machine), "--yes", at="engine.after-reply:6")
    ended = machine.cli("cancel", run)
    assert (ended.code, "target    as it was before the run" in ended.out) == (0, True), str(ended)
    assert machine.json("show", run).data["status"] in {"failed", "rolled-back"}
    machine.assert_as(before)
