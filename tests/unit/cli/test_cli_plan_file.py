"""Plan files: written whole or not at all, and nothing else is taken for one."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.cli import plan_file
from workflow_agent.cli.plan_file import check_place, read_plan_file, write_plan_file
from workflow_agent.cli.running import RunRequest
from workflow_agent.cli.session import Ended
from workflow_agent.model.errors import NotFoundError, PermissionDeniedError, UsageError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REQUEST = RunRequest(
    workflow="plan",
    names=("nginx",),
    targets=("host", "docker:web"),
    inputs={"parameters": {"port": "80"}, "allow": ["host-files"], "timeout_s": 900.0},
)


def _ended(run_id: str) -> Ended:
    facts = {"hostname": run_id}
    outputs: dict[str, Any] = {
        "redis_lookup": {"integration": "redis-server", "version": "1.0.0", "facts": facts},
        "redis_build": None,
        "lookup": {"integration": "nginx", "version": "1.0.0", "facts": facts},
        "build": {"script": {"hash": "s"}},
        "prepare": {"change_set": {"changes": []}},
    }
    return Ended(run_id=run_id, outputs=outputs)


def _written(path: Path) -> None:
    write_plan_file(path, "upgrade", REQUEST, [_ended("one"), _ended("two")])


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    _written(tmp_path / "x.plan")

    plan = read_plan_file(tmp_path / "x.plan")

    assert (plan.action, plan.integrations, plan.targets) == ("upgrade", ("nginx",), ("host", "docker:web"))
    assert (plan.parameters, plan.allow, plan.timeout_s) == ({"port": "80"}, ("host-files",), 900.0)
    assert plan.expected["docker:web"]["nginx"]["script_hash"] == "s"
    assert plan.expected["docker:web"]["nginx"]["facts"]["hostname"] == "two"
    assert plan.expected["host"]["redis-server"]["script_hash"] is None, "found as wanted: nothing is to be done"
    assert [file.name for file in tmp_path.iterdir()] == ["x.plan"]


def test_a_disk_that_refuses_leaves_the_file_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.plan").write_text("before", encoding="utf-8")

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(PermissionDeniedError) as caught:
        _written(tmp_path / "x.plan")

    assert caught.value.cause == "No space left on device"
    assert [file.name for file in tmp_path.iterdir()] == ["x.plan"]
    assert (tmp_path / "x.plan").read_text(encoding="utf-8") == "before"


def test_a_place_where_nothing_can_be_written_is_refused_before_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFoundError, match="there is no folder"):
        check_place(tmp_path / "none" / "x.plan")
    with pytest.raises(UsageError, match="is a folder"):
        check_place(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionDeniedError, match="cannot be written"):
        check_place(tmp_path / "x.plan")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "(top): Invalid JSON: EOF while parsing a value at line 1 column 0"),
        ("[" * 5000, "(top): Invalid JSON: recursion limit exceeded at line 1 column 202"),
        ("[]", "(top): Input should be an object"),
        ("{}", "made_at: Field required"),
        ({"schema": "workflow-agent/plan/2"}, "schema: Input should be 'workflow-agent/plan/1'"),
        ({"action": "uninstall"}, "action: Input should be 'install', 'upgrade' or 'repair'"),
        ({"targets": []}, "targets: Tuple should have at least 1 item after validation, not 0"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
    ],
)
def test_what_is_no_plan_file_is_refused_with_the_reason(tmp_path: Path, text: Any, cause: str) -> None:
    file = tmp_path / "x.plan"
    if isinstance(text, dict):
        _written(file)
        text = json.dumps(json.loads(file.read_text(encoding="utf-8")) | text)
    file.write_text(text, encoding="utf-8")

    with pytest.raises(ValidationError, match="no plan file") as caught:
        read_plan_file(file)

    assert caught.value.cause == cause
    assert caught.value.where == f"--apply-plan › {file}"


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_file, "_MAX_BYTES", 1 << 20)
    (tmp_path / "big").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(ValidationError) as caught:
        read_plan_file(tmp_path / "big")
    assert caught.value.cause == "it is larger than 1 MiB"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        read_plan_file(tmp_path / "none")
    assert caught.value.cause == "No such file or directory"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["install", "nginx", "--yes", "-o", "x"], "`-o` keeps a plan"),
        (["plan", "nginx", "-o", "none/x"], "there is no folder none"),
        (["plan", "nginx", "-o", "x", "--target", "docker:web", "--isolation", "container"], "a rehearsal is no plan"),
        (["install", "--yes"], "missing argument 'NAME...'"),
        (["install", "nginx", "--apply-plan", "x.plan", "--yes"], "NAME cannot be given"),
        (["install", "--apply-plan", "x.plan", "--param", "port=1", "--yes"], "--param cannot be given"),
        (["install", "--apply-plan", "x.plan", "--target", "host", "--yes"], "--target cannot be given"),
        (["install", "--apply-plan", "x.plan", "--plan"], "--plan cannot be given"),
        (["install", "--apply-plan", "x.plan", "--isolation", "transaction", "--yes"], "--isolation cannot be given"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    cli: Callable[..., Any], state: Path, typed: list[str], message: str
) -> None:
    del state
    result = cli(*typed, "--json")
    assert message in result.json["error"]["message"]
    assert result.json["ok"] is False


def test_a_workflow_that_compares_no_plans_carries_none_out(
    cli: Callable[..., Any], state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del state
    _written(tmp_path / "x.plan")
    (tmp_path / "workflows").mkdir()
    own = "schema: workflow-agent/workflow/1\nname: install\nversion: '1'\nsteps: [{id: a, uses: knowledge.lookup}]\n"
    (tmp_path / "workflows/install.yaml").write_text(own, encoding="utf-8")
    monkeypatch.setenv("WORKFLOW_AGENT_WORKFLOWS__FOLDERS", str(tmp_path / "workflows"))

    result = cli("install", "--apply-plan", str(tmp_path / "x.plan"), "--yes", "--json")

    assert result.code == 2
    assert result.json["error"]["message"] == "the workflow `install` of this system compares no plans"
