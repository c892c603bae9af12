"""A process dies in the middle of a run; the next one ends that run truthfully and gives the target back."""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import StoreError, TargetLockedError
from workflow_agent.model.event import Event, EventType, Snapshot
from workflow_agent.model.identity import new_run_id
from workflow_agent.model.status import TERMINAL_RUN
from workflow_agent.testing.fake_app import open_fake_app
from workflow_agent.testing.fake_target import FakeWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from workflow_agent.app import App
    from workflow_agent.model.ports import Journal

NODE = {"integration": "prometheus-node-exporter", "approve": True}
PATH = "/etc/default/prometheus-node-exporter"
#: Records of an installation without consent, as `test_crashes_are_tried_at_every_record` proves.
APPENDS = 7


class DyingJournal:
    """Passes appends on; after the last one that the process lives to see, nothing comes back any more."""

    def __init__(self, inner: Journal, appends: int) -> None:
        self._inner = inner
        self._left = appends
        self.dead = asyncio.Event()

    async def append(self, run_id: str, expected_head: int, events: Sequence[Event]) -> int:
        head = await self._inner.append(run_id, expected_head, events)
        self._left -= 1
        if self._left == 0:
            self.dead.set()
            await asyncio.Event().wait()
        return head

    async def events(self, run_id: str, *, after: int = 0) -> list[Event]:
        return await self._inner.events(run_id, after=after)

    async def keep_snapshot(self, run_id: str, seq: int, fold: str, make: Callable[[], Mapping[str, Any]]) -> None:
        await self._inner.keep_snapshot(run_id, seq, fold, make)

    async def snapshots(self, run_ids: Sequence[str]) -> dict[str, Snapshot]:
        return await self._inner.snapshots(run_ids)

    async def events_of(self, run_ids: Sequence[str]) -> dict[str, list[Event]]:
        return await self._inner.events_of(run_ids)

    async def definition(self, workflow_hash: str) -> Mapping[str, Any] | None:
        return await self._inner.definition(workflow_hash)


async def crash_at_record(
    folder: Path, world: FakeWorld, appends: int, workflow: str = "install", inputs: dict[str, Any] | None = None
) -> str:
    """Run a workflow in an application that dies when its n-th append is on disk; gives the run's id."""
    run_id = new_run_id()
    journals: list[DyingJournal] = []

    def dying(inner: Journal) -> Journal:
        journals.append(DyingJournal(inner, appends))
        return journals[0]

    async with open_fake_app(folder, world, journal=dying) as app:
        await died(app, world, journals[0].dead, run_id=run_id, workflow=workflow, inputs=inputs or NODE)
    return run_id


async def crash_in_verb(folder: Path, world: FakeWorld, verb: str, workflow: str = "install") -> str:
    """Run a workflow in an application that dies while the target is at `verb`."""
    run_id = new_run_id()
    reached = asyncio.Event()

    async def hook() -> None:
        reached.set()
        await asyncio.Event().wait()

    world.hooks[verb] = hook
    async with open_fake_app(folder, world) as app:
        inputs = NODE if workflow == "install" else {"approve": True}
        await died(app, world, reached, run_id=run_id, workflow=workflow, inputs=inputs)
    return run_id


