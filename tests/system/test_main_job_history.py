"""What was done, as the command line tells it: history, show, logs, diff, and one envelope from every command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.system.machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.slow]

SCRIPT = (
    "mkdir /opt/small && touch /opt/small/done\necho 'said \x1b[31mred'\necho line >>/etc/motd\nchmod 600 /etc/issue\n"
)


@pytest.fixture(scope="module")
def past(machines: Callable[..., AbstractContextManager[Machine]]) -> Iterator[tuple[Machine, dict[str, str]]]:
    """A host with a past: a plan, an install, a failure, an install that found all there, and a rollback."""
    with machines() as machine:
        small, broken = machine.integration("small", SCRIPT), machine.integration("broken", "echo half; exit 7\n")
        runs = {
            "plan": machine.json("plan", small).data["run_id"],
            "install": machine.json("install", small, "--yes", environ={"SUDO_USER": "somebody"}).data["run_id"],
            "failed": machine.json("install", broken, "--yes").error["run_id"],
            "unchanged": machine.json("install", small, "--yes").data["run_id"],
        }
        runs["rollback"] = machine.json("rollback", "--yes").data["run_id"]
        yield machine, runs


def test_history_lists_runs_newest_first_and_filters(past: tuple[Machine, dict[str, str]]) -> None:
    machine, runs = past

    def listed(*filters: str) -> list[str]:
        found = {run: name for name, run in runs.items()}
        items = machine.json("history", *filters).data["items"]
        return [found[run["run_id"]] for run in items if run["run_id"] in found]

    assert listed() == ["rollback", "unchanged", "failed", "install", "plan"]
    assert len(machine.json("history", "--limit", "2").data["items"]) == 2
    assert listed("--status", "failed") == ["failed"]
    assert listed("--action", "install") == ["unchanged", "failed", "install"]
    assert listed("--integration", "small") == ["rollback", "unchanged", "install", "plan"]
    assert listed("--target", "host", "--action", "plan") == ["plan"]
    assert "small" in machine.cli("history").out


def test_show_tells_who_where_what_and_the_way_back(past: tuple[Machine, dict[str, str]]) -> None:
    machine, runs = past
    shown = machine.json("show", runs["install"]).data
    assert (shown["action"], shown["integration"], shown["version"]) == ("install", "small", "1.0.0")
    assert (shown["user"], shown["undone_by"]) == ("somebody", runs["rollback"])
    assert shown["changed"] is True
    assert [step["id"] for step in shown["steps"] if step["status"] == "succeeded"][-1] == "verify"
    assert shown["rollback_command"] is None, "it was taken back"
    back = machine.json("show", runs["rollback"]).data
    assert back["rollback_command"] == f"workflow-agent rollback {runs['rollback']}"
    # a beginning that is unique is enough
    assert machine.json("show", runs["failed"][:-2]).data["run_id"] == runs["failed"]
    assert machine.json("show", "r-").code == 6
    for run in runs.values():
        assert run in machine.cli("show", run).out


def test_logs_keep_what_a_script_said_and_show_no_control_characters(past: tuple[Machine, dict[str, str]]) -> None:
    machine, runs = past
    assert machine.json("logs", runs["install"]).data["lines"] == ["said \x1b[31mred"]
    shown = machine.cli("logs", runs["install"])
    assert shown.out == "said \\x1b[31mred\n"
    assert machine.cli("logs", runs["failed"], "-f").out == "half\n"
    followed = [json.loads(line) for line in machine.cli("logs", runs["failed"], "-f", "--json").out.splitlines()]
    assert [line["type"] for line in followed] == ["output", "result"]


def test_diff_shows_each_path_before_and_after(past: tuple[Machine, dict[str, str]]) -> None:
    machine, runs = past
    items = {item["path"]: item for item in machine.json("diff", runs["install"]).data["items"]}
    assert items["/opt/small/done"]["action"] == "created"
    assert items["/opt/small/done"]["before"] is None
    assert items["/etc/issue"]["before"]["mode"] == "0644"
    assert items["/etc/issue"]["after"]["mode"] == "0600"
    assert "/etc/issue" in machine.cli("diff", runs["install"]).out
    assert machine.json("diff", runs["failed"]).data["items"] == []


def test_events_are_lines_of_json_that_end_with_the_result(past: tuple[Machine, dict[str, str]]) -> None:
    machine, _ = past
    lines = [json.loads(line) for line in machine.cli("plan", "./own/small", "--events").out.splitlines()]
    assert [line["type"] for line in lines][:2] == ["RunCreated", "RunStarted"]
    assert lines[-1]["type"] == "result"
    assert lines[-1]["ok"] is True
    recorded = [line["seq"] for line in lines[:-1] if line["seq"]]
    assert recorded == list(range(1, len(recorded) + 1)), "only hints, which are not kept, have no number"


@pytest.mark.parametrize(
    "command",
    [
        "history",
        "integrations list",
        "integrations info nginx",
        "integrations lint nginx",
        "workflows list",
        "workflows show install",
        "agents list",
        "config show --origin",
        "doctor",
        "validate ./own/small",
    ],
)
def test_every_looking_command_gives_one_envelope_and_changes_nothing(
    past: tuple[Machine, dict[str, str]], command: str
) -> None:
    machine, runs = past
    assert machine.json(*command.split()).data
    assert machine.cli(*command.split()).code == 0
    assert len(machine.json("history").data["items"]) >= len(runs)
