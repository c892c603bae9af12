"""A service is taken back together with the units that its start brought along."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import ServiceFailedError
from workflow_agent.model.system import Service
from workflow_agent.targets.host import HostTarget
from workflow_agent.testing.lab import LabHost
from workflow_agent.testing.transactions import Trial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

_UNITS = {
    "web.service": (
        "[Unit]\nWants=milestone.target\nRequires=side.service\nAfter=milestone.target side.service\n"
        "[Service]\nExecStart=/bin/sleep 10001\n"
    ),
    "milestone.target": "[Unit]\nWants=waiting.service\nAfter=waiting.service\n",
    "waiting.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
    "side.service": "[Service]\nExecStart=/bin/sleep 10002\n",
}
_SCRIPT = "".join(f"cat > /usr/lib/systemd/system/{name} <<'END'\n{text}END\n" for name, text in _UNITS.items())
_WEB = Service(name="web", exe="/bin/sleep")
_CHILD = """
import asyncio, json, sys
from workflow_agent.model.system import Service
from workflow_agent.targets.host import HostTarget
async def main():
    pid, run_id, transaction = json.loads(sys.argv[1])
    target = HostTarget("host", pid=pid)
    await target.acquire(run_id)
    await target.activate(transaction, [Service(name="web", exe="/bin/sleep")])
asyncio.run(main())
"""

pytestmark = [pytest.mark.root, pytest.mark.systemd]


@pytest.fixture(scope="module")
def lab_systemd(lab: None) -> Iterator[LabHost]:
    """A host that runs systemd, shared by the module."""
    with LabHost("systemd") as host:
        yield host


@pytest.fixture
async def trial(lab_systemd: LabHost) -> AsyncIterator[Trial]:
    one = Trial(lab_systemd)
    await one.begin()
    yield one
    await one.end()


def active(host: LabHost) -> dict[str, str]:
    return {name: state for name, state in host.units().items() if not state.startswith("inactive")}


def plan(host: LabHost, transaction: str) -> dict[str, Any]:
    path: Path = host.root / ".workflow-agent/tx" / transaction / "plan.json"
    services: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["services"]
    return services


async def committed(trial: Trial, script: str = _SCRIPT) -> str:
    transaction, _ = await trial.capture(script)
    await trial.target.commit(transaction)
    return transaction


async def test_what_a_start_brought_along_goes_with_the_service(trial: Trial) -> None:
    before = active(trial.lab)
    transaction = await committed(trial)

    await trial.target.activate(transaction, [_WEB])
    running = active(trial.lab)
    recorded = plan(trial.lab, transaction)["pulled"]
    result = await trial.target.rollback(transaction)

    brought = {"milestone.target", "waiting.service", "side.service"}
    assert brought <= running.keys()
    assert recorded.keys() == brought, "what did not start is not ours to stop later"
    assert active(trial.lab) == before
    assert {one["service"]: one["action"] for one in result["services"]} == dict.fromkeys(brought | {"web"}, "stopped")


_ASKED = """
cat > /usr/lib/tmpfiles.d/asked.conf <<'END'
# what Debian's packages ask for while they are installed
d /run/asked 0755 root root -
d /run/asked/inner 0700 root root -
d /run/lock 1777 root root -
L /run/asked-link - - - - /etc/hostname
END
mkdir -p /run/asked
cat > /usr/lib/systemd/system/needy.service <<'END'
[Service]
ExecStart=/bin/sh -c 'touch /run/asked/inner/ready && exec sleep 10004'
END
"""


async def test_folders_that_a_package_asks_for_are_made_before_its_service_starts_and_go_with_it(trial: Trial) -> None:
    """Captured, the installer makes them in a /run of its own: MariaDB's socket has no place then."""
    before = active(trial.lab)
    transaction = await committed(trial, _ASKED)

    await trial.target.activate(transaction, [Service(name="needy")])
    made = sorted(path.name for path in (trial.lab.root / "run/asked").rglob("*"))
    asked = plan(trial.lab, transaction)["asked"]
    await trial.target.rollback(transaction)

    assert made == ["inner", "ready"]
    assert asked == ["/run/asked", "/run/asked/inner"], "what is there is not ours"
    assert active(trial.lab) == before
    assert (trial.lab.root / "run/lock").is_dir()


