"""The product as people run it: inside the very system that it changes, with its state on the same disk."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.testing.lab import diff, grown_logs
from workflow_agent.testing.lab.image import DEFAULT_PACKAGES

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.system.machine import APPENDED_LOGS, Machine
else:
    from machine import APPENDED_LOGS

pytestmark = [pytest.mark.root, pytest.mark.slow]

STATE = "/var/lib/workflow-agent"


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="what is compiled for this Python cannot run on Debian 12's"
)
def test_it_changes_the_system_that_it_runs_on(machines: Callable[..., AbstractContextManager[Machine]]) -> None:
    with machines(packages=(*DEFAULT_PACKAGES, "python3")) as machine:
        machine.host.run(["apt-get", "install", "-y", "--no-install-recommends", "python3"])
        machine.carry_in()
        machine.host.run(["mkdir", "--mode=700", STATE])
        assert machine.inside("doctor")["items"]
        before = machine.host.digest()

        plan = machine.inside("plan", "nginx")
        assert diff(before, ours_left_out(machine, before)) == []
        report = machine.inside("install", "nginx", "--yes")
        for shown in (plan, report):
            paths = [change["path"] for change in shown["changes"]["items"]]
            assert paths
            assert not [path for path in paths if path.startswith((STATE, "/.workflow-agent", "/opt/workflow-agent"))]
        assert machine.listens(80)
        assert machine.inside("install", "nginx", "--yes")["changed"] is False
        assert [one["run_id"] for one in machine.inside("history", "--action", "install")["items"]][1] == report[
            "run_id"
        ]
        machine.inside("rollback", "--yes")

        after = ours_left_out(machine, before)
        grown = APPENDED_LOGS & set(grown_logs(machine.host.root, before, after))
        assert [line for line in diff(before, after) if line.split(": ")[1] not in grown] == []
        assert not machine.listens(80)
        assert (machine.host.root / STATE[1:]).stat().st_mode & 0o777 == 0o700
        assert subprocess.run(["ls", machine.host.root / STATE[1:]], check=True, capture_output=True).stdout


def ours_left_out(machine: Machine, before: dict[str, Any]) -> dict[str, Any]:
    """Read the host; the product's state, which grows, counts as it was (its parent's time is set by its making)."""
    now = machine.host.digest()
    own = {name for name in now.keys() | before.keys() if name == STATE or name.startswith(f"{STATE}/")}
    return {name: record for name, record in now.items() if name not in own} | {
        name: before[name] for name in own if name in before
    }
