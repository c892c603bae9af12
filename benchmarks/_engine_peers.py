"""The same small workflows on other engines; one of them for each process, in an environment of its own.

``python _engine_peers.py NAME FOLDER`` prints figures as JSON: a chain of steps that do nothing (seconds per step),
runs at once (steps per second), a fan-out and its reduce (seconds). Each engine keeps what it does in SQLite.
"""

from __future__ import annotations

import asyncio
import json
import operator
import os
import statistics
import sys
import time
from importlib import import_module
from itertools import pairwise
from typing import Annotated, Any, TypedDict

__all__ = ["CHAIN", "ITEMS", "RUNS", "STEPS"]

CHAIN, RUNS, STEPS, ITEMS = 100, 100, 20, 1000


def dbos(folder: str) -> dict[str, float]:
    """DBOS with its SQLite system database; runs at once are workflows of one event loop."""
    DBOS: Any = import_module("dbos").DBOS  # noqa: N806  # as it is known

    DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.sqlite", "log_level": "ERROR"})
    gaps: list[float] = []

    @DBOS.step()  # type: ignore[untyped-decorator]
    async def go(n: int) -> int:
        gaps.append(time.perf_counter())
        return n

    @DBOS.workflow()  # type: ignore[untyped-decorator]
    async def chain(length: int) -> int:
        for n in range(length):
            await go(n)
        return length

    @DBOS.workflow()  # type: ignore[untyped-decorator]
    async def fan(items: int) -> int:
        return sum(await asyncio.gather(*(go(n) for n in range(items))))

    DBOS.launch()

    async def measure() -> dict[str, float]:
        await chain(5)
        gaps.clear()
        await chain(CHAIN)
        p50 = statistics.median(after - before for before, after in pairwise(gaps))
        start = time.perf_counter()
        await asyncio.gather(*(chain(STEPS) for _ in range(RUNS)))
        rate = RUNS * STEPS / (time.perf_counter() - start)
        start = time.perf_counter()
        await fan(ITEMS)
        return {"chain": p50, "rate": rate, "fan": time.perf_counter() - start}

    found = asyncio.run(measure())
    DBOS.destroy()
    return found


def langgraph(folder: str) -> dict[str, float]:
    """LangGraph with the asynchronous SQLite saver and durability "sync"."""
    graphs: Any = import_module("langgraph.graph")
    send: Any = import_module("langgraph.types").Send
    savers: Any = import_module("langgraph.checkpoint.sqlite.aio").AsyncSqliteSaver

    gaps: list[float] = []

    class State(TypedDict):
        n: Annotated[int, operator.add]

    async def go(_: State) -> dict[str, int]:
        gaps.append(time.perf_counter())
        return {"n": 1}

    async def reduce(_: State) -> dict[str, int]:
        return {"n": 0}

    def chain(length: int, saver: Any) -> Any:
        graph = graphs.StateGraph(State)
        for n in range(length):
            graph.add_node(f"s{n}", go)
            graph.add_edge(f"s{n - 1}" if n else graphs.START, f"s{n}")
        graph.add_edge(f"s{length - 1}", graphs.END)
        return graph.compile(checkpointer=saver)

    def fan(items: int, saver: Any) -> Any:
        graph = graphs.StateGraph(State)
        graph.add_node("go", go)
        graph.add_node("reduce", reduce)
        graph.add_conditional_edges(graphs.START, lambda _: [send("go", {"n": 0}) for _ in range(items)], ["go"])
        graph.add_edge("go", "reduce")
        graph.add_edge("reduce", graphs.END)
        return graph.compile(checkpointer=saver)

    async def run(graph: Any, thread: str) -> None:
        config = {"configurable": {"thread_id": thread}, "recursion_limit": 5000}
        await graph.ainvoke({"n": 0}, config, durability="sync")

    async def measure() -> dict[str, float]:
        async with savers.from_conn_string(f"{folder}/langgraph.sqlite") as saver:
            await run(chain(5, saver), "warm")
            gaps.clear()
            await run(chain(CHAIN, saver), "chain")
            p50 = statistics.median(after - before for before, after in pairwise(gaps))
            graph = chain(STEPS, saver)
            start = time.perf_counter()
            await asyncio.gather(*(run(graph, f"r{n}") for n in range(RUNS)))
            rate = RUNS * STEPS / (time.perf_counter() - start)
            start = time.perf_counter()
            await run(fan(ITEMS, saver), "fan")
            return {"chain": p50, "rate": rate, "fan": time.perf_counter() - start}

    return asyncio.run(measure())


def prefect(folder: str) -> dict[str, float]:
    """Prefect with a server of its own on SQLite; each task's result is a file, written before the next one begins.

    What it tells its server of a task goes there meanwhile: a crash may lose that, where the result is kept.
    With 100 flows at once that server answers 503 (its SQLite is busy), so ten run at the same time, with patience.
    """
    settings = {
        "PREFECT_HOME": f"{folder}/prefect",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_DATABASE_TIMEOUT": "300",
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "300",
        "PREFECT_API_REQUEST_TIMEOUT": "300",
        "PREFECT_CLIENT_MAX_RETRIES": "30",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
    }
    os.environ.update(settings)
    module: Any = import_module("prefect")
    gaps: list[float] = []

    @module.task  # type: ignore[untyped-decorator]
    async def go(n: int) -> int:
        gaps.append(time.perf_counter())
        return n

    @module.flow  # type: ignore[untyped-decorator]
    async def chain(length: int) -> int:
        for n in range(length):
            await go(n)
        return length

    @module.flow  # type: ignore[untyped-decorator]
    async def fan(items: int) -> int:
        return sum(await asyncio.gather(*(go(n) for n in range(items))))

    async def measure() -> dict[str, float]:
        await chain(5)
        gaps.clear()
        await chain(CHAIN)
        p50 = statistics.median(after - before for before, after in pairwise(gaps))
        start = time.perf_counter()
        places = asyncio.Semaphore(10)

        async def placed() -> None:
            async with places:
                await chain(STEPS)

        await asyncio.gather(*(placed() for _ in range(RUNS)))
        rate = RUNS * STEPS / (time.perf_counter() - start)
        start = time.perf_counter()
        await fan(ITEMS)
        return {"chain": p50, "rate": rate, "fan": time.perf_counter() - start}

    return asyncio.run(measure())


_PEERS = {"DBOS": dbos, "LangGraph": langgraph, "Prefect": prefect}


if __name__ == "__main__":
    print(json.dumps(_PEERS[sys.argv[1]](sys.argv[2])))
