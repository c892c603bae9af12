"""SIGKILL at random moments of commits, of rollbacks and of what settles them: never anything in between."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from workflow_agent.testing.transactions import Trial

_PROGRAM = Path(__file__).with_name("killed_transactions.py")
_RECORDS = Path(__file__).parents[3] / "docs/records"
_KILLS = int(os.environ.get("TRANSACTION_KILLS", "1000"))
_SEED = int(os.environ.get("TRANSACTION_SEED", "20261121"))
_SET_UP = """
mkdir -p /srv/kills/{a,b}/{1,2} /srv/kills/{c,empty}; cd /srv/kills
for i in $(seq 120); do echo old $i > a/1/$i; echo $i > b/2/$i; done
for i in 1 2 3; do ln a/1/$i c/$i; ln -s $i c/l$i; done
find /srv/kills -depth -exec touch -h -d '2001-01-01 01:01:01.5' {} +
"""
_SCRIPT = """
cd /srv/kills; for i in $(seq 1 80); do echo new $i > a/1/$i; done; for i in $(seq 1 60); do rm b/2/$i; done
for i in $(seq 100); do mkdir -p n/$i; echo $i > n/$i/f; echo $i > c/n$i; done
rm -r empty; rm c/l1; mkdir c/l1; mv b/2 b/3; chmod 700 a; chown 7:7 a/1/100; ln c/1 c/again; ln -sfn x c/l2
"""


async def _kills(trial: Trial, count: int, seed: int) -> dict[str, Any]:
    trial.shell("rm -rf /.workflow-agent/tx/* /srv/kills")
    trial.shell(_SET_UP)
    transaction = await trial.apply(_SCRIPT)
    await trial.target.rollback(transaction)
    await trial.end()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, str(_PROGRAM), str(trial.lab.pid), transaction, str(count), str(seed)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await child.communicate()
    assert child.returncode == 0
    result: dict[str, Any] = json.loads(output)
    return result


async def test_some_random_moments(trial: Trial) -> None:
    result = await _kills(trial, 12, int(time.time()))

    assert result["problems"] == []
    assert sum(count for what, count in result["found"].items() if not what.startswith("settling")) == 12


@pytest.mark.long
async def test_many_random_moments(trial: Trial) -> None:
    begun = time.monotonic()
    result = await _kills(trial, _KILLS, _SEED)
    _write_record(result, time.monotonic() - begun)

    assert result["problems"] == []


def _write_record(result: dict[str, Any], seconds: float) -> None:
    today = datetime.now(UTC).date().isoformat()
    lines = [
        f"# Transactions killed at random moments, {today}",
        "",
        f"`TRANSACTION_KILLS={_KILLS} TRANSACTION_SEED={_SEED} make long ARGS='-k many_random_moments'`",
        "",
        f"* {platform.system()} {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()};",
        "  a plain Debian 12 host of the lab on ext4.",
        f"* {_KILLS} commits and rollbacks of one transaction of about 500 paths, in {seconds / 60:.0f} minutes.",
        "* Each was sent SIGKILL at a random moment between its start and 1.1 times its usual end. After half of those",
        "  that were met, one or two processes that settle it were killed in the same way. Then one settles in peace,",
        "  and every file is compared with how it was before or after, whichever the plan file says.",
        "",
        "| what was killed, and how the host was found | times |",
        "| --- | ---: |",
        *(f"| {what} | {count} |" for what, count in result["found"].items()),
        "",
        f"In between: {len(result['problems'])}.",
        *(f"* {problem}" for problem in result["problems"]),
    ]
    _RECORDS.mkdir(exist_ok=True)
    (_RECORDS / f"{today}-transaction-kills.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
