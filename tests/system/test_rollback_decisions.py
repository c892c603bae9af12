"""`rollback --theirs PATH` and `--force`, and what a terminal is asked: nothing is overwritten silently."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.system.machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.slow]

_SCRIPT = """
mkdir -p /etc/wa-app /opt/wa-app
echo port=80 > /etc/wa-app/app.conf
echo level=1 > /etc/wa-common.conf
touch /opt/wa-app/done
"""
_EDIT = "echo port=8080 > /etc/wa-app/app.conf; echo level=2 > /etc/wa-common.conf"
_PATHS = ["/etc/wa-app/app.conf", "/etc/wa-common.conf"]


class _Edited:
    """A run whose configuration files somebody edited, and the host before it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        script = machine.folder / "app.sh"
        script.write_text(_SCRIPT, encoding="utf-8")
        self.run: str = machine.json("apply", str(script), "--yes").data["run_id"]
        machine.host.run(["sh", "-c", _EDIT])

    def shell(self, text: str) -> str:
        return self.machine.host.run(["sh", "-c", text]).stdout

    def decisions(self, run: str) -> dict[str, dict[str, Any]]:
        return {one["path"]: one for one in self.machine.json("show", run).data["decisions"]}


@pytest.fixture(scope="module")
def host(machines: Callable[..., AbstractContextManager[Machine]]) -> Iterator[Machine]:
    """A host of the module's own: what people edited stays on it."""
    with machines("plain") as made:
        yield made


@pytest.fixture
def edited(host: Machine) -> Iterator[_Edited]:
    """A run that the test takes back."""
    one = _Edited(host)
    yield one
    one.shell("rm -rf /etc/wa-app /etc/wa-common.conf /opt/wa-app")


def test_without_a_terminal_it_is_refused_with_both_sides_and_the_commands(edited: _Edited) -> None:
    refused = edited.machine.json("rollback", edited.run, "--yes")
    assert refused.code == 6, str(refused)
    assert [one["path"] for one in refused.error["details"]["conflicts"]] == ["/etc/wa-common.conf", _PATHS[0]]
    command = f"workflow-agent rollback {edited.run}"
    assert f"`{command} --theirs /etc/wa-common.conf --theirs {_PATHS[0]}`" in refused.error["hint"]
    assert f"`{command} --force`" in refused.error["hint"]

    told = edited.machine.cli("rollback", edited.run, "--yes").err
    assert "-port=80\n" in told
    assert "+port=8080" in told
    assert "before the run   nothing" in told
    assert "there now        file, mode 0644, owner 0:0, 10 bytes, changed 20" in told
    assert edited.shell("cat /etc/wa-app/app.conf /etc/wa-common.conf") == "port=8080\nlevel=2\n"


def test_each_path_is_decided_and_history_knows_it(edited: _Edited) -> None:
    command = ["rollback", edited.run, "--theirs", _PATHS[0], "--force"]
    planned = edited.machine.cli(*command, "--plan")
    assert "/etc/wa-app/app.conf, as somebody else left it" in planned.out
    assert "what is there now is kept aside" in planned.out

    done = edited.machine.json(*command, "--yes").data

    assert edited.shell("cat /etc/wa-app/app.conf; ls /etc/wa-common.conf /opt/wa-app 2>&1 | wc -l") == "port=8080\n2\n"
    assert {path: one["decision"] for path, one in edited.decisions(done["run_id"]).items()} == {
        "/etc/wa-app/app.conf": "theirs",
        "/etc/wa-common.conf": "before",
    }
    aside = edited.decisions(done["run_id"])["/etc/wa-common.conf"]["aside"]
    assert edited.shell(f"cat {aside}") == "level=2\n"
    assert "/etc/wa-app/app.conf" not in [item["path"] for item in done["changes"]["items"]]
    shown = edited.machine.cli("show", done["run_id"]).out
    assert f"what was there: {aside}" in shown

    refused = edited.machine.cli("rollback", done["run_id"], "--force", "--yes")
    assert (refused.code, "was a rollback" in refused.err) == (2, True), str(refused)
    back = edited.machine.json("rollback", done["run_id"], "--yes").data
    assert back["status"] == "succeeded"
    assert edited.shell("cat /etc/wa-app/app.conf /etc/wa-common.conf") == "port=8080\nlevel=2\n"


def test_a_person_is_asked_about_each(edited: _Edited) -> None:
    with edited.machine.running("rollback", edited.run, terminal=True) as running:
        running.wait_for(r"somebody changed what run")
        running.wait_for(r"\+level=2")
        running.wait_for(r"\[k/t/d/A\]")
        running.type("t\n")
        running.wait_for(r"app\.conf[\s\S]*\+port=8080[\s\S]*\[k/t/d/A\]")
        running.type("what?\n")
        running.wait_for(r"please answer")
        running.type("d\n")
        running.wait_for(r"port=80\x1b")
        running.type("k\n")
        running.wait_for(r"Roll this back\?")
        running.type("y\n")
        answer = running.finish()
    assert answer.code == 0, str(answer)
    assert edited.shell("cat /etc/wa-app/app.conf; ls /etc/wa-common.conf 2>&1 | wc -l") == "port=8080\n1\n"


