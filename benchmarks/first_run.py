"""From an empty virtual environment to the first durable result, for us and for the engines named as peers.

``python -m benchmarks.first_run [--json] [--rounds N]``. Each round makes an environment (``python -m venv``), installs
into it, and starts a program of a few lines twice: what it gives is on disk before it is printed. Everything that is
installed was fetched or built before (``pip download``, ``pip wheel``), so that no network is measured.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks._report import Figure, machine, remark, show

__all__ = ["main"]

_ROOT = Path(__file__).parents[1]
_PATIENCE_S = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class _Engine:
    """What is installed, and a program that prints `Hello, you!`."""

    subject: str
    wanted: tuple[str, ...]
    program: str


_ENGINES = (
    _Engine(
        subject="workflow-agent",
        wanted=(str(_ROOT),),
        program="""
from workflow_agent import WorkflowClient, workflow

@workflow
def hello(name: str = "world") -> str:
    return f"Hello, {name}!"

print(WorkflowClient().run(hello, input={"name": "you"}))
""",
    ),
    _Engine(
        subject="DBOS",
        wanted=("dbos",),
        program="""
from dbos import DBOS

DBOS(config={"name": "hello", "system_database_url": "sqlite:///dbos.sqlite", "log_level": "ERROR"})

@DBOS.workflow()
def hello(name: str) -> str:
    return f"Hello, {name}!"

DBOS.launch()
print(hello("you"))
DBOS.destroy()
""",
    ),
    _Engine(
        subject="LangGraph",
        wanted=("langgraph", "langgraph-checkpoint-sqlite"),
        program="""
from typing import TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

class State(TypedDict):
    text: str

graph = StateGraph(State)
graph.add_node("hello", lambda state: {"text": f"Hello, {state['text']}!"})
graph.add_edge(START, "hello")
graph.add_edge("hello", END)
with SqliteSaver.from_conn_string("langgraph.sqlite") as saver:
    config = {"configurable": {"thread_id": "1"}}
    print(graph.compile(checkpointer=saver).invoke({"text": "you"}, config, durability="sync")["text"])
""",
    ),
)


def _timed(argv: list[str], folder: Path) -> tuple[float, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    clean["XDG_STATE_HOME"] = str(folder / "state")
    started = time.perf_counter()
    done = subprocess.run(argv, cwd=folder, env=clean, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
    elapsed = time.perf_counter() - started
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}\n{(done.stdout + done.stderr)[-2000:]}")
    return elapsed, done.stdout


def _fetched(engine: _Engine, folder: Path) -> Path:
    """Have everything that is installed as wheels in one folder."""
    wheels = folder / engine.subject
    wheels.mkdir()
    _timed([sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(wheels), *engine.wanted], folder)
    return wheels


def _round(engine: _Engine, wheels: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hello.py").write_text(engine.program, encoding="utf-8")
        python = folder / "venv/bin/python"
        parts = {"environment": _timed([sys.executable, "-m", "venv", str(folder / "venv")], folder)[0]}
        named = ["workflow-agent" if one == str(_ROOT) else one for one in engine.wanted]
        install = ["-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(wheels), *named]
        parts["installation"] = _timed([str(python), *install], folder)[0]
        for run in ("first run", "second run"):
            parts[run], said = _timed([str(python), "hello.py"], folder)
            if "Hello, you!" not in said:
                raise SystemExit(f"{engine.subject} said {said!r}")
        return {"empty environment to first result": sum(parts.values()) - parts["second run"], **parts}


def _is_named(wheel: Path, subject: str) -> bool:
    return wheel.name.startswith(subject.lower().replace("-", "_"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    remark(machine())
    found: dict[str, list[dict[str, float]]] = {engine.subject: [] for engine in _ENGINES}
    with tempfile.TemporaryDirectory() as folder:
        wheels = {engine.subject: _fetched(engine, Path(folder)) for engine in _ENGINES}
        for _ in range(options.rounds):  # in turn: a machine has slow minutes
            for engine in _ENGINES:
                found[engine.subject].append(_round(engine, wheels[engine.subject]))
        for subject, place in wheels.items():
            files = list(place.iterdir())
            size = sum(each.stat().st_size for each in files)
            named = sorted(" ".join(each.name.split("-")[:2]) for each in files if _is_named(each, subject))
            remark(f"{subject}: {', '.join(named)}; {len(files)} packages, {size / (1 << 20):.1f} MiB of wheels")
    figures = [
        Figure(
            name=name,
            subject=subject,
            value=statistics.median(one[name] for one in rounds),
            unit="s",
            n=options.rounds,
        )
        for subject, rounds in found.items()
        for name in rounds[0]
    ]
    show(figures, as_json=options.json)


if __name__ == "__main__":
    main()
