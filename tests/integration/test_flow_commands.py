"""Runs of people's own workflows from several terminals: real processes, real kills, one database."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


FLOWS = """
import asyncio, os
from pathlib import Path
from workflow_agent import Context, step, workflow

HERE = Path(__file__).parent


def note(text: str) -> None:
    with (HERE / "ledger").open("a") as ledger:
        ledger.write(text + "\\n")


@workflow(name="gated")
class Gated:
    @step
    async def first(self, ctx: Context) -> int:
        ctx.state["seen"] = ctx.input.get("n", 1)
        note("first")
        while (HERE / "gate").exists():
            await asyncio.sleep(0.01)
        return 1

    @step(depends_on=["first"])
    async def second(self, ctx: Context, first_result: int) -> int:
        note("second")
        if ctx.state["seen"] == 13 and not (HERE / "luck").exists():
            raise ValueError("unlucky")
        return first_result + ctx.state["seen"] + len(ctx.secrets.get("token", "")) * 0

    @step(depends_on=["second"])
    async def third(self, second_result: int) -> int:
        note("third")
        return second_result * 10
"""
OUTER = """

@workflow(name="outer")
async def outer(ctx: Context) -> int:
    return await ctx.run_workflow(Gated)
"""
ASKING = """
name: asking
steps:
  - {name: ask, uses: wait.person}
  - {name: news, uses: wait.signal, depends_on: [ask]}
  - {name: tell, command: "echo $N", env: {N: "${{ steps.news.output.n }}"}, depends_on: [news]}
"""
# A step that leaves a program running, as a server that it starts, and one that is under way when its process dies.
LEAVING = """
name: leaving
steps:
  - name: server
    command: |
      setsid -f sh -c 'echo $$ > kept; exec sleep 300' >/dev/null 2>&1
      until test -s kept; do sleep 0.02; done
  - name: slow
    command: |
      echo begun >> ledger
      test -e gate || { echo again >> ledger; exit 0; }
      sh -c 'echo $$ > left; sleep 2; echo late >> ledger'
    depends_on: [server]
"""


class Terminals:
    """The command, from as many terminals as one likes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        places = {f"WORKFLOW_AGENT_PATHS__{name.upper()}": str(folder / name) for name in ("state", "config")}
        self.environ = {**os.environ, **places}
        self.talk = ""

    def __call__(self, *arguments: str, code: int = 0) -> Any:
        answer = self.answer(*arguments, code=code)
        return answer["data"] if code == 0 else answer["error"]

    def answer(self, *arguments: str, code: int) -> Any:
        """Give the whole answer of a command."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "workflow_agent", "--json", *arguments],
            check=False, capture_output=True, text=True, cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == code, (done.stdout, done.stderr)
        self.talk = done.stderr
        return json.loads(done.stdout)

    def ledger(self) -> list[str]:
        path = self.folder / "ledger"
        return path.read_text(encoding="utf-8").split() if path.exists() else []

    def until(self, run_id: str, status: str) -> None:
        """Wait until history has a run in a state."""
        database = sqlite3.connect(f"file:{self.folder}/state/workflow-agent.db?mode=ro", uri=True)
        with closing(database):
            for _ in range(500):
                found = database.execute("SELECT status FROM runs WHERE run_id = ?", (run_id,)).fetchone()[0]
                if found == status:
                    return
                time.sleep(0.02)  # another process: there is nothing to wait on but its record
        raise AssertionError(found)

    def kill(self, run_id: str) -> None:
        """Kill the process that drives a run, and wait until it is gone."""
        path = self.folder / "state" / "artifacts" / run_id / "owner"
        os.kill(int(path.read_text(encoding="utf-8").split()[0]), signal.SIGKILL)
        with path.open() as owner:
            fcntl.flock(owner, fcntl.LOCK_SH)


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    (tmp_path / "flows.py").write_text(FLOWS, encoding="utf-8")
    (tmp_path / "asking.yaml").write_text(ASKING, encoding="utf-8")
    (tmp_path / "leaving.yaml").write_text(LEAVING, encoding="utf-8")
    (tmp_path / "gate").touch()
    yield Terminals(tmp_path)
    (tmp_path / "gate").unlink(missing_ok=True)


def test_a_run_without_a_terminal_is_paused_killed_resumed_and_ends_as_it_should(terminals: Terminals) -> None:
    """A pause survives the death of the process; a secret that is missing stops nothing for good."""
    (terminals.folder / "token").write_text("a-long-secret", encoding="utf-8")
    secret = ("--secret", "token=file:token")
    begun = terminals("run", "flows.py", "--no-wait", "--tag", "team=data", *secret)
    run_id = begun["run_id"]

    assert terminals("pause", run_id, "--reason", "lunch")["pid"] == begun["pid"]
    assert "paused already" in terminals("pause", run_id, code=6)["message"]
    terminals.kill(run_id)
    assert terminals("history", "--tag", "team=data")["items"][0]["status"] == "paused"
    assert "token" in terminals("resume", run_id, code=2)["message"]
    (terminals.folder / "gate").unlink()

    assert terminals("resume", run_id, *secret)["result"] == 20
    assert terminals.ledger() == ["first", "first", "second", "third"]
    assert "a-long-secret" not in (terminals.folder / "state/artifacts" / run_id / "process.log").read_text()
    assert terminals("history", "--tag", "team=other")["items"] == []


def test_a_run_is_stopped_through_its_socket_and_what_others_left_is_cleaned_up(terminals: Terminals) -> None:
    killed = terminals("run", "flows.py", "--no-wait")["run_id"]
    terminals.kill(killed)
    run_id = terminals("run", "flows.py", "--no-wait")["run_id"]

    assert len(list((terminals.folder / "state/control").iterdir())) == 1
    assert terminals("cancel", run_id)["status"] == "cancelled"
    terminals("pause", killed)
    assert terminals("resume", killed, "--no-wait")["run_id"] == killed
    assert "is driving" in terminals("resume", killed, code=6)["message"]
    assert terminals("cancel", killed)["status"] == "cancelled"


def lives(pid: int) -> bool:
    """Say whether a process runs; one that has ended and that nobody has asked about yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("command", [("resume", "RUN"), ("resume", "--all"), ("cancel", "RUN")])
