"""A script's output: to whoever watches, and to a file of the run, both bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from workflow_agent.model.message import PRIORITY_LOW, Message

if TYPE_CHECKING:
    from pathlib import Path

    from workflow_agent.model.ports import Bus

__all__ = ["OutputLog"]

_TAIL = 20
#: Lines waiting to be published; more are not shown live, but they are in the file.
_LIVE_LIMIT = 2000


class OutputLog:
    """Takes lines while it is open; ``output.log`` in the folder of the run holds the first `limit` bytes."""

    def __init__(self, bus: Bus, folder: Path, message: Message, *, limit: int) -> None:
        self._bus = bus
        self._path = folder / "output.log"
        self._message = message
        self._left = limit
        self._bytes = 0
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._live: asyncio.Queue[str | None] = asyncio.Queue()
        self._stream: BinaryIO | None = None
        self._pump: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._stream = await asyncio.to_thread(self._path.open, "wb")
        self._pump = asyncio.create_task(self._publish())
        return self

    def line(self, line: str) -> None:
        """Take one line."""
        data = line.encode("utf-8", "replace") + b"\n"
        self._bytes += len(data)
        self._tail.append(line)
        if self._stream is not None and self._left > 0:
            self._stream.write(data[: self._left])
            self._left -= len(data)
        if self._live.qsize() < _LIVE_LIMIT:
            self._live.put_nowait(line)

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
        self._live.put_nowait(None)
        try:
            if self._pump is not None:
                await self._pump
        finally:
            if self._stream is not None:
                self._stream.close()

    def summary(self) -> dict[str, Any]:
        """Give what history keeps: the file, the size, whether it was cut, and the last lines."""
        return {
            "path": str(self._path),
            "bytes": self._bytes,
            "truncated": self._left < 0,
            "tail": list(self._tail),
        }
