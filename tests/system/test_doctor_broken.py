"""The doctor on systems where one thing is really broken: it names it, says what to do, and goes on with the rest.

An older Python cannot hold the program: there the look is told to want a newer one than this.
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import workflow_agent
from workflow_agent.app import doctor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.system.machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.slow]

_FUTURE = 4_000_000_000.0
_OLD_PYTHON = """#!/bin/sh
shift 2
exec {python} -c 'import sys
from workflow_agent.app import doctor
from workflow_agent.cli import main
doctor._PYTHON = (99, 0)
sys.exit(main(sys.argv[1:]))' "$@"
"""
#: Looks that are broken elsewhere, and by which test.
_ELSEWHERE = {
    "configuration": ("test_doctor_broken.py", "test_a_configuration_that_cannot_be_read_fails_and_the_rest_is_told"),
    "recovery at boot": (
        "test_recovery_at_boot.py",
        "test_an_interrupted_commit_is_taken_back_before_services_start",
    ),
}
_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
_GONE = str(2**22)


class Broken:
    """How the command is run so that it sees what is broken."""

    def __init__(
        self, environ: dict[str, str] | None = None, *, prefix: tuple[str, ...] = (), program: Path | None = None
    ) -> None:
        self.prefix = prefix
        self.program = program
        self.environ = environ or {}


def mounted(script: str, *arguments: object) -> tuple[str, ...]:
    """Run the command in a mount namespace of its own, after a script."""
    return (
        "unshare",
        "--mount",
        "sh",
        "-euc",
        f'{script}; shift {len(arguments)}; exec "$@"',
        "sh",
        *map(str, arguments),
    )


@contextmanager
def python(machine: Machine) -> Iterator[Broken]:
    program = machine.folder / "python"
    program.write_text(_OLD_PYTHON.format(python=sys.executable), encoding="utf-8")
    program.chmod(0o755)
    yield Broken(program=program)


@contextmanager
def user(machine: Machine) -> Iterator[Broken]:
    tried = subprocess.run([*_NOBODY, sys.executable, "-c", ""], check=False, capture_output=True)
    if tried.returncode != 0:
        pytest.skip("nobody but root can run this Python")
    del machine
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        places = {f"WORKFLOW_AGENT_PATHS__{name}": f"{folder}/{name}" for name in ("STATE", "CONFIG")}
        yield Broken(environ=places, prefix=_NOBODY)


@contextmanager
def state_folder(machine: Machine) -> Iterator[Broken]:
    machine.state.mkdir(exist_ok=True)
    yield Broken(prefix=mounted('mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"', machine.state))


@contextmanager
def database(machine: Machine) -> Iterator[Broken]:
    other = machine.folder / "damaged"
    other.mkdir()
    (other / "workflow-agent.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)
    yield Broken({"WORKFLOW_AGENT_PATHS__STATE": str(other)})


@contextmanager
def state_space(machine: Machine) -> Iterator[Broken]:
    machine.state.mkdir(exist_ok=True)
    yield Broken(prefix=mounted('mount -t tmpfs -o size=50m none "$1"', machine.state))


@contextmanager
def clock(machine: Machine) -> Iterator[Broken]:
    """The clock itself is everybody's: the newest run is moved instead, which looks the same from here."""
    other = machine.folder / "ahead"
    assert machine.json("verify", "nginx", environ={"WORKFLOW_AGENT_PATHS__STATE": str(other)}).code != 0
    with sqlite3.connect(other / "workflow-agent.db") as connection:
        connection.execute("UPDATE runs SET created_at = ?", (_FUTURE,))
    connection.close()
    yield Broken({"WORKFLOW_AGENT_PATHS__STATE": str(other)})


@contextmanager
def shellcheck(machine: Machine) -> Iterator[Broken]:
    environment = machine.folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    ours = [sysconfig.get_path("purelib"), str(Path(workflow_agent.__file__).parents[1])]
    (environment / "lib" / version / "site-packages/ours.pth").write_text("\n".join(ours), encoding="utf-8")
    path = [folder for folder in os.environ["PATH"].split(":") if not (Path(folder) / "shellcheck").exists()]
    yield Broken({"PATH": ":".join(path)}, program=environment / "bin/python")


@contextmanager
def integrations(machine: Machine) -> Iterator[Broken]:
    (machine.folder / "others/bad").mkdir(parents=True)
    (machine.folder / "others/bad/integration.yaml").write_text("nonsense: [", encoding="utf-8")
    yield Broken({"WORKFLOW_AGENT_INTEGRATIONS__FOLDERS": str(machine.folder / "others")})


@contextmanager
def workflows(machine: Machine) -> Iterator[Broken]:
    (machine.folder / "pipelines").mkdir()
    (machine.folder / "pipelines/mine.yaml").write_text("name: mine\nsteps: 3\n", encoding="utf-8")
    yield Broken({"WORKFLOW_AGENT_WORKFLOWS__FOLDERS": str(machine.folder / "pipelines")})


@contextmanager
def agents(machine: Machine) -> Iterator[Broken]:
    (machine.folder / "other-config").mkdir()
    (machine.folder / "other-config/config.toml").write_text('[agents]\nverifier = "nothing:here"\n', encoding="utf-8")
    yield Broken({"WORKFLOW_AGENT_PATHS__CONFIG": str(machine.folder / "other-config")})


