"""The schema as files: named queries, numbered migrations, and the check of a database's version.

Each migration runs in one transaction and sets ``user_version`` to its number as its last statement, so that a
crash leaves the version before or the version after.
"""

from __future__ import annotations

import re
import sqlite3
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from workflow_agent.model.errors import InternalError
from workflow_agent.model.failpoint import failpoint
from workflow_agent.model.records import dataclass
from workflow_agent.store.faults import newer_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "Migration",
    "Query",
    "for_rows",
    "load_migrations",
    "load_queries",
    "migrate",
    "parse_queries",
    "positional",
    "version_of",
]

_FOLDER: Final = Path(__file__).parent / "sql" / "sqlite"
_PARAMETER = re.compile(r":([a-z_]+)\b")
_HEADER = re.compile(r"^-- name: (?P<name>[a-z_]+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Query:
    """One statement with its name and description."""

    name: str
    description: str
    sql: str


@dataclass(frozen=True, slots=True)
class Migration:
    """A numbered step of the schema; afterwards ``user_version`` is `number`."""

    number: int
    name: str
    statements: tuple[str, ...]


def parse_queries(text: str) -> dict[str, Query]:
    """Read ``-- name:`` blocks; raises InternalError for a block that is double or lacks a part."""
    parts = _HEADER.split(text)[1:]
    queries: dict[str, Query] = {}
    for name, block in zip(parts[::2], parts[1::2], strict=True):
        lines = block.strip().splitlines()
        n_comment = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
        description = " ".join(line.removeprefix("--").strip() for line in lines[:n_comment])
        sql = "\n".join(lines[n_comment:]).strip()
        if name in queries or not description or not sql:
            raise InternalError(f"query `{name}` is double, or has no description, or no statement")
        queries[name] = Query(name, description, sql)
    return queries


@cache
def load_queries() -> Mapping[str, str]:
    """Give the SQL of every query by name, read once per process."""
    text = (_FOLDER / "queries.sql").read_text(encoding="utf-8")
    return MappingProxyType({name: query.sql for name, query in parse_queries(text).items()})


@cache
def positional(name: str) -> tuple[str, tuple[str, ...]]:
    """Give a query that takes its values by position, and their names in that order.

    Each name costs a look-up for each row that is stored. Only for statements without colons in texts.
    """
    sql = load_queries()[name]
    names = tuple(dict.fromkeys(_PARAMETER.findall(sql)))
    numbers = {each: f"?{number}" for number, each in enumerate(names, start=1)}
    return _PARAMETER.sub(lambda found: numbers[found[1]], sql), names


@cache
def for_rows(name: str, count: int) -> str | None:
    """Give an INSERT that takes so many rows at once, their values one after the other; None where it cannot be one.

    The interpreter is left and taken again for each statement that runs; while others want it, that is what takes time.
    """
    sql, names = positional(name)
    values = "(" + ", ".join(f"?{number}" for number in range(1, len(names) + 1)) + ")"
    before, found, after = sql.partition(f"VALUES {values}")
    if not found or "?" in before + after:
        return None
    return f"{before}VALUES {', '.join(['(' + ', '.join('?' * len(names)) + ')'] * count)}{after}"


def _statements(text: str) -> Iterator[str]:
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending.strip()
            pending = ""


@cache
def load_migrations(folder: Path = _FOLDER) -> tuple[Migration, ...]:
    """Read ``NNNN_name.sql`` in order; raises InternalError when a number is missing or double."""
    files = sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    migrations = tuple(
        Migration(int(path.stem[:4]), path.stem, tuple(_statements(path.read_text(encoding="utf-8")))) for path in files
    )
    if [item.number for item in migrations] != list(range(1, len(migrations) + 1)):
        raise InternalError("migrations are not numbered from 1 without gaps", where=str(folder))
    return migrations


def version_of(connection: sqlite3.Connection) -> int:
    """Read ``user_version``: 0 for a database in which nothing was made yet."""
    return int(connection.execute(load_queries()["schema_version"]).fetchone()[0])


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration], where: Path) -> int:
    """Bring a database to the newest version; gives the number of migrations applied.

    The caller holds the store's file lock; the connection is in autocommit mode.

    Raises:
        StoreError: the database is newer than the migrations.
        InternalError: a migration does not set its version.
        sqlite3.Error: a statement failed; its migration is taken back.
    """
    version = version_of(connection)
    if version > len(migrations):
        raise newer_schema(version, len(migrations), where)
    for migration in migrations[version:]:
        _apply(connection, migration)
    return len(migrations) - version


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    queries = load_queries()
    connection.execute(queries["begin"])
    try:
        for statement in migration.statements:
            connection.execute(statement)
        _check_number(connection, migration)
        failpoint("store.migration")
        connection.execute(queries["commit"])
    except BaseException:
        if connection.in_transaction:
            connection.execute(queries["rollback"])
        raise


def _check_number(connection: sqlite3.Connection, migration: Migration) -> None:
    if version_of(connection) != migration.number:
        raise InternalError(f"migration `{migration.name}` does not set its version")
