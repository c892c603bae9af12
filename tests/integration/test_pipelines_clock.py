"""A wall clock that is set while runs go on: neither the order of runs nor what is taken back depends on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from workflow_agent.app.clock import SystemClock
from workflow_agent.cli.tables import duration
from workflow_agent.testing.fake_app import open_fake_app
from workflow_agent.testing.fake_target import FakeWorld

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86400.0
INSTALL = {"integration": "prometheus-node-exporter", "approve": True}


class JumpingClock:
    """Jumps each time somebody asks."""

    def __init__(self, start: float, jump: float) -> None:
        self._now = start
        self._jump = jump

    def now(self) -> float:
        self._now += self._jump
        return self._now


@pytest.mark.parametrize("jump", [-DAY, DAY])
async def test_a_clock_that_jumps_at_every_record_changes_no_outcome(tmp_path: Path, jump: float) -> None:
    world = FakeWorld()
    async with open_fake_app(tmp_path, world, clock=JumpingClock(1e9, jump)) as app:
        first = await app.run("install", INSTALL)
        second = await app.run("install", {"integration": "redis-server", "approve": True})
        assert (first["status"], second["status"]) == ("succeeded", "succeeded")
        assert [run["run_id"] for run in await app.history.runs()] == [second["run_id"], first["run_id"]]
        for step in first["steps"]:
            assert not duration(step["started_at"], step["finished_at"]).startswith("-")

        undone = [(await app.run("rollback", {"approve": True}))["undoes"] for _ in range(2)]

        assert undone == [second["run_id"], first["run_id"]], "the run that came last goes first"
        assert world.files == {}


async def test_a_run_that_died_before_the_clock_was_set_back_is_ended_first(tmp_path: Path) -> None:
    world = FakeWorld()
    for start in (1e9, 1e9 - DAY):
        async with open_fake_app(tmp_path, world, clock=JumpingClock(start, 1.0)) as app:
            run = await app.run("install", INSTALL)
            assert run["status"] == "succeeded"
    async with open_fake_app(tmp_path, world) as app:
        assert (await app.history.runs())[0]["run_id"] == run["run_id"]


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_the_clock_of_records_goes_on_as_it_began(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    clock = SystemClock()
    begun = clock.now()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)

    assert 0.0 <= clock.now() - begun < 60.0
    assert abs(SystemClock().now() - begun - jump) < 60.0, "the next command believes the wall clock"
