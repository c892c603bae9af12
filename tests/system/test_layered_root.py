"""The product inside a system whose root is an overlay, with its state on another file system: as on any host."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from workflow_agent.testing.lab import LabHost, diff, grown_logs
from workflow_agent.testing.lab.image import DEFAULT_PACKAGES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.machine import APPENDED_LOGS, Machine

    from workflow_agent.testing.lab import FileRecord
else:
    from machine import APPENDED_LOGS, Machine

pytestmark = [pytest.mark.root, pytest.mark.slow]

STATE = "/var/lib/workflow-agent"


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="what is compiled for this Python cannot run on Debian 12's"
)
def test_it_changes_the_layered_system_in_which_it_runs(lab: None, tmp_path: Path) -> None:
    with LabHost("plain", packages=(*DEFAULT_PACKAGES, "python3"), layers=True) as host:
        machine = Machine(host=host, folder=tmp_path)
        host.run(["apt-get", "install", "-y", "--no-install-recommends", "python3"])
        machine.carry_in()
        host.run(["mkdir", "--mode=700", STATE])
        on_layers = {one["check"]: one for one in machine.inside("doctor", code=1)["items"]}["capture"]
        assert "`paths.state`" in on_layers["observed"]
        refused = machine.inside("plan", "nginx", code=1)
        assert "`paths.state`" in refused["error"]["cause"]
        host.run(["mount", "-t", "tmpfs", "-o", "mode=700", "state", STATE])
        look = {one["check"]: one for one in machine.inside("doctor")["items"]}
        assert look["capture"]["status"] == "ok", look["capture"]
        before = ours_left_out(machine)

        machine.inside("plan", "nginx")
        assert diff(before, ours_left_out(machine)) == []
        machine.inside("install", "nginx", "--yes")
        assert machine.listens(80)
        machine.inside("rollback", "--yes")

        after = ours_left_out(machine)
        assert not machine.listens(80)
        grown = APPENDED_LOGS & set(grown_logs(host.root, before, after))
        assert [line for line in diff(before, after) if line.split(": ")[1] not in grown] == []


def ours_left_out(machine: Machine) -> dict[str, FileRecord]:
    """Read the host without the product's state, which is outside."""
    return {name: record for name, record in machine.host.digest().items() if not name.startswith(STATE)}
