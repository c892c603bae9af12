"""Immutable and append-only: set, cleared and changed under by scripts, committed, taken back, killed in between."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model import failpoint
from workflow_agent.model.choice import ConflictChoice
from workflow_agent.model.errors import CommitError, PathConflictError, RollbackIncompleteError
from workflow_agent.testing.lab import diff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.testing.transactions import Trial

pytestmark = [pytest.mark.root]

PLACE = "/srv/flags"
SET_UP = """
mkdir -p /srv/flags/d/e; cd /srv/flags; echo old > f; echo log > log; echo x > d/x; echo y > d/e/y; echo h > h; ln h d/h
find /srv/flags -depth -exec touch -h -d '2001-01-01 01:01:01.5' {} +
chattr +i f; chattr +a log; chattr +i d; chattr +i d/e
"""
CLEAN = "chattr -R -ia /srv/flags 2>/dev/null || true; rm -rf /srv/flags"

#: A script, and the flags of paths afterwards.
SCRIPTS = {
    "set on a file": ("chattr +i h", {"h": "i", "d/h": "i", "d": "i"}),
    "set on a new file": ("echo n > n; chattr +i n", {"n": "i"}),
    "set on a new folder and in it": (
        "mkdir -p n/m; echo 1 > n/1; echo 2 > n/m/2; chattr +a n/1; chattr +i n/m n",
        {"n": "i", "n/1": "a", "n/m": "i", "n/m/2": ""},
    ),
    "cleared": ("chattr -i f", {"f": ""}),
    "cleared, written, set again": ("chattr -i f; echo new > f; chattr +i f", {"f": "i"}),
    "cleared and removed": ("chattr -i f; rm f", {}),
    "another flag": ("chattr -i f; chattr +a f; echo more >> f", {"f": "a"}),
    "a log grows": ("echo more >> log", {"log": "a"}),
    "a folder opened and closed": ("chattr -i d; echo n > d/n; rm d/x; chattr +i d", {"d": "i", "d/n": "", "d/e": "i"}),
    "a folder opened": ("chattr -i d; rm d/x", {"d": "", "d/e": "i"}),
    "a folder removed": ("chattr -i d d/e; rm -r d", {}),
    "a folder replaced": ("chattr -i d d/e; rm -r d; mkdir d; echo 1 > d/1; chattr +i d/1 d", {"d": "i", "d/1": "i"}),
    "a file becomes a folder": ("chattr -i f; rm f; mkdir f; chattr +a f", {"f": "a"}),
}


def flags(trial: Trial) -> dict[str, str]:
    """Read the two flags of everything below the place, as lsattr shows them."""
    found = {}
    for line in trial.shell(f"lsattr -R -a {PLACE} 2>/dev/null || true").splitlines():
        letters, _, path = line.partition(" ")
        if path.startswith(f"{PLACE}/") and not path.endswith(("/.", "/..")):
            found[path.removeprefix(f"{PLACE}/").strip()] = "".join(one for one in letters if one in "ia")
    return found


@pytest.fixture
def flagged(trial: Trial) -> Iterator[Trial]:
    """A place on the host with flags of every kind."""
    trial.shell(CLEAN)
    trial.shell(SET_UP)
    yield trial
    trial.shell(CLEAN)


@pytest.mark.parametrize("name", SCRIPTS)
async def test_flags_come_with_a_commit_and_go_with_its_rollback(flagged: Trial, name: str) -> None:
    script, wanted = SCRIPTS[name]
    files, before = flagged.look(PLACE), flags(flagged)
    transaction, change_set = await flagged.capture(f"cd {PLACE}; {script}")
    assert (flags(flagged), diff(files, flagged.look(PLACE))) == (before, []), "nothing reaches the disk before"

    await flagged.target.commit(transaction)
    now = flags(flagged)
    assert {path: now.get(path) for path in wanted} == wanted
    untouched = {path: one for path, one in before.items() if path not in wanted and path in now}
    assert {path: now[path] for path in untouched} == untouched
    assert change_set.changes
    committed = flagged.look(PLACE)

    result = await flagged.target.rollback(transaction)
    assert result["exact"] is True
    assert flags(flagged) == before
    grown = ["/log"] if name == "a log grows" else []
    assert [line for line in diff(files, flagged.look(PLACE)) if line.split(": ")[1] not in grown] == []

    if not grown:
        await flagged.target.commit(transaction)
        assert {path: flags(flagged).get(path) for path in wanted} == wanted
        assert diff(committed, flagged.look(PLACE)) == []
        await flagged.target.rollback(transaction)
        assert flags(flagged) == before


async def test_flags_alone_are_a_change_that_is_named(flagged: Trial) -> None:
    transaction, change_set = await flagged.capture(f"cd {PLACE}; chattr +i h; chattr -i d")
    told = {change.path: change.aspects for change in change_set.changes}
    assert told == {f"{PLACE}/h": ("flags",), f"{PLACE}/d/h": ("flags",), f"{PLACE}/d": ("flags",)}
    await flagged.target.discard(transaction)


@pytest.mark.parametrize("flag", ["+i h", "+a h", "-i f", "+i ."])
async def test_a_flag_that_somebody_changed_since_stops_the_commit(flagged: Trial, flag: str) -> None:
    transaction, _ = await flagged.capture(f"cd {PLACE}; chattr -i f; echo new > f; echo new > h")
    flagged.shell(f"cd {PLACE}; chattr {flag}")
    files, before = flagged.look(PLACE), flags(flagged)
    with pytest.raises(Exception, match=r"immutable or append-only|changed on the target") as refused:
        await flagged.target.commit(transaction)
    assert refused.type.__name__ in {"CommitError", "PathConflictError"}
    assert "nothing was changed" in str(getattr(refused.value, "state", ""))
    assert (flags(flagged), diff(files, flagged.look(PLACE))) == (before, [])


async def test_a_disk_that_refuses_in_the_middle_leaves_the_flags_as_before(flagged: Trial) -> None:
    files, before = flagged.look(PLACE), flags(flagged)
    for passage in range(1, 6):
        transaction, _ = await flagged.capture(f"cd {PLACE}; chattr -i f d; echo new > f; echo n > d/n; chattr +i f h")
        failpoint.arm(f"transaction.commit.operation:{passage}=error")
        with pytest.raises((CommitError, RollbackIncompleteError)):
            await flagged.target.commit(transaction)
        failpoint.arm(None)
        assert (flags(flagged), diff(files, flagged.look(PLACE))) == (before, []), passage
        await flagged.target.discard(transaction)


_CHILD = """
import asyncio, json, sys
from workflow_agent.targets.host import HostTarget
async def main():
    pid, run_id, verb, transaction = json.loads(sys.argv[1])
    target = HostTarget("host", pid=pid)
    await target.acquire(run_id)
    await getattr(target, verb)(transaction)
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("verb", "point"),
    [
        ("commit", "transaction.commit.operation:1"),
        ("commit", "transaction.commit.operation:4"),
        ("commit", "transaction.committed"),
        ("rollback", "transaction.undo.operation:2"),
        ("rollback", "transaction.undone"),
    ],
)
async def test_killed_in_between_flags_are_as_before(flagged: Trial, verb: str, point: str) -> None:
    files, before = flagged.look(PLACE), flags(flagged)
    transaction, _ = await flagged.capture(f"cd {PLACE}; chattr -i f d; echo new > f; echo n > d/n; chattr +i f h d")
    if verb == "rollback":
        await flagged.target.commit(transaction)
    await flagged.end()
    arguments = json.dumps([flagged.lab.pid, flagged.run_id, verb, transaction])
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _CHILD, arguments],
        env=os.environ | {failpoint.VARIABLE: point},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr.decode()
    await flagged.target.acquire("next")
    assert (flags(flagged), diff(files, flagged.look(PLACE))) == (before, [])
    await flagged.target.release("next")


