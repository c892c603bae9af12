"""Runs a script over overlays of a target and gives what it did: the engine's side of ``capture_program.py``."""

from __future__ import annotations

import asyncio
import codecs
import json
import os
import re
import signal
from collections import deque
from contextlib import nullcontext, suppress
from dataclasses import field
from typing import TYPE_CHECKING, Any, Self

from workflow_agent.model.errors import CaptureError, ScriptFailedError, StepTimeoutError
from workflow_agent.model.records import dataclass
from workflow_agent.security.delivery import secret_path
from workflow_agent.targets.live_tree import transaction_folder
from workflow_agent.targets.mounts import Mount, MountUse
from workflow_agent.targets.programs import program_argv
from workflow_agent.targets.quota import CaptureQuota

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from workflow_agent.model.system import CaptureCommand, Script

__all__ = [
    "ENVIRONMENT",
    "CaptureHome",
    "CaptureProgram",
    "CaptureResult",
    "OutputLines",
    "capture_output",
    "capture_script",
    "failed_line",
    "out_of_time",
    "overlay_reason",
    "require_success",
    "script_path",
    "traces_failures",
]

_TAIL_LINES = 20
_TRIAL_S = 120.0
#: Where the capture program attaches a store.
_STORE = "/.workflow-agent/stage/store"
_LINE_LIMIT = 64 << 10
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,100}")
_WATCH_S = 0.25
_END_S = 10.0
#: What a script sees of an environment.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "SYSTEMD_OFFLINE": "1",
    "TERM": "dumb",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureResult:
    """How the script ended, which service actions it asked for (recorder's lines), and what it did beside files.

    `outside`: ``{"processes": [{"command", "ports"}], "requests": [{"what", "where", "count"}], "memory": [path]}``.
    """

    exit_code: int
    requested: str
    tail: tuple[str, ...]
    outside: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureHome:
    """The home folder of a person without root, what in it scripts do not see, and what they see of an environment."""

    point: str
    hidden: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(slots=True)
class OutputLines:
    """Cuts a byte stream into lines, remembers the last ones, and hands each on."""

    sink: Callable[[str], None]
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    _rest: str = ""
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        *lines, self._rest = (self._rest + self._decoder.decode(chunk)).split("\n")
        for line in lines:
            self._emit(line)
        while len(self._rest) > _LINE_LIMIT:  # a "line" without an end must not grow for ever
            self._emit(self._rest[:_LINE_LIMIT])
            self._rest = self._rest[_LINE_LIMIT:]

    def end(self) -> None:
        """Hand on a last line without an end."""
        if self._rest:
            self._emit(self._rest)
            self._rest = ""

    def _emit(self, line: str) -> None:
        line = line.rstrip("\r")
        self.tail.append(line)
        self.sink(line)


