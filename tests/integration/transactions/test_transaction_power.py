"""A power cut: only what reached the disk counts. The file system is shut down at that moment, and mounted again.

Nothing that the kernel had still to write is written after the cut, and the journal is replayed by the next mount. Each
moment is tried twice: with the journal as it is on the disk, and with all names on the disk but no contents that nobody
had synced, which is how an exchange without a sync before it leaves empty files.
"""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import NotFoundError
from workflow_agent.targets.transaction import TransactionFolders, TransactionState
from workflow_agent.testing.lab import LabHost, diff
from workflow_agent.testing.transactions import Trial, without_new_times

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.integration.transactions.crash_scene import KILLED, OPERATIONS, SCRIPT, SET_UP, killed_in_turn, look

    from workflow_agent.testing.lab import FileRecord
else:
    from crash_scene import KILLED, OPERATIONS, SCRIPT, SET_UP, killed_in_turn, look

_RECORDS = Path(__file__).parents[3] / "docs/records"
_MOST = 100
_OF_A_PLAN = ("transaction.plan-written", "transaction.plan-renamed", "transaction.sync")
_OF_AN_UNDOING = (*_OF_A_PLAN, "transaction.undo.operation", "transaction.undone")
#: What is carried out before the power fails (where it dies, or None), and the points that the last step passes.
_COMMIT = ((), "commit", (*_OF_A_PLAN, "transaction.commit.operation", "transaction.committed"))
_ROLLBACK = ((("commit", None),), "rollback", _OF_AN_UNDOING)
_SETTLE_COMMIT = ((("commit", "transaction.committed"),), "settle", _OF_AN_UNDOING)
_SETTLE_ROLLBACK = ((("commit", None), ("rollback", "transaction.undo.operation:6")), "settle", _OF_AN_UNDOING)
_ALL = {
    "commit": _COMMIT,
    "rollback": _ROLLBACK,
    "settling a commit": _SETTLE_COMMIT,
    "settling a rollback": _SETTLE_ROLLBACK,
}
#: Which of these a long trial carries out.
_SWEPT = os.environ.get("POWER_SWEEPS", ",".join(_ALL)).split(",")
_FILES = 60
_MANY_FILES = f"""
cd /srv/crash; rm -r gone
for i in $(seq {_FILES}); do {{ seq $i 1500; }} > f$i; {{ seq $i 1500; }} > new$i; done
"""
_MANY_FILES_SET_UP = f"""
mkdir -p /srv/crash/gone; cd /srv/crash
for i in $(seq {_FILES}); do echo old $i > f$i; echo > gone/$i; done
find /srv/crash -depth -exec touch -h -d '2001-01-01 01:01:01.5' {{}} +
"""


@dataclass(slots=True)
class _Scene:
    """A host whose power fails again and again; whatever it finds afterwards is counted."""

    host: LabHost
    script: str = SCRIPT
    is_layered: bool = False
    before: dict[str, FileRecord] = field(default_factory=dict)
    after: dict[str, FileRecord] = field(default_factory=dict)
    found: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    async def make_ready(self, set_up: str = SET_UP) -> None:
        """Learn how the host is before and after."""
        trial = Trial(self.host)
        if set_up:
            trial.shell(set_up)
        await trial.begin()
        self.before = look(trial)
        transaction = await trial.apply(self.script)
        self.after = without_new_times(look(trial))
        await trial.target.rollback(transaction)
        assert diff(self.before, look(trial)) == []
        await trial.end()

    async def fails(self, what: str, last: str | None, *, keep_journal: bool) -> bool:
        """Capture, carry out, cut the power where the last step dies (or ended); gives whether it died there."""
        begun, verb, _ = _ALL[what]
        if self.is_layered:
            self.host.lay_over()
        trial = Trial(self.host)
        trial.shell("rm -rf /.workflow-agent/tx/*; sync")
        await trial.begin()
        transaction, _ = await trial.capture(self.script)
        codes = await killed_in_turn(trial, transaction, [*begun, (verb, last)])
        assert codes[:-1] == [0 if spec is None else KILLED for _, spec in begun]
        self.host.cut_power(keep_journal=keep_journal)
        self.host.start()
        reached = codes[-1] == KILLED
        moment = f"{what}, {last if reached else 'ended'}{', names first' if keep_journal else ''}"
        await self._look(what, moment, transaction, ended=not reached)
        return reached

    async def _look(self, what: str, moment: str, transaction: str, *, ended: bool) -> None:
        trial = Trial(self.host)
        try:
            await trial.begin()  # settles
            state = _state(trial, transaction)
            now = look(trial)
            is_after = state is TransactionState.COMMITTED
            self.found[f"{what}, {'ended' if ended else 'interrupted'}, {'as after' if is_after else 'as before'}"] += 1
            wrong = diff(self.after, without_new_times(now)) if is_after else diff(self.before, now)
            if ended and is_after is not (what == "commit"):
                wrong.append(f"it had ended, and is {state}")
            if state in {TransactionState.COMMITTING, TransactionState.ROLLING_BACK}:
                wrong.append(f"not settled: {state}")
            if wrong:
                self.problems.append(f"{moment}: {len(wrong)}: {wrong[:3]}")
            if state is TransactionState.ROLLED_BACK:  # a resumed run commits it again: what was staged is still whole
                await trial.target.commit(transaction)
                if lost := diff(self.after, without_new_times(look(trial))):
                    self.problems.append(f"{moment}, committed again: {len(lost)}: {lost[:3]}")
                    return
            if state is not None:
                await trial.target.rollback(transaction)
                if left := diff(self.before, look(trial)):
                    self.problems.append(f"{moment}, rolled back: {len(left)}: {left[:3]}")
        finally:
            await trial.end()

    async def sweep(self, what: str) -> None:
        """Cut the power at each passage of each point, and after the end."""
        for point in _ALL[what][2]:
            for keep_journal in (False, True):
                n = 1
                while await self.fails(what, f"{point}:{n}", keep_journal=keep_journal):
                    n += 1
                    assert n < _MOST, f"{point} is passed without an end"
                assert n > 1, f"{point} is never passed by {what}"


