"""Program: run one command in the namespaces and the root of a process. Standard library only.

Asked by one line of JSON on standard input, which stays open: its end means that the asker is gone or has
lost interest, and the command's whole session is killed. Answers with one JSON object on standard output.

Pipes, not files, carry the command's output, because scripts write to ``/dev/stderr`` and would truncate a
file. A daemon that the command leaves behind may hold such a pipe for ever: the answer is given when the
command itself has ended, and a small child goes on reading, so that the daemon neither blocks nor dies of
SIGPIPE; it ends with the daemon.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import signal
import time
from typing import Any, NoReturn

from workflow_agent.targets.linux import join_namespaces, restore_signals

__all__ = ["main", "session_members"]

_CHUNK = 1 << 16
#: Read at most this much of what lies in a pipe when the command has ended: a daemon may write for ever.
_AFTER_EXIT = 1 << 20
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126
_SESSION_FIELD = 3  # of /proc/PID/stat, counted after the name in parentheses
_KILL_ROUNDS = 10


class _Kept:
    """The first and the last half of what a stream carried, so that memory stays bounded."""

    def __init__(self, limit: int) -> None:
        self._limit = max(limit, 2)
        self._head = bytearray()
        self._tail = bytearray()
        self._total = 0

    def add(self, data: bytes) -> None:
        self._total += len(data)
        room = self._limit - self._limit // 2 - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room > 0 else data
        if len(self._tail) > 2 * self._limit:
            self._shorten()

    def _shorten(self) -> None:
        del self._tail[: max(0, len(self._tail) - self._limit // 2)]

    def content(self) -> bytes:
        if self._total <= self._limit:
            return bytes(self._head + self._tail)
        self._shorten()
        missing = self._total - len(self._head) - len(self._tail)
        return bytes(self._head) + b"\n[%d bytes left out]\n" % missing + bytes(self._tail)


def main() -> None:
    """Read the request, run the command, answer.

    Request: ``{pid, argv, env, stdin (base64 or null), timeout_s, output_limit}``. Answer: ``{exit_code,
    stdout, stderr (base64), timed_out}`` or ``{error}`` when the namespaces cannot be entered.
    """
    request = json.loads(_read_line(0))
    try:
        # The PID namespace holds for children only, so this process stays outside and can wait and kill.
        join_namespaces(request["pid"], skip=frozenset({"ipc", "uts", "net", "mnt"}))
        answer = _run(request)
    except OSError as error:
        answer = {"error": f"{error.strerror}: {error.filename}"}
    _write_all(1, json.dumps(answer).encode())


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _read_line(descriptor: int) -> bytes:
    parts: list[bytes] = []
    while not (parts and parts[-1].endswith(b"\n")):
        part = os.read(descriptor, _CHUNK)
        if not part:
            raise SystemExit(1)
        parts.append(part)
    return b"".join(parts)


def _run(request: dict[str, Any]) -> dict[str, Any]:
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    status_read, status_write = os.pipe()
    feed = _standard_input(request["stdin"])
    child = os.fork()
    if child == 0:
        _become(request, (feed, out_write, err_write), status_write)
    for descriptor in (feed, out_write, err_write, status_write):
        os.close(descriptor)
    trouble = os.read(status_read, _CHUNK)
    if trouble:
        os.waitpid(child, 0)
        failed = json.loads(trouble)
        if failed["entering"]:
            return {"error": failed["message"]}
        return _answer(failed["exit_code"], b"", failed["message"].encode())
    streams = {out_read: _Kept(request["output_limit"]), err_read: _Kept(request["output_limit"])}
    timed_out = _watch(child, streams, request["timeout_s"])
    if timed_out:
        _kill_session(child)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    held = [descriptor for descriptor, kept in streams.items() if not _read_rest(descriptor, kept)]
    if held:
        _keep_reading(held)
    return _answer(code, streams[out_read].content(), streams[err_read].content(), timed_out=timed_out)


def _answer(code: int, out: bytes, err: bytes, *, timed_out: bool = False) -> dict[str, Any]:
    return {
        "exit_code": code,
        "stdout": base64.b64encode(out).decode(),
        "stderr": base64.b64encode(err).decode(),
        "timed_out": timed_out,
    }


def _standard_input(encoded: str | None) -> int:
    if encoded is None:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    feed = os.memfd_create("input")
    _write_all(feed, base64.b64decode(encoded))
    os.lseek(feed, 0, os.SEEK_SET)
    return feed


def _become(request: dict[str, Any], streams: tuple[int, int, int], status: int) -> NoReturn:
    """Turn the forked child into the command; tell what went wrong through `status`, which closes on exec."""
    entering = True
    try:
        os.setsid()
        join_namespaces(request["pid"], skip=frozenset({"pid"}))
        entering = False
        restore_signals()
        os.umask(0o022)
        os.chdir("/")
        for target, descriptor in enumerate(streams):
            os.dup2(descriptor, target)
        argv = request["argv"]
        os.execvpe(argv[0], argv, request["env"])
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        report = {
            "entering": entering,
            "exit_code": _NOT_FOUND if missing else _NOT_EXECUTABLE,
            "message": f"{request['argv'][0]}: {error.strerror}"
            if not entering
            else f"{error.strerror}: {error.filename}",
        }
        os.write(status, json.dumps(report).encode())
    finally:
        os._exit(_NOT_FOUND)


def _watch(child: int, streams: dict[int, _Kept], timeout_s: float) -> bool:
    """Read until the command has ended; true when time ran out or the asker is gone first."""
    deadline = time.monotonic() + timeout_s
    ended = os.pidfd_open(child)
    poll = select.poll()
    for descriptor in (ended, 0, *streams):
        poll.register(descriptor, select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        events = dict(poll.poll(max(0.0, left) * 1000))
        if ended in events:
            os.close(ended)
            return False
        if left <= 0 or 0 in events:
            os.close(ended)
            return True
        for descriptor in events:
            data = os.read(descriptor, _CHUNK)
            streams[descriptor].add(data)
            if not data:
                poll.unregister(descriptor)


def session_members(session: int) -> list[int]:
    """List the living processes of a session (ids as this process sees them)."""
    found = []
    for name in os.listdir("/proc"):  # pathlib costs start-up time here
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
            if int(fields[_SESSION_FIELD]) == session and fields[0] not in (b"Z", b"X"):
                found.append(int(name))
    return found


def _kill_session(leader: int) -> None:
    """Kill the process group, then every group of the session (job control and `timeout` make some)."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
    for _ in range(_KILL_ROUNDS):
        members = session_members(leader)
        if not members:
            return
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _read_rest(descriptor: int, kept: _Kept) -> bool:
    """Take what lies in the pipe; true when nobody can write to it any more."""
    os.set_blocking(descriptor, False)
    budget = _AFTER_EXIT
    while budget > 0:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            return True
        kept.add(data)
        budget -= len(data)
    return False


def _keep_reading(descriptors: list[int]) -> None:
    """Leave a child that reads and forgets until every writer is gone."""
    if os.fork():
        return
    os.setsid()
    silence = os.open(os.devnull, os.O_RDWR)
    for target in range(3):
        os.dup2(silence, target)
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    left = len(descriptors)
    while left:
        for descriptor, _ in poll.poll():
            with contextlib.suppress(BlockingIOError):
                if not os.read(descriptor, _CHUNK):
                    poll.unregister(descriptor)
                    left -= 1
    os._exit(0)
