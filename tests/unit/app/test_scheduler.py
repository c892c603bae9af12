"""Runs by schedules: begun once and only once, whatever overlaps, and whenever the process is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.app.flows import open_flows
from workflow_agent.app.scheduler import MOST_WAITING, Ledger, Planned, Scheduler, read_ledger
from workflow_agent.authoring import load_workflow
from workflow_agent.engine.schedules import schedules_of
from workflow_agent.model.errors import ConflictError, StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from workflow_agent.app.flows import Flows
    from workflow_agent.model.workflow import Workflow

HOUR = 3600.0
START = 1_800_000_000.0 - 1_800_000_000.0 % HOUR
QUICK = "{id: a, uses: flow.pass, with: {}}"
SLOW = "{id: a, uses: wait.signal}"


def hourly(step: str = QUICK, *, overlap: str = "skip", catch_up: str = "all", more: str = "") -> Workflow:
    text = f"""
name: hourly
version: "1"
schedule: [{{cron: "0 * * * *", catch_up: {catch_up}, overlap: {overlap}, inputs: {{due: "${{{{ schedule.due }}}}"}}}}]
inputs: {{due: {{type: string, required: true}}}}
steps: [{step}]
{more}
"""
    return load_workflow(text, source="hourly.yaml")


class House:
    """A state folder, runs, and a clock that the test sets."""

    def __init__(self, flows: Flows, folder: Path) -> None:
        self.flows = flows
        self.folder = folder
        self.at = START
        self.said: list[str] = []

    def scheduler(self, *workflows: Workflow) -> Scheduler:
        listed = [(workflow, None) for workflow in workflows]
        return Scheduler(self.flows, listed, self.folder, self.said.append, now=lambda: self.at)

    def begin(self, workflow: Workflow) -> asyncio.Task[None]:
        return asyncio.ensure_future(self.scheduler(workflow).run())

    async def runs(self) -> list[tuple[str, str]]:
        found = await self.flows.history.runs(limit=100)
        full = [await self.flows.state(run["run_id"]) for run in found]
        return sorted((str(state.inputs.get("due", "")), state.status.value) for state in full)

    async def until_runs(self, *statuses: str) -> None:
        async with asyncio.timeout(20):
            while [status for _, status in await self.runs()] != [*statuses]:  # noqa: ASYNC110  # as below
                await asyncio.sleep(0.01)

    async def until_said(self, text: str, count: int = 1) -> None:
        async with asyncio.timeout(20):
            while sum(text in line for line in self.said) < count:  # noqa: ASYNC110  # what is said tells nobody
                await asyncio.sleep(0.01)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_flows({"paths.state": str(tmp_path / "state")}) as flows:
        yield House(flows, tmp_path / "state")


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the scheduler look every few milliseconds."""
    monkeypatch.setattr("workflow_agent.app.scheduler._LONGEST_SLEEP_S", 0.01)


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def test_each_time_is_fired_once(house: House) -> None:
    workflow = hourly(overlap="queue")
    await house.scheduler(workflow).run(once=True)
    assert await house.runs() == []

    house.at += 2.5 * HOUR
    for _ in range(2):
        await house.scheduler(workflow).run(once=True)

    due = [datetime.fromtimestamp(START + hours * HOUR, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for hours in (1, 2)]
    assert await house.runs() == [(each, "succeeded") for each in due]
    (entry,) = read_ledger(house.folder).values()
    assert (entry.considered, entry.running, entry.waiting) == (house.at, [], [])


@pytest.mark.usefixtures("fast")
async def test_a_time_is_left_out_while_the_run_before_goes_on(house: House) -> None:
    task = house.begin(hourly(SLOW))
    await asyncio.sleep(0.02)
    house.at += HOUR
    await house.until_runs("waiting")
    house.at += HOUR
    await house.until_said("left out")

    await stopped(task)

    assert len(await house.runs()) == 1


@pytest.mark.usefixtures("fast")
async def test_a_time_may_wait_for_the_run_before(house: House) -> None:
    task = house.begin(hourly(SLOW, overlap="queue"))
    await asyncio.sleep(0.02)
    house.at += 2 * HOUR
    await house.until_runs("waiting")
    (entry,) = read_ledger(house.folder).values()
    assert (len(entry.running), len(entry.waiting)) == (1, 1)
    (run,) = await house.flows.history.runs(limit=9)
    await house.flows.signal(run["run_id"], "a")

    await house.until_runs("succeeded", "waiting")

    await stopped(task)


@pytest.mark.usefixtures("fast")
async def test_a_time_may_cancel_the_run_before(house: House) -> None:
    task = house.begin(hourly(SLOW, overlap="cancel"))
    await asyncio.sleep(0.02)
    house.at += HOUR
    await house.until_runs("waiting")
    house.at += 2 * HOUR

    await house.until_runs("cancelled", "waiting")

    await stopped(task)


@pytest.mark.usefixtures("fast")
async def test_runs_may_go_on_beside_each_other_and_are_taken_up_by_the_next_process(house: House) -> None:
    workflow = hourly(SLOW, overlap="allow")
    task = house.begin(workflow)
    await asyncio.sleep(0.02)
    house.at += 2 * HOUR
    await house.until_runs("waiting", "waiting")
    await stopped(task)
    assert [len(entry.running) for entry in read_ledger(house.folder).values()] == [2]

    task = house.begin(workflow)
    while len(house.flows._driver._runs) < 2:  # noqa: ASYNC110  # that a run is driven again tells nobody
        await asyncio.sleep(0.01)
    for run in await house.flows.history.runs(limit=9):
        await house.flows.signal(run["run_id"], "a")
    await house.until_said("has ended: succeeded", 2)

    await stopped(task)
    assert len(await house.runs()) == 2


async def test_what_was_missed_is_told(house: House) -> None:
    workflow = hourly(catch_up="none")
    await house.scheduler(workflow).run(once=True)
    house.at += 5.5 * HOUR

    await house.scheduler(workflow).run(once=True)

    assert await house.runs() == []
    assert any("not caught up" in line for line in house.said)


async def test_a_run_that_fails_or_cannot_begin_does_not_stop_the_others(house: House) -> None:
    failing = hourly("{id: a, uses: flow.end, with: {status: failed, reason: broken}}")
    await house.scheduler(failing).run(once=True)
    house.at += 2 * HOUR

    await house.scheduler(failing).run(once=True)

    assert [status for _, status in await house.runs()] == ["failed"]
    assert any("left out" in line for line in house.said)
    assert read_ledger(house.folder)[schedules_of(failing)[0].id].running == []


async def test_only_one_process_runs_schedules(house: House) -> None:
    task = house.begin(hourly())
    await asyncio.sleep(0.02)

    with pytest.raises(ConflictError, match="schedules are run already"):
        await house.scheduler(hourly()).run()

    await stopped(task)


async def test_a_line_of_times_has_an_end(house: House) -> None:
    workflow = hourly(SLOW, overlap="queue")
    await house.scheduler(workflow).run(once=True)
    house.at += (MOST_WAITING + 3) * HOUR
    task = asyncio.ensure_future(house.scheduler(workflow).run())

    await house.until_said("left out", 2)

    await stopped(task)
    (entry,) = read_ledger(house.folder).values()
    assert len(entry.waiting) == MOST_WAITING


def test_a_ledger_that_is_none_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "schedules.json").write_text("[]")

    with pytest.raises(StoreError, match="where the schedules stand cannot be read"):
        read_ledger(tmp_path)


