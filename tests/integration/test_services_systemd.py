"""Services under systemd, seen by their properties and their processes."""

from __future__ import annotations

import asyncio

import pytest

from workflow_agent.model.errors import ServiceFailedError
from workflow_agent.model.system import InitKind, Service
from workflow_agent.targets.env_file import parse_env_file
from workflow_agent.targets.live import run_live
from workflow_agent.targets.live_services import LiveServices
from workflow_agent.targets.paths import open_root
from workflow_agent.targets.service_processes import executable_of, processes_of
from workflow_agent.targets.service_state import ServiceKind, StopNeed
from workflow_agent.targets.services import ServiceControl
from workflow_agent.testing.lab import LabHost  # noqa: TC001  # pytest reads it

DAEMON = "/usr/local/bin/daemon"
EXPORTER = Service(
    name="prometheus-node-exporter",
    exe="/usr/bin/prometheus-node-exporter",
    listens=("tcp/9100",),
)


@pytest.fixture
def control(lab_systemd: LabHost) -> ServiceControl:
    lab_systemd.run(["cp", "/bin/sleep", DAEMON])
    return ServiceControl(lab_systemd.pid, InitKind.SYSTEMD, grace_s=0.5)


def unit(lab: LabHost, run: str, name: str = "daemon", **more: str) -> None:
    lines = "".join(f"{key}={value}\n" for key, value in more.items())
    text = f"[Unit]\nDescription=test\n[Service]\nExecStart={run}\n{lines}[Install]\nWantedBy=multi-user.target\n"
    (lab.root / f"etc/systemd/system/{name}.service").write_text(text)


def daemon(**more: object) -> Service:
    return Service(name="daemon", exe=DAEMON, **more)  # type: ignore[arg-type]


def daemons(lab: LabHost) -> list[int]:
    program = executable_of(lab.pid, DAEMON)
    return [one.pid for one in processes_of(lab.pid) if program.runs_as(one)]


@pytest.mark.slow
async def test_a_packaged_daemon_goes_through_its_whole_life(lab_systemd: LabHost) -> None:
    lab_systemd.run(
        ["sh", "-c", "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d"]
    )
    lab_systemd.run(["apt-get", "install", "-y", "prometheus-node-exporter"])
    control = ServiceControl(lab_systemd.pid, InitKind.SYSTEMD)

    before = (await control.state([EXPORTER]))[EXPORTER.name]
    started = await control.start(EXPORTER)
    again = await control.start(EXPORTER)
    await control.reload(EXPORTER)  # its unit reloads with /bin/kill, which is not there: it is restarted
    reloaded = (await control.state([EXPORTER.name]))[EXPORTER.name]
    stopped = await control.stop(EXPORTER)

    assert (before.kind, before.active, before.enabled, before.masked) == (ServiceKind.SYSTEMD, False, True, False)
    assert (started.was_active, again.was_active) == (False, True)
    assert started.main_pids == again.main_pids
    assert reloaded.active
    assert reloaded.main_pids != started.main_pids
    assert (stopped.needed, stopped.ended) == (StopNeed.INIT, reloaded.main_pids)
    assert not [one for one in lab_systemd.processes() if one.program == EXPORTER.exe]


async def test_states_of_many_come_in_one_look(lab_systemd: LabHost, control: ServiceControl) -> None:
    unit(lab_systemd, f"{DAEMON} 1000")
    unit(lab_systemd, f"{DAEMON} 1000", name="hidden")
    await control.reload_units()
    lab_systemd.run(["systemctl", "enable", "daemon"])
    (lab_systemd.root / "etc/systemd/system/hidden.service").unlink()
    lab_systemd.run(["systemctl", "mask", "hidden"])

    states = await control.state(["daemon", "hidden", "none-such", "dbus.socket"])

    assert [(one.kind.value, one.active, one.enabled, one.masked) for one in states.values()] == [
        ("systemd", False, True, False),
        ("systemd", False, False, True),
        ("absent", False, None, None),
        ("systemd", True, None, False),
    ]


