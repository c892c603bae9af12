"""The writer's connection, which knows the named queries; the one place where SQL meets values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from workflow_agent.store.encoding import column
from workflow_agent.store.schema import for_rows, load_queries, positional

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

__all__ = ["Executes", "Statements", "columns_of", "row_of"]

#: Rows that one statement takes, where it can; as many as fit first.
_AT_ONCE: Final = (64, 16, 4)


class Executes(Protocol):
    """Takes statements that give no rows, now or for later."""

    def execute(self, name: str, values: Mapping[str, Any] | None = None) -> int:
        """Take a statement by name, with its values; gives the row id of an INSERT that was run."""
        ...

    def execute_rows(self, name: str, rows: list[tuple[Any, ...]]) -> None:
        """Take a statement for each row of values that are as columns take them, in the order of its names."""
        ...


class Statements:
    """Runs queries by name on one connection; every value goes through :func:`~.encoding.column`.

    Raises sqlite3.Error as the driver does; the caller says what that means.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._queries = load_queries()

    def execute(self, name: str, values: Mapping[str, Any] | None = None) -> int:
        """Run a statement that gives no rows; gives the row id of an INSERT."""
        cursor = self.connection.execute(self._queries[name], columns_of(values or {}))
        return cursor.lastrowid or 0

    def execute_many(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run a statement once for each row."""
        self.connection.executemany(self._queries[name], (columns_of(row) for row in rows))

    def execute_rows(self, name: str, rows: list[tuple[Any, ...]]) -> None:
        """Run a statement once for each row of values that are as columns take them, in the order of its names."""
        sql, _ = positional(name)
        if len(rows) == 1:
            self.connection.execute(sql, rows[0])
            return
        at = 0
        for count in _AT_ONCE:
            while len(rows) - at >= count and (many := for_rows(name, count)) is not None:
                self.connection.execute(many, [value for row in rows[at : at + count] for value in row])
                at += count
        if at < len(rows):
            self.connection.executemany(sql, rows[at:])

    def rows(self, name: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run a query and read all its rows, each by column name."""
        cursor = self.connection.execute(self._queries[name], columns_of(values or {}))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def number(self, name: str, values: Mapping[str, Any] | None = None) -> int:
        """Run a query that gives one number."""
        return int(self.connection.execute(self._queries[name], columns_of(values or {})).fetchone()[0])


def columns_of(values: Mapping[str, Any]) -> dict[str, str | int | float | None]:
    """Give the parameters of a query, each as a column takes it."""
    return {name: column(value) for name, value in values.items()}


def row_of(name: str, values: Mapping[str, Any]) -> tuple[str | int | float | None, ...]:
    """Give the parameters of a query by position; raises KeyError where one is missing."""
    return tuple([column(values[each]) for each in positional(name)[1]])
