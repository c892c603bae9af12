"""Questions about runs of one's own workflows, on a real terminal: what is asked, and what each answer does."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TOKEN = "a-very-secret-token"
FLOW = """
name: asked
steps:
  - {name: first, command: "echo first >> ledger; echo one"}
  - name: second
    command: 'echo second >> ledger; test ! -e broken && echo "got ${#TOKEN}"'
    env: {TOKEN: {$secret: token}}
    depends_on: [first]
  - name: third
    command: "echo third >> ledger; echo $WORD"
    env: {WORD: "${{ steps.second.output.stdout }}"}
    depends_on: [second]
"""


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a workflow, in the folder in which commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OF_THE_TEST", _TOKEN)
    path = tmp_path / "asked.yaml"
    path.write_text(FLOW, encoding="utf-8")
    return path


def ledger(flow: Path) -> list[str]:
    path = flow.parent / "ledger"
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def began(flow: Path, *more: str) -> tuple[str, ...]:
    return ("run", str(flow), "--secret", "token=env:OF_THE_TEST", *more)


def run_of(text: str) -> str:
    """Give the first run id in a text."""
    return "r-" + text.split("r-", 1)[1][:26]


@pytest.mark.parametrize(
    ("verb", "answer", "code", "steps"),
    [
        ("retry", "y\n", 0, ["second", "third"]),
        ("retry", "\n", 1, []),
        ("fork", "YES\n", 0, ["second", "third"]),
        ("fork", "\x04", 1, []),
    ],
)
def test_what_may_repeat_is_shown_and_asked_about(
    cli: Callable[..., Any],
    terminal: Callable[..., Any],
    flow: Path,
    *,
    verb: str,
    answer: str,
    code: int,
    steps: list[str],
) -> None:
    (flow.parent / "broken").touch()
    failed = cli(*began(flow), "--json")
    run_id = failed.json["data"]["run_id"]
    (flow.parent / "broken").unlink()
    before = ledger(flow)

    screen = terminal(verb, run_id, *(["--from", "second"] if verb == "fork" else []))
    shown = screen.wait_for("[y/N] ")
    screen.type(answer)
    if code == 0:
        screen.wait_for("Secret `token` (not shown): ")
        screen.type(f"{_TOKEN}\n")

    assert screen.end() == code
    assert "kept      first" in shown
    assert "second" in shown.partition("again")[2]
    assert ledger(flow)[len(before) :] == steps
    assert _TOKEN not in screen.seen
    if code == 0:
        assert '"stdout": "got 19"' in screen.seen
    else:
        assert "nothing was begun" in screen.seen


def test_a_run_whose_process_died_goes_on_asks_for_its_secrets_and_gives_its_result(
    terminal: Callable[..., Any], flow: Path
) -> None:
    screen = terminal(*began(flow, "--break-before", "second"))
    run_id = run_of(screen.wait_for("stands before `second`"))
    screen.signal(signal.SIGKILL)
    screen.end()

    again = terminal("resume", run_id)
    again.wait_for("Secret `token` (not shown): ")
    again.type(f"{_TOKEN}\n")

    assert again.end() == 0
    assert "it goes on where it stood" in again.seen
    assert "ending it" not in again.seen
    assert '"stdout": "got 19"' in again.seen
    assert _TOKEN not in again.seen
    assert ledger(flow) == ["first", "second", "third"]


@pytest.mark.parametrize(("typed", "told"), [("short\n", "fewer than 8"), (None, "")])
def test_a_secret_that_is_none_leaves_the_run_where_it_stands(
    terminal: Callable[..., Any], cli: Callable[..., Any], flow: Path, typed: str | None, told: str
) -> None:
    screen = terminal(*began(flow, "--break-before", "second"))
    run_id = run_of(screen.wait_for("stands before `second`"))
    screen.signal(signal.SIGKILL)
    screen.end()

    again = terminal("resume", run_id)
    again.wait_for("Secret `token` (not shown): ")
    if typed is None:
        again.signal(signal.SIGINT)
    else:
        again.type(typed)

    assert again.end() != 0
    assert told in again.seen
    assert cli("status", run_id, "--json").json["data"]["status"] == "paused"
    assert ledger(flow) == ["first"]


def test_at_a_breakpoint_one_looks_goes_one_step_and_goes_on(terminal: Callable[..., Any], flow: Path) -> None:
    screen = terminal(*began(flow, "--break-before", "second"))
    question = "[c]ontinue, one [s]tep, [i]nspect, [q]uit > "

    screen.wait_for(f"stands before `second`\r\n{question}")
    screen.type("i\n")
    screen.wait_for("inputs    ")
    assert _TOKEN not in screen.seen
    screen.type("what?\n")  # nothing that is known: it is asked again
    screen.type("s\n")
    screen.wait_for("stands before `third`")
    assert ledger(flow) == ["first", "second"]
    screen.type("c\n")

    assert screen.end() == 0
    assert ledger(flow) == ["first", "second", "third"]
    assert '"stdout": "got 19"' in screen.seen


@pytest.mark.parametrize("how", ["q", "control-c", "elsewhere"])
def test_a_run_at_a_breakpoint_is_stopped(
    terminal: Callable[..., Any], cli: Callable[..., Any], flow: Path, how: str
) -> None:
    screen = terminal(*began(flow, "--break-before", "second"))
    run_id = run_of(screen.wait_for("stands before `second`"))
    match how:
        case "q":
            screen.type("q\n")
        case "control-c":
            screen.signal(signal.SIGINT)
        case _:
            assert cli("cancel", run_id).code == 0

    assert screen.end() == 130
    assert cli("status", run_id, "--json").json["data"]["status"] == "cancelled"
    assert ledger(flow) == ["first"]


def test_who_asks_no_longer_lets_another_terminal_go_on(
    terminal: Callable[..., Any], cli: Callable[..., Any], flow: Path
) -> None:
    screen = terminal(*began(flow, "--break-before", "second"))
    run_id = run_of(screen.wait_for("[q]uit > "))
    screen.type("\x04")

    assert cli("resume", run_id, "--json").json["data"]["run_id"] == run_id
    assert screen.end() == 0
    assert ledger(flow) == ["first", "second", "third"]
