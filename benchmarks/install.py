"""The main job against the plain script: install, install again, roll back, on real Debian hosts of their own.

``python -m benchmarks.install [--json] [--rounds N] [--peers FOLDER]`` (root). Each round takes two fresh hosts with
the same disk and an offline package repository: on one the raw script runs (apt, start, wait for the port), on the
other ``workflow-agent install``, ``install`` again (unchanged) and ``rollback``, each as a whole process. Then the
same, found unchanged, on one and on five containers, beside Ansible and pyinfra when ``--peers`` names the folder of
their programs.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import _containers
from benchmarks._program import installed_program
from benchmarks._report import Figure, machine, remark, show
from workflow_agent.testing.lab import LabHost
from workflow_agent.testing.lab.engine import engine_obstacle

__all__ = ["main"]

_PACKAGE = "prometheus-node-exporter"
_RAW = f"""
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -qq --no-install-recommends {_PACKAGE}
service {_PACKAGE} start
until (exec 3<>/dev/tcp/127.0.0.1/9100) 2>/dev/null; do sleep 0.01; done
"""


def _timed(argv: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(argv, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    elapsed = time.perf_counter() - started
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}\n{done.stderr.decode()[-2000:]}")
    return elapsed


def _raw_round() -> float:
    with LabHost(in_memory=False) as host:
        started = time.perf_counter()
        host.run(["/bin/bash", "-c", _RAW])
        return time.perf_counter() - started


def _exchange_ms(state: Path) -> float:
    with sqlite3.connect(f"file:{state}/workflow-agent.db?mode=ro", uri=True) as database:
        query = "SELECT data FROM events WHERE step = 'commit' AND type = 'StepSucceeded' ORDER BY rowid LIMIT 1"
        (data,) = database.execute(query).fetchone()
    return float(json.loads(data)["output"]["exchange_ms"])


def _our_round() -> dict[str, float]:
    with LabHost(in_memory=False) as host, tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "WORKFLOW_AGENT_TARGETS__HOST_PID": str(host.pid),
            "WORKFLOW_AGENT_PATHS__STATE": folder,
        }
        return {
            "install": _timed([installed_program(), "install", _PACKAGE, "--yes", "--json"], environment),
            "unchanged": _timed([installed_program(), "install", _PACKAGE, "--yes", "--json"], environment),
            "rollback": _timed([installed_program(), "rollback", "--yes", "--json"], environment),
            "exchange phase": _exchange_ms(Path(folder)) / 1000,
            "--help": _timed([installed_program(), "--help"], environment),
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", type=Path, help="folder with ansible-playbook and pyinfra")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("this benchmark makes hosts with disks of their own: run it as root")
    remark(machine())
    installed_program()
    with LabHost(in_memory=False):
        pass  # the disk image is built before anything is timed
    raw: list[float] = []
    ours: list[dict[str, float]] = []
    for number in range(options.rounds):
        raw.append(_raw_round())
        ours.append(_our_round())
        remark(f"round {number + 1}: raw {raw[-1]:.2f} s, install {ours[-1]['install']:.2f} s")
    figures = [
        Figure(name="install", subject="raw script", value=statistics.median(raw), unit="s", n=options.rounds),
        *(
            Figure(
                name=name,
                subject="workflow-agent",
                value=statistics.median(one[name] for one in ours),
                unit="s",
                n=options.rounds,
            )
            for name in ours[0]
        ),
    ]
    if (obstacle := engine_obstacle()) is None:
        figures += _containers.measure(installed_program(), _PACKAGE, options.peers, options.rounds)
    else:
        remark(f"no containers: {obstacle}")
    show(figures, as_json=options.json)
    ratios = [one["install"] - 0.3 - 1.2 * plain for one, plain in zip(ours, raw, strict=True)]
    remark(f"install - (1.2 x raw + 0.3 s), round by round: {', '.join(f'{ratio:+.2f}' for ratio in ratios)} s")


if __name__ == "__main__":
    main()
