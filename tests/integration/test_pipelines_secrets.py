"""Secrets through the shipped pipelines, on a target in memory: refusals, references, masks, and what is missing."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import (
    CheckFailedError,
    NotFoundError,
    ParameterError,
    ScriptFailedError,
    WorkflowAgentError,
)
from workflow_agent.security.secret import Secret
from workflow_agent.testing.fake_app import open_fake_app
from workflow_agent.testing.fake_target import FakeWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from workflow_agent.app import App

VALUE = "c4nary-value"
SECRETS = {"password": Secret(VALUE)}
MANIFEST = """
schema: workflow-agent/integration/1
name: demo
version: 1.0.0
description: Takes a secret.
category: test
platforms: [{family: debian, os: [debian]}]
parameters:
  password: {type: string, secret: true, required: true, max: 100, description: Password.}
  port: {type: port, default: 80, description: Port.}
actions: {install: {template: install}}
files:
  - path: /etc/demo.env
    format: env
    values: {PASSWORD: "${{ parameters.password }}", URL: "redis://:${{ parameters.password }}@localhost"}
checks:
  - {id: there, kind: file, path: /etc/demo.env}
  - id: answers
    kind: tcp
    port: ${{ parameters.port }}
    exchange: [{send: "AUTH ${{ parameters.password }}", expect: OK}]
"""
SCRIPT = "cat {{ secret('password') }}\n"


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


@pytest.fixture
async def app(tmp_path: Path, world: FakeWorld) -> AsyncIterator[App]:
    async with open_fake_app(tmp_path, world) as opened:
        yield opened


@pytest.fixture
def demo(tmp_path: Path) -> str:
    return written(tmp_path)


def written(folder: Path, script: str = SCRIPT) -> str:
    made = folder / "own" / "demo"
    (made / "templates").mkdir(parents=True, exist_ok=True)
    (made / "integration.yaml").write_text(MANIFEST, encoding="utf-8")
    (made / "templates/install.sh.j2").write_text(script, encoding="utf-8")
    return str(made)


class Seen:
    """Everything that a run tells while it runs."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.lines: list[str] = []

    def event(self, event: Mapping[str, Any], _: str) -> None:
        self.events.append(event)

    def line(self, _: str, line: str) -> None:
        self.lines.append(line)

    def __str__(self) -> str:
        return json.dumps([self.events, self.lines])


async def install(app: App, demo: str, seen: Seen | None = None, **more: Any) -> dict[str, Any]:
    seen = seen or Seen()
    inputs = {"integration": demo, "approve": True, **more.pop("inputs", {})}
    return await app.run("install", inputs, on_event=seen.event, on_output=seen.line, **{"secrets": SECRETS, **more})


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_the_value_reaches_the_target_and_nothing_else(
    app: App, demo: str, world: FakeWorld, tmp_path: Path
) -> None:
    seen = Seen()
    report = await install(app, demo, seen)

    assert world.files["/etc/demo.env"] == f'PASSWORD="{VALUE}"\nURL="redis://:{VALUE}@localhost"\n'
    assert seen.lines == ["***"]
    assert VALUE not in str(seen) + json.dumps(report)
    assert VALUE.encode() not in everything(app.settings.paths.state)
    password = report["generation"]["parameters"]["password"]
    assert (password["$secret"], len(password["digest"])) == ("password", 64)
    key = app.settings.paths.state / "secret-key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_bytes() not in everything(tmp_path / "artifacts")


async def test_the_same_value_is_unchanged_and_another_one_is_a_change(app: App, demo: str, world: FakeWorld) -> None:
    await install(app, demo)
    again = await install(app, demo)
    other = await install(app, demo, secrets={"password": Secret("another-value")})

    assert (again["changed"], other["changed"]) == (False, True)
    assert "another-value" in str(world.files["/etc/demo.env"])


async def test_a_value_among_the_parameters_is_refused_before_anything_is_written(app: App, demo: str) -> None:
    with pytest.raises(ParameterError, match="is a secret") as refused:
        await install(app, demo, inputs={"parameters": {"password": VALUE}}, secrets={})

    assert "--secret password=env:NAME" in str(refused.value.hint)
    assert "process list" in str(refused.value.cause)
    assert await app.history.runs() == []
    assert VALUE not in str(refused.value.to_dict())
    assert VALUE.encode() not in everything(app.settings.paths.state)


