"""Which mounted file systems are captured: read from mountinfo as the kernel writes it."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.targets.mountinfo import unescape
from workflow_agent.targets.mounts import Mount, MountUse, parse_mountinfo, plan_mounts, read_mounts


def _mount(number: int, parent: int, point: bytes, kind: str = "ext4", **more: object) -> Mount:
    fields: dict[str, object] = {"root": b"/", "device": "8:1", "writable": True} | more
    return Mount(id=number, parent=parent, point=point, kind=kind, **fields)  # type: ignore[arg-type]


def _uses(mounts: list[Mount]) -> list[tuple[bytes, str]]:
    return [(mount.point, use.value) for mount, use in plan_mounts(mounts)]


def test_a_line_is_read_with_its_optional_fields() -> None:
    text = (
        b"36 35 98:0 /sub\\040dir /mnt/a\\011b rw,noatime master:1 shared:2 - ext4 /dev/root rw,errors=continue\n"
        b"37 36 0:5 / /mnt/- ro - tmpfs none rw\n"
        b"38 36 0:6 / /mnt/c rw - xfs none ro\n"
        b"not a mount\n"
    )
    assert parse_mountinfo(text) == [
        _mount(36, 35, b"/mnt/a\tb", root=b"/sub dir", device="98:0"),
        _mount(37, 36, b"/mnt/-", "tmpfs", device="0:5", writable=False),
        _mount(38, 36, b"/mnt/c", "xfs", device="0:6", writable=False),
    ]


def test_a_carriage_return_in_a_name_does_not_end_a_line() -> None:
    (mount,) = parse_mountinfo(b"36 35 98:0 / /mnt/a\rb rw - ext4 /dev/root rw\n")
    assert mount.point == b"/mnt/a\rb"


@given(st.binary().filter(lambda name: b"\0" not in name))
def test_names_survive_the_kernels_escapes(name: bytes) -> None:
    escaped = b"".join(b"\\%03o" % byte if byte in b" \t\n\\#" else bytes([byte]) for byte in name)
    assert unescape(escaped) == name


def test_our_own_mounts_can_be_read() -> None:
    own, by_pid = read_mounts(0), read_mounts(os.getpid())
    assert own == by_pid
    assert b"/" in {mount.point for mount in own}


def test_disks_are_captured_outermost_first_and_everything_else_is_not() -> None:
    mounts = [
        _mount(1, 0, b"/"),
        _mount(5, 4, b"/srv/data/inner"),
        _mount(2, 1, b"/proc", "proc"),
        _mount(3, 1, b"/home", "nfs4"),
        _mount(4, 1, b"/srv/data"),
        _mount(6, 1, b"/mnt", writable=False),
        _mount(7, 1, b"/opt", root=b"/elsewhere"),
        _mount(8, 1, b"/tmp"),
        _mount(9, 1, b"/run/user/0", "tmpfs"),
        _mount(10, 1, b"/running"),
    ]
    assert _uses(mounts) == [
        (b"/", "overlay"),
        (b"/home", "read-only"),
        (b"/mnt", "read-only"),
        (b"/opt", "read-only"),
        (b"/proc", "private"),
        (b"/running", "overlay"),
        (b"/tmp", "private"),
        (b"/srv/data", "overlay"),
        (b"/run/user/0", "private"),
        (b"/srv/data/inner", "overlay"),
    ]


@pytest.mark.parametrize(
    ("mounts", "visible"),
    [
        # A second mount at the same place lies on the first.
        ([_mount(1, 0, b"/"), _mount(2, 1, b"/a"), _mount(3, 2, b"/a", "tmpfs")], [b"/", b"/a"]),
        # What was mounted below it before is hidden, what came later is its own.
        ([_mount(1, 0, b"/"), _mount(2, 1, b"/a/b"), _mount(3, 1, b"/a"), _mount(4, 3, b"/a/c")],
         [b"/", b"/a", b"/a/c"]),
        ([_mount(1, 0, b"/"), _mount(2, 1, b"/a"), _mount(3, 2, b"/a/b"), _mount(4, 2, b"/a")], [b"/", b"/a"]),
        # Names that only begin alike hide nothing.
        ([_mount(1, 0, b"/"), _mount(2, 1, b"/ab"), _mount(3, 1, b"/a")], [b"/", b"/a", b"/ab"]),
        # An initramfs mounts /usr and moves everything: the root may come after what lies on it.
        ([_mount(20, 30, b"/proc", "proc"), _mount(30, 1, b"/")], [b"/", b"/proc"]),
        # The first of all mounts names itself as its parent.
        ([_mount(1, 1, b"/", "rootfs"), _mount(2, 1, b"/")], [b"/"]),
    ],
)  # fmt: skip
def test_only_mounts_that_a_path_leads_to_count(mounts: list[Mount], visible: list[bytes]) -> None:
    assert [point for point, _ in _uses(mounts)] == visible


def test_a_disk_that_covers_the_root_is_the_root() -> None:
    ((mount, use),) = plan_mounts([_mount(1, 1, b"/", "rootfs"), _mount(2, 1, b"/", "ext4")])
    assert (mount.kind, use) == ("ext4", MountUse.OVERLAY)
