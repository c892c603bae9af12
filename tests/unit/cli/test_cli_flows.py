"""``run``, ``status`` and ``workflows compile``: people's own workflows on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HELLO = """
from workflow_agent import Context, step, workflow

@workflow(name="hello")
class Hello:
    def __init__(self, config=None):
        self.greeting = (config or {}).get("greeting", "Hello")

    @step
    def who(self, ctx: Context) -> str:
        ctx.log(f"asked for {ctx.input.get('name')}")
        if ctx.input.get("name") == "nobody":
            raise LookupError("nobody is there")
        return ctx.input.get("name", "world") + ctx.secrets.get("token", "")[:0]

    @step(depends_on=["who"])
    async def greet(self, who_result: str) -> str:
        return f"{self.greeting}, {who_result}!"
"""
TWO = """
from workflow_agent import Workflow, workflow

@workflow
def first() -> int:
    return 1

second = Workflow("second").step("a", "echo said")
"""


class Command:
    """The command in a process of its own, on a state folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, code: int = 0) -> Any:
        places = {f"WORKFLOW_AGENT_PATHS__{name.upper()}": str(self.folder / name) for name in ("state", "config")}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "workflow_agent", *arguments],
            check=False, capture_output=True, text=True, cwd=self.folder, env={**os.environ, **places},
        )  # fmt: skip
        assert done.returncode == code, (done.stdout, done.stderr)
        self.talk = done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout


@pytest.fixture
def command(tmp_path: Path) -> Command:
    (tmp_path / "hello.py").write_text(HELLO, encoding="utf-8")
    (tmp_path / "two.py").write_text(TWO, encoding="utf-8")
    return Command(tmp_path)


def test_a_run_prints_its_result_and_is_in_the_history(command: Command) -> None:
    assert json.loads(command("run", "hello.py", "--input", "name=you")) == "Hello, you!"
    data = command("run", "hello.py", "--input", 'name="you"', "--key", "k", "--json")["data"]
    again = command("run", "hello.py", "--input", "name=you", "--key", "k", "--json")["data"]

    assert data["result"] == again["result"] == "Hello, you!"
    assert data["run_id"] == again["run_id"]
    assert command("status", data["run_id"]).split() == [data["run_id"], "succeeded", "hello"]
    assert command("status", data["run_id"], "--json")["data"]["workflow"] == "hello"
    assert "info    who: asked for you" in command("logs", data["run_id"])
    assert command("show", data["run_id"]).startswith("run hello\n")
    assert len(command("history", "--json")["data"]["items"]) == 2


def test_a_run_that_fails_says_where_and_how(command: Command) -> None:
    failed = command("run", "hello.py", "--input", "name=nobody", "--json", code=1)

    assert failed["ok"] is False
    assert failed["error"]["message"] == "`who` raised LookupError: nobody is there"
    assert "hello.py:" in failed["error"]["where"]
    assert failed["data"]["status"] == "failed"


def test_configuration_secrets_and_events(command: Command) -> None:
    (command.folder / "config.yaml").write_text("greeting: Servus", encoding="utf-8")
    (command.folder / "token").write_text("a-long-secret", encoding="utf-8")
    arguments = ("--workflow-config", "config.yaml", "--secret", "token=file:token", "--input", "name=@token")

    assert json.loads(command("run", "hello.py", *arguments)) == "Servus, ***!"
    first, *_ = command("run", "hello.py", "--events").splitlines()
    assert json.loads(first)["type"] == "RunCreated"