async def capture_script(
    *,
    target_pid: int,
    root_fd: int,
    transaction: str,
    mounts: Sequence[tuple[Mount, MountUse]],
    shims: Sequence[dict[str, str]],
    script: Script,
    secrets: Mapping[str, str],
    timeout_s: float,
    on_output: Callable[[str], None],
    quota: CaptureQuota,
    store_fd: int | None = None,
    home: CaptureHome | None = None,
    program: CaptureProgram | None = None,
) -> CaptureResult:
    """Run a script in a capture; the staged trees lie in the transaction's folders afterwards.

    On return, on any error and on cancellation no process of the script is alive. Call it from the main thread:
    the parent-death signal is tied to the thread that starts the program. With `store_fd`, a folder of this machine,
    they lie below that instead: nothing can be staged on the overlay of a container. With `home`, a person without
    root runs it: their home folder is the one mount, and nothing else can be written. A `program` that was started
    before belongs to who started it; it knows no `store_fd`.

    Raises:
        ScriptFailedError: the script ended with an error (details: exit_code, tail).
        StepTimeoutError: it ran out of time.
        CaptureError: the capture could not be set up, or the quota was passed.
    """
    spec = {
        "target_pid": target_pid,
        "transaction": transaction,
        "store_fd": store_fd,
        "mounts": _mount_specs(mounts, transaction, stored=store_fd is not None, is_home=home is not None),
        "shims": list(shims),
        "script": script.text,
        "script_path": script_path(script),
        "secrets": {secret_path(name): value for name, value in secrets.items()},
        "interpreter": script.interpreter,
        "options": list(script.options),
        "arguments": list(script.arguments),
        "traced": traces_failures(script),
        "environment": ENVIRONMENT,
        "files": [
            {"path": item.path, "content": item.content, "mode": item.mode, "owner": item.owner}
            for item in script.files
        ],
        "removes": list(script.removes),
        "directories": [dict(item) for item in script.directories],
        "before": [_command_spec(item) for item in script.before],
        "after": [_command_spec(item) for item in script.after],
        "most_processes": quota.max_processes,
    } | _of_home(home)
    lines = OutputLines(on_output)
    points = [mount.point for mount, use in mounts if use is MountUse.OVERLAY]
    async with CaptureProgram(store_fd) if program is None else nullcontext(program) as running:
        watched = root_fd if store_fd is None else store_fd
        watch = asyncio.create_task(_watch_quota(watched, points, quota, running))
        try:
            async with asyncio.timeout(timeout_s):
                report = await running.run(spec, lines)
        except BaseException as error:
            await running.end()
            if isinstance(error, TimeoutError):
                raise out_of_time(timeout_s, lines) from error
            raise
        finally:
            watch.cancel()
    if running.stopped_because:
        raise CaptureError(running.stopped_because, state="nothing was changed; its processes were ended")
    if report.get("too_many"):
        raise CaptureError(
            f"the script had more than {quota.max_processes} processes at once",
            cause="that is the most it may have; it may be starting itself over and over",
            state="nothing was changed; its processes were ended",
            hint="if it needs as many, raise `limits.capture_processes`",
        )
    return _judge(report, lines, script)


async def capture_output(
    text: str,
    *,
    target_pid: int,
    root_fd: int,
    transaction: str,
    mounts: Sequence[tuple[Mount, MountUse]],
    quota: CaptureQuota,
    store_fd: int | None,
) -> list[str]:
    """Run a shell text of ours in a capture and give its output; what it did there is not looked at.

    Raises:
        CaptureError: it could not be run, or it failed.
    """
    from workflow_agent.model.system import Provenance, Script  # noqa: PLC0415  # late: only here

    origin = Provenance(integration="", action="", version="", template="", template_hash="")
    output: list[str] = []
    try:
        await capture_script(
            target_pid=target_pid,
            root_fd=root_fd,
            transaction=transaction,
            mounts=mounts,
            shims=[],
            script=Script(text=text, hash="", provenance=origin, interpreter="/bin/sh"),
            secrets={},
            timeout_s=_TRIAL_S,
            on_output=output.append,
            quota=quota,
            store_fd=store_fd,
        )
    except (ScriptFailedError, StepTimeoutError) as error:
        raise CaptureError(
            "what the rollback would leave cannot be tried out",
            cause=error.cause or error.message,
            state="nothing was changed",
        ) from error
    return output


def script_path(script: Script) -> str:
    """Give the path at which a script lies while it runs; a person's own has its own name, which it may print."""
    name = script.provenance.template
    own = script.provenance.integration is None and _PLAIN_NAME.fullmatch(name)
    return f"/run/workflow-agent/own/{name}" if own else "/run/workflow-agent/script"


def traces_failures(script: Script) -> bool:
    """Tell whether bash itself runs the script: it can note the line at which a command failed."""
    words = [script.interpreter, *script.options[:1]]
    program = words[-1] if words[0].endswith("/env") else words[0]
    return program.rpartition("/")[2] == "bash"


def _judge(report: dict[str, Any], lines: OutputLines, script: Script) -> CaptureResult:
    if report["stage"] == "error":
        raise CaptureError(
            "the script's effects could not be captured",
            cause=report["message"],
            state="nothing was changed",
            hint=report.get("hint") or "`workflow-agent doctor` says what this system lacks",
        )
    if "exit_code" not in report:
        raise CaptureError(
            "the capture ended without a report",
            cause=" / ".join(lines.tail) or None,
            state="nothing was changed",
        )
    code = report["exit_code"]
    if "command" in report:
        raise _command_failed(report["command"], lines)
    require_success(code, lines, failed_line(script, code, report.get("failed", ""), lines.tail))
    return CaptureResult(
        exit_code=code, requested=report["requested"], tail=tuple(lines.tail), outside=report["outside"]
    )


