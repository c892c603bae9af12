"""Rows of many appends, gathered by statement: a batch becomes a handful of statements, whatever its size.

Each statement that Python runs costs a switch to the database and back, during which another thread may take the
interpreter; so a hundred appends of one record each are not four hundred statements but four, each with all rows.

The order of statements is fixed, not that of the appends. That is right where every append is of another run and holds
only the records named here; everything else is stored one append after the other, as ``session`` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.event import EventType, RecordKind
from workflow_agent.model.status import RunStatus
from workflow_agent.store.encoding import column
from workflow_agent.store.projection import project_event, store_definition
from workflow_agent.store.statements import row_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from workflow_agent.model.event import Event
    from workflow_agent.store.encoding import EncodedEvent
    from workflow_agent.store.statements import Statements

__all__ = ["Gathered", "is_plain"]

#: What the records below are stored by, in the order in which rows refer to each other and the last word wins.
_ORDER: Final = (
    "insert_definition", "insert_run", "insert_event", "insert_small_event", "start_run", "set_phase", "put_step",
    "put_done_step", "finish_run", "give_up_waits", "drop_snapshot",
)  # fmt: skip
_FINISHED: Final = EventType.RUN_FINISHED
#: The plain text of each type: to the driver, a member of an enumeration is something that may have to be adapted.
_NAMES: Final = {kind: kind.value for kind in EventType}
_PLAIN: Final = frozenset(
    {
        EventType.RUN_CREATED, EventType.RUN_STARTED, EventType.STEP_STARTED, EventType.STEP_SUCCEEDED,
        EventType.STEP_FAILED, EventType.STEP_SKIPPED, EventType.RETRY_SCHEDULED, EventType.ITEMS_SUCCEEDED,
        EventType.SIGNAL_RECEIVED, EventType.RUN_FINISHED,
    }
)  # fmt: skip


def is_plain(events: Sequence[EncodedEvent]) -> bool:
    """Say whether an append holds nothing but what can be stored together with others."""
    for event, _, records in events:
        if event.type not in _PLAIN or _takes_back(event):
            return False
        if records and any(item.record.kind != RecordKind.DEFINITION for item in records):
            return False
    return True


def _takes_back(event: Event) -> bool:
    return event.type is _FINISHED and event.data.get("status") == RunStatus.ROLLED_BACK


class Gathered:
    """Rows by statement. Takes what :class:`~.statements.Statements` takes, and runs it later.

    Args:
        known: Hashes of definitions that are stored already; those that are gathered are added by :meth:`store`.
    """

    def __init__(self, known: set[str]) -> None:
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _ORDER}
        self._known = known
        self._new: set[str] = set()

    def add(self, events: Iterable[EncodedEvent]) -> None:
        """Take the rows of an append; raises InternalError where a record is not of the shape that history stores."""
        put, put_small = self._rows["insert_event"].append, self._rows["insert_small_event"].append
        for event, (data, blobs), records in events:
            project_event(self, event)
            # In the order of both statements.
            row = (event.run_id, event.seq, _NAMES[event.type], column(event.step), event.attempt, event.at, data)
            if blobs is None:
                put_small(row)
            else:
                put((*row, blobs))
            for item in records:
                if item.record.data.get("hash") not in self._known:
                    store_definition(self, item.record.data)
                    self._new.add(item.record.data["hash"])

    def execute(self, name: str, values: Mapping[str, Any] | None = None) -> int:
        """Take one row of a statement; raises KeyError for a statement that has no place in the order."""
        self._rows[name].append(row_of(name, values or {}))
        return 0

    def execute_rows(self, name: str, rows: list[tuple[Any, ...]]) -> None:
        """Take rows of a statement as they are; raises KeyError for a statement that has no place in the order."""
        self._rows[name] += rows

    def store(self, db: Statements) -> None:
        """Run the statements, each with all its rows; raises sqlite3.Error as the driver does."""
        for name in _ORDER:
            if rows := self._rows[name]:
                db.execute_rows(name, rows)

    def stored(self) -> None:
        """Remember what need not be stored again; to be called when all is on disk."""
        self._known |= self._new
