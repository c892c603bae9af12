"""Runs and plans of which there is everything to say, line by line; and the programs that write pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.app import agent_pages
from workflow_agent.cli import help_pages, man_page
from workflow_agent.cli.plan_view import plan_lines
from workflow_agent.cli.run_view import run_lines
from workflow_agent.cli.running_view import running_lines
from workflow_agent.cli.style import Style

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

RUN: dict[str, Any] = {
    "run_id": "r-1",
    "status": "succeeded",
    "action": "repair",
    "integration": "nginx",
    "version": "1.0.0",
    "started_at": None,
    "script": {"interpreter": "sh", "name": "fix.sh", "arguments": ["--now"], "hash": "abc"},
    "told": [
        {"kind": "hook", "file": "hooks/before.py", "sha256": "0a", "when": "before"},
        {"kind": "validation", "argv": ["nginx", "-t"], "label": "nginx.conf"},
        {
            "kind": "fact",
            "address": "https://e.org",
            "selector": "p3",
            "fact": "port",
            "value": "80",
            "template": "conf",
            "first": 1,
            "last": 2,
            "text_sha256": "0b",
        },
        {
            "kind": "fact",
            "address": "https://e.org",
            "selector": "p4",
            "fact": "user",
            "value": "www",
            "text_sha256": "0c",
        },
    ],
    "tags": {"team": "web"},
    "origin": "r-0",
    "altered": [{"state": {"k": 1}, "by": "ann"}, {"break_before": ["b"]}],
    "undoes": "r-00",
    "undone_by": "r-2",
    "pruned_by": "r-3",
    "pruned": {"bytes": 2_000_000, "runs": ["r-00"]},
    "requirements": [
        {"integration": "openssl", "version": "3", "state": "installed"},
        {"integration": "cron", "version": "2", "state": "adopted"},
    ],
    "broken": {
        "missing": ["/etc/gone"],
        "drift": [],
        "checks": [
            {"id": "port", "status": "failed", "observed": "nobody listens", "expected": "tcp/80"},
            {"id": "unit", "status": "passed", "observed": "active", "expected": "active"},
        ],
    },
    "copied": [{"path": "/var/lib/db", "entries": 1, "bytes": 10}],
    "running": {
        "items": [
            {"action": "added", "kind": "listener", "name": "tcp/80", "value": "nginx"},
            {"action": "removed", "kind": "module", "name": "nf_tables"},
            {"action": "changed", "kind": "sysctl", "name": "net.ipv4.ip_forward", "before": "0", "value": "1"},
        ],
        "stays": [{"kind": "module", "name": "nf_tables", "reason": "in use"}],
    },
    "findings": [
        {
            "rule": "host.sysctl",
            "line": 3,
            "message": "changes the kernel",
            "origin": "template",
            "keys": ["value"],
            "allowed": True,
            "allowed_by": "ann",
        },
        {"rule": "style", "message": "taste", "allowed": True},
    ],
    "attempts": [
        {"attempt": 1, "step": "prepare", "class": "network", "pause_s": 5.0, "cause": "no route", "folder": "/e/1"},
        {"attempt": 2, "step": "prepare", "class": "lock", "decision": "give-up", "message": "held"},
    ],
}
PLAN: dict[str, Any] = {
    "integration": "nginx",
    "version": "1.1.0",
    "target": "host",
    "required_by": ["site"],
    "adopted": True,
    "tier": "approximate",
    "tier_reason": "copied",
    "reach": "a rehearsal",
    "reach_reason": "on a copy",
    "differences": {
        "version": {"before": "1.0.0", "after": "1.1.0"},
        "parameters": [
            {"name": "port", "before": None, "after": 80},
            {"name": "names", "before": ["a", "b"], "after": []},
        ],
        "dropped": ["old"],
    },
    "current": {
        "missing": ["/etc/gone"],
        "checks": [{"id": "port", "status": "failed", "observed": "nobody listens", "expected": "tcp/80"}],
    },
    "restarts": ["nginx"],
    "services": [{"name": "nginx", "listens": ["tcp/80"]}, {"name": "php", "listens": []}],
    "keep": ["/etc/nginx"],
    "effects": [
        {"kind": "irreversible", "description": "sends a mail"},
        {"kind": "declared", "description": "makes a row"},
    ],
    "findings": [
        {"rule": "style", "severity": "info", "message": "taste", "line": 4},
        {"rule": "host", "severity": "error", "message": "bad"},
    ],
    "change_set": {
        "units": [
            {"name": "a.service", "kind": "systemd", "action": "changed", "enabled": False},
            {"name": "b", "kind": "sysvinit", "action": "added", "enabled": True},
            {"name": "c.timer", "kind": "systemd", "action": "added", "enabled": None},
        ],
        "cron": [{"path": "/etc/cron.d/nginx", "action": "added"}],
        "kernel": [
            {"kind": "sysctl", "name": "net.ipv4.ip_forward", "before": "0", "value": "1", "action": "changed"},
            {"kind": "module", "name": "nf_tables", "action": "added"},
        ],
        "outside": [{"kind": "connection", "name": "e.org:443", "stays": True}],
        "notes": ["a note"],
        "dropped": [{"path": "/tmp/x", "reason": "volatile"}],
        "changes": [{"path": "/etc/nginx/nginx.conf", "action": "modified", "kind": "file", "aspects": ["content"]}],
    },
}

RUN_LINES = """\
repair nginx 1.0.0 on host
  run       r-1
  status    + succeeded
  when
  script    sh fix.sh --now, sha256 abc
  hook       Python hooks/before.py, sha256 0a (before)
  judged by  `nginx -t` (nginx.conf)
  from       port 80: https://e.org p3, sha256 0b (lines 1-2 of conf)
  from       user www: https://e.org p4, sha256 0c (all of the file)
  tags      team=web
  made from r-0
  altered   {"state": {"k": 1}}, by ann
  altered   {"break_before": ["b"]}
  undoes    r-00
  undone by r-2
  pruned by r-3
  requires  openssl 3: installed
  requires  cron 2: adopted: verifiable, not exactly rollbackable
  was wrong /etc/gone: missing or replaced
  was wrong port: nobody listens (expected tcp/80)
  running   + listens on tcp/80 (nginx)
  running   - kernel module nf_tables
  running   ~ sysctl net.ipv4.ip_forward = 0 -> 1
  stays     kernel module nf_tables: in use
  copied    /var/lib/db: 1 entry, 10 B
  freed     2.0 MB on host: before-images of 1 run
    r-00
  finding   host.sysctl, line 3: changes the kernel (template), from value; allowed by ann
  finding   style: taste; allowed by ?
  attempt   1 of prepare failed (network), tried again after 5 s: no route; evidence in /e/1
  attempt   2 of prepare failed (lock), give up: held