def _command_spec(command: CaptureCommand) -> dict[str, Any]:
    return {
        "argv": list(command.argv),
        "label": command.label,
        "stdin": command.stdin,
        "timeout_s": command.timeout_s,
    }


def _command_failed(ended: Mapping[str, Any], lines: OutputLines) -> ScriptFailedError:
    """Say which of the commands around the script failed; what it printed is the end of the output."""
    code = ended["exit_code"]
    how = "did not end in time" if code is None else f"ended with {_ending(code)}"
    return ScriptFailedError(
        f"{ended['label']} {how}",
        cause=next((said for said in reversed(lines.tail) if said.strip()), None),
        state="nothing was changed",
        details={"exit_code": code, "command": ended["label"], "line": None, "tail": list(lines.tail)},
    )


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def failed_line(script: Script, code: int, noted: str, tail: Iterable[str]) -> int | None:
    """Give the line of the script at which it failed; None when nothing tells.

    Args:
        script: What ran.
        code: How it ended.
        noted: What bash wrote at the last failing command: its exit code and its line.
        tail: The last lines of output: shells name the line of some errors themselves.
    """
    last = script.text.count("\n") + 1
    status, _, line = noted.strip().partition(" ")
    if status == str(code) and line.isdecimal() and 0 < int(line) <= last:
        return int(line)
    # as bash and dash name a line of the script in their own messages
    message = re.compile(re.escape(script_path(script)) + r": (?:line )?(\d+): ")
    said = [int(match[1]) for line in tail if (match := message.match(line))]
    return next((number for number in reversed(said) if 0 < number <= last), None)


def require_success(code: int, lines: OutputLines, line: int | None = None) -> None:
    """Raise ScriptFailedError for a script that ended with an error (details: exit_code, line, tail)."""
    if code == 0:
        return
    raise ScriptFailedError(
        f"the script ended with {_ending(code)}",
        cause=next((said for said in reversed(lines.tail) if said.strip()), None),
        state="nothing was changed",
        details={"exit_code": code, "line": line, "tail": list(lines.tail)},
    )


def out_of_time(timeout_s: float, lines: OutputLines) -> StepTimeoutError:
    """Make the error of a script that took too long."""
    return StepTimeoutError(
        f"the script did not end within {timeout_s:g} s",
        state="nothing was changed; its processes were ended",
        details={"tail": list(lines.tail)},
    )


def _of_home(home: CaptureHome | None) -> dict[str, Any]:
    """Give what is different in a spec when a person without root runs the script."""
    if home is None:
        return {}
    return {
        "home": {"point": home.point, "hidden": list(home.hidden), "uid": os.geteuid(), "gid": os.getegid()},
        "folder": home.point,
        "environment": {**ENVIRONMENT, **home.environment},
    }


def _mount_specs(
    mounts: Sequence[tuple[Mount, MountUse]], transaction: str, *, stored: bool = False, is_home: bool = False
) -> list[dict[str, object]]:
    specs: list[dict[str, object]] = []
    for mount, use in mounts:
        if use is MountUse.PRIVATE:
            continue
        folder = (_STORE if stored else "") + os.fsdecode(transaction_folder(mount.point, transaction))
        specs.append(
            {
                "point": os.fsdecode(mount.point),
                "overlay": use is MountUse.OVERLAY,
                "upper": folder + "/upper",
                "work": folder + "/work",
                # Needs file handles, which the overlay of a container does not give, and nobody without root gets.
                "index": "off" if stored or is_home else "on",
            }
        )
    return specs


