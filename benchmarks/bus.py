"""Buses inside one process: ours, autogen-core, bubus and FastStream's in-memory broker, the same work for each.

``python -m benchmarks.bus [--json] [--rounds N]``. Measures:

* ``publish``: N fresh messages to one subscriber, from the first call until the last one has been handled.
* ``request``: one request after the other to one subscriber; rate, and the time of each (p50, p99).
  ``request_timed`` is the same with a deadline, for ours.

Every round opens each bus anew, one system after the other, so that a disturbance of the machine meets all of them.
The figure is the median of the rounds (at least 5, after one that is thrown away).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING

from benchmarks._bus_systems import SYSTEMS, System
from benchmarks._report import Figure, installed, machine, quantile, remark, show

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

UNITS = {
    "publish": "msg/s",
    "request": "req/s",
    "request_p50": "ms",
    "request_p99": "ms",
    "request_timed": "req/s",
}


class _Tally:
    """Counts handled messages and tells when all have come."""

    def __init__(self, expected: int) -> None:
        self._left = expected
        self.complete = asyncio.Event()

    def __call__(self) -> None:
        self._left -= 1
        if not self._left:
            self.complete.set()


async def _publish(system: System) -> dict[str, float]:
    """Publish until all are handled; gives the rate."""
    tally = _Tally(system.n_publish + 1)
    async with system.open(tally) as link:
        await link.request(0)  # what is made on first use is not measured
        start = time.perf_counter()
        for n in range(system.n_publish):
            await link.publish(n)
        await tally.complete.wait()
        return {"publish": system.n_publish / (time.perf_counter() - start)}


async def _request(system: System) -> dict[str, float]:
    """Request one after the other; gives the rate and how long a request took, in milliseconds."""
    tally, times = _Tally(system.n_request + 1), []
    async with system.open(tally) as link:
        await link.request(0)
        last = start = time.perf_counter()
        for n in range(system.n_request):
            await link.request(n)
            now = time.perf_counter()
            times.append(1000 * (now - last))
            last = now
    if not tally.complete.is_set():
        message = f"{system.name} handled fewer requests than were sent"
        raise RuntimeError(message)
    times.sort()
    return {
        "request": system.n_request / (last - start),
        "request_p50": quantile(times, 0.5),
        "request_p99": quantile(times, 0.99),
    }


async def _request_timed(system: System) -> dict[str, float]:
    """Request with a deadline of 30 s each, where the system has that; gives the rate."""
    async with system.open(lambda: None) as link:
        if link.timed is None:
            return {}
        await link.timed(0)
        start = time.perf_counter()
        for n in range(system.n_request):
            await link.timed(n)
        return {"request_timed": system.n_request / (time.perf_counter() - start)}


def _present(systems: Sequence[System]) -> list[System]:
    """Leave out, aloud, what is not installed."""
    present = []
    for system in systems:
        missing = [name for name in system.needs if installed(name) is None]
        if missing:
            remark(f"left out: {system.name} ({', '.join(missing)} is not installed; extra `bench`)")
        else:
            present.append(system)
    return present


def measure(rounds: int) -> list[Figure]:
    """Run all rounds; gives one figure per measure and system."""
    systems = _present(SYSTEMS)
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for system in systems:
            for work in (_publish, _request, _request_timed):
                gc.collect()
                for name, value in asyncio.run(work(system)).items():
                    if number:  # the first round warms up
                        values[name, system.name].append(value)
        remark(f"round {number} of {rounds} done")
    return [
        Figure(
            name=name,
            subject=system.name,
            value=round(median(values[name, system.name]), 4),
            unit=unit,
            n=system.n_publish if name == "publish" else system.n_request,
        )
        for name, unit in UNITS.items()
        for system in systems
        if values[name, system.name]
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bus", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print a JSON list on stdout")
    parser.add_argument("--rounds", type=int, default=5, help="rounds after the first (default and least: 5)")
    options = parser.parse_args(arguments)
    remark(machine())
    names = sorted({name for system in SYSTEMS for name in system.needs})
    remark(", ".join(f"{name} {installed(name) or '(missing)'}" for name in names))
    show(measure(max(5, options.rounds)), as_json=options.json)


if __name__ == "__main__":
    main()
