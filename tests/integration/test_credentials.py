"""Named sets of credentials: real processes see them, and nothing that is kept or shown has a value."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent import Context, Step, Workflow, WorkflowClient, secret, step, workflow
from workflow_agent.app.settings import load_settings
from workflow_agent.authoring.flow_source import load_flow
from workflow_agent.authoring.sdk.compiling import compile_workflow
from workflow_agent.authoring.sdk.context import StepEnvironment
from workflow_agent.authoring.workflow_source import load_workflow
from workflow_agent.model.errors import NotFoundError, ParameterError, ValidationError
from workflow_agent.security.secret import Secret
from workflow_agent.security.vault import Vault
from workflow_agent.testing.flows import MockDeployer, mock_agent, open_test_flows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "ghp-of-the-test-0123456789"
OTHER = "ghp-another-one-9876543210"
SETTINGS = """
[credentials.github]
description = "Reads our packages."
[credentials.github.variables]
GITHUB_TOKEN = {{ file = "{folder}/token" }}
GITHUB_API = "https://github.example.org"

[credentials.mirror.variables]
MIRROR_PASSWORD = {{ env = "OF_THE_MIRROR" }}

[credentials.fork.variables]
GITHUB_API = "https://fork.example.org"
"""
#: The file is read where the run lasts, so that a test can let it wait.
FLOW = """
name: fetch
steps:
  - name: show
    credentials: [github]
    command: |
      echo "$GITHUB_API has $GITHUB_TOKEN"; printf %s "$GITHUB_TOKEN" > {folder}/seen
  - name: wait
    depends_on: [show]
    command: while [ -e {folder}/gate ]; do sleep 0.02; done
  - name: again
    credentials: [github, mirror]
    depends_on: [wait]
    command: printf "%s %s" "$GITHUB_TOKEN" "$MIRROR_PASSWORD" > {folder}/seen; exit 3
"""


class Machine:
    """A folder with settings, a token and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "token").write_text(TOKEN + "\n")
        (folder / "config").mkdir()
        self.config = folder / "config" / "config.toml"
        self.config.write_text(SETTINGS.format(folder=folder))
        (folder / "fetch.yaml").write_text(FLOW.format(folder=folder))
        places = {f"WORKFLOW_AGENT_PATHS__{name.upper()}": str(folder / name) for name in ("state", "config")}
        self.environ = {**os.environ, **places, "OF_THE_MIRROR": "sesame-sesame"}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "workflow_agent", *arguments],
            check=False, capture_output=True, text=True, cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def client(self) -> WorkflowClient:
        sets = load_settings(self.config, {}, {}).rows()
        named = {row["name"]: row["value"] for row in sets if row["name"].startswith("credentials.")}
        return WorkflowClient(settings={"paths.state": str(self.folder / "state"), **named})

    def seen(self) -> str:
        return (self.folder / "seen").read_text()

    def kept(self) -> bytes:
        return b"".join(path.read_bytes() for path in (self.folder / "state").rglob("*") if path.is_file())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setenv("OF_THE_MIRROR", "sesame-sesame")
    made = Machine(tmp_path)
    yield made
    (tmp_path / "gate").unlink(missing_ok=True)


def test_a_command_sees_its_credentials_and_nothing_that_is_kept_or_shown_has_their_values(machine: Machine) -> None:
    ran = machine.command("run", "fetch.yaml", "--json")
    run_id = json.loads(ran.stdout)["data"]["run_id"]

    assert machine.seen() == f"{TOKEN} sesame-sesame"
    said = [ran, *(machine.command(*words) for words in (
        ("logs", run_id), ("show", run_id, "--json"), ("history", "--json"), ("why", run_id),
        ("config", "show", "--json"), ("secrets", "list", "--json"), ("workflows", "compile", "fetch.yaml"),
    ))]  # fmt: skip
    shown = "".join(each.stdout + each.stderr for each in said)
    assert "https://github.example.org has ***" in shown
    kept = machine.kept()
    assert b"https://github.example.org has ***" in kept
    for value in (TOKEN, "sesame-sesame"):
        assert value not in shown
        assert value.encode() not in kept


def test_a_run_that_is_taken_up_reads_them_again(machine: Machine) -> None:
    run_id = _left_behind(machine)

    refused = machine.command("resume", run_id)
    assert "the secret `GITHUB_TOKEN` cannot be read" in refused.stderr
    assert "credentials.github › GITHUB_TOKEN" in refused.stderr
    (machine.folder / "token").write_text(OTHER)
    machine.command("resume", run_id)

    assert machine.seen() == f"{OTHER} sesame-sesame"
    assert OTHER.encode() not in machine.kept()