async def test_a_service_that_was_woken_while_its_files_changed_is_started_from_those_that_are_back(
    lab_systemd: LabHost, control: ServiceControl
) -> None:
    """A socket starts its service again whenever somebody writes to it, also between a stop and the exchange."""
    unit(lab_systemd, f"{DAEMON} 1000")
    await control.start(daemon(), units_changed=True)
    services = LiveServices(lab_systemd.pid, InitKind.SYSTEMD)
    record = {"before": await services.record([daemon()])}
    await services.stop(record)
    (woken,) = (await control.start(daemon())).main_pids

    with open_root(lab_systemd.pid) as root_fd:
        await services.restore(record, root_fd)

    (now,) = (await control.state(["daemon"]))["daemon"].main_pids
    assert now != woken
    assert daemons(lab_systemd) == [now]
    await control.stop("daemon")


async def test_new_and_changed_units_are_read_before_the_start(lab_systemd: LabHost, control: ServiceControl) -> None:
    unit(lab_systemd, f"{DAEMON} 1000")

    started = await control.start(daemon())
    unit(lab_systemd, f"{DAEMON} 2000")
    restarted = await control.restart(daemon(), units_changed=True)

    ran = next(one for one in lab_systemd.processes() if one.pid == restarted.main_pids[0])
    assert restarted.was_active
    assert ran.arguments[-1] == "2000"
    assert started.main_pids != restarted.main_pids
    await control.stop("daemon")


@pytest.mark.parametrize(
    ("run", "more", "trouble"),
    [
        ("/bin/sh -c 'echo broken configuration; exit 3'", {}, "failed"),
        ("/bin/sh -c 'echo broken configuration; exit 3'", {"Restart": "always"}, "restarting"),
        ("/bin/sh -c 'echo broken configuration; exit 3'", {"Type": "forking"}, "systemctl start"),
    ],
)
async def test_a_service_that_dies_at_once_is_an_error_with_its_last_words(
    lab_systemd: LabHost, control: ServiceControl, run: str, more: dict[str, str], trouble: str
) -> None:
    unit(lab_systemd, run, **more)

    with pytest.raises(ServiceFailedError, match=trouble) as caught:
        await control.start(daemon())

    assert "broken configuration" in str(caught.value.cause)
    await control.stop("daemon")
    assert lab_systemd.units().get("daemon.service") in (None, "inactive/dead")


async def test_a_unit_that_does_its_work_and_ends_is_no_failure(lab_systemd: LabHost, control: ServiceControl) -> None:
    unit(lab_systemd, "/bin/true", Type="oneshot")

    outcome = await control.start(daemon())

    assert outcome.main_pids == ()


async def test_a_unit_that_systemd_skips_by_its_own_condition_is_no_failure(
    lab_systemd: LabHost, control: ServiceControl
) -> None:
    """Debian's rsync is started by its installer and skipped until it is configured."""
    unit(lab_systemd, "/bin/sleep 1000")
    path = lab_systemd.root / "etc/systemd/system/daemon.service"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[Service]", "ConditionPathExists=/etc/none\n[Service]"), encoding="utf-8")

    outcome = await control.start(daemon())

    assert outcome.main_pids == ()
    assert lab_systemd.units().get("daemon.service") in (None, "inactive/dead")


async def test_processes_that_ignore_their_end_or_left_the_unit_are_ended(
    lab_systemd: LabHost, control: ServiceControl
) -> None:
    """KillMode=process leaves the children of the main process alone; we do not."""
    script = f"/bin/sh -c '{DAEMON} 1001 & trap \"\" TERM; {DAEMON} 1002 & exec sleep 1000'"
    unit(lab_systemd, script, KillMode="process", KillSignal="SIGKILL")
    await control.start(daemon())
    async with asyncio.timeout(20):
        while len(daemons(lab_systemd)) < 2:  # noqa: ASYNC110  # another system's process
            await asyncio.sleep(0.02)

    stopped = await control.stop(daemon())

    assert stopped.needed is StopNeed.KILL
    assert daemons(lab_systemd) == []


