"""Services with init scripts, which are not believed."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import ServiceFailedError
from workflow_agent.model.system import InitKind, Service
from workflow_agent.targets.service_processes import executable_of, processes_of
from workflow_agent.targets.service_state import ServiceKind, StopNeed
from workflow_agent.targets.services import ServiceControl
from workflow_agent.testing.lab import LabHost
from workflow_agent.testing.lab.image import CATALOGUE_PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

DAEMON = "/usr/local/bin/daemon"
NGINX = Service(
    name="nginx",
    argv=("/usr/sbin/nginx", "-g", "daemon off;"),
    exe="/usr/sbin/nginx",
    listens=("tcp/80",),
    reload="HUP",
)


@pytest.fixture
def control(lab_plain: LabHost) -> ServiceControl:
    lab_plain.run(["cp", "/bin/sleep", DAEMON])
    return ServiceControl(lab_plain.pid, InitKind.SYSVINIT, grace_s=0.5)


def init_script(lab: LabHost, *, start: str = ":", stop: str = ":", code: int = 0) -> None:
    path = lab.root / "etc/init.d/daemon"
    path.write_text(
        f"#!/bin/sh\n# pidfile: /run/daemon.pid\ncase $1 in\nstart) {start} ;;\nstop) {stop} ;;\nesac\nexit {code}\n"
    )
    path.chmod(0o755)


def daemon(**more: object) -> Service:
    return Service(name="daemon", argv=(DAEMON, "1000"), exe=DAEMON, **more)  # type: ignore[arg-type]


def daemons(lab: LabHost) -> list[int]:
    program = executable_of(lab.pid, DAEMON)
    return [one.pid for one in processes_of(lab.pid) if program.runs_as(one)]


async def appeared(lab: LabHost) -> None:
    async with asyncio.timeout(20):
        while not daemons(lab):  # noqa: ASYNC110  # another system's process
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_a_packaged_daemon_is_started_reloaded_restarted_and_stopped(lab_plain: LabHost) -> None:
    lab_plain.run(
        ["sh", "-c", "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d"]
    )
    lab_plain.run(["apt-get", "install", "-y", "nginx"])
    control = ServiceControl(lab_plain.pid, InitKind.SYSVINIT)

    before = (await control.state([NGINX]))["nginx"]
    started = await control.start(NGINX)
    await control.reload(NGINX)
    reloaded = (await control.state(["nginx"]))["nginx"]
    restarted = await control.restart(NGINX)
    stopped = await control.stop("nginx")

    assert (before.kind, before.active, before.enabled) == (ServiceKind.SYSVINIT, False, True)
    assert (started.kind, started.was_active) == (ServiceKind.SYSVINIT, False)
    assert reloaded.main_pids == started.main_pids
    assert restarted.was_active
    assert set(restarted.main_pids).isdisjoint(started.main_pids)
    assert stopped.needed is StopNeed.INIT
    assert [process.inner_pid for process in lab_plain.processes()] == [1]


@pytest.mark.parametrize(
    ("start", "code", "reason"),
    [
        ("echo starting is blocked", 0, "returned 0, but no process of it stays: starting is blocked"),
        ("echo no such thing >&2", 7, "returned 7, but no process of it stays: no such thing"),
        (f"setsid {DAEMON} 0.05 &", 0, "returned 0, but no process of it stays"),
    ],
)
async def test_a_script_that_lies_is_replaced_by_our_supervisor(
    lab_plain: LabHost, control: ServiceControl, start: str, code: int, reason: str
) -> None:
    """Trap 1: package scripts print that starting is blocked, and return 0."""
    init_script(lab_plain, start=start, code=code)

    outcome = await control.start(daemon())

    assert outcome.kind is ServiceKind.SUPERVISED
    assert reason in str(outcome.reason)
    assert list(outcome.main_pids) == daemons(lab_plain)
    assert (await control.state([daemon()]))["daemon"].kind is ServiceKind.SUPERVISED
    assert (await control.stop("daemon")).kind is ServiceKind.SUPERVISED
    assert daemons(lab_plain) == []


@pytest.mark.parametrize(
    ("service", "reason"),
    [(daemon(), "there is no init script"), (daemon(sysvinit=False), "known not to work")],
)
async def test_without_a_usable_script_the_supervisor_is_taken_at_once(
    lab_plain: LabHost, control: ServiceControl, service: Service, reason: str
) -> None:
    if not service.sysvinit:
        init_script(lab_plain, start="touch /script-ran", stop="touch /script-ran")

    outcome = await control.start(service)
    await control.stop(service)

    assert reason in str(outcome.reason)
    assert not (lab_plain.root / "script-ran").exists()
    assert daemons(lab_plain) == []


async def test_when_nothing_works_the_error_tells_what_was_tried(lab_plain: LabHost, control: ServiceControl) -> None:
    init_script(lab_plain, start="echo blocked", code=1)
    broken = Service(name="daemon", argv=("/bin/sh", "-c", "echo no configuration; exit 1"), exe=DAEMON)

    with pytest.raises(ServiceFailedError) as caught:
        await control.start(broken)

    assert "blocked" in str(caught.value.state)
    assert "no configuration" in str(caught.value.cause)
    assert daemons(lab_plain) == []


@pytest.mark.parametrize(("trap", "needed"), [("", StopNeed.TERM), ("trap '' TERM;", StopNeed.KILL)])
async def test_a_stop_that_does_nothing_is_completed(
    lab_plain: LabHost, control: ServiceControl, trap: str, needed: StopNeed
) -> None:
    """Trap 7: an init script's stop returns 0 while the daemon goes on."""
    init_script(lab_plain, start=f"({trap} setsid {DAEMON} 1000 &)", stop=":")

    started = await control.start(daemon())
    stopped = await control.stop(daemon())

    assert started.kind is ServiceKind.SYSVINIT
    assert (stopped.needed, stopped.ended) == (needed, started.main_pids)
    assert daemons(lab_plain) == []


