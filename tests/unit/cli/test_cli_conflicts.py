"""Conflicts and decisions as people read them."""

from __future__ import annotations

from typing import Any

from workflow_agent.cli.conflict_view import conflict_lines, decision_lines
from workflow_agent.cli.style import Style

_FILE = {"kind": "file", "mode": "0644", "uid": 0, "gid": 0, "size": 1200, "mtime_ns": 0}
_FOLDER = {"kind": "directory", "mode": "0700", "uid": 1, "gid": 2, "size": 0, "mtime_ns": 0}
HOSTILE = "/etc/a\x1b[31m\nb"


def test_both_sides_are_shown_with_when_and_by_whom() -> None:
    conflict: dict[str, Any] = {
        "path": HOSTILE,
        "before": None,
        "expected": _FILE,
        "found": _FOLDER,
        "changed_ns": 10**18,
        "run_id": "r-2",
        "changes": ["package x was changed since: 1 -> 2"],
        "group": "package x",
        "diffs": {"by_run": "", "since": "@@\n-a\x1b\n+b"},
    }
    assert list(conflict_lines([conflict], Style())) == [
        "! /etc/a\\x1b[31m\\x0ab",
        "    before the run   nothing",
        "    left by the run  file, mode 0644, owner 0:0, 1,200 bytes",
        "    there now        directory, mode 0700, owner 1:2, changed 2001-09-09T01:46:40Z, by run r-2",
        "    changed          package x was changed since: 1 -> 2",
        "    belongs to       package x, which is restored as a whole or not at all",
        "    @@",
        "    -a\\x1b",
        "    +b",
    ]


def test_a_long_list_and_a_long_difference_are_cut_unless_all_is_asked_for() -> None:
    diffs = {"since": "\n".join(str(number) for number in range(30))}
    many: list[dict[str, Any]] = [{"path": f"/{n}", "expected": None, "found": None, "diffs": diffs} for n in range(7)]
    short, full = list(conflict_lines(many, Style())), list(conflict_lines(many, Style(verbose=True)))
    assert short[-1].endswith("and 2 more (`--verbose` shows all)")
    assert any(line.endswith("and 10 more lines") for line in short)
    assert len(full) == 7 * (1 + 2 + 30)
    assert list(conflict_lines([{"path": "/a", "needs": "x"}], Style())) == []


def test_a_decision_names_the_side_that_won_and_where_the_other_one_is() -> None:
    stays = {"path": "/a", "decision": "theirs", "group": None, "aside": None}
    forced = {"path": "/b", "decision": "before", "group": "account files", "aside": "/.workflow-agent/tx/t/upper/b"}
    assert list(decision_lines([stays, forced], Style())) == [
        "  stayed    /a, as somebody else left it",
        "  forced    /b (account files) is as before; what was there: /.workflow-agent/tx/t/upper/b",
    ]
    assert list(decision_lines([stays, forced], Style(), planned=True)) == [
        "  stays      /a, as somebody else left it",
        "  forced     /b (account files) becomes as before; what is there now is kept aside",
    ]
    assert list(decision_lines([{**forced, "aside": None, "group": None}], Style())) == ["  forced    /b is as before"]
