"""Run a command on a target as it is now: in the namespaces and the root of one of its processes.

What belongs here: starting :mod:`enter_program` and reading its answer. What does not: scripts of
integrations (those are captured), services (``services``).
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import InternalError, UnreachableError
from workflow_agent.model.records import dataclass
from workflow_agent.targets.programs import program_argv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["CLEAN_ENVIRONMENT", "LiveResult", "ask_program", "drop_ready", "make_ready", "run_live"]

#: All that a live command finds in its environment unless the caller adds to it.
CLEAN_ENVIRONMENT: dict[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
_GRACE_S = 10.0
_ENTER = "enter_program"
#: Started before it is known what to run; each belongs to the event loop that started it.
_ready: list[tuple[asyncio.AbstractEventLoop, asyncio.subprocess.Process]] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveResult:
    """How a live command ended.

    `exit_code` is negative for a signal, 127 when the command does not exist, 126 when it cannot be run.
    Output longer than the limit keeps its first and last half. Bytes that are no UTF-8 are replaced.
    """

    exit_code: int
    stdout: str
    stderr: str
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """Whether it ended in time with 0. For services that is a hint, never a proof."""
        return self.exit_code == 0 and not self.timed_out

    def last_lines(self, count: int = 5) -> str:
        """Give the last lines that say something, standard error after standard output."""
        lines = [line for line in (self.stdout + "\n" + self.stderr).splitlines() if line.strip()]
        return "\n".join(lines[-count:])


async def run_live(
    pid: int,
    argv: Sequence[str],
    *,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    output_limit: int = 1 << 20,
) -> LiveResult:
    """Run `argv` in the namespaces and root of process `pid` and wait for it, not for what it leaves behind.

    The command gets a session of its own, no descriptors but its three, and a clean environment. Its whole
    session is killed when time is over, when this call is cancelled and when this process dies. Daemons with
    sessions of their own go on.

    Args:
        pid: Process whose system it is; 0 is our own.
        argv: The command, looked up in the target's PATH.
        timeout_s: Seconds for the command.
        env: Added to :data:`CLEAN_ENVIRONMENT`. Not visible to other users.
        stdin: What the command reads; nothing when None.
        output_limit: Bytes kept of each stream.

    Raises:
        UnreachableError: The process is gone or its namespaces cannot be entered.
    """
    request = {
        "pid": pid,
        "argv": list(argv),
        "env": {**CLEAN_ENVIRONMENT, **(env or {})},
        "stdin": None if stdin is None else base64.b64encode(stdin).decode(),
        "timeout_s": timeout_s,
        "output_limit": output_limit,
    }
    answer = await ask_program(_ENTER, request, timeout_s=timeout_s + _GRACE_S)
    if "error" in answer:
        raise UnreachableError(
            f"the system of process {pid} cannot be entered",
            cause=str(answer["error"]),
            hint="look whether it still runs",
        )
    return LiveResult(
        exit_code=int(answer["exit_code"]),
        stdout=base64.b64decode(answer["stdout"]).decode("utf-8", "replace"),
        stderr=base64.b64decode(answer["stderr"]).decode("utf-8", "replace"),
        timed_out=bool(answer["timed_out"]),
    )


async def ask_program(
    name: str,
    request: Mapping[str, Any],
    *,
    timeout_s: float,
    label: str = "",
) -> dict[str, Any]:
    """Start a program of this package, send it one JSON line, take its JSON answer.

    Its standard input stays open until it ends: closing it, also by dying, calls it back. `label` is for
    people who look at the process list.

    Raises:
        InternalError: It gave no answer.
    """
    process = (_take_ready() if name == _ENTER else None) or await _start(name, label)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        process.stdin.write(json.dumps(request).encode() + b"\n")
        async with asyncio.timeout(timeout_s):
            said, trouble = await asyncio.gather(process.stdout.read(), process.stderr.read())
    except (TimeoutError, ConnectionError) as error:
        raise InternalError(f"`{name}` gave no answer", cause=str(error) or "it hangs") from error
    finally:
        process.stdin.close()
        await asyncio.shield(_ended(process))
    if not said:
        raise InternalError(f"`{name}` gave no answer", cause=trouble.decode("utf-8", "replace")[-2000:])
    answer = json.loads(said)
    assert isinstance(answer, dict)
    return answer


async def make_ready() -> None:
    """Start the program of the next :func:`run_live` already: it gets ready while other things are done.

    Who calls this calls :func:`drop_ready` in the end.
    """
    loop = asyncio.get_running_loop()
    if not any(owner is loop for owner, _ in _ready):
        _ready.append((loop, await _start(_ENTER, "")))


async def drop_ready() -> None:
    """End the program that nobody needed, if there is one."""
    if (process := _take_ready()) is not None:
        assert process.stdin is not None
        process.stdin.close()  # that is all that it waits for
        await _ended(process)


def _take_ready() -> asyncio.subprocess.Process | None:
    loop = asyncio.get_running_loop()
    mine = [entry for entry in _ready if entry[0] is loop]
    for entry in mine:
        _ready.remove(entry)
    return next((process for _, process in mine if process.returncode is None), None)


async def _start(name: str, label: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *program_argv(f"workflow_agent.targets.{name}", *([label] if label else [])),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        cwd="/",
        env=CLEAN_ENVIRONMENT,  # ours may hold secrets, and a supervisor lives long
    )


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_GRACE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
