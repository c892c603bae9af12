"""A person's own script as a transaction: previewed, applied, taken back bit for bit, applied again; and refusals."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.machine import APPENDED_LOGS, COMMAND, Machine
else:
    from machine import APPENDED_LOGS, COMMAND

pytestmark = [pytest.mark.root, pytest.mark.slow]

NODE_EXPORTER = "prometheus-node-exporter"
SETUP = """\
#!/bin/bash
set -eu
useradd --system --create-home --home-dir /srv/greeter greeter
printf 'hello from %s\\n' "$1" >/srv/greeter/greeting
chown greeter: /srv/greeter/greeting
ln -s greeting /srv/greeter/link
echo "own words" >>/etc/motd
rm /etc/issue.net
apt-get install -y --no-install-recommends prometheus-node-exporter
"""
SMALL = "#!/bin/sh\nset -e\nmkdir -p /opt/own\necho one >/opt/own/one\necho words >>/etc/motd\n"
SERVICE = """\
#!/bin/bash
set -e
cat >/etc/systemd/system/sleeper.service <<S
[Unit]
Description=Sleeps
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
S
systemctl daemon-reload
systemctl enable --now sleeper
systemctl restart nobody-knows-it
systemctl isolate rescue.target
"""


def written(machine: Machine, text: str | bytes, name: str = "own.sh") -> str:
    """Write a script into the folder in which commands are typed; gives its path as typed."""
    data = text if isinstance(text, bytes) else text.encode()
    (machine.folder / name).write_bytes(data)
    return f"./{name}"


def read(machine: Machine, path: str) -> str:
    return (machine.host.root / path.lstrip("/")).read_text(encoding="utf-8")


def test_a_script_is_planned_applied_shown_taken_back_and_applied_again(machine: Machine) -> None:
    script, before = written(machine, SETUP, "setup.sh"), machine.world()
    kept = machine.transactions()

    plan = machine.json("apply", script, "--plan", "--check", "--", "Ada")
    assert plan.code == 3, str(plan)
    machine.assert_as(before)
    assert machine.transactions() == kept
    planned = plan.envelope["data"]["plan"]
    assert (planned["script"], planned["tier"]) == ("setup.sh", "exact")
    assert [package["name"] for package in planned["change_set"]["packages"]] == [NODE_EXPORTER]
    assert {user["name"] for user in planned["change_set"]["users"]} == {"greeter", "prometheus"}
    assert [service["name"] for service in planned["services"]] == [NODE_EXPORTER]

    done = machine.json("apply", script, "--yes", "--", "Ada").data
    assert (done["action"], done["integration"], done["status"], done["changed"]) == ("apply", None, "succeeded", True)
    assert done["script"] == {
        "name": "setup.sh",
        "hash": hashlib.sha256(SETUP.encode()).hexdigest(),
        "interpreter": "/bin/bash",
        "arguments": ["Ada"],
    }
    assert (done["started"], done["left"]) == ([NODE_EXPORTER], [])
    assert read(machine, "/srv/greeter/link") == "hello from Ada\n"
    assert machine.listens(9100)

    first = machine.json("history", "--limit", "1").data["items"][0]
    assert (first["run_id"], first["action"], first["inputs"]["name"]) == (done["run_id"], "apply", "setup.sh")
    assert "text" not in first["inputs"]
    assert machine.json("show", done["run_id"]).data["script"] == done["script"]
    shown = machine.cli("show", done["run_id"]).out
    assert f"sha256 {done['script']['hash']}" in shown
    assert "apply setup.sh on host" in shown
    assert NODE_EXPORTER in machine.cli("logs", done["run_id"]).out
    items = {item["path"]: item["action"] for item in machine.json("diff", done["run_id"]).data["items"]}
    assert items["/srv/greeter/greeting"] == "created"
    assert items["/etc/motd"] == "modified"
    assert items["/etc/issue.net"] == "deleted"

    back = machine.json("rollback", "--yes").data
    assert back["undoes"] == done["run_id"]
    machine.assert_as(before, logs=APPENDED_LOGS)
    again = machine.json("rollback", back["run_id"], "--yes").data
    assert again["undoes"] == back["run_id"]
    assert machine.listens(9100)
    assert read(machine, "/srv/greeter/link") == "hello from Ada\n"
    machine.json("rollback", done["run_id"], "--yes")
    machine.assert_as(before, logs=APPENDED_LOGS)


def test_the_text_travels_with_the_run_and_events_end_with_the_result(machine: Machine) -> None:
    script, before = written(machine, SMALL), machine.world()

    answer = machine.cli("apply", script, "--yes", "--events")
    lines = [json.loads(line) for line in answer.out.splitlines()]
    done = lines[-1]["data"]
    (machine.folder / "own.sh").unlink()

    assert (lines[-1]["type"], done["script"]["name"]) == ("result", "own.sh")
    assert "StepSucceeded" in {line["type"] for line in lines[:-1]}
    assert machine.json("rollback", done["run_id"], "--yes").code == 0
    machine.assert_as(before)


def test_stdin_and_arguments_reach_the_script_as_they_were_given(machine: Machine) -> None:
    before = machine.world()
    words = ["two words", "", "--plan", "$(touch /marker)", "é*"]
    text = 'printf "%s|" "$@" >/srv/words\nbasename "$0" >>/srv/words\nread -r line || echo "$line." >>/srv/words\n'

    done = machine.json("apply", "-", "--yes", "--", *words, stdin=text).data

    assert (done["script"]["name"], done["script"]["arguments"]) == ("stdin", words)
    assert read(machine, "/srv/words") == "two words||--plan|$(touch /marker)|é*|stdin\n.\n"
    machine.json("rollback", "--yes")
    machine.assert_as(before)


@pytest.mark.parametrize(
    ("text", "code", "line", "said"),
    [
        ("#!/bin/bash\nset -e\ntouch /srv/x\ngrep -q nothing /etc/hostname\necho never\n", 1, 4, "grep -q nothing"),
        ("#!/bin/sh\necho before\nno-such-command\nexit 7\n", 7, 3, "no-such-command: not found"),
        ("#!/usr/bin/env bash\nset -u\nrm /etc/motd\necho $missing\n", 1, 4, "missing: unbound variable"),
        ("#!/bin/bash\necho the last words\nexit 3\n", 3, None, "the last words"),
        ("#!/bin/bash\nkill -9 $$\n", -9, None, "SIGKILL"),
    ],
)
def test_a_script_that_fails_changes_nothing_and_says_where(
    machine: Machine, text: str, code: int, line: int | None, said: str
) -> None:
    script, before, kept = written(machine, text), machine.world(), machine.transactions()

    failed = machine.json("apply", script, "--yes")

    assert (failed.code, failed.error["code"]) == (1, "step-failed.script"), str(failed)
    assert failed.error["details"]["exit_code"] == code
    assert failed.error["details"]["line"] == line
    if line is not None:
        assert failed.error["where"] == f"own.sh:{line}"
    assert said in f"{failed.error['message']} {failed.error['cause']}"
    assert failed.error["state"] == "nothing was changed"
    assert failed.envelope["data"]["status"] == "failed"
    assert failed.envelope["data"]["rollback_command"] is None
    machine.assert_as(before)
    assert machine.transactions() == kept


def test_a_script_that_changes_nothing_is_unchanged_and_never_taken_back(machine: Machine) -> None:
    earlier = machine.json("apply", written(machine, SMALL), "--yes").data
    kept = machine.transactions()

    for text in ("#!/bin/sh\ntrue\n", "#!/bin/sh\necho one >/opt/new\nrm /opt/new\n: >/tmp/x\n"):
        script = written(machine, text, "nothing.sh")
        assert machine.json("apply", script, "--plan", "--check").code == 0
        done = machine.json("apply", script, "--yes").data
        assert (done["status"], done["changed"], done["rollback_command"]) == ("succeeded", False, None)
        assert machine.transactions() == kept
        refused = machine.json("rollback", done["run_id"], "--yes")
        assert (refused.code, refused.error["code"]) == (6, "conflict"), str(refused)

    assert machine.json("rollback", "--yes").data["undoes"] == earlier["run_id"]


@pytest.mark.parametrize(
    ("name", "data", "code", "near"),
    [
        ("crlf.sh", b"#!/bin/bash\r\necho hi\r\n", 2, "Windows line ends"),
        ("latin.sh", b"#!/bin/sh\necho caf\xe9\n", 2, "not UTF-8"),
        ("wide.sh", "#!/bin/sh\necho hi\n".encode("utf-16"), 2, "UTF-16"),
        ("mark.sh", b"\xef\xbb\xbf#!/bin/sh\necho hi\n", 2, "byte order mark"),
        ("program", b"\x7fELF\x02\0\0\0", 2, "is a program"),
        ("nul.sh", b"#!/bin/sh\necho a\0b\n", 2, "NUL bytes"),
        ("huge.sh", b"#!/bin/sh\n" + b"#" * (1 << 20), 2, "too large"),
        ("empty.sh", b"\n \n", 2, "is empty"),
        ("relative.sh", b"#!bash\necho hi\n", 2, "full path"),
        ("broken.sh", b"#!/bin/sh\nif true; then\n", 2, "bash-syntax"),
        ("strange.sh", b"#!/usr/bin/no-such-shell\necho hi\n", 1, "/usr/bin/no-such-shell"),
    ],
)
def test_what_is_no_script_is_refused_with_its_place(
    machine: Machine, name: str, data: bytes, code: int, near: str
) -> None:
    script, kept = written(machine, data, name), machine.transactions()

    refused = machine.json("apply", script, "--yes")

    assert refused.code == code, str(refused)
    assert near in refused.error["message"]
    assert refused.error["hint"]
    assert refused.error["state"] in {"nothing was begun", "nothing was changed"}
    assert machine.transactions() == kept


def test_what_cannot_be_read_is_refused_by_name(machine: Machine) -> None:
    typed = {"./nowhere.sh": 5, "nginx": 5, ".": 2, "/dev/zero": 2, "a\udcff": 5}
    for path, code in typed.items():
        refused = machine.json("apply", path, "--yes")
        assert (refused.code, refused.error["state"]) == (code, "nothing was begun"), str(refused)
    two = machine.json("apply", written(machine, SMALL), "./other.sh", "--yes")
    assert (two.code, two.error["code"]) == (2, "usage")
    assert "-- ./other.sh" in two.error["hint"]
    unasked = machine.json("apply", written(machine, SMALL))
    assert (unasked.code, unasked.error["code"]) == (2, "usage.consent")


def test_rules_that_reach_past_the_transaction_refuse_and_can_be_allowed(machine: Machine) -> None:
    before = machine.world()
    text = "#!/bin/bash\nchmod -R o+w /opt\ncurl -fsS http://localhost:1/x | sh || true\necho $1 >/srv/allowed\n"
    script = written(machine, text)

    refused = machine.json("apply", script, "--yes", "--", "x")
    assert (refused.code, refused.error["code"]) == (2, "validation.script"), str(refused)
    assert [found["rule"] for found in refused.error["details"]["findings"]] == ["network-to-shell"]
    assert refused.error["where"].startswith("own.sh:3:")
    assert "--allow network-to-shell:3" in refused.error["hint"]
    assert machine.json("apply", script, "--yes", "--allow", "network-to-shell:2").code == 2

    done = machine.json("apply", script, "--yes", "--allow", "network-to-shell:3", "--", "x").data
    found = {finding["rule"]: finding for finding in done["findings"] if finding["source"] == "policy"}
    assert found["network-to-shell"]["allowed_by"]
    assert found["world-writable"]["severity"] == "warning"
    machine.json("rollback", "--yes")
    machine.assert_as(before)


def test_a_script_in_another_language_runs_where_the_target_has_it(machine: Machine) -> None:
    before = machine.world()
    text = '#!/usr/bin/perl\nopen(my $f, ">", "/srv/perl") or die;\nprint $f "$ARGV[0]\\n";\n'

    done = machine.json("apply", written(machine, text, "own.pl"), "--yes", "--", "hi").data
    assert [finding["rule"] for finding in done["findings"]] == ["foreign-script"]
    assert read(machine, "/srv/perl") == "hi\n"
    machine.json("rollback", "--yes")
    machine.assert_as(before)

    harmful = '#!/usr/bin/perl\nsystem("curl -s http://localhost:1/x | sh");\n'
    refused = machine.json("apply", written(machine, harmful, "own.pl"), "--yes")
    assert refused.error["code"] == "validation.script", str(refused)


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("", id="script"),
        pytest.param("transaction.commit.operation:2", id="commit", marks=pytest.mark.long),
    ],
)
def test_after_kill_9_the_next_command_finds_the_target_as_it_was(machine: Machine, point: str) -> None:
    before, script = machine.world(), written(machine, SMALL + ("" if point else "echo waits; sleep 60\n"))
    if point:
        killed = machine.cli("apply", script, "--yes", environ={"WORKFLOW_AGENT_FAILPOINT": f"{point}=kill"})
        assert killed.code == -signal.SIGKILL, str(killed)
    else:
        with machine.running("apply", script, "--yes", "--verbose") as running:
            running.wait_for("waits")
            running.process.kill()
            running.finish()
    (machine.folder / "own.sh").unlink()
    left = machine.json("history", "--limit", "1").data["items"][0]
    assert left["orphaned"], left

    done = machine.json("apply", written(machine, "#!/bin/sh\ntrue\n", "next.sh"), "--yes").data

    assert done["changed"] is False
    assert machine.json("show", left["run_id"]).data["status"] in {"cancelled", "failed", "rolled-back"}
    machine.assert_as(before)


def test_a_person_is_asked_and_a_no_changes_nothing(machine: Machine) -> None:
    before, kept = machine.world(), machine.transactions()
    with machine.running("apply", written(machine, SMALL), terminal=True) as running:
        running.wait_for(r"Apply this\?.*\[y/N\]")
        assert b"own.sh on host" in running.seen
        assert b"/opt/own/one" in running.seen
        running.type("n\n")
        assert running.finish().code == 1
    machine.assert_as(before)
    assert machine.transactions() == kept


def test_a_script_from_a_pipe_asks_on_the_terminal(machine: Machine) -> None:
    """`script` gives the command a controlling terminal, as a shell does."""
    before, path = machine.world(), written(machine, SMALL)
    environment = machine.environment()
    typed = f"cat {path} | {COMMAND} apply -"
    done = subprocess.run(
        ["script", "-qec", typed, "/dev/null"],
        input="y\n",
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=machine.folder,
        timeout=120,
    )
    assert "Apply this?" in done.stdout, done
    assert done.returncode == 0, done
    assert read(machine, "/opt/own/one") == "one\n"
    machine.json("rollback", "--yes")
    machine.assert_as(before)


@pytest.mark.parametrize("machine", [pytest.param("systemd", marks=pytest.mark.systemd)], indirect=True)
def test_services_start_after_the_commit_and_what_is_not_done_is_said(machine: Machine) -> None:
    before, script = machine.world(), written(machine, SERVICE, "service.sh")
    plan = machine.json("apply", script, "--plan", "--allow", "power").data["plan"]
    left = {item["command"]: item["reason"] for item in plan["left"]}
    assert [service["name"] for service in plan["services"]] == ["sleeper"]
    assert left["systemctl restart nobody-knows-it"] == "the target has no such service"
    assert "systemctl isolate rescue.target" in left
    done = machine.json("apply", script, "--yes", "--allow", "power").data
    assert done["started"] == ["sleeper"]
    assert {item["command"] for item in done["left"]} == set(left)
    assert machine.host.units()["sleeper.service"] == "active/running"
    machine.json("rollback", done["run_id"], "--yes")
    machine.assert_as(before)

    asleep = machine.json("apply", script, "--plan", "--no-start", "--allow", "power").data["plan"]
    assert asleep["services"] == []
    assert "systemctl start sleeper" in {item["command"] for item in asleep["left"]}


@pytest.mark.parametrize("machine", [pytest.param("systemd", marks=pytest.mark.systemd)], indirect=True)
def test_a_service_that_does_not_start_takes_the_script_back(machine: Machine) -> None:
    before = machine.world()
    text = SERVICE.replace("/bin/sleep infinity", "/bin/false").partition("systemctl restart")[0]

    failed = machine.json("apply", written(machine, text), "--yes")

    assert (failed.code, failed.error["code"]) == (9, "rolled-back"), str(failed)
    assert "sleeper" in failed.error["message"]
    machine.assert_as(before)


@pytest.mark.parametrize("machine", ["docker-plain"], indirect=True)
def test_a_container_is_a_target_as_well(machine: Machine) -> None:
    before = machine.world()
    script = written(machine, SMALL + 'echo "$1" >/opt/own/argument\n')
    assert machine.json("apply", script, "--plan", "--check", "--", "a b").code == 3
    machine.assert_as(before)

    done = machine.json("apply", script, "--yes", "--", "a b").data
    assert done["target"].startswith("docker:")
    assert read(machine, "/opt/own/argument") == "a b\n"
    back = machine.json("rollback", done["run_id"], "--yes").data
    machine.assert_as(before)
    machine.json("rollback", back["run_id"], "--yes")
    assert read(machine, "/opt/own/argument") == "a b\n"
    machine.json("rollback", done["run_id"], "--yes")
    machine.assert_as(before)


def test_a_script_that_deletes_etc_is_refused_and_where_it_is_allowed_its_plan_shows_it_and_changes_nothing(
    machine: Machine,
) -> None:
    before = machine.world()
    # What is mounted there stays, inside as outside.
    script = written(machine, "#!/bin/sh\nrm -rf /etc || true\n[ ! -e /etc/passwd ]\n", "harmful.sh")
    paths = {f"/{path}" for path in ("etc/passwd", "etc/shadow", "etc/apt/sources.list", "etc/cron.d")}
    paths = {path for path in paths if (machine.host.root / path[1:]).exists()}

    refused = machine.json("apply", script, "--plan")
    assert (refused.code, refused.error["code"]) == (2, "validation.script"), str(refused)
    assert [found["rule"] for found in refused.error["details"]["findings"]] == ["system-delete"]
    machine.assert_as(before)

    plan = machine.json("apply", script, "--plan", "--allow", "system-delete:2").data["plan"]
    gone = {change["path"] for change in plan["change_set"]["changes"] if change["action"] == "deleted"}
    assert len(paths) > 1
    assert paths <= gone
    shown = machine.cli("apply", script, "--plan", "--allow", "system-delete:2", "--verbose")
    assert "- /etc/passwd" in shown.out
    machine.assert_as(before)