class CaptureProgram:
    """The program that runs a script: its output and report, and its certain end.

    It can be started before it is known what to run: it needs a while until it can be told. Start it in the main
    thread: the parent-death signal is tied to the thread that starts it.

    Args:
        store_fd: A folder of this machine below which it stages; on the target when omitted.
    """

    def __init__(self, store_fd: int | None = None) -> None:
        self._descriptors = () if store_fd is None else (store_fd,)
        self._process: asyncio.subprocess.Process | None = None
        self._report_fd = -1
        self.stopped_because: str | None = None

    async def __aenter__(self) -> Self:
        # A file, not a pipe: nobody has to read while it is written, however long it gets.
        self._report_fd = os.memfd_create("workflow-agent-report")
        try:
            self._process = await asyncio.create_subprocess_exec(
                *program_argv("workflow_agent.targets.capture_program"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(self._report_fd, *self._descriptors),
                start_new_session=True,
                env={},
            )
        except BaseException as error:
            os.close(self._report_fd)
            if isinstance(error, OSError):
                raise CaptureError("no capture can be begun", cause=str(error), state="nothing was changed") from error
            raise
        return self

    async def run(self, spec: Mapping[str, Any], lines: OutputLines) -> dict[str, Any]:
        """Send the spec, pump the output, give the last report."""
        told = {**spec, "engine_pid": os.getpid(), "report_fd": self._report_fd}
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(ConnectionError):  # it may have failed at once; its report says why
            process.stdin.write(json.dumps(told).encode() + b"\n")
            await process.stdin.drain()
        process.stdin.close()
        while chunk := await process.stdout.read(1 << 16):
            lines.feed(chunk)
        lines.end()
        await process.wait()
        with os.fdopen(os.dup(self._report_fd), "rb") as stream:
            stream.seek(0)
            reports = [json.loads(line) for line in stream.read().splitlines()]
        errors = [report for report in reports if report["stage"] == "error"]
        return errors[0] if errors else reports[-1] if reports else {"stage": "none"}

    def stop(self, reason: str) -> None:
        """End the program because of `reason`."""
        self.stopped_because = reason
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    async def end(self) -> None:
        """See to it that nothing of it is alive."""
        if self._process is not None and self._process.returncode is None:
            await asyncio.shield(_end(self._process))

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.end()
        finally:
            os.close(self._report_fd)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask the program to end its namespace and wait for it; a program that does not answer is killed.

    Asked, it ends process 1 of the capture and waits until the kernel has killed everything below it.
    """
    process.terminate()
    try:
        async with asyncio.timeout(_END_S):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()


async def _watch_quota(root_fd: int, points: list[bytes], quota: CaptureQuota, program: CaptureProgram) -> None:
    """Stop a script that fills the disk; measured by what the file system has left, which costs nothing."""
    paths = [f"/proc/self/fd/{root_fd}/{os.fsdecode(point.strip(b'/'))}" for point in points]
    start = [os.statvfs(path) for path in paths]
    while True:
        await asyncio.sleep(_WATCH_S)
        for point, path, first in zip(points, paths, start, strict=True):
            now = os.statvfs(path)
            used = (first.f_bfree - now.f_bfree) * now.f_frsize
            entries = first.f_ffree - now.f_ffree
            floor = min(quota.keep_free_bytes, first.f_bfree * first.f_frsize // 4)
            if used > quota.max_bytes or entries > quota.max_entries or now.f_bfree * now.f_frsize < floor:
                program.stop(
                    f"the script staged {used >> 20} MiB and {entries} entries on {os.fsdecode(point)}, "
                    f"the quota is {quota.max_bytes >> 20} MiB and {quota.max_entries} entries, "
                    f"and {floor >> 20} MiB stay free"
                )
                return


async def overlay_reason(
    target_pid: int,
    transaction: str,
    mounts: Sequence[tuple[Mount, MountUse]],
    home: CaptureHome | None = None,
    store_fd: int | None = None,
) -> str | None:
    """Try to set a capture up over the target's file systems; gives why it cannot be, None when it can."""
    spec: dict[str, object] = {
        "try_only": True,
        "target_pid": target_pid,
        "transaction": transaction,
        "store_fd": store_fd,
        "mounts": _mount_specs(mounts, transaction, stored=store_fd is not None, is_home=home is not None),
        "shims": [],
        "script": "",
        "files": [],
        "most_processes": CaptureQuota().max_processes,
    } | _of_home(home)
    lines = OutputLines(lambda _: None)
    async with CaptureProgram(store_fd) as program:
        report = await program.run(spec, lines)
    if report["stage"] == "done":
        return None
    return str(report.get("message") or " / ".join(lines.tail) or "the capture program did not start")