def test_programs_that_a_dead_process_left_do_not_go_on_beside_what_comes_then(
    terminals: Terminals, command: tuple[str, str]
) -> None:
    """But what a step had started that ended before stays, as a server would."""
    run_id = terminals("run", "leaving.yaml", "--no-wait")["run_id"]
    for name in ("kept", "left"):
        while not (path := terminals.folder / name).exists() or not path.read_text(encoding="utf-8"):
            time.sleep(0.02)  # another process: there is nothing to wait on but its file
    kept, left = (int((terminals.folder / name).read_text(encoding="utf-8")) for name in ("kept", "left"))
    terminals.kill(run_id)
    assert lives(left)  # whoever started it is gone
    (terminals.folder / "gate").unlink()

    terminals(*(run_id if word == "RUN" else word for word in command))
    ended = not lives(left)
    time.sleep(2.1)  # what it would have written by now

    os.kill(kept, signal.SIGKILL)
    assert ended
    assert terminals.ledger() == (["begun"] if command[0] == "cancel" else ["begun", "begun", "again"])


def test_all_runs_that_were_left_behind_are_taken_up_together(terminals: Terminals) -> None:
    """But those that a process drives, that are paused, or that want a secret which nobody gave."""
    (terminals.folder / "token").write_text("a-long-secret", encoding="utf-8")
    secret = ("--secret", "token=file:token")
    left = [terminals("run", "flows.py", "--no-wait")["run_id"] for _ in range(3)]
    unlucky = terminals("run", "flows.py", "--no-wait", "--input", "n=13")["run_id"]
    paused = terminals("run", "flows.py", "--no-wait")["run_id"]
    secretive = terminals("run", "flows.py", "--no-wait", *secret)["run_id"]
    terminals("pause", paused)
    for run_id in (*left, unlucky, paused, secretive):
        terminals.kill(run_id)
    alive = terminals("run", "asking.yaml", "--no-wait")["run_id"]
    (terminals.folder / "gate").unlink()

    terminals("resume", "--all", "--no-wait", code=2)
    terminals("resume", code=2)
    done = terminals.answer("resume", "--all", code=1)

    ended = {item["run_id"]: (item["status"], item["was_left"]) for item in done["data"]["items"]}
    assert ended == dict.fromkeys(left, ("succeeded", False)) | {
        unlucky: ("failed", False),
        paused: ("paused", True),
        secretive: ("running", True),
    }
    assert "3 of 6 runs" in done["error"]["message"]
    assert sorted(terminals.ledger()).count("third") == 3

    terminals("resume", paused)
    assert [item["run_id"] for item in terminals("resume", "--all", *secret)["items"]] == [secretive]
    assert terminals("resume", "--all")["items"] == []
    assert terminals("cancel", alive)["status"] == "cancelled"


