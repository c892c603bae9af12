"""A transaction of every kind of operation, and what kills what works on it: shared by the tests of crashes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

from workflow_agent.model import failpoint
from workflow_agent.testing.lab import diff
from workflow_agent.testing.transactions import open_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.testing.lab import FileRecord
    from workflow_agent.testing.transactions import Trial

__all__ = ["KILLED", "OPERATIONS", "SCRIPT", "SET_UP", "interrupted", "killed_in_turn", "look", "ready"]

KILLED = -9
SET_UP = """
mkdir -p /srv/crash/d/e; cd /srv/crash; echo old > f; echo gone > gone; echo x > d/x; echo y > d/e/y; ln f d/hard
mkdir r; echo r > r/r; ln -s f l; echo line > /var/log/crash.log
find /srv/crash -depth -exec touch -h -d '2001-01-01 01:01:01.5' {} +
"""
SCRIPT = """
cd /srv/crash; echo new > f; rm gone; rm -r d/e; echo n > d/n; mkdir -p new/deep; echo 1 > new/deep/1
rm -r r; mkdir r; echo 2 > r/2; ln -sfn d l; echo more >> /var/log/crash.log; chmod 711 d
"""
#: Every operation that the script above needs: create 2, exchange 4 (one file by two names), remove 2, log, folders.
OPERATIONS = 11

#: Each step runs in a process of its own, which is forked: it costs no start of Python.
_CHILD = """
import asyncio, json, os, sys, traceback
from workflow_agent.model import failpoint
from workflow_agent.testing.transactions import open_host
async def carry_out(pid, run_id, transaction, verb):
    target = open_host(pid)
    await target.acquire(run_id, wait_s=20)  # programs of one that was killed end a moment later
    if verb == "prune":
        await target.prune([transaction])
    elif verb != "settle":  # taking the target is what settles
        await getattr(target, verb)(transaction)
    await target.close()
def step(verb, spec):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        failpoint.arm(spec)
        asyncio.run(carry_out(pid, run_id, transaction, verb))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
pid, run_id, transaction, steps = json.loads(sys.argv[1])
print(json.dumps([step(*one) for one in steps]))
"""


async def killed_in_turn(trial: Trial, transaction: str, steps: Sequence[tuple[str, str | None]]) -> list[int]:
    """Carry steps out (verb, failure point), each in a process of its own; gives how each process ended."""
    await trial.end()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _CHILD, json.dumps([trial.lab.pid, trial.run_id, transaction, steps])),
        env={name: value for name, value in os.environ.items() if name != failpoint.VARIABLE},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(child.communicate(), 120)
    codes: list[int] = json.loads(output)
    assert set(codes) <= {0, KILLED}, errors.decode()
    trial.target = open_host(trial.lab.pid)
    return codes


async def interrupted(trial: Trial, verb: str, transaction: str, spec: str) -> bool:
    """Commit or roll back in a process of its own that dies at a failure point; gives whether it got there."""
    return await killed_in_turn(trial, transaction, [(verb, spec)]) == [KILLED]


def look(trial: Trial) -> dict[str, FileRecord]:
    """Read what the transaction changes."""
    return trial.look("/srv/crash")


async def ready(trial: Trial) -> tuple[dict[str, FileRecord], dict[str, FileRecord], str]:
    """Make the host ready once; gives how it is before and after, and a transaction that is rolled back."""
    trial.shell("rm -rf /.workflow-agent/tx/*")  # plans of earlier tests would be brought up too, which passes points
    if not (trial.lab.root / "srv/crash").exists():
        trial.shell(SET_UP)
    before = look(trial)
    transaction, _ = await trial.capture(SCRIPT)
    result = await trial.target.commit(transaction)
    assert result["operations"] == OPERATIONS
    after = look(trial)
    await trial.target.rollback(transaction)
    assert diff(before, look(trial)) == []
    return before, after, transaction
