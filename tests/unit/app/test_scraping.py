"""What is scraped, of real runs, as the parser of Prometheus' own client reads it."""

from __future__ import annotations

import itertools
import math
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

import workflow_agent
from workflow_agent import Context, WorkflowClient, step, workflow
from workflow_agent.app.exposition import Family, Series, exposed
from workflow_agent.app.flow_records import open_flow_records
from workflow_agent.model.errors import StepFailedError, ValidationError
from workflow_agent.store import SqliteStore
from workflow_agent.store.history import DURATION_BOUNDS
from workflow_agent.testing import EventChain

if TYPE_CHECKING:
    from pathlib import Path

    from prometheus_client.samples import Sample


@workflow(name="import")
class Import:
    @step(name="load")
    def load(self, ctx: Context) -> None:
        ctx.metric("rows", 3, {"table": 'a "quoted"\n\\ name'})
        ctx.metric("rows", ctx.input["rows"], {"table": 'a "quoted"\n\\ name'})
        ctx.metric("rows", 5, {"table": "b"})
        ctx.metric("time.spent", 0.25, {"step": "mine", "a-b": "1", "a_b": "2", "__x": "3", "9": "4"})


@workflow(name="failing")
class Failing:
    @step(name="fail")
    def fail(self, ctx: Context) -> None:
        raise RuntimeError("no")


async def _scraped(state: Path) -> str:
    async with WorkflowClient(settings={"paths.state": str(state)}) as client:
        return await client.get_metrics_text()


def _samples(text: str) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def _values(text: str, name: str) -> dict[frozenset[tuple[str, str]], float]:
    found = [sample for sample in _samples(text) if sample.name == name]
    values = {frozenset(sample.labels.items()): sample.value for sample in found}
    assert len(values) == len(found), "a series stands there twice"
    return values


def _of(**labels: str) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())


async def _run(state: Path, flow: type, **given: object) -> None:
    async with WorkflowClient(settings={"paths.state": str(state)}) as client:
        await client.run_workflow(flow, input=given)


async def test_what_steps_measured_is_scraped_with_the_newest_value_of_each_series(tmp_path: Path) -> None:
    await _run(tmp_path, Import, rows=7)
    await _run(tmp_path, Import, rows=41)

    rows = _values(await _scraped(tmp_path), "workflow_agent_step_rows")

    assert rows == {
        _of(workflow="import", step="load", table='a "quoted"\n\\ name'): 41.0,
        _of(workflow="import", step="load", table="b"): 5.0,
    }


async def test_names_that_prometheus_does_not_know_are_cleaned_and_kept_apart(tmp_path: Path) -> None:
    await _run(tmp_path, Import, rows=1)

    spent = _values(await _scraped(tmp_path), "workflow_agent_step_time_spent")

    labels = {"workflow": "import", "step": "load", "name": "time.spent"}
    tags = {"tag_step": "mine", "a_b": "1", "a_b_2": "2", "tag_x": "3", "tag_9": "4"}
    assert spent == {_of(**labels, **tags): 0.25}


async def test_runs_are_counted_by_workflow_and_state_with_their_durations(tmp_path: Path) -> None:
    await _run(tmp_path, Import, rows=1)
    await _run(tmp_path, Import, rows=1)
    with pytest.raises(StepFailedError):
        await (await WorkflowClient(settings={"paths.state": str(tmp_path)}).run_workflow(Failing)).get_result()

    text = await _scraped(tmp_path)

    begun = {_of(workflow="import"): 2.0, _of(workflow="failing"): 1.0}
    assert _values(text, "workflow_agent_runs_begun_total") == begun
    assert _values(text, "workflow_agent_runs_ended_total") == {
        _of(workflow="import", state="succeeded"): 2.0,
        _of(workflow="failing", state="failed"): 1.0,
    }
    buckets = _values(text, "workflow_agent_run_duration_seconds_bucket")
    assert buckets[_of(workflow="import", le="+Inf")] == 2.0
    assert len(buckets) == 2 * (len(DURATION_BOUNDS) + 1)
    assert _values(text, "workflow_agent_run_duration_seconds_count") == begun
    assert 0 < _values(text, "workflow_agent_run_duration_seconds_sum")[_of(workflow="import")] < 60


