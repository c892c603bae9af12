"""What people see at three widths and in a pipe, as files to look at: ``tests/examples/screens``.

``python tests/unit/cli/test_cli_screens.py`` writes them anew; look at the difference before it is committed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workflow_agent.cli.plan_view import plan_lines
from workflow_agent.cli.run_view import history_lines, run_lines
from workflow_agent.cli.style import Style

SCREENS = Path(__file__).parents[2] / "examples" / "screens"
WIDTHS: dict[str, int | None] = {"60": 60, "100": 100, "160": 160, "pipe": None}
NOW = 1_790_000_000.0

PLAN: dict[str, Any] = {
    "integration": "prometheus-node-exporter",
    "version": "1.0.0",
    "target": "host",
    "tier": "exact",
    "tier_reason": None,
    "services": [{"name": "prometheus-node-exporter", "listens": ["tcp/9100"]}],
    "effects": [{"kind": "compensated", "description": "adds a row to a table that has a name which is rather long"}],
    "findings": [
        {"rule": "host.sysctl", "severity": "warning", "message": "changes the kernel", "line": 3, "allowed": True}
    ],
    "change_set": {
        "bytes_added": 21_234_567,
        "packages": [
            {"name": "prometheus-node-exporter", "action": "installed", "version": "1.5.0-1+b6", "before": None},
            {"name": "libc6", "action": "upgraded", "version": "2.36-9+deb12u10", "before": "2.36-9+deb12u9"},
        ],
        "users": [{"name": "prometheus", "id": 101, "action": "created"}],
        "groups": [{"name": "prometheus", "id": 103, "action": "created", "added": [], "removed": []}],
        "units": [{"name": "prometheus-node-exporter.service", "kind": "systemd", "action": "added", "enabled": True}],
        "dropped": [{"path": "/var/cache/apt/archives", "reason": "caches"}],
        "notes": ["the user prometheus is kept by the package when it is removed"],
        "changes": [
            {"path": "/etc/default/prometheus-node-exporter", "action": "created", "kind": "file", "aspects": []},
            {"path": "/etc/passwd", "action": "modified", "kind": "file", "aspects": ["content", "mtime"]},
            {
                "path": "/usr/share/doc/prometheus-node-exporter/a-name-that-does-not-fit-into-sixty-columns.gz",
                "action": "created",
                "kind": "file",
                "aspects": [],
            },
            {"path": "/var/log/dpkg.log", "action": "appended", "kind": "file", "aspects": []},
        ],
    },
}


def an_id(number: int) -> str:
    return f"r-01KA5{9 - number}XQ2M7VPT3C9W1HDR5E8N"


def run(number: int, **more: Any) -> dict[str, Any]:
    run_id = an_id(number)
    begun = NOW - 3600.0 * 10**number
    usual = {
        "run_id": run_id,
        "action": "install",
        "workflow": "install",
        "integration": "prometheus-node-exporter",
        "version": "1.0.0",
        "target": "host",
        "status": "succeeded",
        "changed": True,
        "tier": "exact",
        "changes": {"created": 43, "modified": 12, "deleted": 0, "appended": 1, "items": []},
        "checks": [
            {"id": "port", "status": "passed", "observed": "open", "expected": "open"},
            {
                "id": "metrics",
                "status": "failed",
                "observed": "answered 503 with a text that goes on for longer than a narrow terminal is wide",
                "expected": "node_exporter_build_info",
            },
        ],
        "rollback_command": f"workflow-agent rollback {run_id}",
        "created_at": begun,
        "started_at": begun,
        "finished_at": begun + 61.5,
        "user": "ann",
        "host": "web1",
        "error": None,
        "undoes": None,
        "undone_by": None,
        "output": {"tail": ["Setting up prometheus-node-exporter (1.5.0-1+b6) ..."]},
        "findings": [],
        "steps": [
            {"id": "lookup", "status": "succeeded", "started_at": begun, "finished_at": begun + 0.5, "reason": None},
            {"id": "verify", "status": "failed", "started_at": begun, "finished_at": begun + 11, "reason": None},
            {"id": "approve", "status": "skipped", "started_at": None, "finished_at": None, "reason": "not when ..."},
        ],
    }
    return usual | more


RUNS = [
    run(0),
    run(1, action="rollback", integration="nginx", status="succeeded", undoes=an_id(2)),
    run(2, integration="nginx", undone_by=an_id(1)),
    run(3, target="docker:a-container-with-a-long-name", status="needs-attention", user="somebody-with-a-long-name"),
]
ERROR = {
    "code": "check-failed",
    "message": "1 of 2 checks failed",
    "where": "install › verify › attempt 1",
    "cause": "metrics: answered 503",
    "state": "everything that the run changed was taken back",
    "hint": f"`workflow-agent logs {an_id(0)}` prints the script's output",
    "run_id": an_id(0),
    "details": {},
}


def screen(name: str, width: int | None) -> str:
    """Draw one screen; in a pipe it is ASCII without a width."""
    if name.startswith("help"):
        words = name.split("-")[1:]
        environ = {**os.environ, "LANG": "C.UTF-8", **({"COLUMNS": str(width)} if width else {})}
        if width is None:
            environ.pop("COLUMNS", None)
        done = subprocess.run(
            [sys.executable, "-m", "workflow_agent", *words, "--help"],
            check=True,
            capture_output=True,
            text=True,
            env=environ,
        )
        return done.stdout
    style = Style(width=width, unicode=width is not None)
    lines = {
        "plan": lambda: plan_lines(PLAN, style),
        "history": lambda: history_lines(RUNS, style, now=NOW),
        "show": lambda: run_lines(run(0, status="rolled-back", error=ERROR), style),
    }[name]()
    return "\n".join(lines) + "\n"


NAMES = ["help", "help-install", "help-history", "plan", "history", "show"]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_the_screen_is_as_it_was_looked_at(name: str, width: str) -> None:
    expected = (SCREENS / f"{name}.{width}.txt").read_text(encoding="utf-8")

    assert screen(name, WIDTHS[width]) == expected, "python tests/unit/cli/test_cli_screens.py writes it anew"


@pytest.mark.parametrize("name", ["help", "help-install", "help-history", "history"])
def test_help_and_tables_fit_a_narrow_screen(name: str) -> None:
    """Sentences are left to the terminal, which wraps them: nothing of them is cut. Examples are copied whole."""
    lines = (SCREENS / f"{name}.60.txt").read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if len(line) > 60 and "workflow-agent " not in line] == []


def _write() -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        for width, columns in WIDTHS.items():
            (SCREENS / f"{name}.{width}.txt").write_text(screen(name, columns), encoding="utf-8")


if __name__ == "__main__":
    _write()
