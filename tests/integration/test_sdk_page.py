"""Every example of the page about workflows of one's own does what it says, and so do the example files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_agent.authoring import load_workflow
from workflow_agent.authoring.flow_source import load_flow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/sdk.md").read_text(encoding="utf-8")
_FENCED = r"^```(\w+)\n(.*?)^```$"
BLOCKS = re.findall(_FENCED, PAGE, re.MULTILINE | re.DOTALL)
AGENTS = re.findall(_FENCED, (ROOT / "docs/agents-with-tools.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
PYTHON = [text for kind, text in (*BLOCKS, *AGENTS) if kind == "python"]


def run(folder: Path, *arguments: str) -> str:
    places = {f"WORKFLOW_AGENT_PATHS__{name.upper()}": str(folder / name) for name in ("state", "config")}
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        check=False, capture_output=True, text=True, cwd=folder, env={**os.environ, **places},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_the_examples_in_python_run(number: int, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(PYTHON[number], encoding="utf-8")

    said = run(tmp_path, str(script))

    assert number > 0 or said == "Hello, you!\n"


def test_the_example_in_yaml_runs(tmp_path: Path) -> None:
    text, *others = [text for kind, text in BLOCKS if kind == "yaml"]
    (tmp_path / "nightly.yaml").write_text(text, encoding="utf-8")
    for number, other in enumerate(others):
        load_workflow(other, source=f"sdk.md {number}")

    said = run(tmp_path, "-P", "-m", "workflow_agent", "run", "nightly.yaml", "--input", "day=monday")

    assert json.loads(said)["stdout"] == "FETCHED MONDAY"


def test_the_examples_of_agents_in_yaml_are_workflows() -> None:
    texts = [text for kind, text in AGENTS if kind == "yaml"]

    assert [load_flow(text, source="agents").steps[0].uses for text in texts] == ["model.act"] * 2


def test_a_durable_hello_world_has_at_most_ten_lines(tmp_path: Path) -> None:
    path = ROOT / "examples/flows/hello.py"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and '"""' not in line]

    assert len(lines) <= 10
    assert run(tmp_path, str(path)) == run(tmp_path, str(path)) == "Hello, you!\n"
