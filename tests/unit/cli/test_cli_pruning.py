"""`history prune`: the list that is asked about, and what is not understood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.cli.pruning_commands import prune_lines
from workflow_agent.cli.run_view import ending_lines, run_lines
from workflow_agent.cli.style import Style

if TYPE_CHECKING:
    from collections.abc import Callable


def _run(run_id: str, **more: Any) -> dict[str, Any]:
    run = {"run_id": run_id, "action": "install", "integration": "nginx", "version": "1", "script": None}
    return run | {"created_at": 60.0, "transaction": f"{run_id}.1", "needs": run_id} | more


def test_what_goes_is_listed_with_its_size_and_what_stays_for_a_reason() -> None:
    summary = {
        "target": "host",
        "prunes": [_run("r-1"), _run("r-2", action="apply", integration=None, version=None, script="a\x1b[31m.sh")],
        "stays": [_run("r-3", why="newest"), _run("r-4", why="needs-attention")],
        "preview": {
            "bytes": 3_001_000,
            "entries": 12,
            "transactions": [{"transaction": "r-1.1", "bytes": 3_000_000}, {"transaction": "r-2.1", "bytes": 1000}],
        },
    }
    assert [line.strip() for line in prune_lines(summary, Style())] == [
        "give up the before-images of 2 runs on host",
        "r-1  install nginx 1, 1970-01-01T00:01:00Z  3.0 MB",
        "r-2  apply a\\x1b[31m.sh, 1970-01-01T00:01:00Z  1.0 kB",
        "frees 3.0 MB in 12 entries",
        "they cannot be rolled back exactly any more; they stay in history",
        "stays     r-4  install nginx 1, 1970-01-01T00:01:00Z: needs attention: look at it first",
    ]
    many = {**summary, "prunes": [_run(f"r-{number}") for number in range(30)]}
    assert "and 10 more" in "\n".join(prune_lines(many, Style()))
    assert "r-29" in "\n".join(prune_lines(many, Style(verbose=True)))
    assert list(prune_lines({"prunes": [], "stays": []}, Style())) == ["there is nothing to prune"]


def test_the_result_says_how_much_is_free_and_the_runs_are_marked() -> None:
    run = {"run_id": "r-9", "status": "succeeded", "action": "prune", "target": "host", "changed": True}
    run |= {"pruned": {"runs": ["r-1"], "bytes": 3_000_000}}
    for write in (ending_lines, run_lines):
        text = "\n".join(write(run, Style()))
        assert "freed     3.0 MB on host: before-images of 1 run\n    r-1" in text
        assert "changed" not in text
    marked = {"run_id": "r-1", "status": "succeeded", "action": "install", "pruned_by": "r-9"}
    assert "  pruned by r-9" in list(run_lines(marked, Style()))


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ("prune", "--keep 10"),
        ("prune --keep 1", "--yes"),
        ("prune --keep -1 --yes", "--keep"),
        ("prune --older-than soon --yes", "--older-than"),
        ("prune --older-than 0 --yes", "more than nothing"),
        ("prune --keep 1 --check --yes", "--plan"),
        ("prun", "prune"),
    ],
)
def test_what_cannot_be_meant_is_refused(cli: Callable[..., Any], arguments: str, wanted: str) -> None:
    answer = cli("history", *arguments.split())
    assert answer.code == 2
    assert wanted in answer.err


def test_the_noun_alone_still_lists(cli: Callable[..., Any], written: Callable[..., list[str]]) -> None:
    (run_id,) = written(("install", "nginx", "host", "succeeded"))
    assert run_id in cli("history").out
    assert [item["run_id"] for item in cli("history", "--limit", "1", "--json").json["data"]["items"]] == [run_id]


def test_what_differs_after_a_logical_rollback_is_listed_and_never_kept_quiet() -> None:
    run: dict[str, Any] = {
        "run_id": "r-2",
        "status": "succeeded",
        "action": "rollback",
        "target": "host",
        "undoes": "r-1",
    }
    item = {"path": "/etc/a\x1b", "state": "differs", "aspects": ["content"], "expected": None, "observed": None}
    left: dict[str, Any] = {"path": "/b", "state": "left", "aspects": [], "expected": None, "observed": None}
    for write in (ending_lines, run_lines):
        text = "\n".join(write({**run, "remainder": {"items": [item, left], "compared": True}}, Style()))
        assert "differs   2 paths are not as before the run" in text
        assert "    differs  /etc/a\\x1b (content)\n    left     /b" in text
    unknown = "\n".join(run_lines({**run, "remainder": {"items": [], "compared": False}}, Style()))
    assert "not known" in unknown
    assert "nothing but times" not in unknown
    same = "\n".join(run_lines({**run, "remainder": {"items": [], "compared": True}}, Style()))
    assert "differs   nothing but times" in same
    many = {**run, "remainder": {"items": [left] * 30, "compared": True}}
    assert "and 10 more" in "\n".join(run_lines(many, Style()))
    assert "more" not in "\n".join(run_lines(many, Style(verbose=True)))


def test_the_tier_that_holds_now_is_shown_with_its_reason() -> None:
    run: dict[str, Any] = {"run_id": "r-1", "status": "succeeded", "action": "install", "target": "host"}
    logical = {"tier": "logical", "reason": "pruned", "command": "workflow-agent rollback r-1 --logical"}
    lines = list(run_lines({**run, "rollback": logical}, Style()))
    assert lines[-2:] == ["  undo      logical: pruned", "            workflow-agent rollback r-1 --logical"]
    nobody = {"tier": "needs-attention", "reason": "a script", "command": None}
    assert list(run_lines({**run, "rollback": nobody}, Style()))[-1] == "  undo      needs-attention: a script"
    assert "  tier      exact" in list(run_lines({**run, "tier": "exact"}, Style()))
    assert "exact" not in "\n".join(run_lines({**run, "tier": "exact", "rollback": nobody}, Style())), "it was, then"
