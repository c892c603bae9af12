"""What a step logs: in the run's file and shown to watchers at once, in the journal with the step's end."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.model.event import RecordKind
from workflow_agent.model.message import PRIORITY_LOW, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from workflow_agent.model.ports import Bus, Clock
    from workflow_agent.security.masker import Masker

__all__ = ["FlowLog"]

#: Messages of one attempt that the journal keeps; the file has all of them.
_MOST_KEPT = 1000
#: Seconds that watchers have to take what is left.
_LIVE_S = 2.0


class FlowLog:
    """Collects messages and metrics of one attempt, from any thread.

    Args:
        bus: Tells watchers.
        path: Gives the run's log file, when there is something to write.
        message: The request.
        clock: Times of messages.
        masker: Hides secrets; None when the run has none.
    """

    def __init__(
        self, bus: Bus, path: Callable[[], Path], message: Message, clock: Clock, masker: Masker | None
    ) -> None:
        self._bus = bus
        self._path = path
        self._message = message
        self._clock = clock
        self._masker = masker
        self._records: list[dict[str, Any]] = []
        self._loop = asyncio.get_running_loop()
        self._telling: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()

    def log(self, level: str, text: str) -> None:
        """Take one message."""
        if self._masker is not None:
            text = self._masker.mask(text)
        now = self._clock.now()
        step = str(self._message.step_id)
        self._keep(
            RecordKind.LOG, {"at": now, "step": step, "level": level, "message": text, "attempt": self._message.attempt}
        )
        stamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        lines = [f"{stamp} {level:<7} {step}: {line}" for line in text.splitlines() or [""]]
        # Without the file there is still the journal: a full disk is no reason to fail a step.
        with (
            self._lock,
            suppress(OSError, WorkflowAgentError),
            self._path().open("a", encoding="utf-8", errors="replace") as stream,
        ):
            stream.writelines(f"{line}\n" for line in lines)
        self._loop.call_soon_threadsafe(self._tell, lines)

    def metric(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        """Take one value."""
        data = {"at": self._clock.now(), "step": self._message.step_id, "name": name, "value": value}
        self._keep(RecordKind.METRIC, data | {"tags": dict(tags)})

    def records(self) -> list[dict[str, Any]]:
        """Give the records for the journal."""
        return list(self._records)

    def _keep(self, kind: RecordKind, data: dict[str, Any]) -> None:
        if len(self._records) < _MOST_KEPT:
            self._records.append({"kind": kind.value, "data": data})

    def _tell(self, lines: list[str]) -> None:
        task = asyncio.ensure_future(self._publish(lines))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _publish(self, lines: list[str]) -> None:
        for line in lines:
            with suppress(WorkflowAgentError):  # what is shown live is a hint
                await self._bus.publish(
                    Message(
                        subject=f"run.{self._message.run_id}.output",
                        type="output",
                        source="python",
                        data={"step": self._message.step_id, "line": line},
                        run_id=self._message.run_id,
                        step_id=self._message.step_id,
                        priority=PRIORITY_LOW,
                    )
                )

    async def flush(self) -> None:
        """Let watchers take what is left, for a while."""
        await asyncio.sleep(0)  # what threads said last
        if self._telling:
            await asyncio.wait(set(self._telling), timeout=_LIVE_S)