async def died(
    app: App, world: FakeWorld, at: asyncio.Event, *, run_id: str, workflow: str, inputs: dict[str, Any]
) -> None:
    running = asyncio.create_task(app.run(workflow, inputs, run_id=run_id))
    reached = asyncio.create_task(at.wait())
    await asyncio.wait({running, reached}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    assert at.is_set(), running
    running.cancel()
    await asyncio.wait({running})
    world.crash()


# -- every record --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("appends", range(1, APPENDS + 1))
async def test_after_a_crash_at_any_record_the_target_is_as_before_and_history_says_so(
    tmp_path: Path, appends: int
) -> None:
    world = FakeWorld(files={"/etc/other": "x"})
    run_id = await crash_at_record(tmp_path, world, appends)
    async with open_fake_app(tmp_path, world) as app:
        committed = any(
            event.step == "commit" and event.type is EventType.STEP_SUCCEEDED
            for event in await app.store.journal.events(run_id)
        )

        settled = await app.settle("host")

        report = await app.report(run_id)
        assert settled == [run_id]
        assert report["status"] == ("rolled-back" if committed else "failed")
        assert report["changed"] is False
        assert "process" in report["error"]["message"]
        assert (world.files, world.running, world.holder) == ({"/etc/other": "x"}, set(), None)
        assert await app.history.unfinished("host") == []
        assert await app.settle("host") == []
        assert app.warnings == []
        installed = await app.run("install", NODE)
        assert (installed["status"], installed["changed"]) == ("succeeded", True)


async def test_crashes_are_tried_at_every_record(tmp_path: Path) -> None:
    world = FakeWorld()
    run_id = await crash_at_record(tmp_path, world, APPENDS + 1)
    async with open_fake_app(tmp_path, world) as app:
        assert await app.settle("host") == []
        assert (await app.report(run_id))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("verb", "status"),
    [
        ("facts", "failed"),
        ("prepare", "failed"),
        ("commit", "failed"),
        ("commit.half", "rolled-back"),
        ("activate", "rolled-back"),
        ("check", "rolled-back"),
    ],
)
async def test_a_crash_inside_a_step_is_taken_back_by_the_next_run(tmp_path: Path, verb: str, status: str) -> None:
    world = FakeWorld()
    run_id = await crash_in_verb(tmp_path, world, verb)

    async with open_fake_app(tmp_path, world) as app:
        again = await app.run("install", NODE)

        assert (await app.report(run_id))["status"] == status
        assert again["status"] == "succeeded"
        assert [one["run_id"] for one in await app.history.runs()] == [again["run_id"], run_id]
        assert len(world.transactions) <= 2


async def test_a_crash_during_recovery_is_recovered(tmp_path: Path) -> None:
    world = FakeWorld(red={"page"})
    run_id = await crash_in_verb(tmp_path, world, "rollback.half")

    async with open_fake_app(tmp_path, world) as app:
        assert await app.settle("host") == [run_id]
        assert (await app.report(run_id))["status"] == "rolled-back"
        assert (world.files, world.holder) == ({}, None)


# -- other workflows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "status", "undone"),
    [
        ("preview", "failed", False),
        ("rollback", "failed", False),
        ("rollback.half", "succeeded", True),
        ("check", "succeeded", True),
    ],
)
async def test_a_rollback_that_crashed_is_recorded_as_far_as_it_came(
    tmp_path: Path, verb: str, status: str, *, undone: bool
) -> None:
    world = FakeWorld()
    async with open_fake_app(tmp_path, world) as app:
        installed = await app.run("install", NODE)
    run_id = await crash_in_verb(tmp_path, world, verb, "rollback")

    async with open_fake_app(tmp_path, world) as app:
        await app.settle("host")

        assert (await app.report(run_id))["status"] == status
        assert (await app.report(installed["run_id"]))["undone_by"] == (run_id if undone else None)
        assert (world.files == {}) is undone
        assert world.holder is None


async def two_parts(folder: Path, world: FakeWorld) -> str:
    """Install what requires something that is not there yet; gives the run."""
    world.red = {"round-trip"}  # of what is required: it does not work before it is installed

    async def works() -> None:
        world.red = set()

    world.hooks["commit"] = works
    async with open_fake_app(folder, world) as app:
        run = await app.run("install", {"integration": "prometheus-redis-exporter", "approve": True})
    del world.hooks["commit"]
    assert len(world.transactions) == 2
    return str(run["run_id"])


@pytest.mark.parametrize("appends", [3, 4, 5, 6, 7, 8, 9])
async def test_a_rollback_of_two_parts_that_crashed_is_none_or_all_of_it(tmp_path: Path, appends: int) -> None:
    world = FakeWorld()
    installed = await two_parts(tmp_path, world)
    files = dict(world.files)
    run_id = await crash_at_record(tmp_path, world, appends, "rollback", {"approve": True})
    begun = world.files != files

    async with open_fake_app(tmp_path, world) as app:
        await app.settle("host")

        assert (await app.report(run_id))["status"] == ("succeeded" if begun else "failed")
        assert (await app.report(installed))["undone_by"] == (run_id if begun else None)
        assert world.files == ({} if begun else files)
        assert world.holder is None
        if not begun:
            assert (await app.run("rollback", {"approve": True}))["status"] == "succeeded"
        assert world.files == {}


