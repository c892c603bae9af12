"""Rendering: plans, runs, tables, errors; at several widths, with and without colour, and for hostile text."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.cli.drift_view import drift_lines
from workflow_agent.cli.errors_view import error_lines
from workflow_agent.cli.plan_view import plan_lines, rollback_lines
from workflow_agent.cli.progress import PlainLines, ProgressTree, Silent, StepBoard, choose_progress
from workflow_agent.cli.run_view import check_lines, diff_lines, ending_lines, history_lines, run_lines
from workflow_agent.cli.style import Style, clip, is_unicode_locale, safe, style_for, wants_color
from workflow_agent.cli.tables import Column, ago, duration, size, table
from workflow_agent.model.errors import CheckFailedError, RolledBackError, WorkflowAgentError, error_classes
from workflow_agent.model.status import RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

HOSTILE = "a\x1b[31m\r\n\x07\u202eb\udc80"
PLAIN = Style()
WIDTHS = [60, 80, 120, None]

PLAN: dict[str, Any] = {
    "integration": "nginx",
    "version": "1.0.0",
    "target": "host",
    "tier": "exact",
    "tier_reason": None,
    "services": [{"name": "nginx", "listens": ["tcp/80"]}],
    "effects": [],
    "findings": [
        {"rule": "host.sysctl", "severity": "warning", "message": "changes the kernel", "line": 3, "allowed": True},
        {"rule": "style", "severity": "info", "message": "a matter of taste", "line": 4},
    ],
    "change_set": {
        "bytes_added": 1_234_567,
        "packages": [
            {"name": "nginx", "action": "installed", "version": "1.22", "before": None},
            {"name": "libc6", "action": "upgraded", "version": "2.37", "before": "2.36"},
        ],
        "users": [{"name": "www", "id": 106, "action": "created"}],
        "groups": [{"name": "adm", "id": 4, "action": "changed", "added": ["www"], "removed": []}],
        "units": [{"name": "nginx.service", "kind": "systemd", "action": "added", "enabled": True}],
        "cron": [{"path": "/etc/cron.d/nginx", "action": "added"}],
        "dropped": [{"path": "/var/cache/apt", "reason": "caches"}],
        "notes": ["user www has a shell"],
        "changes": [
            *(
                {"path": f"/usr/share/nginx/{number:02}", "action": "created", "kind": "file", "aspects": []}
                for number in range(30)
            ),
            {"path": "/usr/share/nginx", "action": "created", "kind": "directory", "aspects": []},
            {"path": "/etc/passwd", "action": "modified", "kind": "file", "aspects": ["content", "mtime"]},
            {"path": "/etc/old", "action": "deleted", "kind": "symlink", "aspects": []},
            {"path": "/var/log/dpkg.log", "action": "appended", "kind": "file", "aspects": []},
        ],
    },
}

PLAN_60 = """\
nginx 1.0.0 on host

  packages   1 installed, 1 upgraded
    + nginx 1.22
    ~ libc6 2.36 -> 2.37
  users      1 created
    + www (id 106)
  groups     1 changed
    ~ adm (id 4), with www
  units      1 added
    + nginx.service (starts with the machine)
  cron       1 added
    + /etc/cron.d/nginx
  starts     nginx (tcp/80)
  files      31 created, 1 modified, 1 deleted, 1 appended; 1.2 MB written
    - /etc/old (symlink)
    ~ /etc/passwd  content, mtime
    > /var/log/dpkg.log
    + /usr/share/nginx/00
    + /usr/share/nginx/01
    + /usr/share/nginx/02
    + /usr/share/nginx/03
    + /usr/share/nginx/04
    + /usr/share/nginx/05
    + /usr/share/nginx/06
    + /usr/share/nginx/07
    + /usr/share/nginx/08
      ... and 22 more (`--verbose` shows all)
  left out   /var/cache/apt (caches)
  note       user www has a shell
  warning    changes the kernel (line 3, host.sysctl, allowed)
  undo       exact: everything can be taken back bit for bit"""


def written(lines: Any) -> str:
    return "\n".join(lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_plan_reads_the_same_at_every_width_that_holds_it(width: int | None) -> None:
    assert written(plan_lines(PLAN, Style(width=width))) == PLAN_60


def test_the_plan_in_full_lists_every_path() -> None:
    text = written(plan_lines(PLAN, Style(width=80, verbose=1)))

    assert "more (" not in text
    assert text.count("/usr/share/nginx/") == 30
    assert "a matter of taste" in text


def test_long_paths_are_cut_on_a_terminal_and_never_in_a_pipe() -> None:
    path = "/usr/" + "x" * 200
    plan = {"change_set": {"changes": [{"path": path, "action": "created", "kind": "file"}]}}

    assert max(len(line) for line in plan_lines(plan, Style(width=60))) == 60
    assert path in written(plan_lines(plan, Style(width=None)))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"tier": "logical", "tier_reason": "not root"},
            "logical: it can be taken back, but not bit for bit (not root)",
        ),
        ({"effects": [{"kind": "irreversible", "description": "sends mail"}]}, "except 1 effect that cannot be undone"),
        ({"effects": [{"kind": "irreversible", "description": "sends mail"}]}, "  for good   sends mail"),
        ({"effects": [{"kind": "compensated", "description": "adds a row"}]}, "  effect     adds a row"),
        ({"change_set": {}}, "nothing would change"),
        ({"change_set": None}, "nothing would change"),
        ({"tier": "needs-attention"}, "not everything can be taken back"),
    ],
)
def test_what_cannot_be_undone_is_said(changes: Mapping[str, Any], expected: str) -> None:
    assert expected in written(plan_lines({**PLAN, **changes}, PLAIN))


def test_a_rollback_is_shown_before_it_is_done() -> None:
    summary = {
        "integration": "nginx",
        "version": "1.0.0",
        "target": "host",
        "direction": "undo",
        "undoes": "r-1",
        "tier": "exact",
        "services": [{"name": "nginx"}],
        "preview": {
            "restored": 9,
            "removed": 1200,
            "attributes": 0,
            "appended": ["/var/log/dpkg.log"],
            "owned": [],
            "kept": ["/var/www"],
            "left": [{"path": "/x"}],
        },
    }

    assert written(rollback_lines(summary, PLAIN)).splitlines() == [
        "take back nginx 1.0.0 on host",
        "  run r-1",
        "  paths      9 restored, 1,200 removed",
        "  keep lines /var/log/dpkg.log",
        "  kept       /var/www",
        "  stops      nginx",
        "  left       /x",
        "  undo       exact: everything can be taken back bit for bit",
    ]
    assert "bring back nginx" in written(rollback_lines({**summary, "direction": "redo", "preview": None}, PLAIN))
    shared = written(rollback_lines({**summary, "preview": {"merged": ["/var/lib/dpkg/status"]}}, PLAIN))
    assert "merged     /var/lib/dpkg/status" in shared
    assert "exact, but for shared files" in shared


RUN: dict[str, Any] = {
    "run_id": "r-01KA0000000000000000000000",
    "action": "install",
    "workflow": "install",
    "integration": "nginx",
    "version": "1.0.0",
    "target": "host",
    "status": "succeeded",
    "changed": True,
    "tier": "exact",
    "changes": {"created": 1200, "modified": 3, "deleted": 0, "appended": 1, "items": []},
    "checks": [{"id": "port", "status": "passed", "observed": "open", "expected": "open"}],
    "rollback_command": "workflow-agent rollback r-01KA0000000000000000000000",
    "created_at": 1000.0,
    "started_at": 1000.0,
    "finished_at": 1061.5,
    "user": "ann",
    "host": "web1",
    "error": None,
    "undoes": None,
    "undone_by": None,
    "output": {"tail": ["last line"]},
    "findings": [{"rule": "x", "line": 2, "message": "hm"}],
    "steps": [
        {"id": "lookup", "status": "succeeded", "started_at": 1000.0, "finished_at": 1000.5, "reason": None},
        {"id": "approve", "status": "skipped", "started_at": None, "finished_at": None, "reason": "when"},
    ],
}


def test_a_run_ends_with_its_id_and_the_command_that_takes_it_back() -> None:
    assert written(ending_lines(RUN, PLAIN)).splitlines() == [
        "+ succeeded  install nginx 1.0.0 on host in 1 min 1 s",
        "  changed   1,200 created, 3 modified, 1 appended",
        "  checks    1 of 1 passed",
        "    + port: open",
        "  run       r-01KA0000000000000000000000",
        "  undo      workflow-agent rollback r-01KA0000000000000000000000",
    ]


def test_an_unchanged_run_says_so() -> None:
    text = written(ending_lines({**RUN, "changed": False, "rollback_command": None}, PLAIN))

    assert "nothing: it is as wanted" in text
    assert "undo" not in text


def test_a_rollback_says_what_it_undid() -> None:
    text = written(ending_lines({**RUN, "action": "rollback", "undoes": "r-0"}, PLAIN))

    assert "  undid     r-0" in text
    assert "changed" not in text


def test_a_failed_check_tells_what_was_seen_and_wanted() -> None:
    checks = [{"id": "port", "status": "failed", "observed": "closed", "expected": "open"}]

    assert list(check_lines(checks, PLAIN)) == ["  checks    0 of 1 passed", "    x port: closed (expected open)"]
    assert list(check_lines([], PLAIN)) == []


def test_a_check_that_was_not_made_is_shown_and_not_counted() -> None:
    passed = {"id": "port", "status": "passed", "observed": "open", "expected": "open"}
    checks = [passed, {"id": "unit", "status": "not-applicable", "observed": "no systemd here", "expected": "active"}]

    assert list(check_lines(checks, PLAIN)) == [
        "  checks    1 of 1 passed, 1 not applicable",
        "    + port: open",
        "    - unit: no systemd here",
    ]
    assert next(check_lines(checks[1:], PLAIN)) == "  checks    0 of 0 passed, 1 not applicable"


def test_a_run_in_full() -> None:
    failed = {
        **RUN,
        "error": {"code": "rolled-back", "message": "m", "where": "w"},
        "undoes": "r-0",
        "undone_by": "r-2",
    }
    text = written(run_lines(failed, Style(unicode=True, verbose=1)))

    for expected in (
        "status    ✓ succeeded",
        "1970-01-01T00:16:40Z, 1 min 1 s, by ann on web1",
        "approve  - skipped     when".replace("     when", ""),
        "lookup",
        "error     m [rolled-back]",
        "where     w",
        "| last line",
        "undoes    r-0",
        "undone by r-2",
        "finding   x, line 2: hm",
    ):
        assert expected in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_history_fits_the_terminal(width: int) -> None:
    other = {**RUN, "run_id": "r-01KB" + RUN["run_id"][6:], "undone_by": "r-2"}
    lines = list(history_lines([RUN, other], Style(width=width), now=1000 + 7200))

    assert max(map(len, lines)) <= width
    assert len(lines) == 3
    assert RUN["run_id"][: 12 if width < 80 else None] in lines[1]
    assert " install " in lines[1]
    assert "rolled-back" in lines[2]
    assert ("2 hours ago" in lines[1]) is (width > 60)


def test_a_narrow_history_shows_of_ids_what_tells_them_apart() -> None:
    """What it shows is enough for every command that takes a run."""
    ids = ["r-01KA5B0000AAAAAAAAAAAAAAAA", "r-01KA5B0000ABAAAAAAAAAAAAAA", "r-01KA5C0000AAAAAAAAAAAAAAAA"]
    (_, *lines) = history_lines([{**RUN, "run_id": one} for one in ids], Style(width=60), now=1000)

    assert [line.split()[0] for line in lines] == [one[:14] for one in ids]
    (_, line) = history_lines([{**RUN, "run_id": ids[0]}], Style(width=60), now=1000)
    assert line.split()[0] == ids[0][:12]
    (_, line) = history_lines([{**RUN, "run_id": ids[0]}], Style(width=80), now=1000)
    assert line.split()[0] == ids[0]


def test_the_history_in_a_pipe_has_everything() -> None:
    (head, line) = history_lines([RUN], PLAIN)

    assert head.split() == ["run", "status", "action", "integration", "target", "when", "by"]
    assert line.split()[-2:] == ["1970-01-01T00:16:40Z", "ann"]
    assert "no run yet" in written(history_lines([], PLAIN))


def test_a_diff_names_what_each_path_was_and_became() -> None:
    before = {"kind": "file", "mode": "0644", "uid": 0, "gid": 0, "size": 10, "mtime_ns": 0}
    changes: list[dict[str, Any]] = [
        {"path": "/a", "action": "modified", "kind": "file", "aspects": ["mode"], "before": before,
         "after": {**before, "mode": "0600", "size": 1200, "mtime_ns": 10**9, "gone": None}},
        {"path": "/b", "action": "created", "kind": "directory", "before": None, "after": before},
    ]  # fmt: skip

    assert list(diff_lines(changes, PLAIN)) == [
        "~ /a",
        "    changed: mode",
        "    mode: 0644 -> 0600",
        "    size: 10 bytes -> 1,200 bytes",
        "    mtime_ns: 1970-01-01T00:00:00Z -> 1970-01-01T00:00:01Z",
        "+ /b (directory)  mode 0644, uid 0, gid 0, 10 bytes",
    ]
    assert list(diff_lines([], PLAIN)) == ["the run changed no path"]


def test_every_error_has_the_same_form() -> None:
    for cls in error_classes():
        error = cls("it failed", where="host › x", cause="c", state="s", hint="h", run_id="r-1")

        assert list(error_lines(error, PLAIN)) == [
            f"error[{cls.code}]: it failed",
            "  --> host › x",
            "cause: c",
            "state: s",
            "run: r-1",
            "",
            "hint: h",
        ]


def test_an_error_shows_its_evidence_and_stays_short() -> None:
    checks = [{"id": f"c{n}", "status": "failed", "observed": "o", "expected": "e"} for n in range(9)]
    nested = CheckFailedError("m", details={"checks": checks}).to_dict()
    error = RolledBackError("m", details=nested)

    short, full = list(error_lines(error, PLAIN)), list(error_lines(error, Style(verbose=1)))
    assert len(short) <= 12
    assert "  x c0: observed o, expected e" in short
    assert "  ... and 4 more (`--verbose` shows all)" in short
    assert "  x c8: observed o, expected e" in full


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"errors": [{"where": "f:1:1", "key": "k", "message": "m", "hint": "h"}] * 2}, "  f:1:1: `k` m (h)"),
        ({"problems": [{"where": "f:1:1", "path": "k", "message": "m", "hint": None}] * 2}, "  f:1:1: `k` m"),
        ({"errors": [{"parameter": "p", "message": "m", "hint": None}] * 2}, "  m"),
        ({"findings": [{"line": 3, "rule": "r", "message": "m", "severity": "error"}]}, "  line 3: m [r]"),
        ({"paths": ["/a", "/b"]}, "  /b"),
        ({"tail": ["x", "y"], "exit_code": 3}, "  | y"),
        ({"errors": "no list"}, "error[error]: e"),
    ],
)
def test_details_become_lines(details: dict[str, Any], expected: str) -> None:
    assert expected in list(error_lines(WorkflowAgentError("e", details=details), PLAIN))


def _all_texts() -> list[str]:
    evil = {
        "name": HOSTILE,
        "action": "installed",
        "version": HOSTILE,
        "id": HOSTILE,
        "enabled": True,
        "added": [HOSTILE],
    }
    change = {"path": HOSTILE, "action": "modified", "kind": HOSTILE, "aspects": [HOSTILE], "before": {HOSTILE: 1},
              "after": {HOSTILE: HOSTILE}}  # fmt: skip
    plan = {
        "integration": HOSTILE, "version": HOSTILE, "target": HOSTILE, "tier": HOSTILE, "tier_reason": HOSTILE,
        "services": [{"name": HOSTILE, "listens": [HOSTILE]}],
        "effects": [{"kind": "irreversible", "description": HOSTILE}],
        "findings": [{"severity": "error", "message": HOSTILE, "rule": HOSTILE, "line": 1}],
        "change_set": {
            "packages": [evil], "users": [evil], "groups": [evil], "units": [evil],
            "cron": [{"path": HOSTILE, "action": "added"}], "changes": [change],
            "notes": [HOSTILE], "dropped": [{"path": HOSTILE, "reason": HOSTILE}],
        },
    }  # fmt: skip
    run = {**RUN, "integration": HOSTILE, "user": HOSTILE, "output": {"tail": [HOSTILE]},
           "error": {"message": HOSTILE, "code": HOSTILE, "cause": HOSTILE},
           "checks": [{"id": HOSTILE, "status": "failed", "observed": HOSTILE, "expected": HOSTILE}]}  # fmt: skip
    error = WorkflowAgentError(
        HOSTILE, where=HOSTILE, cause=HOSTILE, state=HOSTILE, hint=HOSTILE, run_id=HOSTILE,
        details={"tail": [HOSTILE], "paths": [HOSTILE, HOSTILE], "checks": run["checks"]},
    )  # fmt: skip
    stream = io.StringIO()
    lines = PlainLines(["s"], stream, Style(verbose=1))
    lines.output(HOSTILE, HOSTILE)
    lines.event({"type": "StepStarted", "step": HOSTILE, "at": 1.0, "data": {}}, "running")
    return [
        *plan_lines(plan, PLAIN), *run_lines(run, PLAIN), *ending_lines(run, PLAIN), *diff_lines([change], PLAIN),
        *error_lines(error, PLAIN), *history_lines([run], PLAIN), *stream.getvalue().split("\n"),
        *rollback_lines({"undoes": HOSTILE, "preview": {"kept": [HOSTILE], "left": [{"path": HOSTILE}]}}, PLAIN),
    ]  # fmt: skip


def test_no_text_from_outside_reaches_the_terminal_as_a_command() -> None:
    texts = _all_texts()

    assert [text for text in texts if not text.isprintable()] == []
    assert sum("\\x1b[31m" in text for text in texts) > 30


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ü", "plain ü"),
        ("a\tb", "a b"),
        ("\x1b", "\\x1b"),
        ("\u202e", "\\u202e"),
        ("\U000e0001", "\\U000e0001"),
        ("\udc80", "\\udc80"),
        ("\x9b", "\\x9b"),
        ("\n", "\\x0a"),
    ],
)
def test_what_a_terminal_could_obey_is_written_out(text: str, expected: str) -> None:
    assert safe(text) == expected


@pytest.mark.parametrize(
    ("choice", "from_option", "environ", "terminal", "expected"),
    [
        ("auto", False, {}, True, True),
        ("auto", False, {}, False, False),
        ("auto", False, {"TERM": "dumb"}, True, False),
        ("auto", False, {"NO_COLOR": "1"}, True, False),
        ("auto", False, {"NO_COLOR": ""}, True, True),
        ("auto", False, {"CLICOLOR_FORCE": "1"}, False, True),
        ("auto", False, {"CLICOLOR_FORCE": "0"}, False, False),
        ("auto", False, {"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, True, False),
        ("always", False, {"NO_COLOR": "1"}, True, False),
        ("always", True, {"NO_COLOR": "1"}, False, True),
        ("never", True, {"CLICOLOR_FORCE": "1"}, True, False),
        ("always", False, {"TERM": "dumb"}, False, True),
        ("never", False, {}, True, False),
        ("auto", True, {}, True, True),
    ],
)
def test_when_there_is_colour(
    choice: str, *, from_option: bool, environ: dict[str, str], terminal: bool, expected: bool
) -> None:
    assert wants_color(choice, environ, is_terminal=terminal, from_option=from_option) is expected


@pytest.mark.parametrize(
    ("environ", "encoding", "expected"),
    [
        ({}, "utf-8", True),
        ({"LANG": "de_DE.UTF-8"}, "UTF-8", True),
        ({"LANG": "C"}, "utf-8", False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, "utf-8", False),
        ({"LC_CTYPE": "C.UTF-8"}, "utf-8", True),
        ({"LC_ALL": "C", "LANG": "en_GB.UTF-8"}, "utf-8", False),
        ({"LANG": "en_GB.ISO-8859-1"}, "utf-8", False),
        ({"LANG": "en_GB.UTF-8"}, "latin-1", False),
        ({}, None, False),
    ],
)
def test_a_locale_without_utf_8_gets_ascii(environ: dict[str, str], encoding: str | None, *, expected: bool) -> None:
    assert is_unicode_locale(environ, encoding) is expected


def test_every_state_has_a_symbol_in_ascii() -> None:
    for state in [*RunStatus, *StepStatus]:
        assert Style().status(state).isascii()
        assert Style(color=True).status(state).startswith("\x1b[")


def test_colour_stands_beside_words_and_changes_nothing_else() -> None:
    plain, colored = written(plan_lines(PLAN, PLAIN)), written(plan_lines(PLAN, Style(color=True)))

    assert plain != colored
    assert re.sub(r"\x1b\[[0-9]*m", "", colored) == plain


def test_tables_cut_what_may_be_cut_and_leave_out_by_rank() -> None:
    columns = [Column("a", "a"), Column("b", "b", shrinks=True), Column("c", "c", rank=2)]
    kept = [*columns[:2], Column("c", "c", rank=1)]
    rows: list[dict[str, object]] = [{"a": "x" * 10, "b": "y" * 60, "c": "z" * 10}]

    assert list(table(columns, rows, Style(width=40)))[1] == "x" * 10 + "  " + "y" * 25 + "..."
    assert list(table(kept, rows, Style(width=40)))[1] == "x" * 10 + "  " + "y" * 13 + "...  " + "z" * 10
    assert "z" not in list(table(kept, rows, Style(width=20)))[1]
    assert list(table(columns, [], PLAIN)) == []
    assert len(list(table(columns, rows, PLAIN))[1]) == 84


def test_times_and_sizes_for_people() -> None:
    assert [ago(at, 100000.0) for at in (None, 100000.0, 99990.0, 99900.0, 92800.0, 10.0)] == [
        "", "just now", "10 s ago", "1 minute ago", "2 hours ago", "1 day ago",
    ]  # fmt: skip
    assert [duration(*pair) for pair in ((None, 1.0), (1.0, 2.5), (0.0, 61.0))] == ["", "1.5 s", "1 min 1 s"]
    assert [size(number) for number in (0, 999, 1000, 1_500_000, 2_000_000_000_000)] == [
        "0 B", "999 B", "1.0 kB", "1.5 MB", "2000.0 GB",
    ]  # fmt: skip
    assert clip("abcdef", 5) == "ab..."
    assert clip("abcdef", 2) == ".."


EVENTS: list[dict[str, Any]] = [
    {"type": "RunCreated", "step": None, "at": 1.0, "data": {}},
    {"type": "StepStarted", "step": "a", "at": 1.0, "data": {"hint": True}},
    {"type": "StepStarted", "step": "a", "at": 1.0, "data": {}},
    {"type": "StepSucceeded", "step": "a", "at": 3.0, "data": {"started_at": 1.0}},
    {"type": "StepSkipped", "step": "b", "at": 3.0, "data": {}},
    {"type": "RetryScheduled", "step": "c", "at": 3.0, "data": {}},
    {"type": "StepSucceeded", "step": "c", "at": 4.0, "data": {"status": "unchanged", "started_at": 3.5}},
    {"type": "CancelRequested", "step": None, "at": 4.0, "data": {}},
    {"type": "StepFailed", "step": "d", "at": 5.0, "data": {}},
]


def test_plain_progress_is_one_line_per_change_of_state() -> None:
    stream = io.StringIO()
    progress = PlainLines(["a", "b", "c"], stream, PLAIN)
    for event in EVENTS:
        progress.event(event, "running")
    progress.output("a", "unseen")
    progress.pause()
    progress.resume()
    progress.close()

    assert stream.getvalue().splitlines() == [
        "> running a",
        "+ succeeded a (2.0 s)",
        "~ waiting c",
        "= unchanged c (0.5 s)",
        "# cancelled requested",
        "x failed d (0.0 s)",
    ]


def test_the_live_tree_shows_every_step_and_the_output_of_the_running_one() -> None:
    stream = io.StringIO()
    tree = ProgressTree("install", ["a", "b", "e"], stream, Style(width=40))
    try:
        tree.event(EVENTS[1], "running")
        tree.output("a", HOSTILE)
        rows = [line for line, _ in tree.rows(2.0)]
        tree.event(EVENTS[3], "running")
        tree.event(EVENTS[4], "running")
        after = [line for line, _ in tree.rows(9.0)]
    finally:
        tree.close()

    assert rows[0] == "  > a running 1.0 s"
    assert rows[1].startswith("    | a\\x1b[31m")
    assert after == ["  + a 2.0 s", "  . e"]
    assert "install" in stream.getvalue()


def test_progress_is_chosen_by_what_the_stream_allows() -> None:
    stream = io.StringIO()

    assert type(choose_progress("t", [], stream, PLAIN, quiet=True, plain=False)) is Silent
    assert type(choose_progress("t", [], stream, PLAIN, quiet=False, plain=False)) is PlainLines
    assert type(choose_progress("t", [], stream, Style(width=80), quiet=False, plain=True)) is PlainLines


def test_a_board_knows_how_long_a_step_takes() -> None:
    board = StepBoard(["a"])

    assert board.took("a", 1.0) == ""
    assert board.take(EVENTS[0]) is None
    assert board.take(EVENTS[1]) == "running"
    assert board.took("a", 2.5) == "1.5 s"


def test_a_closed_stream_is_no_terminal() -> None:
    stream = io.StringIO()
    stream.close()

    assert style_for(stream, {}).width is None


# -- drift -----------------------------------------------------------------------------------------------------------


def _drift(*items: dict[str, Any]) -> dict[str, Any]:
    return {"integration": "x", "items": list(items), "compared": True, "reason": None}


def test_drift_names_what_became_of_each_path() -> None:
    mode = {"kind": "file", "mode": "0755", "uid": 0, "gid": 0}
    other = mode | {"mode": "4755", "uid": 5}
    items: list[dict[str, Any]] = [
        {"path": "/a", "state": "missing", "aspects": ["existence"], "expected": mode, "observed": None},
        {"path": "/b", "state": "replaced", "expected": mode, "observed": {"kind": "directory"}},
        {"path": "/c", "state": "returned", "expected": None, "observed": mode},
        {"path": "/d", "state": "attributes", "aspects": ["mode", "owner"], "expected": mode, "observed": other},
        {"path": "/e", "state": "modified", "aspects": ["content", "xattr"], "expected": mode, "observed": mode},
        {"path": "/f", "state": "modified", "aspects": ["target"], "expected": {"target": "x"}, "observed": {}},
        {"path": HOSTILE, "state": "modified", "aspects": ["content"], "diff": f"---\n+++\n@@ -1 +1 @@\n+{HOSTILE}"},
    ]

    lines = list(drift_lines(_drift(*items), PLAIN))

    assert [line.strip() for line in lines[:7]] == [
        "drift     7 paths",
        "- /a  missing",
        "! /b  replaced: file -> directory",
        "+ /c  there again: it was removed",
        "~ /d  mode 0755 -> 4755, owner 0:0 -> 5:0",
        "~ /e  modified: content, extended attributes",
        "~ /f  modified: target x -> ?",
    ]
    assert lines[8].strip() == "@@ -1 +1 @@"
    assert not any(sign in "".join(lines) for sign in "\x1b\r\n\x07\u202e")


def test_long_drift_is_cut_and_verbose_shows_all() -> None:
    text = "\n".join(["---", "+++", *(f"+{number}" for number in range(60))])
    items = [{"path": f"/{number}", "state": "modified", "aspects": ["content"], "diff": text} for number in range(30)]

    short, full = list(drift_lines(_drift(*items), PLAIN)), list(drift_lines(_drift(*items), Style(verbose=True)))

    assert len(short) == 1 + 20 * (1 + 40 + 1) + 1
    assert "and 20 more lines" in short[42]
    assert "and 10 more" in short[-1]
    assert len(full) == 1 + 30 * (1 + 60)


def test_a_run_says_that_nothing_drifted_or_that_it_could_not_look() -> None:
    assert list(drift_lines(None, PLAIN)) == []
    assert list(drift_lines(_drift(), PLAIN)) == ["  drift     none"]
    lost = _drift() | {"compared": False, "reason": "it was pruned"}
    assert list(drift_lines(lost, PLAIN)) == ["  drift     not compared: it was pruned"]