async def test_a_limit_that_cannot_be_raised_is_noise(lab_plain: LabHost, control: ServiceControl) -> None:
    """Trap 19: an init script asks for more open files than it may have, says so, and goes on."""
    init_script(lab_plain, start=f"ulimit -n 99999999; ulimit -n 99999999 >&2; setsid {DAEMON} 1000 &")
    said = lab_plain.run(["sh", "-c", "ulimit -n 99999999"], check=False)
    assert "Operation not permitted" in said.stderr

    outcome = await control.start(daemon())

    assert (outcome.kind, outcome.reason) == (ServiceKind.SYSVINIT, None)
    assert list(outcome.main_pids) == daemons(lab_plain)
    assert (await control.stop(daemon())).ended == outcome.main_pids


@pytest.fixture
def packaged(lab: None) -> Iterator[LabHost]:
    """A host with packages of Debian whose init scripts read a defaults file; nothing is started by them."""
    with LabHost("plain", packages=CATALOGUE_PACKAGES) as host:
        host.run(
            ["sh", "-c", "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d"]
        )
        host.run(["apt-get", "install", "-y", "prometheus-node-exporter", "prometheus-postgres-exporter"])
        yield host


def handed_over(lab: LabHost, pid: int) -> tuple[list[str], dict[str, str]]:
    """Give the arguments and the environment with which a process was started."""
    assert pid in {one.pid for one in lab.processes()}
    words, variables = (Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8") for name in ("cmdline", "environ"))
    return words.split("\0")[1:-1], dict(item.partition("=")[::2] for item in variables.split("\0") if item)


@pytest.mark.slow
async def test_what_an_init_script_reads_from_its_defaults_file_reaches_the_service(packaged: LabHost) -> None:
    """Trap 14: the scripts of Debian read the file and export nothing. Where one puts a value into the command line,
    it gets there by the script; where the service needs it in its environment, the script's service ends, and ours
    has it."""
    defaults = packaged.root / "etc/default"
    (defaults / "prometheus-node-exporter").write_text('ARGS="--web.listen-address=:9123 --no-collector.nfs"\n')
    (defaults / "prometheus-postgres-exporter").write_text(
        "ARGS='--web.listen-address=:9124 --disable-settings-metrics'\n"
        "DATA_SOURCE_NAME='user=prometheus host=/run/postgresql dbname=postgres'\n"
    )
    for name in ("prometheus-node-exporter", "prometheus-postgres-exporter"):
        script = (packaged.root / "etc/init.d" / name).read_text()
        assert re.search(r"^\s*export\b", script, re.MULTILINE) is None, "the trap is there"
    control = ServiceControl(packaged.pid, InitKind.SYSVINIT)

    def service(name: str, port: int) -> Service:
        return Service(
            name=name,
            argv=(f"/usr/bin/{name}", "$ARGS"),
            exe=f"/usr/bin/{name}",
            user="prometheus",
            environment_file=f"/etc/default/{name}",
            listens=(f"tcp/{port}",),
        )

    node = await control.start(service("prometheus-node-exporter", 9123))
    postgres = await control.start(service("prometheus-postgres-exporter", 9124))

    assert (node.kind, postgres.kind) == (ServiceKind.SYSVINIT, ServiceKind.SUPERVISED)
    assert "no process of it stays" in str(postgres.reason)
    arguments, variables = handed_over(packaged, node.main_pids[0])
    assert arguments == ["--web.listen-address=:9123", "--no-collector.nfs"]
    assert "ARGS" not in variables, "the script means a word of its own, not the service's environment"
    arguments, variables = handed_over(packaged, postgres.main_pids[0])
    assert arguments == ["--web.listen-address=:9124", "--disable-settings-metrics"]
    assert variables["DATA_SOURCE_NAME"] == "user=prometheus host=/run/postgresql dbname=postgres"
    for name in ("prometheus-node-exporter", "prometheus-postgres-exporter"):
        await control.stop(service(name, 0))


async def test_a_daemon_started_by_hand_counts_as_running(lab_plain: LabHost, control: ServiceControl) -> None:
    init_script(lab_plain, start="touch /script-ran")
    lab_plain.run(["start-stop-daemon", "--start", "--background", "--exec", DAEMON, "--", "1000"])
    await appeared(lab_plain)

    outcome = await control.start(daemon())

    assert (outcome.was_active, list(outcome.main_pids)) == (True, daemons(lab_plain))
    assert not (lab_plain.root / "script-ran").exists()


async def test_a_pid_file_names_the_process_unless_it_is_older(lab_plain: LabHost, control: ServiceControl) -> None:
    """After a crash the id in a pid file may belong to somebody else."""
    init_script(lab_plain, start=f"{DAEMON} 1000 & echo $! >/run/daemon.pid")
    await control.start(daemon())
    fresh = (await control.state(["daemon"]))["daemon"]
    suffixed = (await control.state(["daemon.service"]))["daemon.service"]

    lab_plain.run(["touch", "-d", "2001-01-01", "/run/daemon.pid"])
    stale = (await control.state(["daemon"]))["daemon"]

    assert (fresh.active, list(fresh.main_pids)) == (True, daemons(lab_plain))
    assert (suffixed.kind, suffixed.main_pids) == (fresh.kind, fresh.main_pids)
    assert not stale.active
    assert (await control.stop("daemon")).needed is StopNeed.NOTHING
    assert len(daemons(lab_plain)) == 1


async def test_the_old_program_is_still_recognised_after_its_file_was_replaced(
    lab_plain: LabHost, control: ServiceControl
) -> None:
    """Traps 5 and 6: files are removed or replaced under a running process."""
    init_script(lab_plain, start=f"setsid {DAEMON} 1000 &")
    old = (await control.start(daemon())).main_pids
    lab_plain.run(["sh", "-c", f"cp /bin/sleep {DAEMON}.new && mv {DAEMON}.new {DAEMON}"])

    stopped = await control.stop(daemon())

    assert (stopped.ended, stopped.needed) == (old, StopNeed.TERM)
    assert daemons(lab_plain) == []


async def test_a_daemon_that_is_a_script_is_recognised_by_its_path(lab_plain: LabHost, control: ServiceControl) -> None:
    script = lab_plain.root / "usr/local/bin/scripted"
    script.write_text("#!/bin/sh\nwhile :; do sleep 0.1; done\n")
    script.chmod(0o755)
    init_script(lab_plain, start="setsid /usr/local/bin/scripted &")
    service = Service(name="daemon", exe="/usr/local/bin/scripted")
    lab_plain.run(["sh", "-c", "setsid sh -c 'while :; do sleep 0.1; done' >/dev/null 2>&1 &"])
    await control.start(service)

    state = (await control.state([service]))["daemon"]
    await control.stop(service)

    assert len(state.main_pids) == 1
    assert not (await control.state([service]))["daemon"].active
    assert any("while" in " ".join(one.arguments) for one in lab_plain.processes())


async def test_whether_it_starts_by_itself_is_read_from_runlevels_and_put_back(
    lab_plain: LabHost, control: ServiceControl
) -> None:
    init_script(lab_plain)
    header = "### BEGIN INIT INFO\n# Provides: daemon\n# Default-Start: 2 3\n# Default-Stop: 0\n### END INIT INFO\n"
    script = lab_plain.root / "etc/init.d/daemon"
    script.write_text(script.read_text().replace("# pidfile", header + "# pidfile"))
    before = (await control.state(["daemon"]))["daemon"]
    lab_plain.run(["update-rc.d", "daemon", "defaults"])
    enabled = (await control.state(["daemon"]))["daemon"]

    await control.restore(before)
    disabled = (await control.state(["daemon"]))["daemon"]
    await control.restore(enabled)

    assert (before.enabled, enabled.enabled, disabled.enabled) == (False, True, False)
    assert (await control.state(["daemon"]))["daemon"].enabled


async def test_the_services_of_another_host_are_none_of_ours(lab_plain: LabHost, control: ServiceControl) -> None:
    init_script(lab_plain, start=f"setsid {DAEMON} 1000 &")
    await control.start(daemon())

    with LabHost("plain") as other:
        other.run(["cp", "/bin/sleep", DAEMON])
        elsewhere = ServiceControl(other.pid, InitKind.SYSVINIT)
        state = (await elsewhere.state([daemon()]))["daemon"]
        stopped = await elsewhere.stop(daemon())

    assert not state.active
    assert stopped.needed is StopNeed.NOTHING
    assert len(daemons(lab_plain)) == 1
