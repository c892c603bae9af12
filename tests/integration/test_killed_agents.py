"""Agents whose process is killed while they work: real processes, a real kill, a model behind a real HTTP server.

The server lives on; the tool kills its own process. What had been said and done before is neither asked nor done again.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.testing.model_service import ModelService
from workflow_agent.testing.scripted_model import ScriptedModel, tool_call

if TYPE_CHECKING:
    from pathlib import Path

TOOLS = """
import os, signal
from pathlib import Path
from workflow_agent import Context

HERE = Path(__file__).parent


def note(text: str) -> str:
    with (HERE / "ledger").open("a") as ledger:
        ledger.write(text + "\\n")
    return text


def first() -> str:
    return note("first")


def second(ctx: Context) -> str:
    note(f"second {ctx.idempotency_key}")
    if not (HERE / "luck").exists():
        (HERE / "luck").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def third() -> str:
    return note("third")
"""
FLOW = """
name: killed
agents:
  - {id: clerk, tools: ["tools:first", %s, "tools:third"]}
tools:
  - {id: second, function: "tools:second", effect: %s}
steps:
  - {name: ask, agent: clerk, prompt: Do it.}
"""


class House:
    def __init__(self, folder: Path, service: ModelService) -> None:
        self._folder = folder
        self._environ = os.environ | {
            "WORKFLOW_AGENT_PATHS__STATE": str(folder / "state"),
            "WORKFLOW_AGENT_PATHS__CONFIG": str(folder / "config"),
            "WORKFLOW_AGENT_MODELS__URL": service.url,
            "WORKFLOW_AGENT_MODELS__MODEL": "scripted",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])),
        }

    async def command(self, *arguments: str) -> tuple[int | None, Any]:
        """Run the command; gives its exit code and its answer."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "workflow_agent", "--json", *arguments,
            cwd=self._folder, env=self._environ, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await process.communicate()
        return process.returncode, json.loads(said) if said else None

    def ledger(self) -> list[str]:
        return (self._folder / "ledger").read_text(encoding="utf-8").splitlines()

    def run_id(self) -> str:
        (folder,) = (self._folder / "state/artifacts").iterdir()
        return folder.name


@pytest.mark.parametrize("effect", ["at_least_once", "at_most_once"])
async def test_a_step_that_is_taken_up_goes_on_after_the_last_turn(tmp_path: Path, effect: str) -> None:
    (tmp_path / "tools.py").write_text(TOOLS, encoding="utf-8")
    named = "second" if effect == "at_most_once" else '"tools:second"'
    (tmp_path / "flow.yaml").write_text(FLOW % (named, effect), encoding="utf-8")
    both = (tool_call("second", {}, "b"), tool_call("third", {}, "c"))
    service = ModelService(ScriptedModel(tool_call("first", {}, "a"), both, "Done."))
    async with service.running():
        house = House(tmp_path, service)
        killed, _ = await house.command("run", "flow.yaml")
        asked_before = len(service.asked)
        code, answer = await house.command("resume", house.run_id())
        _, shown = await house.command("show", house.run_id())

    assert (killed, code) == (-9, 0), answer
    assert answer["data"]["result"]["text"] == "Done."
    assert answer["data"]["result"]["iterations"] == 3
    assert (asked_before, len(service.asked)) == (2, 3)
    told = {each["tool_call_id"]: each["content"] for each in service.asked[2]["messages"] if each["role"] == "tool"}
    ledger = house.ledger()
    if effect == "at_least_once":
        assert told == {"a": "first", "b": "done", "c": "third"}
        assert ledger == ["first", ledger[1], ledger[1], "third"]  # again, under the same key
    else:
        assert told["b"].startswith("error: the process ended while this was called, and nobody knows")
        assert ledger == ["first", ledger[1], "third"]
    assert ledger[1].startswith("second ")
    assert [(call["turn"], call["tool"]) for call in shown["data"]["tool_calls"]] == [
        (1, "first"), (2, "second"), (2, "third"),
    ]  # fmt: skip
