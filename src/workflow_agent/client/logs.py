"""The log of a run: what its steps said, line by line."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from workflow_agent.client.connection import blocking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from workflow_agent.client.port import FlowRecords, OpenRecords

__all__ = ["LogStream", "log_lines"]

_POLL_S = 0.1


def log_lines(records: FlowRecords, run_id: str) -> list[str]:
    """List the lines so far."""
    return _Growing(records.artifacts(run_id) / "output.log").lines(last=True)


class LogStream:
    """Lines of a run's log as they come, until the run ends. For both ``for`` and ``async for``.

    Args:
        open_records: Opens what is known of runs.
        run: Id of the run, or the beginning of one.
    """

    def __init__(self, open_records: OpenRecords, run: str) -> None:
        self._open = open_records
        self._run = run

    def __iter__(self) -> Iterator[str]:
        run_id, path = blocking(self._found)
        growing = _Growing(path)
        while True:
            ended = blocking(self._has_ended(run_id))
            yield from growing.lines(last=ended)
            if ended:
                return
            time.sleep(_POLL_S)

    async def __aiter__(self) -> AsyncIterator[str]:
        run_id, path = await self._found()
        growing = _Growing(path)
        while True:
            ended = await self._has_ended(run_id)()
            for line in growing.lines(last=ended):
                yield line
            if ended:
                return
            await asyncio.sleep(_POLL_S)

    async def _found(self) -> tuple[str, Path]:
        async with self._open() as records:
            run_id = await records.history.resolve(self._run)
            return run_id, records.artifacts(run_id) / "output.log"

    def _has_ended(self, run_id: str) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            async with self._open() as records:
                driven = records.is_driven(run_id)
                run = await records.history.run(run_id)
                return run["finished_at"] is not None or not driven

        return look


class _Growing:
    """Whole lines that a growing file has gained since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def lines(self, *, last: bool) -> list[str]:
        """Give new lines; with `last`, also one without an end."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except FileNotFoundError:
            return []
        end = len(data) if last else data.rfind(b"\n") + 1
        self._offset += end
        return data[:end].decode("utf-8", "replace").splitlines()
