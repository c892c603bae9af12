"""`docs/history.md` describes the schema that a fresh database has."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from workflow_agent.model.event import RecordKind
from workflow_agent.store.schema import load_migrations, migrate

DOCUMENT = (Path(__file__).parents[3] / "docs" / "history.md").read_text(encoding="utf-8")


def documented() -> dict[str, dict[str, str]]:
    tables: dict[str, dict[str, str]] = {}
    for section in re.split(r"^### ", DOCUMENT.split("\n## Tables\n")[1], flags=re.MULTILINE)[1:]:
        name, _, body = section.partition("\n")
        rows = re.findall(r"^\| (\w+) \| (.+) \|$", body, flags=re.MULTILINE)
        tables[name] = dict(rows[1:])
    return tables


def real() -> dict[str, list[str]]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, load_migrations(), Path("memory"))
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid").fetchall()
    # table_xinfo, because table_info leaves computed columns out; hidden ones (1) and the tables that full-text search
    # makes for itself are no part of the schema.
    columns = {
        name: [row[1] for row in connection.execute("SELECT * FROM pragma_table_xinfo(?)", (name,)) if row[6] != 1]
        for (name,) in names
        if not name.startswith(("knowledge_text_", "memory_text_"))
    }
    connection.close()
    return columns


def test_every_table_and_column_is_documented_in_the_order_of_the_schema() -> None:
    assert {name: list(columns) for name, columns in documented().items()} == real()


def test_every_kind_of_record_is_documented() -> None:
    kinds = set(re.findall(r"`([a-z-]+)`", documented()["records"]["kind"]))

    assert kinds == {kind.value for kind in RecordKind}


@pytest.mark.parametrize("statement", re.findall(r"```sql\n(.*?)```", DOCUMENT, flags=re.DOTALL)[0].split(";\n")[:-1])
def test_the_example_queries_run(statement: str) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, load_migrations(), Path("memory"))

    assert connection.execute(statement).fetchall() == []
    connection.close()
