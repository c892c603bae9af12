"""Runners: real servers are listed with their health; one that is not well, or lacks something, begins nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from workflow_agent import Step, Workflow, WorkflowClient
from workflow_agent.app.settings import load_settings
from workflow_agent.client.runners import LOCAL, needs_of
from workflow_agent.model.errors import NotFoundError, ParameterError, UnreachableError, UsageError, ValidationError
from workflow_agent.testing.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOWN = {
    "status": "down",
    "version": "0.1.0",
    "components": {"database": {"status": "down", "message": "the disk is full"}, "docker": {"status": "ok"}},
}


@pytest.fixture(scope="module")
def east(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of a state folder of its own."""
    with ServerProcess(tmp_path_factory.mktemp("east") / "state") as started:
        yield started


class Home:
    """A folder with settings that name runners."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runners: dict[str, dict[str, str]] = {}

    def add(self, name: str, url: str, token: str = "a-token") -> None:  # no token of anything
        path = self.folder / f"{name}.token"
        path.write_text(token + "\n")
        self.runners[name] = {"url": url, "token_file": str(path)}

    def settings(self) -> dict[str, object]:
        named = {f"runners.{name}": table for name, table in self.runners.items()}
        return {"paths.state": str(self.folder / "state"), **named}

    def client(self) -> WorkflowClient:
        return WorkflowClient(settings=self.settings())

    def begun(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command."""
        lines = [
            line
            for name, table in self.runners.items()
            for line in (f"[runners.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items()))
        ]
        (self.folder / "config").mkdir(exist_ok=True)
        (self.folder / "config" / "config.toml").write_text("\n".join(lines))
        places = {f"WORKFLOW_AGENT_PATHS__{name.upper()}": str(self.folder / name) for name in ("state", "config")}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "workflow_agent", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder, env={**os.environ, **places},
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Let a command come to its end."""
        process = self.begun(*arguments)
        out, talk = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, talk)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
async def down() -> Any:
    """A server that answers, and says that it cannot work."""

    async def health(_: web.Request) -> web.Response:
        return web.json_response(DOWN, status=503)

    application = web.Application()
    application.router.add_get("/health", health)
    async with TestServer(application) as server:
        yield server


async def test_runners_are_listed_with_their_health(home: Home, east: ServerProcess, down: TestServer) -> None:
    home.add("east", east.url, east.token)
    home.add("west", str(down.make_url("")).rstrip("/"))
    home.add("gone", "http://127.0.0.1:1")
    client = home.client()

    assert [runner.name for runner in client.get_runners()] == [LOCAL, "east", "gone", "west"]
    healths = {health.name: health for health in await client.get_runners_with_health()}

    assert {name: health.status for name, health in healths.items()} == {
        "local": "ok", "east": "ok", "gone": "unreachable", "west": "down",
    }  # fmt: skip
    assert healths["east"].components["database"] == "ok"
    assert healths["east"].components["shell"] == "ok"
    assert healths["west"].message == "database: the disk is full"
    assert healths["west"].missing(["docker", "database", "shell"]) == ["database", "shell"]
    well = await client.get_runners_with_health(required_components=["database", "shell"])
    assert [health.name for health in well] == [LOCAL, "east"]
    assert await client.get_runners_with_health(required_components=["moon"]) == []


async def test_what_is_no_server_of_ours_is_unreachable_and_says_so(home: Home) -> None:
    async def other(_: web.Request) -> web.Response:
        return web.json_response([1, 2])

    application = web.Application()
    application.router.add_get("/health", other)
    async with TestServer(application) as server:
        home.add("other", str(server.make_url("")).rstrip("/"))
        health = await home.client().get_runner_health("other")

    assert (health.status, health.message) == ("unreachable", "what answers there is no server of workflow-agent")


async def test_what_answers_without_an_end_is_not_read_to_it(home: Home) -> None:
    async def endless(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * (1 << 20))

    application = web.Application()
    application.router.add_get("/health", endless)
    async with TestServer(application) as server:
        home.add("other", str(server.make_url("")).rstrip("/"))
        health = await home.client().get_runner_health("other")

    assert (health.status, health.message) == ("unreachable", "what answers there is no server of workflow-agent")


def test_a_token_that_cannot_be_read_is_named(home: Home) -> None:
    home.add("east", "http://127.0.0.1:1")
    (home.folder / "east.token").write_text("\n")

    with pytest.raises(ParameterError, match="the token of the runner `east` is empty"):
        WorkflowClient(runner="east", settings=home.settings())
    (home.folder / "east.token").unlink()
    with pytest.raises(ParameterError, match="the token of the runner `east` cannot be read") as caught:
        WorkflowClient(runner="east", settings=home.settings())

    assert caught.value.cause == "No such file or directory"


def test_a_runner_and_an_address_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="give its name, or those"):
        WorkflowClient("http://127.0.0.1:1", "a-token", runner="east")


async def test_the_runner_local_is_this_process_and_what_is_required_holds_elsewhere(
    home: Home, east: ServerProcess
) -> None:
    home.add("east", east.url, east.token)
    made = Workflow("w", steps=[Step("a", "echo $PPID")])

    here = await (await WorkflowClient(runner=LOCAL, settings=home.settings()).run_workflow(made)).get_result()
    there = WorkflowClient(runner="east", settings=home.settings(), required_components=["moon"])
    with pytest.raises(UnreachableError, match="`east` does not have `moon`"):
        await there.run_workflow(made)

    assert here["stdout"] == str(os.getpid())
    execution = await WorkflowClient(runner="east", settings=home.settings()).run_workflow(made)
    assert WorkflowClient(runner="east", settings=home.settings()).get_workflow_status(execution.id) == "succeeded"


async def test_an_unknown_runner_is_refused_with_the_nearest_name(home: Home) -> None:
    home.add("east", "http://127.0.0.1:1")

    with pytest.raises(NotFoundError, match="no runner `eest`") as caught:
        await home.client().get_runner_health("eest")

    assert caught.value.hint == "did you mean `east`?"


def test_the_command_lists_them_and_says_what_they_lack(home: Home, east: ServerProcess) -> None:
    home.add("east", east.url, east.token)
    home.add("gone", "http://127.0.0.1:1")

    items = json.loads(home.command("runners", "list", "--require", "shell", "--json").stdout)["data"]["items"]

    assert [(item["name"], item["status"], item["lacks"], item["url"]) for item in items] == [
        ("local", "ok", [], None),
        ("east", "ok", [], east.url),
        ("gone", "unreachable", ["shell"], "http://127.0.0.1:1"),
    ]
    lines = home.command("runners", "list").stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["local", "ok"], ["east", "ok"], ["gone", "unreachable"]]


def test_what_a_workflow_needs_is_read_from_its_verbs() -> None:
    made = Workflow("w", steps=[
        Step("a", "true"), Step("b").docker("image").undo("http.request", url="http://x.example"),
        Step("c").wait(1), Step("d").sub_workflow("other"),
    ])  # fmt: skip

    assert needs_of(made.compile()) == {"shell", "container", "docker", "http"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[runners.local]\nurl = 'http://127.0.0.1:1'\ntoken_file = '/t'\n", "that name means this process"),
        ("[runners.x]\nurl = 'http://127.0.0.1:1'\n", "needs `token_file`"),
        ("[runners.x]\nurl = 'http://127.0.0.1:1'\ntoken_file = 't'\n", "no absolute path"),
        ("[runners.x]\nurl = 'http://far.example.org'\ntoken_file = '/t'\n", "readable on the way to another machine"),
        ("[runners.x]\nurl = 'http://a:b@127.0.0.1'\ntoken_file = '/t'\n", "refused: `127.0.0.1` is no address"),
        ("[runners.x]\nurl = 'ftp://127.0.0.1'\ntoken_file = '/t'\n", "no address of a server"),
        ("[runners.x]\nurl = 'http://127.0.0.1:99999'\ntoken_file = '/t'\n", "no address"),
        ("[runners.x]\nurl = 'http://127.0.0.1/api'\ntoken_file = '/t'\n", "no address of a server"),
        ("[runners.x]\nurl = 1\ntoken_file = '/t'\n", "`url` that is no text"),
        ("[runners.x]\nurls = 'http://127.0.0.1:1'\n", "did you mean `url`?"),
        ("[runners]\nx = 'http://127.0.0.1:1'\n", "must be a table"),
        ("[runners.X]\nurl = 'http://127.0.0.1:1'\ntoken_file = '/t'\n", "a name in lower case"),
    ],
)
def test_settings_that_are_wrong_are_refused_with_their_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)

    with pytest.raises(ValidationError) as caught:
        load_settings(path, {}, {})

    assert message in caught.value.message
    assert str(path) in str(caught.value.where)


def _flow(home: Home, name: str, command: str, **more: Any) -> str:
    path = home.folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, "steps": [{"name": "a", "command": command, **more}]}))
    return str(path)


async def test_a_run_is_driven_by_the_runner_that_was_chosen(home: Home, east: ServerProcess) -> None:
    home.add("east", east.url, east.token)
    made = Workflow("where", steps=[Step("a", "echo $PPID")])

    async with home.client() as here:
        execution = await here.run_workflow(made, runner="east")
    there = WorkflowClient(runner="east", settings=home.settings())
    other = await there.run_workflow(made, "async")

    assert (await execution.get_result())["stdout"] == str(east.pid)
    assert (await other.get_result())["stdout"] == str(east.pid)
    assert json.loads(home.command("history", "--json").stdout)["data"]["items"] == []


def test_the_command_runs_at_a_runner_and_says_how_it_ended(home: Home, east: ServerProcess) -> None:
    home.add("east", east.url, east.token)

    done = home.command("run", _flow(home, "good", "echo hello"), "--runner", "east", "--json")
    failed = home.command("run", _flow(home, "bad", "exit 3"), "--runner", "east", "--json")
    left = home.command("run", _flow(home, "left", "true"), "--runner", "east", "--no-wait")

    said = json.loads(done.stdout)["data"]
    assert (done.returncode, said["status"], said["runner"]) == (0, "succeeded", "east")
    assert said["result"]["stdout"] == "hello"
    error = json.loads(failed.stdout)["error"]
    assert (failed.returncode, error["message"]) == (1, "the command of `a` ended with code 3")
    assert error["run_id"] == json.loads(failed.stdout)["data"]["run_id"]
    assert (left.returncode, left.stdout[:2]) == (0, "r-")
    assert home.command("run", "left.json", "--runner", "local").returncode == 0


def test_who_stops_waiting_leaves_the_run_at_the_runner(home: Home, east: ServerProcess, tmp_path: Path) -> None:
    home.add("east", east.url, east.token)
    (tmp_path / "gate").touch()
    wait = f"touch {tmp_path}/begun; while [ -e {tmp_path}/gate ]; do sleep 0.02; done; touch {tmp_path}/ended"

    waiting = home.begun("run", _flow(home, "long", wait), "--runner", "east")
    assert waiting.stderr is not None
    assert "runner east" in waiting.stderr.readline()
    while not (tmp_path / "begun").exists():
        time.sleep(0.02)  # another process: there is nothing to wait on but what it writes
    waiting.send_signal(signal.SIGINT)
    talk = waiting.communicate()[1]
    (tmp_path / "gate").unlink()

    assert waiting.returncode == 130
    assert "it goes on at the runner `east`" in talk
    while not (tmp_path / "ended").exists():
        time.sleep(0.02)  # as above


async def test_a_runner_is_reached_over_its_unix_socket_too(home: Home, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "there", socket=tmp_path / "s.sock") as server:
        home.add("near", server.url, server.token)
        execution = await home.client().run_workflow(Workflow("w", steps=[Step("a", "echo $PPID")]), runner="near")

        assert (await execution.get_result())["stdout"] == str(server.pid)


def test_a_runner_that_is_away_unwell_or_unknown_is_refused_before_anything_begins(home: Home) -> None:
    home.add("gone", "http://127.0.0.1:1")
    flow = _flow(home, "never", f"touch {home.folder}/ran")

    away = home.command("run", flow, "--runner", "gone", "--json")
    unknown = home.command("run", flow, "--runner", "gome", "--json")
    both = home.command("run", flow, "--runner", "gone", "--events")

    error = json.loads(away.stdout)["error"]
    assert (away.returncode, error["message"], error["state"]) == (
        7, "the runner `gone` cannot be reached", "nothing was begun",
    )  # fmt: skip
    assert "runners list" in error["hint"]
    assert (unknown.returncode, json.loads(unknown.stdout)["error"]["hint"]) == (5, "did you mean `gone`?")
    assert both.returncode == 2
    assert not (home.folder / "ran").exists()


async def test_a_runner_that_is_not_well_begins_nothing(home: Home, down: TestServer) -> None:
    home.add("west", str(down.make_url("")).rstrip("/"))

    with pytest.raises(UnreachableError, match="`west` is not well") as caught:
        await home.client().run_workflow(Workflow("w", steps=[Step("a", "true")]), runner="west")

    assert caught.value.cause == "database: the disk is full"
    assert caught.value.exit_code == 7


async def test_a_runner_that_lacks_what_the_steps_need_is_refused(home: Home, tmp_path: Path) -> None:
    without = {"DOCKER_HOST": f"unix://{tmp_path}/no-engine.sock"}
    with ServerProcess(tmp_path / "plain", environ=without) as plain:
        home.add("plain", plain.url, plain.token)
        there = WorkflowClient(runner="plain", settings=home.settings())

        with pytest.raises(UnreachableError, match="`plain` does not have `docker`"):
            await there.run_workflow(Workflow("w", steps=[Step("a").docker("image")]))
        assert (await (await there.run_workflow(Workflow("w", steps=[Step("a", "echo ok")]))).get_result())[
            "stdout"
        ] == "ok"

    records = WorkflowClient(settings={"paths.state": str(tmp_path / "plain")})
    assert (await records.get_workflow_metrics("w")).total_executions == 1


async def test_a_runner_reads_credentials_of_its_own_settings(home: Home, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of-the-runner-only")
    (tmp_path / "its-config").mkdir()
    (tmp_path / "its-config" / "config.toml").write_text(
        f"[credentials.shop.variables]\nSHOP_TOKEN = {{ file = '{tmp_path}/token' }}\n"
    )
    environ = {"WORKFLOW_AGENT_PATHS__CONFIG": str(tmp_path / "its-config")}
    seen = tmp_path / "seen"
    good = Workflow("w", steps=[Step("a", f'printf %s "$SHOP_TOKEN" > {seen}').credentials("shop")])
    bad = Workflow("w", steps=[Step("a", "true").credentials("shoop")])

    with ServerProcess(tmp_path / "its-state", environ=environ) as server:
        home.add("east", server.url, server.token)
        await home.client().run_workflow(good, runner="east")
        with pytest.raises(NotFoundError, match="no set of credentials `shoop`") as caught:
            await home.client().run_workflow(bad, runner="east")

    assert seen.read_text() == "of-the-runner-only"
    assert caught.value.hint == "did you mean `shop`?"
