"""The engine on its SQLite journal: a chain of steps, many runs at once, a fan-out, and what a fold costs.

Run it with ``python -m benchmarks.engine [--json]``. The steps do nothing, so that what is measured is the engine, the
bus and the journal; every record is on disk (``synchronous=FULL``) before anything follows from it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._report import Figure, machine, remark, show
from workflow_agent.bus import InProcessBus
from workflow_agent.engine import Driver, fold
from workflow_agent.engine.driver import MACHINE
from workflow_agent.model.event import Event, EventType
from workflow_agent.model.workflow import InputSpec, Step, Workflow
from workflow_agent.store import SqliteStore

if TYPE_CHECKING:
    from workflow_agent.model.message import Message

_CHAIN = 300
_RUNS = 100
_STEPS = 20
_ITEMS = 1000
_ROUNDS = 3


class _Wall:
    now = staticmethod(time.time)


def _chain(length: int) -> Workflow:
    steps = [Step(id="s0", uses="x.go")]
    steps += [Step(id=f"s{n}", uses="x.go", needs=(f"s{n - 1}",)) for n in range(1, length)]
    return Workflow(name="chain", version="1", steps=tuple(steps))


_FAN = Workflow(
    name="fan",
    version="1",
    inputs={"items": InputSpec(type="array", required=True)},
    steps=(
        Step(id="map", uses="x.go", each="inputs.items", with_={"n": "${{ item }}"}),
        Step(id="reduce", uses="x.go", with_={"n": "${{ len(steps.map.output) }}"}),
    ),
)


class _Bench:
    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.bus = InProcessBus()
        self.driver = Driver(self.bus, store.journal, _Wall())
        self.asked_at: list[float] = []

    async def open(self) -> None:
        async def act(_: Message) -> dict[str, Any]:
            self.asked_at.append(time.perf_counter())
            return {}

        await self.bus.subscribe("agent.x.go", act, concurrency=64)

    async def chain(self) -> list[Figure]:
        gaps: list[float] = []
        for _ in range(_ROUNDS):
            self.asked_at.clear()
            await self.driver.start(_chain(_CHAIN), {})
            gaps += [after - before for before, after in zip(self.asked_at, self.asked_at[1:], strict=False)]
        p50, p99 = statistics.median(gaps) * 1000, statistics.quantiles(gaps, n=100)[98] * 1000
        return [
            Figure(name="chain, p50 per step", subject="workflow-agent", value=p50, unit="ms", n=len(gaps)),
            Figure(name="chain, p99 per step", subject="workflow-agent", value=p99, unit="ms", n=len(gaps)),
        ]

    async def together(self) -> Figure:
        rates = []
        for _ in range(_ROUNDS):
            workflow = _chain(_STEPS)
            start = time.perf_counter()
            await asyncio.gather(*(self.driver.start(workflow, {}) for _ in range(_RUNS)))
            rates.append(_RUNS * _STEPS / (time.perf_counter() - start))
        rate = statistics.median(rates)
        return Figure(name="100 runs at once", subject="workflow-agent", value=rate, unit="steps/s", n=_RUNS * _STEPS)

    async def fan(self) -> Figure:
        times = []
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            await self.driver.start(_FAN, {"items": [*range(_ITEMS)]})
            times.append(time.perf_counter() - start)
        value = statistics.median(times)
        return Figure(name="fan-out and reduce of 1,000", subject="workflow-agent", value=value, unit="s", n=_ITEMS)


def _fold() -> list[Figure]:
    figures = []
    for length in (100, 1000, 10_000):
        workflow, events = _chain(length), _journal(length)
        start = time.perf_counter()
        fold(workflow, events)
        value = (time.perf_counter() - start) / len(events) * 1e6
        name = f"fold of {length:,} steps, per record"
        figures.append(Figure(name=name, subject="workflow-agent", value=value, unit="µs", n=len(events)))
    return figures


def _journal(length: int) -> list[Event]:
    """Give the records that a chain leaves."""
    told: list[tuple[EventType, str | None, dict[str, Any]]] = [
        (EventType.RUN_CREATED, None, {"machine": MACHINE}),
        (EventType.RUN_STARTED, None, {}),
        *((EventType.STEP_SUCCEEDED, f"s{n}", {"output": {}}) for n in range(length)),
        (EventType.RUN_FINISHED, None, {"status": "succeeded"}),
    ]
    return [
        Event(run_id="r", seq=seq, type=kind, at=float(seq), step=step, data=data)
        for seq, (kind, step, data) in enumerate(told, start=1)
    ]


async def _measure(folder: Path) -> list[Figure]:
    store = await SqliteStore.open(folder)
    try:
        bench = _Bench(store)
        await bench.open()
        figures = [*await bench.chain(), await bench.together(), await bench.fan(), *_fold()]
        await bench.bus.drain()
        return figures
    finally:
        await store.close()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    remark(machine())
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        figures = asyncio.run(_measure(Path(folder) / "store"))
    show(figures, as_json=options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
