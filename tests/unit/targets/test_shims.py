"""The recording stand-ins, run by the shell that Debian runs them with."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.targets.shims import (
    REAL_SYSTEMCTL,
    REQUESTED_PATH,
    SHIM_PATHS,
    parse_requested,
    shim_texts,
)

if TYPE_CHECKING:
    from pathlib import Path

SHELLS = [path for shell in ("dash", "bash") if (path := shutil.which(shell))]


class Stage:
    """The stand-ins in a folder, where the capture's `/run` would be."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.folder = folder
        self._shell = shell
        for name, text in shim_texts().items():
            placed = text.replace("/run/workflow-agent", str(folder))
            (folder / name).write_text(placed)

    def add_real_systemctl(self, code: int = 0) -> None:
        real = self.folder / "real"
        real.mkdir()
        script = f'#!/bin/sh\necho "$SYSTEMD_OFFLINE" "$@" >>{self.folder}/calls\necho from-real\nexit {code}\n'
        (real / "systemctl").write_text(script)
        (real / "systemctl").chmod(0o755)

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._shell, str(self.folder / name), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/nowhere"},
            timeout=20,
        )

    @property
    def requested(self) -> list[tuple[str, str]]:
        path = self.folder / "requested"
        text = path.read_text() if path.exists() else ""
        return [(one["verb"], one["unit"]) for one in parse_requested(text)]

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(params=SHELLS)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    return Stage(tmp_path, request.param)


def test_every_program_has_paths_and_a_text() -> None:
    assert set(SHIM_PATHS) == set(shim_texts())
    assert all(path.rpartition("/")[2] == name for name, paths in SHIM_PATHS.items() for path in paths)
    assert REQUESTED_PATH in shim_texts()["systemctl"]
    assert REAL_SYSTEMCTL in shim_texts()["systemctl"]


@pytest.mark.parametrize("name", sorted(SHIM_PATHS))
def test_texts_are_clean_portable_shell(name: str) -> None:
    done = subprocess.run(
        ["shellcheck", "-S", "warning", "-s", "sh", "-"],
        input=shim_texts()[name],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("name", "arguments", "code", "requested"),
    [
        ("systemctl", ["start", "a.service"], 0, [("start", "a.service")]),
        ("systemctl", ["--no-block", "-q", "restart", "a", "b@1"], 0, [("restart", "a"), ("restart", "b@1")]),
        ("systemctl", ["--system", "daemon-reload"], 0, [("daemon-reload", "")]),
        ("systemctl", ["-s", "HUP", "kill", "a"], 0, [("kill", "a")]),
        ("systemctl", ["stop", "--", "-odd.service"], 0, [("stop", "-odd.service")]),
        ("systemctl", ["enable", "a"], 0, [("enable", "a")]),
        ("systemctl", ["enable", "--now", "a"], 0, [("enable", "a"), ("start", "a")]),
        ("systemctl", ["mask", "a", "b"], 0, [("mask", "a"), ("mask", "b")]),
        ("systemctl", ["disable", "a", "--now"], 0, [("disable", "a"), ("stop", "a")]),
        ("systemctl", ["--user", "start", "a"], 0, []),
        ("systemctl", ["is-active", "a"], 3, []),
        ("systemctl", ["is-enabled", "a"], 1, []),
        ("systemctl", ["is-failed", "a"], 1, []),
        ("systemctl", ["status", "a"], 3, []),
        ("systemctl", ["is-system-running"], 1, []),
        ("systemctl", ["show", "-p", "ActiveState", "a"], 0, []),
        ("systemctl", ["cat", "a"], 1, []),
        ("systemctl", ["--version"], 0, []),
        ("systemctl", [], 0, []),
        ("systemctl", ["reboot"], 1, [("reboot", "")]),
        ("systemctl", ["set-property", "a", "CPUQuota=1%"], 1, [("set-property", "")]),
        ("systemctl", ["FROB\tNICATE"], 1, [("other", "")]),
        ("service", ["a", "start"], 0, [("start", "a")]),
        ("service", ["a", "--full-restart"], 0, [("restart", "a")]),
        ("service", ["a", "force-reload"], 0, [("force-reload", "a")]),
        ("service", ["a", "status"], 3, []),
        ("service", ["--status-all"], 0, []),
        ("service", ["--help"], 0, []),
        ("service", ["a"], 1, []),
        ("invoke-rc.d", ["--skip-systemd-native", "a", "start"], 0, [("start", "a")]),
        ("invoke-rc.d", ["a", "status"], 3, []),
        ("invoke-rc.d", ["--query", "a", "start"], 101, []),
        ("invoke-rc.d", ["--help"], 0, []),
        ("invoke-rc.d", ["a"], 103, []),
        ("deb-systemd-invoke", ["start", "a.service", "b.timer"], 0, [("start", "a.service"), ("start", "b.timer")]),
        ("deb-systemd-invoke", ["--user", "start", "a.service"], 0, []),
        ("deb-systemd-invoke", ["daemon-reload"], 0, [("daemon-reload", "")]),
        ("deb-systemd-invoke", [], 1, []),
        ("policy-rc.d", ["a", "start"], 101, []),
    ],
)  # fmt: skip
def test_a_call_is_recorded_and_answered(
    stage: Stage, name: str, arguments: list[str], code: int, requested: list[tuple[str, str]]
) -> None:
    done = stage.run(name, *arguments)

    assert (code, requested) == (done.returncode, stage.requested), done.stderr


