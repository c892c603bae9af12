"""The command line in this process, with a state folder and an environment of its own; and on a real terminal."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.cli import main
from workflow_agent.model.event import Event, EventType
from workflow_agent.store import SqliteStore

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator
    from pathlib import Path

_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Result:
    """What a command line gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The envelope: stdout holds it and nothing else."""
        (line,) = self.out.splitlines()
        value: dict[str, Any] = json.loads(line)
        return value


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder; the machine's own files are out of the way."""
    for name in ("NO_COLOR", "CLICOLOR_FORCE", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("WORKFLOW_AGENT_PATHS__STATE", str(tmp_path / "state"))
    monkeypatch.setenv("WORKFLOW_AGENT_PATHS__CONFIG", str(tmp_path / "config"))
    return tmp_path / "state"


@pytest.fixture
def cli(state: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run a command line in this process, in a pipe."""
    del state

    def run(*arguments: str) -> Result:
        code = main(list(arguments))
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def written(state: Path) -> Callable[..., list[str]]:
    """Write runs into the history, given as action, integration, target, status ("" for no end); gives their ids."""

    async def write(ids: list[str], rows: tuple[tuple[str, str, str, str], ...]) -> None:
        store = await SqliteStore.open(state)
        try:
            for at, (run_id, (action, integration, target, status)) in enumerate(zip(ids, rows, strict=True)):
                meta = {"action": action, "integration": integration, "target": target, "user": "ann", "host": "web1"}
                created = {"workflow": action, "workflow_hash": "h", "inputs": {}, "meta": meta}
                ending = {"status": status, "error": None, "changed": True}
                events = [
                    Event(run_id=run_id, seq=1, type=EventType.RUN_CREATED, at=float(at), data=created),
                    Event(run_id=run_id, seq=2, type=EventType.RUN_STARTED, at=float(at), data={"phase": "planning"}),
                    Event(run_id=run_id, seq=3, type=EventType.RUN_FINISHED, at=float(at), data=ending),
                ]
                await store.journal.append(run_id, 0, events if status else events[:2])
        finally:
            await store.close()

    def runs(*rows: tuple[str, str, str, str]) -> list[str]:
        ids = [f"r-01KA00000000000000000001{number:02}" for number in range(len(rows))]
        asyncio.run(write(ids, rows))
        return ids

    return runs


APPROVAL = """
schema: workflow-agent/workflow/1
name: install
version: "1"
inputs:
  integration: {type: string, required: true}
  parameters: {type: object, default: {}}
  approve: {type: boolean, default: false}
steps:
  - id: approve
    uses: person.approve
    when: not inputs.approve
    phase: awaiting-approval
    with:
      summary:
        question: Install this?
        integration: nginx
        version: 1.0.0
        target: host
        tier: exact
        change_set:
          bytes_added: 1200
          packages: [{name: nginx, action: installed, version: "1.22", before: null}]
          changes: [{path: /etc/nginx, action: created, kind: directory}]
"""


@pytest.fixture
def approval(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `install` that only asks: real agents, bus and journal, and no change to any system."""
    folder = tmp_path / "workflows"
    folder.mkdir()
    (folder / "install.yaml").write_text(APPROVAL, encoding="utf-8")
    monkeypatch.setenv("WORKFLOW_AGENT_WORKFLOWS__FOLDERS", str(folder))
    return state


@dataclass(slots=True)
class Terminal:
    """The command line in a process of its own on a pseudo terminal; stdout is a pipe where that is wanted."""

    process: subprocess.Popen[bytes]
    descriptor: int
    seen: str = ""
    _raw: bytes = field(default=b"", repr=False)

    def wait_for(self, text: str) -> str:
        """Read until a text was seen; gives everything up to now."""
        end = time.monotonic() + _DEADLINE_S
        while text not in self.seen:
            assert time.monotonic() < end, f"{text!r} was not seen in {self.seen!r}"
            assert self._read(0.2), f"ended without {text!r}: {self.seen!r}"
        return self.seen

    def _read(self, wait_s: float) -> bool:
        ready, _, _ = select.select([self.descriptor], [], [], wait_s)
        if not ready:
            return True
        try:
            data = os.read(self.descriptor, 65536)
        except OSError:  # the other end is closed
            return False
        self._raw += data
        self.seen = self._raw.decode("utf-8", "replace")
        return bool(data)

    def type(self, text: str) -> None:
        """Type."""
        os.write(self.descriptor, text.encode())

    def end(self) -> int:
        """Read to the end; gives the exit code."""
        end = time.monotonic() + _DEADLINE_S
        while self._read(0.2) and time.monotonic() < end:
            pass
        return self.process.wait(_DEADLINE_S)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)


@pytest.fixture
def terminal(state: Path) -> Iterator[Callable[..., Terminal]]:
    """Start command lines on terminals of their own."""
    del state
    started: list[Terminal] = []

    def start(*arguments: str, columns: int = 80, **environ: str) -> Terminal:
        parent, child = pty.openpty()
        environment = {**os.environ, "COLUMNS": str(columns), **environ}
        process = subprocess.Popen(
            [sys.executable, "-m", "workflow_agent", *arguments],
            stdin=child,
            stdout=child,
            stderr=child,
            env=environment,
            start_new_session=True,
        )
        os.close(child)
        started.append(Terminal(process, parent))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        os.close(one.descriptor)
