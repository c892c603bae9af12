"""Commands that only look, their data, and the border: envelope, crash, pipes, parameters, lint."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.cli import definition_commands, envelope
from workflow_agent.cli.crash import redacted
from workflow_agent.cli.parameters import read_parameters, seconds
from workflow_agent.model.errors import ParameterError, UsageError, WorkflowAgentError
from workflow_agent.model.event import Event, EventType, Record, RecordKind
from workflow_agent.store import SqliteStore
from workflow_agent.targets.host import HostTarget

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
RUN = "r-01KA0000000000000000000001"


@pytest.fixture
def past(state: Path) -> Path:
    """A finished install in history, with output, changes and checks."""

    async def write() -> None:
        store = await SqliteStore.open(state)
        try:
            output = store.artifacts_dir(RUN) / "output.log"
            output.write_bytes(b"one\ntwo \x1b[31m\xff\n")
            meta = {"action": "install", "integration": "nginx", "target": "host", "user": "ann", "host": "web1"}
            created = {"workflow": "install", "workflow_hash": "h", "inputs": {}, "meta": meta}
            changes = [{"path": "/a", "action": "created", "kind": "file", "after": {"mode": "0644"}, "before": None}]
            records = (
                Record(RecordKind.OUTPUT, {"path": str(output), "bytes": 20, "truncated": True, "tail": ["two"]}),
                Record(RecordKind.TRANSACTION, {"transaction": "t", "state": "committed", "target": "host"}),
                Record(RecordKind.CHANGE_SET, {"changes": changes, "packages": []}),
                Record(RecordKind.CHECK, {"id": "port", "kind": "port", "status": "passed", "observed": "open",
                                          "expected": "open"}),
            )  # fmt: skip
            events = [
                Event(run_id=RUN, seq=1, type=EventType.RUN_CREATED, at=1.0, data=created),
                Event(run_id=RUN, seq=2, type=EventType.RUN_STARTED, at=1.0, data={"phase": "planning"}),
                Event(run_id=RUN, seq=3, type=EventType.STEP_SUCCEEDED, at=2.0, step="prepare",
                      data={"output": {}, "started_at": 1.0}, records=records),
                Event(run_id=RUN, seq=4, type=EventType.RUN_FINISHED, at=3.0,
                      data={"status": "succeeded", "error": None, "changed": True}),
            ]  # fmt: skip
            await store.journal.append(RUN, 0, events)
        finally:
            await store.close()

    asyncio.run(write())
    return state


def test_history_lists_and_filters(cli: Callable[..., Any], past: Path) -> None:
    del past
    assert [run["run_id"] for run in cli("history", "--json").json["data"]["items"]] == [RUN]
    for filters in (["--status", "failed"], ["--integration", "x"], ["--target", "x"], ["--action", "plan"]):
        assert cli("history", "--json", *filters).json["data"]["items"] == []
    assert RUN in cli("history", "--limit", "1").out


#: Action, integration, target, status: one second apart.
KINDS = [
    ("install", "nginx", "host", "succeeded"),
    ("install", "nginx", "host", "failed"),
    ("plan", "nginx", "docker:web", "succeeded"),
    ("rollback", "nginx", "host", "succeeded"),
    ("install", "redis-server", "docker:web", "needs-attention"),
    ("verify", "redis-server", "docker:web", "failed"),
]


@pytest.fixture
def many(written: Callable[..., list[str]]) -> list[str]:
    """Runs of every kind; gives their ids, newest first."""
    return written(*KINDS)[::-1]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("", [0, 1, 2, 3, 4, 5]),
        ("--limit 2", [0, 1]),
        ("--limit 1000", [0, 1, 2, 3, 4, 5]),
        ("--status succeeded", [2, 3, 5]),
        ("--status needs-attention", [1]),
        ("--status running", []),
        ("--integration nginx", [2, 3, 4, 5]),
        ("--integration redis-server", [0, 1]),
        ("--integration ngin", []),
        ("--target host", [2, 4, 5]),
        ("--target docker:web", [0, 1, 3]),
        ("--target web", []),
        ("--action install", [1, 4, 5]),
        ("--action rollback", [2]),
        ("--action upgrade", []),
        ("--action install --status succeeded", [5]),
        ("--integration nginx --target docker:web", [3]),
        ("--integration redis-server --target host", []),
        ("--action install --target host --limit 1", [4]),
        ("--action install --integration nginx --target host --status failed", [4]),
    ],
)
def test_filters_of_the_history_hold_together(
    cli: Callable[..., Any], many: list[str], filters: str, expected: list[int]
) -> None:
    found = cli("history", "--json", *filters.split()).json["data"]["items"]

    assert [run["run_id"] for run in found] == [many[number] for number in expected]
    shown = cli("history", *filters.split()).out
    assert [run_id for run_id in many if run_id in shown] == [many[number] for number in expected]


@pytest.mark.parametrize(
    ("filters", "part"),
    [
        ("--limit 0", "greater than or equal to 1"),
        ("--limit 1001", "less than or equal to 1000"),
        ("--limit many", "integer"),
        ("--status faild", "did you mean `failed`"),
        ("--status", "argument"),
        ("--integratoin nginx", "`--integration`"),
    ],
)
def test_filters_that_mean_nothing_are_refused(cli: Callable[..., Any], filters: str, part: str) -> None:
    result = cli("history", *filters.split())

    assert result.code == 2
    assert part in result.err


@pytest.mark.parametrize(
    ("sources", "value", "origin"),
    [
        ("", "auto", "default"),
        ("own", "never", "config.toml"),
        ("own named", "always", "named.toml"),
        ("own named variable", "never", "WORKFLOW_AGENT_OUTPUT__COLOR"),
        ("own named variable option", "always", "command line"),
        ("option", "always", "command line"),
        ("own variable", "never", "WORKFLOW_AGENT_OUTPUT__COLOR"),
        ("named option", "always", "command line"),
    ],
)
def test_a_setting_comes_from_the_highest_source_and_says_which(
    cli: Callable[..., Any], state: Path, monkeypatch: pytest.MonkeyPatch, *, sources: str, value: str, origin: str
) -> None:
    named = state.parent / "named.toml"
    named.write_text('[output]\ncolor = "always"\n', encoding="utf-8")
    if "own" in sources:
        (state.parent / "config").mkdir()
        (state.parent / "config/config.toml").write_text('[output]\ncolor = "never"\n', encoding="utf-8")
    if "variable" in sources:
        monkeypatch.setenv("WORKFLOW_AGENT_OUTPUT__COLOR", "never")
    options = [
        *(["--config", str(named)] if "named" in sources else []),
        *(["--color=always"] if "option" in sources else []),
    ]

    rows = {row["name"]: row for row in cli("config", "show", "--json", *options).json["data"]["items"]}
    lines = cli("config", "show", "--origin", *options, "--color=never" if "option" not in sources else "-q").out

    assert rows["output.color"]["value"] == value
    assert origin in rows["output.color"]["origin"]
    assert "option" not in sources or f'output.color = "{value}"' in lines


def test_looking_makes_nothing_on_disk(cli: Callable[..., Any], state: Path) -> None:
    for command in (["history"], ["show", "r-1"], ["agents", "list"], ["workflows", "list"], ["config", "show"]):
        cli(*command)

    assert not state.exists()


def test_show_and_diff_take_the_beginning_of_an_id(
    cli: Callable[..., Any], past: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del past

    async def held(_: HostTarget, transactions: list[str], *, plan_only: bool) -> list[dict[str, Any]]:
        assert plan_only
        return [{"transaction": name, "was": "committed"} for name in transactions]

    monkeypatch.setattr(HostTarget, "prune", held)
    assert "workflow-agent rollback" in cli("show", RUN.lower()[:12]).out
    shown = cli("show", RUN, "--json").json["data"]
    assert shown["changes"]["created"] == 1
    assert shown["rollback_command"] == f"workflow-agent rollback {RUN}"
    assert cli("diff", RUN).out.startswith("+ /a")
    assert cli("diff", RUN, "--json").json["data"]["items"][0]["path"] == "/a"


def test_logs_are_escaped_and_say_when_they_were_cut(cli: Callable[..., Any], past: Path) -> None:
    del past
    result = cli("logs", RUN)

    assert result.out.splitlines()[0] == "one"
    assert "\\x1b[31m" in result.out
    assert "\x1b" not in result.out
    assert "warning: the output was longer" in result.err
    data = cli("logs", RUN, "--json").json
    assert data["data"]["lines"][0] == "one"
    assert data["warnings"]


def test_following_ends_with_the_run(cli: Callable[..., Any], past: Path) -> None:
    del past
    assert cli("logs", RUN, "-f").out.splitlines()[0] == "one"
    lines = [json.loads(line) for line in cli("logs", RUN, "-f", "--json").out.splitlines()]
    assert [line["type"] for line in lines] == ["output", "output", "result"]
    assert [line["seq"] for line in lines[:2]] == [1, 2]
    assert lines[0]["line"] == "one"


def test_integrations_are_listed_and_described(cli: Callable[..., Any]) -> None:
    listed = cli("integrations", "list", "--json").json["data"]["items"]
    assert {"nginx", "prometheus-node-exporter"} <= {row["name"] for row in listed}
    assert "nginx" in cli("integrations", "list").out
    text = cli("integrations", "info", "nginx").out
    assert "worker_processes" in text
    assert "workflow-agent install nginx" in text
    words = [row.split() for row in cli("integrations", "info", "redis-server").out.splitlines()]
    rows = {row[0]: row[1:3] for row in words if len(row) > 2}
    assert (rows["bind"], rows["password"][0]) == (["list", "127.0.0.1"], "secret"), "as they are typed"
    assert rows["protected_mode"] == ["boolean", "true"]
    assert cli("integrations", "info", "nginx", "--json").json["data"]["parameters"]["port"]["default"] == 80
    page = cli("integrations", "info", "nginx", "--readme").out
    assert page == (ROOT / "integrations/nginx/README.md").read_text(encoding="utf-8")


def test_a_broken_integration_is_a_warning_beside_the_list(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "more/bad").mkdir(parents=True)
    (tmp_path / "more/bad/integration.yaml").write_text("name: bad\n", encoding="utf-8")
    monkeypatch.setenv("WORKFLOW_AGENT_INTEGRATIONS__FOLDERS", str(tmp_path / "more"))

    result = cli("integrations", "list")

    assert result.code == 0
    assert "warning: bad cannot be used" in result.err
    assert cli("integrations", "lint", "bad").code == 2


@pytest.mark.parametrize("name", ["nginx", "prometheus-node-exporter"])
def test_the_shipped_integrations_have_no_errors(cli: Callable[..., Any], name: str) -> None:
    result = cli("integrations", "lint", name, "--json")

    assert result.code == 0
    assert [item for item in result.json["data"]["items"] if item["severity"] == "error"] == []


def test_lint_covers_the_templates(cli: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "nginx"
    shutil.copytree(ROOT / "integrations/nginx", folder)
    (folder / "templates/evil.sh.j2").write_text("eval {{ parameters.root }}\n", encoding="utf-8")

    result = cli("integrations", "lint", str(folder))

    assert result.code == 2
    assert "error[template.code-position]" in result.out
    assert "evil.sh.j2:1:1" in result.out
    assert "error[validation]: the integration has 1 error" in result.err


FILES = {
    "good.yaml": (ROOT / "config/workflows/verify.yaml").read_text(encoding="utf-8"),
    "bad.yaml": "schema: workflow-agent/workflow/1\nname: x\nversion: '1'\nstep: []\nsteps: []\n",
    "worse.yaml": "a: [",
    "good.sh": "#!/bin/bash\nset -euo pipefail\ntouch -- /etc/motd\n",
    "bad.sh": "#!/bin/bash\nif\n",
    "script": "#!/bin/sh\ntrue\n",
    "good.sh.j2": "touch -- {{ path }}\n",
    "bad.sh.j2": "echo '{{ x }}'\n",
    "unknown.txt": "?",
}


@pytest.mark.parametrize(
    ("name", "code", "kind"),
    [
        ("good.yaml", 0, "workflow"),
        ("bad.yaml", 2, "workflow"),
        ("worse.yaml", 2, "workflow"),
        ("good.sh", 0, "script"),
        ("bad.sh", 2, "script"),
        ("script", 0, "script"),
        ("good.sh.j2", 0, "template"),
        ("bad.sh.j2", 2, "template"),
    ],
)
def test_validate_knows_what_a_file_is(
    cli: Callable[..., Any], tmp_path: Path, name: str, code: int, kind: str
) -> None:
    file = tmp_path / name
    file.write_text(FILES[name], encoding="utf-8")

    result = cli("validate", str(file), "--json")

    assert result.code == code
    assert result.json["data"]["kind"] == kind
    errors = [item for item in result.json["data"]["items"] if item["severity"] == "error"]
    assert bool(errors) is (code == 2)
    assert all(item["where"].startswith(str(file)) for item in result.json["data"]["items"])
    assert cli("validate", str(file)).code == code


def test_validate_refuses_what_it_does_not_know(cli: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "unknown.txt").write_text("?", encoding="utf-8")

    assert cli("validate", str(tmp_path / "unknown.txt")).code == 2
    assert cli("validate", str(ROOT / "integrations/nginx")).code == 0
    assert cli("validate", str(ROOT / "integrations/nginx/integration.yaml")).code == 0


UNANSWERED = """schema: workflow-agent/workflow/1
name: unanswered
version: "1"
steps:
  - {id: a, uses: verifier.verfy}
  - {id: b, uses: shel.run, undo: {uses: shell.runn, with: {}}}
  - {id: c, uses: shell.run, with: {argv: [/bin/true]}}
