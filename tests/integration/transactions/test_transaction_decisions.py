"""Conflicts of a rollback are decided path by path; nothing of somebody else is lost, whichever side wins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model import failpoint
from workflow_agent.model.choice import ConflictChoice
from workflow_agent.model.errors import PathConflictError, RollbackIncompleteError
from workflow_agent.testing.lab import diff
from workflow_agent.testing.transactions import Trial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_numbers = iter(range(1000))
_FORCE = ConflictChoice(force=True)


@pytest.fixture
def place(trial: Trial) -> str:
    """A folder of the test's own, with things in it."""
    name = f"/srv/decision-{next(_numbers)}"
    trial.shell(
        f"mkdir -p {name}/d/e; cd {name}; echo old > f; echo g > g; echo x > d/x; ln -s f l;"
        f"find {name} -depth -exec touch -h -d '2001-01-01 01:01:01.5' {{}} +"
    )
    return name


@pytest.fixture
async def later(trial: Trial) -> AsyncIterator[Trial]:
    """Another run, as the one that takes back is."""
    one = Trial(trial.lab)
    yield one
    await one.end()


def _theirs(*paths: str) -> ConflictChoice:
    return ConflictChoice(theirs=paths)


def _conflicts(error: PathConflictError) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = error.details["conflicts"]
    return found


def _seen(trial: Trial, path: str) -> str:
    """What lies at a path, and what is in it."""
    listing = f"find {path} -printf '%P %y %m %U %l\\n' 2>/dev/null | sort"
    return trial.shell(f"{listing}; find {path} -type f -exec cat {{}} + 2>/dev/null || true")


#: name -> (the script, what somebody does after the commit, the path, what lies there once it was forced back)
CASES = {
    "edited": ("echo new > f", "echo other > f", "f", "old"),
    "replaced": ("echo new > f", "rm f; echo other > f", "f", "old"),
    "replaced by a folder": ("echo new > f", "rm f; mkdir f; echo other > f/inner", "f", "old"),
    "deleted": ("echo new > f", "rm f", "f", "old"),
    "created and edited": ("echo mine > n", "echo theirs > n", "n", None),
    "created and deleted": ("echo mine > n", "rm n", "n", None),
    "there again": ("rm f", "echo again > f", "f", "old"),
    "a folder's mode": ("chmod 700 d", "chmod 711 d", "d", None),
    "a folder was replaced": ("chmod 700 d", "mv d d2; cp -a d2 d", "d", None),
    "a link was retargeted": ("ln -sfn g l", "ln -sfn d l", "l", "old"),
}


@pytest.mark.parametrize("case", CASES)
async def test_what_is_kept_stays_and_the_rest_goes_back(trial: Trial, place: str, case: str) -> None:
    script, since, named, _ = CASES[case]
    before = trial.look(place)
    transaction = await trial.apply(f"cd {place}; echo also > g; mkdir more; {script}")
    trial.shell(f"cd {place}; {since}")
    theirs = _seen(trial, f"{place}/{named}")

    planned = await trial.target.rollback(transaction, plan_only=True, choice=_theirs(f"{place}/{named}"))
    result = await trial.target.rollback(transaction, choice=_theirs(f"{place}/{named}"))

    assert planned["decided"] == result["decided"] == [
        {"path": f"{place}/{named}", "decision": "theirs", "group": None, "records": [], "aside": None}
    ]  # fmt: skip
    assert result["exact"] is False
    lost = [line for line in diff(before, trial.look(place)) if not line.split(": ")[1].startswith(f"/{named}")]
    assert [line for line in lost if "/d2" not in line] == []
    assert _seen(trial, f"{place}/{named}") == theirs


