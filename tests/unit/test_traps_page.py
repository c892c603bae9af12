"""`docs/traps.md`: every trap has a row, and every test that a row names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "traps.md"
TRAPS = 20
_NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def rows() -> list[list[str]]:
    """Give the cells of the table, its two lines of header left out."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def named_in(path: str) -> set[str]:
    """Name the tests of a file, and its classes of tests."""
    found = ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in found if isinstance(node, kinds) and node.name.lower().startswith("test")}


def test_every_trap_has_a_row_that_says_all_of_it() -> None:
    table = rows()
    assert [row[0] for row in table] == [str(number) for number in range(1, TRAPS + 1)]
    assert [row[0] for row in table if len(row) != 5 or not all(row)] == []  # the header's columns


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_every_named_test_is_there(row: list[str]) -> None:
    named = _NAMED.findall(row[3])
    assert named, "a trap without a test"
    assert [f"{path}::{test}" for path, test in named if not test or test not in named_in(path)] == []


def test_nothing_else_in_the_page_looks_like_a_test() -> None:
    said = re.findall(r"`([^`]*(?:tests/|test_)[^`]*)`", PAGE.read_text(encoding="utf-8"))
    assert [text for text in said if not _NAMED.fullmatch(f"`{text}`") and not text.startswith("make ")] == []
