"""The author's commands: a first draft, and its tests on paper."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Result


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("template", ["apt", "tarball", "pip", "container", "script"])
def test_a_draft_is_written_and_passes_its_tests_on_paper(
    cli: Callable[..., Result], here: Path, template: str
) -> None:
    made = cli("integrations", "init", "sample", "--template", template, "--yes", "--json")

    assert made.code == 0, made
    assert made.json["data"]["folder"] == str(here / "sample")
    assert sorted(made.json["data"]["files"]) == sorted(
        str(file.relative_to(here / "sample")) for file in (here / "sample").rglob("*") if file.is_file()
    )
    tested = cli("integrations", "test", "./sample", "--kind", "lint", "--kind", "render", "--json")
    assert tested.code == 0, tested
    assert tested.json["data"]["failed"] == 0
    assert tested.json["data"]["passed"] >= 2
    assert os.listdir(here) == ["sample"]  # noqa: PTH208  # hidden ones too


def test_nothing_is_ever_written_over(cli: Callable[..., Result], here: Path) -> None:
    (here / "file").write_text("mine", encoding="utf-8")
    (here / "link").symlink_to("nowhere")
    (here / "folder").mkdir()

    for name in ("file", "link", "folder"):
        refused = cli("integrations", "init", name, "--template", "script", "--yes", "--json")
        assert refused.code == 6, refused
        assert refused.json["error"]["state"] == "nothing was written"
    assert (here / "file").read_text(encoding="utf-8") == "mine"
    assert sorted(os.listdir(here)) == ["file", "folder", "link"]  # noqa: PTH208
    assert list((here / "folder").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (("Bad Name",), None),
        (("x", "--template", "rpm"), "--template"),
        (("xx", "--port", "0"), "--port"),
        (("xx", "--port", "http"), "--port"),
        (("x", "--package", "a;b"), "--package"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_written(
    cli: Callable[..., Result], here: Path, arguments: tuple[str, ...], where: str | None
) -> None:
    refused = cli("integrations", "init", *arguments, "--yes", "--json")

    assert refused.code == 2, refused
    assert refused.json["error"]["where"] == where
    assert list(here.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(cli: Callable[..., Result], here: Path) -> None:
    refused = cli("integrations", "init", "x", "--template", "script", "--into", "nowhere", "--yes")

    assert refused.code == 5
    assert "nowhere" in refused.err
    assert list(here.iterdir()) == []


def test_a_failure_is_told_and_reported(cli: Callable[..., Result], here: Path) -> None:
    cli("integrations", "init", "sample", "--template", "script", "--yes")
    (here / "sample/tests/render/default.expected").write_text("something else\n", encoding="utf-8")

    failed = cli("integrations", "test", "./sample", "--kind", "render", "--junit", "report.xml")

    assert failed.code == 1
    assert "another script comes out" in failed.out
    assert "-something else" in failed.err
    assert "1 test of `sample` failed" in failed.err
    assert 'failures="1"' in (here / "report.xml").read_text(encoding="utf-8")


def test_a_kind_that_there_is_not_has_a_suggestion(cli: Callable[..., Result], here: Path) -> None:
    del here
    refused = cli("integrations", "test", "nginx", "--kind", "rendr", "--json")

    assert refused.code == 2
    assert "render" in refused.json["error"]["hint"]


def test_a_report_that_cannot_be_written_is_a_usage_error(cli: Callable[..., Result], here: Path) -> None:
    del here
    refused = cli("integrations", "test", "nginx", "--kind", "lint", "--junit", "/nowhere/report.xml", "--json")

    assert refused.code == 2
    assert refused.json["error"]["where"] == "--junit"


def test_lint_says_file_line_rule_and_fix_and_fixes(cli: Callable[..., Result], here: Path) -> None:
    cli("integrations", "init", "sample", "--template", "script", "--yes")
    manifest = here / "sample/integration.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("checks:", "check:", 1), encoding="utf-8")

    bad = cli("integrations", "lint", "./sample", "--json")
    assert bad.code == 2
    found = {item["rule"]: item for item in bad.json["data"]["items"]}
    assert found["unknown-key"]["fix"] == "replace it by `checks`"
    assert found["unknown-key"]["file"] == str(manifest)
    assert isinstance(found["unknown-key"]["line"], int)
    assert found["schema"]["fix"] is None

    fixed = cli("integrations", "lint", "./sample", "--fix")
    assert fixed.code == 0, fixed
    assert "`check` became `checks`" in fixed.err


def test_format_and_docs_build_say_what_they_would_do_and_do_it(cli: Callable[..., Result], here: Path) -> None:
    cli("integrations", "init", "sample", "--template", "script", "--yes")
    manifest, page = here / "sample/integration.yaml", here / "sample/README.md"
    before = manifest.read_bytes()
    manifest.write_bytes(before + b"\n\n")
    page.unlink()

    assert cli("integrations", "format", "./sample", "--check").code == 3
    assert cli("integrations", "docs", "build", "./sample", "--check").code == 3
    assert not page.exists()
    assert cli("integrations", "format", "./sample", "--json").json["data"]["changed"] is True
    assert cli("integrations", "docs", "build", "./sample").code == 0
    assert manifest.read_bytes() == before
    assert "# sample" in page.read_text(encoding="utf-8")
    assert cli("integrations", "format", "./sample", "--check").code == 0
    assert cli("integrations", "docs", "build", "./sample", "--check").code == 0