@contextmanager
def target(machine: Machine) -> Iterator[Broken]:
    del machine
    yield Broken({"WORKFLOW_AGENT_TARGETS__HOST_PID": _GONE})


@contextmanager
def without(machine: Machine, path: str) -> Iterator[Broken]:
    """Take a program of the host away."""
    place = machine.host.root / path
    place.rename(place.with_name("taken-away"))
    try:
        yield Broken()
    finally:
        place.with_name("taken-away").rename(place)


@contextmanager
def package_manager(machine: Machine) -> Iterator[Broken]:
    with without(machine, "usr/bin/apt-get") as broken:
        yield broken


@contextmanager
def bash(machine: Machine) -> Iterator[Broken]:
    with without(machine, "usr/bin/bash") as broken:
        yield broken


@contextmanager
def target_space(machine: Machine) -> Iterator[Broken]:
    file = machine.host.root / "var/full"
    size = shutil.disk_usage(machine.host.root).free - (50 << 20)
    with file.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, size)
    try:
        yield Broken()
    finally:
        file.unlink()


@contextmanager
def capture(machine: Machine) -> Iterator[Broken]:
    script = 'grep -v overlay /proc/filesystems > "$1"; mount --bind "$1" /proc/filesystems'
    yield Broken(prefix=mounted(script, machine.folder / "filesystems"))


_CASES: list[tuple[str, Callable[[Machine], AbstractContextManager[Broken]], str, str]] = [
    ("python", python, "fail", platform.python_version()),
    ("user", user, "warn", "user 65534, not root"),
    ("state folder", state_folder, "fail", "is not writable"),
    ("database", database, "fail", ""),
    ("space for state", state_space, "fail", "0.0 GiB free"),
    ("clock", clock, "fail", "it is before the newest run"),
    ("shellcheck", shellcheck, "fail", "not found"),
    ("integrations", integrations, "warn", "bad cannot be used"),
    ("workflows", workflows, "fail", "mine.yaml"),
    ("agents", agents, "fail", "nothing"),
    ("platform", target, "fail", "cannot be reached"),
    ("init", target, "fail", "cannot be reached"),
    ("package manager", package_manager, "warn", "none that is known"),
    ("bash", bash, "fail", "not found"),
    ("space on target", target_space, "fail", "0.0 GiB free"),
    ("capture", capture, "fail", "the kernel has no overlay file system"),
]


def test_every_look_has_its_broken_case() -> None:
    names = [case[0] for case in _CASES]

    assert sorted([*names, *_ELSEWHERE]) == sorted(doctor._LOOKS)
    for file, test in _ELSEWHERE.values():
        assert f"def {test}(" in Path(__file__).with_name(file).read_text(encoding="utf-8")


def examined(machine: Machine, broken: Broken) -> tuple[int, dict[str, dict[str, Any]]]:
    prefix = broken.prefix
    if broken.program is not None:
        prefix = ("/bin/sh", "-c", f'shift; exec {broken.program} -m workflow_agent "$@"', "sh")
    answer = machine.json("doctor", prefix=prefix, environ=broken.environ)
    return answer.code, {check["check"]: check for check in answer.envelope["data"]["items"]}


@pytest.fixture(scope="module")
def one(machines: Callable[..., AbstractContextManager[Machine]]) -> Iterator[Machine]:
    with machines() as machine:
        yield machine


@pytest.mark.parametrize(("check", "breaking", "status", "observed"), _CASES, ids=[case[0] for case in _CASES])
def test_what_is_broken_is_told_and_is_well_again_afterwards(
    one: Machine,
    check: str,
    breaking: Callable[[Machine], AbstractContextManager[Broken]],
    *,
    status: str,
    observed: str,
) -> None:
    with breaking(one) as broken:
        code, found = examined(one, broken)
    _, well = examined(one, Broken())

    assert found[check]["status"] == status
    assert observed in found[check]["observed"]
    assert found[check]["fix"], "what to do is said"
    assert code == (1 if any(each["status"] == "fail" for each in found.values()) else 0)
    assert list(found) == list(well), "the others were looked at"
    assert well[check]["status"] == "ok"


@pytest.mark.parametrize(
    ("text", "observed"),
    [
        ("[output\n", "the configuration file is not valid TOML"),
        ("[output]\ncolour = 'always'\n", "colour"),
        ("[timeouts]\npackage_lock_s = 'soon'\n", "package_lock_s"),
    ],
)
def test_a_configuration_that_cannot_be_read_fails_and_the_rest_is_told(
    one: Machine, text: str, observed: str, tmp_path: Path
) -> None:
    """What needs no settings is looked at all the same; of the rest it is said that it was not."""
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")

    code, found = examined(one, Broken({"WORKFLOW_AGENT_PATHS__CONFIG": str(tmp_path)}))
    _, well = examined(one, Broken())

    assert code == 1
    assert list(found) == list(well)
    assert found["configuration"]["status"] == "fail"
    assert observed in found["configuration"]["observed"]
    assert f"{tmp_path}/config.toml" in found["configuration"]["observed"]
    assert found["configuration"]["fix"]
    assert {name for name in found if found[name]["status"] == "ok"} == {"python", "user", "shellcheck"}
    assert {found[name]["status"] for name in found.keys() - {"configuration", "python", "user", "shellcheck"}} == {
        "warn"
    }
    assert well["configuration"]["status"] == "ok"
