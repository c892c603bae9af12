"""Ctrl-C and sudden death at every stage: the host is as before, or becomes so with the next command."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.failpoint import known

if TYPE_CHECKING:
    from tests.system.machine import Machine, World

pytestmark = [pytest.mark.root, pytest.mark.slow]

TERMINAL = {"succeeded", "failed", "rolled-back", "cancelled"}
#: A rollback that died after its files were back never looked whether all is well: a person is told to.
TERMINAL_ROLLBACK = TERMINAL | {"needs-attention"}
#: A check that is looked at for long, and never holds while nobody makes the file.
PATIENT = "- {id: never, kind: file, path: /opt/little/never, timeout: 60}"
#: An effect in a running place that is done, and then takes its time.
LIVE = """
effects:
  - id: live
    kind: declared
    description: A mark in a running place
    do: {argv: [sh, -c, "touch /run/little-live && sleep 60"]}
    undo: {argv: [sh, -c, "rm /run/little-live && echo undone >>/run/little-undone"]}
    probe: {argv: [sh, -c, "test ! -e /run/little-live || echo there"], stdout_contains: there}
"""
SCRIPT = r"""
    set -eu
    mkdir -p /opt/little/data && touch /opt/little/done /opt/little/data/one
    cat >/opt/little/server.pl <<'END'
    use IO::Socket::INET;
    my $socket = IO::Socket::INET->new(LocalPort => shift, Listen => 5, ReuseAddr => 1) or die "no port: $!";
    while (my $client = $socket->accept) {
        while (<$client>) { last if /^\r?$/ }  # closing before the request is read would reset the connection
        print $client "HTTP/1.0 200 OK\r\n\r\nlittle\n"; close $client;
    }
    END
    echo 'a line of ours' >>/etc/motd
    useradd --system little
    rm /etc/issue
"""
SERVICE = """
    - name: little
      exe: /usr/bin/perl
      argv: [/usr/bin/perl, /opt/little/server.pl, "8484"]
      listens: [tcp/8484]
      sysvinit: false