@pytest.mark.parametrize("case", CASES)
async def test_what_is_forced_is_as_before_and_the_other_side_is_kept_aside(
    trial: Trial, place: str, case: str
) -> None:
    script, since, named, content = CASES[case]
    path = f"{place}/{named}"
    before = trial.look(place)
    transaction = await trial.apply(f"cd {place}; echo also > g; {script}")
    trial.shell(f"cd {place}; {since}")
    theirs = _seen(trial, path)

    result = await trial.target.rollback(transaction, choice=_FORCE)

    left = [line for line in diff(before, trial.look(place)) if "/d2" not in line]
    assert left == []
    (note,) = result["decided"]
    assert (note["path"], note["decision"]) == (path, "before")
    if content is not None:
        assert trial.shell(f"cat {path}") == f"{content}\n"
    if note["aside"] is not None:
        assert _seen(trial, note["aside"]) == theirs
    # and the rollback can itself be taken back: what somebody else had left is there again
    await trial.target.commit(transaction)
    assert _seen(trial, path) == theirs


async def test_decisions_are_made_path_by_path(trial: Trial, place: str) -> None:
    transaction = await trial.apply(f"cd {place}; echo new > f; echo new > g; echo new > d/x")
    trial.shell(f"cd {place}; echo 1 > f; echo 2 > g; echo 3 > d/x")
    state = trial.look(place)

    for choice in (_theirs(f"{place}/f"), ConflictChoice(theirs=(f"{place}/f",), back=(f"{place}/g",))):
        with pytest.raises(PathConflictError) as caught:
            await trial.target.rollback(transaction, choice=choice)
    assert [one["path"] for one in _conflicts(caught.value)] == [f"{place}/d/x"]
    assert diff(state, trial.look(place)) == []

    choice = ConflictChoice(theirs=(f"{place}/f", "/no/such/path"), back=(f"{place}/g", f"{place}/d/x"))
    await trial.target.rollback(transaction, choice=choice)
    assert trial.shell(f"cd {place}; cat f g d/x") == "1\ng\nx\n"


async def test_both_sides_are_told_with_when_it_changed(trial: Trial, place: str) -> None:
    transaction = await trial.apply(f"echo new > {place}/f")
    trial.shell(f"echo longer > {place}/f; chmod 600 {place}/f")
    with pytest.raises(PathConflictError) as caught:
        await trial.target.rollback(transaction)
    (one,) = _conflicts(caught.value)
    assert (one["expected"]["size"], one["found"]["size"], one["found"]["mode"]) == (4, 7, "0600")
    assert one["changed_ns"] > one["expected"]["mtime_ns"]


async def test_what_cannot_be_forced_says_why_and_can_be_kept(trial: Trial, place: str) -> None:
    transaction = await trial.apply(f"cd {place}; chmod 700 d; echo new > f; echo new > g")
    trial.shell(f"cd {place}; rm -r d; rm g; mkdir g; mount -t tmpfs none g; echo more >> f")
    try:
        with pytest.raises(PathConflictError) as caught:
            await trial.target.rollback(transaction, choice=_FORCE)
        assert {one["path"].rpartition("/")[2]: one["impossible"] for one in _conflicts(caught.value)} == {
            "d": "a folder of which only entries were changed is gone or another one: make it anew by hand",
            "g": "it is on another file system and cannot be kept aside",
        }
        assert trial.shell(f"cat {place}/f") == "new\nmore\n"
        choice = ConflictChoice(theirs=(f"{place}/d", f"{place}/g"), force=True)
        await trial.target.rollback(transaction, choice=choice)
    finally:
        trial.shell(f"umount {place}/g")
    assert trial.shell(f"cd {place}; cat f; ls") == "old\nf\ng\nl\n"


