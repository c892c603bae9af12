"""Consent, progress and signals, with real agents on a workflow that only asks."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.cli.consent import answer_is_yes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("answer", "code", "word"),
    [
        ("y\n", 0, "succeeded"),
        ("YES\n", 0, "succeeded"),
        ("n\n", 1, "declined"),
        ("\n", 1, "declined"),
        ("yess\n", 1, "declined"),
        ("\x04", 1, "declined"),
    ],
)
def test_on_a_terminal_the_plan_is_shown_and_the_answer_decides(
    approval: Path, terminal: Callable[..., Any], answer: str, code: int, word: str
) -> None:
    del approval
    screen = terminal("install", "nginx")
    shown = screen.wait_for("[y/N]")
    screen.type(answer)

    assert screen.end() == code
    assert "nginx 1.0.0 on host" in shown
    assert "1 installed" in shown
    assert "exact: everything can be taken back bit for bit" in shown
    assert word in screen.seen


@pytest.mark.parametrize("verb", [["install", "nginx"], ["rollback"]])
def test_without_a_terminal_nothing_is_begun(cli: Callable[..., Any], state: Path, verb: list[str]) -> None:
    result = cli(*verb)

    assert result.code == 2
    assert "error[usage.consent]" in result.err
    assert "--yes" in result.err
    assert result.out == ""
    assert not state.exists()


def test_yes_asks_nobody(cli: Callable[..., Any], approval: Path) -> None:
    result = cli("install", "nginx", "--yes", "--json")

    assert result.code == 0
    assert result.json["ok"] is True
    assert result.json["data"]["status"] == "succeeded"
    assert (approval / "workflow-agent.db").exists()


def test_every_run_ends_with_its_id(cli: Callable[..., Any], approval: Path) -> None:
    del approval
    result = cli("install", "nginx", "--yes")

    (run_id,) = [line.split()[-1] for line in result.out.splitlines() if line.startswith("  run ")]
    assert run_id.startswith("r-")
    assert run_id in result.err
    assert cli("show", run_id[:20].lower()).code == 0
    assert cli("history", "--json").json["data"]["items"][0]["run_id"] == run_id


def test_a_declined_run_says_that_nothing_was_changed(approval: Path, terminal: Callable[..., Any]) -> None:
    del approval
    screen = terminal("install", "nginx")
    screen.wait_for("[y/N]")
    screen.type("n\n")
    screen.end()

    assert "state: nothing was changed" in screen.seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_stops_the_run_politely(
    approval: Path, terminal: Callable[..., Any], number: signal.Signals
) -> None:
    del approval
    screen = terminal("install", "nginx")
    screen.wait_for("[y/N]")
    screen.signal(number)

    assert screen.end() == 130
    assert f"{number.name}: stopping" in screen.seen
    assert "error[interrupted]" in screen.seen
    assert "Traceback" not in screen.seen


STUBBORN = """
import asyncio
from workflow_agent.agents.serving import Reply, Request, Verb


class Stubborn:
    name = "recovery"

    def verbs(self):
        return {"recover": Verb(Request, Reply, self.recover)}

    async def recover(self, request, message):
        print("begun", flush=True)
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass


def make(container):
    return Stubborn()
"""


def test_the_second_signal_leaves_at_once(
    approval: Path, terminal: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent of one's own, named by the settings, that does not listen."""
    del approval
    (tmp_path / "stubborn_agent.py").write_text(STUBBORN, encoding="utf-8")
    steps = "schema: workflow-agent/workflow/1\nname: install\nversion: '1'\n"
    steps += "inputs: {integration: {type: string}}\nsteps: [{id: wait, uses: recovery.recover}]\n"
    (tmp_path / "workflows/install.yaml").write_text(steps, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("WORKFLOW_AGENT_AGENTS__RECOVERY", "stubborn_agent:make")
    screen = terminal("install", "nginx", "--yes")

    screen.wait_for("begun")
    screen.signal(signal.SIGINT)
    screen.wait_for("Once more leaves at once")
    screen.signal(signal.SIGINT)

    assert screen.end() == 130
    assert "left at once; run r-" in screen.seen
    assert "hint: `workflow-agent resume r-" in screen.seen


def test_several_run_one_after_the_other_and_stop_at_the_first_failure(
    approval: Path, terminal: Callable[..., Any]
) -> None:
    """The second is declined: the first stays, the third is not begun."""
    del approval
    screen = terminal("install", "nginx", "prometheus-node-exporter", "nginx")
    screen.wait_for("[y/N]")
    screen.type("y\n")
    seen = len(screen.seen)
    while "[y/N]" not in screen.seen[seen:]:
        screen._read(0.2)
    screen.type("n\n")

    assert screen.end() == 1
    assert "done before it: r-" in screen.seen
    assert "not begun: nginx" in screen.seen


def test_events_are_lines_of_json_and_the_last_is_the_result(cli: Callable[..., Any], approval: Path) -> None:
    del approval
    result = cli("install", "nginx", "--yes", "--events")

    lines = [json.loads(line) for line in result.out.splitlines()]
    assert result.code == 0
    assert lines[0]["type"] == "RunCreated"
    assert [line["type"] for line in lines][-2:] == ["RunFinished", "result"]
    assert lines[-1]["ok"] is True
    assert len({line["run_id"] for line in lines[:-1]}) == 1


def test_in_a_pipe_progress_is_plain_lines_on_stderr(cli: Callable[..., Any], approval: Path) -> None:
    del approval
    loud = cli("install", "nginx", "--yes", "-v")
    quiet = cli("install", "nginx", "--yes", "-q")

    assert "skipped approve" in loud.err
    assert "\x1b" not in loud.err + loud.out
    assert quiet.err == ""


@pytest.mark.parametrize(
    ("environ", "live"), [({}, True), ({"WORKFLOW_AGENT_NO_PROGRESS": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_the_live_tree_can_be_declined(
    approval: Path, terminal: Callable[..., Any], environ: dict[str, str], live: bool
) -> None:
    del approval
    screen = terminal("install", "nginx", **environ)
    screen.wait_for("[y/N]")
    screen.type("y\n")

    assert screen.end() == 0
    assert ("\x1b[?25l" in screen.seen) is live


@pytest.mark.parametrize(
    ("answer", "expected"), [("y", True), (" Y \n", True), ("yes", True), ("", False), ("j", False), ("no", False)]
)
def test_only_a_clear_yes_is_one(answer: str, expected: bool) -> None:
    assert answer_is_yes(answer) is expected
