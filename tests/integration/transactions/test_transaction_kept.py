"""Who would still see the old file after a commit is named in the plan: watchers of it, and mounts of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from workflow_agent.testing.transactions import Trial


def _watches(pid: int) -> int:
    """Count what a process watches."""
    count = 0
    for one in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(OSError):  # closed meanwhile, while the process starts
            count += one.read_text(encoding="ascii").count("inotify wd:")
    return count


def _kept(notes: tuple[str, ...]) -> list[str]:
    return [note for note in notes if "the old file" in note]


@pytest.mark.parametrize("script", ["echo 2 > FILE", "rm FILE", "rm -r FOLDER"])
async def test_a_watched_file_is_named_with_who_watches_it(trial: Trial, script: str) -> None:
    trial.shell("mkdir -p /srv/watched; echo 1 > /srv/watched/conf; echo 1 > /srv/watched/other")
    process = await asyncio.create_subprocess_exec(
        "tail", "-f", str(trial.lab.root / "srv/watched/conf"), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(20):
            while not _watches(process.pid):  # noqa: ASYNC110  # another process's start
                await asyncio.sleep(0.01)
        text = script.replace("FILE", "/srv/watched/conf").replace("FOLDER", "/srv/watched")
        transaction, changes = await trial.capture(text)
        await trial.target.discard(transaction)
        beside, others = await trial.capture("echo 2 > /srv/watched/other; echo new > /srv/watched/new")
        await trial.target.discard(beside)
    finally:
        process.kill()
        await process.wait()
        trial.shell("rm -r /srv/watched")
    (note,) = _kept(changes.notes)
    assert note.startswith("/srv/watched/conf is watched by ")
    assert f"tail (process {process.pid})" in note
    assert _kept(others.notes) == []


async def test_a_file_that_is_mounted_elsewhere_is_named_with_where(trial: Trial) -> None:
    trial.shell("mkdir -p /srv/jail; echo 1 > /srv/conf; echo 1 > /srv/jail/conf")
    trial.shell("mount --bind /srv/conf /srv/jail/conf")
    try:
        transaction, changes = await trial.capture("echo 2 > /srv/conf")
        await trial.target.commit(transaction)
        inside = trial.shell("cat /srv/conf /srv/jail/conf")
        await trial.target.rollback(transaction)
    finally:
        trial.shell("umount /srv/jail/conf; rm -r /srv/jail /srv/conf")
    (note,) = _kept(changes.notes)
    assert note.startswith("/srv/conf is mounted at ")
    assert "/srv/jail/conf" in note
    assert inside == "2\n1\n", "which is why it is said"