def _left_behind(machine: Machine) -> str:
    """Begin a run, kill its process between two steps, and take its token away; gives its id."""
    (machine.folder / "gate").touch()
    begun = machine.command("run", "fetch.yaml", "--no-wait", "--json")
    run_id = str(json.loads(begun.stdout)["data"]["run_id"])
    while not (machine.folder / "seen").exists():
        time.sleep(0.02)  # another process: there is nothing to wait on but what it writes
    owner = machine.folder / "state" / "artifacts" / run_id / "owner"
    os.kill(int(owner.read_text().split()[0]), signal.SIGKILL)
    with owner.open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)
    (machine.folder / "gate").unlink()
    (machine.folder / "token").unlink()
    return run_id


def _status(machine: Machine, run_id: str) -> str:
    return str(json.loads(machine.command("status", run_id, "--json").stdout)["data"]["status"])


def test_a_run_without_its_credentials_can_still_be_ended(machine: Machine) -> None:
    run_id = _left_behind(machine)

    ended = machine.command("cancel", run_id)

    assert (ended.returncode, _status(machine, run_id)) == (0, "cancelled")


def test_a_paused_run_that_cannot_go_on_stays_paused(machine: Machine) -> None:
    run_id = json.loads(machine.command("run", "fetch.yaml", "--break-before", "show", "--no-wait", "--json").stdout)[
        "data"
    ]["run_id"]
    while _status(machine, run_id) != "paused":
        pass  # another process: there is nothing to wait on but its record
    owner = machine.folder / "state" / "artifacts" / run_id / "owner"
    os.kill(int(owner.read_text().split()[0]), signal.SIGKILL)
    with owner.open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)
    (machine.folder / "token").unlink()

    refused = machine.command("resume", run_id)

    assert "`GITHUB_TOKEN` cannot be read" in refused.stderr
    assert _status(machine, run_id) == "paused"


async def test_a_workflow_that_is_run_by_its_name_has_the_secrets_of_the_run_and_credentials_of_its_own(
    machine: Machine,
) -> None:
    (machine.folder / "flows").mkdir()
    show = f'printf "%s %s" "$GITHUB_TOKEN" "$GIVEN" > {machine.folder}/seen; echo "$GIVEN$GITHUB_TOKEN"'
    steps = {
        "inner": [Step("a", show).credentials("github").env(GIVEN=secret("given"))],
        "wrong": [Step("a", "true").credentials("githib")],
    }
    for name, each in steps.items():
        compiled = Workflow(name, steps=each).compile()
        (machine.folder / "flows" / f"{name}.yaml").write_text(json.dumps(compiled.to_dict()))
    source = {"variables": {"GITHUB_TOKEN": {"file": f"{machine.folder}/token"}}}
    settings = {"credentials.github": source, "workflows.folders": [str(machine.folder / "flows")]}

    async with WorkflowClient(settings={"paths.state": str(machine.folder / "state"), **settings}) as client:
        good = Workflow("w", steps=[Step("a").sub_workflow("inner")])
        result = await (await client.run_workflow(good, secrets={"given": "of-the-run-itself"})).get_result()
        with pytest.raises(NotFoundError, match="no set of credentials `githib`"):
            await (await client.run_workflow(Workflow("v", steps=[Step("a").sub_workflow("wrong")]))).get_result()

    assert machine.seen().split() == [TOKEN, "of-the-run-itself"]
    assert result["output"]["stdout"] == "***"
    assert TOKEN.encode() not in machine.kept()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda machine: (machine.folder / "token").unlink(), "credentials.github › GITHUB_TOKEN"),
        (lambda machine: (machine.folder / "token").write_text("short"), "credentials.github › GITHUB_TOKEN"),
        (lambda machine: machine.environ.pop("OF_THE_MIRROR"), "credentials.mirror › MIRROR_PASSWORD"),
    ],
    ids=["no file", "too short", "no variable"],
)
def test_what_cannot_be_read_is_named_and_nothing_has_run(machine: Machine, change: Any, named: str) -> None:
    change(machine)

    ran = machine.command("run", "fetch.yaml")

    assert ran.returncode == 2
    assert named in ran.stderr
    assert "no step was started" in ran.stderr
    assert not (machine.folder / "seen").exists()
    assert json.loads(machine.command("history", "--json").stdout)["data"]["items"] == []


