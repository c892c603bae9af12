"""A machine for a test: a real host, and the installed command that changes it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import workflow_agent
from workflow_agent.testing.lab import FileRecord, LabContainer, LabHost, diff, grown_logs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

COMMAND = Path(sys.executable).with_name("workflow-agent")
#: What a rollback leaves longer than it was: nothing takes lines out of a log.
APPENDED_LOGS = frozenset({"/var/log/apt/history.log", "/var/log/apt/term.log", "/var/log/dpkg.log"})
_LISTENING = "0A"
_ON_A_TARGET = frozenset({"apply", "install", "plan", "verify", "rollback", "uninstall", "upgrade", "repair"})
#: Ends with the command that looks; comes by PostgreSQL's own clock and ends by itself.
_PASSING = ("workflow_agent.targets.probe_program", "autovacuum worker")
_TIMEOUT_S = 280.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command left: exit code, stdout, stderr."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """The one JSON object on stdout; anything beside it is a failure."""
        assert self.out.count("\n") == 1, f"{self.arguments}: not one line on stdout: {self.out!r} {self.err!r}"
        found: dict[str, Any] = json.loads(self.out)
        assert list(found) == ["schema", "ok", "data", "error", "warnings"], found
        assert found["schema"] == "workflow-agent/1"
        assert found["ok"] is (found["error"] is None)
        return found

    @property
    def data(self) -> Any:
        """The data of a command that succeeded."""
        assert self.code == 0, f"{self}"
        assert self.envelope["ok"], f"{self}"
        return self.envelope["data"]

    @property
    def error(self) -> dict[str, Any]:
        """The error of a command that failed."""
        assert self.code != 0, f"{self}"
        error = self.envelope["error"]
        assert isinstance(error, dict), f"{self}"
        assert list(error) == ["code", "message", "where", "cause", "state", "hint", "run_id", "details"]
        return error

    def __str__(self) -> str:
        return f"{' '.join(self.arguments)[:200]} -> {self.code}\n{self.out[-3000:]}\n{self.err[-3000:]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything of a host that a run must not touch before its commit and must put back in its rollback."""

    files: dict[str, FileRecord]
    processes: tuple[tuple[str, tuple[str, ...], int], ...]
    listeners: tuple[str, ...]
    units: tuple[tuple[str, str], ...]
    hostname: tuple[str, ...]
    mounts: tuple[str, ...]

    def differences(self, later: World, root: Path, *, logs: frozenset[str] = frozenset()) -> list[str]:
        """List what is not as it was; names in `logs` may have grown."""
        grown = logs & set(grown_logs(root, self.files, later.files))
        files = [line for line in diff(self.files, later.files) if line.split(": ")[1] not in grown]
        rest = []
        for name in ("processes", "listeners", "units", "hostname", "mounts"):
            old, new = Counter(getattr(self, name)), Counter(getattr(later, name))
            rest += [f"{name}: gone: {item}" for item in old - new]
            rest += [f"{name}: new: {item}" for item in new - old]
        return files + rest


