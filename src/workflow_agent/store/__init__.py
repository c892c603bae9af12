"""Journal, history and artifacts of runs, in SQLite.

::

    sqlite       SqliteStore: opens and closes everything below
    journal      the Journal port         | history   the History port
    writer       one thread, one read-write connection, group commit
    knowledge    pages, facts, suggestions
    reader       one read-only connection (aiosqlite)
    projection   events and records -> rows of the history tables
    encoding     events <-> JSON text and blobs | blobs  content-addressed files
    schema       migrations and named queries from ``sql/``
    faults       errors of the driver -> ours   | filelock  a lock that names its holder

Only this package knows the database drivers. Names are resolved late, because importing the driver costs
8 ms that ``--help`` does not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflow_agent.store.sqlite import SqliteStore

__all__ = ["SqliteStore"]


def __getattr__(name: str) -> Any:  # Any: a class, looked up by name
    if name == "SqliteStore":
        from workflow_agent.store.sqlite import SqliteStore  # noqa: PLC0415  # late: 8 ms

        return SqliteStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
