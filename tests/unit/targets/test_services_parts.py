"""The parts of service control that need no host."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.model.errors import ParameterError
from workflow_agent.model.system import InitKind, Service
from workflow_agent.targets.accounts import account, group_id
from workflow_agent.targets.service_processes import (
    Executable,
    RunningProcess,
    descendants_of,
    end_processes,
    executable_of,
    is_listening,
    is_running,
    processes_of,
    started_at,
)
from workflow_agent.targets.service_state import ServiceKind, checked_name
from workflow_agent.targets.service_systemd import (
    in_unit,
    is_enabled,
    is_masked,
    reload_program,
    trouble_of,
    unit_name,
)
from workflow_agent.targets.service_sysvinit import exe_path, is_process_of, pid_file_candidates
from workflow_agent.targets.services import ServiceControl
from workflow_agent.targets.supervise_program import RESTARTS_PER_MINUTE, restart_due


def process(pid: int = 7, **more: object) -> RunningProcess:
    values = {"parent": 1, "started": 0, "exe": None, "exe_path": "", "argv": (), "root": None, "control_groups": ""}
    return RunningProcess(pid=pid, **{**values, **more})  # type: ignore[arg-type]


def own_process() -> RunningProcess:
    return next(one for one in processes_of(0) if one.pid == os.getpid())


# -- names, units


@pytest.mark.parametrize("name", ["nginx", "a@b.service", "dev-disk\\x2d1", "_x", "9p"])
def test_names_of_services_pass(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "-h", "../x", "a/b", "a b", "a\n", "a;b", "$(x)", "é", "a" * 300, "a\0", "."])
def test_anything_else_is_refused(name: str) -> None:
    with pytest.raises(ParameterError):
        checked_name(name)


def test_a_unit_is_a_service_unless_it_says_otherwise() -> None:
    assert [unit_name(name) for name in ("nginx", "a.socket", "b.c")] == ["nginx.service", "a.socket", "b.c.service"]


@pytest.mark.parametrize(
    ("state", "enabled", "masked"),
    [
        ("enabled", True, False),
        ("disabled", False, False),
        ("static", None, False),
        ("generated", None, False),
        ("masked", False, True),
        ("masked-runtime", False, True),
        ("", None, False),
    ],
)
def test_enabled_and_masked_are_read_from_the_unit_file_state(state: str, enabled: bool | None, masked: bool) -> None:
    assert (is_enabled({"UnitFileState": state}), is_masked({"UnitFileState": state})) == (enabled, masked)


@pytest.mark.parametrize(
    ("now", "trouble"),
    [
        ({"ActiveState": "active", "SubState": "running"}, None),
        ({"ActiveState": "reloading"}, None),
        ({"ActiveState": "inactive", "Type": "oneshot", "Result": "success"}, None),
        ({"ActiveState": "inactive", "Type": "simple", "Result": "success"}, "inactive"),
        ({"ActiveState": "inactive", "Type": "simple", "Result": "success", "ConditionResult": "yes"}, "inactive"),
        ({"ActiveState": "inactive", "Type": "simple", "Result": "success", "ConditionResult": "no"}, None),
        ({"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "3"}, "exit status 3"),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, "restarting"),
        ({"ActiveState": "active", "SubState": "running", "NRestarts": "5"}, "restarting"),
        ({"ActiveState": "active", "SubState": "running", "NRestarts": "[not set]"}, None),
        ({}, "unknown"),
    ],
)
def test_a_restart_loop_is_seen_although_the_unit_is_active(now: dict[str, str], trouble: str | None) -> None:
    found = trouble_of({"NRestarts": "2"}, now)

    assert found is None if trouble is None else trouble in str(found)


@pytest.mark.parametrize(
    ("groups", "group", "inside"),
    [
        ("0::/system.slice/a.service\n", "/system.slice/a.service", True),
        ("0::/outer/system.slice/a.service/sub\n", "/system.slice/a.service", True),
        ("1:name=systemd:/system.slice/aa.service\n", "/system.slice/a.service", False),
        ("0::/\n", "/", False),
        ("0::/\n", "", False),
    ],
)
def test_membership_is_read_from_the_control_group(groups: str, group: str, inside: bool) -> None:
    assert inside is in_unit(process(control_groups=groups), group)


def test_the_program_that_reloads_a_unit_is_found() -> None:
    told = "{ path=/bin/kill ; argv[]=/bin/kill -HUP $MAINPID ; ignore_errors=no }"

    assert reload_program({"CanReload": "yes", "ExecReload": told}) == "/bin/kill"
    assert reload_program({"CanReload": "no", "ExecReload": told}) is None
    assert reload_program({"CanReload": "yes"}) is None


# -- init scripts


def test_places_of_pid_files_are_read_from_the_script_first() -> None:
    script = '# pidfile: /run/one.pid\nNAME=other\nPIDFILE="/run/$NAME/x.pid"\nPIDFILE=/run/${UNKNOWN}.pid\n'

    assert pid_file_candidates("svc", script) == [
        "/run/one.pid",
        "/run/other/x.pid",
        "/run/other.pid",
        "/run/svc.pid",
        "/run/svc/svc.pid",
    ]
    assert pid_file_candidates("svc", "") == ["/run/svc.pid", "/run/svc/svc.pid"]


@pytest.mark.parametrize(
    ("script", "first"),
    [
        ("NAME=dbus\nPIDDIR=/var/run/dbus\nPIDFILE=$PIDDIR/pid\n", "/var/run/dbus/pid"),
        ('NAME=a\nDIR=/run/${NAME}\n  PIDFILE="$DIR/$NAME.pid"\n', "/run/a/a.pid"),
        ("DIR=/run/first\nif x; then\n  DIR=/run/second\nfi\nPIDFILE=$DIR/pid\n", "/run/first/pid"),
        ("DIR=$(mktemp)\nPIDFILE=$DIR/pid\n", "/run/svc.pid"),
        ("A=$B\nB=$A\nPIDFILE=$A/pid\n", "/run/svc.pid"),
        ("DIR=run\nPIDFILE=$DIR/pid\n", "/run/svc.pid"),
    ],
)
def test_a_pid_file_may_be_named_by_variables(script: str, first: str) -> None:
    assert pid_file_candidates("svc", script)[0] == first


def test_the_program_is_the_manifests_or_the_commands() -> None:
    assert exe_path(Service(name="a", exe="/x", argv=("/y",))) == "/x"
    assert exe_path(Service(name="a", argv=("/y", "z"))) == "/y"
    assert exe_path(Service(name="a", argv=("y",))) is None
    assert exe_path(Service(name="a")) is None


# -- processes


def test_this_process_is_found_with_its_program_and_arguments() -> None:
    own = own_process()

    found = Path("/proc/self/exe").stat()
    assert own.exe == (found.st_dev, found.st_ino)
    assert own.parent == os.getppid()
    assert own.argv
    assert is_running(own)
    assert abs(started_at(own) - Path("/proc/self").stat().st_ctime) < 5
    assert executable_of(0, os.path.realpath(sys.executable)).runs_as(own)


def test_a_missing_program_is_recognised_only_by_a_deleted_file_of_its_path() -> None:
    program = executable_of(0, "/none/such")
    root = program.root

    assert program.inode is None
    assert program.runs_as(process(exe=(1, 2), exe_path="/none/such (deleted)", root=root))
    assert not program.runs_as(process(exe=(1, 2), exe_path="/none/such (deleted)", root=(0, 0)))
    assert not program.runs_as(process(exe=(1, 2), exe_path="/none/such", root=root))


def test_descendants_are_found_nearest_first() -> None:
    listed = [process(pid, parent=parent) for pid, parent in ((5, 4), (3, 2), (4, 2), (6, 1))]

    assert [one.pid for one in descendants_of(2, listed)] == [3, 4, 5]


async def test_a_process_is_asked_and_then_killed() -> None:
    polite = subprocess.Popen(["sleep", "100"])  # noqa: ASYNC220
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    stubborn = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)  # noqa: ASYNC220
    assert stubborn.stdout is not None
    await asyncio.to_thread(stubborn.stdout.readline)
    listed = [one for one in processes_of(0) if one.pid in (polite.pid, stubborn.pid)]

    killed, survivors = await end_processes(listed, grace_s=0.3)

    assert ([one.pid for one in killed], survivors) == ([stubborn.pid], [])
    assert (polite.wait(), stubborn.wait()) == (-signal.SIGTERM, -signal.SIGKILL)
    stubborn.stdout.close()
    assert not any(is_running(one) for one in listed)
    assert await end_processes(listed) == ([], [])


def test_a_port_counts_when_the_process_itself_holds_it() -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for one in (tcp, udp):
            one.bind(("127.0.0.1", 0))
        ports = [f"tcp/{tcp.getsockname()[1]}", f"udp/{udp.getsockname()[1]}"]

        assert not is_listening([own_process()], ports)
        tcp.listen()
        assert is_listening([own_process()], ports)
        assert not is_listening([process(1)], ports)
        assert not is_listening([process(2**22 - 3)], ports)


# -- the supervisor's parts


def test_the_first_restart_is_soon_and_the_next_wait_doubles() -> None:
    assert restart_due(100.0, []) == pytest.approx(100.2)
    assert restart_due(100.0, [99.0]) == pytest.approx(100.4)
    assert restart_due(100.0, [30.0]) == pytest.approx(100.2)


@given(st.lists(st.floats(0.01, 90), min_size=1, max_size=30))
def test_never_more_than_five_restarts_fall_into_a_minute(lives: list[float]) -> None:
    now = 0.0
    restarts: list[float] = []
    for life in lives:
        now = restart_due(now + life, restarts)
        restarts.append(now)

    for index in range(len(restarts) - RESTARTS_PER_MINUTE):
        assert restarts[index + RESTARTS_PER_MINUTE] - restarts[index] >= 60 - 1e-6


def test_accounts_come_from_the_files_of_the_target(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_bytes(
        b"broken\nsvc:x:12:34::/home/svc:/bin/sh\nodd:x:x:y:::\nbare:x:5:6:::\n\xff:x:1:1:::\n"
    )
    (tmp_path / "group").write_text("one:x:34:\ntwo:x:56:other,svc\nthree:x:78:svc\nodd:x:y:svc\n")
    etc = str(tmp_path)

    found = account("svc", etc)

    assert (found.name, found.uid, found.gid, found.home, found.groups) == ("svc", 12, 34, "/home/svc", (34, 56, 78))
    assert account("12", etc) == found
    assert account("bare", etc).home == "/"
    assert (group_id("two", etc), group_id("56", etc)) == (56, 56)
    for name in ("nobody", "odd", ""):
        with pytest.raises(LookupError):
            account(name, etc)
    with pytest.raises(LookupError):
        group_id("odd", etc)


def test_the_superuser_exists_without_files(tmp_path: Path) -> None:
    assert account("root", str(tmp_path)).uid == 0
    assert group_id("root", str(tmp_path)) == 0


# -- the face


async def test_an_unknown_service_is_absent(tmp_path: Path) -> None:
    control = ServiceControl(0, InitKind.NONE, str(tmp_path))

    state = (await control.state(["no-such-service-here"]))["no-such-service-here"]

    assert (state.kind, state.active, state.main_pids) == (ServiceKind.ABSENT, False, ())
    assert await control.leftover_processes({(0, 0)}) == []
    await control.reload_units()
    assert repr(control) == "ServiceControl(pid=0, init=none)"


async def test_a_hostile_name_never_reaches_a_command() -> None:
    control = ServiceControl(0, InitKind.SYSTEMD)

    for call in (control.state(["-h"]), control.stop("a/../b"), control.start(Service(name="a b"))):
        with pytest.raises(ParameterError):
            await call


def test_others_that_run_the_same_interpreter_are_no_processes_of_a_service() -> None:
    service = Service(name="a", exe="/usr/bin/perl", argv=("/usr/bin/perl", "/opt/a.pl", "1"))
    program = Executable(path="/usr/bin/perl", root=(0, 0), inode=(1, 2))
    mine = process(exe=(1, 2), argv=("/usr/bin/perl", "/opt/a.pl", "1"))
    other = process(exe=(1, 2), argv=("perl", "-e", "1"))

    assert is_process_of(service, program, mine)
    assert not is_process_of(service, program, other)
    assert is_process_of(Service(name="a", exe="/usr/bin/perl", argv=("/usr/bin/perl", "-v")), program, other)


def test_a_daemon_that_shows_a_title_in_place_of_its_arguments_is_known_by_its_program() -> None:
    service = Service(name="redis", exe="/usr/bin/redis-server", argv=("/usr/bin/redis-server", "/etc/redis.conf"))
    program = Executable(path="/usr/bin/redis-server", root=(0, 0), inode=(1, 2))

    assert is_process_of(service, program, process(exe=(1, 2), argv=("/usr/bin/redis-server 127.0.0.1:6379",)))