@dataclass(slots=True, kw_only=True)
class Machine:
    """A host, the state folder of the command that changes it, and integrations of the test's own."""

    host: LabHost
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """Where the command keeps its database and artifacts."""
        return self.folder / "state"

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Everything that the command sees of the caller's environment."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "WORKFLOW_AGENT_PATHS__CONFIG": str(self.folder / "config"),
            "WORKFLOW_AGENT_PATHS__STATE": str(self.state),
            # that services stay has tests of its own; the others need not wait for it
            "WORKFLOW_AGENT_TIMEOUTS__STAY_S": "0.1",
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
            **({} if isinstance(self.host, LabContainer) else {"WORKFLOW_AGENT_TARGETS__HOST_PID": str(self.host.pid)}),
            **self.variables,
            **(more or {}),
        }

    def on_target(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        """Name the container as the target of a command that has one."""
        if not isinstance(self.host, LabContainer) or "--target" in arguments:
            return arguments
        has_one = bool(arguments) and arguments[0] in _ON_A_TARGET
        return _with_options(arguments, "--target", self.host.target) if has_one else arguments

    def cli(
        self,
        *arguments: str,
        stdin: str | None = None,
        timeout: float = _TIMEOUT_S,
        environ: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> Answer:
        """Run the command to its end, in a pipe."""
        done = subprocess.run(
            [*prefix, str(COMMAND), *self.on_target(arguments)],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            input=stdin if stdin is not None else "",
            env=self.environment(environ),
            cwd=self.folder,
            timeout=timeout,
        )
        return Answer(arguments=arguments, code=done.returncode, out=done.stdout, err=done.stderr)

    def json(self, *arguments: str, **more: Any) -> Answer:
        """Run the command with ``--json``."""
        return self.cli(*_with_options(arguments, "--json"), **more)

    @contextmanager
    def running(
        self, *arguments: str, terminal: bool = False, environ: Mapping[str, str] | None = None
    ) -> Iterator[Running]:
        """Start the command and go on while it runs; it is ended at the latest when the test ends."""
        running = Running.start(self, arguments, terminal=terminal, environ=environ)
        try:
            yield running
        finally:
            running.close()

    def world(self) -> World:
        """Read the host."""
        space = f"/proc/{self.host.pid}"
        return World(
            files=self.host.digest(),
            processes=tuple(
                sorted(
                    (one.program, one.arguments, one.uid)
                    for one in self.host.processes()
                    if not any(part in word for word in one.arguments for part in _PASSING)
                )
            ),
            listeners=self.listeners(),
            units=tuple(item for item in self.host.units().items() if not item[1].startswith("inactive")),
            hostname=(self.host.run(["cat", "/proc/sys/kernel/hostname"]).stdout,),
            mounts=tuple(_mount(line) for line in Path(space, "mountinfo").read_text(encoding="utf-8").splitlines()),
        )

    def listeners(self) -> tuple[str, ...]:
        """List the TCP ports that are open on the host, as ``address:port`` in the kernel's hexadecimal form."""
        found = set()
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{self.host.pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                columns = line.split()
                if columns[3] == _LISTENING:
                    found.add(columns[1])
        return tuple(sorted(found))

    def listens(self, port: int) -> bool:
        """Tell whether anything listens on a TCP port of the host."""
        return any(name.endswith(f":{port:04X}") for name in self.listeners())

    def assert_as(self, before: World, *, logs: frozenset[str] = frozenset()) -> None:
        """Fail when anything of the host is not as it was; names in `logs` may have grown."""
        assert before.differences(self.world(), self.host.root, logs=logs) == []

    def transactions(self) -> list[str]:
        """Name the transactions that the host keeps."""
        with suppress(FileNotFoundError):
            return sorted(entry.name for entry in (self.host.root / ".workflow-agent/tx").iterdir())
        return []

    def carry_in(self) -> None:
        """Put the product and what it imports into the host, as an installation under ``/opt`` would."""
        place = self.host.root / "opt/workflow-agent"
        unneeded = shutil.ignore_patterns("__pycache__", "mypy*", "ruff*", "hypothesis*", "pip*", "docker*", "*.pth")
        shutil.copytree(sysconfig.get_path("purelib"), place / "lib", ignore=unneeded)
        shutil.copytree(Path(workflow_agent.__file__).parent, place / "lib/workflow_agent", dirs_exist_ok=True)
        shutil.copy2(Path(sys.executable).with_name("shellcheck"), place / "shellcheck")
        # compiled once and for all: nothing below may change while the product runs
        self.host.run(["python3", "-m", "compileall", "-q", "/opt/workflow-agent/lib"], check=False)

    def inside(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run what was carried in, inside the host; gives its data; of one that fails with its error."""
        path = "PATH=/opt/workflow-agent:/usr/sbin:/usr/bin:/sbin:/bin"
        command = ["env", path, "PYTHONPATH=/opt/workflow-agent/lib", "python3", "-m", "workflow_agent"]
        done = self.host.run([*command, *arguments, "--json"], check=False)
        assert done.returncode == code, (
            f"{arguments} -> {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        )
        told = json.loads(done.stdout)
        data: dict[str, Any] = told["data"] or {}
        return data | {"error": told["error"]} if code else data

    def integration(
        self, name: str, script: str, *, checks: str = "", services: str = "", parameters: str = "", more: str = ""
    ) -> str:
        """Write an integration of the test's own; gives its folder as it is typed."""
        folder = self.folder / "own" / name
        (folder / "templates").mkdir(parents=True, exist_ok=True)
        usual = f"- {{id: there, kind: file, path: /opt/{name}/done}}"
        parts = {"parameters": parameters, "services": services, "checks": checks or usual}
        blocks = "".join(
            f"{key}:\n{textwrap.indent(textwrap.dedent(text).strip(), '  ')}\n" for key, text in parts.items() if text
        )
        manifest = (
            "schema: workflow-agent/integration/1\n"
            f"name: {name}\nversion: 1.0.0\ndescription: Made by a test.\ncategory: test\n"
            "platforms: [{family: debian, os: [debian]}]\n"
            "actions: {install: {template: install}}\n"
            f"{blocks}{textwrap.dedent(more)}"
        )
        (folder / "integration.yaml").write_text(manifest, encoding="utf-8")
        (folder / "templates/install.sh.j2").write_text(textwrap.dedent(script).lstrip(), encoding="utf-8")
        return f"./own/{name}"


@dataclass(slots=True, kw_only=True)
class Running:
    """A command while it runs; what it writes to stderr can be waited for."""

    process: subprocess.Popen[bytes]
    arguments: tuple[str, ...]
    screen: int
    stdout: IO[bytes]
    seen: bytes = b""

    @classmethod
    def start(
        cls, machine: Machine, arguments: tuple[str, ...], *, terminal: bool, environ: Mapping[str, str] | None
    ) -> Running:
        """Start it with its stderr (on a terminal: everything) readable."""
        screen, theirs = pty.openpty() if terminal else os.pipe()
        stdout = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the rest
        try:
            process = subprocess.Popen(
                [str(COMMAND), *machine.on_target(arguments)],
                stdin=theirs if terminal else subprocess.DEVNULL,
                stdout=theirs if terminal else stdout,
                stderr=theirs,
                env=machine.environment(environ),
                cwd=machine.folder,
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        return cls(process=process, arguments=arguments, screen=screen, stdout=stdout)

    def wait_for(self, pattern: str, *, timeout: float = _TIMEOUT_S) -> None:
        """Wait until stderr or the terminal shows what matches."""
        end = time.monotonic() + timeout
        while re.search(pattern.encode(), self.seen) is None:
            assert time.monotonic() < end, f"never seen: {pattern}: {self.seen!r}"
            assert self._read(end - time.monotonic()), f"it ended without showing {pattern}: {self.seen!r}"

    def type(self, text: str) -> None:
        """Type something on the terminal."""
        os.write(self.screen, text.encode())

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def finish(self, *, timeout: float = _TIMEOUT_S) -> Answer:
        """Wait for its end."""
        end = time.monotonic() + timeout
        while self._read(end - time.monotonic()):
            assert time.monotonic() < end, f"it does not end: {self.seen!r}"
        code = self.process.wait(timeout=timeout)
        self.stdout.seek(0)
        out, text = self.stdout.read().decode(errors="replace"), self.seen.decode(errors="replace")
        return Answer(arguments=self.arguments, code=code, out=out, err=text)

    def _read(self, timeout: float) -> bool:
        ready, _, _ = select.select([self.screen], [], [], max(timeout, 0.0))
        if not ready:
            return True
        try:
            found = os.read(self.screen, 1 << 16)
        except OSError:  # a terminal whose other side is closed
            return False
        self.seen += found
        return bool(found)

    def close(self) -> None:
        """End it, when it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.stdout.close()
        with suppress(OSError):
            os.close(self.screen)


def _with_options(arguments: tuple[str, ...], *options: str) -> tuple[str, ...]:
    """Add options behind the others; what stands after ``--`` is no option."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return (*arguments[:end], *options, *arguments[end:])


def _mount(line: str) -> str:
    """Give a mount without its numbers: root, point, options, kind."""
    left, right = line.split(" - ")
    return " ".join([*left.split()[3:6], right.split()[0]])
