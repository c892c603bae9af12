"""What can be scraped: runs by workflow and state, their durations, what their steps measured, this process.

Bounds, so that no workflow can make a scrape grow without end: the 200 oldest workflows have lines of their own and
the others share one; the newest 1,000 series of what steps of the newest 1,000 runs measured are given. What was left
out is counted in lines of its own.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import workflow_agent
from workflow_agent.app.exposition import Family, Series, clean_name, distinct_labels, exposed
from workflow_agent.model.status import OWN_ACTION
from workflow_agent.store.history import DURATION_BOUNDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.store import SqliteStore

__all__ = ["scraped_figures"]

#: Workflows that have lines of their own: the oldest, so that a counter never goes over to another line.
_WORKFLOWS: Final = 200
#: Workflow of the lines in which all others are counted: no workflow has an empty name.
_OTHERS: Final = ""
_MEASURED_SERIES: Final = 1000
#: Characters of a label's value that a step chose.
_LABEL_LENGTH: Final = 200
_RESERVED: Final = ("workflow", "step", "name")


async def scraped_figures(store: SqliteStore, *, with_process: bool) -> str:
    """Give all figures in the text format 0.0.4 of Prometheus; those of this process where it is what is scraped.

    Raises:
        StoreError: the database cannot be read.
    """
    async with store.history.reading():
        runs = await store.history.run_figures()
        measured = await store.history.measured(OWN_ACTION)
    families = await asyncio.to_thread(
        lambda: [*_runs(runs), *_measured(measured), *_journal(store.sizes()), *(_process() if with_process else ())]
    )
    return exposed(families)


def _runs(rows: Sequence[Mapping[str, Any]]) -> Iterator[Family]:
    ages: dict[str, int] = {}
    for row in rows:
        ages[row["workflow"]] = min(row["first"], ages.get(row["workflow"], row["first"]))
    named = set(sorted(ages, key=ages.__getitem__)[:_WORKFLOWS])
    own = [row | {"workflow": row["workflow"] if row["workflow"] in named else _OTHERS} for row in map(dict, rows)]
    ended = [row for row in own if row["ended"]]
    begun = _summed(own, "workflow")
    yield Family("workflow_agent_runs_begun_total", "counter", "Runs that were begun.", begun)
    said = "Runs that ended, by the state with which they did."
    yield Family("workflow_agent_runs_ended_total", "counter", said, _summed(ended, "workflow", "state"))
    unfinished = _summed([row for row in own if not row["ended"]], "workflow", "state")
    yield Family("workflow_agent_runs_unfinished", "gauge", "Runs without an end, by state.", unfinished)
    said = "Time from the beginning of a run to its end."
    yield Family("workflow_agent_run_duration_seconds", "histogram", said, _durations(ended))
    said = "Workflows without lines of their own: their runs are counted where `workflow` is empty."
    yield _gauge("workflow_agent_workflows_unnamed", said, len(ages) - len(named))


def _summed(rows: Sequence[Mapping[str, Any]], *names: str) -> list[Series]:
    sums: dict[tuple[str, ...], int] = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        sums[key] = sums.get(key, 0) + row["runs"]
    return [Series(dict(zip(names, key, strict=True)), sums[key]) for key in sorted(sums)]


def _durations(rows: Sequence[Mapping[str, Any]]) -> list[Series]:
    series = []
    for name in sorted({row["workflow"] for row in rows}):
        own = [row for row in rows if row["workflow"] == name]
        for bound in DURATION_BOUNDS:
            within = sum(row["runs"] for row in own if row["up_to"] is not None and row["up_to"] <= bound)
            series.append(Series({"workflow": name, "le": repr(bound)}, within, "_bucket"))
        count = sum(row["runs"] for row in own)
        series.append(Series({"workflow": name, "le": "+Inf"}, count, "_bucket"))
        series.append(Series({"workflow": name}, sum(row["seconds"] for row in own), "_sum"))
        series.append(Series({"workflow": name}, count, "_count"))
    return series


def _measured(found: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[Family]:
    """Give the newest value of each series; `found` has the newest first."""
    families: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    left_out: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    kept = 0
    for workflow, data in found:
        name = f"workflow_agent_step_{clean_name(data['name'])}"
        series = families.get(name, {})
        labels = tuple(_labels(workflow, data).items())
        if labels in series:
            continue
        if kept == _MEASURED_SERIES:
            left_out.add((name, labels))
            continue
        kept += 1
        families.setdefault(name, series)[labels] = data["value"]
    for name in sorted(families):
        values = [Series(dict(labels), value) for labels, value in sorted(families[name].items())]
        yield Family(name, "gauge", "Newest value that a step recorded with `ctx.metric`.", values)
    said = "Series of what steps measured that are older than those which are given."
    yield _gauge("workflow_agent_measured_series_left_out", said, len(left_out))


def _labels(workflow: str, data: Mapping[str, Any]) -> dict[str, str]:
    """Give a series' labels; `name` is the metric's own where it could not be kept as it is."""
    own = {"workflow": workflow, "step": str(data["step"])}
    if clean_name(data["name"]) != data["name"]:
        own["name"] = data["name"]
    return {key: value[:_LABEL_LENGTH] for key, value in (own | distinct_labels(data["tags"], _RESERVED)).items()}


def _journal(sizes: Mapping[str, int]) -> Iterator[Family]:
    series = [Series({"file": name}, size) for name, size in sizes.items()]
    yield Family("workflow_agent_journal_bytes", "gauge", "Bytes of the database and of its log.", series)
    version = [Series({"version": workflow_agent.__version__}, 1)]
    yield Family("workflow_agent_info", "gauge", "The release that answers.", version)


def _process() -> Iterator[Family]:
    """Give what every process tells, by the names that all clients of Prometheus use.

    Source: prometheus.io/docs/instrumenting/writing_clientlibs, "Process metrics"; proc_pid_stat(5).
    """
    # Behind the program's name, which may hold anything: state is field 3.
    fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    cpu = (int(fields[14 - 3]) + int(fields[15 - 3])) / ticks
    began = _boot_time() + int(fields[22 - 3]) / ticks
    said = "Processor time of this process."
    yield Family("process_cpu_seconds_total", "counter", said, [Series({}, cpu)])
    yield _gauge("process_start_time_seconds", "When this process began, in seconds since 1970.", began)
    yield _gauge("process_virtual_memory_bytes", "Memory that this process may use.", int(fields[23 - 3]))
    yield _gauge("process_resident_memory_bytes", "Memory that this process uses.", int(fields[24 - 3]) * page)
    yield _gauge("process_open_fds", "Open files of this process.", sum(1 for _ in Path("/proc/self/fd").iterdir()))


def _boot_time() -> float:
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def _gauge(name: str, said: str, value: float) -> Family:
    return Family(name, "gauge", said, [Series({}, value)])
