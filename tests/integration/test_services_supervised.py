"""Services on a host without an init system, kept by our supervisor."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import ServiceFailedError
from workflow_agent.model.system import InitKind, Service
from workflow_agent.targets.service_processes import executable_of, processes_of, wait_until_gone
from workflow_agent.targets.service_state import ServiceKind, StopNeed
from workflow_agent.targets.services import ServiceControl

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflow_agent.testing.lab import LabContainer, LabHost

DAEMON = "/usr/local/bin/daemon"
FOLDER = "run/workflow-agent/services/daemon"

STARTER = """
import asyncio, json, sys
from workflow_agent.model.system import InitKind, Service
from workflow_agent.targets.services import ServiceControl
pid, spec = int(sys.argv[1]), json.loads(sys.argv[2])
control = ServiceControl(pid, InitKind.NONE)
outcome = asyncio.run(control.start(Service(name="daemon", argv=tuple(spec))))
print(json.dumps(list(outcome.main_pids)))
"""


@pytest.fixture
def control(lab_plain: LabHost) -> ServiceControl:
    lab_plain.run(["cp", "/bin/sleep", DAEMON])
    return ServiceControl(lab_plain.pid, InitKind.NONE, grace_s=0.5)


def daemon(*argv: str, **more: object) -> Service:
    return Service(name="daemon", argv=argv or (DAEMON, "1000"), exe=DAEMON, **more)  # type: ignore[arg-type]


def log(lab: LabHost) -> str:
    return (lab.root / FOLDER / "log").read_text()


async def until_logged(lab: LabHost, text: str) -> str:
    async with asyncio.timeout(20):
        while text not in log(lab):  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.02)
    return log(lab)


def supervisor_state(lab: LabHost) -> dict[str, object]:
    told = json.loads((lab.root / FOLDER / "state").read_text())
    assert isinstance(told, dict)
    return told


def daemons(lab: LabHost) -> list[int]:
    program = executable_of(lab.pid, DAEMON)
    return [one.pid for one in processes_of(lab.pid) if program.runs_as(one)]


async def until_alone(lab: LabHost) -> None:
    """Wait until nothing but the first process runs: a program of ours may just be ending."""
    for _ in range(200):
        if len(lab.processes()) == 1:
            break
        await asyncio.sleep(0.05)
    assert [process.inner_pid for process in lab.processes()] == [1]


async def test_a_service_is_started_found_and_stopped(lab_plain: LabHost, control: ServiceControl) -> None:
    outcome = await control.start(daemon())
    again = await control.start(daemon())
    state = (await control.state(["daemon"]))["daemon"]
    stopped = await control.stop("daemon")

    assert (outcome.kind, outcome.was_active, outcome.reason) == (ServiceKind.SUPERVISED, False, None)
    assert again.was_active
    assert (state.kind, state.active, state.main_pids) == (ServiceKind.SUPERVISED, True, outcome.main_pids)
    assert (stopped.needed, stopped.ended) == (StopNeed.INIT, outcome.main_pids)
    await until_alone(lab_plain)
    assert (await control.state(["daemon"]))["daemon"].kind is ServiceKind.ABSENT
    assert (await control.stop("daemon")).needed is StopNeed.NOTHING


@pytest.mark.parametrize("init", ["true", "false"])
async def test_what_a_container_lives_by_is_never_stopped(
    docker_container: Callable[..., LabContainer], init: str
) -> None:
    """It may be the very program that a service runs, with and without a small init as its first process."""
    container = docker_container(options=(f"--init={init}",))
    lives_by = [(one.pid, one.program) for one in container.processes()]
    program = lives_by[-1][1]
    service = Service(name="same", argv=(program, "1000"), exe=program)
    control = ServiceControl(container.pid, InitKind.NONE, grace_s=0.5)

    assert not (await control.state([service]))["same"].active
    first = await control.start(service)
    second = await control.restart(service)
    stopped = await control.stop(service)

    assert first.main_pids != second.main_pids == stopped.ended
    assert [(one.pid, one.program) for one in container.processes()] == lives_by


async def test_it_survives_its_starter_and_is_stopped_by_another_process(
    lab_plain: LabHost, control: ServiceControl
) -> None:
    argv = [sys.executable, "-c", STARTER, str(lab_plain.pid), json.dumps([DAEMON, "1000"])]
    started = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=True)

    state = (await control.state(["daemon"]))["daemon"]
    stopped = await control.stop("daemon")

    assert json.loads(started.stdout) == list(state.main_pids)
    assert state.active
    assert stopped.needed is StopNeed.INIT
    assert daemons(lab_plain) == []


async def test_it_runs_with_its_user_groups_environment_arguments_and_folders(
    lab_plain: LabHost, control: ServiceControl
) -> None:
    lab_plain.run(["useradd", "--uid", "1234", "-M", "-d", "/nonexistent", "svc"])
    lab_plain.run(["groupadd", "--gid", "4321", "extra"])
    lab_plain.run(["usermod", "-a", "-G", "extra", "svc"])
    (lab_plain.root / "etc/default/daemon").write_text("ARGS=\"--one 'two three' $(touch /bad)\"\nKEY=value\n")
    script = 'id -u; id -G; echo "key=$KEY home=$HOME"; printf "<%s>" "$@"; echo; exec /usr/local/bin/daemon 1000'

    outcome = await control.start(
        daemon(
            "/bin/sh", "-c", script, "sh", "$ARGS", "${KEY}/x",
            user="svc",
            environment_file="/etc/default/daemon",
            directories=({"path": "/srv/data/deep", "owner": "svc:extra", "mode": "0750"}, {"path": "/srv"}),
        )
    )  # fmt: skip

    words = await until_logged(lab_plain, "value/x")
    assert "1234\n1234 4321\nkey=value home=/nonexistent\n<--one><two three><$(touch><" in words
    assert not (lab_plain.root / "bad").exists()
    assert outcome.created_directories == ("/srv/data",)
    made = (lab_plain.root / "srv/data/deep").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o7777) == (1234, 4321, 0o750)
    await control.stop(daemon())


async def test_the_supervisor_holds_no_descriptor_environment_or_root_of_its_starter(
    lab_plain: LabHost, control: ServiceControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "canary")
    await control.start(daemon())

    supervisor, service = [one for one in lab_plain.processes() if one.inner_pid != 1]

    environments = [_proc(one.pid, "environ") for one in (supervisor, service)]
    assert all(b"canary" not in environment for environment in environments)
    held = lab_plain.run(["sh", "-c", f"ls -l /proc/{supervisor.inner_pid}/fd /proc/{supervisor.inner_pid}/cwd"]).stdout
    assert "pipe:" not in held
    assert "cwd -> /\n" in held
    await control.stop(daemon())


def _proc(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


async def test_a_service_that_ends_later_is_started_again(lab_plain: LabHost, control: ServiceControl) -> None:
    outcome = await control.start(daemon())
    lab_plain.run(["sh", "-c", f"kill -9 {_inner(lab_plain, outcome.main_pids[0])}"])

    async with asyncio.timeout(20):
        while (told := supervisor_state(lab_plain))["restarts"] == 0:  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.02)

    state = (await control.state(["daemon"]))["daemon"]
    assert (told["restarts"], told["last_exit"], told["status"]) == (1, "signal 9", "running")
    assert state.active
    assert state.main_pids != outcome.main_pids
    await control.stop(daemon())


def _inner(lab: LabHost, pid: int) -> int:
    return next(one.inner_pid for one in lab.processes() if one.pid == pid)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("/bin/sh", "-c", "echo it is broken >&2; exit 3"), "it is broken"),
        (("/usr/local/bin/missing",), "missing"),
        (("/etc/passwd",), "Permission denied"),
    ],
)
async def test_a_service_that_dies_at_once_is_an_error_with_its_last_words(
    lab_plain: LabHost, control: ServiceControl, argv: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ServiceFailedError) as caught:
        await control.start(daemon(*argv))

    assert words in str(caught.value.cause)
    await until_alone(lab_plain)


@pytest.mark.parametrize(
    ("service", "cause"),
    [
        (daemon(user="nobody-such"), "nobody-such"),
        (daemon(environment_file="/etc/default/missing"), "/etc/default/missing"),
        (daemon(directories=({"path": "/srv/x", "owner": "root:none-such"},)), "none-such"),
        (Service(name="daemon"), "argv"),
    ],
)
async def test_what_a_service_needs_and_has_not_is_named(
    lab_plain: LabHost, control: ServiceControl, service: Service, cause: str
) -> None:
    with pytest.raises(ServiceFailedError) as caught:
        await control.start(service)

    assert cause in f"{caught.value.cause} {caught.value.hint}"
    await until_alone(lab_plain)


async def test_a_missing_environment_file_is_allowed_where_the_manifest_says_so(
    lab_plain: LabHost, control: ServiceControl
) -> None:
    outcome = await control.start(daemon(environment_file="-/etc/default/missing"))

    assert outcome.main_pids
    await control.stop(daemon())


async def test_daemons_that_fork_away_are_kept_and_stopped(lab_plain: LabHost, control: ServiceControl) -> None:
    away = ("/bin/sh", "-c", f"(setsid {DAEMON} 1000 &) ; (setsid {DAEMON} 1001 &) ; exit 0")

    outcome = await control.start(daemon(*away))
    stopped = await control.stop("daemon")

    assert len(outcome.main_pids) == 2
    assert (set(stopped.ended), stopped.needed) == (set(outcome.main_pids), StopNeed.INIT)
    assert daemons(lab_plain) == []


async def test_processes_outlive_a_killed_supervisor_and_are_found_by_their_program(
    lab_plain: LabHost, control: ServiceControl
) -> None:
    """The supervisor's own grace is ten seconds; without it ours counts."""
    stubborn = ("/bin/sh", "-c", f"trap '' TERM; exec {DAEMON} 1000")
    await control.start(daemon(*stubborn))
    supervisor = next(one for one in lab_plain.processes() if "supervise_program" in " ".join(one.arguments))
    dying = [one for one in processes_of(lab_plain.pid) if one.pid == supervisor.pid]
    lab_plain.run(["sh", "-c", f"kill -9 {supervisor.inner_pid}"])
    assert await wait_until_gone(dying, 20) == []

    state = (await control.state([daemon()]))["daemon"]
    stopped = await control.stop(daemon())

    assert (state.kind, state.active) == (ServiceKind.ABSENT, True)
    assert stopped.needed is StopNeed.KILL
    assert daemons(lab_plain) == []


