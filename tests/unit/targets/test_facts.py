"""Facts are read from files and never executed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.system import InitKind, Tier
from workflow_agent.targets.facts import parse_os_release, read_facts, read_system

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ID=debian\nVERSION_ID="12"\n', {"ID": "debian", "VERSION_ID": "12"}),
        ("NAME='Red Hat'\n", {"NAME": "Red Hat"}),
        ('NAME="a \\"b\\" \\$c \\\\"\n', {"NAME": 'a "b" $c \\'}),
        ("# comment\n\nID=x\nID=y\nno assignment\n1A=x\nÄ=x\n", {"ID": "y"}),
        ("ID=$(touch /tmp/canary)\n", {"ID": "$(touch /tmp/canary)"}),
        ('ID="\n', {"ID": '"'}),
        ("ID=\n", {"ID": ""}),
    ],
)
def test_os_release_is_parsed_and_not_run(text: str, expected: dict[str, str]) -> None:
    assert parse_os_release(text) == expected


def _system(root: Path, *paths: str) -> tuple[dict[str, str], InitKind, str | None]:
    for path in paths:
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    descriptor = os.open(root, os.O_PATH)
    try:
        return read_system(descriptor)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("paths", "init", "manager"),
    [
        ((), InitKind.NONE, None),
        (("/etc/init.d/x",), InitKind.NONE, None),
        (("/etc/init.d/x", "/lib/lsb/init-functions"), InitKind.SYSVINIT, None),
        (("/usr/sbin/service", "/usr/bin/apt-get"), InitKind.SYSVINIT, "apt"),
        (("/sbin/apk",), InitKind.NONE, "apk"),
        (("/usr/bin/dnf", "/usr/bin/yum"), InitKind.NONE, "dnf"),
        (("/run/systemd/system/x",), InitKind.NONE, None),
    ],
)
def test_init_and_package_manager(tmp_path: Path, paths: tuple[str, ...], init: InitKind, manager: str | None) -> None:
    assert _system(tmp_path, *paths)[1:] == (init, manager)


def test_systemd_must_be_the_first_process_and_not_only_installed(tmp_path: Path) -> None:
    _system(tmp_path, "/run/systemd/system/x", "/proc/1/comm")
    for name, expected in {"systemd": InitKind.SYSTEMD, "systemd-other": InitKind.NONE, "sh": InitKind.NONE}.items():
        (tmp_path / "proc/1/comm").write_text(f"{name}\n")
        assert _system(tmp_path)[1] is expected


def test_os_release_falls_back_and_never_leaves_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    (root / "etc").mkdir()
    outside = tmp_path / "os-release"
    outside.write_text("ID=outside\n")
    assert _system(root)[0] == {}

    (root / "usr/lib/os-release").write_text("ID=inside\n")
    (root / "etc/os-release").symlink_to(outside)
    assert _system(root)[0] == {"ID": "inside"}

    (root / "etc/os-release").unlink()
    (root / "etc/os-release").symlink_to("/usr/lib/os-release")
    assert _system(root)[0] == {"ID": "inside"}


async def test_facts_of_this_machine() -> None:
    facts = await read_facts("host", 0)

    assert facts.target == "host"
    assert (facts.hostname, facts.kernel, facts.architecture) == (
        os.uname().nodename,
        os.uname().release,
        os.uname().machine,
    )
    assert facts.is_root is (os.geteuid() == 0)
    assert facts.tier is Tier.LOGICAL
    assert facts.tier_reason


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have the exact tier")
@pytest.mark.parametrize(("reason", "tier"), [(None, Tier.EXACT), ("no overlay here", Tier.LOGICAL)])
async def test_the_tier_is_exact_when_an_overlay_was_really_mounted(reason: str | None, tier: Tier) -> None:
    async def try_overlay() -> str | None:
        return reason

    facts = await read_facts("host", 0, try_overlay=try_overlay)

    assert (facts.tier, facts.tier_reason) == (tier, reason)


async def test_without_root_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def try_overlay() -> str | None:
        raise AssertionError

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    facts = await read_facts("host", 0, try_overlay=try_overlay)

    assert (facts.is_root, facts.tier) == (False, Tier.LOGICAL)
    assert "not root" in (facts.tier_reason or "")
