"""`knowledge`: pages are read, listed, shown, searched and compared."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAGE = """# Kestrel

    apt-get install kestrel

Kestrel listens on port 7100. Set `<name>` in `/etc/kestrel.conf`.

| Option | Default |
| --- | --- |
| `workers` | `4` |
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "kestrel.md"
    file.write_text(PAGE)
    return file


def test_a_file_is_read_and_asked(cli: Callable[..., Any], page: Path) -> None:
    read = cli("knowledge", "fetch", str(page), "--for", "kestrel", "--json").json["data"]
    assert (read["revision"], read["changed"], read["title"]) == (1, True, "Kestrel")
    assert read["facts"] == {"package": 1, "port": 1, "file": 1, "setting": 1}
    assert [flag["text"] for flag in read["flags"]] == ["<name>", "Set <name> in /etc/kestrel.conf."]

    (listed,) = cli("knowledge", "list", "--json").json["data"]["items"]
    assert (listed["subject"], listed["facts"], listed["source"]) == ("kestrel", 4, "documentation")
    assert cli("knowledge", "list", "other", "--json").json["data"]["items"] == []

    for name in ("kestrel", str(page), page.as_uri()):
        shown = cli("knowledge", "show", name, "--kind", "setting", "--json").json["data"]
        assert [(fact["value"], fact["details"]["default"]) for fact in shown["facts"]] == [("workers", "4")]

    found = cli("knowledge", "search", "listen", "--kind", "port", "--json").json["data"]["items"]
    assert [(fact["kind"], fact["value"]) for fact in found] == [("port", "7100")]


def test_people_see_facts_with_their_places(cli: Callable[..., Any], page: Path) -> None:
    read = cli("knowledge", "fetch", str(page)).out
    assert "revision 1 (new)" in read
    assert "placeholder: <name>" in read
    assert "(unchanged)" in cli("knowledge", "fetch", str(page)).out
    shown = cli("knowledge", "show", str(page)).out
    assert "kestrel.md line 5" in shown
    assert "default 4" in shown
    assert "7100" in cli("knowledge", "search", "7100").out
    assert "kestrel.md" in cli("knowledge", "list").out


def test_what_changed_on_a_page_is_shown(cli: Callable[..., Any], page: Path) -> None:
    cli("knowledge", "fetch", str(page))
    early = cli("knowledge", "diff", str(page))
    assert (early.code, "nothing before" in early.err) == (5, True)
    page.write_text(PAGE.replace("port 7100", "port 7200").replace("`4`", "`8`"))
    assert "(changed)" in cli("knowledge", "fetch", str(page)).out

    told = cli("knowledge", "diff", str(page)).out.splitlines()
    assert told[1:] == ["- port 7100", "+ port 7200", "~ setting workers (default 4) -> setting workers (default 8)"]
    data = cli("knowledge", "diff", str(page), "--json").json["data"]
    assert data["revisions"] == [1, 2]

    page.write_text(page.read_text() + "\nThe end.\n")
    cli("knowledge", "fetch", str(page))
    assert "the same facts" in cli("knowledge", "diff", str(page)).out


def test_sources_that_contradict_each_other_are_shown(cli: Callable[..., Any], page: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.md"
    other.write_text(PAGE.replace("`4`", "`16`"))
    cli("knowledge", "fetch", str(page), "--for", "kestrel")
    read = cli("knowledge", "fetch", str(other), "--for", "kestrel")

    assert "contradiction: setting workers" in read.out
    (conflict,) = cli("knowledge", "show", "kestrel", "--json").json["data"]["conflicts"]
    assert sorted(said["said"] for said in conflict["says"]) == ["16", "4"]


def test_what_is_not_there_is_said(cli: Callable[..., Any], tmp_path: Path) -> None:
    assert "knowledge fetch" in cli("knowledge", "list").out
    assert "nothing is known" in cli("knowledge", "search", "kestrel").out
    assert cli("knowledge", "show", "kestrel").code == 5
    assert cli("knowledge", "diff", "https://docs.example.org/").code == 5
    assert cli("knowledge", "fetch", str(tmp_path / "none.md")).code == 5
    assert cli("knowledge", "fetch", str(tmp_path)).code == 2
    mistaken = cli("knowledge", "search", "x", "--kind", "prot")
    assert (mistaken.code, "port" in mistaken.err) == (2, True)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\0")
    assert cli("knowledge", "fetch", str(binary)).code == 2


def test_this_machine_is_not_asked(cli: Callable[..., Any]) -> None:
    refused = cli("knowledge", "fetch", "https://127.0.0.1/", "--json")

    assert (refused.code, refused.json["error"]["code"]) == (4, "permission")


def test_what_never_ends_is_not_read(cli: Callable[..., Any], tmp_path: Path) -> None:
    pipe = tmp_path / "page.md"
    os.mkfifo(pipe)

    for source in (str(pipe), "/dev/zero", str(tmp_path)):
        refused = cli("knowledge", "fetch", source, "--json")
        assert refused.code == 2
        assert refused.json["error"]["message"] in {"this is no ordinary file", "the file cannot be read"}


def test_a_placeholder_in_angles_is_one_question(cli: Callable[..., Any], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Kestrel\n\nSay `key <YOUR-KEY>` and `name YOUR-NAME` there.\n", encoding="utf-8")

    flags = cli("knowledge", "fetch", str(page), "--json").json["data"]["flags"]

    assert [flag["text"] for flag in flags] == ["<YOUR-KEY>", "YOUR-NAME"]
