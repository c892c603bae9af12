"""Kills commits, rollbacks and what settles them at random moments; arguments: PID TRANSACTION KILLS SEED.

A program of its own with one thread: what is killed is forked from it, so that a trial costs no start of Python. It
ends with one line of JSON: what was found after each kill, and what should never be found.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_agent.targets.host import HostTarget
from workflow_agent.testing.lab import diff
from workflow_agent.testing.lab.digest import digest

if TYPE_CHECKING:
    from workflow_agent.testing.lab import FileRecord

_ROUNDS = 3
_LATEST = 1.1
#: Programs of one that was killed end a moment later, and hold its lock until then.
_WAIT_S = 20.0


class Trials:
    """The trials on one transaction of the host of process `pid`, which is rolled back at the beginning."""

    def __init__(self, pid: int, transaction: str, seed: int) -> None:
        self._pid = pid
        self._transaction = transaction
        self._chance = random.Random(seed)
        self.found: Counter[str] = Counter()
        self.problems: list[str] = []
        self._looks = {"rolled-back": self._look()}
        self._usual: dict[str, float] = {}
        for _ in range(_ROUNDS):
            for verb in ("commit", "settle", "rollback"):
                started = time.monotonic()
                if self._end_of(self._begin(verb)) != 0:
                    raise SystemExit(f"{verb} ends badly when nobody disturbs it")
                self._usual[verb] = min(self._usual.get(verb, 60.0), time.monotonic() - started)
                if verb == "commit":
                    self._looks["committed"] = self._look()

    def kill(self) -> None:
        """Begin the next commit or rollback, kill it, settle what it left, and look."""
        before = self._state()
        verb = "commit" if before == "rolled-back" else "rollback"
        killed = self._killed(verb)
        for _ in range(self._chance.choice((0, 0, 1, 2)) if killed else 0):
            self.found["settling, killed" if self._killed("settle") else "settling, not reached"] += 1
        if self._end_of(self._begin("settle")) != 0:
            self.problems.append(f"what a killed {verb} left cannot be settled")
        state = self._state()
        outcome = "not reached" if not killed else "as before" if state == before else "as after"
        self.found[f"{verb}, {outcome}"] += 1
        differing = diff(self._looks.get(state, {}), self._look())
        if differing:
            self.problems.append(f"after a killed {verb} it is {state}, but: {differing[:5]}")

    def _killed(self, verb: str) -> bool:
        process = self._begin(verb)
        time.sleep(self._chance.uniform(0, self._usual[verb] * _LATEST))
        os.kill(process, signal.SIGKILL)
        code = self._end_of(process)
        if code not in {0, -signal.SIGKILL}:
            self.problems.append(f"{verb} ended with {code}")
        return code == -signal.SIGKILL

    def _begin(self, verb: str) -> int:
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            asyncio.run(_carry_out(self._pid, verb, self._transaction))
            code = 0
        except BaseException:  # noqa: BLE001  # told, and the end of a process that must not run what its parent does
            traceback.print_exc()
        finally:
            os._exit(code)

    def _end_of(self, process: int) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def _state(self) -> str:
        plan = Path(f"/proc/{self._pid}/root/.workflow-agent/tx/{self._transaction}/plan.json")
        return str(json.loads(plan.read_bytes())["state"])

    def _look(self) -> dict[str, FileRecord]:
        return digest(Path(f"/proc/{self._pid}/root/srv/kills"), excluded=())


async def _carry_out(pid: int, verb: str, transaction: str) -> None:
    target = HostTarget("host", pid=pid)
    await target.acquire("trial", wait_s=_WAIT_S)
    if verb != "settle":  # taking the target is what settles
        await getattr(target, verb)(transaction)
    await target.close()


def main() -> None:
    """Carry the trials out and print what was found."""
    pid, transaction, kills, seed = sys.argv[1:]
    trials = Trials(int(pid), transaction, int(seed))
    for _ in range(int(kills)):
        trials.kill()
        if trials.problems:
            break
    print(json.dumps({"found": dict(sorted(trials.found.items())), "problems": trials.problems}))


if __name__ == "__main__":
    main()