async def test_a_command_that_does_not_name_a_set_does_not_have_what_its_secrets_come_from(machine: Machine) -> None:
    show = 'echo "${OF_THE_MIRROR:-nothing} ${MIRROR_PASSWORD:-nothing} ${HOME:+home}"'
    made = Workflow("w", steps=[Step("a", show), Step("b", show).credentials("mirror").depends("a")])

    execution = await machine.client().run_workflow(made)

    said = [line.partition(": ")[2] for line in machine.client().get_logs(execution.id)]
    assert said == ["nothing nothing home", "nothing *** home"]


async def test_an_unknown_set_is_refused_with_the_nearest_name(machine: Machine) -> None:
    made = Workflow("w", steps=[Step("a", f"touch {machine.folder}/seen"), Step("b", "true").credentials("githib")])

    with pytest.raises(NotFoundError, match="no set of credentials `githib`") as caught:
        await machine.client().run_workflow(made)

    assert caught.value.hint == "did you mean `github`?"
    assert caught.value.where == "w › b"
    assert not (machine.folder / "seen").exists()


async def test_sets_with_the_same_variable_are_refused(machine: Machine) -> None:
    made = Workflow("w", steps=[Step("a", "true").credentials("github", "fork")])

    with pytest.raises(ValidationError, match="`github` and `fork` both have the variable `GITHUB_API`"):
        await machine.client().run_workflow(made)


def test_the_environment_of_a_step_is_a_mapping_that_names_what_is_missing() -> None:
    env = StepEnvironment({"GITHUB_TOKEN": TOKEN, "A": "b"})

    assert (len(env), list(env), env.get("A"), env.get("B", "c"), "A" in env) == (
        2,
        ["GITHUB_TOKEN", "A"],
        "b",
        "c",
        True,
    )
    with pytest.raises(NotFoundError, match="no variable `GITHUB_TOKE`") as caught:
        env["GITHUB_TOKE"]
    assert caught.value.hint == "did you mean `GITHUB_TOKEN`?"
    assert TOKEN not in repr(env)


def test_a_name_in_the_place_of_a_list_is_refused() -> None:
    with pytest.raises(ValidationError, match="`credentials` is a list of names") as caught:

        @step(credentials="github")
        def look(ctx: Context) -> None:
            del ctx

    assert caught.value.hint == 'write `credentials=["github"]`'


async def test_what_names_sets_in_the_models_own_form_is_a_list(machine: Machine) -> None:
    said = {"schema": "workflow-agent/workflow/1", "name": "w", "version": "1", "steps": []}
    named = {"id": "a", "uses": "shell.run", "with": {"command": "true", "credentials": "github"}}
    undone = {"id": "a", "uses": "shell.run", "with": {"command": "true"}, "undo": {
        "uses": "shell.run", "with": {"command": "true", "credentials": ["githib"]},
    }}  # fmt: skip

    for each, problem in ((named, "is a list of names"), (undone, "no set of credentials `githib`")):
        made = load_workflow(json.dumps({**said, "steps": [each]}), source="w.json")
        with pytest.raises((NotFoundError, ValidationError), match=problem):
            await machine.client().run_workflow(made)


def test_a_step_whose_credentials_were_not_read_fails_by_name() -> None:
    vault = Vault()
    vault.hold_sets("r-1", {"github": {"A": "plain", "B": Secret("a-secret-value")}})

    assert vault.environment("r-1", ["github"]) == {"A": "plain", "B": "a-secret-value"}
    with pytest.raises(ParameterError, match="`mirror` were not read"):
        vault.environment("r-1", ["github", "mirror"])
    vault.drop("r-1")
    with pytest.raises(ParameterError, match="`github` were not read"):
        vault.environment("r-1", ["github"])


@workflow(name="python")
class InPython:
    @step(credentials=["github"])
    def look(self, ctx: Context) -> dict[str, Any]:
        program = 'printf "%s|%s" "$GITHUB_API" "$GITHUB_TOKEN"'
        shown = subprocess.run(
            ["/bin/sh", "-c", program], env={**os.environ, **ctx.env}, check=True, capture_output=True
        )
        return {
            "seen": shown.stdout.decode(),
            "is_whole": ctx.env["GITHUB_TOKEN"] == TOKEN,
            "shared": "GITHUB_TOKEN" in os.environ,
            "shown": repr(ctx.env),
            "secrets": list(ctx.secrets),
        }

    @step(depends_on=["look"])
    def other(self, ctx: Context, look_result: dict[str, Any]) -> dict[str, Any]:
        return {**look_result, "of another": list(ctx.env)}