@pytest.mark.slow
async def test_the_supervisor_kills_what_ignores_its_request(lab_plain: LabHost, control: ServiceControl) -> None:
    await control.start(daemon("/bin/sh", "-c", f"trap '' TERM; exec {DAEMON} 1000"))

    stopped = await control.stop("daemon")

    assert stopped.needed is StopNeed.INIT
    assert daemons(lab_plain) == []


async def test_leftovers_are_found_by_the_files_that_they_run(lab_plain: LabHost, control: ServiceControl) -> None:
    outcome = await control.start(daemon())
    program = executable_of(lab_plain.pid, DAEMON)
    assert program.inode is not None

    (lab_plain.root / DAEMON.lstrip("/")).unlink()
    left = await control.leftover_processes({program.inode})
    state = (await control.state([daemon()]))["daemon"]

    assert tuple(one.pid for one in left) == outcome.main_pids
    assert state.active
    await control.stop(daemon())
    assert await control.leftover_processes({program.inode}) == []


async def test_a_state_before_is_put_back(lab_plain: LabHost, control: ServiceControl) -> None:
    stopped = (await control.state([daemon()]))["daemon"]
    await control.start(daemon())
    running = (await control.state([daemon()]))["daemon"]

    await control.restore(stopped, daemon())
    assert daemons(lab_plain) == []
    await control.restore(running, daemon())
    assert len(daemons(lab_plain)) == 1
    await control.stop(daemon())


