from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import workflow_agent.store as package
from workflow_agent.model.errors import InternalError, StoreError
from workflow_agent.store.schema import load_migrations, load_queries, migrate, parse_queries, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST = "CREATE TABLE a (x TEXT CHECK (x <> ';'));\nPRAGMA user_version = 1;\n"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    yield opened
    opened.close()


def folder(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / f"{name.removeprefix('m')}.sql").write_text(text, encoding="utf-8")
    return path


def test_migrations_are_applied_once_and_in_order(tmp_path: Path, connection: sqlite3.Connection) -> None:
    second = "ALTER TABLE a ADD COLUMN y;\nPRAGMA user_version = 2;\n"
    migrations = load_migrations(folder(tmp_path, m0001_one=FIRST, m0002_two=second))

    assert migrate(connection, migrations[:1], tmp_path) == 1
    assert migrate(connection, migrations, tmp_path) == 1
    assert migrate(connection, migrations, tmp_path) == 0
    assert version_of(connection) == 2


def test_a_migration_that_fails_is_taken_back_whole(tmp_path: Path, connection: sqlite3.Connection) -> None:
    broken = "CREATE TABLE b (x);\nCREATE TABLE a (x);\nPRAGMA user_version = 2;\n"
    migrations = load_migrations(folder(tmp_path, m0001_one=FIRST, m0002_two=broken))

    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(connection, migrations, tmp_path)

    assert version_of(connection) == 1
    assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("a",)]


def test_a_newer_database_is_refused_with_both_numbers(tmp_path: Path, connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA user_version = 99")

    with pytest.raises(StoreError, match="newer") as caught:
        migrate(connection, load_migrations(), tmp_path)

    assert caught.value.exit_code == 7
    assert caught.value.details == {"found": 99, "known": len(load_migrations())}


def test_a_migration_without_its_number_is_a_defect(tmp_path: Path, connection: sqlite3.Connection) -> None:
    migrations = load_migrations(folder(tmp_path, m0001_one="CREATE TABLE a (x);\n"))

    with pytest.raises(InternalError, match="version"):
        migrate(connection, migrations, tmp_path)

    assert not connection.in_transaction


def test_migrations_with_a_gap_are_a_defect(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="gaps"):
        load_migrations(folder(tmp_path, m0001_one=FIRST, m0003_three=FIRST))


@pytest.mark.parametrize(
    "text",
    [
        "-- name: a\nSELECT 1;\n",
        "-- name: a\n-- description\n",
        "-- name: a\n-- d\nSELECT 1;\n-- name: a\n-- d\nSELECT 2;\n",
    ],
    ids=["no description", "no statement", "double"],
)
def test_a_query_block_that_lacks_a_part_is_a_defect(text: str) -> None:
    with pytest.raises(InternalError):
        parse_queries(text)


def test_every_query_is_one_valid_statement(connection: sqlite3.Connection) -> None:
    migrate(connection, load_migrations(), Path("memory"))
    for name, sql in load_queries().items():
        names = dict.fromkeys(re.findall(r":([a-z_]+)", sql))
        if name in {"commit", "rollback", "release_item", "undo_item"}:
            continue  # they need what they end
        # EXPLAIN compiles a statement and runs nothing of it.
        connection.execute(f"EXPLAIN {sql}", names)


def test_every_query_is_used_and_every_used_query_exists() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(package.__file__).parent.glob("*.py"))

    unused = {name for name in load_queries() if f'"{name}"' not in source}

    assert unused == set()
    called = re.findall(r"(?:execute|execute_many|rows|number)\(\s*\"([a-z_]+)\"", source)
    assert set(called) <= set(load_queries())


def test_sql_stands_in_sql_files_only() -> None:
    for path in Path(package.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"[\"'](SELECT|INSERT|UPDATE|DELETE|PRAGMA|CREATE)\b", text), path
