"""Settings: precedence, types, names, places."""

from __future__ import annotations

import tomllib
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.app import load_settings
from workflow_agent.app import settings as settings_module
from workflow_agent.app import settings_sources as sources
from workflow_agent.app.settings import COMMAND_LINE, setting_names, variable_of
from workflow_agent.model.errors import NotFoundError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """The machine's and the user's folder, below a temporary one, and whether we are root."""

    def set_up(*, root: bool = False) -> dict[str, str]:
        monkeypatch.setattr(settings_module, "system_folder", lambda: tmp_path / "etc")
        monkeypatch.setattr(sources, "system_folder", lambda: tmp_path / "etc")
        monkeypatch.setattr(settings_module, "is_root", lambda: root)
        monkeypatch.setattr(sources, "is_root", lambda: root)
        return {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "user")}

    return set_up


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("layers", "value", "origin"),
    [
        ("", 40.0, "default"),
        ("s", 1.0, "etc/config.toml"),
        ("su", 2.0, "user/workflow-agent/config.toml"),
        ("suf", 3.0, "named.toml"),
        ("sufe", 4.0, "WORKFLOW_AGENT_TIMEOUTS__PACKAGE_LOCK_S"),
        ("sufeo", 5.0, COMMAND_LINE),
        ("fo", 5.0, COMMAND_LINE),
        ("se", 4.0, "WORKFLOW_AGENT_TIMEOUTS__PACKAGE_LOCK_S"),
        ("sf", 3.0, "named.toml"),
        ("u", 2.0, "user/workflow-agent/config.toml"),
    ],
)
def test_the_highest_source_wins_and_is_named(
    places: Callable[..., dict[str, str]], tmp_path: Path, layers: str, value: float, origin: str
) -> None:
    environ = places()
    line = "[timeouts]\npackage_lock_s = {}\n"
    if "s" in layers:
        write(tmp_path / "etc/config.toml", line.format(1))
    if "u" in layers:
        write(tmp_path / "user/workflow-agent/config.toml", line.format(2))
    named = write(tmp_path / "named.toml", line.format(3)) if "f" in layers else None
    if "e" in layers:
        environ["WORKFLOW_AGENT_TIMEOUTS__PACKAGE_LOCK_S"] = "4"
    overrides = {"timeouts.package_lock_s": 5.0} if "o" in layers else {"timeouts.package_lock_s": None}

    settings = load_settings(named, overrides, environ)

    assert settings.timeouts.package_lock_s == value
    assert settings.origin("timeouts.package_lock_s").endswith(origin)


