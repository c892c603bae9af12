"""Our clock and the times of files a day forth and back within a run: nothing is misjudged.

The clock of the machine itself is left alone: ours is moved, and files get times of the other day.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.choice import ConflictChoice
from workflow_agent.model.errors import PathConflictError
from workflow_agent.testing.lab import diff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workflow_agent.testing.transactions import Trial

DAY = 86_400
#: What our clock is off by at the capture, at the commit and at the rollback, in days.
JUMPS = [(0, 1, 0), (0, -1, 0), (1, 0, -1), (-1, 0, 1), (1, -1, 1)]
_SET_UP = """
rm -rf /srv/clock; mkdir -p /srv/clock/d/e /srv/clock/ahead; cd /srv/clock
echo old > f; ln f d/hard; echo gone > gone; echo x > d/x; echo y > d/e/y; echo z > ahead/z
touch -d '1 day' f ahead; touch -d '-1 day' gone d
"""
_SCRIPT = """
cd /srv/clock; echo new > f; rm gone; rm -r d/e; echo n > d/n; mkdir m; echo 1 > m/1; echo n > ahead/n
touch -d '1 day' d/n; touch -d '-1 day' m/1
"""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Sets our clock off by days."""
    seconds, nanoseconds = time.time, time.time_ns

    def jump(days: int) -> None:
        monkeypatch.setattr(time, "time", lambda: seconds() + days * DAY)
        monkeypatch.setattr(time, "time_ns", lambda: nanoseconds() + days * DAY * 10**9)

    yield jump
    monkeypatch.undo()


@pytest.mark.parametrize("jumps", JUMPS)
async def test_a_clock_that_jumps_between_the_phases_misjudges_nothing(
    trial: Trial, clock: Callable[[int], None], jumps: tuple[int, int, int]
) -> None:
    trial.shell(_SET_UP)
    before = trial.look("/srv/clock")
    clock(jumps[0])
    transaction, changes = await trial.capture(_SCRIPT)
    for _ in range(2):  # once more from the plan file that the rollback left
        clock(jumps[1])
        await trial.target.commit(transaction)
        after = trial.look("/srv/clock")
        assert {change.path for change in changes.changes} >= {"/srv/clock/f", "/srv/clock/gone", "/srv/clock/m/1"}
        assert trial.shell("cd /srv/clock; cat f d/hard m/1; ls d").split() == ["new", "new", "1", "hard", "n", "x"]
        assert await trial.target.missing_paths(transaction) == []
        assert await trial.target.drift(transaction) == []
        clock(jumps[2])
        assert diff(after, trial.look("/srv/clock")) == []
        await trial.target.rollback(transaction)
        assert diff(before, trial.look("/srv/clock")) == []


@pytest.mark.parametrize("when", ["1 day", "-1 day"])
@pytest.mark.parametrize("jumps", [(0, 1, 0), (0, -1, 0)])
async def test_a_change_of_another_day_is_found_before_the_commit_and_before_the_rollback(
    trial: Trial, clock: Callable[[int], None], jumps: tuple[int, int, int], when: str
) -> None:
    trial.shell(_SET_UP)
    clock(jumps[0])
    transaction, _ = await trial.capture(_SCRIPT)
    clock(jumps[1])
    trial.shell(f"cd /srv/clock; echo OLD > f; touch -d '{when}' f")
    theirs = trial.look("/srv/clock")
    with pytest.raises(PathConflictError) as caught:
        await trial.target.commit(transaction)
    assert (
        {"/srv/clock/f"}
        <= {one["path"] for one in caught.value.details["conflicts"]}
        <= {
            "/srv/clock/f",
            "/srv/clock/d/hard",
        }
    )
    assert diff(theirs, trial.look("/srv/clock")) == []
    await trial.target.discard(transaction)

    again = await trial.apply(_SCRIPT)
    clock(jumps[2])
    trial.shell(f"cd /srv/clock; echo two > m/1; touch -d '{when}' m/1; echo NEW > d/n; touch -d '{when}' d/n")
    theirs = trial.look("/srv/clock")
    with pytest.raises(PathConflictError) as caught:
        await trial.target.rollback(again)
    assert [one["path"] for one in caught.value.details["conflicts"]] == ["/srv/clock/d/n"]
    assert diff(theirs, trial.look("/srv/clock")) == []
    await trial.target.rollback(again, choice=ConflictChoice(force=True))
