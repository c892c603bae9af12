"""Lab containers: real, throw-away, from the same trees as lab hosts."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import UnreachableError
from workflow_agent.testing.lab import LabContainer, diff
from workflow_agent.testing.lab.engine import docker, ensure_engine, install_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    Containers = Callable[..., LabContainer]


def _engines() -> int:
    found = 0
    for place in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # it ended meanwhile
            found += place.read_text(encoding="utf-8") == "dockerd\n"
    return found


@pytest.mark.parametrize(("kind", "init"), [("plain", "docker-init"), ("systemd", "systemd")])
def test_a_container_runs_its_init_and_commands(docker_container: Containers, kind: str, init: str) -> None:
    container = docker_container(kind)

    assert Path(container.processes()[0].program).name == init
    assert container.run(["cat", "/etc/hostname"]).stdout == "lab\n"
    assert container.target == f"docker:{container.name}"
    assert container.inspect()["State"]["Pid"] == container.pid
    assert bool(container.units()) is (kind == "systemd")


def test_packages_install_without_a_network_and_the_digest_sees_them(docker_container: Containers) -> None:
    container = docker_container("plain", options=("--network=none",))
    before = container.digest()

    container.run(["apt-get", "install", "-y", "prometheus-node-exporter"])

    changes = diff(before, container.digest())
    assert "created: /usr/bin/prometheus-node-exporter" in changes


def test_it_is_gone_afterwards_and_may_be_stopped_twice(engine: None) -> None:
    with LabContainer() as container:
        name = container.name
    container.stop()

    assert name not in docker("ps", "--all", "--format", "{{.Names}}").split()
    with pytest.raises(UnreachableError):
        _ = container.pid


def test_a_restart_keeps_the_container_and_a_recreation_does_not(docker_container: Containers) -> None:
    container = docker_container("plain")
    first, pid = container.id, container.pid
    (container.root / "etc/mark").write_text("x")

    container.halt()
    assert container.inspect()["State"]["Status"] == "exited"
    container.restart()
    assert (container.id, (container.root / "etc/mark").exists(), container.pid != pid) == (first, True, True)
    container.recreate()

    assert container.id != first
    assert not (container.root / "etc/mark").exists()


def test_the_container_of_a_test_that_was_killed_goes_with_the_next_one(docker_container: Containers) -> None:
    program = "import os\nfrom workflow_agent.testing.lab import LabContainer\n"
    program += "one = LabContainer()\none.start()\nprint(one.name, flush=True)\nos.kill(os.getpid(), 9)\n"
    name = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True).stdout.strip()
    assert name in docker("ps", "--format", "{{.Names}}").split()

    docker_container("plain")

    assert name not in docker("ps", "--all", "--format", "{{.Names}}").split()


def test_one_that_ends_at_once_is_told_with_its_output(engine: None) -> None:
    with pytest.raises(UnreachableError, match="ended at once") as refused:
        LabContainer(command=("sh", "-c", "echo cannot start")).start()

    assert refused.value.cause == "cannot start\n"


def test_there_is_never_a_second_engine(engine: None) -> None:
    before = _engines()

    ensure_engine()

    assert (install_engine(), _engines()) == ([], before)
    assert json.loads(docker("version", "--format", "{{json .Server}}"))["Os"] == "linux"
    with pytest.raises(UnreachableError, match="docker nonsense"):
        docker("nonsense")
