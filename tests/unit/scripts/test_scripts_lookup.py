"""The one lookup rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import NotFoundError, ValidationError
from workflow_agent.scripts._lookup import find_template, read_template, template_folders

if TYPE_CHECKING:
    from pathlib import Path


def put(path: Path, text: str = "true\n") -> Path:
    """Write a file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_integration_comes_before_configured_folders_in_order(tmp_path: Path) -> None:
    folders = template_folders(tmp_path / "nginx", [tmp_path / "site", tmp_path / "built-in"])
    third = put(tmp_path / "built-in" / "apt" / "install.sh.j2")
    assert find_template("apt/install", folders) == third
    second = put(tmp_path / "site" / "apt" / "install.sh.j2")
    assert find_template("apt/install", folders) == second
    first = put(tmp_path / "nginx" / "templates" / "apt" / "install.sh.j2")

    assert find_template("apt/install", folders) == first
    assert template_folders(None, [tmp_path]) == (tmp_path,)


def test_a_missing_template_names_the_folders_and_the_nearest_name(tmp_path: Path) -> None:
    put(tmp_path / "apt" / "install.sh.j2")

    with pytest.raises(NotFoundError) as caught:
        find_template("apt/instal", [tmp_path, tmp_path / "gone"])

    assert caught.value.details["folders"] == [str(tmp_path), str(tmp_path / "gone")]
    assert caught.value.details["nearest"] == ["apt/install"]
    assert str(tmp_path / "gone") in (caught.value.cause or "")


def test_without_folders_nothing_is_found() -> None:
    with pytest.raises(NotFoundError, match="no template") as caught:
        find_template("x", [])

    assert caught.value.cause == "searched no folder at all"


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../b", "a..b", "A", "a//b", "a/", "a\0", "a b"])
def test_names_are_plain_segments(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValidationError):
        find_template(name, [tmp_path])


def test_links_do_not_lead_out_of_a_folder(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside.sh.j2")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.sh.j2").symlink_to(outside)
    (tmp_path / "linked").symlink_to(tmp_path / "in")
    inside = put(tmp_path / "in" / "y.sh.j2")

    with pytest.raises(NotFoundError):
        find_template("x", [tmp_path / "in"])
    assert find_template("y", [tmp_path / "linked"]) == inside


@pytest.mark.parametrize("content", [b"\xff", b"a\0b", b"x" * 300_000], ids=["bytes", "nul", "large"])
def test_templates_are_small_utf8_texts(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.sh.j2"
    path.write_bytes(content)

    with pytest.raises(ValidationError) as caught:
        read_template(path)

    assert caught.value.where == str(path)