"""


def test_validate_names_what_no_agent_answers(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "unanswered.yaml"
    file.write_text(UNANSWERED, encoding="utf-8")

    said = cli("validate", str(file), "--json").json["data"]["items"]
    assert [(one["key"], one["message"], one["hint"]) for one in said] == [
        ("steps.a.uses", "the agent `verifier` has no verb `verfy`", "did you mean `verify`?"),
        ("steps.b.uses", "there is no agent `shel`", "did you mean `shell`?"),
        ("steps.b.undo.uses", "the agent `shell` has no verb `runn`", "did you mean `run`?"),
    ]
    monkeypatch.setenv("WORKFLOW_AGENT_AGENTS__VERIFIER", "some.module:factory")
    said = cli("validate", str(file), "--json").json["data"]["items"]
    assert [one["key"] for one in said] == ["steps.b.uses", "steps.b.undo.uses"], "one's own may have any verbs"


def test_workflows_agents_and_settings(cli: Callable[..., Any]) -> None:
    assert {"install", "plan", "rollback", "verify"} <= {
        row["name"] for row in cli("workflows", "list", "--json").json["data"]["items"]
    }
    assert "uses: executor.commit" in cli("workflows", "show", "install").out
    assert cli("workflows", "show", "install", "--json").json["data"]["name"] == "install"
    assert "executor" in cli("agents", "list").out
    agents = {agent["name"]: agent for agent in cli("agents", "list", "--json").json["data"]["items"]}
    assert "commit" in agents["executor"]["verbs"]
    shown = cli("config", "show", "--origin", "--color", "never").out
    assert "# WORKFLOW_AGENT_PATHS__STATE" in shown
    assert 'output.color = "never"' in shown
    assert "# command line" in shown
    assert "#" not in cli("config", "show").out


def test_doctor_gives_a_row_per_check(cli: Callable[..., Any]) -> None:
    result = cli("doctor", "--json")

    rows = result.json["data"]["items"]
    assert {row["status"] for row in rows} <= {"ok", "warn", "fail"}
    assert (result.code == 1) is any(row["status"] == "fail" for row in rows)
    assert len(cli("doctor").out.splitlines()) >= len(rows)


def test_the_envelope_has_one_shape() -> None:
    good = envelope.envelope({"a": 1}, warnings=["w"])
    bad = envelope.envelope(None, error=WorkflowAgentError("m"))

    assert set(good) == set(bad) == {"schema", "ok", "data", "error", "warnings"}
    assert (good["ok"], bad["ok"]) == (True, False)
    assert set(bad["error"]) >= {"code", "message", "where", "cause", "state", "hint", "run_id"}
    assert envelope.json_line({"a": "\x1b\u202eü\udc80"}).isascii()


def test_a_defect_leaves_a_report_and_no_trace(
    cli: Callable[..., Any], past: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the value is very-secret-value")

    monkeypatch.setattr("workflow_agent.cli.running.check_isolation", broken)

    result = cli("install", "nginx", "--param", "token=very-secret-value", "--yes")

    assert result.code == 70
    assert "Traceback" not in result.err + result.out
    assert "error[internal]" in result.err
    (report,) = past.glob("crash-*.txt")
    text = report.read_text(encoding="utf-8")
    assert str(report) in result.err
    assert "RuntimeError" in text
    assert "very-secret-value" not in text
    assert report.stat().st_mode & 0o777 == 0o600


def test_a_crash_without_a_state_folder_writes_to_the_temporary_one(
    cli: Callable[..., Any], tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(definition_commands, "_row", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert cli("integrations", "list").code == 70
    assert len(list(tmp_path.glob("crash-*.txt"))) == 1
    assert not state.exists()


def test_values_of_parameters_are_hidden() -> None:
    assert redacted(["install", "--param", "a=b=c", "--param=d=e", "x=y"]) == (
        ["install", "--param", "a=***", "--param=d=***", "x=y"],
        ["b=c", "e"],
    )


@pytest.mark.parametrize("arguments", [["history", "--json"], ["workflows", "show", "install"], ["install", "--help"]])
def test_a_reader_that_leaves_early_is_no_error(state: Path, arguments: list[str]) -> None:
    del state
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        run = subprocess.run(
            [sys.executable, "-m", "workflow_agent", *arguments], stdout=write_end, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(write_end)

    assert run.stderr == b""
    assert run.returncode == 0


def test_without_stderr_data_still_comes(state: Path) -> None:
    del state
    run = subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} -m workflow_agent history --json 2>&-"],
        stdout=subprocess.PIPE,
        check=True,
    )

    assert json.loads(run.stdout)["ok"] is True


# -- parameters ------------------------------------------------------------------------------------------------------


def test_parameters_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("line one\nline two\n", encoding="utf-8")

    assert read_parameters(["a=1", "b=x", "b=y", f"c=@{file}", "d=", "e=f=g"], None) == {
        "a": "1",
        "b": ["x", "y"],
        "c": "line one\nline two",
        "d": "",
        "e": "f=g",
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [("p.yaml", "a: 1\nb: [x]\n"), ("p.json", '{"a": 1, "b": ["x"]}'), ("p.toml", 'a = 1\nb = ["x"]\n')],
)
def test_parameters_from_files_are_replaced_by_typed_ones(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")

    assert read_parameters(["a=2"], tmp_path / name) == {"a": "2", "b": ["x"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.toml", b"a =", "not valid TOML"),
        ("p.yaml", b"- a\n", "no mapping"),
        ("p.yaml", b"\xff", "not UTF-8"),
        ("p.yaml", b"a" * (1 << 20) + b"a", "larger than 1 MiB"),
    ],
)
def test_bad_files_of_parameters_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ParameterError, match=message):
        read_parameters([], tmp_path / name)


def test_a_missing_file_of_a_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        read_parameters([f"a=@{tmp_path}/no"], None)

    assert caught.value.where == f"--param a › {tmp_path}/no"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90.0), ("1.5", 1.5), ("90s", 90.0), ("10m", 600.0), ("1h30m", 5400.0), ("1d", 86400.0)],
)
def test_times(text: str, expected: float) -> None:
    assert seconds(text, "--timeout") == expected


@pytest.mark.parametrize("text", ["", "soon", "-1", "0", "1x", "nan", "inf", "1e9", "9" * 40])
def test_no_times(text: str) -> None:
    with pytest.raises(UsageError):
        seconds(text, "--timeout")
