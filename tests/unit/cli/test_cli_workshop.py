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


@pytest.mark.parametrize("name", ["integration.yaml", "templates/install.sh.j2"])
@pytest.mark.parametrize("kind", ["pipe", "endless device"])
def test_what_is_no_ordinary_file_is_said_and_not_waited_for(
    cli: Callable[..., Result], here: Path, name: str, kind: str
) -> None:
    assert cli("integrations", "init", "sample", "--template", "script", "--yes").code == 0
    file = here / "sample" / name
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")

    told = cli("integrations", "lint", "./sample")

    assert told.code == 2
    assert f"{file.name}: error[" in told.out
    assert "this is no ordinary file" in told.out


@pytest.mark.parametrize(
    ("edit", "message", "hint"),
    [
        (("checks:", "\tchecks:"), "found character that cannot start any token", "indent with blanks"),
        (("other", "\n\t  other"), "found character that cannot start any token", "indent with blanks"),
        (("other", "a\x07b"), "it holds the character U+0007", None),
        (("0.1.0", "1.0"), "`version` should be a text", 'write it in quotes: "1.0"'),
        (("other", "{other"), "this is not YAML", None),
    ],
)
def test_lint_says_what_is_wrong_with_a_text_in_words_of_its_author(
    cli: Callable[..., Result], here: Path, edit: tuple[str, str], message: str, hint: str | None
) -> None:
    assert cli("integrations", "init", "sample", "--template", "script", "--yes").code == 0
    file = here / "sample/integration.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace(*edit, 1), encoding="utf-8")

    told = cli("integrations", "lint", "./sample")
    (finding,) = cli("integrations", "lint", "./sample", "--json").json["data"]["items"]

    assert told.code == 2
    assert message in told.out
    assert "(top)" not in told.out
    assert finding["hint"] is None if hint is None else finding["hint"].startswith(hint)


def test_the_hint_about_the_readme_does_what_it_says(cli: Callable[..., Result], here: Path) -> None:
    assert cli("integrations", "init", "sample", "--template", "script", "--yes").code == 0
    (here / "sample/README.md").unlink()

    told = cli("integrations", "lint", "./sample").out
    assert "`lint --fix` writes it" in told
    assert cli("integrations", "lint", "./sample", "--fix").code == 0
    assert (here / "sample/README.md").is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo: bar\n", "`foo` is not a key that is known here"),
        ("1\n", "the file should be a mapping"),
        ("digests: {sha: /x.tar.gz}\n", "there is no folder for the archive /x.tar.gz"),
        ("a: [\n", "this is not YAML"),
    ],
)
def test_lint_reads_what_the_tests_are_told(cli: Callable[..., Result], here: Path, text: str, message: str) -> None:
    assert cli("integrations", "init", "sample", "--template", "script", "--yes").code == 0
    (here / "sample/tests/bench.yaml").write_text(text, encoding="utf-8")

    told = cli("integrations", "lint", "./sample")

    assert told.code == 2
    assert "bench.yaml" in told.out
    assert f"error[bench] {message}" in told.out
    assert cli("integrations", "test", "./sample", "--kind", "lint", "--json").json["data"]["failed"] == 1


def test_a_package_that_apt_does_not_know_is_doubted(cli: Callable[..., Result], here: Path) -> None:
    made = cli("integrations", "init", "sample", "--package", "wa-no-such-package", "--yes", "--json")

    assert made.code == 0
    assert (here / "sample").is_dir()
    assert made.json["warnings"] == [
        "apt here knows no package `wa-no-such-package`: is it spelt so, and did `apt-get update` run?"
    ]
    assert cli("integrations", "init", "other", "--template", "script", "--yes", "--json").json["warnings"] == []


def test_whoever_names_the_manifest_is_told_the_folder(cli: Callable[..., Result], here: Path) -> None:
    assert cli("integrations", "init", "sample", "--template", "script", "--yes").code == 0

    refused = cli("integrations", "lint", "./sample/integration.yaml", "--json")

    assert refused.code == 5
    assert refused.json["error"]["hint"].endswith(f"name the folder, {here / 'sample'}")
