"""The table of the catalogue's tests is made of what the command said, and of nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

TOP = Path(__file__).parents[3]


def item(kind: str, verdict: str = "passed", message: str = "x") -> dict[str, Any]:
    return {"kind": kind, "target": "plain", "verdict": verdict, "seconds": 4.4, "message": message}


def written(page: Path, name: str, *items: dict[str, Any]) -> list[str]:
    """Write the page from one reply; gives its rows."""
    reply = page.with_name("reply.json")
    reply.write_text(json.dumps({"data": {"integration": name, "items": items}}), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.catalogue_tests", str(page), str(reply), "--load", "alone"]
    subprocess.run(command, cwd=TOP, check=True)
    return [line for line in page.read_text(encoding="utf-8").splitlines() if " | plain | " in line]


def test_cells_are_times_failures_and_what_must_be_refused_and_older_rows_stay(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Catalogue\n\n", encoding="utf-8")
    refused = item("install", message="failed: capability missing: auditd needs AUDIT_CONTROL; 0 paths differ")
    residue = item("residue", message="left: 3 + 4 paths")

    written(page, "auditd", refused, item("verify", "skipped"))
    written(page, "nginx", item("install"), item("crash", "failed"), item("verify", "failed"), residue)

    assert written(page, "nginx", item("verify")) == [
        "| auditd | plain | failed: capability missing | - | - | - | - | - | - | - | - |",
        "| nginx | plain | 4 | - | 4 | - | - | - | 4 | **failed** | 3 + 4 paths |",
    ]
    assert page.read_text(encoding="utf-8").startswith("# Catalogue\n")