_LATER = """
echo level=3 >/etc/wa-common.conf
echo more >/opt/wa-app/more
"""


@pytest.mark.parametrize("way", ["--cascade", "--to"])
def test_what_is_decided_holds_for_all_runs_that_are_taken_back(host: Machine, way: str) -> None:
    base = host.folder / "base.sh"
    base.write_text("mkdir -p /srv/wa-base; touch /srv/wa-base/one", encoding="utf-8")
    first = host.json("apply", str(base), "--yes").data["run_id"]
    wanted = host.world()
    edited = _Edited(host)
    later = host.folder / "later.sh"
    later.write_text(_LATER, encoding="utf-8")
    edited.shell("cp -a /etc/wa-common.conf /root/wa-edit")
    second = host.json("apply", str(later), "--yes").data["run_id"]
    edited.shell("echo level=4 >/etc/wa-common.conf")
    now = host.world()
    command = ["rollback", edited.run, "--cascade"] if way == "--cascade" else ["rollback", "--to", first]

    assert host.json(*command, "--yes").code == 6
    machine_plan = host.cli(*command, "--theirs", _PATHS[0], "--force", "--plan")
    assert "/etc/wa-app/app.conf, as somebody else left it" in machine_plan.out, str(machine_plan)
    host.assert_as(now)

    done = host.json(*command, "--theirs", _PATHS[0], "--force", "--yes")
    assert [one["undoes"] for one in done.data["items"]] == [second, edited.run], str(done)
    assert (
        edited.shell("cat /etc/wa-app/app.conf; ls -d /etc/wa-common.conf /opt/wa-app 2>&1 | wc -l") == "port=8080\n2\n"
    )
    assert edited.decisions(done.data["items"][0]["run_id"])["/etc/wa-common.conf"]["decision"] == "before"
    aside = edited.decisions(done.data["items"][0]["run_id"])["/etc/wa-common.conf"]["aside"]
    assert edited.shell(f"cat {aside}") == "level=4\n"

    edited.shell("rm -r /etc/wa-app /root/wa-edit")
    gone = [
        line
        for line in wanted.differences(host.world(), host.host.root)
        if "/etc: " not in line and "/root" not in line
    ]
    assert gone == []
    assert host.json("rollback", first, "--yes").code == 0


def _aborted(edited: _Edited, answer: str) -> int:
    with edited.machine.running("rollback", edited.run, terminal=True) as running:
        running.wait_for(r"\[k/t/d/A\]")
        if answer == "ctrl-c":
            running.interrupt()
        else:
            running.type(answer)
        return running.finish().code


#: what is typed -> what is said of it
WRONG = {
    ("--theirs", "/etc/wa-common.con"): "did you mean `/etc/wa-common.conf`",
    ("--theirs", "etc/wa-common.conf"): "absolute",
    ("--theirs", "/etc/wa-common.con", "--force", "--cascade"): "did you mean `/etc/wa-common.conf`",
}


def test_to_abort_and_what_cannot_be_meant_change_nothing(edited: _Edited) -> None:
    """What is no answer is an abort: nobody loses anything by pressing a key too early."""
    state = edited.machine.world()
    assert [_aborted(edited, answer) for answer in ("a\n", "\n", "\x04", "ctrl-c")] == [1, 1, 1, 130]
    for typed, said in WRONG.items():
        refused = edited.machine.cli("rollback", edited.run, *typed, "--yes")
        assert (refused.code, said in refused.err) == (2, True), str(refused)
    edited.machine.assert_as(state)
    assert edited.machine.json("show", edited.run).data["undone_by"] is None


def test_a_killed_rollback_goes_on_with_what_was_decided(edited: _Edited) -> None:
    armed = {"WORKFLOW_AGENT_FAILPOINT": "transaction.undo.operation:2"}
    killed = edited.machine.cli("rollback", edited.run, "--theirs", _PATHS[0], "--force", "--yes", environ=armed)
    assert killed.code == -signal.SIGKILL
    (orphan,) = [
        run["run_id"] for run in edited.machine.json("history").data["items"] if run["status"] == "rolling-back"
    ]

    resumed = edited.machine.json("resume", orphan)

    assert resumed.data["status"] == "succeeded", str(resumed)
    assert edited.shell("cat /etc/wa-app/app.conf; ls /etc/wa-common.conf /opt/wa-app 2>&1 | wc -l") == "port=8080\n2\n"
    assert sorted(one["decision"] for one in edited.decisions(orphan).values()) == ["before", "theirs"]
