"""What a program of its own reads of a file system is what we would have read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from workflow_agent.targets.entries import walk_file_system
from workflow_agent.targets.walking import walk_beside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """A folder with names and kinds of all sorts."""
    (tmp_path / "etc/deep").mkdir(parents=True)
    (tmp_path / "etc/deep/plain").write_text("text", encoding="utf-8")
    (tmp_path / "etc/link").symlink_to("deep/plain")
    (tmp_path / "etc/twice").hardlink_to(tmp_path / "etc/deep/plain")
    os.mkfifo(tmp_path / "etc/fifo")
    for name in (b"two\nlines", b"not \xff utf-8", b'"quotes" $(and) more'):
        (tmp_path / os.fsdecode(name)).touch()
    os.utime(tmp_path / "etc/fifo", ns=(-5, -5_000_000_000))
    (tmp_path / "private").mkdir()
    (tmp_path / "private/key").touch()
    descriptor = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def test_it_gives_what_a_walk_here_gives(root: int) -> None:
    found = walk_beside(root, [b"/", b"/etc"], ())

    assert found == {b"/": walk_file_system(root, b"/"), b"/etc": walk_file_system(root, b"/etc")}
    assert b"/not \xff utf-8" in found[b"/"]
    assert found[b"/"][b"/etc/fifo"].mtime == -5_000_000_000
    assert found[b"/"][b"/etc/deep/plain"].nlink == 2


def test_what_is_hidden_from_scripts_is_not_read(root: int) -> None:
    found = walk_beside(root, [b"/"], [b"/private"])

    assert b"/private/key" not in found[b"/"]
    assert found[b"/"] == walk_file_system(root, b"/", {b"/private"})


def test_what_is_no_folder_any_more_holds_nothing(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "no-folder", os.O_WRONLY | os.O_CREAT)
    try:
        assert walk_beside(descriptor, [b"/"], ()) == {b"/": {}}
    finally:
        os.close(descriptor)


def test_a_program_that_ends_without_an_answer_is_an_error(root: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")

    with pytest.raises(OSError, match="not read: exit code 1"):
        walk_beside(root, [b"/"], ())