"""
PLAN_LINES = """\
nginx 1.1.0 on host
  required by site

  note       not installed by workflow-agent: only this uninstall can be rolled back
  version    1.0.0 -> 1.1.0
  parameter  port: none -> 80
  parameter  names: a b -> none
  dropped    parameter old: there is none any more
  missing    /etc/gone
  wrong      port: nobody listens (expected tcp/80)
  units      1 changed, 2 added
    ~ a.service (changed, does not start with the machine)
    + b (init script, starts with the machine)
    + c.timer
  cron       1 added
    + /etc/cron.d/nginx
  kernel     1 changed, 1 added
    ~ sysctl net.ipv4.ip_forward = 0 -> 1 (at the next start)
    + module nf_tables (at the next start)
  starts     php
  restarts   nginx (tcp/80)
  keeps      /etc/nginx
  files      1 modified
    ~ /etc/nginx/nginx.conf  content
  left out   /tmp/x (volatile)
  note       a note
  error      bad (host)
  for good   sends a mail
  effect     makes a row
  this is    a rehearsal: not bit for bit (on a copy)
  preview    approximate: seen in a clone of the target; an installation is captured anew, \
except 1 effect that cannot be undone, except what the script did over connections (copied)
"""


def _text(lines: list[str]) -> str:
    return "".join(f"{line}".rstrip() + "\n" for line in lines)


def test_all_that_a_run_can_say_is_said() -> None:
    assert _text([*run_lines(RUN, Style())]) == RUN_LINES


def test_all_that_a_plan_can_say_is_said() -> None:
    assert _text([*plan_lines(PLAN, Style())]) == PLAN_LINES


def test_of_much_that_services_changed_the_rest_is_counted() -> None:
    running = {"items": [{"action": "added", "kind": "listener", "name": f"tcp/{port}"} for port in range(14)]}

    lines = [*running_lines(running, Style())]

    assert lines[-2:] == ["  running   + listens on tcp/11", "            and 2 more; `-v` lists all"]
    assert len([*running_lines(running, Style(verbose=True))]) == 14


def test_the_manual_page_is_written_by_a_program(tmp_path: Path) -> None:
    man_page._main([str(tmp_path / "page.1")])

    assert (tmp_path / "page.1").read_text(encoding="utf-8").startswith(".TH WORKFLOW")


def test_the_pages_of_help_are_written_by_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = help_pages.PAGES
    monkeypatch.setattr(help_pages, "PAGES", str(tmp_path / "pages.json"))
    monkeypatch.setenv("COLUMNS", "0")

    help_pages._main()

    with open(shipped, encoding="utf-8") as file:  # noqa: PTH123  # as it is opened there
        assert (tmp_path / "pages.json").read_text(encoding="utf-8") == file.read()


async def test_the_page_of_agents_is_written_by_a_program() -> None:
    page = await agent_pages._page()

    assert page.startswith("# ")
    assert "knowledge" in page


def test_what_agents_called_is_written_and_cut() -> None:
    call = {
        "step": "ask",
        "turn": 2,
        "tool": "price",
        "arguments": '{"item": "tea"}',
        "result": "4.2",
        "is_error": False,
    }
    bad = call | {"result": "error:\n\x1b[2J no " + "x" * 100, "is_error": True}
    run = {"run_id": "r-1", "status": "succeeded", "tool_calls": [call, *[bad] * 24]}

    lines = list(run_lines(run, Style()))
    first = lines.index('  called    ask 2: price {"item": "tea"} -> 4.2')
    assert lines[first + 1].startswith('            ask 2: price {"item": "tea"} x error: \\x1b[2J no xxx')
    assert lines[first + 1].endswith("xxx...")
    assert lines[first + 20] == "            and 5 more (`--verbose` shows all)"
    assert sum("x" * 100 in line for line in run_lines(run, Style(verbose=True))) == 24


def test_what_steps_measured_is_written_and_cut() -> None:
    metric = {"at": 0.0, "step": "crunch", "name": "container_cpu_s", "value": 0.825, "tags": {"container": "c"}}
    run = {"run_id": "r-1", "status": "succeeded", "metrics": [metric, *[metric | {"value": 1e6, "tags": {}}] * 24]}

    lines = list(run_lines(run, Style()))
    first = lines.index("  measured  crunch container_cpu_s 0.825 (container c)")
    assert lines[first + 1] == "            crunch container_cpu_s 1,000,000"
    assert lines[first + 20] == "            and 5 more (`--verbose` shows all)"
    assert sum("container_cpu_s" in line for line in run_lines(run, Style(verbose=True))) == 25
