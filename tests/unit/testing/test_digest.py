"""Two readings of a tree differ exactly where the tree does."""

from __future__ import annotations

import mmap
import os
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from workflow_agent.testing.lab import diff, digest, grown_logs
from workflow_agent.testing.lab.digest import Known

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root\n")
    (tmp_path / "etc/one").write_text("linked")
    os.link(tmp_path / "etc/one", tmp_path / "etc/two")
    (tmp_path / "etc/link").symlink_to("passwd")
    os.mkfifo(tmp_path / "etc/pipe")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp/scratch").write_text("not ours")
    return tmp_path


def test_an_untouched_tree_gives_equal_readings(tree: Path) -> None:
    assert diff(digest(tree), digest(tree)) == []


def test_excluded_folders_are_not_read(tree: Path) -> None:
    assert not [name for name in digest(tree) if name.startswith("/tmp")]


def test_every_kind_of_entry_is_read(tree: Path) -> None:
    read = digest(tree)

    assert {name: record.kind for name, record in read.items()} == {
        "/": "directory",
        "/etc": "directory",
        "/etc/link": "link",
        "/etc/one": "file",
        "/etc/passwd": "file",
        "/etc/pipe": "fifo",
        "/etc/two": "file",
    }
    assert read["/etc/one"].names == ("/etc/one", "/etc/two")
    assert read["/etc/link"].content == "passwd"


def _keep_times(path: Path, change: Callable[[], object]) -> None:
    """Change a file as somebody would who wants to hide it."""
    times = path.stat()
    change()
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_content_of_equal_length_and_time_differs(tree: Path) -> None:
    before = digest(tree)
    path = tree / "etc/passwd"

    _keep_times(path, lambda: path.write_text("r00t\n"))

    assert diff(before, digest(tree)) == ["changed: /etc/passwd: content"]


def test_a_mode_differs(tree: Path) -> None:
    before = digest(tree)
    old = stat.S_IMODE((tree / "etc/passwd").stat().st_mode)

    (tree / "etc/passwd").chmod(0o4755)

    assert diff(before, digest(tree)) == [f"changed: /etc/passwd: mode {old:#o} -> 0o4755"]


def test_a_time_differs_by_a_nanosecond(tree: Path) -> None:
    os.utime(tree / "etc/passwd", ns=(0, 1_000_000_001))
    before = digest(tree)

    os.utime(tree / "etc/passwd", ns=(0, 1_000_000_002))

    assert diff(before, digest(tree)) == ["changed: /etc/passwd: mtime_ns 1000000001 -> 1000000002"]


def test_an_extended_attribute_differs(tree: Path) -> None:
    before = digest(tree)

    os.setxattr(tree / "etc/passwd", "user.origin", b"elsewhere")

    assert diff(before, digest(tree)) == ["changed: /etc/passwd: attributes () -> (('user.origin', b'elsewhere'),)"]


def test_a_link_target_differs(tree: Path) -> None:
    before = digest(tree)
    folder_times = (tree / "etc").stat()

    (tree / "etc/link").unlink()
    (tree / "etc/link").symlink_to("shadow")
    os.utime(tree / "etc/link", ns=(0, before["/etc/link"].mtime_ns), follow_symlinks=False)
    os.utime(tree / "etc", ns=(0, folder_times.st_mtime_ns))

    assert diff(before, digest(tree)) == ["changed: /etc/link: content passwd -> shadow"]


def test_a_broken_hard_link_differs_although_all_contents_are_equal(tree: Path) -> None:
    before = digest(tree)
    times = (tree / "etc/two").stat()

    (tree / "etc/two").unlink()
    (tree / "etc/two").write_text("linked")
    os.utime(tree / "etc/two", ns=(0, times.st_mtime_ns))
    os.utime(tree / "etc", ns=(0, before["/etc"].mtime_ns))

    assert diff(before, digest(tree)) == [
        "changed: /etc/one: names ('/etc/one', '/etc/two') -> ()",
        "changed: /etc/two: names ('/etc/one', '/etc/two') -> ()",
    ]


