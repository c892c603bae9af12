"""There is one scheduler: who writes journals, asks agents and drives runs is counted, in the source itself.

A second one would have to do one of these things somewhere else.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import workflow_agent
from workflow_agent.app.container import AGENTS
from workflow_agent.authoring import load_yaml
from workflow_agent.engine.plan import CHILD, WAITS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(workflow_agent.__file__).parent
#: Tests of users drive runs with the same driver; they are no command's.
FOLDERS = ("cli", "app", "client", "agents", "engine", "integrations", "scripts", "knowledge", "authoring", "hub")
PIPELINES = sorted((ROOT / "_data/config/workflows").glob("*.yaml"))


@cache
def calls() -> tuple[tuple[str, str, str], ...]:
    """List module, receiver and name of every call of a method, above the store."""
    return tuple(found for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") for found in _calls(path))


def _calls(path: Path) -> Iterator[tuple[str, str, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            receiver = ast.unparse(node.func.value).removesuffix("()").rpartition(".")[2].removeprefix("_")
            yield str(path.relative_to(ROOT)), receiver, node.func.attr


def where(receiver: str, *names: str) -> set[str]:
    return {module for module, whose, name in calls() if whose == receiver and name in names}


def test_journals_are_written_by_the_engine_and_for_runs_that_nobody_drives() -> None:
    """The two others say something to a run under its lock; the driver takes it up."""
    writers = where("journal", "append")

    assert {module for module in writers if not module.startswith("engine/")} == {
        "app/flow_words.py", "app/settling.py",
    }  # fmt: skip
    assert "engine/driver.py" in writers


def test_agents_are_asked_by_the_engine_and_by_two_steps() -> None:
    """Recovery is a step, and a model that calls tools is; each asks within its own time, and decides on no other step.

    The application lets the improver look at a run that is over: no step, and nothing waits for it.
    """
    assert where("bus", "request") == {
        "engine/asking.py", "agents/recovery.py", "agents/agent_tools.py", "app/application.py",
    }  # fmt: skip
    assert "agent.improver.learn" in (ROOT / "app/application.py").read_text(encoding="utf-8")


def test_runs_are_driven_by_one_driver() -> None:
    assert where("driver", "start", "resume") == {"app/application.py", "app/flows.py", "app/settling.py"}
    assert {module for module, _, name in calls() if name == "run_child"} <= {
        "engine/children.py", "authoring/sdk/context.py", "agents/python_agent.py",
    }  # fmt: skip


def test_decisions_are_the_machine_s() -> None:
    wanted = "workflow_agent.engine.machine"
    users = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == wanted and "decide" in {each.name for each in node.names}
    }
    assert {user for user in users if not user.startswith(("engine/", "testing/"))} == set()


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: str(path.stem))
def test_every_step_of_a_command_s_pipeline_asks_an_agent(path: Path) -> None:
    definition: Any = load_yaml(path.read_text(encoding="utf-8"), source=path.name).data
    verbs = {f"{agent}.{verb}" for agent, named in AGENTS.items() for verb in named} | {*WAITS, CHILD}

    used = {step["uses"] for step in (*definition["steps"], *definition.get("on_failure", ()))}

    assert used <= verbs
