"""What changed files say of the kernel."""

from __future__ import annotations

import pytest

from workflow_agent.model.system import Change, ChangeAction
from workflow_agent.targets.derive_kernel import is_about_the_kernel, kernel_changes


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/etc/modules", True),
        ("/etc/modules-load.d/wg.conf", True),
        ("/usr/lib/sysctl.d/50-a.conf", True),
        ("/etc/sysctl.conf", True),
        ("/lib/modprobe.d/b.conf", True),
        ("/etc/sysctl.d/readme", False),
        ("/etc/modprobe.d/deep/b.conf", False),
        ("/srv/etc/sysctl.conf", False),
    ],
)
def test_which_files_are_looked_into(path: str, *, wanted: bool) -> None:
    assert is_about_the_kernel(path) is wanted


def told(path: str, before: bytes | None, after: bytes | None) -> list[tuple[object, ...]]:
    changes = [Change(path=one, action=ChangeAction.MODIFIED, kind="file") for one in ("/etc/motd", path)]
    found = kernel_changes({path: before}, {path: after}, changes)
    return [(one["kind"], one["name"], one["action"], one["before"], one["value"]) for one in found]


def test_settings_are_compared_by_name() -> None:
    before = b"# old\nvm.swappiness = 60\nnet.ipv4.ip_forward=0\nkernel.gone=1\n"
    after = b"vm.swappiness=60\n-net.ipv4.ip_forward = 1\n; no\nnet.new=a b\n"
    assert told("/etc/sysctl.d/9.conf", before, after) == [
        ("sysctl", "kernel.gone", "removed", "1", None),
        ("sysctl", "net.ipv4.ip_forward", "changed", "0", "1"),
        ("sysctl", "net.new", "added", None, "a b"),
    ]


def test_modules_and_what_is_said_of_them() -> None:
    assert told("/etc/modules", None, b"wireguard\n") == [("module", "wireguard", "added", None, "")]
    assert told("/etc/modprobe.d/a.conf", b"blacklist nouveau\n", b"options kvm nested=1 x=2\n") == [
        ("modprobe", "blacklist nouveau", "removed", "", None),
        ("modprobe", "options kvm", "added", None, "nested=1 x=2"),
    ]


def test_hostile_text_is_made_printable_and_cut() -> None:
    many = b"".join(b"k%d=1\n" % number for number in range(1000))
    assert len(told("/etc/sysctl.conf", None, many)) == 200
    [(_, name, _, _, value)] = told("/etc/sysctl.conf", None, b"a\x1b[31m=" + b"x" * 1000)
    assert name == "a\\x1b[31m"
    assert len(str(value)) == 200
