"""An upgrade of a real package whose check fails after the commit: the old program, configuration and data are back.

What is tried is a measurement of its own, which runs here as a person runs it: see ``benchmarks/failed_upgrades.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.slow]

_ROOT = Path(__file__).parents[2]
_ROLLED_BACK = 9


def _measured(*options: str) -> list[dict[str, Any]]:
    path = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.failed_upgrades", "--json", *options],
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": path},
        check=False,
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode in {0, 1}, done.stderr[-4000:]
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def _assert_back(row: dict[str, Any]) -> None:
    assert row["code"] == _ROLLED_BACK, row
    assert row["new_program_ran"], f"the check did not see the newer program, nothing was tried: {row}"
    assert row["newer"] != row["older"], row
    assert (row["old_program_back"], row["configuration_back"], row["data_back"]) == (True, True, True), row
    assert (row["left"], row["processes_left"]) == ([], 0)


@pytest.mark.parametrize("package", ["nginx", "redis-server"])
def test_the_old_program_the_edited_configuration_and_the_data_are_back(lab: None, package: str) -> None:
    (row,) = _measured("--remade", "--only", package)

    assert row["data_spoilt"], "the check wrote over the data before it failed"
    _assert_back(row)


@pytest.mark.long
def test_all_packages_of_which_the_archive_has_two_versions(lab: None) -> None:
    rows = _measured()

    assert len(rows) == 8
    for row in rows:
        _assert_back(row)
