"""Whose home folder a person without root may change, and what stands against it."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import PermissionDeniedError
from workflow_agent.targets import capture_tier
from workflow_agent.targets.capture_tier import home_mounts, home_reason
from workflow_agent.targets.home import HomeTarget, home_folder
from workflow_agent.targets.mounts import Mount, MountUse
from workflow_agent.targets.user_layers import home_overlay_options, written_outside

if TYPE_CHECKING:
    from pathlib import Path


def mount(point: bytes, kind: str = "ext4", *, writable: bool = True) -> tuple[Mount, MountUse]:
    made = Mount(id=1, parent=0, point=point, root=b"/", kind=kind, device="8:1", writable=writable)
    return made, MountUse.OVERLAY if writable and kind == "ext4" else MountUse.READ_ONLY


def test_home_is_what_the_variable_names_where_it_is_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "link"))
    assert home_folder() == str(tmp_path.resolve())


@pytest.mark.parametrize("value", ["", "relative", "/", "/proc/1/nothing"])
def test_home_is_else_what_the_system_says(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", value)
    assert home_folder() == os.path.realpath(pwd.getpwuid(os.geteuid()).pw_dir)


def test_who_has_no_home_folder_is_told_to_become_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/proc/1/nothing")
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    assert home_folder() is None
    with pytest.raises(PermissionDeniedError, match="needs root") as caught:
        HomeTarget()._require_root()
    assert "HOME" in (caught.value.hint or "")


def test_a_home_is_a_part_of_the_innermost_file_system_that_holds_it() -> None:
    mounts = [mount(b"/"), mount(b"/home"), mount(b"/home/adam"), mount(b"/srv")]
    [(found, use)] = home_mounts(mounts, b"/home/ada")
    assert (found.point, found.kind, use) == (b"/home/ada", "ext4", MountUse.OVERLAY)


@pytest.mark.parametrize(
    ("mounts", "reason"),
    [
        ([mount(b"/"), mount(b"/home", "btrfs")], "the file system of /home/ada is btrfs: capture was never tried"),
        ([mount(b"/"), mount(b"/home", writable=False)], "it is mounted read-only"),
        ([mount(b"/"), mount(b"/home/ada/cloud", "fuse")], "something is mounted in /home/ada, which only root can"),
    ],
)
def test_what_stands_against_a_capture_is_said(mounts: list[tuple[Mount, MountUse]], reason: str) -> None:
    assert reason in (home_reason(mounts, b"/home/ada") or "")


def test_a_kernel_that_gives_no_namespaces_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    switch = tmp_path / "switch"
    monkeypatch.setattr(capture_tier, "_SWITCHES", {str(switch): "0", str(tmp_path / "missing"): "1"})
    switch.write_text("1\n", encoding="ascii")
    assert home_reason([mount(b"/")], b"/home/ada") is None
    switch.write_text("0\n", encoding="ascii")
    assert home_reason([mount(b"/")], b"/home/ada") == f"people without root get no user namespace here: {switch} is 0"


def test_the_overlay_keeps_its_marks_where_everybody_may() -> None:
    options = home_overlay_options("/home/ada", "/u", "/w").split(",")
    assert {"userxattr", "volatile", "index=off", "redirect_dir=nofollow", "metacopy=off"} <= set(options)


def test_what_was_written_outside_is_listed_by_its_place(tmp_path: Path) -> None:
    for path in ("outside/etc/upper", "outside/etc/work/work", "outside/srv/upper/app/data", "outside/srv/upper/new"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "outside/srv/upper/app/data/file").write_text("", encoding="utf-8")
    assert sorted(written_outside(str(tmp_path))) == ["/srv/app/data/file", "/srv/new"]
