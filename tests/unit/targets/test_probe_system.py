"""Accounts, sockets and processes are read from files of the system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_agent.targets.probe_system import (
    Process,
    account_ids,
    account_names,
    processes,
    runs_program,
    same_file,
    socket_owners,
)


def test_accounts_are_read_without_the_c_library(tmp_path: Path) -> None:
    path = tmp_path / "passwd"
    path.write_text("root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\n+\nbad:x:y\nwww:x:33:33\n\n")

    assert account_ids(str(path)) == {"root": 0, "toor": 0, "www": 33}
    assert account_names(str(path)) == {0: "root", 33: "www"}
    assert account_ids(str(tmp_path / "missing")) == {}


def test_a_process_without_a_readable_program_runs_no_known_program() -> None:
    process = Process(os.getpid(), 1, "x", None, "x", 0, 1)

    assert not runs_program(process, str(Path("/proc/self/exe").readlink()))


def test_a_process_runs_the_file_whatever_its_link_says() -> None:
    own = str(Path("/proc/self/exe").readlink())

    assert runs_program(Process(os.getpid(), 1, "x", "/elsewhere", "x", 0, 1), own)
    assert runs_program(Process(os.getpid(), 1, "x", "/usr/bin/gone (deleted)", "x", 0, 1), "/usr/bin/gone")
    assert not runs_program(Process(os.getpid(), 1, "x", "/a/usr/bin/gone", "x", 0, 1), "/usr/bin/gone")
    assert not same_file(os.getpid(), "/no/such/file")


def test_owners_of_unknown_sockets_are_nobody() -> None:
    assert socket_owners({0}) == {}


def test_what_a_check_itself_started_is_none_of_the_processes_however_deep() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        deep = int(shell.stdout.readline())
        seen = {process.pid for process in processes()}
        without = {process.pid for process in processes({os.getpid()})}
        os.kill(deep, 9)

    assert {shell.pid, deep, os.getpid()} <= seen
    assert not {shell.pid, deep, os.getpid()} & without


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its root folder")
def test_a_daemon_that_locked_itself_into_a_folder_is_seen(tmp_path: Path) -> None:
    code = "import os, sys; os.chroot(sys.argv[1]); print(flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        seen = {process.pid for process in processes()}
        daemon.communicate("")

    assert daemon.pid in seen


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes mount namespaces")
def test_a_container_is_not_seen(tmp_path: Path) -> None:
    """Its root folder is a mount of its own, whatever its name is there."""
    script = 'mount -t tmpfs none "$1" && cd "$1" && mkdir old && pivot_root . old && echo && read _'
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as container:
        assert container.stdout is not None
        container.stdout.readline()
        seen = {process.pid for process in processes()}
        container.communicate("\n")

    assert container.returncode == 0
    assert container.pid not in seen
