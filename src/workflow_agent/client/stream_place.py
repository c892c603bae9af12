"""How far somebody has been told the events of a run, as a short text: with it, a stream goes on without gap or double.

Records of the journal are told in their order. The beginning of a step may be told before any record says so; the place
names those that were, so that they are not told again with their record.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from workflow_agent.model.event import Event

__all__ = ["StreamPlace"]

_SHAPE: Final = re.compile(r"(\d{1,12})(?:\+(\d{1,6}))?((?:;[^;:\s]{1,600}:\d{1,6})*)")
#: Characters of a place. Beginnings that find no room in it are told with their records.
_LONGEST: Final = 2000


class StreamPlace:
    """A place in the events of a run. Nothing was told at the place "".

    Args:
        text: What :meth:`text` gave.

    Raises:
        ValidationError: it is no place.
    """

    def __init__(self, text: str = "") -> None:
        found = _SHAPE.fullmatch(text or "0") if len(text) <= 2 * _LONGEST else None
        if found is None:
            raise ValidationError(
                "that is no place in the events of a run", where="Last-Event-ID", hint="give the last `id`, as it came"
            )
        #: Number of the last record all of whose events were told.
        self.head = int(found[1])
        #: Events that were told of the record after it.
        self.more = int(found[2] or 0)
        #: Steps and attempts whose beginning was told although no record says so yet.
        self.ahead: dict[tuple[str, int], None] = {}
        for each in found[3].split(";")[1:]:
            step, _, attempt = each.rpartition(":")
            self.ahead[unquote(step), int(attempt)] = None

    def text(self) -> str:
        """Give it as a text without spaces."""
        more = f"+{self.more}" if self.more else ""
        return f"{self.head}{more}" + "".join(f";{quote(step, safe='[]/._-')}:{number}" for step, number in self.ahead)

    def has_room(self) -> bool:
        """Say whether one more beginning can be noted."""
        return len(self.text()) < _LONGEST

    def note_begun(self, event: Event) -> None:
        """Note that the beginning of a step is told before its record."""
        self._forget(event, attempts_below=event.attempt)
        self.ahead[str(event.step), event.attempt] = None

    def enter(self, event: Event, *, tells_beginning: bool) -> None:
        """Note that the events of a record are being told; whoever reads it again knows of the beginnings in it."""
        self._forget(event, attempts_below=event.attempt + tells_beginning)

    def _forget(self, event: Event, *, attempts_below: int) -> None:
        for key in [key for key in self.ahead if key[0] == event.step and key[1] < attempts_below]:
            del self.ahead[key]

    def leave(self, event: Event) -> None:
        """Note that all events of a record were told."""
        self.head, self.more = event.seq, 0
