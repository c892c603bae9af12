"""The product as people run it: inside the very system that it changes, with its state on the same disk."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import workflow_agent
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


def carry_in(machine: Machine) -> None:
    """Put the product and what it imports into the host, as an installation under ``/opt`` would."""
    place = machine.host.root / "opt/workflow-agent"
    unneeded = shutil.ignore_patterns("__pycache__", "mypy*", "ruff*", "hypothesis*", "pip*", "docker*", "*.pth")
    shutil.copytree(sysconfig.get_path("purelib"), place / "lib", ignore=unneeded)
    shutil.copytree(Path(workflow_agent.__file__).parent, place / "lib/workflow_agent", dirs_exist_ok=True)
    shutil.copy2(Path(sys.executable).with_name("shellcheck"), place / "shellcheck")
    # compiled once and for all: nothing below may change while the product runs
    machine.host.run(["python3", "-m", "compileall", "-q", "/opt/workflow-agent/lib"], check=False)


def run(machine: Machine, *arguments: str) -> dict[str, Any]:
    path = "PATH=/opt/workflow-agent:/usr/sbin:/usr/bin:/sbin:/bin"
    command = ["env", path, "PYTHONPATH=/opt/workflow-agent/lib", "python3", "-m", "workflow_agent"]
    done = machine.host.run([*command, *arguments, "--json"], check=False)
    assert done.returncode == 0, f"{arguments} -> {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return data


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="what is compiled for this Python cannot run on Debian 12's"
)
def test_it_changes_the_system_that_it_runs_on(machines: Callable[..., AbstractContextManager[Machine]]) -> None:
    with machines(packages=(*DEFAULT_PACKAGES, "python3")) as machine:
        machine.host.run(["apt-get", "install", "-y", "--no-install-recommends", "python3"])
        carry_in(machine)
        machine.host.run(["mkdir", "--mode=700", STATE])
        assert run(machine, "doctor")["items"]
        before = machine.host.digest()

        plan = run(machine, "plan", "nginx")
        assert diff(before, ours_left_out(machine, before)) == []
        report = run(machine, "install", "nginx", "--yes")
        for shown in (plan, report):
            paths = [change["path"] for change in shown["changes"]["items"]]
            assert paths
            assert not [path for path in paths if path.startswith((STATE, "/.workflow-agent", "/opt/workflow-agent"))]
        assert machine.listens(80)
        assert run(machine, "install", "nginx", "--yes")["changed"] is False
        assert [one["run_id"] for one in run(machine, "history", "--action", "install")["items"]][1] == report["run_id"]
        run(machine, "rollback", "--yes")

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
