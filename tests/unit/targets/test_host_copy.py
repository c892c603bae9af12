"""A copy of a host's files: every kind of entry, what is left out, and what changes while it is read."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.targets.host_copy import Surveyed, survey, tar_stream
from workflow_agent.targets.mounts import parse_mountinfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOUNTS = b"""\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:5 / /proc rw - proc proc rw
3 1 0:7 / /data rw - nfs4 server:/data rw
4 1 8:2 / /usr ro - squashfs /dev/sdb ro
"""


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A root folder, and its descriptor."""
    for name in ("proc", "tmp", "run", "data", "usr", "etc", "home", ".workflow-agent"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "inside").write_text(name)
    descriptor = os.open(tmp_path, os.O_PATH)
    yield tmp_path, descriptor
    os.close(descriptor)


def unpacked(root: int, found: Surveyed) -> dict[str, tarfile.TarInfo]:
    """Read the archive as another program would."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(tar_stream(root, found))), errors="surrogateescape") as archive:
        return {member.name: member for member in archive.getmembers()}


def test_every_kind_of_entry_comes_out_as_it_is(tree: tuple[Path, int]) -> None:
    place, root = tree
    (place / "etc/first").write_bytes(b"x" * 700)
    os.link(place / "etc/first", place / "etc/second")
    (place / "etc/link").symlink_to("../nowhere\nat all")
    os.mkfifo(place / "etc/fifo", 0o600)
    (place / "etc/first").chmod(0o4755)
    os.utime(place / "etc/first", ns=(5 * 10**9, 7 * 10**9 + 3))
    os.setxattr(place / "etc/first", "user.note", b"\xff\0")
    Path(os.fsdecode(os.fsencode(place) + b"/etc/\xff\n")).write_text("")

    found = survey(root, parse_mountinfo(_MOUNTS))
    members = unpacked(root, found)

    first, second = members["etc/first"], members["etc/second"]
    assert (first.size, first.mode, first.mtime) == (700, 0o4755, 7)
    assert first.pax_headers["SCHILY.xattr.user.note"].encode("utf-8", "surrogateescape") == b"\xff\0"
    assert (second.type, second.linkname) == (tarfile.LNKTYPE, "etc/first")
    assert members["etc/link"].linkname == "../nowhere\nat all"
    assert members["etc/fifo"].isfifo()
    assert members["etc/\udcff\n"].size == 0


def test_what_belongs_to_others_is_left_empty_and_told(tree: tuple[Path, int]) -> None:
    _, root = tree

    found = survey(root, parse_mountinfo(_MOUNTS), without=["/home", "/etc/inside"], hidden=["/none"])

    assert {name for name in unpacked(root, found) if name.endswith("inside")} == {"usr/inside"}
    assert {"proc", "tmp", "run", "data", "home"} <= unpacked(root, found).keys()
    assert ".workflow-agent" not in unpacked(root, found)
    assert sorted(found.left_out) == [b"/data", b"/etc/inside", b"/home"]


def test_a_folder_that_is_there_twice_is_copied_once(tree: tuple[Path, int]) -> None:
    place, _ = tree
    if os.geteuid() != 0:
        pytest.skip("a bind mount needs root")
    (place / "again").mkdir()
    program = (
        "import os, sys\n"
        "from workflow_agent.targets.host_copy import survey\n"
        "root = os.open(sys.argv[1], os.O_PATH)\n"
        "print(survey(root, []).left_out)"
    )
    mounting = 'mount --bind "$1" "$1/again"; exec "$2" -c "$3" "$1"'
    command = ["unshare", "--mount", "sh", "-ec", mounting, "sh", str(place), sys.executable, program]

    assert subprocess.check_output(command, text=True) == "[b'/again']\n"


@pytest.mark.parametrize("change", [lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"y" * 9000)])
def test_a_file_that_changes_meanwhile_breaks_nothing(tree: tuple[Path, int], change: Callable[[Path], None]) -> None:
    place, root = tree
    (place / "etc/log").write_bytes(b"x" * 3000)
    (place / "etc/zz").write_text("after")
    found = survey(root, [])
    pieces = []
    for piece in tar_stream(root, found):
        pieces.append(piece)
        if b"etc/log" in piece:
            change(place / "etc/log")

    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        assert archive.getmember("etc/log").size == 3000
        assert archive.extractfile("etc/zz").read() == b"after"  # type: ignore[union-attr]


def test_what_is_gone_meanwhile_is_left_out(tree: tuple[Path, int]) -> None:
    place, root = tree
    (place / "etc/link").symlink_to("x")
    found = survey(root, [])
    for name in ("etc/link", "etc/inside"):
        (place / name).unlink()
    (place / "etc").rmdir()

    assert {"etc", "usr/inside"} <= unpacked(root, found).keys()
    assert {"etc/link", "etc/inside"}.isdisjoint(unpacked(root, found))


@pytest.mark.skipif(os.geteuid() != 0, reason="root reads everything, so it has to become somebody else")
def test_what_may_not_be_read_is_told(tree: tuple[Path, int]) -> None:
    place, root = tree
    (place / "etc/shadow").write_text("x")
    (place / "etc/shadow").chmod(0o600)
    (place / "home").chmod(0o700)
    place.chmod(0o755)
    os.seteuid(65534)
    try:
        found = survey(root, [])
        members = unpacked(root, found)
    finally:
        os.seteuid(0)

    assert sorted(found.unreadable) == [b"/etc/shadow", b"/home"]
    assert members["home"].isdir()
    assert "etc/shadow" not in members
    assert members["etc/inside"].size == 3
