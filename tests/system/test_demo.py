"""The demonstration keeps its promise on both kinds of host."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples/demo/demo.py"


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("kind", ["plain", "systemd"])
def test_the_demo_installs_proves_and_leaves_nothing(lab: None, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO), "--kind", kind], check=False, capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for command in ("plan", "install", "verify", "history", "show", "rollback"):
        assert f"$ workflow-agent {command}" in done.stdout
    assert "node_load1 " in done.stdout
    assert "files compared, 0 differences" in done.stdout


def test_the_demo_says_what_it_does() -> None:
    done = subprocess.run([sys.executable, str(DEMO), "--help"], check=True, capture_output=True, text=True)

    assert "throw-away" in done.stdout