async def test_a_second_instance_of_the_program_is_left_alone(lab_systemd: LabHost, control: ServiceControl) -> None:
    unit(lab_systemd, f"{DAEMON} 1000")
    unit(lab_systemd, f"{DAEMON} 2000", name="sibling")
    await control.start(daemon())
    sibling = await control.start(Service(name="sibling", exe=DAEMON))

    await control.stop(daemon())

    assert tuple(daemons(lab_systemd)) == sibling.main_pids


async def test_a_masked_unit_cannot_be_started(lab_systemd: LabHost, control: ServiceControl) -> None:
    lab_systemd.run(["systemctl", "mask", "daemon"])

    with pytest.raises(ServiceFailedError, match="systemctl start"):
        await control.start(daemon())


async def test_without_a_unit_the_supervisor_is_taken(lab_systemd: LabHost, control: ServiceControl) -> None:
    service = Service(name="daemon", argv=(DAEMON, "1000"))

    outcome = await control.start(service)
    stopped = await control.stop("daemon")

    assert (outcome.kind, outcome.reason) == (ServiceKind.SUPERVISED, "systemd has no unit for `daemon`")
    assert stopped.needed is StopNeed.INIT
    assert daemons(lab_systemd) == []


@pytest.mark.parametrize("verbs", [(), ("enable",), ("mask",), ("enable", "start")])
async def test_a_recorded_state_is_put_back(
    lab_systemd: LabHost, control: ServiceControl, verbs: tuple[str, ...]
) -> None:
    # A vendor's unit: one in /etc cannot be masked by a link there.
    (lab_systemd.root / "usr/lib/systemd/system").mkdir(parents=True, exist_ok=True)
    unit(lab_systemd, f"{DAEMON} 1000")
    lab_systemd.run(["mv", "/etc/systemd/system/daemon.service", "/usr/lib/systemd/system/daemon.service"])
    await control.reload_units()
    for verb in verbs:
        lab_systemd.run(["systemctl", verb, "daemon"])
    recorded = (await control.state([daemon()]))["daemon"]

    await control.stop(daemon())
    lab_systemd.run(["systemctl", "unmask", "daemon"])
    lab_systemd.run(["systemctl", "disable" if recorded.enabled else "enable", "daemon"])
    if not recorded.active:
        lab_systemd.run(["systemctl", "start", "daemon"])
    await control.restore(recorded, daemon())

    now = (await control.state([daemon()]))["daemon"]
    assert (now.active, now.masked) == (recorded.active, recorded.masked)
    assert recorded.masked or now.enabled == recorded.enabled
    await control.stop(daemon())


async def test_environment_files_are_read_as_systemd_reads_them(lab_systemd: LabHost) -> None:
    text = (
        'A=plain words  \nB="two \'words\'" \nC=\'sin"gle\'\nD=one \\\n  two\nE=a\\ b\\$\n# no\nF="\\"q\\" \\n \\$x"\n'
        '; no\nG="x" "y"\nH=it\'s\nI=\nexport J=1\nK="l1\nl2"\nL=$(touch /x)\nM=say "hi"\n'
    )
    (lab_systemd.root / "etc/default/probe").write_text(text)

    argv = (
        "systemd-run",
        "-q",
        "--wait",
        "--pipe",
        "-p",
        "EnvironmentFile=/etc/default/probe",
        "--",
        "/usr/bin/env",
        "-0",
    )
    result = await run_live(lab_systemd.pid, argv, timeout_s=30)
    found = dict(line.split("=", 1) for line in result.stdout.split("\0") if "=" in line)

    ours = parse_env_file(text)
    assert ours.pop("J") == "1"  # ours alone: files for the shell have it
    assert ours == {name: found.get(name) for name in ours}