def test_a_run_that_is_a_step_of_another_is_taken_up_by_that_one(terminals: Terminals) -> None:
    (terminals.folder / "outer.py").write_text(FLOWS + OUTER, encoding="utf-8")
    run_id = terminals("run", "outer.py:outer", "--no-wait")["run_id"]
    while "first" not in terminals.ledger():
        time.sleep(0.02)  # another process: there is nothing to wait on but its ledger
    terminals.kill(run_id)
    (terminals.folder / "gate").unlink()

    assert [item["run_id"] for item in terminals("resume", "--all")["items"]] == [run_id]

    assert terminals.ledger() == ["first", "first", "second", "third"]
    assert {run["status"] for run in terminals("history")["items"]} == {"succeeded"}


def test_a_person_answers_and_a_signal_comes_from_another_terminal(terminals: Terminals) -> None:
    run_id = terminals("run", "asking.yaml", "--no-wait")["run_id"]
    terminals.until(run_id, "awaiting-approval")
    assert "does not wait" in terminals("approve", run_id, "tell", code=6)["message"]

    assert terminals("approve", run_id, "--reason", "fine")["step"] == "ask"
    terminals.until(run_id, "waiting")
    assert "no step waits" in terminals("approve", run_id, code=6)["message"]
    assert terminals("signal", run_id, "news", "--data", "{", code=2)["code"] == "usage"
    terminals("signal", run_id, "news", "--data", '{"n": "7"}')

    terminals.until(run_id, "succeeded")
    assert terminals("run", "asking.yaml", "--no-wait", "--events", code=2)["code"] == "usage"
    declined = terminals("run", "asking.yaml", "--no-wait")["run_id"]
    terminals.kill(declined)
    terminals("decline", declined, "--reason", "not today")  # nobody drives it: its journal says so
    assert "not today" in str(terminals("resume", declined, code=1))


def test_what_went_wrong_is_done_again_and_the_rest_is_kept(terminals: Terminals) -> None:
    (terminals.folder / "gate").unlink()
    failed = terminals("run", "flows.py", "--input", "n=13", "--tag", "team=data", code=1)["run_id"]
    assert "has not ended" not in terminals("retry", failed, code=2)["message"]  # nobody can be asked
    assert "second" in terminals.talk

    (terminals.folder / "luck").touch()
    again = terminals("retry", failed, "--yes")
    assert (again["result"], again["origin"], again["tags"]) == (140, failed, {"team": "data"})
    assert terminals.ledger() == ["first", "second", "second", "third"]
    assert "succeeded" in terminals("retry", again["run_id"], code=6)["message"]

    forked = terminals("fork", again["run_id"], "--from", "third", "--yes", "--no-wait")["run_id"]
    terminals.until(forked, "succeeded")
    assert terminals.ledger()[4:] == ["third"]
    assert "did you mean" in str(terminals("fork", forked, "--from", "thirt", "--yes", code=5)).lower()


def test_a_run_is_debugged_from_another_terminal(terminals: Terminals) -> None:
    (terminals.folder / "gate").unlink()
    run_id = terminals("run", "flows.py", "--break-before", "second", "--no-wait")["run_id"]
    terminals.until(run_id, "paused")

    seen = terminals("inspect", run_id)
    assert (seen["before"], seen["state"], seen["step"]["inputs"]["results"]) == (
        "second", {"seen": 1}, {"first": {"value": 1}},
    )  # fmt: skip
    terminals("change", run_id, "--state", "seen=5", "--state", "extra=x", "--unset", "none")
    terminals("change", run_id, "--with", "second.results.first.value=100", "--clear", "second")
    assert "nothing is to be changed" in terminals("change", run_id, code=2)["message"]
    terminals("resume", run_id, "--step")
    terminals.until(run_id, "paused")
    assert terminals("inspect", run_id)["before"] == "third"
    assert "has begun" in terminals("change", run_id, "--with", "second.input={}", code=6)["message"]
    terminals.kill(run_id)  # what was changed is in the journal

    assert terminals("resume", run_id)["result"] == 1050
    altered = terminals("show", run_id)["altered"]
    assert [sorted(one) for one in altered] == [["by", "state"], ["break_before", "by", "with"]]
    assert "no step" in terminals("run", "flows.py", "--break-before", "other", code=5)["message"]
