"""Every keeper of places does the same: locks, so many at a time, so many starts in a time, lines by priority."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from workflow_agent.engine.places import LocalPlaces
from workflow_agent.model import places
from workflow_agent.model.errors import ConflictError
from workflow_agent.model.places import Wanted
from workflow_agent.store.places import SqlitePlaces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workflow_agent.model.ports import Places


class Clock:
    """A clock that stands."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["local", "sqlite"])
def keeper(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Places]:
    made: Places = LocalPlaces(clock) if request.param == "local" else SqlitePlaces(tmp_path, clock)
    yield made
    made.close()


def lock(who: str, *, limit: int = 1, priority: int = 5, evicts: bool = False, run: str | None = None) -> Wanted:
    return Wanted(ticket=who, key="k", limit=limit, run_id=run or who, priority=priority, evicts=evicts)


def start(who: str, limit: int = 2) -> Wanted:
    return Wanted(ticket=who, key="api", limit=limit, run_id=who, kind="rate", per_s=10.0)


def test_one_has_a_lock_and_the_others_stand_in_line(keeper: Places) -> None:
    assert keeper.enter(lock("a")).has_it
    assert keeper.enter(lock("a")).has_it

    standing = keeper.enter(lock("b"))
    third = keeper.enter(lock("c"))

    assert not standing.has_it
    assert ([each.run_id for each in standing.holders], standing.ahead, third.ahead) == (["a"], 0, 1)
    keeper.leave(lock("a"))
    assert not keeper.enter(lock("c")).has_it
    assert keeper.enter(lock("b")).has_it


def test_so_many_at_a_time(keeper: Places) -> None:
    assert [keeper.enter(lock(who, limit=2)).has_it for who in "abc"] == [True, True, False]

    keeper.leave(lock("b"))

    assert keeper.enter(lock("c", limit=2)).has_it


def test_the_highest_priority_stands_first_then_who_came_first(keeper: Places) -> None:
    keeper.enter(lock("holder"))
    for who, priority in (("late", 5), ("first", 9), ("low", 0), ("second", 9)):
        keeper.enter(lock(who, priority=priority))

    order = []
    before = "holder"
    for _ in range(4):
        keeper.leave(lock(before))
        before = next(
            who for who in ("late", "first", "low", "second") if who not in order and keeper.enter(lock(who)).has_it
        )
        order.append(before)

    assert order == ["first", "second", "late", "low"]


def test_who_leaves_the_line_is_not_waited_for(keeper: Places) -> None:
    for who in "abc":
        keeper.enter(lock(who))

    keeper.leave(lock("b"))
    keeper.leave(lock("a"))
    keeper.leave(lock("nobody"))

    assert keeper.enter(lock("c")).has_it


def test_so_many_starts_in_a_time(keeper: Places, clock: Clock) -> None:
    assert keeper.enter(start("a")).has_it
    clock.at += 4
    assert keeper.enter(start("b")).has_it
    clock.at += 1

    standing = keeper.enter(start("c"))

    assert (standing.has_it, standing.pause_s) == (False, 5.0)
    assert [each.wanted.kind for each in keeper.waiting("c")] == ["rate"]
    clock.at += 5
    assert keeper.enter(start("c")).has_it
    assert keeper.waiting("c") == []
    assert not keeper.enter(start("d")).has_it


def test_what_a_run_waits_for(keeper: Places) -> None:
    assert keeper.waiting("b") == []
    keeper.enter(lock("a"))
    keeper.enter(lock("b1", run="b"))

    (standing,) = keeper.waiting("b")

    assert (standing.wanted.ticket, standing.holders[0].run_id, standing.ahead) == ("b1", "a", 0)
    assert keeper.waiting("a") == []


def test_the_oldest_holders_are_asked_to_leave_as_many_as_wait(keeper: Places) -> None:
    for who in "ab":
        keeper.enter(lock(who, limit=2, evicts=True))
    assert keeper.asked_to_leave() == []

    keeper.enter(lock("c", limit=2, evicts=True))
    keeper.enter(lock("c", limit=2, evicts=True))

    assert keeper.asked_to_leave() == ["a"]
    keeper.enter(lock("d", limit=2, evicts=True))
    assert keeper.asked_to_leave() == ["a", "b"]
    keeper.leave(lock("a"))
    assert keeper.asked_to_leave() == ["b"]
    assert keeper.enter(lock("c", limit=2, evicts=True)).has_it


def test_a_line_has_an_end(keeper: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (places, sys.modules[LocalPlaces.__module__], sys.modules[SqlitePlaces.__module__]):
        monkeypatch.setattr(module, "LONGEST_LINE", 3)
    for who in "abc":
        keeper.enter(lock(who))

    with pytest.raises(ConflictError, match="3 wait for `k` already"):
        keeper.enter(lock("d"))


# -- between processes ---------------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from workflow_agent.model.places import Wanted
from workflow_agent.store.places import SqlitePlaces
keeper = SqlitePlaces(Path(sys.argv[1]))
print(keeper.enter(Wanted(ticket="other", key="k", limit=1, run_id="r-other")).has_it, flush=True)
time.sleep(600)
"""


def test_a_holder_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    keeper = SqlitePlaces(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        standing = keeper.enter(lock("mine"))
        assert (standing.has_it, standing.holders[0].run_id) == (False, "r-other")

        os.kill(process.pid, signal.SIGKILL)
        process.wait()

        assert keeper.enter(lock("mine")).has_it
    keeper.close()
    assert [*(tmp_path / "places").iterdir()] == []


def test_who_closes_gives_all_places_back(tmp_path: Path) -> None:
    first, second = SqlitePlaces(tmp_path), SqlitePlaces(tmp_path)
    first.enter(lock("a"))
    assert not second.enter(lock("b")).has_it

    first.close()
    first.close()

    assert second.enter(lock("b")).has_it
    assert "SqlitePlaces" in repr(second)
    second.close()


def test_the_database_of_an_earlier_boot_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "places-00000000-0000.db").write_text("torn by a power cut")

    keeper = SqlitePlaces(tmp_path)

    assert keeper.enter(lock("a")).has_it
    assert len([*tmp_path.glob("places-*.db")]) == 1
    keeper.close()


def test_starts_of_the_future_do_not_hold_anybody_up(tmp_path: Path, clock: Clock) -> None:
    keeper = SqlitePlaces(tmp_path, clock)
    keeper.enter(start("a", limit=1))
    clock.at -= 500

    assert keeper.enter(start("b", limit=1)).has_it
    keeper.close()
