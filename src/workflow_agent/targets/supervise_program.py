"""Program: keep one service running on a target that has no init system. Standard library only.

Asked by one line of JSON on standard input: ``{pid, folder, name, argv, user, environment_file,
environment, directories}``; answers ``{supervisor, created}`` or ``{error}`` and leaves the supervisor behind: in the
namespaces and the root of process `pid`, in a session of its own, without our descriptors or environment.
Everything that it needs is loaded before it enters the target's root: nothing of the target is imported.

In `folder` (of the target) stand ``lock`` (a record lock whose holder is the supervisor; `F_GETLK` names it,
which no stale pid can), ``pid``, ``state`` (JSON) and ``log`` (what the service prints, bounded).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import time
from typing import Any, NoReturn

from workflow_agent.targets.accounts import Login, account, group_id
from workflow_agent.targets.env_file import expand_argv, parse_env_file
from workflow_agent.targets.linux import join_namespaces, restore_signals

__all__ = ["RESTARTS_PER_MINUTE", "main", "restart_due"]

RESTARTS_PER_MINUTE = 5
STOP_GRACE_S = 10.0
_WINDOW_S = 60.0
_FIRST_DELAY_S = 0.2
_KILL_PATIENCE_S = 5.0
_LOG_LIMIT = 8 << 20
_LOG_KEPT = 256 << 10
_IDLE_S = 30.0
_CHUNK = 1 << 16
_PR_SET_CHILD_SUBREAPER = 36
_PARENT_FIELD = 1  # of /proc/PID/stat, counted after the name in parentheses
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


def main() -> None:
    """Read the request, leave a supervisor behind, answer."""
    request = json.loads(_read_line(0))
    read, write = os.pipe()
    silence = os.open(os.devnull, os.O_RDWR)
    try:
        join_namespaces(request["pid"], skip=frozenset({"ipc", "uts", "net", "mnt"}))
    except OSError as error:
        os.write(1, json.dumps({"error": _sentence(error)}).encode())
        return
    middle = os.fork()  # the first child of this process is in the target's PID namespace
    if middle == 0:
        os.close(read)
        _detach(request, silence, write)
    os.close(write)
    os.waitpid(middle, 0)
    os.write(1, os.read(read, _CHUNK) or b'{"error": "the supervisor ended at once"}')


def _read_line(descriptor: int) -> bytes:
    parts: list[bytes] = []
    while not (parts and parts[-1].endswith(b"\n")):
        part = os.read(descriptor, _CHUNK)
        if not part:
            raise SystemExit(1)
        parts.append(part)
    return b"".join(parts)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _detach(request: dict[str, Any], silence: int, report: int) -> NoReturn:
    """Leave session, parent and descriptors, enter the target, and supervise."""
    try:
        os.setsid()
        for target in range(3):
            os.dup2(silence, target)
        join_namespaces(request["pid"], skip=frozenset({"pid"}))
        if os.fork():
            os._exit(0)
        _Supervisor(request, report).run()
    except (OSError, LookupError, ValueError) as error:
        with contextlib.suppress(OSError):  # the answer was given before
            os.write(report, json.dumps({"error": _sentence(error)}).encode())
    finally:
        os._exit(0)


def restart_due(now: float, restarts: list[float]) -> float:
    """Say when the next restart may happen, given the times of the earlier ones (oldest first).

    Waits double from 0.2 s on with every restart of the last minute, and never more than five happen within
    one minute. A service that keeps failing is not given up: what it waits for may come back.
    """
    recent = [at for at in restarts if at > now - _WINDOW_S]
    if len(recent) >= RESTARTS_PER_MINUTE:
        return recent[-RESTARTS_PER_MINUTE] + _WINDOW_S
    return now + _FIRST_DELAY_S * 2.0 ** len(recent)


class _Supervisor:
    """One service: its process, its adopted descendants, its files."""

    def __init__(self, request: dict[str, Any], report: int) -> None:
        self._request = request
        self._report = report
        self._folder = str(request["folder"])
        self._main = 0
        self._restarts: list[float] = []
        self._due: float | None = None
        self._last_exit: str | None = None
        self._log = -1

    def run(self) -> None:
        self._prepare()
        created = self._make_directories()
        self._start()
        self._write_state("running")
        answer = {"supervisor": os.getpid(), "created": created}
        os.write(self._report, json.dumps(answer).encode())
        os.close(self._report)
        while True:
            wait = _IDLE_S if self._due is None else max(0.0, self._due - time.monotonic())
            number = signal.sigtimedwait(_SIGNALS, min(wait, _IDLE_S))
            if number is not None and number.si_signo in (signal.SIGTERM, signal.SIGINT):
                self._stop()
                return
            self._bound_log()
            if self._due is None and not self._anyone_left():
                self._due = restart_due(time.monotonic(), self._restarts)
                self._write_state("waiting")
            if self._due is not None and time.monotonic() >= self._due:
                self._restart()

    def _prepare(self) -> None:
        """Take the lock and the log; become the parent of whatever the service leaves behind."""
        os.umask(0o022)
        os.chdir("/")
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        self._lock = os.open(f"{self._folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError("another supervisor holds this service") from error
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        self._log = os.open(f"{self._folder}/log", flags, 0o600)
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        # Blocked for good: every signal is taken by sigtimedwait, none can be lost between two looks.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._write("pid", f"{os.getpid()}\n")

    def _make_directories(self) -> list[str]:
        created: list[str] = []
        for spec in self._request["directories"]:
            path = spec["path"]
            if os.path.isdir(path):
                continue
            missing = path
            while not os.path.lexists(os.path.dirname(missing)):
                missing = os.path.dirname(missing)
            os.makedirs(path)
            created.append(missing)
            user, _, group = str(spec.get("owner") or self._request["user"]).partition(":")
            who = account(user)
            os.chown(path, who.uid, group_id(group) if group else who.gid)
            os.chmod(path, int(str(spec.get("mode") or "0755"), 8))
        return created

    def _start(self) -> None:
        """Start the service's process; raises OSError when it cannot be executed."""
        who = account(self._request["user"])
        environment = {
            "PATH": _PATH,
            "LANG": "C.UTF-8",
            "HOME": who.home,
            "USER": who.name,
            "LOGNAME": who.name,
            **self._variables(),
        }
        argv = expand_argv(self._request["argv"], environment)
        failed_read, failed_write = os.pipe()
        child = os.fork()
        if child == 0:
            self._become(argv, environment, who, failed_write)
        os.close(failed_write)
        trouble = os.read(failed_read, _CHUNK)
        os.close(failed_read)
        if trouble:
            os.waitpid(child, 0)
            number, _, place = trouble.decode().partition(" ")
            raise OSError(int(number), os.strerror(int(number)), place)
        self._main = child

    def _variables(self) -> dict[str, str]:
        """Read the environment file at every start, as systemd does; a leading ``-`` lets it be missing.

        As there, what it says wins over the variables that are given.
        """
        path, given = self._request["environment_file"], dict(self._request.get("environment") or {})
        if not path:
            return given
        try:
            with open(path.removeprefix("-"), encoding="utf-8", errors="surrogateescape") as stream:
                return given | parse_env_file(stream.read())
        except FileNotFoundError:
            if path.startswith("-"):
                return given
            raise

    def _become(self, argv: list[str], environment: dict[str, str], who: Login, failed: int) -> NoReturn:
        try:
            os.setsid()
            os.dup2(self._log, 1)
            os.dup2(self._log, 2)
            os.setgroups(who.groups)
            os.setgid(who.gid)
            os.setuid(who.uid)
            restore_signals()
            os.execvpe(argv[0], argv, environment)
        except (OSError, IndexError, ValueError) as error:
            number = error.errno if isinstance(error, OSError) and error.errno else 22
            os.write(failed, f"{number} {argv[0] if argv else 'an empty command'}".encode())
        finally:
            os._exit(127)

    def _anyone_left(self) -> bool:
        """Collect the dead. Daemons that the main process left behind are children of ours by now."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._main:
                code = os.waitstatus_to_exitcode(status)
                self._last_exit = f"signal {-code}" if code < 0 else f"exit code {code}"
                self._main = 0

    def _restart(self) -> None:
        self._restarts = [*self._restarts, time.monotonic()][-RESTARTS_PER_MINUTE * 2 :]
        self._due = None
        try:
            self._start()
        except (OSError, LookupError, ValueError) as error:
            self._last_exit = _sentence(error)
            self._due = restart_due(time.monotonic(), self._restarts)
        self._write_state("running" if self._due is None else "waiting")

    def _stop(self) -> None:
        """End every descendant, politely for ten seconds, then not."""
        self._write_state("stopping")
        for number, patience_s in ((signal.SIGTERM, STOP_GRACE_S), (signal.SIGKILL, _KILL_PATIENCE_S)):
            deadline = time.monotonic() + patience_s
            sent: set[int] = set()
            while self._anyone_left() and time.monotonic() < deadline:
                for pid in set(_descendants(os.getpid()) or filter(None, [self._main])) - sent:
                    with contextlib.suppress(OSError):
                        os.kill(pid, number)
                    sent.add(pid)
                signal.sigtimedwait({signal.SIGCHLD}, 0.05)
        for name in ("state", "pid"):
            with contextlib.suppress(OSError):
                os.unlink(f"{self._folder}/{name}")

    def _bound_log(self) -> None:
        if os.fstat(self._log).st_size <= _LOG_LIMIT:
            return
        path = f"{self._folder}/log"
        with open(path, "rb") as stream:
            stream.seek(-_LOG_KEPT, os.SEEK_END)
            kept = stream.read()
        os.ftruncate(self._log, 0)  # the service writes with O_APPEND, so it goes on at the new end
        os.write(self._log, kept)

    def _write_state(self, status: str) -> None:
        state = {
            "status": status,
            "main": self._main,
            "restarts": len(self._restarts),
            "last_exit": self._last_exit,
        }
        self._write("state", json.dumps(state))

    def _write(self, name: str, text: str) -> None:
        """Replace a file at once. A full file system must not end the service."""
        with contextlib.suppress(OSError):
            with open(f"{self._folder}/.{name}", "w", encoding="utf-8") as stream:
                stream.write(text)
            os.replace(f"{self._folder}/.{name}", f"{self._folder}/{name}")


def _descendants(root: int) -> list[int]:
    """List the processes below `root`; empty where procfs is not mounted."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                with open(f"/proc/{name}/stat", "rb") as stream:
                    fields = stream.read().rpartition(b")")[2].split()
                children.setdefault(int(fields[_PARENT_FIELD]), []).append(int(name))
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found
