"""The program that looks at a target from inside. Standard library only; see :mod:`.programs` for its start.

Argument: our parent's process id.

It loads what it needs, learns by its first line which process's namespaces to enter (0: stay), enters them, forks (a
PID namespace holds only for children), and serves JSON lines until its input ends::

    → {"target": 4711}
    ← {"ready": true}                                                (or {"fatal": "…"})
    → {"id": 1, "ask": "checks", "checks": [{"kind": "port", "spec": {…}}], "limit_s": 5}
    ← {"id": 1, "data": [{"holds": true, "observed": "listens on 127.0.0.1"}]}   (+ "error" when it could not be)
    → {"id": 2, "ask": "snapshot" | "running" | "hostname", "limit_s": 5}
    ← {"id": 2, "data": …}          (or "holds", "observed", "error" for all of it; "late" when there was no answer)
    → {"cancel": 1}

Each request is answered by a forked child in a
session of its own, which is killed with all that it started when it has answered or when its time is over: one
slow server does not hold up the others, and there are no threads, which could not have followed `setns`.
"""

from __future__ import annotations

import codecs
import json
import os
import selectors
import signal
import sys
import time
import warnings  # noqa: F401 - `os.get_exec_path` loads it when a command starts: too late by then
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.targets.linux import die_with_parent, join_namespaces
from workflow_agent.targets.listening_sockets import listening_sockets
from workflow_agent.targets.probe_checks import run_check
from workflow_agent.targets.probe_outcome import Site
from workflow_agent.targets.probe_system import account_names, processes, socket_owners
from workflow_agent.targets.running_state import running_state

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["answer", "main", "preload", "snapshot"]

_READ = 64 << 10
_GRACE_S = 0.5
_STDIN = 0
_STDOUT = 1


def main() -> None:
    """Run the program."""
    die_with_parent(int(sys.argv[1]))
    preload()
    first, rest = _first_line()
    if not first:  # nobody needed us
        os._exit(0)
    try:
        join_namespaces(json.loads(first)["target"])
    except OSError as error:
        _write({"fatal": f"cannot enter the target: {error}"})
        os._exit(1)
    outer = os.getpid()
    if os.fork() == 0:
        die_with_parent()
        if os.getppid() not in {0, outer}:  # 0: the parent lives outside of our PID namespace
            os._exit(1)
        os.chdir("/")
        _write({"ready": True})
        _Server(rest).serve()
        os._exit(0)
    os.close(_STDIN)
    os.close(_STDOUT)
    os.wait()
    os._exit(0)


def _first_line() -> tuple[bytes, bytes]:
    """Read the first line and what came with it; nothing when the input ends before."""
    data = b""
    while b"\n" not in data:
        chunk = os.read(_STDIN, _READ)
        if not chunk:
            return b"", b""
        data += chunk
    line, _, rest = data.partition(b"\n")
    return line, rest


def preload() -> None:
    """Load what Python would otherwise load at first use: after entering, its files are out of reach."""
    for name in ("utf-8", "ascii", "latin-1"):
        codecs.lookup(name)


def answer(request: Mapping[str, Any], own: frozenset[int]) -> dict[str, Any]:
    """Carry one request out; every failure becomes an answer."""
    try:
        match request["ask"]:
            case "checks":
                site = Site(time.monotonic() + request["limit_s"], own, {})
                return {"data": [_checked(check, site) for check in request["checks"]]}
            case "snapshot":
                return {"data": snapshot(own)}
            case "running":
                return {"data": running_state(request.get("known"))}
            case "hostname":
                return {"data": os.uname().nodename}
            case other:
                return _failure(f"unknown request `{other}`")
    except Exception as error:  # noqa: BLE001 - the border: one bad question must not end the program
        return _failure(f"{type(error).__name__}: {error}")


def _checked(check: Mapping[str, Any], site: Site) -> dict[str, Any]:
    try:
        outcome = run_check(check["kind"], check["spec"], site)
    except WorkflowAgentError as error:
        return _failure(": ".join(filter(None, [error.message, error.cause])))
    except Exception as error:  # noqa: BLE001 - the border: one bad probe must not end those beside it
        return _failure(f"{type(error).__name__}: {error}")
    seen: dict[str, Any] = {"holds": outcome.holds, "observed": outcome.observed}
    return seen if outcome.applies else seen | {"applies": False}