def _state(trial: Trial, transaction: str) -> TransactionState | None:
    """Read where a transaction stands; a capture that was lost with the power is none."""
    try:
        return trial.target._folders.read(transaction).state
    except NotFoundError:
        return None


@pytest.fixture
def host(lab: None) -> Iterator[LabHost]:
    with LabHost("plain") as one:
        yield one


@pytest.fixture
def layered_host(host: LabHost) -> LabHost:
    """A host whose root is an overlay, as a container's; what a transaction will change lies in its lower layer."""
    host.run(["bash", "-euc", SET_UP])
    host.lay_over()
    return host


@pytest.fixture(autouse=True)
def _nothing_is_written_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture has the disk begin early, to save time: a commit must not need that."""

    def leave(folders: TransactionFolders, points: tuple[bytes, ...]) -> None:
        del folders, points

    monkeypatch.setattr(TransactionFolders, "write_out", leave)


_SAMPLE: Sequence[tuple[str, str | None]] = [
    ("commit", "transaction.commit.operation:1"),
    ("commit", f"transaction.commit.operation:{OPERATIONS}"),
    ("commit", "transaction.committed"),
    ("commit", "transaction.plan-renamed:2"),
    ("commit", None),
    ("rollback", "transaction.undo.operation:6"),
    ("rollback", None),
    ("settling a commit", "transaction.undo.operation:6"),
    ("settling a rollback", "transaction.undone"),
]


async def test_after_a_power_cut_everything_is_before_or_after(host: LabHost) -> None:
    scene = _Scene(host)
    await scene.make_ready()
    for number, (what, last) in enumerate(_SAMPLE):
        reached = await scene.fails(what, last, keep_journal=number % 2 == 0)
        assert reached is (last is not None), (what, last)

    assert scene.problems == []
    assert scene.found["commit, ended, as after"] == 1


async def test_below_layers_it_is_the_same(layered_host: LabHost) -> None:
    """What is committed in a container goes through an overlay to the disk that the engine keeps its layers on."""
    scene = _Scene(layered_host, is_layered=True)
    await scene.make_ready(set_up="")
    for number, (what, last) in enumerate(_SAMPLE):
        reached = await scene.fails(what, last, keep_journal=number % 2 == 0)
        assert reached is (last is not None), (what, last)

    assert scene.problems == []
    assert scene.found["commit, ended, as after"] == 1


@pytest.mark.parametrize("last", [None, "transaction.committed", f"transaction.commit.operation:{_FILES}"])
async def test_no_file_of_many_is_empty(host: LabHost, last: str | None) -> None:
    scene = _Scene(host, _MANY_FILES)
    await scene.make_ready(_MANY_FILES_SET_UP)

    assert await scene.fails("commit", last, keep_journal=True) is (last is not None)

    assert scene.problems == []


@pytest.mark.long
async def test_the_power_fails_at_every_step_of_commit_rollback_and_settling(host: LabHost) -> None:
    begun = time.monotonic()
    scene = _Scene(host)
    await scene.make_ready()
    for what in _SWEPT:
        await scene.sweep(what)
    _write_record(
        scene, time.monotonic() - begun, "power_fails_at_every_step", "a plain Debian 12 host of the lab on ext4"
    )

    assert scene.problems == []


@pytest.mark.long
async def test_the_power_fails_below_layers_at_every_step(layered_host: LabHost) -> None:
    begun = time.monotonic()
    scene = _Scene(layered_host, is_layered=True)
    await scene.make_ready(set_up="")
    for what in _SWEPT:
        await scene.sweep(what)
    about = "a Debian 12 system of the lab whose root is an overlay on ext4, as a container's"
    _write_record(scene, time.monotonic() - begun, "power_fails_below_layers", about)

    assert scene.problems == []


def _write_record(scene: _Scene, seconds: float, test: str, about: str) -> None:
    today = datetime.now(UTC).date().isoformat()
    layers = "-below-layers" if "layers" in test else ""
    chosen = f"POWER_SWEEPS='{','.join(_SWEPT)}' " if len(_SWEPT) < len(_ALL) else ""
    lines = [
        f"# Power cuts at every step{layers.replace('-', ' ')}, {today}",
        "",
        f"`{chosen}make long ARGS='-k {test}'`",
        "",
        f"* {platform.system()} {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()};",
        f"  {about}.",
        f"* {sum(scene.found.values())} power cuts in {seconds / 60:.0f} minutes: at each passage of each failure",
        f"  point of: {', '.join(_SWEPT)}; and after their ends, each with a new capture.",
        "* The process dies there, the file system is shut down at once (`EXT4_IOC_SHUTDOWN`), mounted again, and its",
        "  journal replayed. Half of the cuts write the journal first, without contents that nobody had synced.",
        "* Then one command settles, and every file is compared with how it was before or after, whichever the plan",
        "  file says; what ended before the cut has to be as it ended. What was taken back is committed again,",
        "  compared, and taken back: what was staged has survived as well.",
        "",
        "| what was interrupted, and how the host was found | times |",
        "| --- | ---: |",
        *(f"| {what} | {count} |" for what, count in sorted(scene.found.items())),
        "",
        f"Neither: {len(scene.problems)}.",
        *(f"* {problem}" for problem in scene.problems),
    ]
    _RECORDS.mkdir(exist_ok=True)
    (_RECORDS / f"{today}-power-loss{layers}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