async def test_a_function_finds_them_in_its_context_and_another_step_does_not(machine: Machine) -> None:
    found = await (await machine.client().run_workflow(InPython)).get_result()

    assert found == {
        "seen": "https://github.example.org|***",
        "is_whole": True,
        "shared": False,
        "shown": "StepEnvironment(GITHUB_API, GITHUB_TOKEN)",
        "secrets": [],
        "of another": [],
    }


async def test_a_container_gets_them_and_its_own_variables_stand_above(machine: Machine) -> None:
    named = {
        "credentials.github": {"variables": {"GITHUB_API": "a", "GITHUB_TOKEN": {"file": f"{machine.folder}/token"}}}
    }
    made = Workflow("w", steps=[Step("a").docker("image").credentials("github").env(GITHUB_API="own")])

    with mock_agent("a") as played:
        async with open_test_flows(machine.folder / "test", MockDeployer(), settings=named) as flows:
            played.returns({"ok": True})
            await flows.run(flows.prepare(made, {}))

    assert played.calls[0].env == {"GITHUB_API": "own", "GITHUB_TOKEN": TOKEN}


def test_the_definition_is_the_same_in_all_forms_and_that_of_others_stays() -> None:
    fluent = Workflow("w", steps=[Step("a", "true").credentials("github", "mirror")]).compile()
    said = {"name": "w", "steps": [{"name": "a", "command": "true", "credentials": ["github", "mirror"]}]}

    assert load_flow(json.dumps(said), source="w.json").hash == fluent.hash
    assert load_workflow(json.dumps(fluent.to_dict()), source="w.json").hash == fluent.hash
    assert fluent.hash != Workflow("w", steps=[Step("a", "true")]).compile().hash
    (look, other) = compile_workflow(InPython).steps
    assert list(look.with_["credentials"]) == ["github"]
    assert "credentials" not in other.with_


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Step("a").http("http://x.example").credentials("github"), "uses `http.request`, which has no environment"),
        (Step("a", "true").credentials("Git Hub"), "`Git Hub` is no name of a set"),
    ],
)
def test_what_has_no_environment_and_what_is_no_name_is_refused_when_it_is_compiled(made: Step, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Workflow("w", steps=[made]).compile()


def test_sets_are_listed_with_names_and_sources_only(machine: Machine) -> None:
    (machine.folder / "token").unlink()

    listed = machine.client().get_credentials()

    assert listed == json.loads(machine.command("secrets", "list", "--json").stdout)["data"]["items"]
    assert [each["name"] for each in listed] == ["fork", "github", "mirror"]
    assert listed[1] == {
        "name": "github",
        "description": "Reads our packages.",
        "variables": [
            {"name": "GITHUB_TOKEN", "source": f"file:{machine.folder}/token", "available": False},
            {"name": "GITHUB_API", "source": "text", "available": True},
        ],
    }
    assert "env:OF_THE_MIRROR" in machine.command("secrets", "list").stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[credentials.x]\n", "needs a table `variables`"),
        ("[credentials]\nx = 1\n", "must be a table"),
        ("[credentials.X]\nvariables = {A = 'b'}\n", "needs a name in lower case"),
        ("[credentials.x]\nvaribles = {A = 'b'}\n", "no key `varibles`; did you mean `variables`?"),
        ("[credentials.x.variables]\nA = 1\n", "`A`, which is neither a text nor"),
        ("[credentials.x.variables]\nA = {file = 'token'}\n", "no absolute path"),
        ("[credentials.x.variables]\nA = {env = 'a b'}\n", "no name of an environment variable"),
        ("[credentials.x.variables]\nA = {file = '/a', env = 'B'}\n", "neither a text nor"),
        ("[credentials.x.variables]\n'a b' = 'c'\n", "`a b`, which is no name"),
        ("[credentials.x.variables]\nA = 'b\\u0000c'\n".replace("'", '"'), "a NUL character in `A`"),
        ("[credentials.x.variables]\nA = {file = 1}\n", "`A`, whose `file` is no text"),
        ("[credentials.x]\ndescription = 1\nvariables = {A = 'b'}\n", "`description` that is no text"),
        ("[credentials.x.variables]\nDEPLOY_TOKEN = 'ghp-in-the-open'\n", "a secret by its name"),
        ("[credential.x.variables]\nA = 'b'\n", "there is no section `credential`"),
    ],
)
def test_settings_that_are_wrong_are_refused_with_their_place_and_no_value(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)

    with pytest.raises(ValidationError) as caught:
        load_settings(path, {}, {})

    assert message in caught.value.message or message in (caught.value.hint or "")
    assert str(path) in str(caught.value.where)
    assert "ghp-in-the-open" not in repr(caught.value.to_dict())