def test_created_and_deleted_names_are_told_with_their_folder(tree: Path) -> None:
    before = digest(tree)
    os.utime(tree / "etc", ns=(0, before["/etc"].mtime_ns))

    (tree / "etc/pipe").unlink()
    (tree / "etc/new\nline").touch()

    lines = diff(before, digest(tree))
    assert "created: /etc/new\\x0aline" in lines
    assert "deleted: /etc/pipe" in lines
    assert any(line.startswith("changed: /etc: mtime_ns") for line in lines)


def test_only_logs_that_kept_all_they_had_count_as_grown(tree: Path) -> None:
    logs = tree / "var/log"
    logs.mkdir(parents=True)
    for name in ("appended", "rewritten", "shortened", "opened", "same"):
        (logs / name).write_text("one\ntwo\n")
    before = digest(tree)

    (logs / "appended").write_text("one\ntwo\nthree\n")
    (logs / "rewritten").write_text("ONE\ntwo\nthree\n")
    (logs / "shortened").write_text("one\n")
    (logs / "opened").write_text("one\ntwo\nthree\n")
    (logs / "opened").chmod(0o777)
    (tree / "etc/passwd").write_text("root\nmallory\n")

    assert grown_logs(tree, before, digest(tree)) == ["/var/log/appended"]


@needs_root
def test_an_owner_differs(tree: Path) -> None:
    before = digest(tree)

    os.chown(tree / "etc/passwd", 12, 34)

    assert diff(before, digest(tree)) == ["changed: /etc/passwd: owner (0, 0) -> (12, 34)"]


@needs_root
def test_a_file_flag_differs(tree: Path) -> None:
    before = digest(tree)
    path = tree / "etc/passwd"
    if subprocess.run(["chattr", "+i", str(path)], check=False, capture_output=True).returncode != 0:
        pytest.skip("this file system has no flags")
    try:
        after = digest(tree)
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)

    assert diff(before, after) == ["changed: /etc/passwd: flags 0o0 -> 0o20"]


@needs_root
def test_device_numbers_are_read(tree: Path) -> None:
    os.mknod(tree / "etc/null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))

    record = digest(tree)["/etc/null"]

    assert (record.kind, record.content) == ("character", "1:3")


def test_what_vanishes_while_it_is_read_was_not_there(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(_: object) -> dict[tuple[int, int], tuple[str, ...]]:
        (tree / "etc/passwd").unlink()
        return {}

    monkeypatch.setattr(sys.modules[digest.__module__], "_link_groups", meanwhile)

    assert {"/etc/passwd", "/etc/link", "/etc/pipe"} & digest(tree).keys() == {"/etc/link", "/etc/pipe"}


def test_only_what_nobody_touched_since_is_not_read_again(tmp_path: Path) -> None:
    for name in ("still", "written", "mapped", "dated"):
        (tmp_path / name).write_bytes(b"as it was" * 1000)
    time.sleep(0.05)  # the kernel's clock for files ticks
    known = Known(time.time_ns(), {})
    first = digest(tmp_path, known=known)
    assert len(known.contents) == 4
    times = {name: (tmp_path / name).stat() for name in ("written", "dated")}
    (tmp_path / "written").write_bytes(b"as it is!" * 1000)
    with (tmp_path / "mapped").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[:9] = b"as it is!"
    for name, was in times.items():
        os.utime(tmp_path / name, ns=(was.st_atime_ns, was.st_mtime_ns))
    again = digest(tmp_path, known=known)

    lines = diff(first, again)
    assert [line.rpartition(", ")[2] for line in lines] == ["content", "changed: /written: content"], lines
    assert again == digest(tmp_path)
    assert len(known.contents) == 4


def test_what_is_known_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "still").write_bytes(b"as it was")
    time.sleep(0.05)
    known = Known(time.time_ns(), {})
    digest(tmp_path, known=known)
    (key,) = known.contents
    known.contents[key] = "told"

    assert digest(tmp_path, known=known)["/still"].content == "told"