def test_root_reads_one_file_and_never_a_home(places: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    environ = places(root=True)
    write(tmp_path / "user/workflow-agent/config.toml", "[targets]\nhost_pid = 7\n")
    write(tmp_path / "etc/config.toml", "[limits]\noutput_bytes = 9\n")

    settings = load_settings(None, {}, environ)

    assert settings.targets.host_pid == 0
    assert settings.limits.output_bytes == 9
    assert settings.paths.state == Path("/var/lib/workflow-agent")
    assert settings.paths.runtime == Path("/run/workflow-agent")
    assert settings.origin("paths.state") == "default (as root)"


def test_the_folder_of_the_file_can_be_moved_by_the_environment(
    places: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    environ = places(root=True) | {"WORKFLOW_AGENT_PATHS__CONFIG": str(tmp_path / "elsewhere")}
    write(tmp_path / "elsewhere/config.toml", "[targets]\nhost_pid = 7\n")

    assert load_settings(None, {}, environ).targets.host_pid == 7


@pytest.mark.parametrize("source", ["file", "environment"])
def test_the_folder_of_the_file_cannot_stand_in_it_nor_be_relative(
    places: Callable[..., dict[str, str]], tmp_path: Path, source: str
) -> None:
    environ = places()
    if source == "file":
        write(tmp_path / "etc/config.toml", '[paths]\nconfig = "/x"\n')
    else:
        environ["WORKFLOW_AGENT_PATHS__CONFIG"] = "x"

    with pytest.raises(ValidationError, match=r"paths\.config"):
        load_settings(None, {}, environ)


@pytest.mark.parametrize(
    ("environ", "state", "runtime"),
    [
        ({}, "{home}/.local/state/workflow-agent", "{home}/.local/state/workflow-agent/run"),
        ({"XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r"}, "/s/workflow-agent", "/r/workflow-agent"),
        (
            {"XDG_STATE_HOME": "relative", "XDG_RUNTIME_DIR": ""},
            "{home}/.local/state/workflow-agent",
            "{home}/.local/state/workflow-agent/run",
        ),
    ],
)
def test_places_follow_xdg_and_nothing_is_made(
    places: Callable[..., dict[str, str]], tmp_path: Path, environ: dict[str, str], state: str, runtime: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    home = str(tmp_path / "home")

    settings = load_settings(None, {}, places() | environ)

    assert str(settings.paths.state) == state.format(home=home)
    assert str(settings.paths.runtime) == runtime.format(home=home)
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_read_from_the_current_folder(
    places: Callable[..., dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "here/config.toml", "not even TOML")
    write(tmp_path / "here/config/defaults.toml", "not even TOML")
    monkeypatch.chdir(tmp_path / "here")

    assert load_settings(None, {}, places()).targets.host_pid == 0


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("TARGETS__HOST_PID", "1", "targets.host_pid", 1),
        ("AGENTS__KNOWLEDGE", "1", "agents.knowledge", "1"),
        ("AGENTS__SCRIPT_BUILDER", "m:f", "agents.script-builder", "m:f"),
        ("OUTPUT__ASCII", "1", "output.ascii", True),
        ("OUTPUT__ASCII", "Off", "output.ascii", False),
        ("TIMEOUTS__SCRIPT_S", "1.5", "timeouts.script_s", 1.5),
        ("PATHS__STATE", "/x/../y", "paths.state", "/x/../y"),
        ("INTEGRATIONS__FOLDERS", "/a, /b", "integrations.folders", ["/a", "/b"]),
        ("INTEGRATIONS__FOLDERS", '["/a,b"]', "integrations.folders", ["/a,b"]),
        ("INTEGRATIONS__FOLDERS", "", "integrations.folders", []),
        ("OUTPUT__COLOR", "never", "output.color", "never"),
    ],
)
def test_variables_are_read_by_the_declared_type(
    places: Callable[..., dict[str, str]], variable: str, text: str, name: str, value: Any
) -> None:
    settings = load_settings(None, {}, places() | {f"WORKFLOW_AGENT_{variable}": text})

    row = next(row for row in settings.rows() if row["name"] == name)
    assert row["value"] == value
    assert row["origin"] == f"WORKFLOW_AGENT_{variable}" == row["variable"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[timeout]\nscript_s = 1\n", "no section `timeout`", "`timeouts`"),
        ("[timeout]\n", "no section `timeout`", "`timeouts`"),
        ("[timeouts]\nscripts_s = 1\n", "no setting `scripts_s`", "`script_s`"),
        ("[agents]\nscript_builder = 'x:y'\n", "no setting `script_builder`", "`script-builder`"),
        ("[output]\nhost_pid = 1\n", "no setting `host_pid` in the section `output`", "`targets.host_pid`"),
        ("timeouts = 1\n", "is a section", None),
        ("script_s = 1\n", "no key outside of a section `script_s`", None),
        ("[limits]\noutput_bytes = '1'\n", "`limits.output_bytes` must be a whole number", None),
        ("[limits]\noutput_bytes = true\n", "`limits.output_bytes` must be a whole number", None),
        ("[limits]\noutput_bytes = 0\n", "`limits.output_bytes` must be greater than 0", None),
        ("[timeouts]\nscript_s = nan\n", "`timeouts.script_s` must be", None),
        ("[output]\ncolor = 'blue'\n", "must be one of `auto`, `always` or `never`", None),
        ("[output]\nascii = 1\n", "`output.ascii` must be true or false", None),
        ("[integrations]\nfolders = '/a'\n", "`integrations.folders` must be a list", None),
        ("[integrations]\nfolders = ['a']\n", "must be an absolute path", None),
        ("[paths]\nstate = 3\n", "`paths.state` must be a path", None),
        ("[agents]\nknowledge = 3\n", "`agents.knowledge` must be a text", None),
        ("[timeouts\n", "not valid TOML", None),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_place(
    places: Callable[..., dict[str, str]], tmp_path: Path, text: str, message: str, hint: str | None
) -> None:
    places()
    file = write(tmp_path / "named.toml", text)

    with pytest.raises(ValidationError) as caught:
        load_settings(file, {}, {"HOME": "/nonexistent"})

    assert message in caught.value.message
    assert str(caught.value.where).startswith(str(file))
    if hint is not None:
        assert hint in str(caught.value.hint)


def test_the_line_of_a_wrong_key_is_told(places: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    places()
    file = write(tmp_path / "named.toml", '# first\n[output]\nascii = true\n\n[limits]\n"output_bytes" = "x"\n')

    with pytest.raises(ValidationError) as caught:
        load_settings(file, {}, {"HOME": "/nonexistent"})

    assert caught.value.where == f"{file}:6"


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("WORKFLOW_AGENT_PATHS__STAT", "WORKFLOW_AGENT_PATHS__STATE"),
        ("WORKFLOW_AGENT_PATHS__RUN", "WORKFLOW_AGENT_PATHS__RUNTIME"),
        ("WORKFLOW_AGENT_TARGETS_HOST_PID", "WORKFLOW_AGENT_TARGETS__HOST_PID"),
        ("WORKFLOW_AGENT_NOPROGRESS", "WORKFLOW_AGENT_NO_PROGRESS"),
        ("WORKFLOW_AGENT_ZZZZZZZZZZZZZZZZZZZZZZ", "config show"),
    ],
)
def test_unknown_variables_with_our_prefix_are_errors(
    places: Callable[..., dict[str, str]], variable: str, hint: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        load_settings(None, {}, places() | {variable: "/x"})

    assert variable in caught.value.message
    assert hint in str(caught.value.hint)


def test_variables_that_are_no_settings_are_let_be(places: Callable[..., dict[str, str]]) -> None:
    load_settings(None, {}, places() | dict.fromkeys(sources.EXTRA_VARIABLES, "1") | {"WORKFLOW": "x"})


def test_bad_values_of_variables_name_the_variable(places: Callable[..., dict[str, str]]) -> None:
    for variable, text in [
        ("WORKFLOW_AGENT_TARGETS__HOST_PID", "one"),
        ("WORKFLOW_AGENT_OUTPUT__ASCII", "maybe"),
        ("WORKFLOW_AGENT_INTEGRATIONS__FOLDERS", "[1"),
        ("WORKFLOW_AGENT_PATHS__STATE", "relative"),
    ]:
        with pytest.raises(ValidationError) as caught:
            load_settings(None, {}, places() | {variable: text})
        assert caught.value.where == variable


def test_a_file_that_is_named_must_exist_and_be_readable(places: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    environ = places()
    with pytest.raises(NotFoundError):
        load_settings(tmp_path / "missing.toml", {}, environ)
    with pytest.raises(ValidationError, match="cannot be read"):
        load_settings(tmp_path, {}, environ)


def test_unknown_overrides_are_errors(places: Callable[..., dict[str, str]]) -> None:
    with pytest.raises(ValidationError, match="no setting"):
        load_settings(None, {"output.colour": "never"}, places())


def test_the_file_of_defaults_names_every_setting_once() -> None:
    text = (ROOT / "config/defaults.toml").read_text(encoding="utf-8")
    active = tomllib.loads(text)
    lines = [line for line in text.splitlines() if not line.startswith("#   ")]  # the entries of an example
    uncommented = "\n".join(line.removeprefix("# ") if " = " in line else line for line in lines)

    named = [f"{section}.{key}" for section, content in tomllib.loads(uncommented).items() for key in content]

    assert sorted(named) == sorted(setting_names())
    assert {f"paths.{key}" for key in ("state", "config", "runtime")}.isdisjoint(
        f"{section}.{key}" for section, content in active.items() for key in content
    )


def test_agents_of_ones_own_are_found_by_name(places: Callable[..., dict[str, str]]) -> None:
    settings = load_settings(None, {}, places() | {"WORKFLOW_AGENT_AGENTS__SCRIPT_BUILDER": "mine:make"})

    assert settings.agents.get("script-builder") == "mine:make"
    assert settings.agents.get("knowledge") is None
    assert settings.agents.get("nobody") is None


def test_settings_cannot_be_changed(places: Callable[..., dict[str, str]]) -> None:
    settings = load_settings(None, {}, places())

    with pytest.raises(FrozenInstanceError):
        settings.targets.host_pid = 3  # type: ignore[misc]


def test_names_of_variables() -> None:
    assert variable_of("agents.script-builder") == "WORKFLOW_AGENT_AGENTS__SCRIPT_BUILDER"