async def test_a_folder_in_run_that_is_not_empty_stays_where_its_user_does(trial: Trial) -> None:
    transaction = await committed(trial, _ASKED)
    await trial.target.activate(transaction, [Service(name="needy")])
    await trial.target.rollback(transaction)
    left = sorted(path.name for path in (trial.lab.root / "run/asked").rglob("*"))
    trial.lab.run(["rm", "-rf", "/run/asked", "/run/asked-link"])
    assert left == ["inner", "ready"], "root's file may be anybody's"


async def test_what_somebody_else_needs_meanwhile_stays_and_is_named(trial: Trial) -> None:
    before = active(trial.lab)
    transaction = await committed(trial, _SCRIPT.replace("/usr/lib", "/etc"))
    other = trial.lab.root / "run/systemd/system/other.service"
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_text("[Unit]\nWants=milestone.target\n[Service]\nExecStart=/bin/sleep 10003\n", encoding="utf-8")

    await trial.target.activate(transaction, [_WEB])
    trial.lab.run(["systemctl", "start", "other"])
    result = await trial.target.rollback(transaction)

    told = {one["service"]: one for one in result["services"]}
    assert told["milestone.target"]["action"] == "left active"
    assert told["milestone.target"]["reason"] == "needed by other.service"
    assert told["waiting.service"]["reason"] == "needed by milestone.target"
    assert told["side.service"]["action"] == "stopped"
    assert active(trial.lab).keys() - before.keys() == {"milestone.target", "waiting.service", "other.service"}
    trial.lab.run(["systemctl", "stop", "other", "milestone.target", "waiting.service"])
    other.unlink()
    trial.lab.run(["systemctl", "daemon-reload"])


async def test_what_does_not_stop_is_named_and_stands_in_no_way(trial: Trial) -> None:
    stubborn = _SCRIPT.replace("[Unit]\nWants=waiting", "[Unit]\nRefuseManualStop=yes\nWants=waiting")
    transaction = await committed(trial, stubborn)

    await trial.target.activate(transaction, [_WEB])
    result = await trial.target.rollback(transaction)

    told = {one["service"]: (one["action"], one.get("reason")) for one in result["services"]}
    assert told["milestone.target"] == ("left active", "it does not stop")
    assert not (trial.lab.root / "usr/lib/systemd/system/milestone.target").exists()
    trial.lab.run(["systemctl", "daemon-reload"])
    trial.lab.run(["systemctl", "stop", "milestone.target"])


async def test_what_was_active_before_stays(trial: Trial) -> None:
    transaction = await committed(trial)
    trial.lab.run(["systemctl", "daemon-reload"])
    trial.lab.run(["systemctl", "start", "side"])

    await trial.target.activate(transaction, [_WEB])
    await trial.target.rollback(transaction)

    assert "side.service" in active(trial.lab)
    trial.lab.run(["systemctl", "stop", "side"])


async def test_a_start_that_fails_has_written_down_what_it_would_bring_along(trial: Trial) -> None:
    before = active(trial.lab)
    transaction = await committed(trial, _SCRIPT.replace("/bin/sleep 10001", "/bin/false"))

    with pytest.raises(ServiceFailedError):
        await trial.target.activate(transaction, [_WEB])
    begun = active(trial.lab)
    await trial.target.rollback(transaction)

    assert "milestone.target" in begun
    assert active(trial.lab) == before


async def test_a_crash_while_a_service_starts_does_not_lose_what_it_brought_along(trial: Trial) -> None:
    before = active(trial.lab)
    slow = "ExecStartPre=/bin/sleep 30\nExecStart=/bin/sleep 10001"
    transaction = await committed(trial, _SCRIPT.replace("ExecStart=/bin/sleep 10001", slow))
    await trial.end()

    arguments = json.dumps([trial.lab.pid, trial.run_id, transaction])
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", _CHILD, arguments)
    async with asyncio.timeout(30):
        while active(trial.lab).get("web.service") != "activating/start-pre":  # noqa: ASYNC110  # another system
            await asyncio.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()
    trial.target = HostTarget("host", pid=trial.lab.pid)
    await trial.target.acquire(trial.run_id)
    begun = active(trial.lab)
    await trial.target.rollback(transaction)

    assert "milestone.target" in begun
    assert active(trial.lab) == before
