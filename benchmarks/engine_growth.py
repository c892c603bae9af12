"""What a durable step costs as a run grows, and as the store fills: it is to stay the same.

Run it with ``python -m benchmarks.engine_growth [--json] [--steps N] [--runs N] [--pictures FOLDER]``. CPU time of the
process, all threads, user and system, because a busy machine changes that least. First chains of 10 steps and ten
times as many each, up to `--steps`; then stores of 10 runs and ten times as many each, up to `--runs`: 100 runs of
20 steps at once, and the look at the newest 20 runs, on each. `--pictures` writes both as SVG.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._plot import level_plot
from benchmarks._report import Figure, machine, remark, show
from benchmarks.engine import COLLECT_AFTER, Bench, chain_of, interrupted
from workflow_agent.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_RUNS = 100
_STEPS = 20
_ROUNDS = 5
_TOGETHER = 500


async def _steps(folder: Path, most: int) -> list[Figure]:
    """One run of more and more steps."""
    figures = []
    store = await SqliteStore.open(folder)
    bench = Bench(store)
    await bench.open()
    await bench.driver.start(chain_of(100), {})  # warm
    for length in _tens(most):
        workflow = chain_of(length)
        costs = []
        for _ in range(max(1, min(_RUNS, 2000 // length))):
            start = time.process_time()
            await bench.driver.start(workflow, {})
            costs.append((time.process_time() - start) / length * 1e6)
        figures.append(
            Figure(name=f"a run of {length:,} steps", subject="each step", value=min(costs), unit="µs", n=length)
        )
        remark(f"{figures[-1].name}: {figures[-1].value:.0f} µs")
    await bench.bus.drain()
    await store.close()
    return figures


async def _runs(folder: Path, most: int) -> list[Figure]:
    """The same work in a store with more and more runs."""
    figures = []
    store = await SqliteStore.open(folder)
    bench = Bench(store)
    await bench.open()
    stored, workflow = 0, chain_of(_STEPS)
    for count in _tens(most):
        await _fill(store, stored, count)
        stored = count
        costs, looks = [], []
        for _ in range(_ROUNDS):
            start = time.process_time()
            await asyncio.gather(*(bench.driver.start(workflow, {}) for _ in range(_RUNS)))
            costs.append((time.process_time() - start) / _RUNS / _STEPS * 1e6)
            start = time.process_time()
            await store.history.runs(limit=20)
            looks.append((time.process_time() - start) * 1e3)
        name = f"{count:,} runs stored"
        figures.append(Figure(name=name, subject="each step", value=min(costs), unit="µs", n=_RUNS * _STEPS))
        figures.append(Figure(name=name, subject="newest 20 runs", value=min(looks), unit="ms", n=20))
        remark(f"{name}: {min(costs):.0f} µs, {min(looks):.1f} ms")
    await bench.bus.drain()
    await store.close()
    return figures


async def _fill(store: SqliteStore, first: int, last: int) -> None:
    """Store runs that have ended: four records each."""
    for start in range(first, last, _TOGETHER):
        appends = []
        for number in range(start, min(last, start + _TOGETHER)):
            run_id = f"r-{number:026}"
            appends.append(store.journal.append(run_id, 0, [replace(event, run_id=run_id) for event in _ENDED]))
        await asyncio.gather(*appends)


_ENDED = interrupted(chain_of(1), steps=1, is_ended=True)


def _tens(most: int) -> Iterator[int]:
    count = 10
    while count <= most:
        yield count
        count *= 10


def _draw(folder: Path, figures: Sequence[Figure]) -> None:
    for name, wanted, title in (
        ("engine-steps.svg", "a run of", "CPU time of a step, by steps of its run"),
        ("engine-runs.svg", "stored", "CPU time of a step, by runs in the store"),
    ):
        found = [each for each in figures if wanted in each.name and each.subject == "each step"]
        points = [(int("".join(filter(str.isdigit, each.name))), each.value) for each in found]
        if len(points) > 1:
            (folder / name).write_text(level_plot(title, points, "µs"), encoding="utf-8")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--steps", type=int, default=100_000, help="steps of the longest run")
    parser.add_argument("--runs", type=int, default=1_000_000, help="runs of the fullest store")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="write SVG there")
    options = parser.parse_args()
    gc.set_threshold(COLLECT_AFTER)
    remark(machine())
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        figures = asyncio.run(_steps(Path(folder) / "steps", options.steps))
        figures += asyncio.run(_runs(Path(folder) / "runs", options.runs))
    show(figures, as_json=options.json)
    if options.pictures is not None:
        _draw(options.pictures, figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