@pytest.mark.parametrize("way", ["HUP", "sighup", "sh -c 'kill -HUP $(cat /run/main)'"])
async def test_a_reload_reaches_the_main_process(lab_plain: LabHost, control: ServiceControl, way: str) -> None:
    script = f"trap 'echo again' HUP; echo $$ >/run/main; echo ready; while :; do {DAEMON} 0.05; done"
    service = daemon("/bin/sh", "-c", script, reload=way)
    outcome = await control.start(service)
    await until_logged(lab_plain, "ready")

    await control.reload(service)

    assert "again" in await until_logged(lab_plain, "again")
    assert (await control.state([service]))["daemon"].main_pids == outcome.main_pids
    await control.stop(service)


async def test_a_reload_that_ends_or_misses_the_service_is_an_error(control: ServiceControl) -> None:
    with pytest.raises(ServiceFailedError, match="no process"):
        await control.reload(daemon(reload="HUP"))
    await control.start(daemon())

    with pytest.raises(ServiceFailedError, match="false"):
        await control.reload(daemon(reload="false"))
    with pytest.raises(ServiceFailedError, match="ended"):
        await control.reload(daemon(reload="TERM"))

    await control.stop(daemon())


async def test_a_service_without_a_way_to_reload_is_restarted(control: ServiceControl) -> None:
    outcome = await control.start(daemon())

    await control.reload(daemon())

    state = (await control.state([daemon()]))["daemon"]
    assert state.active
    assert state.main_pids != outcome.main_pids
    await control.stop(daemon())


