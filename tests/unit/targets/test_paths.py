"""Paths are resolved inside a target's root, whatever its links say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.targets.paths import open_in_root, open_root, read_in_root, root_folder, stat_in_root

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """A root folder with a file, and links that would lead out of it."""
    inside = tmp_path / "root"
    (inside / "etc").mkdir(parents=True)
    (inside / "etc/name").write_text("inside")
    (tmp_path / "name").write_text("outside")
    (inside / "absolute").symlink_to("/etc/name")
    (inside / "climbing").symlink_to("../../../../etc/name")
    (inside / "out").symlink_to(tmp_path / "name")
    (inside / "dangling").symlink_to("nowhere")
    os.mkfifo(inside / "fifo")
    descriptor = os.open(inside, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("path", ["/etc/name", "etc/name", "/absolute", "/climbing", "/../../etc/name", b"/absolute"])
def test_links_and_dots_stay_inside(root: int, path: str | bytes) -> None:
    assert read_in_root(root, path) == b"inside"


@pytest.mark.parametrize("path", ["/out", "/dangling", "/missing/x"])
def test_what_is_not_inside_is_not_found(root: int, path: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        read_in_root(root, path)

    assert caught.value.filename == path


def test_no_byte_beyond_the_limit_is_read(root: int) -> None:
    assert read_in_root(root, "/etc/name", limit=3) == b"ins"


@pytest.mark.parametrize("path", ["/fifo", "/etc"])
def test_only_regular_files_are_read(root: int, path: str) -> None:
    """A FIFO without a writer would block for ever."""
    with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
        read_in_root(root, path)


def test_a_nul_byte_does_not_shorten_the_path(root: int) -> None:
    with pytest.raises(OSError, match="NUL"):
        open_in_root(root, "/etc/name\0.txt")


def test_stat_follows_links_unless_told_otherwise(root: int) -> None:
    assert stat_in_root(root, "/absolute").st_size == len("inside")
    assert stat_in_root(root, "/absolute", follow=False).st_size == len("/etc/name")


def test_created_files_get_the_mode_and_stay_inside(root: int, tmp_path: Path) -> None:
    descriptor = open_in_root(root, "/../new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.close(descriptor)

    assert (tmp_path / "root/new").stat().st_mode & 0o777 == 0o600


def test_descriptors_are_not_inherited(root: int) -> None:
    descriptor = open_in_root(root, "/etc", os.O_DIRECTORY, 0o700)

    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_magic_links_of_procfs_are_refused() -> None:
    with open_root(0) as root, pytest.raises(OSError):
        open_in_root(root, f"/proc/{os.getpid()}/exe")


def test_the_root_of_a_process_is_reached_through_procfs() -> None:
    assert root_folder(0) == "/"
    with open_root(os.getpid()) as root:
        assert os.fstat(root).st_ino == Path("/").stat().st_ino