def test_a_ledger_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.entries["w/1"] = Planned(considered=5.0)
    ledger.keep()
    assert read_ledger(tmp_path) == {"w/1": Planned(considered=5.0)}
    (tmp_path / "schedules.part").mkdir()

    with pytest.raises(StoreError, match="it cannot be kept which runs are due"):
        ledger.keep()


FILE = """
name: nightly
version: "1"
schedule: [{cron: "@hourly", catch_up: latest}]
steps: [{id: a, uses: shell.run, with: {command: "echo ran >> LOG"}}]
"""


def command(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    places = {f"WORKFLOW_AGENT_PATHS__{name.upper()}": str(folder / name) for name in ("state", "config")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "workflow_agent", *arguments],
        check=False, capture_output=True, text=True, cwd=folder, env={**os.environ, **places, **environ},
    )  # fmt: skip


@pytest.mark.parametrize("point", ["engine.before-request", "store.before-commit", "store.after-commit"])
def test_a_scheduler_that_is_killed_fires_neither_twice_nor_never(tmp_path: Path, point: str) -> None:
    (tmp_path / "nightly.yaml").write_text(FILE.replace("LOG", str(tmp_path / "log")))
    (tmp_path / "state").mkdir(mode=0o700)
    (schedule,) = schedules_of(load_workflow(FILE, source="w.yaml"))
    stands = {schedule.id: {"considered": time.time() - 2 * HOUR, "running": [], "waiting": []}}
    listed = json.loads(command(tmp_path, "schedules", "list", "nightly.yaml", "--json").stdout)
    (tmp_path / "state" / "schedules.json").write_text(
        json.dumps({listed["data"]["items"][0]["id"]: stands[schedule.id]})
    )

    killed = command(tmp_path, "schedules", "run", "--once", "nightly.yaml", WORKFLOW_AGENT_FAILPOINT=point)
    again = command(tmp_path, "schedules", "run", "--once", "nightly.yaml")
    idle = command(tmp_path, "schedules", "run", "--once", "nightly.yaml", "--json")

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert again.returncode == 0, again.stderr
    assert json.loads(idle.stdout)["data"] == {"begun": 0}
    history: dict[str, Any] = json.loads(command(tmp_path, "history", "--json").stdout)
    assert [run["status"] for run in history["data"]["items"]] == ["succeeded"]
    assert (tmp_path / "log").read_text() == "ran\n"
