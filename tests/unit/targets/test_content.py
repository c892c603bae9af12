"""Looking at files below a root: never above it, never through links, never more than fits."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.targets.content import appended_length, differing_aspects, read_file, read_link
from workflow_agent.targets.entries import read_entry, read_xattrs, walk_file_system
from workflow_agent.targets.live_tree import LiveTree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.targets.entries import Entry


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def _entry(root: int, name: str) -> Entry:
    entry = read_entry(root, name.encode())
    assert entry is not None
    return entry


def test_a_file_is_read_whole_or_not_at_all(root: int, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    os.mkfifo(tmp_path / "p")
    (tmp_path / "l").symlink_to("f")
    assert read_file(root, b"/f") == b"12345"
    assert read_file(root, b"f", limit=4) is None
    assert [read_file(root, name) for name in (b"/p", b"/l", b"/none", b"/f/x", b"/../f")] == [None] * 5


def test_a_links_target_is_read_and_nothing_else(root: int, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    (tmp_path / "l").symlink_to(os.fsdecode(b"/to/\xff"))
    assert read_link(root, b"/l") == b"/to/\xff"
    assert read_link(root, b"/f") is None
    assert read_link(root, b"/none") is None


def test_what_differs_is_named(root: int, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
        os.utime(tmp_path / name, ns=(0, 5))

    def aspects() -> set[str]:
        return differing_aspects(root, b"/a", _entry(root, "a"), b"/b", _entry(root, "b"))

    assert aspects() == set()
    (tmp_path / "b").write_bytes(b"sane")
    os.utime(tmp_path / "b", ns=(0, 5))
    assert aspects() == {"content"}
    (tmp_path / "b").write_bytes(b"longer")
    (tmp_path / "b").chmod(0o600)
    assert aspects() == {"content", "mtime", "mode"}
    os.setxattr(tmp_path / "b", "user.a", b"1")
    assert "xattr" in aspects()
    (tmp_path / "b").unlink()
    (tmp_path / "b").symlink_to("x")
    assert aspects() == {"type"}
    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to("y")
    assert "target" in aspects()


def test_a_different_owner_is_named(root: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    mine = _entry(root, "a")
    assert differing_aspects(root, b"a", mine, b"a", mine._replace(uid=mine.uid + 1)) == {"owner"}


def test_a_log_that_grew_is_told_from_one_that_was_rewritten(root: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1\n2\n")

    def grown(content: bytes) -> int | None:
        (tmp_path / "b").write_bytes(content)
        return appended_length(root, b"a", _entry(root, "a"), b"b", _entry(root, "b"))

    assert grown(b"1\n2\n3\n") == 2
    assert grown(b"1\n2\n") == 0
    assert grown(b"1\n") is None
    assert grown(b"2\n2\n3\n") is None
    os.mkfifo(tmp_path / "p")
    assert appended_length(root, b"p", _entry(root, "p"), b"b", _entry(root, "b")) is None


def test_a_log_that_was_cut_since_it_was_looked_at_did_not_grow(root: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").write_bytes(b"1234")
    longer = _entry(root, "a")._replace(size=3)
    assert appended_length(root, b"a", longer, b"b", _entry(root, "b")) is None


def test_a_walk_records_everything_but_our_own_folder(root: int, tmp_path: Path) -> None:
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "d/f").write_bytes(b"")
    (tmp_path / ".workflow-agent/tx").mkdir(parents=True)
    (tmp_path / "s").symlink_to("d")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "sock"))
    found = walk_file_system(root, b"/")
    assert set(found) == {b"/", b"/d", b"/d/e", b"/d/f", b"/s", b"/sock"}
    assert stat.S_ISSOCK(found[b"/sock"].mode)
    assert found[b"/"].ino == tmp_path.stat().st_ino


def test_a_walk_of_what_is_gone_is_empty(root: int) -> None:
    assert walk_file_system(root, b"/none") == {}


def test_a_tree_reads_what_is_missing_as_nothing(root: int, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with LiveTree(root) as tree:
        assert tree.read(b"/none") is None
        assert tree.read(b"/none/x") is None
        assert tree.read(b"/f/x") is None
        assert tree.below(b"/none") == {}
        assert tree.below(b"/f") == {}
        top = tree.read(b"/")
        assert top is not None
        assert top.ino == tmp_path.stat().st_ino


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_tree_keeps_a_bounded_number_of_folders_open(root: int, tmp_path: Path) -> None:
    for number in range(900):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}/f").write_bytes(b"")
    before = _open_descriptors()
    with LiveTree(root) as tree:
        for number in range(900):
            assert tree.read(f"/{number}/f".encode()) is not None
        assert _open_descriptors() - before <= 410
    assert _open_descriptors() == before


def test_a_tree_follows_a_folder_that_was_replaced_when_it_forgets(root: int, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with LiveTree(root) as tree:
        assert tree.read(b"/d/f") is None
        (tmp_path / "d").rename(tmp_path / "old")
        (tmp_path / "d").mkdir()
        (tmp_path / "d/f").write_bytes(b"")
        tree.forget()
        assert tree.read(b"/d/f") is not None


def test_attributes_of_an_open_folder_are_its_own(root: int, tmp_path: Path) -> None:
    os.setxattr(tmp_path, "user.mine", b"1")
    os.setxattr(tmp_path, "user.other", b"2")
    assert read_xattrs(f"/proc/self/fd/{root}/.") == {"user.mine": b"1", "user.other": b"2"}
    with LiveTree(root) as tree:
        assert tree.xattrs(b"/") == {"user.mine": b"1", "user.other": b"2"}