@pytest.mark.parametrize(
    ("secrets", "reason"),
    [
        ({"passwort": Secret(VALUE)}, "no secret `passwort`"),
        ({"port": Secret(VALUE)}, "`port` of demo is no secret"),
        ({"password": Secret("x" * 101)}, "`password` must be at most 100 characters"),
        ({"password": Secret("two lines\nof it")}, "`password` contains a line break"),
    ],
)
async def test_a_secret_must_fit_what_the_manifest_declares(
    app: App, demo: str, secrets: dict[str, Secret], reason: str
) -> None:
    with pytest.raises(ParameterError, match=reason):
        await install(app, demo, secrets=secrets)

    assert await app.history.runs() == []


async def test_a_required_secret_that_is_missing_is_named_with_how_to_give_it(app: App, demo: str) -> None:
    with pytest.raises(ParameterError, match="`password` is required") as refused:
        await install(app, demo, secrets={})

    assert "--secret password=env:NAME" in str(refused.value.hint)


async def test_what_takes_no_secret_says_so(app: App) -> None:
    with pytest.raises(ParameterError, match="no secret `password`"):
        await install(app, "nginx")
    with pytest.raises(NotFoundError):
        await install(app, "/nowhere/at-all")
    with pytest.raises(NotFoundError):
        await install(app, "./\0")


async def test_a_script_that_fails_gives_its_secret_away_nowhere(app: App, tmp_path: Path) -> None:
    seen = Seen()
    with pytest.raises(ScriptFailedError) as failed:
        await install(app, written(tmp_path, f"echo begun\n{SCRIPT}exit 3\n"), seen)

    assert failed.value.cause == "***"
    assert failed.value.details["tail"] == seen.lines == ["begun", "***"]
    assert VALUE not in str(seen) + str(failed.value.to_dict())
    assert VALUE.encode() not in everything(app.settings.paths.state)


async def test_verify_says_which_secret_a_check_lacks(app: App, demo: str) -> None:
    await install(app, demo)

    with pytest.raises(CheckFailedError) as failed:
        await app.run("verify", {"integration": demo})
    assert "--secret password=env:NAME" in str(failed.value.hint)
    told = {check["id"]: check for check in failed.value.details["checks"]}
    assert told["there"]["status"] == "passed"
    assert told["answers"]["status"] == "error"
    assert "needs the secret `password`" in told["answers"]["observed"]


async def test_verify_with_the_secret_goes_on_with_the_parameters_of_what_is_installed(app: App, demo: str) -> None:
    installed = await install(app, demo, inputs={"parameters": {"port": 81}})
    verified = await app.run("verify", {"integration": demo}, secrets=SECRETS)

    assert installed["status"] == verified["status"] == "succeeded"
    assert [check["status"] for check in verified["checks"]] == ["passed", "passed"]


async def test_a_rollback_and_its_redo_need_no_secret(app: App, demo: str, world: FakeWorld) -> None:
    await install(app, demo, secrets={"password": Secret("first-value")})
    changed = await install(app, demo)

    back = await app.run("rollback", {"run": changed["run_id"], "approve": True})
    assert "first-value" in str(world.files["/etc/demo.env"])
    await app.run("rollback", {"run": back["run_id"], "approve": True})
    assert VALUE in str(world.files["/etc/demo.env"])
    left_out = [
        step["data"]["output"]["left_out"]
        for event in await app.store.journal.events(back["run_id"])
        for step in [event.to_dict()]
        if step["type"] == "StepSucceeded" and step["step"] == "gone"
    ]
    assert left_out == [[{"id": "answers", "secrets": ["password"]}]]


async def test_a_rollback_that_is_given_the_secret_looks_at_everything(app: App, demo: str) -> None:
    await install(app, demo)
    changed = await install(app, demo, secrets={"password": Secret("another-value")})

    report = await app.run("rollback", {"run": changed["run_id"], "approve": True}, secrets=SECRETS)
    assert [check["id"] for check in report["checks"]] == ["there", "answers"]


async def test_a_defect_that_quotes_a_secret_is_reported_without_it(app: App, demo: str, world: FakeWorld) -> None:
    async def broken() -> None:
        raise RuntimeError(f"cannot handle {VALUE}")

    world.hooks["prepare"] = broken
    with pytest.raises(WorkflowAgentError) as failed:
        await install(app, demo)

    assert VALUE not in str(failed.value.to_dict())
    assert "***" in str(failed.value.to_dict())
    assert VALUE.encode() not in everything(app.settings.paths.state)
