"""Pages of help that were written beforehand: the same as Typer writes, for the command lines that they are for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from workflow_agent.cli.grammar import help_text
from workflow_agent.cli.help_pages import PAGES, made_pages, page_for
from workflow_agent.cli.tree import build_app

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def root() -> Any:  # Any: Typer's own classes are private
    return typer.main.get_command(build_app())


@pytest.mark.parametrize("columns", ["80", "300"])
def test_they_say_what_typer_says(root: Any, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If not: ``python -m workflow_agent.cli.help_pages``."""
    monkeypatch.setenv("COLUMNS", columns)
    assert json.loads(Path(PAGES).read_text(encoding="utf-8")) == made_pages(root)


@pytest.mark.parametrize(
    "typed",
    [
        ["--help"],
        ["install", "--help"],
        ["--help", "install"],
        ["integrations", "list", "--help"],
        ["history", "--help"],
    ],
)
def test_a_page_is_what_typer_would_have_printed(
    root: Any, typed: list[str], monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Any]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    page = page_for(typed)
    assert page is not None
    assert page == help_text(root, typed)
    assert cli(*typed).out == f"{page}\n"


@pytest.mark.parametrize(
    "typed",
    [
        [],
        ["install"],
        ["instal", "--help"],
        ["install", "--json", "--help"],
        ["install", "nginx", "--help"],
        ["--", "--help"],
    ],
)
def test_other_command_lines_are_left_to_typer(typed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert page_for(typed) is None


def test_narrow_terminals_are_left_to_typer(monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Any]) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert page_for(["install", "--help"]) is None
    assert max(map(len, cli("install", "--help").out.splitlines())) <= 60  # as said above


@pytest.mark.parametrize("columns", ["", "no number", "0"])
def test_where_no_width_is_said_the_terminal_is_asked(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "__stdout__", None)
    assert page_for(["--help"]) is not None


def test_without_the_pages_typer_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for content in (None, "no JSON"):
        if content is not None:
            (tmp_path / "pages").write_text(content, encoding="utf-8")
        monkeypatch.setattr("workflow_agent.cli.help_pages.PAGES", str(tmp_path / "pages"))
        assert page_for(["--help"]) is None


def test_who_reads_no_further_gets_no_complaint() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "workflow_agent", "--help"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_every_stream_can_show_them() -> None:
    assert Path(PAGES).read_bytes().isascii()
