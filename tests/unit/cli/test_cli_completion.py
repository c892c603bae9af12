"""What TAB offers, by what stands before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.cli import main
from workflow_agent.cli.completion import candidates, split_line
from workflow_agent.cli.completion_scripts import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def offered(line: str) -> list[str]:
    return [value for value, _ in candidates(f"workflow-agent {line}")]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a b", ["a", "b"]),
        ("a ", ["a", ""]),
        ("", [""]),
        ("a 'b c", ["a", "b c"]),
        ('a "b c', ["a", "b c"]),
        ("a b\\ c", ["a", "b c"]),
        ("a 'it''s", ["a", "its"]),
        ("a\\", [""]),
    ],
)
def test_a_line_is_split_as_a_shell_does_also_while_it_is_typed(line: str, words: list[str]) -> None:
    found = split_line(line)

    assert found == words or (line == "a\\" and len(found) == 1)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("inst", ["install"]),
        (
            "integrations ",
            ["list", "info", "lint", "init", "format", "test", "pack", "sign", "verify-package", "add", "docs"],
        ),
        ("--json integrations l", ["list", "lint"]),
        ("--color always integrations i", ["info", "init"]),
        ("nonsense ", []),
        ("install ngi", ["nginx"]),
        ("install nginx ng", []),
        ("install nginx prometheus-node", ["prometheus-node-exporter"]),
        ("install -- ngi", ["nginx"]),
        ("install -- --", []),
        ("install ./ex", [":files"]),
        ("validate ", [":files"]),
        ("validate one two", []),
        ("apply ", [":files"]),
        ("apply x.sh --no-", ["--no-start"]),
        ("doctor x", []),
        ("install nginx --param-f", ["--param-file"]),
        ("install nginx --param-file ", [":files"]),
        ("install nginx --param-file=", [":files"]),
        ("install nginx --param server_t", ["server_tokens="]),
        ("install nginx --param=server_t", ["--param=server_tokens="]),
        ("install --param ", []),
        ("install prometheus-postgres-exporter --secret ", ["data_source_name="]),
        ("install prometheus-postgres-exporter --param data_s", []),
        ("install --wait ngi", ["nginx"]),
        ("install --yes ngi", ["nginx"]),
        ("install -v ngi", ["nginx"]),
        ("install --nonsense=x ngi", ["nginx"]),
        ("install --nonsense=", []),
        ("install --timeout ", []),
        ("install --target ho", ["host"]),
        ("history --status=fa", ["--status=failed"]),
        ("history --status roll", ["rolling-back", "rolled-back"]),
        ("history --action rollb", ["rollback"]),
        ("history --integration ngi", ["nginx"]),
        ("workflows show inst", ["install"]),
        ("--color al", ["always"]),
        ("doctor --ver", ["--verbose", "--version"]),
        ("doctor --he", ["--help"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("show r-", []),
    ],
)
def test_what_may_follow(state: Path, line: str, expected: list[str]) -> None:
    del state
    assert offered(line) == expected


def test_every_command_is_offered_with_its_meaning(state: Path) -> None:
    del state
    found = dict(candidates("workflow-agent "))

    assert {"install", "rollback", "history", "integrations", "config", "completion"} <= found.keys()
    assert all(found.values())


def test_runs_are_offered_with_what_they_were(approval: Path, cli: Callable[..., Any]) -> None:
    del approval
    run_id = cli("install", "nginx", "--yes", "--json").json["data"]["run_id"]

    assert offered("show ") == [run_id]
    assert offered(f"logs {run_id[:9]}") == [run_id]
    assert offered("rollback ") == [], "it changed nothing"
    (meaning,) = (meaning for _, meaning in candidates("workflow-agent diff "))
    assert meaning.startswith("install nginx host ")
    assert offered("install --target ") == ["docker:", "host"]


def test_what_needs_no_history_is_offered_where_that_cannot_be_read(state: Path) -> None:
    state.mkdir(exist_ok=True)
    (state / "workflow-agent.db").write_bytes(b"of somebody else" * 100)

    assert offered("install --target ") == ["docker:", "host"]
    assert offered("show ") == []


def test_a_command_is_offered_the_runs_that_it_can_do_something_with(written: Callable[..., list[str]]) -> None:
    installed, failed, planned, left, needs, waits = written(
        ("install", "nginx", "host", "succeeded"),
        ("install", "nginx", "host", "failed"),
        ("plan", "nginx", "host", "succeeded"),
        ("install", "nginx", "host", ""),
        ("upgrade", "nginx", "host", "needs-attention"),
        ("rollback", "nginx", "host", ""),
    )

    assert set(offered("show ")) == {installed, failed, planned, left, needs, waits}
    assert set(offered("resume ")) == set(offered("cancel ")) == {left, waits}
    assert set(offered("rollback ")) == {installed, needs}


def test_the_configuration_that_was_typed_counts(state: Path, tmp_path: Path) -> None:
    del state
    folder = tmp_path / "workflows"
    folder.mkdir()
    file = tmp_path / "c.toml"
    file.write_text(f"[workflows]\nfolders = [{str(folder)!r}]\n", encoding="utf-8")
    (folder / "mine.yaml").write_text("", encoding="utf-8")

    assert offered(f"--config {file} workflows show mi") == ["mine"]
    assert offered(f"workflows --config={file} show mi") == ["mine"]


@pytest.mark.parametrize(
    ("shell", "line", "answer"),
    [
        ("zsh", "install nginx --param=server_t", "--param=server_tokens=\t"),
        ("bash", "install nginx --param=server_t", "server_tokens=\t"),
        ("bash", "install ./", ":files\t\n"),
        ("fish", "inst", "install\tInstall"),
        ("fish", "install --config /nowhere.toml ngi", ""),
    ],
)
def test_a_shell_gets_what_it_puts_in_place_of_the_word_or_nothing(
    state: Path, capsys: pytest.CaptureFixture[str], shell: str, line: str, answer: str
) -> None:
    """bash begins a new word after ``=`` and ``:``."""
    del state
    assert main(["__complete", shell, f"workflow-agent {line}"]) == 0

    captured = capsys.readouterr()
    assert captured.out.startswith(answer)
    assert captured.out or not answer
    assert captured.err == ""


def test_without_a_line_commands_are_offered(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del state
    assert main(["__complete"]) == 0
    assert capsys.readouterr().out.startswith("install\tInstall")


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_of_a_shell_is_printed(cli: Callable[..., Any], shell: str) -> None:
    assert cli("completion", shell).out == SCRIPTS[shell]
    assert cli("completion", shell, "--json").json["data"]["script"] == SCRIPTS[shell]


def test_another_shell_is_refused_with_those_that_are_known(cli: Callable[..., Any]) -> None:
    result = cli("completion", "fihs")

    assert result.code == 2
    assert "did you mean `fish`?" in result.err
