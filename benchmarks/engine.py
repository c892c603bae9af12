"""The engine on its SQLite journal: a chain of steps, many runs at once, a fan-out, and what a fold costs.

Run it with ``python -m benchmarks.engine [--json] [--peers FOLDER]``. The steps do nothing, so that what is measured is
the engine, the bus and the journal; every record is on disk (``synchronous=FULL``) before anything follows from it.
Beside it the floor: the same rows of the same schema, written by one thread that does nothing else. `--peers` is the
folder of the programs of an environment with ``dbos`` and ``langgraph-checkpoint-sqlite``; they do the same work in
the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._engine_peers import CHAIN, ITEMS, RUNS, STEPS
from benchmarks._report import Figure, machine, remark, show
from workflow_agent.bus import InProcessBus
from workflow_agent.engine import Driver, fold
from workflow_agent.engine.driver import MACHINE
from workflow_agent.model.event import Event, EventType
from workflow_agent.model.workflow import InputSpec, Step, Workflow
from workflow_agent.store import SqliteStore
from workflow_agent.store.encoding import encode_event
from workflow_agent.store.session import Append, Limits, WriteSession
from workflow_agent.testing import EventChain

if TYPE_CHECKING:
    from workflow_agent.model.message import Message
    from workflow_agent.store.encoding import EncodedEvent

_CHAIN = 300
_RUNS = 100
_STEPS = 20
_ITEMS = 1000
_ROUNDS = 3
_INTERRUPTED = 10_000


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


def _floor(folder: Path) -> list[Figure]:
    """Write what one step leaves: alone in its transaction, and a hundred at once."""
    session = WriteSession(folder / "floor.db", Limits())
    chains = [EventChain(f"r-{number:026}") for number in range(_RUNS)]
    session.commit([Append(chain.run_id, 0, [_encoded(chain.created())]) for chain in chains])
    figures = []
    for name, batch in (("floor of a chain: bare commit, p50", 1), ("floor of 100 runs: bare commits", _RUNS)):
        times = []
        for _ in range(200):
            some = [Append(chain.run_id, chain.head, [_encoded(_succeeded(chain))]) for chain in chains[:batch]]
            start = time.perf_counter()
            session.commit(some)
            times.append(time.perf_counter() - start)
        median = statistics.median(times)
        value, unit = (median * 1000, "ms") if batch == 1 else (batch / median, "steps/s")
        figures.append(Figure(name=name, subject="sqlite3", value=value, unit=unit, n=200 * batch))
    session.close()
    return figures


def _succeeded(chain: EventChain) -> Event:
    data = {"output": {}, "status": "succeeded", "started_at": 1.0}
    return chain.event(EventType.STEP_SUCCEEDED, step=f"s{chain.head}", data=data)


def _encoded(event: Event) -> EncodedEvent:
    return encode_event(event, lambda _: "")


async def _recovery(folder: Path) -> Figure:
    """Take 10,000 interrupted runs up: until each has asked for its next step."""
    store = await SqliteStore.open(folder)
    workflow = _chain(6)
    events = _journal(6)[:4]
    created = {"machine": MACHINE, "workflow": "chain", "workflow_hash": workflow.hash, "inputs": {}, "meta": {}}
    events[0] = replace(events[0], data=created)
    ids = [f"r-{number:026}" for number in range(_INTERRUPTED)]
    for first in range(0, _INTERRUPTED, 500):
        some = ids[first : first + 500]
        appends = (store.journal.append(each, 0, [replace(event, run_id=each) for event in events]) for each in some)
        await asyncio.gather(*appends)
    bus, asked, all_asked, go = InProcessBus(), set[str | None](), asyncio.Event(), asyncio.Event()

    async def act(message: Message) -> dict[str, Any]:
        asked.add(message.run_id)
        if len(asked) == _INTERRUPTED:
            all_asked.set()
        await go.wait()
        return {}

    await bus.subscribe("agent.x.go", act, concurrency=_INTERRUPTED, limit=_INTERRUPTED)
    start = time.perf_counter()
    driving = await Driver(bus, store.journal, _Wall()).resume_all(dict.fromkeys(ids, workflow))
    await all_asked.wait()
    value = time.perf_counter() - start
    for task in driving.values():
        task.cancel()
    await asyncio.wait(driving.values())
    go.set()
    await bus.drain()
    await store.close()
    return Figure(name="10,000 runs taken up", subject="workflow-agent", value=value, unit="s", n=_INTERRUPTED)


def _peers(programs: Path, folder: Path) -> list[Figure]:
    """Let other engines do the same, one after the other."""
    figures = []
    for name in ("DBOS", "LangGraph"):
        command = [str(programs / "python"), str(Path(__file__).with_name("_engine_peers.py")), name, str(folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)
        if done.returncode:
            remark(f"{name} could not be measured: {done.stderr.strip().splitlines()[-1:]}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        figures += [
            Figure(name="chain, p50 per step", subject=name, value=found["chain"] * 1000, unit="ms", n=CHAIN),
            Figure(name="100 runs at once", subject=name, value=found["rate"], unit="steps/s", n=RUNS * STEPS),
            Figure(name="fan-out and reduce of 1,000", subject=name, value=found["fan"], unit="s", n=ITEMS),
        ]
    return figures


async def _measure(folder: Path) -> list[Figure]:
    store = await SqliteStore.open(folder)
    try:
        bench = _Bench(store)
        await bench.open()
        figures = [*_floor(folder), *await bench.chain(), await bench.together(), await bench.fan(), *_fold()]
        await bench.bus.drain()
        return [*figures, await _recovery(folder / "interrupted")]
    finally:
        await store.close()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="programs of an environment with the peers")
    options = parser.parse_args()
    remark(machine())
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        figures = asyncio.run(_measure(Path(folder) / "store"))
        if options.peers is not None:
            figures += _peers(options.peers, Path(folder))
    show(figures, as_json=options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
