"""`integrations init --from-docs`: the draft lints, and asks what is uncertain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAGE = """# Kestrel

    apt-get install kestrel
    systemctl start kestrel

Kestrel listens on port 7100.

| Option | Default |
| --- | --- |
| `workers` | `4` |
"""


def test_a_draft_from_a_page_lints(cli: Callable[..., Any], tmp_path: Path) -> None:
    page = tmp_path / "kestrel.md"
    page.write_text(PAGE)
    made = cli("integrations", "init", "kestrel", "--from-docs", str(page), "--into", str(tmp_path), "--json")

    assert (made.code, made.json["data"]["folder"]) == (0, str(tmp_path / "kestrel"))
    assert [question.split("?")[0] for question in made.json["data"]["questions"]] == [
        "should `workers` (default `4`) be a parameter, in which file"
    ]
    linted = cli("integrations", "lint", str(tmp_path / "kestrel"), "--json")
    assert linted.code == 0
    again = cli("integrations", "init", "kestrel", "--from-docs", str(page), "--into", str(tmp_path))
    assert (again.code, "already" in again.err) == (6, True)
    other = cli("integrations", "init", "falcon", "--from-docs", str(page), "--into", str(tmp_path)).out
    assert "1 question for you" in other
    assert "workflow-agent plan" in other


def test_what_cannot_be_drafted_is_said_and_nothing_is_written(cli: Callable[..., Any], tmp_path: Path) -> None:
    page = tmp_path / "empty.md"
    page.write_text("# Nothing\n")
    empty = cli("integrations", "init", "kestrel", "--from-docs", str(page), "--into", str(tmp_path))
    both = cli("integrations", "init", "kestrel", "--from-docs", str(page), "--port", "80")
    bad = cli("integrations", "init", "Kestrel!", "--from-docs", str(page))

    assert (empty.code, "no package" in empty.err) == (2, True)
    assert (both.code, "--port" in both.err, bad.code) == (2, True, 2)
    assert not (tmp_path / "kestrel").exists()
