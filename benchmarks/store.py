"""The store under load: appends (one at a time, many at once), opening, and listing among 10,000 runs.

Run it with ``python -m benchmarks.store [--runs N] [--json]``. Beside it, the floor that no store of its kind goes
under: a bare SQLite table with the same durability, one commit per row.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._program import installed_program
from benchmarks._report import Figure, machine, remark, show
from workflow_agent.model.event import EventType
from workflow_agent.store import SqliteStore
from workflow_agent.testing import EventChain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_ROUNDS = 7
_LISTING_LIMIT_MS = 50.0


async def _run(store: SqliteStore, number: int) -> None:
    chain = EventChain(f"r-{number:026}", at=1_700_000_000.0 + number)
    created = chain.created(inputs={"port": 9100}, action="install", integration="nginx", target="host")
    rest = [
        chain.event(EventType.STEP_SUCCEEDED, step=name, data={"output": {"text": "x" * 100}})
        for name in ("lookup", "build", "validate", "commit", "verify")
    ]
    head = 0
    for event in (created, *rest, chain.finished()):
        head = await store.journal.append(chain.run_id, head, [event])


async def _median_ms(work: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        await work()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def _floor(folder: Path, rows: int) -> Figure:
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE events (run_id TEXT, seq INTEGER, data TEXT, PRIMARY KEY (run_id, seq))")
    start = time.perf_counter()
    for seq in range(rows):
        connection.execute("INSERT INTO events VALUES ('r', ?, ?)", (seq, "x" * 200))
    rate = rows / (time.perf_counter() - start)
    connection.close()
    return Figure(name="commit", subject="bare sqlite3", value=rate, unit="1/s", n=rows)


async def _measure(folder: Path, runs: int) -> list[Figure]:
    figures = [_floor(folder, 1000)]
    store = await SqliteStore.open(folder / "store")
    n_alone = min(runs, 100)
    start = time.perf_counter()
    for number in range(n_alone):
        await _run(store, number)
    rate = 7 * n_alone / (time.perf_counter() - start)
    figures.append(Figure(name="append, one at a time", subject="store", value=rate, unit="1/s", n=7 * n_alone))
    start = time.perf_counter()
    for first in range(n_alone, runs, 500):
        await asyncio.gather(*(_run(store, number) for number in range(first, min(first + 500, runs))))
    n_together = 7 * (runs - n_alone)
    rate = n_together / (time.perf_counter() - start)
    figures.append(Figure(name="append, 500 at once", subject="store", value=rate, unit="1/s", n=n_together))
    await store.close()

    async def reopen() -> None:
        await (await SqliteStore.open(folder / "store")).close()

    async def look() -> None:
        looking = SqliteStore.open_read_only(folder / "store")
        await looking.history.runs(limit=20)
        await looking.close()

    looking = SqliteStore.open_read_only(folder / "store")
    measured = {
        "open and close": reopen,
        "open, list 20, close": look,
        "list 20": lambda: looking.history.runs(limit=20),
        "list 20 that nothing matches": lambda: looking.history.runs(limit=20, integration="none"),
    }
    for name, work in measured.items():
        value = await _median_ms(work)
        figures.append(Figure(name=name, subject=f"store with {runs} runs", value=value, unit="ms", n=_ROUNDS))
    await looking.close()
    for line in ("history", "history --integration none", f"show r-{runs - 1:026}"):
        value = await _median_ms(partial(_command, folder / "store", line.split()))
        figures.append(Figure(name=line[:24], subject="workflow-agent", value=value, unit="ms", n=_ROUNDS))
    return figures


async def _command(state: Path, words: list[str]) -> None:
    """Run the command line as a whole process."""
    process = await asyncio.create_subprocess_exec(
        installed_program(),
        *words,
        "--json",
        env=os.environ | {"WORKFLOW_AGENT_PATHS__STATE": str(state)},
        stdout=asyncio.subprocess.DEVNULL,
    )
    if await process.wait() != 0:
        raise SystemExit(f"workflow-agent {' '.join(words)} ended with {process.returncode}")


def main() -> int:
    """Measure and print; 1 when listing takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where to write; its file system decides what a sync costs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    remark(machine())
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = asyncio.run(_measure(Path(folder), options.runs))
    show(figures, as_json=options.json)
    listing = next(figure.value for figure in figures if figure.name == "list 20")
    return int(listing > _LISTING_LIMIT_MS)


if __name__ == "__main__":
    raise SystemExit(main())