async def test_a_crashed_rollback_that_cannot_go_on_says_what_is_left(tmp_path: Path) -> None:
    world = FakeWorld()
    await two_parts(tmp_path, world)
    run_id = await crash_at_record(tmp_path, world, 7, "rollback", {"approve": True})
    (left,) = world.files
    world.files[left] = "somebody else's"

    async with open_fake_app(tmp_path, world) as app:
        await app.settle("host")

        report = await app.report(run_id)
        assert report["status"] == "needs-attention"
        assert report["error"]["state"] == "still there: redis-server"
        assert "changed in between" in report["error"]["cause"]


@pytest.mark.parametrize(("appends", "status"), [(4, "failed"), (5, "succeeded")])
async def test_a_plan_that_crashed_is_ended_and_its_capture_forgotten(
    tmp_path: Path, appends: int, status: str
) -> None:
    world = FakeWorld()
    run_id = await crash_at_record(tmp_path, world, appends, "plan", {"integration": "nginx"})
    # All that a plan is for was recorded with its last step; what remained was to forget the capture.
    assert bool(world.transactions) is (status == "succeeded")

    async with open_fake_app(tmp_path, world) as app:
        await app.run("plan", {"integration": "nginx"})

        assert (await app.report(run_id))["status"] == status
        assert (world.files, world.transactions) == ({}, {})


# -- who is left alone ---------------------------------------------------------------------------------------------


async def test_a_run_whose_process_lives_is_left_alone(tmp_path: Path) -> None:
    world = FakeWorld()
    run_id = await crash_at_record(tmp_path, world, 5)
    with (tmp_path / "state" / "artifacts" / run_id / "owner").open("wb") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        async with open_fake_app(tmp_path, world) as app:
            assert await app.settle("host") == []
            assert [run["run_id"] for run in await app.history.unfinished("host")] == [run_id]


async def test_two_applications_do_not_settle_each_other(tmp_path: Path) -> None:
    world = FakeWorld()
    asked, answer = asyncio.Event(), asyncio.Event()

    async def think(_: Any) -> bool:
        asked.set()
        await answer.wait()
        return True

    async with open_fake_app(tmp_path, world) as first, open_fake_app(tmp_path, world) as second:
        running = asyncio.create_task(first.run("install", {"integration": "prometheus-node-exporter"}, approver=think))
        await asyncio.wait_for(asked.wait(), 20)
        with pytest.raises(TargetLockedError):
            await second.run("install", NODE)
        answer.set()

        assert (await running)["status"] == "succeeded"
        assert await second.settle("host") == []


async def test_a_run_waits_while_somebody_works_on_its_target(tmp_path: Path) -> None:
    world = FakeWorld()
    run_id = await crash_at_record(tmp_path, world, 7)
    world.holder = "r-somebody"
    async with open_fake_app(tmp_path, world) as app:
        assert await app.settle("host") == []
        assert world.holder == "r-somebody"
        world.holder = None
        assert await app.settle("host") == [run_id]
        assert (await app.report(run_id))["status"] == "rolled-back"


# -- what cannot be taken back by itself ---------------------------------------------------------------------------


def other_definition(tmp_path: Path) -> dict[str, Any]:
    """Configure an `install` of one's own."""
    folder = tmp_path / "workflows"
    folder.mkdir()
    (folder / "install.yaml").write_text(
        """schema: workflow-agent/workflow/1
name: install
version: "2"
inputs:
  integration: {type: string, required: true}
  approve: {type: boolean, default: false}
  target: {type: string, default: host}
steps:
  - id: lookup
    uses: knowledge.lookup
    with: {integration: "${{ inputs.integration }}", target: "${{ inputs.target }}"}
  - id: discard
    uses: executor.discard
    with: {target: "${{ inputs.target }}", transaction: none}
"""
    )
    return {"workflows.folders": [str(folder)]}


