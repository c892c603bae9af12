"""Nobody's change is lost: whatever differs from what the script saw stops a commit or a rollback, by name."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import (
    CommitError,
    PathConflictError,
    RollbackIncompleteError,
    TransactionError,
)
from workflow_agent.targets.live_tree import LiveTree
from workflow_agent.testing.lab import diff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workflow_agent.testing.lab import LabHost
    from workflow_agent.testing.transactions import Trial

_numbers = iter(range(1000))


@pytest.fixture
def place(trial: Trial) -> str:
    """A folder of the test's own, with things in it."""
    name = f"/srv/conflict-{next(_numbers)}"
    trial.shell(
        f"mkdir -p {name}/d/e; cd {name}; echo old > f; echo g > g; echo x > d/x; echo y > d/e/y; ln -s f l;"
        f"find {name} -depth -exec touch -h -d '2001-01-01 01:01:01.5' {{}} +"
    )
    return name


def _paths(error: PathConflictError) -> list[str]:
    return [conflict["path"] for conflict in error.details["conflicts"]]


@contextmanager
def _held_open(lab: LabHost, path: str, mode: str = ">>") -> Iterator[int]:
    """A process of the host that has a file open; gives its id as we see it."""
    enter = ["nsenter", f"--target={lab.pid}", "-m", "-p", "-r", "--", "/bin/bash", "-c"]
    with subprocess.Popen(
        [*enter, f"exec 9{mode}'{path}'; echo ready; read -r _"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        (inner,) = [one.pid for one in lab.processes() if path in " ".join(one.arguments)]
        yield inner
        process.communicate("end\n", timeout=20)


#: name -> (the script, what somebody does meanwhile, the path that is named)
MEANWHILE = {
    "edited": ("echo new > f", "echo other > f", "f"),
    "edited, same size and time": ("echo new > f", "echo OLD > f; touch -d '2001-01-01 01:01:01.5' f", "f"),
    "chmod": ("echo new > f", "chmod 600 f", "f"),
    "deleted": ("echo new > f", "rm f", "f"),
    "replaced by a copy": ("echo new > f", "cp -p f t; mv t f", "f"),
    "appeared": ("echo mine > n", "echo theirs > n", "n"),
    "appeared where a folder is made": ("mkdir n; echo 1 > n/a", "mkdir n; echo 2 > n/b", "n"),
    "a removed file changed": ("rm f", "echo other >> f", "f"),
    "a removed folder got an entry": ("rm -r d", "echo new > d/e/z", "d"),
    "a removed folder lost an entry": ("rm -r d", "rm d/x", "d"),
    "a file in a removed folder changed": ("rm -r d", "echo n > d/x; touch -d '2001-01-01 01:01:01.5' d/x", "d"),
    "a replaced folder got an entry": ("rm -r d; mkdir d", "echo new > d/z", "d"),
    "a link was retargeted": ("ln -sfn g l", "ln -sfn d l", "l"),
    "a file became a folder": ("echo new > f", "rm f; mkdir f", "f"),
    "a folder's mode": ("echo n > d/new", "chmod 700 d", "d"),
    "a folder was replaced": ("echo n > d/new", "mv d d2; cp -a d2 d", "d"),
}


@pytest.mark.parametrize("case", list(MEANWHILE))
async def test_what_changed_since_the_script_ran_stops_the_commit_by_name(trial: Trial, place: str, case: str) -> None:
    script, meanwhile, named = MEANWHILE[case]
    transaction, _ = await trial.capture(f"cd {place}; echo also > unrelated; {script}")
    trial.shell(f"cd {place}; {meanwhile}")
    theirs = trial.look(place)

    with pytest.raises(PathConflictError) as caught:
        await trial.target.commit(transaction)

    assert f"{place}/{named}" in _paths(caught.value)
    assert caught.value.state == "nothing was changed"
    assert diff(theirs, trial.look(place)) == []
    await trial.target.discard(transaction)
    assert transaction not in trial.leftovers()


async def test_a_new_entry_beside_what_is_changed_is_no_conflict_and_survives_the_rollback(
    trial: Trial, place: str
) -> None:
    transaction, _ = await trial.capture(f"echo n > {place}/d/new; echo new > {place}/d/x")
    trial.shell(f"echo theirs > {place}/d/theirs")
    await trial.target.commit(transaction)
    trial.shell(f"echo later > {place}/d/later")

    await trial.target.rollback(transaction)

    assert trial.shell(f"cd {place}/d; ls; cat x theirs later").split() == [
        "e", "later", "theirs", "x", "x", "theirs", "later",
    ]  # fmt: skip


#: name -> (the script, what somebody does after the commit, the path that is named)
SINCE = {
    "edited": ("echo new > f", "echo other > f", "f"),
    "edited, same time": ("echo new > f; touch -d 2001-01-01 f", "echo neu > f; touch -d 2001-01-01 f", "f"),
    "a created file was edited": ("echo mine > n", "echo theirs > n", "n"),
    "a created file was deleted": ("echo mine > n", "rm n", "n"),
    "what was removed is there again": ("rm f", "echo again > f", "f"),
    "a changed file was replaced": ("echo new > f", "cp -p f t; mv t f", "f"),
    "a folder's mode": ("chmod 700 d", "chmod 711 d", "d"),
    "a folder was replaced": ("chmod 700 d", "mv d d2; cp -a d2 d", "d"),
}


@pytest.mark.parametrize("case", list(SINCE))
async def test_what_changed_since_the_commit_stops_the_rollback_by_name(trial: Trial, place: str, case: str) -> None:
    script, since, named = SINCE[case]
    transaction = await trial.apply(f"cd {place}; echo also > unrelated; {script}")
    trial.shell(f"cd {place}; {since}")
    theirs = trial.look(place)

    with pytest.raises(PathConflictError) as caught:
        await trial.target.rollback(transaction)

    assert _paths(caught.value) == [f"{place}/{named}"]
    assert diff(theirs, trial.look(place)) == []


async def test_what_a_service_writes_into_a_created_folder_goes_with_it_and_is_listed(trial: Trial, place: str) -> None:
    """Told by what differs, not by what is newer: clocks step."""
    before = trial.look(place)
    transaction = await trial.apply(
        f"mkdir -p {place}/new/d; cd {place}/new; echo 1 > mine; echo 2 > d/state; ln mine linked"
    )
    assert (await trial.target.rollback(transaction, plan_only=True))["owned"] == []
    trial.shell(f"cd {place}/new; echo data > data; touch -d 1999-01-01 data; echo 3 > d/state")

    planned = await trial.target.rollback(transaction, plan_only=True)
    result = await trial.target.rollback(transaction)

    assert planned["owned"] == result["owned"] == [f"{place}/new/d/state", f"{place}/new/data"]
    assert diff(before, trial.look(place)) == []


@pytest.mark.parametrize("elsewhere", ["", "; echo 2 > note"])
async def test_data_that_goes_with_a_folder_may_change_until_the_end_but_nothing_beside_it(
    trial: Trial, place: str, elsewhere: str
) -> None:
    """As a database that writes until the commit of its removal has stopped it."""
    trial.shell(
        f"mkdir -p {place}/lib/data/wal; cd {place}/lib; echo 1 > data/wal/1; echo 1 > data/lock; echo 1 > note"
    )
    before = trial.look(place)
    transaction, _ = await trial.capture(f"rm -r {place}/lib")
    trial.shell(f"cd {place}/lib; echo 2 >> data/wal/1; echo 2 > data/wal/2; rm data/lock{elsewhere}")
    later = trial.look(place)

    def commit() -> None:
        owned = [os.fsencode(f"{place}/lib/data")]
        trial.target._committer.commit(transaction, before_exchange=lambda: None, owned=owned)

    if elsewhere:
        with pytest.raises(PathConflictError, match=f"{place}/lib"):
            commit()
        assert diff(later, trial.look(place)) == []
        return
    commit()

    assert "lib" not in trial.shell(f"ls -A {place}").split()
    await trial.target.rollback(transaction)
    assert diff(later, trial.look(place)) == []
    assert diff(before, later) != []


async def test_runs_that_stand_on_each_other_come_off_in_turn(trial: Trial, place: str) -> None:
    """Moving an entry changes its ctime: that of our own is no change of anybody else."""
    states, transactions = [trial.look(place)], []
    for script in ("echo 1 > f; mkdir n; echo 1 > n/x", "echo 2 > f; rm n/x", "rm f; echo 3 > n/y", "echo 4 > f"):
        transactions.append(await trial.apply(f"cd {place}; {script}"))
        states.append(trial.look(place))

    for transaction, state in zip(reversed(transactions), reversed(states[:-1]), strict=True):
        await trial.target.rollback(transaction)
        assert diff(state, trial.look(place)) == []
    await trial.target.commit(transactions[0])
    assert diff(states[1], trial.look(place)) == []


async def test_kept_data_stays_where_it_is(trial: Trial, place: str) -> None:
    transaction = await trial.apply(f"mkdir -p {place}/new/data; chmod 750 {place}/new; echo 1 > {place}/new/config")
    trial.shell(f"echo data > {place}/new/data/rows")

    result = await trial.target.rollback(transaction, keep=[f"{place}/new/data"])

    assert trial.shell(f"find {place}/new; cat {place}/new/data/rows; stat -c %a {place}/new").split() == [
        f"{place}/new", f"{place}/new/data", f"{place}/new/data/rows", "data", "750",
    ]  # fmt: skip
    assert result["kept"] == [f"{place}/new", f"{place}/new/data"]


async def test_a_later_run_that_stands_on_this_one_is_taken_back_first(trial: Trial, place: str) -> None:
    before = trial.look(place)
    first = await trial.apply(f"mkdir {place}/new; echo 1 > {place}/new/a")
    second = await trial.apply(f"echo 2 > {place}/new/b")

    with pytest.raises(PathConflictError) as caught:
        await trial.target.rollback(first)
    await trial.target.rollback(second)
    await trial.target.rollback(first)

    assert _paths(caught.value) == [f"{place}/new/b"]
    assert diff(before, trial.look(place)) == []


@pytest.mark.parametrize("script", ["echo new > f", "rm f", "rm -r d", "rm -r d; mkdir d"])
async def test_a_file_that_is_open_for_writing_stops_the_commit_and_its_holder_is_named(
    trial: Trial, place: str, script: str
) -> None:
    name = f"{place}/d/x" if " d" in script else f"{place}/f"
    transaction, _ = await trial.capture(f"cd {place}; {script}")
    before = trial.look(place)
    with _held_open(trial.lab, name) as pid:
        with pytest.raises(PathConflictError, match="open for writing") as caught:
            await trial.target.commit(transaction)
        assert diff(before, trial.look(place)) == []

    assert caught.value.cause == f"held by bash (process {pid})"
    assert _paths(caught.value) == [name]
    await trial.target.commit(transaction)


async def test_a_file_that_is_open_for_reading_is_exchanged(trial: Trial, place: str) -> None:
    transaction, _ = await trial.capture(f"echo new > {place}/f")
    with _held_open(trial.lab, f"{place}/f", "<"):
        await trial.target.commit(transaction)
    assert trial.shell(f"cat {place}/f") == "new\n"


def _change_flag(trial: Trial, flag: str, path: str) -> None:
    subprocess.run(["chattr", flag, str(trial.lab.root) + path], check=True)


@pytest.mark.parametrize(("flag", "script"), [("i", "echo n > d/new"), ("a", "rm d/x"), ("i", "chmod 700 d")])
async def test_an_immutable_folder_stops_the_commit_before_the_first_operation(
    trial: Trial, place: str, flag: str, script: str
) -> None:
    transaction, _ = await trial.capture(f"cd {place}; echo n > also; {script}")
    before = trial.look(place)
    _change_flag(trial, f"+{flag}", f"{place}/d")
    try:
        with pytest.raises(CommitError, match="immutable or append-only") as caught:
            await trial.target.commit(transaction)
    finally:
        _change_flag(trial, f"-{flag}", f"{place}/d")

    assert (caught.value.where, caught.value.state) == (f"{place}/d", "nothing was changed")
    assert "chattr -ia" in (caught.value.hint or "")
    assert diff(before, trial.look(place)) == []


async def test_an_immutable_file_refuses_the_script_as_it_would_outside(trial: Trial, place: str) -> None:
    _change_flag(trial, "+i", f"{place}/f")
    try:
        transaction, _ = await trial.capture(f"cd {place}; ! echo new > f; ! rm -f f; cat f")
    finally:
        _change_flag(trial, "-i", f"{place}/f")
    assert trial.output[-1] == "old"
    await trial.target.discard(transaction)


@pytest.mark.parametrize("script", ["echo new > f", "rm -r d"])
async def test_a_mount_point_among_the_changed_stops_the_commit(trial: Trial, place: str, script: str) -> None:
    transaction, _ = await trial.capture(f"cd {place}; echo n > also; {script}")
    point = f"{place}/f" if " f" in script else f"{place}/d/e"
    trial.shell(f"mount --bind {place}/g {point}" if " f" in script else f"mount -t tmpfs none {point}")
    try:
        with pytest.raises((CommitError, PathConflictError)) as caught:
            await trial.target.commit(transaction)
    finally:
        trial.shell(f"umount {point}")

    assert point.startswith(str(caught.value.where))
    assert trial.shell(f"cat {place}/f {place}/d/e/y") == "old\ny\n"
    assert not (trial.lab.root / place.strip("/") / "also").exists()


async def test_a_file_that_is_a_mount_point_is_read_only_for_the_script(trial: Trial, place: str) -> None:
    trial.shell(f"mount --bind {place}/g {place}/f")
    try:
        await trial.capture(f"! echo new > {place}/f; ! rm {place}/f; cat {place}/f")
    finally:
        trial.shell(f"umount {place}/f")
    assert trial.output[-1] == "g"


@pytest.mark.parametrize("lost", ["upper", "removed"])
async def test_a_lost_before_image_stops_the_rollback_before_the_first_operation(
    trial: Trial, place: str, lost: str
) -> None:
    transaction = await trial.apply(f"cd {place}; echo new > f; rm -r d; echo n > n")
    folder = trial.lab.root / ".workflow-agent/tx" / transaction
    committed = trial.look(place)
    if lost == "upper":
        (folder / "upper" / place.strip("/") / "f").unlink()
    else:
        (folder / "removed/1/e/y").unlink()

    with pytest.raises(RollbackIncompleteError, match="nothing was touched") as caught:
        await trial.target.rollback(transaction)

    assert caught.value.details["paths"] == [f"{place}/f" if lost == "upper" else f"{place}/d"]
    assert diff(committed, trial.look(place)) == []


async def test_a_lost_capture_stops_the_commit(trial: Trial, place: str) -> None:
    transaction, _ = await trial.capture(f"cd {place}; echo new > f; echo n > n")
    (trial.lab.root / ".workflow-agent/tx" / transaction / "upper" / place.strip("/") / "n").unlink()
    before = trial.look(place)

    with pytest.raises(CommitError, match="no longer there"):
        await trial.target.commit(transaction)

    assert diff(before, trial.look(place)) == []


def _meddle(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something at the last moment: after every look, before the first operation."""
    original = LiveTree.forget
    calls: list[Any] = []

    def forget(self: LiveTree) -> None:
        original(self)
        calls.append(1)
        if len(calls) == 1:
            act()

    monkeypatch.setattr(LiveTree, "forget", forget)


@pytest.mark.parametrize("case", ["edited", "appeared", "a removed file changed", "a removed folder got an entry"])
async def test_a_change_between_the_last_look_and_the_exchange_is_put_back_and_named(
    trial: Trial, place: str, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    script, meanwhile, named = MEANWHILE[case]
    transaction, _ = await trial.capture(f"cd {place}; echo also > also; {script}")
    trial.shell(f"cp -a {place} {place}-wanted; cd {place}-wanted; {meanwhile}")
    _meddle(monkeypatch, lambda: trial.shell(f"cd {place}; {meanwhile}"))

    with pytest.raises(PathConflictError) as caught:
        await trial.target.commit(transaction)
    monkeypatch.undo()

    assert _paths(caught.value) == [f"{place}/{named}"]
    assert trial.shell(f"diff -r {place} {place}-wanted; ls {place}").split().count("also") == 0
    with pytest.raises(PathConflictError):  # what was found is not taken for what the script saw
        await trial.target.commit(transaction)


async def test_only_a_captured_or_rolled_back_transaction_can_be_committed(trial: Trial, place: str) -> None:
    transaction = await trial.apply(f"echo new > {place}/f")
    with pytest.raises(TransactionError, match="that is committed"):
        await trial.target.commit(transaction)
    await trial.target.discard(transaction)
    assert transaction in trial.leftovers()
    await trial.target.rollback(transaction)
    again = await trial.target.rollback(transaction)
    assert again["was"] == "rolled-back"


async def test_missing_paths_are_listed(trial: Trial, place: str) -> None:
    transaction = await trial.apply(f"cd {place}; echo new > f; echo n > n; mkdir m; echo > m/x")
    assert await trial.target.missing_paths(transaction) == []
    trial.shell(f"cd {place}; rm n; cp f t; mv t f")
    assert await trial.target.missing_paths(transaction) == [f"{place}/n", f"{place}/f"]


# -- times of folders that several runs changed ---------------------------------------------------------------------

#: Rounds of: commit (`+`) or take back (`-`) the first, second or third of three runs that share two folders.
TURNS = [
    "+1 +2 -1 -2",
    "+1 +2 +3 -2 -1 -3",
    "+1 +2 +3 -1 -2 -3",
    "+1 +2 +3 -3 -1 -2",
    "+1 +2 -1 -2 +1 -1",
    "+1 +2 -1 +1 -2 -1",
    "+1 -1 +2 +1 -2 -1",
    "+1 +2 -1 +3 -2 +1 -3 -1",
]


@pytest.mark.parametrize("turns", TURNS)
async def test_shared_folders_have_their_times_back_whatever_the_order(trial: Trial, place: str, turns: str) -> None:
    before = trial.look(place)
    names: dict[str, str] = {}
    for turn in turns.split():
        sign, number = turn[0], turn[1:]
        found = trial.look(place)
        if sign == "-":
            done = await trial.target.rollback(names[number])
            assert done["left"] == []
            continue
        if number not in names:
            names[number], _ = await trial.capture(f"cd {place}; echo {number} > d/new{number}")
        await trial.target.commit(names[number])
        assert trial.look(place)["/d"].mtime_ns > found["/d"].mtime_ns, "programs that remember it look again"
    assert diff(before, trial.look(place)) == []


async def test_a_folder_that_a_later_run_changed_too_keeps_its_time_when_the_earlier_goes(
    trial: Trial, place: str
) -> None:
    first, _ = await trial.capture(f"echo 1 > {place}/d/one")
    await trial.target.commit(first)
    second, _ = await trial.capture(f"echo 2 > {place}/d/two")
    await trial.target.commit(second)
    left = trial.look(place)["/d"].mtime_ns
    await trial.target.rollback(first)
    assert trial.look(place)["/d"].mtime_ns == left


async def test_a_folder_that_somebody_changed_before_the_commit_gets_that_time_back(trial: Trial, place: str) -> None:
    transaction, _ = await trial.capture(f"echo 1 > {place}/d/one; echo 2 >> {place}/d/e/y")
    trial.shell(f"touch {place}/d/theirs {place}/d/e/theirs; touch -d '2011-01-01 01:01:01.25' {place}/d/e")
    before = trial.look(place)
    await trial.target.commit(transaction)
    assert trial.look(place)["/d"].mtime_ns > before["/d"].mtime_ns
    assert trial.look(place)["/d/e"].mtime_ns == before["/d/e"].mtime_ns, "its entries are the same"
    await trial.target.rollback(transaction)
    assert diff(before, trial.look(place)) == []


async def test_a_pruned_run_still_stands_on_the_folder_of_an_earlier_one(trial: Trial, place: str) -> None:
    first = await trial.apply(f"mkdir {place}/made; echo 1 > {place}/made/1")
    second = await trial.apply(f"echo 2 > {place}/made/2")
    await trial.target.prune([second])
    committed = trial.look(place)

    with pytest.raises(PathConflictError) as caught:
        await trial.target.rollback(first)

    assert _paths(caught.value) == [f"{place}/made/2"], "it is a run's, not data that goes with the folder"
    assert diff(committed, trial.look(place)) == []
