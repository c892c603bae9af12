"""A script's output: to whoever watches, and to a file of the run, both bounded. It never fails the script."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.model.message import PRIORITY_LOW, Message
from workflow_agent.security.masker import LineMasker

if TYPE_CHECKING:
    from pathlib import Path

    from workflow_agent.model.ports import Bus
    from workflow_agent.security.masker import Masker

__all__ = ["OutputLog"]

_TAIL: Final = 20
#: Characters of a line that history keeps; the file has all of it.
_TAIL_LINE: Final = 2000
#: Lines waiting to be published; more are not shown live, but they are in the file.
_LIVE_LIMIT: Final = 2000
#: Seconds that watchers have, after the script has ended, to take what is left.
_LIVE_S: Final = 2.0


class OutputLog:
    """Takes lines while it is open; ``output.log`` in the folder of the run holds the first `limit` bytes."""

    def __init__(self, bus: Bus, folder: Path, message: Message, *, limit: int, masker: Masker | None = None) -> None:
        self._bus = bus
        self._path = folder / "output.log"
        self._message = message
        self._limit = limit
        self._lines = LineMasker(masker) if masker is not None else None
        self._bytes = 0
        self._written = 0
        self._problem: str | None = None
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._live: asyncio.Queue[str | None] = asyncio.Queue()
        self._stream: BinaryIO | None = None
        self._pump: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            self._stream = await asyncio.to_thread(self._path.open, "wb")
        except OSError as error:
            self._give_up(error)
        self._pump = asyncio.create_task(self._publish())
        return self

    def line(self, line: str) -> None:
        """Take one line; what may be the beginning of a secret waits for the next one."""
        for masked in [line] if self._lines is None else self._lines.line(line):
            self._take(masked)

    @property
    def tail(self) -> list[str]:
        """The last lines."""
        return list(self._tail)

    def _take(self, line: str) -> None:
        data = line.encode("utf-8", "replace") + b"\n"
        self._bytes += len(data)
        self._tail.append(line[:_TAIL_LINE])
        part = data[: self._limit - self._written]
        if self._stream is not None and part:
            try:
                self._stream.write(part)
                self._written += len(part)
            except OSError as error:
                self._give_up(error)
        if self._live.qsize() < _LIVE_LIMIT:
            self._live.put_nowait(line)

    def _give_up(self, error: OSError) -> None:
        """Go on without the file: a full disk of ours is no reason to stop a script."""
        self._problem = error.strerror or str(error)
        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(OSError):
                stream.close()

    async def _publish(self) -> None:
        while (line := await self._live.get()) is not None:
            await self._bus.publish(
                Message(
                    subject=f"run.{self._message.run_id}.output",
                    type="output",
                    source="executor",
                    data={"step": self._message.step_id, "line": line},
                    run_id=self._message.run_id,
                    step_id=self._message.step_id,
                    priority=PRIORITY_LOW,
                )
            )

    async def __aexit__(self, *_: object) -> None:
        for masked in [] if self._lines is None else self._lines.end():
            self._take(masked)
        self._live.put_nowait(None)
        try:
            if self._pump is not None:
                # Who watches may be slow, or the bus may stop: what is shown live is a hint, the file is complete.
                with suppress(TimeoutError, WorkflowAgentError):
                    await asyncio.wait_for(self._pump, _LIVE_S)
        finally:
            if self._stream is not None:
                try:
                    self._stream.close()
                except OSError as error:
                    self._stream = None
                    self._give_up(error)

    def summary(self) -> dict[str, Any]:
        """Give what history keeps: the file, the size, whether it was cut (and by what), and the last lines."""
        return {
            "path": str(self._path),
            "bytes": self._bytes,
            "truncated": self._problem is not None or self._written < self._bytes,
            "problem": self._problem,
            "tail": list(self._tail),
        }