async def test_an_edited_configuration_file_in_a_folder_that_came_is_asked_about(
    trial: Trial, later: Trial, place: str
) -> None:
    """Everything that lies in a folder which came goes with it; what a person wrote into a configuration does not."""
    folder = f"/etc/wa-{place.rpartition('-')[2]}"
    before = trial.look("/etc")
    transaction = await trial.apply(
        f"mkdir -p {folder}/conf.d; cd {folder}; echo a=1 > main.conf; echo b=1 > conf.d/b; echo c > conf.d/c"
    )
    trial.shell(f"echo a=2 > {folder}/main.conf; touch {folder}/conf.d/b; echo added > {folder}/conf.d/new")
    await trial.target.release(trial.run_id)
    await later.begin()

    with pytest.raises(PathConflictError) as caught:
        await later.target.rollback(transaction)
    (one,) = _conflicts(caught.value)
    assert one["path"] == f"{folder}/main.conf"
    assert "+a=1" in one["diffs"]["by_run"]
    assert {"-a=1", "+a=2"} <= set(one["diffs"]["since"].splitlines())

    result = await later.target.rollback(transaction, choice=_theirs(f"{folder}/main.conf"))
    assert result["owned"] == [f"{folder}/conf.d/b", f"{folder}/conf.d/new"]
    assert trial.shell(f"cd {folder}; find . -type f; cat main.conf") == "./main.conf\na=2\n"
    await later.target.commit(transaction)
    assert trial.shell(f"cd {folder}; cat main.conf conf.d/*") == "a=2\nb=1\nc\nadded\n"
    await later.target.rollback(transaction)
    trial.shell(f"rm -r {folder}")
    assert [line for line in diff(before, trial.look("/etc")) if "mtime" not in line] == []


async def test_a_forced_configuration_file_is_found_aside(trial: Trial, later: Trial, place: str) -> None:
    folder = f"/etc/wb-{place.rpartition('-')[2]}"
    transaction = await trial.apply(f"mkdir {folder}; echo a=1 > {folder}/main.conf")
    trial.shell(f"echo a=2 > {folder}/main.conf")
    await trial.target.release(trial.run_id)
    await later.begin()

    result = await later.target.rollback(transaction, choice=_FORCE)

    assert trial.shell(f"test ! -e {folder}; cat {result['decided'][0]['aside']}") == "a=2\n"


@pytest.mark.parametrize("script", ["echo a=3 > main.conf", "rm main.conf", "rm -r ../{0}; mkdir ../{0}"])
async def test_an_edit_that_a_later_run_would_write_over_is_told_before(
    trial: Trial, later: Trial, place: str, script: str
) -> None:
    name = f"wc-{place.rpartition('-')[2]}"
    await trial.apply(f"mkdir /etc/{name}; cd /etc/{name}; echo a=1 > main.conf; echo b=1 > other.conf")
    trial.shell(f"echo a=2 > /etc/{name}/main.conf; touch /etc/{name}/other.conf")
    await trial.target.release(trial.run_id)
    await later.begin()

    transaction, change_set = await later.capture(f"cd /etc/{name}; {script.format(name)}")

    what = "writes over it" if script.startswith("echo") else "removes it"
    told = f"edited since: /etc/{name}/main.conf, which run {trial.run_id} wrote: this {what}, and a rollback"
    assert [note for note in change_set.notes if note.startswith("edited since:")] == [f"{told} brings the edit back"]
    await later.target.commit(transaction)
    await later.target.rollback(transaction)
    assert trial.shell(f"cat /etc/{name}/main.conf") == "a=2\n"
    trial.shell(f"rm -r /etc/{name}")


