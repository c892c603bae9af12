"""Transactions of many paths: what a capture costs beside the script alone, and how commit and rollback grow.

``python -m benchmarks.transactions [--json] [--rounds N] [--paths 10,100,1000] [--plot FILE]`` (root). On one host
with an ext4 disk of its own a script writes N files of 100 bytes into 100 folders, half of them over files that are
there; once alone, then in a capture that is committed and taken back. The raw script ends with a sync of its file
system, as a commit does. Before that, an installer as people have them: a Debian package, on a fresh host each time.
Its capture is measured as a command has it, which asks for the target's facts and says that a script will come a while
before there is one, and as one that nobody expected, which reads first what lies on the disk.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._plot import log_plot
from benchmarks._report import Figure, machine, remark, show
from workflow_agent.testing.lab import LabHost
from workflow_agent.testing.transactions import Trial

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_PATHS = (10, 100, 1_000, 10_000, 100_000)
#: Writes `$1` files below `$2`; perl, because a shell needs longer for a file than everything that is measured here.
_WRITE = (
    'perl -e \'($n, $top) = @ARGV; mkdir $top; for my $i (1..$n) {{ my $d = "$top/" . $i % 100; mkdir $d;'
    ' open(my $f, ">", "$d/$i") or die $!; print $f "{mark}" x 100; }}\' {count} {top}'
)
_INSTALL = """
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -qq --no-install-recommends prometheus-node-exporter
"""
#: Nothing is started in a capture, and so it is beside it.
_NO_STARTS = "printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d"
#: How long a command loads modules and renders and checks its script, after it has said that one will come.
_LOADING_S = 0.2
_rounds = itertools.count()


def _used(host: LabHost) -> int:
    found = os.statvfs(host.root)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _raw(host: LabHost, count: int) -> float:
    top = f"/srv/raw-{next(_rounds)}"
    host.run(["sh", "-c", _WRITE.format(mark="a", count=count // 2, top=top)])
    started = time.perf_counter()
    host.run(["sh", "-c", _WRITE.format(mark="b", count=count, top=top) + "; sync -f /srv"])
    elapsed = time.perf_counter() - started
    host.run(["rm", "-rf", top])
    return elapsed


async def _ours(host: LabHost, count: int) -> dict[str, float]:
    """Capture, commit and take back once; seconds, and bytes that the disk holds more than the files."""
    top = f"/srv/ours-{next(_rounds)}"
    host.run(["sh", "-c", _WRITE.format(mark="a", count=count // 2, top=top)])
    host.run(["sync"])
    trial = Trial(host)
    await trial.begin()
    try:
        used = _used(host)
        moments = [time.perf_counter()]
        transaction, _ = await trial.capture(_WRITE.format(mark="b", count=count, top=top), timeout_s=600)
        moments.append(time.perf_counter())
        done = await trial.target.commit(transaction)
        moments.append(time.perf_counter())
        kept = _used(host) - used
        began = time.perf_counter()
        await trial.target.rollback(transaction)
        moments.append(began)
        moments.append(time.perf_counter())
    finally:
        await trial.end()
    host.run(["rm", "-rf", top])
    return {
        "capture": moments[1] - moments[0],
        "commit": moments[2] - moments[1],
        "exchange": done["exchange_ms"] / 1000,
        "rollback": moments[4] - moments[3],
        "disk": kept / (1 << 20),
    }


def _install_alone() -> float:
    with LabHost(in_memory=False) as host:
        host.run(["sh", "-c", _NO_STARTS])
        started = time.perf_counter()
        host.run(["sh", "-c", _INSTALL + "sync -f /\n"])
        return time.perf_counter() - started


async def _install_captured(*, expected: bool) -> float:
    with LabHost(in_memory=False) as host:
        host.run(["sh", "-c", _NO_STARTS])
        trial = Trial(host)
        await trial.begin()
        try:
            if expected:
                await trial.target.facts()
                trial.target.expect_capture()
                await asyncio.sleep(_LOADING_S)
            started = time.perf_counter()
            await trial.capture(_INSTALL, timeout_s=600)
            return time.perf_counter() - started
        finally:
            await trial.end()


def _measure_install(rounds: int) -> list[Figure]:
    alone, captured, unexpected = [], [], []
    for _ in range(rounds):  # in turn: a machine has slow minutes
        alone.append(_install_alone())
        captured.append(asyncio.run(_install_captured(expected=True)))
        unexpected.append(asyncio.run(_install_captured(expected=False)))
    remark(
        f"a package: alone {_median(alone):.3f} s, captured {_median(captured):.3f} s,"
        f" unexpected {_median(unexpected):.3f} s"
    )
    ours = {"capture, installer": captured, "capture nobody expected, installer": unexpected}
    return [
        Figure(name="installer", subject="raw script", value=_median(alone), unit="s", n=rounds),
        *(
            Figure(name=name, subject="workflow-agent", value=_median(values), unit="s", n=rounds)
            for name, values in ours.items()
        ),
    ]


def _measure(host: LabHost, count: int, rounds: int) -> list[Figure]:
    raw = [_raw(host, count) for _ in range(rounds)]
    ours = [asyncio.run(_ours(host, count)) for _ in range(rounds)]
    figures = [Figure(name=f"script, {count:,} paths", subject="raw script", value=_median(raw), unit="s", n=rounds)]
    for name in ("capture", "commit", "exchange", "rollback", "disk"):
        unit = "MiB" if name == "disk" else "s"
        value = _median([one[name] for one in ours])
        label = f"{name}, {count:,} paths"
        figures.append(Figure(name=label, subject="workflow-agent", value=value, unit=unit, n=rounds))
    remark(
        f"{count:,} paths: " + ", ".join(f"{one.name.partition(',')[0]} {one.value:.3f} {one.unit}" for one in figures)
    )
    return figures


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _plotted(figures: Sequence[Figure]) -> str:
    """Draw commit, exchange and rollback over the number of paths, and what is wanted of them."""
    lines: dict[str, list[tuple[float, float]]] = {}
    sizes = set()
    for figure in figures:
        name, _, count = figure.name.removesuffix(" paths").partition(", ")
        if name in {"commit", "exchange", "rollback"}:
            size = int(count.replace(",", ""))
            sizes.add(size)
            lines.setdefault(name, []).append((size, figure.value))
    lines["wanted: commit, rollback"] = [(size, 0.03 + size / 10_000) for size in sorted(sizes)]
    lines["wanted: exchange"] = [(size, size / 50_000) for size in sorted(sizes)]
    return log_plot("Transactions of many paths", "paths", "s", lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--paths", default=",".join(map(str, _PATHS)), help="how many, separated by commas")
    parser.add_argument("--plot", type=Path, help="file for a plot, SVG")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("this benchmark makes a host with a disk of its own: run it as root")
    remark(machine())
    figures = _measure_install(options.rounds)
    with LabHost(in_memory=False) as host:
        for count in map(int, options.paths.split(",")):
            figures += _measure(host, count, options.rounds)
    if options.plot is not None:
        options.plot.write_text(_plotted(figures), encoding="utf-8")
    show(figures, as_json=options.json)


if __name__ == "__main__":
    main()
