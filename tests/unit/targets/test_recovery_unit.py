"""The unit that recovers at boot: where it is put, what is said of one that is missing or stale, and what it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import workflow_agent
from workflow_agent.model.errors import UsageError
from workflow_agent.model.system import InitKind
from workflow_agent.targets.boot_recovery import interrupted, main, recover_files
from workflow_agent.targets.recovery_unit import install_unit, remove_unit, unit_state

STARTED = {
    InitKind.SYSTEMD: "etc/systemd/system/sysinit.target.wants/workflow-agent-recover.service",
    InitKind.SYSVINIT: "etc/rcS.d/S15workflow-agent-recover",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root folder that has this interpreter and this package."""
    for path in (sys.executable, str(Path(workflow_agent.__file__).parent)):
        place = tmp_path / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    return tmp_path


@pytest.mark.parametrize("kind", STARTED)
def test_it_is_installed_once_seen_and_removed(root: Path, kind: InitKind) -> None:
    assert unit_state(root, kind).installed is False
    for _ in range(2):
        path = install_unit(root, kind)
    state = unit_state(root, kind)

    assert (state.installed, state.wrong, state.path) == (True, None, path)
    link = root / STARTED[kind]
    assert (link.parent / link.readlink()).resolve() == root / path.lstrip("/")
    text = (root / path.lstrip("/")).read_text(encoding="utf-8")
    assert f"{sys.executable} -m workflow_agent.targets.boot_recovery" in text
    link.unlink()
    assert unit_state(root, kind).wrong == "it is not started at boot"
    install_unit(root, kind)
    (root / path.lstrip("/")).write_text(text.replace(sys.executable, "/usr/bin/gone"), encoding="utf-8")
    assert "another installation" in str(unit_state(root, kind).wrong)
    assert [remove_unit(root, kind), remove_unit(root, kind)] == [True, False]
    assert list((root / "etc").rglob("workflow-agent-recover*")) == []


def test_a_unit_of_systemd_is_understood_and_comes_before_sysinit(root: Path) -> None:
    text = (root / install_unit(root, InitKind.SYSTEMD).lstrip("/")).read_text(encoding="utf-8")
    assert "DefaultDependencies=no\n" in text
    assert "Before=sysinit.target shutdown.target\n" in text
    assert "After=systemd-remount-fs.service local-fs.target\n" in text


def test_a_script_of_sysvinit_is_shell_and_does_nothing_when_it_stops(root: Path) -> None:
    script = root / install_unit(root, InitKind.SYSVINIT).lstrip("/")
    assert script.stat().st_mode & 0o777 == 0o755
    for word, code in (("stop", 0), ("status", 0), ("what", 3)):
        assert subprocess.run(["sh", script, word], check=False, capture_output=True).returncode == code


def test_where_nothing_boots_or_nothing_of_us_is_it_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing starts services"):
        install_unit(root, InitKind.NONE)
    assert unit_state(root, InitKind.NONE).path is None
    assert remove_unit(root, InitKind.NONE) is False
    with pytest.raises(UsageError, match="does not have this installation"):
        install_unit(tmp_path / "elsewhere", InitKind.SYSTEMD)


def test_where_nothing_was_ever_done_there_is_nothing_to_recover(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(str(tmp_path)) == 0
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


def test_while_somebody_holds_the_target_nothing_is_touched(tmp_path: Path) -> None:
    (tmp_path / ".workflow-agent").mkdir()
    (tmp_path / ".workflow-agent/lock").touch()
    holder = subprocess.Popen(
        ["flock", tmp_path / ".workflow-agent/lock", "sh", "-c", "echo held; read _"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    root_fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        assert list(recover_files(root_fd)) == []
        assert interrupted(root_fd) == []
    finally:
        holder.communicate(b"\n")
        os.close(root_fd)
