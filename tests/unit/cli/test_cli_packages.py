"""Handing integrations on at the command line: pack, sign, verify-package, add, install FILE."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Result

FILE = "greeting-0.1.0.integration.zip"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Result]) -> Path:
    """A folder with an integration and its package."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert cli("integrations", "init", "greeting", "--template", "script", "--yes").code == 0
    assert cli("integrations", "pack", "./greeting").code == 0
    return folder


def test_a_signed_package_is_verified_trusted_once_and_brought_in(
    cli: Callable[..., Result], here: Path, state: Path
) -> None:
    signed = cli("integrations", "sign", FILE, "--key", "key.pem", "--make-key", "--json")
    assert signed.code == 0, signed
    assert stat.S_IMODE((here / "key.pem").stat().st_mode) == 0o600
    source = signed.json["data"]["source"]
    assert source == f"key:{signed.json['data']['signed_by']}"

    refused = cli("integrations", "add", FILE, "--json")
    assert refused.code == 2
    assert refused.json["error"]["where"] == source
    assert not (state / "packages").exists()
    assert cli("integrations", "add", FILE, "--trust", "key:other", "--json").code == 2
    assert cli("integrations", "verify-package", FILE, "--json").json["data"]["trusted"] is False

    added = cli("integrations", "add", FILE, "--trust", source, "--json")
    assert added.code == 0, added
    assert cli("integrations", "verify-package", FILE, "--json").json["data"]["trusted"] is True
    assert cli("integrations", "add", FILE).code == 0  # it is not asked again
    listed = cli("integrations", "list", "--json").json["data"]["items"]
    assert str(state / "packages/greeting") in {item["origin"] for item in listed}
    lock = json.loads((state / "packages.lock.json").read_text(encoding="utf-8"))
    assert lock["greeting"]["digest"] == added.json["data"]["digest"]


def test_a_package_is_never_written_over_and_has_its_ending(cli: Callable[..., Result], here: Path) -> None:
    before = (here / FILE).read_bytes()

    assert cli("integrations", "pack", "./greeting").code == 6
    assert cli("integrations", "pack", "./greeting", "-o", "greeting.zip").code == 2
    assert cli("integrations", "pack", "./greeting", "-o", "nowhere/greeting.integration.zip").code == 2
    assert (here / FILE).read_bytes() == before
    assert sorted(entry.name for entry in here.iterdir()) == ["greeting", FILE]


def test_what_was_changed_after_it_was_brought_in_is_not_begun(
    cli: Callable[..., Result], here: Path, state: Path
) -> None:
    del here
    source = cli("integrations", "verify-package", FILE, "--json").json["data"]["source"]
    assert source.startswith("unsigned:")
    assert cli("integrations", "add", FILE, "--trust", source).code == 0
    (state / "packages/greeting/templates/install.sh.j2").write_text("id\n", encoding="utf-8")

    refused = cli("install", "greeting", "--yes", "--json")

    assert refused.code == 6
    assert refused.json["error"]["state"] == "nothing was begun"


@pytest.mark.parametrize("verb", ["install", "plan"])
def test_yes_says_nothing_about_a_source(cli: Callable[..., Result], here: Path, state: Path, verb: str) -> None:
    del here
    refused = cli(verb, FILE, *(["--yes"] if verb == "install" else []), "--json")

    assert refused.code == 2
    assert refused.json["error"]["code"] == "usage.consent"
    assert "integrations add" in refused.json["error"]["hint"]
    assert not (state / "packages").exists()


def test_a_changed_package_is_refused_by_every_command(cli: Callable[..., Result], here: Path) -> None:
    content = bytearray((here / FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (here / FILE).write_bytes(content)

    for words in (("integrations", "verify-package", FILE), ("integrations", "add", FILE), ("install", FILE, "--yes")):
        assert cli(*words, "--json").code == 2, words


def test_a_repository_that_is_written_otherwise_is_a_usage_error(cli: Callable[..., Result], here: Path) -> None:
    del here
    refused = cli("integrations", "add", "git+https://example.org/a@main", "--json")

    assert refused.code == 2
    assert "40 digits" in refused.json["error"]["hint"]


def test_a_folder_that_is_packed_from_inside_stays_one_that_can_be_packed(
    cli: Callable[..., Result], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / FILE).unlink()
    monkeypatch.chdir(here / "greeting")

    assert cli("integrations", "pack", ".").code == 0
    assert (here / FILE).is_file()
    refused = cli("integrations", "pack", ".", "-o", FILE, "--json")
    assert refused.code == 2
    assert "the integration's own folder" in refused.json["error"]["message"]
    assert not (here / "greeting" / FILE).exists()


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ("./greeting", "is a folder", "`workflow-agent install ./greeting`"),
        ("greeting", "is a folder", "`workflow-agent install ./greeting`"),
        ("https://example.org/x.integration.zip", "not fetched from an address", "download it"),
    ],
)
def test_what_is_neither_a_package_nor_a_commit_is_told_what_to_do(
    cli: Callable[..., Result], here: Path, source: str, message: str, hint: str
) -> None:
    del here
    refused = cli("integrations", "add", source, "--json")

    assert refused.code == 2
    assert message in refused.json["error"]["message"]
    assert hint in refused.json["error"]["hint"]
    assert refused.json["error"]["where"] == source


def test_a_key_that_is_not_there_can_be_made(cli: Callable[..., Result], here: Path) -> None:
    del here
    refused = cli("integrations", "sign", FILE, "--key", "key.pem", "--json")

    assert refused.code == 5
    assert refused.json["error"]["hint"] == "`--make-key` makes one there"
    assert cli("integrations", "sign", FILE, "--key", "key.pem", "--make-key").code == 0
