"""One conversation with a probe program: questions and answers as JSON lines over two pipes, on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import UnreachableError
from workflow_agent.targets.spare_program import take_spare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.targets.spare_program import PipedProgram

__all__ = ["ProbeSession", "ProgramDiedError"]

_ANSWER_GRACE_S = 5.0
_START_S = 10.0
_STOP_S = 2.0
_LINE_LIMIT = 64 << 20
_READ = 64 << 10


class ProgramDiedError(Exception):
    """The program ended before it answered; only inside `targets`."""


class ProbeSession:
    """One living probe program and the questions it has not answered."""

    def __init__(self, process: _Process, pipes: _Pipes) -> None:
        self._process = process
        self._pipes = pipes
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last_id = 0
        self.dead = False
        self._reader = asyncio.create_task(self._read(), name=f"probe program {process.pid}")
        self._reader.add_done_callback(lambda task: task.cancelled() or task.exception())

    @classmethod
    async def start(cls, pid: int) -> ProbeSession:
        """Start the program in the target of `pid`; raises UnreachableError."""
        program = take_spare()
        process = _Process(program.pid)
        pipes = _Pipes(program)
        pipes.send({"target": pid})
        try:
            async with asyncio.timeout(_START_S):
                first = await pipes.reader.readline()
        except BaseException as error:
            await _end(process, pipes, at_once=True)
            if isinstance(error, TimeoutError):
                raise UnreachableError("the probe program did not start in time") from error
            raise
        greeting = json.loads(first) if first else {"fatal": "it ended at once"}
        if "ready" not in greeting:
            await _end(process, pipes, at_once=True)
            raise UnreachableError("the probe program cannot start", where=f"process {pid}", cause=greeting["fatal"])
        return cls(process, pipes)

    async def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer; raises ProgramDiedError."""
        if self.dead:
            raise ProgramDiedError("it ended")
        self._last_id += 1
        number = self._last_id
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._pipes.send({"id": number, **request})
            async with asyncio.timeout(request["limit_s"] + _ANSWER_GRACE_S):
                return await answer
        except TimeoutError as error:
            self.dead = True
            raise ProgramDiedError("it does not answer") from error
        except asyncio.CancelledError:
            self._pipes.send({"cancel": number})
            raise
        finally:
            del self._waiting[number]

    async def _read(self) -> None:
        try:
            while line := await self._pipes.reader.readline():
                reply = json.loads(line)
                waiting = self._waiting.get(reply["id"])
                if waiting is not None and not waiting.done():
                    waiting.set_result(reply)
        finally:
            self._give_up(ProgramDiedError(f"process {self._process.pid} ended"))

    def _give_up(self, reason: Exception) -> None:
        self.dead = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(reason)

    async def close(self, reason: Exception) -> None:
        """End the program; who still waits for an answer gets `reason`."""
        dead = self.dead
        self._give_up(reason)
        await _end(self._process, self._pipes, at_once=dead)
        self._reader.cancel()
        await asyncio.wait([self._reader])  # its end was told to those who wait; nothing more to learn


class _Pipes:
    """The program's input and output on the event loop. Nothing here waits, so that no cancellation leaves a pipe."""

    def __init__(self, program: PipedProgram) -> None:
        self.reader = asyncio.StreamReader(limit=_LINE_LIMIT)
        self._loop = asyncio.get_running_loop()
        self._in, self._out = program.stdin, program.stdout
        self._unsent = bytearray()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._loop.add_reader(self._out, self._hear)

    def _hear(self) -> None:
        try:
            data = os.read(self._out, _READ)
        except BlockingIOError:
            return
        if data:
            self.reader.feed_data(data)
        else:
            self._loop.remove_reader(self._out)
            self.reader.feed_eof()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a line, at once or when the program has read what is before it."""
        if self._in >= 0:
            self._unsent += json.dumps(message).encode() + b"\n"
            self._push()

    def _push(self) -> None:
        try:
            del self._unsent[: os.write(self._in, self._unsent)]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # it died: the end of its output says so
            self._unsent.clear()
        if self._unsent:
            self._loop.add_writer(self._in, self._push)
        else:
            self._loop.remove_writer(self._in)

    def close_input(self) -> None:
        """Ask the program to end."""
        if self._in >= 0:
            self._loop.remove_writer(self._in)
            os.close(self._in)
            self._in = -1

    def close(self) -> None:
        """Let go of both, also where a dying child of the program still holds the other end."""
        self.close_input()
        if self._out >= 0:
            self._loop.remove_reader(self._out)
            os.close(self._out)
            self._out = -1
            self.reader.feed_eof()


class _Process:
    """A child of ours; its end is an event of the loop, without a thread that waits."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = False

    async def wait(self) -> None:
        """Wait until it has ended, and collect it."""
        if self._ended:
            return
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        descriptor = os.pidfd_open(self.pid)
        loop.add_reader(descriptor, _settle, ended)
        try:
            await ended
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        self._collect(0)

    def kill(self) -> None:
        """Kill it, unless it is gone."""
        if not self._collect(os.WNOHANG):
            os.kill(self.pid, signal.SIGKILL)

    def _collect(self, options: int) -> bool:
        if not self._ended:
            try:
                self._ended = os.waitpid(self.pid, options)[0] == self.pid
            except ChildProcessError:  # somebody else collects the children of this process
                self._ended = True
        return self._ended


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _end(process: _Process, pipes: _Pipes, *, at_once: bool) -> None:
    """Let the program end by itself, or kill it; its children die with it."""
    pipes.close_input()
    try:
        if not at_once:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await process.wait()
        process.kill()
        await process.wait()
    finally:
        pipes.close()