async def test_a_real_exporter_serves_at_once(lab_plain: LabHost) -> None:
    lab_plain.run(
        ["sh", "-c", "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d"]
    )
    lab_plain.run(["apt-get", "install", "-y", "prometheus-node-exporter"])
    control = ServiceControl(lab_plain.pid, InitKind.NONE)
    exporter = Service(
        name="prometheus-node-exporter",
        argv=("/usr/bin/prometheus-node-exporter", "--web.listen-address=:9123", "$ARGS"),
        user="prometheus",
        environment_file="/etc/default/prometheus-node-exporter",
        listens=("tcp/9123",),
    )

    outcome = await control.start(exporter)

    ran = next(one for one in lab_plain.processes() if one.pid == outcome.main_pids[0])
    assert ran.program == "/usr/bin/prometheus-node-exporter"
    assert ran.uid != 0
    assert f":{9123:04X} " in _listening(lab_plain)
    assert (await control.stop(exporter)).needed is StopNeed.INIT
    assert f":{9123:04X} " not in _listening(lab_plain)


def _listening(lab: LabHost) -> str:
    root: Path = lab.root
    tables = (root.parent / "net/tcp", root.parent / "net/tcp6")
    lines = (line for table in tables for line in table.read_text().splitlines())
    return "\n".join(line for line in lines if " 0A " in line)


async def test_a_command_that_ignores_hangups_starts_services_that_hear_them(
    lab_plain: LabHost, control: ServiceControl
) -> None:
    script = f"trap 'echo again' HUP; echo ready; while :; do {DAEMON} 0.05; done"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as below nohup(1)
    try:
        service = daemon("/bin/sh", "-c", script, reload="HUP")
        await control.start(service)
        await until_logged(lab_plain, "ready")

        await control.reload(service)

        assert "again" in await until_logged(lab_plain, "again")
    finally:
        signal.signal(signal.SIGHUP, before)
        await control.stop(daemon())