def test_a_file_with_several_workflows_needs_a_name(command: Command) -> None:
    command("run", "two.py", code=2)
    assert "two.py:first" in command.talk
    assert json.loads(command("run", "two.py:first")) == 1
    assert json.loads(command("run", "two.py:second"))["stdout"] == "said"
    command("run", "two.py:third", code=5)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "none.py"], 5, "there is no file"),
        (["run", "hello.txt"], 2, "of no kind that holds workflows"),
        (["run", "hello.py", "--input", "name"], 2, "write it as K=V"),
        (["run", "hello.py", "--input", "a=1", "--input", "a=2"], 2, "given twice"),
        (["run", "hello.py", "--input", "a=@none"], 2, "cannot be read"),
        (["run", "hello.py", "--workflow-config", "none"], 2, "cannot be read"),
        (["run", "two.py:first", "--workflow-config", "c.json"], 2, "only a workflow class"),
        (["run", "w.yaml", "--workflow-config", "c.json"], 2, "only a workflow class"),
        (["run", "broken.py"], 2, "broken.py:2"),
        (["run", "raises.py"], 2, "raises.py:1"),
        (["run", "empty.py"], 5, "decorate a class or a function"),
        (["run", "json.py"], 2, "give the file another name"),
        (["status", "r-01AAAA"], 5, "no run"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_with_its_place(
    command: Command, arguments: list[str], code: int, said: str
) -> None:
    for name, text in {
        "hello.txt": "", "broken.py": "\nif", "raises.py": "1 / 0", "empty.py": "", "json.py": HELLO, "c.json": "{}",
        "w.yaml": "name: w\nsteps: [{name: a, command: 'true'}]",
    }.items():  # fmt: skip
        (command.folder / name).write_text(text, encoding="utf-8")
    command("run", "two.py:first")

    command(*arguments, code=code)
    assert said in command.talk


def test_a_file_compiles_to_the_definition_that_is_run(command: Command) -> None:
    (command.folder / "w.yaml").write_text("name: second\nsteps: [{name: a, command: echo said}]", encoding="utf-8")
    compiled = command("workflows", "compile", "two.py:second")
    (command.folder / "compiled.yaml").write_text(compiled, encoding="utf-8")

    hashes = {
        command("workflows", "compile", name, "--json")["data"]["hash"]
        for name in ("w.yaml", "compiled.yaml", "two.py:second")
    }
    assert len(hashes) == 1
    assert compiled.startswith(f"# hash {hashes.pop()}\n")
    for name in ("w.yaml", "hello.py"):
        assert "valid" in command("validate", name)
    (command.folder / "bad.yaml").write_text("name: w\nsteps: [{name: a, comand: x}]", encoding="utf-8")
    command("validate", "bad.yaml", code=2)


PATIENT = """
import os, time
from pathlib import Path
from workflow_agent import step, workflow

HERE = Path(__file__).parent

@workflow(name="patient")
class Patient:
    @step
    def first(self) -> int:
        (HERE / "ledger").open("a").write("first\\n")
        return 20

    @step(depends_on=["first"])
    def second(self, first_result: int) -> int:
        (HERE / "ledger").open("a").write("second\\n")
        if (HERE / "ledger").read_text().count("second") == 1:
            (HERE / "begun").touch()
            time.sleep(600)
        return first_result + 1

    @step(always_run=True)
    def last(self) -> None:
        (HERE / "ledger").open("a").write("last\\n")
"""


@pytest.fixture
def killed(command: Command) -> str:
    """A run whose process was killed in its second step."""
    (command.folder / "patient.py").write_text(PATIENT, encoding="utf-8")
    places = {f"WORKFLOW_AGENT_PATHS__{name.upper()}": str(command.folder / name) for name in ("state", "config")}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "workflow_agent", "run", "patient.py"],
        cwd=command.folder, env={**os.environ, **places}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (command.folder / "begun").exists():
        assert process.poll() is None
    process.kill()
    process.wait()
    return str(command("history", "--json")["data"]["items"][0]["run_id"])


def test_a_run_whose_process_died_goes_on_where_it_stood(command: Command, killed: str) -> None:
    command("status", killed)
    assert f"workflow-agent resume {killed}" in command.talk
    said = command("why", killed, "--json")
    assert [item["step"] for item in said["data"]["items"]] == ["second", "last"]
    assert said["warnings"]
    assert "has ended as succeeded" in command("why", killed, "first")
    command("why", killed, "thrid", code=5)

    assert "changed" not in command("resume", killed)

    assert command("show", killed, "--json")["data"]["status"] == "succeeded"
    assert (command.folder / "ledger").read_text(encoding="utf-8").split() == ["first", "second", "second", "last"]
    assert command("why", killed) == f"run {killed} has ended: succeeded\n"


def test_a_run_whose_process_died_can_be_cancelled_too(command: Command, killed: str) -> None:
    data = command("cancel", killed, "--json")["data"]

    assert data["status"] in {"cancelled", "failed"}
    assert (command.folder / "ledger").read_text(encoding="utf-8").split() == ["first", "second", "last"]


def test_what_a_workflow_prints_is_talk_and_its_result_alone_is_the_answer(command: Command) -> None:
    text = """
from workflow_agent import workflow

print("loaded")

@workflow(name="loud")
def loud() -> int:
    print("in a step")
    print("without an end", end="")
    return 1
"""
    (command.folder / "loud.py").write_text(text, encoding="utf-8")

    assert command("run", "loud.py", "--json")["data"]["result"] == 1
    assert ["loaded\n" in command.talk, "in a step\n" in command.talk, "without an end\n" in command.talk] == [True] * 3


SLOW = """
import asyncio
from pathlib import Path
from workflow_agent import workflow

@workflow(name="slow")
async def slow() -> None:
    (Path(__file__).parent / "begun").touch()
    await asyncio.sleep(60)
"""


def test_an_interrupt_stops_a_run_and_promises_no_more_than_it_does(command: Command) -> None:
    (command.folder / "slow.py").write_text(SLOW, encoding="utf-8")
    places = {f"WORKFLOW_AGENT_PATHS__{name.upper()}": str(command.folder / name) for name in ("state", "config")}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "workflow_agent", "run", "slow.py"],
        cwd=command.folder, env={**os.environ, **places}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (command.folder / "begun").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate()

    assert process.returncode == 130
    assert "SIGINT: stopping; steps that say how are undone." in talk
    assert "state: what its steps did stays, but for what their `undo` took back" in talk
    assert command("history", "--json")["data"]["items"][0]["status"] == "cancelled"