async def test_before_images_that_hold_flags_can_be_pruned_and_discarded(flagged: Trial) -> None:
    transaction = await flagged.apply(f"cd {PLACE}; chattr -i d d/e; mv d moved; mkdir n; echo 1 > n/1; chattr +i n/1")
    await flagged.target.rollback(transaction)
    await flagged.target.commit(transaction)
    (told,) = await flagged.target.prune([transaction])
    assert told["pruned"] is True
    folder = flagged.lab.root / ".workflow-agent/tx" / transaction
    assert sorted(path.name for path in folder.iterdir()) == ["contents.json", "plan.json"]


@pytest.mark.parametrize(
    ("flag", "name"), [("i", "plain"), ("a", "plain"), ("i", "plain/1"), ("i", "whole"), ("i", "n")]
)
async def test_what_somebody_locked_since_refuses_the_rollback_by_name_before_anything_is_touched(
    flagged: Trial, flag: str, name: str
) -> None:
    flagged.shell(f"mkdir {PLACE}/plain")
    files, before = flagged.look(PLACE), flags(flagged)
    transaction = await flagged.apply(
        f"cd {PLACE}; echo 1 > plain/1; echo n > n; chattr +i n; mkdir whole; touch whole/x"
    )
    if name == "n":  # the script locked it: that is no change of anybody's
        await flagged.target.rollback(transaction)
        assert (flags(flagged), diff(files, flagged.look(PLACE))) == (before, [])
        return
    flagged.shell(f"chattr +{flag} {PLACE}/{name}")
    locked = flagged.look(PLACE)
    # Of a file that is a change as well, about which somebody has to decide.
    choice = ConflictChoice(force=name.endswith("1"))
    for plan_only in (True, False):
        with pytest.raises(PathConflictError, match="immutable or append-only since the run committed") as refused:
            await flagged.target.rollback(transaction, plan_only=plan_only, choice=choice)
        assert [one["path"] for one in refused.value.details["conflicts"]] == [f"{PLACE}/{name}"]
        assert refused.value.hint == f"clear it, then run the command again: `chattr -ia {PLACE}/{name}`"
        assert diff(locked, flagged.look(PLACE)) == []
    flagged.shell(f"chattr -{flag} {PLACE}/{name}")
    await flagged.target.rollback(transaction, choice=choice)
    assert (flags(flagged), diff(files, flagged.look(PLACE))) == (before, [])


async def test_a_locked_path_that_stays_as_it_is_stands_against_nothing(flagged: Trial) -> None:
    transaction = await flagged.apply(f"cd {PLACE}; chattr -i f; echo new > f; mkdir other; echo n > other/n")
    flagged.shell(f"chattr +i {PLACE}/f")
    await flagged.target.rollback(transaction, choice=ConflictChoice(theirs=(f"{PLACE}/f",)))
    assert flagged.shell(f"cat {PLACE}/f; ls {PLACE}/other 2>&1 | wc -l") == "new\n1\n"