@pytest.mark.parametrize(("appends", "status"), [(4, "failed"), (7, "rolled-back")])
async def test_a_run_is_ended_by_the_definition_that_it_was_created_with(
    tmp_path: Path, appends: int, status: str
) -> None:
    world = FakeWorld()
    run_id = await crash_at_record(tmp_path, world, appends)

    async with open_fake_app(tmp_path, world, overrides=other_definition(tmp_path)) as app:
        assert await app.settle("host") == [run_id]

        assert (await app.report(run_id))["status"] == status
        assert (world.files, app.warnings) == ({}, [])


def forget_definitions(tmp_path: Path) -> None:
    """Make a database as releases left it that kept no definitions."""
    with closing(sqlite3.connect(tmp_path / "state" / "workflow-agent.db")) as database, database:
        assert database.execute("DELETE FROM definitions").rowcount == 1


@pytest.mark.parametrize(("appends", "committed"), [(4, False), (7, True)])
async def test_a_run_of_an_unknown_definition_never_blocks_the_next_one(
    tmp_path: Path, appends: int, *, committed: bool
) -> None:
    world = FakeWorld()
    run_id = await crash_at_record(tmp_path, world, appends)
    forget_definitions(tmp_path)

    async with open_fake_app(tmp_path, world, overrides=other_definition(tmp_path)) as app:
        report = await app.run("install", NODE)
        left = await app.report(run_id)

        assert report["status"] == "succeeded"
        assert (left["status"], left["changed"]) == ("needs-attention", committed)
        assert len(app.warnings) == 1
        assert run_id in app.warnings[0]
        assert "another one now" in app.warnings[0]
        assert world.holder is None
        if committed:
            assert PATH in world.files
            assert f"rollback {run_id}" in app.warnings[0]
            await app.run("rollback", {"run": run_id, "approve": True})
        assert world.files == {}


async def test_a_run_of_a_workflow_that_is_gone_needs_attention(tmp_path: Path) -> None:
    world = FakeWorld()
    folder = tmp_path / "workflows"
    overrides = other_definition(tmp_path)
    mine = folder / "install.yaml"
    mine.write_text(mine.read_text().replace("name: install", "name: mine"))
    mine.rename(folder / "mine.yaml")
    reached = asyncio.Event()

    async def hook() -> None:
        reached.set()
        await asyncio.Event().wait()

    world.hooks["facts"] = hook
    run_id = new_run_id()
    async with open_fake_app(tmp_path, world, overrides=overrides) as app:
        await died(app, world, reached, run_id=run_id, workflow="mine", inputs=NODE)
    forget_definitions(tmp_path)

    async with open_fake_app(tmp_path, world) as app:
        assert await app.settle("host") == [run_id]
        assert (await app.report(run_id))["status"] == "needs-attention"
        assert "no workflow" in app.warnings[0]


async def test_a_store_that_fails_in_a_run_gives_the_target_back(tmp_path: Path) -> None:
    world = FakeWorld()

    class FullJournal(DyingJournal):
        async def append(self, run_id: str, expected_head: int, events: Sequence[Event]) -> int:
            if expected_head > 6:
                raise StoreError("the disk is full")
            return await self._inner.append(run_id, expected_head, events)

    async with open_fake_app(tmp_path, world, journal=lambda inner: FullJournal(inner, 0)) as app:
        with pytest.raises(StoreError):
            await app.run("install", NODE)
        assert world.holder is None
    async with open_fake_app(tmp_path, world) as app:
        assert len(await app.settle("host")) == 1
        (run,) = await app.history.runs()
        assert run["status"] in {status.value for status in TERMINAL_RUN}
        assert world.files == {}


async def test_a_run_that_ended_meanwhile_is_not_ended_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = FakeWorld()
    run_id = await crash_at_record(tmp_path, world, APPENDS + 1)
    async with open_fake_app(tmp_path, world) as app:

        async def stale(_: str) -> list[dict[str, Any]]:
            return [{"run_id": run_id, "workflow": "install"}]

        monkeypatch.setattr(app.history, "unfinished", stale)

        assert await app.settle("host") == []
        assert (await app.report(run_id))["status"] == "succeeded"
