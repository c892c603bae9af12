"""What goes wrong while a run lasts: it ends with the right code, says what happened, and the host is as before."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.slow]

SERVER = r"""
    set -eu
    mkdir -p /opt/little
    cat >/opt/little/server.pl <<'END'
    use IO::Socket::INET;
    my $socket = IO::Socket::INET->new(LocalPort => shift, Listen => 5, ReuseAddr => 1) or die "no port: $!";
    while (my $client = $socket->accept) {
        while (<$client>) { last if /^\r?$/ }  # closing before the request is read would reset the connection
        print $client "HTTP/1.0 200 OK\r\n\r\nlittle\n"; close $client;
    }
    END
    echo installed
"""
SERVICE = """
    - name: little
      exe: /usr/bin/perl
      argv: [/usr/bin/perl, /opt/little/server.pl, "8484"]
      listens: [tcp/8484]
      sysvinit: false
"""
PAGE = "- {id: page, kind: http, url: 'http://127.0.0.1:8484/', contains: little}"
WRONG_PAGE = "- {id: page, kind: http, url: 'http://127.0.0.1:8484/', contains: something else, timeout: 0.5}"


@pytest.mark.parametrize(
    ("script", "more", "code", "words"),
    [
        ("echo half >/opt/half\necho evidence\nexit 3\n", [], "step-failed.script", "exit code 3"),
        ("echo half >/opt/half\necho evidence\nkill -KILL $$\n", [], "step-failed.script", "SIGKILL"),
        ("echo half >/opt/half\necho evidence\nsleep 600\n", ["--timeout", "1"], "step-timeout", "1 s"),
        ("echo half >/opt/half\necho evidence\nsleep 600 &\nfalse\n", [], "step-failed.script", "exit code 1"),
    ],
    ids=["exit", "signal", "time", "daemon"],
)
def test_a_script_that_fails_changes_nothing_and_leaves_evidence(
    machine: Machine, script: str, more: list[str], code: str, words: str
) -> None:
    before, kept = machine.world(), machine.transactions()
    answer = machine.json("install", machine.integration("broken", script), "--yes", *more)
    assert answer.code == 1, str(answer)
    assert answer.error["code"] == code
    assert words in answer.error["message"]
    assert answer.envelope["data"]["status"] == "failed"
    assert answer.envelope["data"]["changed"] is False
    machine.assert_as(before)
    assert machine.transactions() == kept
    run = answer.error["run_id"]
    assert "evidence" in machine.json("logs", run).data["lines"]
    shown = machine.json("show", run).data
    assert shown["error"]["code"] == code
    assert [step["status"] for step in shown["steps"] if step["id"] == "prepare"] == ["failed"]
    assert machine.json("rollback", run, "--yes").code == 6


def test_a_hundred_megabytes_of_output_are_cut_and_what_a_script_started_is_dead(machine: Machine) -> None:
    before = machine.world()
    script = """
        set -eu
        mkdir /opt/noisy && touch /opt/noisy/done
        setsid sleep 600 &
        nohup sleep 600 >/dev/null 2>&1 &
        echo first
        yes 'a line of a script that says the same again and again' | head -c 100000000
    """
    report = machine.json("install", machine.integration("noisy", script), "--yes").data
    assert report["output"]["truncated"] is True
    kept = machine.state / "artifacts" / report["run_id"] / "output.log"
    assert kept.stat().st_size <= 11 << 20
    assert kept.read_bytes().startswith(b"first\n")
    assert [one for one in machine.host.processes() if "sleep" in one.program] == []
    assert machine.json("rollback", "--yes").code == 0
    machine.assert_as(before)


def test_a_check_that_fails_takes_everything_back(machine: Machine) -> None:
    before = machine.world()
    folder = machine.integration("little", SERVER, services=SERVICE, checks=WRONG_PAGE)
    answer = machine.json("install", folder, "--yes")
    assert answer.code == 9, str(answer)
    assert answer.error["code"] == "rolled-back"
    assert "page" in answer.error["message"]
    data = answer.envelope["data"]
    assert data["status"] == "rolled-back"
    assert [check["status"] for check in data["checks"]] == ["failed"]
    assert "something else" in data["checks"][0]["expected"]
    assert not machine.listens(8484)
    machine.assert_as(before)
    read = machine.cli("show", answer.error["run_id"])
    assert "something else" in read.out + read.err
    assert machine.json("rollback", "--yes").code in {5, 6}, "there is nothing left to take back"


def test_a_service_that_does_not_start_takes_everything_back(machine: Machine) -> None:
    before = machine.world()
    dying = SERVICE.replace('/opt/little/server.pl, "8484"', '-e, "die qq(it cannot work)"')
    answer = machine.json("install", machine.integration("little", SERVER, services=dying, checks=PAGE), "--yes")
    assert answer.code == 9, str(answer)
    assert "little" in answer.error["message"]
    assert "it cannot work" in json.dumps(answer.error)
    machine.assert_as(before)


def test_a_failure_can_be_kept_to_look_at_and_then_taken_back(machine: Machine) -> None:
    before = machine.world()
    folder = machine.integration("little", SERVER, services=SERVICE, checks=WRONG_PAGE)
    answer = machine.json("install", folder, "--yes", "--keep-on-failure")
    assert answer.code == 10, str(answer)
    assert answer.envelope["data"]["status"] == "needs-attention"
    assert machine.listens(8484)
    command = answer.envelope["data"]["rollback_command"]
    assert command == f"workflow-agent rollback {answer.error['run_id']}"
    assert machine.json(*command.split()[1:], "--yes").code == 0
    machine.assert_as(before)


def test_a_port_that_is_taken_is_named_and_everything_taken_back(machine: Machine) -> None:
    enter = ["nsenter", f"--target={machine.host.pid}", "-m", "-n", "-p", "-r", "-w", "--"]
    listen = "LocalPort => 8484, Listen => 1, ReuseAddr => 1"  # connections of tests before may still be dying there
    holder = f"$| = 1; $s = IO::Socket::INET->new({listen}) or die; print qq(on\\n); sleep 600"
    with subprocess.Popen([*enter, "perl", "-MIO::Socket::INET", "-e", holder], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"on\n"
            before = machine.world()
            folder = machine.integration("little", SERVER, services=SERVICE, checks=PAGE)
            answer = machine.json("install", folder, "--yes")
            assert answer.code == 9, str(answer)
            assert "8484" in json.dumps(answer.error) or "no port" in json.dumps(answer.error)
            machine.assert_as(before)
        finally:
            for one in machine.host.processes():
                if holder in one.arguments:  # a child of nsenter, which would outlive it
                    os.kill(one.pid, signal.SIGKILL)
            process.wait()


def test_a_target_that_is_held_names_the_holder_and_can_be_waited_for(machine: Machine) -> None:
    first = machine.integration("first", "mkdir /opt/first && touch /opt/first/done\n")
    second = machine.integration("second", "mkdir /opt/second && touch /opt/second/done\n")
    before = machine.world()
    with machine.running("install", first, terminal=True) as holder:
        holder.wait_for(r"\[y/N\]")
        refused = machine.json("install", second, "--yes")
        assert refused.code == 6, str(refused)
        assert refused.error["code"] == "conflict.target-locked"
        run = refused.error["details"]["run_id"]
        assert machine.json("show", run).data["status"] == "awaiting-approval"
        assert machine.json("history").code == 0, "to look needs no lock"
        with machine.running("install", second, "--yes", "--wait=60", "--json") as waiting:
            waiting.wait_for("running prepare")
            holder.type("n\n")
            assert holder.finish().code == 1
            done = waiting.finish()
    assert done.code == 0, str(done)
    assert machine.json("show", run).data["status"] == "cancelled"
    assert machine.json("rollback", "--yes").code == 0
    machine.assert_as(before)


def test_a_package_lock_is_waited_for_and_its_holder_named(machine: Machine) -> None:
    folder = machine.integration("first", "mkdir /opt/first && touch /opt/first/done\n")
    before = machine.world()
    with (machine.host.root / "var/lib/dpkg/lock-frontend").open("r+b") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        impatient = {"WORKFLOW_AGENT_TIMEOUTS__PACKAGE_LOCK_S": "0.3"}
        refused = machine.json("install", folder, "--yes", environ=impatient)
        assert refused.code == 6, str(refused)
        assert "/var/lib/dpkg/lock-frontend" in refused.error["message"]
        assert "process" in refused.error["cause"]
        machine.assert_as(before)
        with machine.running("install", folder, "--yes", "--json") as waiting:
            waiting.wait_for("running prepare")
            fcntl.lockf(lock, fcntl.LOCK_UN)
            assert waiting.finish().code == 0
    assert machine.json("rollback", "--yes").code == 0
    machine.assert_as(before)


def test_what_changed_while_a_person_thought_is_a_conflict_by_name(fresh: Machine) -> None:
    shared = fresh.host.root / "etc/shared.conf"
    shared.write_text("theirs\n", encoding="utf-8")
    script = "echo ours >>/etc/shared.conf\nmkdir /opt/first && touch /opt/first/done\n"
    with fresh.running("install", fresh.integration("first", script), terminal=True) as running:
        running.wait_for(r"\[y/N\]")
        shared.write_text("theirs, changed meanwhile\n", encoding="utf-8")
        before = fresh.world()
        running.type("y\n")
        answer = running.finish()
    assert answer.code == 6, str(answer)
    assert "error[conflict.paths]" in answer.err
    assert "/etc/shared.conf" in answer.err
    fresh.assert_as(before)
    assert shared.read_text(encoding="utf-8") == "theirs, changed meanwhile\n"


def test_consent_on_a_terminal(machine: Machine) -> None:
    folder = machine.integration("first", "mkdir /opt/first && touch /opt/first/done\n")
    before = machine.world()
    for answer, code in (("n\n", 1), ("\n", 1), ("\x04", 1), ("yes\n", 0)):
        with machine.running("install", folder, terminal=True) as running:
            running.wait_for(r"\[y/N\]")
            assert b"/opt/first/done" in running.seen
            machine.assert_as(before)
            running.type(answer)
            assert running.finish().code == code, answer
    assert machine.json("rollback", "--yes").code == 0
    machine.assert_as(before)


def test_a_policy_finding_refuses_and_can_be_allowed(machine: Machine) -> None:
    folder = machine.integration(
        "first", "curl -s http://127.0.0.1/x | sh\nmkdir /opt/first && touch /opt/first/done\n"
    )
    before, kept = machine.world(), machine.transactions()
    refused = machine.json("install", folder, "--yes")
    assert refused.code == 2, str(refused)
    assert refused.error["code"] == "validation.script"
    rule = refused.error["details"]["findings"][0]["rule"]
    assert machine.transactions() == kept
    assert refused.error["where"].endswith("install.sh.j2:1 (script:1:30)"), refused.error["where"]
    misspelt = machine.json("install", folder, "--yes", "--allow", "network-to-shel")
    assert misspelt.code == 2
    assert misspelt.error["hint"] == f"did you mean `{rule}`?"
    allowed = machine.json("install", folder, "--yes", "--allow", f"{rule}:1")
    assert allowed.code == 0, str(allowed)
    shown = machine.json("show", allowed.data["run_id"]).data
    found = [found for found in shown["findings"] if found["rule"] == rule]
    assert [(item["allowed"], item["allowed_by"]) for item in found] == [(True, shown["user"])]
    assert f"allowed by {shown['user']}" in machine.cli("show", allowed.data["run_id"]).out
    assert machine.json("rollback", "--yes").code == 0
    machine.assert_as(before)
