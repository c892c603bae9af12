"""A program of a step: started in a session of its own, its lines in the run's log at once, ended with the step."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from workflow_agent.agents.process_tree import MARK, end_marked, mark_of
from workflow_agent.model.errors import NotFoundError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.agents.flow_log import FlowLog
    from workflow_agent.model.message import Message

__all__ = ["MOST_BYTES", "Program", "Ran", "run_logged"]

#: Bytes of a program's output that its result keeps, where nothing else is said.
MOST_BYTES: Final = 1 << 20
#: Longest line that is read as one.
_LINE_BYTES: Final = 1 << 20
#: Seconds that a program has to end after a signal of its own choice.
_GRACE_S: Final = 5.0
_TAIL: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is started. `env` is added to this process's environment, without `withheld`; `stdin` None is no input."""

    command: Sequence[str]
    env: Mapping[str, str]
    folder: str | None = None
    stdin: str | None = None
    stop_signal: signal.Signals = signal.SIGKILL
    most_bytes: int = MOST_BYTES
    withheld: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a program wrote, without the last line end, whether the end of it was left out, and its exit code."""

    text: str
    code: int
    truncated: bool

    @property
    def tail(self) -> list[str]:
        """Its last lines."""
        return self.text.splitlines()[-_TAIL:]


async def run_logged(program: Program, message: Message, log: FlowLog) -> Ran:
    """Run a program to its end; what it started ends when the request is withdrawn.

    Raises:
        NotFoundError: the program is not there, or its folder cannot be used.
    """
    process = await _started(program, message)
    kept, size = bytearray(), 0
    assert process.stdout is not None
    writing = asyncio.ensure_future(_write(process, program.stdin))
    try:
        while line := await _line(process.stdout):
            size += len(line)
            kept += line[: max(0, program.most_bytes - len(kept))]
            log.log("info", line.decode("utf-8", "replace").rstrip("\n"))
        code = await process.wait()
    except asyncio.CancelledError:
        await _ended(process, program.stop_signal)
        end_marked(_mark(message))
        raise
    finally:
        writing.cancel()
        _signal(process, signal.SIGKILL)
        await log.flush()
    text = kept.decode("utf-8", "replace").removesuffix("\n")
    return Ran(text=text, code=code, truncated=size > len(kept))


async def _line(stream: asyncio.StreamReader) -> bytes:
    """Read a line; one that is too long comes in pieces."""
    try:
        return await stream.readuntil()
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.readexactly(error.consumed)


async def _started(program: Program, message: Message) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *program.command,
            stdin=asyncio.subprocess.DEVNULL if program.stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=program.folder,
            env={**_inherited(program.withheld), **program.env, MARK: _mark(message)},
            start_new_session=True,
            limit=_LINE_BYTES,
        )
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        if program.folder is not None and error.filename == program.folder:
            text = f"the folder of `{message.step_id}` cannot be used"
        else:
            text = f"`{program.command[0]}` cannot be started"
        raise NotFoundError(text, where=str(error.filename), cause=error.strerror) from error


def _inherited(withheld: frozenset[str]) -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if name not in withheld} if withheld else os.environ


async def _write(process: asyncio.subprocess.Process, text: str | None) -> None:
    if text is None or process.stdin is None:
        return
    with suppress(BrokenPipeError, ConnectionResetError):  # it ended without reading all
        process.stdin.write(text.encode())
        await process.stdin.drain()
        process.stdin.close()


async def _ended(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Ask a program to end, and wait for that a while; who is cancelled waits no longer than this."""
    _signal(process, number)
    if number is not signal.SIGKILL:
        await asyncio.wait({asyncio.ensure_future(process.wait())}, timeout=_GRACE_S)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal the program and all that it started and that stayed in its session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _mark(message: Message) -> str:
    return mark_of(str(message.run_id), str(message.step_id), message.attempt)
