"""A newcomer's path: from ``integrations init`` for a package that is not in the catalogue to tests that are green.

``python -m benchmarks.newcomer [--json] [--package P] [--port N] [--rounds N] [--target KIND]`` (root). Each round
writes a first draft into an empty folder and tests it in every kind, on fresh hosts: two whole processes, as a person
would start them. What is timed is what the machine takes: wall time of both, and processor time with that of everything
that they started. Fetching packages for the hosts' offline source is no part of it: the disks are made before.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks._program import installed_program
from benchmarks._report import Figure, machine, remark, show
from workflow_agent.integrations import Registry, builtin_folder, load_folder
from workflow_agent.testing.bench.plan_file import packages_of, read_plan
from workflow_agent.testing.bench.targets import offered
from workflow_agent.testing.lab.image import base_image

__all__ = ["main"]


def _run(argv: list[str], folder: Path) -> tuple[float, float, bytes]:
    """Run a command in a folder; gives wall time, processor time, and what it wrote."""
    used, started = _used(), time.perf_counter()
    done = subprocess.run(argv, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    wall = time.perf_counter() - started
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}\n{done.stderr.decode()[-4000:]}")
    return wall, _used() - used, done.stdout


def _used() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _round(package: str, port: int, targets: list[str]) -> dict[str, float]:
    """Go the path once; raises SystemExit where a test is not green."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draft = [
            installed_program(),
            "integrations",
            "init",
            package,
            "--package",
            package,
            "--port",
            str(port),
            "--yes",
        ]
        init, init_used, _ = _run(draft, folder)
        manifest = folder / package / "integration.yaml"
        integration = load_folder(manifest.parent)
        packages = offered(packages_of(integration, read_plan(manifest.parent), Registry([builtin_folder()])))
        for target in targets:
            base_image(target, packages=packages)  # fetches packages, once: no part of what is timed
        words = [word for target in targets for word in ("--target", target)]
        test, test_used, said = _run(
            [installed_program(), "integrations", "test", f"./{package}", "--json", *words], folder
        )
        reply = json.loads(said)["data"]
        if reply["failed"] or reply["skipped"]:
            raise SystemExit(f"{reply['failed']} tests failed, {reply['skipped']} were skipped")
        return {
            "manifest": len(manifest.read_text(encoding="utf-8").splitlines()),
            "tests": reply["passed"],
            "init": init,
            "test": test,
            "whole path": init + test,
            "processor time": init_used + test_used,
        }


_UNITS = {"manifest": "lines", "tests": "passed"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--package", default="tinyproxy", help="not in the catalogue, with a service")
    parser.add_argument("--port", type=int, default=8888, help="that its service opens")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--target", action="append", choices=["plain", "systemd"], help="plain and systemd without it")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("this benchmark makes hosts with disks of their own: run it as root")
    targets = options.target or ["plain", "systemd"]
    rounds: list[dict[str, float]] = []
    for number in range(options.rounds):
        remark(machine())
        rounds.append(_round(options.package, options.port, targets))
        remark(f"round {number + 1}: {rounds[-1]['whole path']:.1f} s")
    remark(machine())
    figures = [
        Figure(
            name=name,
            subject=options.package,
            value=statistics.median(one[name] for one in rounds),
            unit=_UNITS.get(name, "s"),
            n=options.rounds,
        )
        for name in rounds[0]
    ]
    show(figures, as_json=options.json)


if __name__ == "__main__":
    main()
