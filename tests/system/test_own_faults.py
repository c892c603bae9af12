"""Faults of our own side: the disk, the database, the folder; and several commands at once. The host is as before."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from workflow_agent.testing.lab import LabContainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.system.machine import Machine, World
else:
    from machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.slow]

SCRIPT = "set -eu\nmkdir -p /opt/{0}\ntouch /opt/{0}/done\n"
GONE = "negative_checks: [{{id: gone, kind: file, path: /opt/{0}/done, exists: false}}]\n"


@pytest.fixture
def mine(machine: Machine, tmp_path: Path) -> Iterator[Machine]:
    """The shared host, and a folder for its command that a test may break."""
    own = Machine(host=machine.host, folder=tmp_path)
    yield own
    subprocess.run(["umount", "-l", str(own.state)], check=False, capture_output=True)


@pytest.fixture
def before(mine: Machine) -> World:
    return mine.world()


def small(machine: Machine, name: str = "small") -> str:
    return machine.integration(name, SCRIPT.format(name), more=GONE.format(name))


def mount(*options: str) -> None:
    subprocess.run(["mount", *options], check=True)


# -- the journal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "status", "state"),
    [
        ("store.before-insert:1", None, "nothing was changed"),
        ("store.before-insert:5", "failed", "has no end, nothing was changed"),
        ("store.commit:6", "rolled-back", "what it had begun is still there"),
        ("store.after-commit:7", "rolled-back", "what it had begun is still there"),
    ],
)
def test_a_journal_that_cannot_be_written_ends_the_command_and_resume_ends_the_run(
    mine: Machine, before: World, point: str, status: str | None, state: str
) -> None:
    kept = set(mine.transactions())
    failed = mine.json("install", small(mine), "--yes", environ={"WORKFLOW_AGENT_FAILPOINT": f"{point}=error"})
    assert failed.code == 7, str(failed)
    assert failed.error["code"].startswith("unreachable.")
    assert "[Errno 5]" in failed.error["cause"]
    assert state in failed.error["state"]
    run = failed.error["run_id"]
    if status is None:
        assert mine.json("history").data["items"] == []
    else:
        assert f"workflow-agent resume {run}" in failed.error["hint"]
        assert mine.json("show", run).data["orphaned"] is True
        assert mine.json("resume", run).data["status"] == status
    mine.assert_as(before)
    assert mine.cli("recover").code == 0
    # What was taken back is kept with the run; what was captured only, and could not be written down, is gone.
    assert set(mine.transactions()) - kept == ({f"{run}.1"} if status == "rolled-back" else set())


def test_a_database_that_cannot_be_closed_is_told_and_the_run_is_there(mine: Machine, before: World) -> None:
    failed = mine.json(
        "install", small(mine), "--yes", environ={"WORKFLOW_AGENT_FAILPOINT": "store.before-close=error"}
    )
    assert (failed.code, failed.error["state"]) == (7, "everything up to here is stored"), str(failed)
    assert mine.json("history").data["items"][0]["status"] == "succeeded"
    assert mine.json("rollback", "--yes").code == 0
    mine.assert_as(before)


# -- the disk and the folder --------------------------------------------------------------------------------------


def test_a_full_disk_of_the_database_ends_the_command_and_costs_the_host_nothing(mine: Machine, before: World) -> None:
    mine.state.mkdir(mode=0o700)
    mount("-t", "tmpfs", "-o", "size=4m,mode=0700", "none", str(mine.state))
    folder, filler = small(mine), mine.state / "filler"
    assert mine.json("install", folder, "--yes").code == 0
    assert mine.json("rollback", "--yes").code == 0
    begun = 0
    for free_kb in (0, 120):
        runs = len(mine.json("history", "--limit", "100").data["items"])
        with filler.open("wb") as file:
            file.write(b"x" * (free_bytes(mine.state) - free_kb * 1024))
        failed = mine.json("install", folder, "--yes")
        assert failed.code == 7, (free_kb, str(failed))
        said = f"{failed.error['message']} {failed.error['cause']}"
        assert "full" in said or "No space left" in said, str(failed)
        assert failed.error["hint"], str(failed)
        filler.unlink()
        items = mine.json("history", "--limit", "100").data["items"]
        begun += len(items) - runs
        if len(items) > runs:
            assert items[0]["orphaned"] is True
            assert mine.json("resume", items[0]["run_id"]).data["status"] in {"failed", "rolled-back"}
        mine.assert_as(before)
    assert begun, "no run came as far as its first record"
    assert mine.json("install", folder, "--yes").code == 0
    assert mine.json("rollback", "--yes").code == 0
    mine.assert_as(before)


def free_bytes(folder: Path) -> int:
    done = subprocess.run(["stat", "-f", "-c", "%a %S", str(folder)], check=True, capture_output=True, text=True)
    blocks, size = done.stdout.split()
    return int(blocks) * int(size)


def test_a_folder_that_cannot_be_written_can_be_looked_at_and_nothing_begins(mine: Machine, before: World) -> None:
    mine.state.mkdir(mode=0o700)
    mount("--bind", str(mine.state), str(mine.state))
    folder = small(mine)
    run = mine.json("install", folder, "--yes").data["run_id"]
    mount("-o", "remount,bind,ro", str(mine.state))
    for words in (["install", folder, "--yes"], ["rollback", "--yes"], ["resume", run], ["plan", folder]):
        refused = mine.json(*words)
        assert (refused.code, refused.error["code"]) == (4, "permission"), str(refused)
        assert "mounted read-only" in refused.error["hint"]
    assert mine.json("history").data["items"][0]["run_id"] == run
    assert mine.json("show", run).data["status"] == "succeeded"
    doctor = mine.json("doctor")
    assert doctor.code == 1
    assert "state folder" in doctor.error["message"]
    mount("-o", "remount,bind,rw", str(mine.state))
    assert mine.json("rollback", "--yes").code == 0
    mine.assert_as(before)


# -- the database ---------------------------------------------------------------------------------------------------


def test_a_database_that_cannot_be_used_is_named_with_what_to_do(mine: Machine, before: World) -> None:
    folder = small(mine)
    mine.state.mkdir(mode=0o700)
    database = mine.state / "workflow-agent.db"
    for content, version, said, hint in (
        (b"no database at all\n" * 200, None, "not a database", "move the database"),
        (b"", 99, "newer workflow-agent (schema 99", "install that release"),
    ):
        database.write_bytes(content)
        if version is not None:
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA journal_mode = wal")
                connection.execute(f"PRAGMA user_version = {version}")
        found = database.read_bytes()
        for words in (["install", folder, "--yes"], ["rollback", "--yes"], ["history"]):
            refused = mine.json(*words)
            assert (refused.code, refused.error["code"]) == (7, "unreachable.store"), str(refused)
            assert said in refused.error["message"]
            assert hint in refused.error["hint"]
            assert refused.error["where"] == str(database)
        assert database.read_bytes() == found, "what somebody may still want to save"
        assert mine.json("doctor").code == 1
    mine.assert_as(before)


def test_a_database_that_is_damaged_inside_is_named_and_a_copy_put_back_works(mine: Machine, before: World) -> None:
    folder = small(mine)
    run = mine.json("install", folder, "--yes").data["run_id"]
    database = mine.state / "workflow-agent.db"
    good = database.read_bytes()
    half = len(good) // 8192 * 4096
    database.write_bytes(good[:half] + os.urandom(len(good) - half))
    for words in (["history"], ["show", run], ["plan", folder], ["install", folder, "--yes"], ["rollback", "--yes"]):
        refused = mine.json(*words)
        assert (refused.code, refused.error["code"]) == (7, "unreachable.store"), str(refused)
        assert refused.error["message"] == "the database is damaged"
        assert "put a copy back" in refused.error["hint"]
    for name in ("-wal", "-shm"):
        database.with_name(f"{database.name}{name}").unlink(missing_ok=True)
    database.write_bytes(good)
    assert mine.json("rollback", "--yes").data["undoes"] == run
    mine.assert_as(before)


def test_a_database_that_another_process_holds_names_it(mine: Machine, before: World) -> None:
    folder = small(mine)
    assert mine.json("plan", folder).code == 0
    with (mine.state / "workflow-agent.db.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = mine.json("install", folder, "--yes")
        assert (refused.code, refused.error["code"]) == (7, "unreachable.store"), str(refused)
        assert "process" in f"{refused.error['message']} {refused.error['cause']}"
        assert mine.json("history").code == 0, "to look needs no lock"
        with mine.running("install", folder, "--yes", "--json") as waiting:
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert waiting.finish().code == 0
    assert mine.json("rollback", "--yes").code == 0
    mine.assert_as(before)


# -- several at once ------------------------------------------------------------------------------------------------


def test_two_installs_at_once_on_one_target_come_one_after_the_other(mine: Machine, before: World) -> None:
    folders = [small(mine, "first"), small(mine, "second")]
    waits = ("--yes", "--wait=60", "--json")
    with mine.running("install", folders[0], *waits) as one, mine.running("install", folders[1], *waits) as other:
        runs = [running.finish() for running in (one, other)]
    assert [answer.code for answer in runs] == [0, 0], "\n".join(map(str, runs))
    steps = [{step["id"]: step for step in answer.data["steps"]} for answer in runs]
    first, second = sorted(steps, key=lambda each: float(each["commit"]["started_at"]))
    assert second["commit"]["started_at"] > first["verify"]["finished_at"], "one had the target to itself"
    assert [mine.json("rollback", "--yes").code for _ in runs] == [0, 0]
    mine.assert_as(before)


def test_installs_on_two_targets_do_not_wait_for_each_other(
    mine: Machine, before: World, machines: Callable[..., AbstractContextManager[Machine]]
) -> None:
    with machines("docker-plain") as made:
        assert isinstance(made.host, LabContainer)
        there = Machine(host=made.host, folder=mine.folder)
        folder = small(mine)
        other = there.world()
        with mine.running("install", folder, terminal=True) as asking:
            asking.wait_for(r"\[y/N\]")
            done = there.json("install", folder, "--yes")
            assert done.code == 0, str(done)
            asking.type("y\n")
            assert asking.finish().code == 0
        targets = [run["target"] for run in mine.json("history").data["items"]]
        assert sorted(targets) == sorted(["host", made.host.target])
        assert there.json("rollback", "--yes").code == 0
        there.assert_as(other)
        assert mine.json("verify", folder).code == 0, "taken back there, not here"
    assert mine.json("rollback", "--yes").code == 0
    mine.assert_as(before)