def _failure(text: str) -> dict[str, Any]:
    return {"holds": False, "observed": text, "error": text}


def snapshot(own: frozenset[int]) -> dict[str, Any]:
    """List processes and listening sockets, to be compared with an earlier or later list."""
    users = account_names("/etc/passwd")
    living = list(processes(own))
    sockets = [item for protocol in ("tcp", "udp") for item in listening_sockets(protocol)]
    owners = socket_owners({item.inode for item in sockets})
    return {
        "processes": [
            {
                "pid": process.pid,
                "exe": process.exe,
                "user": users.get(process.uid, str(process.uid)),
                "started": process.started,
                "name": process.name,
            }
            for process in sorted(living)
        ],
        "listeners": [
            {
                "protocol": item.protocol,
                "address": item.address,
                "port": item.port,
                "pid": min(owners.get(item.inode, [None]), key=lambda pid: pid or 0),
            }
            for item in sorted(sockets)
        ],
    }


def _write(message: Mapping[str, Any], descriptor: int = _STDOUT) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(descriptor, data) :]


class _Looker:
    """A forked child that answers one request through a pipe."""

    def __init__(self, request: Mapping[str, Any], own: frozenset[int]) -> None:
        self.id = request["id"]
        self.deadline = time.monotonic() + request["limit_s"] + _GRACE_S
        self.reply = bytearray()
        self.pipe, out = os.pipe()
        os.set_blocking(self.pipe, False)
        server = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            die_with_parent(server)
            _write(answer(request, own), out)
            signal.pause()  # our parent ends the session, with all that a command left behind
        os.close(out)

    def end(self) -> None:
        """Kill the session and collect the child."""
        for kill in (os.killpg, os.kill):  # the second in case it had no time to make its session
            with suppress(ProcessLookupError):
                kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.pipe)


class _Server:
    """Reads requests, forks lookers, passes their answers on. One thread, never blocked by a looker."""

    def __init__(self, read_already: bytes = b"") -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(_STDIN, selectors.EVENT_READ)
        self._lookers: dict[int, _Looker] = {}
        self._buffer = bytearray(read_already)
        self._own = frozenset({os.getpid(), os.getppid()} - {0})

    def serve(self) -> None:
        """Serve until the input ends."""
        while True:
            for key, _ in self._selector.select(self._pause()):
                if key.fd != _STDIN:
                    self._hear(key.fd)
                elif not self._take():
                    for looker in list(self._lookers.values()):
                        self._end(looker)
                    return
            now = time.monotonic()
            for looker in [item for item in self._lookers.values() if item.deadline <= now]:
                self._finish(looker, _unanswered("no answer in time"))

    def _pause(self) -> float | None:
        deadlines = [looker.deadline for looker in self._lookers.values()]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _take(self) -> bool:
        data = os.read(_STDIN, _READ)
        self._buffer += data
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = bytearray(rest)
        for line in lines:
            self._start(json.loads(line))
        return bool(data)

    def _start(self, request: Mapping[str, Any]) -> None:
        if "cancel" in request:
            for looker in [item for item in self._lookers.values() if item.id == request["cancel"]]:
                self._end(looker)
            return
        looker = _Looker(request, self._own)
        self._lookers[looker.pipe] = looker
        self._selector.register(looker.pipe, selectors.EVENT_READ)

    def _hear(self, pipe: int) -> None:
        looker = self._lookers.get(pipe)
        try:
            data = os.read(pipe, _READ) if looker else b""
        except BlockingIOError:
            looker = None  # the number was given again after a cancellation in the same round
        if looker is None:
            return
        looker.reply += data
        if not data:
            self._finish(looker, _failure("the probe ended without an answer"))
        elif looker.reply.endswith(b"\n"):
            self._finish(looker, json.loads(looker.reply))

    def _finish(self, looker: _Looker, reply: Mapping[str, Any]) -> None:
        self._end(looker)
        _write({"id": looker.id, **reply})

    def _end(self, looker: _Looker) -> None:
        self._selector.unregister(looker.pipe)
        del self._lookers[looker.pipe]
        looker.end()


def _unanswered(text: str) -> dict[str, Any]:
    return {"holds": False, "observed": text, "late": True}
