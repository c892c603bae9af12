"""The events of one run as a stream that can be taken up where it was left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.client.events import RunReader, news
from workflow_agent.client.stream_place import StreamPlace
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.event import EventType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from workflow_agent.client.events import WorkflowEvent
    from workflow_agent.client.port import FlowEngine
    from workflow_agent.model.event import Event

__all__ = ["PlacedReader", "reader_at", "stream_run"]

_ENDS = frozenset({EventType.STEP_SUCCEEDED, EventType.STEP_FAILED})


class PlacedReader:
    """Turns the records of a run into events that carry their place in the stream.

    Args:
        run_id: The run.
        place: What was told before.
    """

    def __init__(self, run_id: str, place: StreamPlace) -> None:
        self._reader = RunReader(run_id)
        self.place = place
        #: The last attempt at each step of which a record told something.
        self._attempts: dict[str, int] = {}

    @property
    def ended(self) -> bool:
        """Whether the run's last event was told."""
        return self._reader.ended

    @property
    def head(self) -> int:
        """Number of the last record that was read."""
        return self._reader.head

    def pass_over(self, past: Iterable[Event]) -> None:
        """Read what was told before, silently."""
        for event in past:
            if event.seq <= self.place.head:
                list(self._read(event))
        self._reader.know_begun(self.place.ahead)

    def tell(self, event: Event) -> Iterator[WorkflowEvent]:
        """Give the events of a record, or of a hint, that were not told."""
        return self._hint(event) if event.seq == 0 else self._record(event)

    def _read(self, event: Event) -> Iterator[WorkflowEvent]:
        if event.step is not None:
            # A retry is named by the attempt that is to come.
            known = event.attempt - (event.type is EventType.RETRY_SCHEDULED)
            self._attempts[event.step] = max(known, self._attempts.get(event.step, 0))
        return self._reader.read(event)

    def _hint(self, event: Event) -> Iterator[WorkflowEvent]:
        if event.attempt <= self._attempts.get(str(event.step), 0):
            return  # it comes late: more is known of the attempt already
        if not self.place.has_room():
            return  # it is told with its record
        for each in self._reader.read(event):
            self.place.note_begun(event)
            yield replace(each, id=self.place.text())

    def _record(self, event: Event) -> Iterator[WorkflowEvent]:
        told, self.place.more = self.place.more, 0
        found = list(self._read(event))
        self.place.enter(event, tells_beginning=_tells_beginning(event))
        for number, each in enumerate(found, 1):
            if number == len(found):
                self.place.leave(event)
            else:
                self.place.more = number
            if number > told:
                yield replace(each, id=self.place.text())
        self.place.leave(event)


def _tells_beginning(event: Event) -> bool:
    """Say whether a record is one with which the beginning of its step is known."""
    if event.type in _ENDS:
        return event.data.get("started_at") is not None
    return event.type is EventType.STEP_STARTED


async def reader_at(engine: FlowEngine, run_id: str, after: str) -> PlacedReader:
    """Give a reader that goes on behind a place.

    Args:
        engine: What drives runs.
        run_id: The run.
        after: The `id` of the last event that was seen; "" for none.

    Raises:
        ValidationError: `after` is no place in this run.
    """
    reader = PlacedReader(run_id, StreamPlace(after))
    past = await engine.journal.events(run_id) if after else []
    if after and (not past or past[-1].seq < reader.place.head):
        raise ValidationError("that place is behind the end of the run's events", where="Last-Event-ID", run_id=run_id)
    reader.pass_over(past)
    return reader


async def stream_run(
    engine: FlowEngine, run_id: str, reader: PlacedReader | None = None
) -> AsyncIterator[WorkflowEvent]:
    """Give the events of a run, to its last, as they happen: all, or those behind the place of a reader."""
    reader, looked = reader or PlacedReader(run_id, StreamPlace()), -1
    async with news(engine, run_id) as found:
        while not reader.ended:
            hints, found.hints = found.hints, []
            for event in [*await engine.journal.events(run_id, after=reader.head), *hints]:
                for each in reader.tell(event):
                    yield each
            if not reader.ended and looked != reader.head:
                state = await engine.state(run_id)
                if state.head != reader.head:
                    continue  # what led to it comes first
                # What began before anybody listened, or in another process, is in no record yet.
                looked = reader.head
                for hint in RunReader.underway(run_id, state):
                    for each in reader.tell(hint):
                        yield each
            if not reader.ended:
                await found.wait()
