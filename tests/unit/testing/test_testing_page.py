"""Every example of the page about tests of workflows does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BLOCKS = re.findall(
    r"^```(\w+)\n(.*?)^```$", (ROOT / "docs/testing.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
PYTHON = [text for kind, text in BLOCKS if kind == "python"]


def done(folder: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, *arguments],
        check=False, capture_output=True, text=True, cwd=folder, env=dict(os.environ),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_example_for_pytest_runs(tmp_path: Path) -> None:
    ((_, conftest),) = [block for block in BLOCKS if block[0] == "py"]
    (tmp_path / "conftest.py").write_text(conftest, encoding="utf-8")
    (tmp_path / "test_nightly.py").write_text(PYTHON[0], encoding="utf-8")

    said = done(
        tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function"
    )

    assert "1 passed" in said


@pytest.mark.parametrize("number", range(1, len(PYTHON)))
def test_the_other_examples_run(number: int, tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(PYTHON[number], encoding="utf-8")

    done(tmp_path, "-W", "error", "example.py")
