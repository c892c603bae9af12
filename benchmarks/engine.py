"""The engine on its SQLite journal: a chain of steps, many runs at once, a fan-out, and what a fold costs.

Run it with ``python -m benchmarks.engine [--json] [--peers FOLDER]``. The steps do nothing, so that what is measured is
the engine, the bus and the journal; every record is on disk (``synchronous=FULL``) before anything follows from it.
Beside it the floor: the same rows of the same schema, written by one thread that does nothing else. `--peers` is the
folder of the programs of an environment with ``dbos``, ``langgraph-checkpoint-sqlite`` and ``prefect``; they do the
same work in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
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
from workflow_agent.store.session import Append, WriterLimits, WriteSession
from workflow_agent.testing import EventChain

if TYPE_CHECKING:
    from workflow_agent.model.message import Message
    from workflow_agent.store.encoding import EncodedEvent

_CHAIN = 300
_RUNS = 100
_STEPS = 20
_ITEMS = 1000
_ROUNDS = 3
_MANY_ROUNDS = 9
_INTERRUPTED = 10_000
#: Seconds that one of the others may take.
_PATIENCE_S = 1200
#: As in every process that the product starts (`cli`, `cli.detached`).
COLLECT_AFTER = 50_000
_IMPORT = """
import time
start = time.process_time()
from workflow_agent import Context, WorkflowClient, step, workflow
print(time.process_time() - start)
"""
_IDLE = """
import asyncio
from pathlib import Path
from workflow_agent import WorkflowClient, workflow

@workflow(name="one")
def one() -> int:
    return 1

async def main():
    async with WorkflowClient() as client:
        await (await client.run_workflow(one)).get_result()
        await asyncio.sleep(0.2)
        status = Path("/proc/self/status").read_text()
        print(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

asyncio.run(main())
"""


class _Wall:
    now = staticmethod(time.time)


def chain_of(length: int) -> Workflow:
    """Give a workflow of so many steps, one after the other."""
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


class Bench:
    """A driver on a store, and an agent that does nothing."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.bus = InProcessBus()
        self.driver = Driver(self.bus, store.journal, _Wall())
        self.asked_at: list[float] = []

    async def open(self) -> None:
        """Let the agent listen."""

        async def act(_: Message) -> dict[str, Any]:
            self.asked_at.append(time.perf_counter())
            return {}

        await self.bus.subscribe("agent.x.go", act, concurrency=64)

    async def chain(self) -> list[Figure]:
        """Do one step after the other."""
        gaps: list[float] = []
        for _ in range(_ROUNDS):
            self.asked_at.clear()
            await self.driver.start(chain_of(_CHAIN), {})
            gaps += [after - before for before, after in zip(self.asked_at, self.asked_at[1:], strict=False)]
        p50, p99 = statistics.median(gaps) * 1000, statistics.quantiles(gaps, n=100)[98] * 1000
        return [
            Figure(name="chain, p50 per step", subject="workflow-agent", value=p50, unit="ms", n=len(gaps)),
            Figure(name="chain, p99 per step", subject="workflow-agent", value=p99, unit="ms", n=len(gaps)),
        ]

    async def together(self) -> list[Figure]:
        """Drive 100 runs at once."""
        rates, costs, steps = [], [], _RUNS * _STEPS
        for _ in range(_MANY_ROUNDS):
            workflow = chain_of(_STEPS)
            start, spent = time.perf_counter(), time.process_time()
            await asyncio.gather(*(self.driver.start(workflow, {}) for _ in range(_RUNS)))
            rates.append(steps / (time.perf_counter() - start))
            costs.append((time.process_time() - spent) / steps * 1e6)
        rate = statistics.median(rates)
        return [
            Figure(name="100 runs at once", subject="workflow-agent", value=rate, unit="steps/s", n=steps),
            Figure(name="the best of the rounds", subject="workflow-agent", value=max(rates), unit="steps/s", n=steps),
            Figure(name="CPU time of a step", subject="workflow-agent", value=min(costs), unit="µs", n=steps),
        ]

    async def fan(self) -> Figure:
        """Do a step for each of 1,000 items, and one with what came of them."""
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
        workflow, events = chain_of(length), _journal(length)
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


def interrupted(workflow: Workflow, *, steps: int, is_ended: bool = False) -> list[Event]:
    """Give the records of a run of a chain, up to its end or to where its process died."""
    events = _journal(steps)
    created = {
        "machine": MACHINE,
        "workflow": workflow.name,
        "workflow_hash": workflow.hash,
        "inputs": {},
        "meta": {"action": "run"},
    }
    return [replace(events[0], data=created), *(events[1:] if is_ended else events[1:-1])]


def _process(folder: Path) -> list[Figure]:
    """What it takes to have the SDK at hand: CPU time of the import, and memory of a process that waits."""
    environ = {**os.environ, "WORKFLOW_AGENT_PATHS__STATE": str(folder / "idle")}
    times = [float(_printed(_IMPORT, environ)) * 1000 for _ in range(_MANY_ROUNDS)]
    held = int(_printed(_IDLE, environ)) / 1024
    return [
        Figure(name="import, CPU time", subject="workflow-agent", value=min(times), unit="ms", n=_MANY_ROUNDS),
        Figure(name="memory of an idle client", subject="workflow-agent", value=held, unit="MiB", n=1),
    ]


def _printed(program: str, environ: dict[str, str]) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:  # a decorated function needs its source
        file.write(program)
        file.flush()
        done = subprocess.run([sys.executable, file.name], check=True, capture_output=True, text=True, env=environ)
    return done.stdout


def _floor(folder: Path) -> list[Figure]:
    """Write what one step leaves: alone in its transaction, and a hundred at once."""
    session = WriteSession(folder / "floor.db", WriterLimits())
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
            session.relieve()  # as the writer does, when it has told who waits
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
    workflow = chain_of(6)
    events = interrupted(workflow, steps=2)
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
    for name in ("DBOS", "LangGraph", "Prefect"):
        command = [str(programs / "python"), str(Path(__file__).with_name("_engine_peers.py")), name, str(folder)]
        try:
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            remark(f"{name} did not end in {_PATIENCE_S} s")
            continue
        except subprocess.CalledProcessError as error:
            remark(f"{name} could not be measured: {error.stderr.strip().splitlines()[-1:]}")
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
        bench = Bench(store)
        await bench.open()
        figures = [
            *_floor(folder),
            *await bench.chain(),
            *await bench.together(),
            await bench.fan(),
            *_fold(),
            *_process(folder),
        ]
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
    gc.set_threshold(COLLECT_AFTER)
    remark(machine())
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        figures = asyncio.run(_measure(Path(folder) / "store"))
        if options.peers is not None:
            figures += _peers(options.peers, Path(folder))
    show(figures, as_json=options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