@pytest.mark.parametrize(
    ("script", "now"),
    [
        ("echo a=3 > main.conf; echo b=2 > other.conf", "a=2 b=2 c=1"),
        ("echo a=3 > main.conf", "a=2 b=1 c=1"),
        ("rm main.conf sub/c.conf", "a=2 b=1"),
        ("cd ..; rm -r {0}", "a=2"),
    ],
)
async def test_an_edit_that_stays_is_no_part_of_the_run_that_would_have_ended_it(
    trial: Trial, later: Trial, place: str, script: str, now: str
) -> None:
    """Neither the commit nor a rollback of it changes anything of the file, or of a folder in which it alone lay."""
    name = f"wl-{place.rpartition('-')[2]}"
    folder = f"/etc/{name}"
    await trial.apply(
        f"mkdir -p {folder}/sub; cd {folder}; echo a=1 >main.conf; echo b=1 >other.conf; echo c=1 >sub/c.conf"
    )
    trial.shell(f"echo a=2 >{folder}/main.conf; chmod 640 {folder}/main.conf")
    await trial.target.release(trial.run_id)
    before = trial.lab.digest()
    mine = _seen(trial, f"{folder}/main.conf")
    await later.begin()
    transaction, change_set = await later.capture(f"cd {folder}; {script.format(name)}")
    assert [edit["path"] for edit in change_set.edits] == [f"{folder}/main.conf"]
    assert change_set.edits[0]["run_id"] == trial.run_id

    await later.target.commit(transaction, theirs=[f"{folder}/main.conf"])

    assert trial.shell(f"cat $(find {folder} -type f | sort)").split() == now.split()
    assert _seen(trial, f"{folder}/main.conf") == mine
    await later.target.rollback(transaction)
    assert diff(before, trial.lab.digest()) == []
    trial.shell(f"rm -r {folder}")


async def test_an_edit_in_a_folder_that_is_replaced_as_a_whole_cannot_stay_alone(
    trial: Trial, later: Trial, place: str
) -> None:
    folder = f"/etc/wr-{place.rpartition('-')[2]}"
    await trial.apply(f"mkdir {folder}; echo a=1 >{folder}/main.conf")
    trial.shell(f"echo a=2 >{folder}/main.conf")
    await trial.target.release(trial.run_id)
    await later.begin()
    transaction, _ = await later.capture(f"rm -r {folder}; mkdir {folder}; echo a=3 >{folder}/main.conf")
    with pytest.raises(PathConflictError, match="replaced as a whole"):
        await later.target.commit(transaction, theirs=[f"{folder}/main.conf"])
    assert trial.shell(f"cat {folder}/main.conf") == "a=2\n"
    await later.target.commit(transaction, theirs=[folder])
    assert trial.shell(f"cat {folder}/main.conf") == "a=2\n"
    trial.shell(f"rm -r {folder}")


async def test_a_later_run_is_not_forced_but_what_it_left_can_be_kept(trial: Trial, later: Trial, place: str) -> None:
    first = await trial.apply(f"echo 1 > {place}/f; echo 1 > {place}/g")
    await trial.target.release(trial.run_id)
    await later.begin()
    await later.apply(f"echo 2 > {place}/f")

    with pytest.raises(PathConflictError) as caught:
        await later.target.rollback(first, choice=_FORCE)
    assert _conflicts(caught.value)[0]["run_id"] == later.run_id
    await later.target.rollback(first, choice=_theirs(f"{place}/f"))
    assert trial.shell(f"cat {place}/f {place}/g") == "2\ng\n"


@pytest.mark.parametrize("choice", ["theirs", "force"])
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_rollback_that_dies_goes_on_with_what_was_decided(
    trial: Trial, later: Trial, place: str, choice: str, at: int
) -> None:
    """The decision is in the plan file: whoever takes the target next carries it out, and never asks again."""
    transaction = await trial.apply(f"cd {place}; echo new > f; echo new > g; echo n > n; chmod 700 d")
    trial.shell(f"cd {place}; echo other > f")
    chosen = _FORCE if choice == "force" else _theirs(f"{place}/f")
    failpoint.arm(f"transaction.undo.operation:{at}=error")
    with pytest.raises(RollbackIncompleteError):
        await trial.target.rollback(transaction, choice=chosen)
    failpoint.arm(None)
    await trial.target.release(trial.run_id)

    await later.begin()
    told = await later.target.rollback(transaction)

    assert told["was"] == "rolled-back"
    assert [one["decision"] for one in told["decided"]] == ["before" if choice == "force" else "theirs"]
    assert trial.shell(f"cd {place}; cat f g; stat -c %a d; ls") == (
        f"{'old' if choice == 'force' else 'other'}\ng\n755\nd\nf\ng\nl\n"
    )
