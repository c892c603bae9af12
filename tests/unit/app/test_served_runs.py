"""Runs that requests begin: bounded, found again by their key, left where they stand."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.api.orders import RunOrder
from workflow_agent.app.flows import open_flows
from workflow_agent.app.served_runs import ServedRuns
from workflow_agent.model.errors import BusyError, ConflictError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def order(command: str, **more: Any) -> RunOrder:
    return RunOrder(workflow={"name": "one", "steps": [{"name": "a", "command": command}]}, **more)


@asynccontextmanager
async def opened(folder: Path, most: int = 2) -> AsyncIterator[ServedRuns]:
    async with open_flows({"paths.state": str(folder / "state")}) as flows:
        runs = ServedRuns(flows, most=most)
        try:
            yield runs
        finally:
            await runs.stop()


def until(folder: Path) -> str:
    return f"echo x >>{folder}/ran; until test -e {folder}/gate; do sleep 0.02; done"


async def test_more_runs_than_may_be_are_sent_away_until_one_has_ended(tmp_path: Path) -> None:
    async with opened(tmp_path) as runs:
        held = [await runs.begin(order(until(tmp_path)), None) for _ in range(2)]
        with pytest.raises(BusyError) as refused:
            await runs.begin(order("true"), None)
        assert (refused.value.http_status, refused.value.retryable) == (429, True)
        (tmp_path / "gate").touch()
        assert [(await runs.describe(run, 30))["status"] for run in held] == ["succeeded"] * 2
        last = await runs.begin(order("true"), None)
        assert (await runs.describe(last, 30))["status"] == "succeeded"
        assert len(await runs.runs(10, None)) == 3


async def test_requests_at_the_same_time_with_one_key_begin_one_run(tmp_path: Path) -> None:
    async with opened(tmp_path, most=1) as runs:
        (tmp_path / "gate").touch()
        found = await asyncio.gather(*(runs.begin(order(until(tmp_path)), "k") for _ in range(5)))
        assert len(set(found)) == 1
        assert (await runs.describe(found[0], 30))["status"] == "succeeded"
        assert await runs.begin(order(until(tmp_path)), "k") == found[0]
        with pytest.raises(ConflictError, match="another workflow"):
            await runs.begin(order("true"), "k")
    assert (tmp_path / "ran").read_text() == "x\n"


async def test_of_two_different_orders_with_one_key_one_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as runs:
        found = await asyncio.gather(
            *(runs.begin(order(f"echo {number}"), "k") for number in range(2)), return_exceptions=True
        )
        assert sorted(type(each).__name__ for each in found) == ["ConflictError", "str"]


async def test_a_stop_leaves_runs_and_the_next_start_takes_them_up(tmp_path: Path) -> None:
    async with opened(tmp_path) as runs:
        run = await runs.begin(order(until(tmp_path)), None)
        while not (tmp_path / "ran").exists():  # noqa: ASYNC110  # a file tells nobody
            await asyncio.sleep(0.02)
    async with opened(tmp_path) as runs:
        before = await runs.describe(run)
        assert (before["status"], before["is_driven"], before["finished_at"]) == ("running", False, None)
        (tmp_path / "gate").touch()
        (taken,) = await runs.take_up()
        assert (taken.run_id, taken.status) == (run, "succeeded")
        assert (await runs.describe(run))["result"]["exit_code"] == 0
        assert await runs.take_up() == []


async def test_only_runs_of_workflows_are_told_of(tmp_path: Path) -> None:
    async with opened(tmp_path) as runs:
        with pytest.raises(NotFoundError):
            await runs.describe("r-0")
        run = await runs.begin(order("true"), None)
        assert (await runs.describe(run, 30))["status"] == "succeeded"
        assert await runs.resolve(run[:12]) == run
        assert await runs.cancel(run, "late") is False
        assert "workflow_agent_runs_begun_total" in await runs.scraped()