"""
PAGE = "- {id: page, kind: http, url: 'http://127.0.0.1:8484/', contains: little}"
POINTS = [
    "engine.before-request:5",
    "engine.after-reply:5",
    "engine.after-reply:6",
    "store.before-commit:7",
    "transaction.plan-written:2",
    "transaction.commit.operation:5",
    "transaction.committed",
]


@pytest.fixture
def before(machine: Machine) -> World:
    return machine.world()


def little(machine: Machine, *, checks: str = PAGE, script: str = SCRIPT, more: str = "") -> str:
    return machine.integration("little", script, services=SERVICE, checks=checks, more=more)


def ended(machine: Machine, before: World) -> None:
    """Nothing is left: no file, no process, no port, no capture, no run that still claims to work."""
    machine.assert_as(before)
    for run in machine.json("history", "--limit", "50").data["items"]:
        assert run["status"] in (TERMINAL_ROLLBACK if run["action"] == "rollback" else TERMINAL), run


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        ("prepare", signal.SIGINT),
        ("commit", signal.SIGINT),
        ("activate", signal.SIGINT),
        ("verify", signal.SIGINT),
        ("verify", signal.SIGTERM),
    ],
)
def test_an_interrupt_takes_back_what_was_done(
    machine: Machine, before: World, stage: str, number: signal.Signals
) -> None:
    script = f"{SCRIPT}    sleep 60\n" if stage == "prepare" else SCRIPT
    with machine.running("install", little(machine, checks=PATIENT, script=script), "--yes", "--json") as running:
        running.wait_for(f"running {stage}")
        running.process.send_signal(number)
        answer = running.finish()
    assert answer.code == 130, str(answer)
    assert answer.error["code"] == "interrupted"
    assert number.name in answer.error["message"]
    status = answer.envelope["data"]["status"]
    assert status == ("cancelled" if stage == "prepare" else status)
    assert status in {"cancelled", "rolled-back"}
    ended(machine, before)


def test_an_interrupt_in_a_live_effect_has_it_undone(machine: Machine, before: World) -> None:
    root = machine.host.root
    with machine.running("install", little(machine, more=LIVE), "--yes", "--json") as running:
        running.wait_for("running configure")
        deadline = time.monotonic() + 60
        while not (root / "run/little-live").exists():
            assert time.monotonic() < deadline, "the effect was never begun"
            time.sleep(0.05)
        running.interrupt()
        answer = running.finish()
    assert (answer.code, answer.error["code"]) == (130, "interrupted"), str(answer)
    assert answer.envelope["data"]["status"] == "rolled-back"
    assert not (root / "run/little-live").exists()
    undone = root / "run/little-undone"
    assert undone.read_text(encoding="utf-8") == "undone\n", "its `undo` was carried out, once"
    undone.unlink()
    ended(machine, before)


def test_an_interrupt_while_it_asks_changes_nothing(machine: Machine, before: World) -> None:
    with machine.running("install", little(machine), terminal=True) as running:
        running.wait_for(r"\[y/N\]")
        running.interrupt()
        answer = running.finish()
    assert answer.code == 130, str(answer)
    ended(machine, before)


def test_an_interrupted_rollback_is_before_or_after(machine: Machine, before: World) -> None:
    run = machine.json("install", little(machine), "--yes").data["run_id"]
    with machine.running("rollback", "--yes", "--json") as running:
        running.wait_for("running rollback")
        running.interrupt()
        running.finish()
    report = machine.json("show", run).data
    if not report["undone_by"]:
        assert machine.json("verify", "./own/little").code == 0
        assert machine.json("rollback", run, "--yes").code == 0
    machine.assert_as(before)


def killed(machine: Machine, *arguments: str, point: str) -> bool:
    """Run a command that dies at a failure point; tells whether it came there."""
    answer = machine.json(*arguments, environ={"WORKFLOW_AGENT_FAILPOINT": f"{point}=kill"})
    assert answer.code in {0, -signal.SIGKILL}, str(answer)
    return answer.code != 0


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_install_is_settled_by_the_next_command(machine: Machine, before: World, point: str) -> None:
    folder = little(machine)
    assert killed(machine, "install", folder, "--yes", point=point), "the point was never passed"
    done = machine.json("install", folder, "--yes").data
    assert done["status"] == "succeeded"
    assert machine.listens(8484)
    assert machine.json("rollback", "--yes").code == 0
    ended(machine, before)


@pytest.mark.parametrize(
    "point",
    [
        "transaction.plan-written:1",
        "transaction.plan-renamed:1",
        "transaction.undo.operation:3",
        "transaction.undone",
        "engine.after-reply:3",
    ],
)
def test_a_killed_rollback_is_settled_by_the_next_command(machine: Machine, before: World, point: str) -> None:
    run = machine.json("install", little(machine), "--yes").data["run_id"]
    assert killed(machine, "rollback", "--yes", point=point), "the point was never passed"
    again = machine.json("rollback", run, "--yes")
    assert again.code in {0, 6}, str(again)
    ended(machine, before)


def test_a_killed_command_takes_its_script_with_it(machine: Machine, before: World) -> None:
    folder = little(machine, script="echo begun\nsleep 600\n")
    with machine.running("install", folder, "--yes", "--json") as running:
        running.wait_for("running prepare")
        running.process.kill()
        running.process.wait()
    assert machine.json("history", "--limit", "1").data["items"][0]["status"] not in TERMINAL, "to look settles nothing"
    assert machine.json("rollback", "--yes").code in {5, 6}
    ended(machine, before)


@pytest.mark.long
@pytest.mark.parametrize("n", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("point", sorted(known()))
def test_an_install_that_dies_at_any_failure_point_is_settled(
    machine: Machine, before: World, point: str, n: int
) -> None:
    folder = little(machine)
    killed(machine, "install", folder, "--yes", point=f"{point}:{n}")
    assert machine.json("install", folder, "--yes").data["status"] == "succeeded"
    assert machine.json("rollback", "--yes").code == 0
    ended(machine, before)
