"""Disposable targets of a test, and the installed command that changes them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.model.records import dataclass
from workflow_agent.testing.bench.archives import write_archives
from workflow_agent.testing.bench.worlds import left, look
from workflow_agent.testing.lab import LabContainer, LabHost
from workflow_agent.testing.lab.engine import engine_obstacle
from workflow_agent.testing.lab.image import CATALOGUE_PACKAGES, DEFAULT_PACKAGES
from workflow_agent.testing.lab.setup import obstacle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from workflow_agent.testing.bench.worlds import Left, World

__all__ = ["BenchTarget", "TargetKind", "UserCommand", "UserReply", "obstacle_of", "offered"]

_TIMEOUT_S = 900.0
_STOPPED_S = 10.0


class TargetKind(StrEnum):
    """Kinds of disposable targets: hosts with a disk of their own, and containers."""

    PLAIN = "plain"
    SYSTEMD = "systemd"
    DOCKER_PLAIN = "docker-plain"
    DOCKER_SYSTEMD = "docker-systemd"

    @property
    def is_container(self) -> bool:
        """Whether it needs a Docker engine."""
        return self.value.startswith("docker-")


def obstacle_of(kind: TargetKind) -> str | None:
    """Say in one sentence why this machine cannot carry a kind of target; None when nothing speaks against it."""
    return obstacle() or (engine_obstacle() if kind.is_container else None)


def offered(packages: Iterable[str]) -> tuple[str, ...]:
    """Give the packages of the image to be used: an image that is shared, where one has all that is wanted."""
    wanted = set(packages)
    for known in (DEFAULT_PACKAGES, CATALOGUE_PACKAGES):
        if wanted <= set(known):
            return known
    return tuple(sorted(wanted))


@dataclass(frozen=True, slots=True, kw_only=True)
class UserReply:
    """What a command left: exit code, the data and the error of its envelope, and its own words."""

    words: tuple[str, ...]
    code: int
    data: Any  # Any: a JSON value
    error: Mapping[str, Any]
    text: str
    seconds: float

    @property
    def sentence(self) -> str:
        """Say how it ended."""
        why = self.error.get("message") or self.text.strip()[-300:]
        return f"`{' '.join(self.words)}` ended with {self.code}" + (f": {why}" if why else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCommand:
    """The command, as a user runs it on one target, with a state folder of its own."""

    host: LabHost
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *words: str, more: Mapping[str, str] | None = None) -> UserReply:
        """Run it to its end; every call is kept in the folder as evidence."""
        environment = os.environ | {
            "WORKFLOW_AGENT_PATHS__STATE": str(self.folder / "state"),
            "WORKFLOW_AGENT_PATHS__CONFIG": str(self.folder / "config"),
            **self.variables,
            **(more or {}),
        }
        target = []
        if isinstance(self.host, LabContainer):
            target = ["--target", self.host.target]
        else:
            environment["WORKFLOW_AGENT_TARGETS__HOST_PID"] = str(self.host.pid)
        argv = [sys.executable, "-m", "workflow_agent", *words, *target, "--json"]
        started = time.perf_counter()
        done = subprocess.run(
            argv, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=_TIMEOUT_S
        )
        seconds = time.perf_counter() - started
        out, text = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        found: dict[str, Any] = {}
        with suppress(ValueError):
            found = json.loads(out)
        reply = UserReply(
            words=words,
            code=done.returncode,
            data=found.get("data"),
            error=found.get("error") or {},
            text=text,
            seconds=seconds,
        )
        self._keep(reply)
        return reply

    def _keep(self, reply: UserReply) -> None:
        calls = self.folder / "commands"
        calls.mkdir(exist_ok=True)
        text = {
            "command": list(reply.words),
            "exit_code": reply.code,
            "seconds": round(reply.seconds, 3),
            "error": reply.error or None,
            "data": reply.data,
            "stderr": reply.text,
        }
        name = f"{len(list(calls.iterdir())) + 1:02}-{reply.words[0]}.json"
        (calls / name).write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")


class BenchTarget:
    """A fresh target with a command for it; use it as a context manager.

    Args:
        kind: Of the target.
        packages: That can be installed there.
        folder: For the command's state and the evidence; made when missing.
        files: A folder that is copied onto the target first, as root's.
        integration: The folder whose archives are made there.
        variables: Of the command's environment.
        address: A further IPv4 address; containers have one of their own.
    """

    def __init__(
        self,
        kind: TargetKind,
        *,
        packages: Iterable[str],
        folder: Path,
        files: Path | None = None,
        integration: Path | None = None,
        variables: Mapping[str, str] | None = None,
        address: str = "",
    ) -> None:
        self.kind = kind
        known = kind.value.removeprefix("docker-")
        self.host: LabHost = (
            LabContainer(known, packages=offered(packages))
            if kind.is_container
            else LabHost(known, packages=offered(packages), address=address)
        )
        self.folder = folder
        self.command = UserCommand(host=self.host, folder=folder, variables=variables or {})
        self._files = files
        self._integration = integration

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.host.start()
        if self._files is not None and self._files.is_dir():
            shutil.copytree(self._files, self.host.root, dirs_exist_ok=True, symlinks=True)
        if self._integration is not None:
            write_archives(self._integration, self.host.root)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.host.stop()

    def look(self) -> World:
        """Read everything of it."""
        return look(self.host)

    def left(self, before: World, apart: Iterable[str] = ()) -> tuple[Left, list[str]]:
        """Compare it with what it was."""
        return left(self.host, before, apart=apart)

    def stop_service(self, name: str, program: str | None) -> None:
        """Stop a service as an operator would, whatever started it, and wait until its program ended."""
        if self.host.kind == "systemd":
            self.host.run(["systemctl", "stop", *self._units(name)], check=False)
        elif (self.host.root / "etc/init.d" / name).is_file():
            self.host.run(["sh", "-c", 'cd /; service "$1" stop', "sh", name], check=False)
        told: set[int] = set()
        end = time.monotonic() + _STOPPED_S
        while found := self._still(program):
            above = self._supervisors_of(found) - told
            _signal(above, signal.SIGTERM)  # a supervisor of ours stops what it runs, which else comes again
            told |= above
            if time.monotonic() > end:
                _signal(found, signal.SIGKILL)
            time.sleep(0.05)

    def start_service(self, name: str) -> bool:
        """Start a service as an operator would; says whether the target's init system has it."""
        if self.host.kind == "systemd":
            command = ["systemctl", "start", *self._units(name)]
        elif (self.host.root / "etc/init.d" / name).is_file():
            command = ["sh", "-c", 'cd /; service "$1" start', "sh", name]
        else:
            return False
        return self.host.run(command, check=False).returncode == 0

    def _units(self, name: str) -> list[str]:
        """Name a service's unit after those that start it when somebody asks, such as its sockets."""
        asked = ["systemctl", "show", "--property=TriggeredBy", "--value", f"{name}.service"]
        return [*self.host.run(asked, check=False).stdout.split(), f"{name}.service"]

    def _still(self, program: str | None) -> list[int]:
        """List the processes of a program; of a script, those whose interpreter runs it."""
        found = [one for one in self.host.processes() if program in {one.program, *one.arguments[1:3]}]
        return [one.pid for one in found if program is not None]

    def _supervisors_of(self, pids: Iterable[int]) -> set[int]:
        """Name the supervisors of ours above processes; others of ours keep what is not to be stopped."""
        running = {one.pid: one.arguments for one in self.host.processes()}
        found = set()
        for pid in pids:
            at = pid
            while at in running and not any("supervise_program" in word for word in running[at]):
                at = _parent_of(at)
            if at in running:
                found.add(at)
        return found

    def keep_evidence(self) -> None:
        """Write down what the target says of itself, beside the commands' own words."""
        if self.host.kind == "systemd":
            done = self.host.run(["journalctl", "--boot", "--no-pager", "--lines=2000"], check=False)
            (self.folder / "journal.txt").write_text(done.stdout, encoding="utf-8")
        listing = "\n".join(f"{one.inner_pid} {one.program} {' '.join(one.arguments)}" for one in self.host.processes())
        (self.folder / "processes.txt").write_text(listing + "\n", encoding="utf-8")


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _parent_of(pid: int) -> int:
    """Give a process's parent; 0 where it ended meanwhile."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0
    return int(told.rpartition(")")[2].split()[1])
