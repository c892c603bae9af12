"""Events as people follow them: one per thing that happened, with a sentence."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import ValidationError
from workflow_agent.model.event import Event, EventType
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass
from workflow_agent.model.status import RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping

    from workflow_agent.client.port import FlowEngine
    from workflow_agent.model.event import RunState
    from workflow_agent.model.message import Message

__all__ = ["EVENT_TYPES", "POLL_S", "News", "RunReader", "WorkflowEvent", "begun", "check_types", "news"]

#: Names of events.
EVENT_TYPES = (
    "workflow_started",
    "workflow_paused",
    "workflow_resumed",
    "workflow_cancelling",
    "workflow_completed",
    "workflow_failed",
    "workflow_cancelled",
    "step_started",
    "step_completed",
    "step_failed",
    "step_skipped",
    "step_retrying",
    "signal_received",
)
#: Seconds after which the journal is read again: a run of another process tells nobody here.
POLL_S = 0.25
#: Hints that are kept for who does not take them; what is left out is told with its record.
_MOST_HINTS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowEvent:
    """Something that happened in a run.

    Attributes:
        type: One of ``EVENT_TYPES``.
        timestamp: When, in UTC.
        run_id: In which run.
        workflow: Of which workflow.
        step: In which step; None for events of the run itself.
        message: A sentence for people.
        details: What the journal says of it.
        id: How far its stream has come with it: a stream that is asked for after this goes on behind it.
    """

    type: str
    timestamp: datetime
    run_id: str
    workflow: str
    step: str | None
    message: str
    details: Mapping[str, Any]
    id: str = ""


def check_types(names: Collection[str] | None) -> frozenset[str]:
    """Give the wanted names, all of them for None; raises ValidationError for one that does not exist."""
    for name in names or ():
        if name not in EVENT_TYPES:
            raise ValidationError(f"there is no event `{str(name)[:60]}`", hint=did_you_mean(str(name), EVENT_TYPES))
    return frozenset(EVENT_TYPES if names is None else names)


class RunReader:
    """Turns the records of one run into events; each beginning of a step is told once."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.workflow = ""
        #: Sequence number of the last record that was read.
        self.head = 0
        self.ended = False
        self._begun: set[tuple[str | None, int]] = set()

    def read(self, event: Event) -> Iterator[WorkflowEvent]:
        """Give the events that a record stands for; hints of the bus have the sequence number 0."""
        self.head = max(self.head, event.seq)
        data = event.data
        match event.type:
            case EventType.RUN_CREATED:
                self.workflow = str(data["workflow"])
            case EventType.RUN_STARTED:
                yield self._event("workflow_started", event, "the run begins")
            case EventType.STEP_STARTED:
                yield from self._begin(event, event.at)
            case EventType.STEP_SUCCEEDED:
                yield from self._begin(event, data.get("started_at"))
                yield self._event("step_completed", event, "done")
            case EventType.ITEMS_SUCCEEDED:
                for index, output in data["items"]:
                    item = {"item": index, "output": output}
                    yield self._event(
                        "step_completed", event, f"item {index} done", details=item, step=f"{event.step}[{index}]"
                    )
            case EventType.STEP_FAILED:
                yield from self._begin(event, data.get("started_at"))
                yield self._event("step_failed", event, str(data["error"]["message"]))
            case EventType.STEP_SKIPPED:
                yield self._event("step_skipped", event, str(data["reason"]))
            case EventType.RETRY_SCHEDULED:
                yield self._event("step_retrying", event, f"attempt {event.attempt} is due")
            case _:
                yield from self._of_run(event)

    def know_begun(self, known: Iterable[tuple[str, int]]) -> None:
        """Take beginnings of steps, with their attempts, for told."""
        self._begun.update(known)

    @staticmethod
    def underway(run_id: str, state: RunState) -> Iterator[Event]:
        """Give hints of the beginnings of steps that are in flight."""
        for name, step in state.steps.items():
            if step.status is StepStatus.RUNNING and step.started_at is not None:
                yield Event(
                    run_id=run_id, seq=0, type=EventType.STEP_STARTED, at=step.started_at, step=name,
                    attempt=step.attempt,
                )  # fmt: skip

    def _of_run(self, event: Event) -> Iterator[WorkflowEvent]:
        data = event.data
        match event.type:
            case EventType.CANCEL_REQUESTED:
                yield self._event("workflow_cancelling", event, str(data.get("reason")))
            case EventType.SIGNAL_RECEIVED:
                yield self._event("signal_received", event, str(data.get("name")))
            case EventType.RUN_PAUSED:
                yield self._event("workflow_paused", event, str(data.get("reason")))
            case EventType.RUN_RESUMED:
                yield self._event("workflow_resumed", event, "the run goes on")
            case EventType.RUN_FINISHED:
                self.ended = True
                yield self._finished(event)

    def _finished(self, event: Event) -> WorkflowEvent:
        status = str(event.data["status"])
        error = event.data.get("error") or {}
        names = {RunStatus.SUCCEEDED.value: "workflow_completed", RunStatus.CANCELLED.value: "workflow_cancelled"}
        return self._event(names.get(status, "workflow_failed"), event, str(error.get("message") or status))

    def _begin(self, event: Event, at: float | None) -> Iterator[WorkflowEvent]:
        key = (event.step, event.attempt)
        if at is None or key in self._begun:
            return
        self._begun.add(key)
        details = {"attempt": event.attempt}
        yield self._event("step_started", event, f"attempt {event.attempt} begins", details=details, at=at)

    def _event(
        self,
        kind: str,
        event: Event,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        step: str | None = None,
        at: float | None = None,
    ) -> WorkflowEvent:
        return WorkflowEvent(
            type=kind,
            timestamp=datetime.fromtimestamp(event.at if at is None else at, UTC),
            run_id=self.run_id,
            workflow=self.workflow,
            step=step or event.step,
            message=message,
            details=dict(event.data) if details is None else details,
        )


class News:
    """Says when there is something new; `hints` are beginnings of steps that the journal does not have."""

    def __init__(self) -> None:
        self.hints: list[Event] = []
        self._changed = asyncio.Event()

    async def take(self, message: Message) -> None:
        """Take one event of the bus."""
        data = message.data
        if data["seq"] == 0 and len(self.hints) < _MOST_HINTS:
            self.hints.append(
                Event(
                    run_id=data["run_id"],
                    seq=0,
                    type=EventType(data["type"]),
                    at=data["at"],
                    step=data["step"],
                    attempt=data["attempt"],
                    data=data["data"],
                )
            )
        self._changed.set()

    async def wait(self) -> None:
        """Wait for something new, or until it is time to look by oneself."""
        try:
            async with asyncio.timeout(POLL_S):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()


@asynccontextmanager
async def news(engine: FlowEngine, run_id: str) -> AsyncIterator[News]:
    """Listen to a run of this process, or with ``*`` to all, inside the block."""
    found = News()
    subscription = await engine.bus.subscribe(f"run.{run_id}.event", found.take)
    try:
        yield found
    finally:
        await subscription.close()


async def begun(engine: FlowEngine, run_id: str, driving: asyncio.Future[RunState]) -> None:
    """Wait until a run's first record is on disk; what prevents it is raised here."""
    async with news(engine, run_id) as found:
        while not driving.done() and not await engine.journal.events(run_id):
            waiting = asyncio.ensure_future(found.wait())
            futures: list[asyncio.Future[Any]] = [driving, waiting]
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
    if driving.done():
        driving.result()