def test_questions_are_answered_with_what_is_true_inside(stage: Stage) -> None:
    assert stage.run("systemctl", "is-active", "a", "b").stdout == "inactive\ninactive\n"
    assert stage.run("systemctl", "-q", "is-active", "a").stdout == ""
    assert stage.run("systemctl", "is-enabled", "a").stdout == "disabled\n"
    assert stage.run("systemctl", "is-system-running").stdout == "offline\n"


@pytest.mark.parametrize("verb", ["enable", "disable", "mask", "unmask", "preset", "reenable", "set-default"])
def test_changes_of_files_are_made_by_the_real_one_offline_and_never_with_now(stage: Stage, verb: str) -> None:
    stage.add_real_systemctl()

    done = stage.run("systemctl", verb, "--now", "my unit.service", "b")

    assert done.returncode == 0
    assert stage.calls == [f"1 {verb} my unit.service b"]
    assert (verb, "my?unit.service") in stage.requested


def test_a_failure_of_the_real_one_is_passed_on_and_nothing_is_started(stage: Stage) -> None:
    stage.add_real_systemctl(code=7)

    assert stage.run("systemctl", "enable", "--now", "a").returncode == 7
    assert stage.requested == [("enable", "a")]
    assert stage.run("systemctl", "is-enabled", "a").returncode == 7


@pytest.mark.parametrize("words", [["is-enabled", "a"], ["cat", "a"], ["--version"], ["list-unit-files"]])
def test_questions_about_files_reach_the_real_one(stage: Stage, words: list[str]) -> None:
    stage.add_real_systemctl()

    assert stage.run("systemctl", *words).stdout == "from-real\n"
    assert stage.calls == [f"1 {' '.join(words)}"]


@pytest.mark.parametrize("words", [["start", "a"], ["stop", "a"], ["daemon-reload"], ["reboot"], ["is-active", "a"]])
def test_what_reaches_processes_never_gets_to_the_real_one(stage: Stage, words: list[str]) -> None:
    stage.add_real_systemctl()

    stage.run("systemctl", *words)

    assert stage.calls == []


@pytest.mark.parametrize(
    "hostile",
    ["a\nstop\tsshd", "$(touch MARK)", "`touch MARK`", "'; touch MARK;'", "\xe9\x01", "x" * 100_000, "*", "a b"],
)
def test_a_hostile_name_stays_one_inert_word(stage: Stage, hostile: str) -> None:
    done = stage.run("systemctl", "start", hostile)

    assert done.returncode == 0
    assert [verb for verb, _ in stage.requested] == ["start"]
    assert len((stage.folder / "requested").read_text().splitlines()) == 1
    assert not list(stage.folder.rglob("MARK"))


def test_scripts_go_on_where_nothing_can_be_written(stage: Stage) -> None:
    (stage.folder / "requested").mkdir()

    assert stage.run("systemctl", "start", "a").returncode == 0
    assert stage.run("invoke-rc.d", "a", "start").returncode == 0


def test_backslashes_of_escaped_units_are_kept(stage: Stage) -> None:
    stage.run("systemctl", "start", "dev-disk\\x2d1.device")

    assert stage.requested == [("start", "dev-disk\\x2d1.device")]


def test_only_lines_that_a_stand_in_can_have_written_are_read() -> None:
    text = "start\ta\nstart\ta\nBAD\tx\nstop\t../x\nnothing\n\tx\nstop\ta\n" + "start\tb\nstop\tb\n" * 2000

    found = parse_requested(text)

    assert found[:2] == ({"verb": "start", "unit": "a"}, {"verb": "stop", "unit": "a"})
    assert len(found) == 1000


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert all(set(one) == {"verb", "unit"} for one in parse_requested(text))