async def test_a_scrape_tells_of_the_process_and_the_journal(tmp_path: Path) -> None:
    await _run(tmp_path, Import, rows=1)

    async with open_flow_records({"paths.state": str(tmp_path)}) as records:
        text = await records.scraped()

    assert "process_" not in await _scraped(tmp_path)
    assert _values(text, "workflow_agent_info") == {_of(version=workflow_agent.__version__): 1.0}
    (start,) = _values(text, "process_start_time_seconds").values()
    assert 0 < time.time() - start < 86400
    (used,) = _values(text, "process_resident_memory_bytes").values()
    assert 10e6 < used < 10e9
    assert 0 < _values(text, "process_cpu_seconds_total")[_of()] <= sum(os.times()[:2]) + 0.1
    assert _values(text, "workflow_agent_journal_bytes")[_of(file="database")] > 0


async def test_a_scrape_of_an_empty_folder_has_no_runs_and_makes_nothing(tmp_path: Path) -> None:
    async with open_flow_records({"paths.state": str(tmp_path / "none")}) as records:
        text = await records.scraped()

    assert _values(text, "workflow_agent_runs_begun_total") == {}
    assert not (tmp_path / "none").exists()


@workflow(name="many")
class Many:
    @step(name="count")
    def count(self, ctx: Context) -> None:
        for number in range(900):
            ctx.metric("thing", number, {"id": f"{ctx.input['kind']}-{number}"})


async def test_the_number_of_series_is_bounded_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    await _run(tmp_path, Many, kind="old")
    await _run(tmp_path, Many, kind="new")

    text = await _scraped(tmp_path)

    things = _values(text, "workflow_agent_step_thing")
    assert len(things) == 1000
    assert sum(dict(labels)["id"].startswith("new-") for labels in things) == 900
    assert _values(text, "workflow_agent_measured_series_left_out") == {_of(): 800.0}


async def _store_runs(state: Path, runs: list[tuple[str, float]]) -> None:
    """Store ended runs: workflow and duration."""
    store = await SqliteStore.open(state)
    try:
        for number, (name, seconds) in enumerate(runs):
            chain = EventChain(f"r-{number}")
            created = chain.created(workflow=name)
            ended = replace(chain.finished(), at=created.at + seconds)
            await store.journal.append(chain.run_id, 0, [created, ended])
    finally:
        await store.close()


async def test_workflows_beyond_the_bound_share_a_line(tmp_path: Path) -> None:
    await _store_runs(tmp_path, [(f"w{number}", 1.0) for number in range(202)])

    text = await _scraped(tmp_path)

    begun = _values(text, "workflow_agent_runs_begun_total")
    assert (len(begun), begun[_of(workflow="")]) == (201, 2.0)
    assert _of(workflow="w0") in begun
    assert _of(workflow="w201") not in begun
    assert _values(text, "workflow_agent_workflows_unnamed") == {_of(): 2.0}


async def test_a_run_is_counted_in_the_buckets_that_its_duration_lies_in(tmp_path: Path) -> None:
    between = [(low + high) / 2 for low, high in itertools.pairwise((0.0, *DURATION_BOUNDS, 1e6))]
    await _store_runs(tmp_path, [("w", seconds) for seconds in between])

    text = await _scraped(tmp_path)

    buckets = _values(text, "workflow_agent_run_duration_seconds_bucket")
    bounds = [*map(str, DURATION_BOUNDS), "+Inf"]
    assert [buckets[_of(workflow="w", le=bound)] for bound in bounds] == list(range(1, len(bounds) + 1))
    sums = _values(text, "workflow_agent_run_duration_seconds_sum")
    assert sums[_of(workflow="w")] == pytest.approx(sum(between))


@workflow(name="endless")
class Endless:
    @step(name="measure")
    def measure(self, ctx: Context) -> None:
        ctx.metric("rate", math.inf)


async def test_a_value_that_the_journal_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    async with WorkflowClient(settings={"paths.state": str(tmp_path)}) as client:
        execution = await client.run_workflow(Endless)
        with pytest.raises(ValidationError, match="the metric `rate` is a finite number, not `inf`"):
            await execution.get_result()


def test_text_that_no_utf_8_holds_is_shown_and_numbers_are_exact() -> None:
    values = {"a": 1e22, "b": 0.1, "c": -math.inf, "d": math.nan, "\udcff": 12345678901.0}
    text = exposed(
        [Family("f", "gauge", "two\nlines \\", [Series({"x": key}, value) for key, value in values.items()])]
    )

    text.encode()
    (family,) = text_string_to_metric_families(text)
    assert family.documentation == "two\nlines \\"
    found = {sample.labels["x"]: sample.value for sample in family.samples}
    assert math.isnan(found.pop("d"))
    assert found == {"a": 1e22, "b": 0.1, "c": -math.inf, "\\udcff": 12345678901.0}
