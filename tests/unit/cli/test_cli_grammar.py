"""Commands, help, typing errors, and what is loaded for them."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from workflow_agent.cli.grammar import first_word, hoisted
from workflow_agent.cli.tree import COMMANDS as COMMAND_MODULES
from workflow_agent.cli.tree import build_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[3]

TREE = {
    "agents forget",
    "agents list",
    "agents memories",
    "apply",
    "approve",
    "cancel",
    "change",
    "completion",
    "config show",
    "decline",
    "diff",
    "doctor",
    "fork",
    "generations list",
    "generations show",
    "history",
    "history prune",
    "inspect",
    "install",
    "integrations add",
    "integrations docs build",
    "integrations format",
    "integrations info",
    "integrations init",
    "integrations lint",
    "integrations list",
    "integrations pack",
    "integrations sign",
    "integrations test",
    "integrations verify-package",
    "logs",
    "pause",
    "plan",
    "recover",
    "repair",
    "resume",
    "retry",
    "rollback",
    "show",
    "signal",
    "uninstall",
    "upgrade",
    "validate",
    "verify",
    "run",
    "status",
    "why",
    "discover",
    "improvements accept",
    "improvements list",
    "improvements reject",
    "knowledge fetch",
    "knowledge list",
    "knowledge show",
    "knowledge search",
    "knowledge diff",
    "schedules list",
    "schedules run",
    "runners list",
    "secrets list",
    "serve",
    "workflows compile",
    "workflows list",
    "workflows show",
}


def _walk(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, child in getattr(command, "commands", {}).items():
        yield f"{path}{name}", child
        yield from _walk(child, f"{path}{name} ")


COMMANDS = {
    name: command
    for name, command in _walk(typer.main.get_command(build_app()))
    if getattr(command, "invoke_without_command", not hasattr(command, "commands"))
}


def test_the_tree_of_commands() -> None:
    assert set(COMMANDS) == TREE


@pytest.mark.parametrize("name", sorted(TREE))
def test_every_command_has_a_line_of_help_and_two_examples_of_itself(cli: Callable[..., Any], name: str) -> None:
    result = cli(*name.split(), "--help")

    assert result.code == 0
    assert result.err == ""
    lines = result.out.splitlines()
    assert lines[0].startswith(f"Usage: workflow-agent {name}")
    assert len(lines[2].strip()) > 10
    examples = lines[lines.index("Examples:") + 1 :]
    assert len(examples) >= 2
    assert all(example.startswith(f"  workflow-agent {name.split(maxsplit=1)[0]}") for example in examples)
    assert "--json" in result.out


@pytest.mark.parametrize("arguments", [(), ("--help",), ("integrations",), ("config", "--help")])
def test_without_a_command_the_help_is_shown(cli: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    result = cli(*arguments)

    assert result.code == 0
    assert result.out.startswith("Usage: workflow-agent")
    assert "\x1b" not in result.out


def test_options_are_grouped(cli: Callable[..., Any]) -> None:
    out = cli("install", "--help").out

    titles = re.findall(r"^(\w+):$", out, re.MULTILINE)
    assert titles == ["Arguments", "What", "How", "Consent", "Output", "Everywhere", "Examples"]


def test_every_command_and_option_is_documented() -> None:
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    sections = re.split(r"^### ", page, flags=re.MULTILINE)
    everywhere = page.split("## Change")[0]

    for name, command in COMMANDS.items():
        assert f"`{name}" in page, name
        own = [section for section in sections if section.startswith(f"`{name}")] or [page]
        for param in command.params:
            for option in [*param.opts, *param.secondary_opts]:
                if option.startswith("-"):
                    assert f"`{option}" in own[0], f"{name} {option}"
    for param in typer.main.get_command(build_app()).params:
        for option in param.opts:
            assert f"`{option}" in everywhere, option


TYPOS = [
    ("instal nginx", "`workflow-agent install`"),
    ("isntall nginx", "`workflow-agent install`"),
    ("install-nginx", "`workflow-agent install`"),
    ("pln nginx", "`workflow-agent plan`"),
    ("verfy nginx", "`workflow-agent verify`"),
    ("rolback", "`workflow-agent rollback`"),
    ("roll-back", "`workflow-agent rollback`"),
    ("undo", "`workflow-agent rollback`"),
    ("remove nginx", "`workflow-agent uninstall`"),
    ("unistall nginx", "`workflow-agent uninstall`"),
    ("update nginx", "`workflow-agent upgrade`"),
    ("fix nginx", "`workflow-agent repair`"),
    ("revert", "`workflow-agent rollback`"),
    ("histroy", "`workflow-agent history`"),
    ("status", "`workflow-agent history`"),
    ("shwo r-1", "`workflow-agent show`"),
    ("log r-1", "`workflow-agent logs`"),
    ("resum r-1", "`workflow-agent resume`"),
    ("continue r-1", "`workflow-agent resume`"),
    ("cancle r-1", "`workflow-agent cancel`"),
    ("abort r-1", "`workflow-agent cancel`"),
    ("dif r-1", "`workflow-agent diff`"),
    ("validat x", "`workflow-agent validate`"),
    ("docter", "`workflow-agent doctor`"),
    ("integration list", "`workflow-agent integrations`"),
    ("workflow show install", "`workflow-agent workflows`"),
    ("agent list", "`workflow-agent agents`"),
    ("cofnig show", "`workflow-agent config`"),
    ("ls", "`workflow-agent integrations list`"),
    ("integrations lsit", "`workflow-agent integrations list`"),
    ("integrations inf nginx", "`workflow-agent integrations info`"),
    ("workflows shwo install", "`workflow-agent workflows show`"),
    ("install nginx --parm a=b", "`--param`"),
    ("install nginx --yess", "`--yes`"),
    ("install nginx --port 80", "`--param port=VALUE`"),
    ("plan nginx --server-tokens=on", "`--param server_tokens=VALUE`"),
    ("history --colr never", "`--color`"),
    ("install nginx --no-strat", "`--no-start`"),
    ("history --limt 3", "`--limit`"),
    ("history --jsno", "`--json`"),
    ("integrations info nginx --readem", "`--readme`"),
    ("install nginks --yes", "`nginx`"),
    ("install prometheus-node-exportr --yes", "`prometheus-node-exporter`"),
    ("install nginx --target hots --yes", "`host`"),
    ("install nginx --color nevr --yes", "`never`"),
    ("history --status succeded", "`succeeded`"),
    ("workflows show instal", "`install`"),
    ("integrations lint ngnix", "`nginx`"),
]


@pytest.mark.parametrize(("typed", "hint"), TYPOS)
def test_typing_errors_get_the_nearest_name(cli: Callable[..., Any], state: Path, typed: str, hint: str) -> None:
    result = cli(*typed.split())

    assert result.code in {2, 5}
    assert result.out == ""
    found = result.err.rsplit("hint: ", 1)[1]
    assert any(alternative in found for alternative in hint.split("|")), found
    assert not state.exists()


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("install", "integrations list"),
        ("repair", "integrations list"),
        ("show", "history"),
        ("resume", "history"),
        ("workflows show", "workflows list"),
        ("validate", "validate --help"),
    ],
)
def test_what_is_missing_is_found_by_the_command_that_is_named(cli: Callable[..., Any], typed: str, hint: str) -> None:
    assert f"hint: `workflow-agent {hint}`" in cli(*typed.split()).err


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("install", "missing argument"),
        ("history --limit x", "--limit"),
        ("history --limit 0", "--limit"),
        ("show", "missing argument"),
        ("history --config", "`--config` needs a value"),
        ("show a b", "unexpected extra argument"),
        ("history --limit", "--limit"),
        ("install nginx --check --yes", "`--check` belongs to a plan"),
        ("install nginx --isolation declared --yes", "does not exist yet"),
        ("install nginx --isolation container --yes", "cannot be brought to it"),
        ("install nginx --isolation magic --yes", "there is no isolation"),
        ("install nginx --timeout soon --yes", "is no time"),
        ("install nginx --timeout 0 --yes", "more than nothing"),
        ("install nginx --wait=x --yes", "is no time"),
        ("install nginx --param port --yes", "`name=value`"),
        ("install nginx --param port=@/nonexistent --yes", "cannot be read"),
        ("install nginx --param-file /nonexistent --yes", "cannot be read"),
        ("install /nonexistent/folder --yes", "not an integration"),
        ("install nginx --target web --yes", "no target"),
        ("validate /nonexistent", "no file"),
        ("--config /nonexistent history", "no such configuration file"),
        ("show r-0", "no run begins"),
    ],
)
def test_usage_errors_have_our_form_and_begin_nothing(
    cli: Callable[..., Any], state: Path, typed: str, message: str
) -> None:
    people, script = cli(*typed.split()), cli("--json", *typed.split())

    assert people.code == script.code
    assert people.code in {2, 5}
    assert people.out == ""
    assert people.err.startswith("error[")
    assert message in people.err
    assert script.err == ""
    assert script.json["ok"] is False
    assert message in script.json["error"]["message"]
    assert not state.exists()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["history", "--json"], ["--json", "history"]),
        (["a", "--color", "never", "-v", "b"], ["--color", "never", "-v", "a", "b"]),
        (["a", "--color=never"], ["--color=never", "a"]),
        (["a", "--", "--json"], ["a", "--", "--json"]),
        (["a", "--config", "f", "b"], ["--config", "f", "a", "b"]),
        ([], []),
    ],
)
def test_options_that_hold_everywhere_may_stand_anywhere(typed: list[str], expected: list[str]) -> None:
    assert hoisted(typed) == expected


# org: a probe for Jython
_STANDARD = frozenset(sys.stdlib_module_names) | {"sitecustomize", "usercustomize", "_distutils_hack", "org"}


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--version"], {"workflow_agent"}),
        (["--help"], {"workflow_agent"}),
        (["install", "--help"], {"workflow_agent"}),
        (["install", "--json", "--help"], {"workflow_agent", "typer", "annotated_doc", "shellingham"}),
    ],
)
def test_help_loads_nothing_heavy(arguments: list[str], allowed: set[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"from workflow_agent.cli import main; main({arguments})"],
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("COV")},
    )
    loaded = {line.split("|")[2].strip().split(".")[0] for line in run.stderr.splitlines() if "|" in line}
    modules = {line.split("|")[2].strip() for line in run.stderr.splitlines() if "|" in line}

    foreign = {name for name in loaded - _STANDARD - {"imported package"} if not name.startswith("__editable__")}
    assert foreign <= allowed
    assert {"asyncio", "sqlite3"}.isdisjoint(modules)
    if arguments == ["--version"]:
        assert "argparse" not in modules
        assert "typer" not in modules


@pytest.mark.parametrize(
    ("typed", "built"),
    [
        (["install", "nginx"], {"install"}),
        (["--config", "plan", "history"], {"history"}),
        (["integrations", "list"], {"integrations"}),
    ],
)
def test_only_the_command_that_was_typed_is_built(typed: list[str], built: set[str]) -> None:
    root: Any = typer.main.get_command(build_app(first_word(typed)))
    assert set(root.commands) == built


@pytest.mark.parametrize(("module", "words"), COMMAND_MODULES.items())
def test_each_module_registers_the_commands_that_it_is_loaded_for(module: str, words: tuple[str, ...]) -> None:
    app = typer.Typer()
    importlib.import_module(f"workflow_agent.cli.{module}").register(app)

    registered = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert registered == set(words)


@pytest.mark.parametrize("typed", [[], ["-q"], ["instal"]])
def test_all_commands_are_built_for_help_and_suggestions(typed: list[str]) -> None:
    root: Any = typer.main.get_command(build_app(first_word(typed)))
    assert {"install", "history", "integrations"} < set(root.commands)
