"""SIGKILL in a container's commits, rollbacks and what settles them: at every failure point, and at random moments."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model import failpoint
from workflow_agent.testing.lab import LabContainer, diff
from workflow_agent.testing.transactions import Trial, open_target

if TYPE_CHECKING:
    from workflow_agent.testing.lab import FileRecord

_RECORDS = Path(__file__).parents[2] / "docs/records"
_KILLS = int(os.environ.get("CONTAINER_KILLS", "50"))
_SEED = int(os.environ.get("CONTAINER_SEED", "20261122"))
_MOST = 60
_KILLED = -9
_OF_A_PLAN = ("plan-written", "plan-renamed", "sync")
_POINTS = {
    "commit": (*_OF_A_PLAN, "commit.operation", "committed"),
    "rollback": (*_OF_A_PLAN, "undo.operation", "undone"),
    "settle": (*_OF_A_PLAN, "undo.operation", "undone"),
}
#: What lies in layers of the image, what is new, what many own.
_SCRIPT = """
cd /etc; echo new > motd; rm -r skel; mkdir skel; echo n > skel/n; rm fstab; echo '# more' >> group; mkdir -p made/deep
rm -r /usr/share/doc/apt
"""
#: Each verb is carried out in a process that is forked, so that a kill costs no start of Python.
_CHILD = """
import asyncio, json, os, sys, time
from workflow_agent.model import failpoint
from workflow_agent.testing.lab import LabContainer
from workflow_agent.testing.transactions import open_target
name, run_id, transaction = json.loads(sys.argv[1])
lab = LabContainer()
lab.name = name
async def carry_out(verb):
    target = open_target(lab)
    await target.acquire(run_id, wait_s=20)
    if verb != "settle":
        await getattr(target, verb)(transaction)
    await target.close()
for line in sys.stdin:
    verb, spec, after_s = json.loads(line)
    child = os.fork()
    if not child:
        failpoint.arm(spec)
        try:
            asyncio.run(carry_out(verb))
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    started = time.monotonic()
    if after_s is not None:
        time.sleep(after_s)
        os.kill(child, 9)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([code, time.monotonic() - started]), flush=True)
"""


@dataclass(slots=True)
class _Scene:
    trial: Trial
    transaction: str
    before: dict[str, FileRecord]
    after: dict[str, FileRecord]
    process: asyncio.subprocess.Process
    found: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    async def step(self, verb: str, spec: str | None = None, after_s: float | None = None) -> tuple[int, float]:
        """Commit, roll back or settle in a process of its own; gives how it ended, and after how long."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([verb, spec, after_s]).encode() + b"\n")
        code, took = json.loads(await asyncio.wait_for(self.process.stdout.readline(), 120))
        return code, took

    async def killed(self, verb: str, spec: str | None = None, after_s: float | None = None) -> bool:
        """Kill a verb, settle, look, and go back to the beginning; gives whether it was met."""
        moment = f"{verb} {spec or f'after {after_s:.3f} s'}"
        if verb == "rollback":
            assert (await self.step("commit"))[0] == 0
        elif verb == "settle":
            assert (await self.step("commit", "transaction.committed"))[0] == _KILLED
        code, _ = await self.step(verb, spec, after_s)
        if code not in {0, _KILLED}:
            self.problems.append(f"{moment}: ended with {code}")
        if (await self.step("settle"))[0] != 0:
            self.problems.append(f"{moment}: cannot be settled")
        now = _look(self.trial)
        is_after, is_before = diff(self.after, now) == [], diff(self.before, now) == []
        if is_after is is_before:
            self.problems.append(f"{moment}: {diff(self.before, now)[:3]}, {diff(self.after, now)[:3]}")
        if is_after and (await self.step("rollback"))[0] != 0:
            self.problems.append(f"{moment}: cannot be taken back")
        if left := diff(self.before, _look(self.trial)):
            self.problems.append(f"{moment}, taken back: {left[:3]}")
        kind = "not reached" if code == 0 else "as after" if is_after else "as before"
        self.found[f"{verb}, {'at a failure point' if spec else 'at a random moment'}, {kind}"] += 1
        return code == _KILLED


def _look(trial: Trial) -> dict[str, FileRecord]:
    return {**trial.look("/etc"), **{f"/doc{name}": one for name, one in trial.look("/usr/share/doc").items()}}


async def _scene(container: LabContainer) -> _Scene:
    trial = Trial(container)
    await trial.begin()
    before = _look(trial)
    transaction = await trial.apply(_SCRIPT)
    after = _look(trial)
    await trial.target.rollback(transaction)
    assert diff(before, _look(trial)) == []
    await trial.end()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _CHILD, json.dumps([container.name, trial.run_id, transaction])),
        env={name: value for name, value in os.environ.items() if name != failpoint.VARIABLE},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    trial.target = open_target(container)
    return _Scene(trial, transaction, before, after, process)


async def _end(scene: _Scene) -> None:
    assert scene.process.stdin is not None
    scene.process.stdin.close()
    await scene.process.wait()
    await scene.trial.end()


async def _random_kills(scene: _Scene, count: int, seed: int) -> None:
    chance = random.Random(seed)
    usual = {verb: (await scene.step(verb))[1] for verb in ("commit", "rollback", "settle")}
    for _ in range(count):
        verb = chance.choice(("commit", "rollback", "settle"))
        await scene.killed(verb, after_s=chance.uniform(0, 1.1 * usual[verb]))


async def test_some_random_moments_in_a_container(engine: None) -> None:
    with LabContainer() as container:
        scene = await _scene(container)
        await _random_kills(scene, 4, int(time.time()))
        await _end(scene)

    assert scene.problems == []
    assert sum(scene.found.values()) == 4


@pytest.mark.long
async def test_every_failure_point_and_random_moments_in_a_container(engine: None) -> None:
    begun = time.monotonic()
    with LabContainer() as container:
        scene = await _scene(container)
        for verb, points in _POINTS.items():
            for point in points:
                n = 1
                while await scene.killed(verb, f"transaction.{point}:{n}"):
                    n += 1
                    assert n < _MOST, f"{point} is passed without an end"
                assert n > 1, f"{point} is never passed by a {verb}"
        await _random_kills(scene, _KILLS, _SEED)
        await _end(scene)
    _write_record(scene, time.monotonic() - begun)

    assert scene.problems == []


def _write_record(scene: _Scene, seconds: float) -> None:
    today = datetime.now(UTC).date().isoformat()
    lines = [
        f"# Killed in containers, {today}",
        "",
        f"`CONTAINER_KILLS={_KILLS} CONTAINER_SEED={_SEED} make long ARGS='-k random_moments_in_a_container'`",
        "",
        f"* {platform.system()} {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()};",
        "  a plain Debian 12 container of the lab.",
        f"* {sum(scene.found.values())} commits, rollbacks and settlings in {seconds / 60:.0f} minutes, sent SIGKILL",
        "  at each passage of each failure point, and at random moments between start and 1.1 times the usual end.",
        "  Then one settles in peace; `/etc` and `/usr/share/doc` are compared with how they were before and after.",
        "",
        "| what was killed, and how the container was found | times |",
        "| --- | ---: |",
        *(f"| {what} | {count} |" for what, count in sorted(scene.found.items())),
        "",
        f"In between: {len(scene.problems)}.",
        *(f"* {problem}" for problem in scene.problems),
    ]
    _RECORDS.mkdir(exist_ok=True)
    (_RECORDS / f"{today}-container-kills.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
