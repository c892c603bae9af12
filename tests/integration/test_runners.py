"""Runners: real servers are listed with their health; one that is not well, or lacks something, begins nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from workflow_agent import Step, Workflow, WorkflowClient
from workflow_agent.app.settings import load_settings
from workflow_agent.client.runners import LOCAL, needs_of
from workflow_agent.model.errors import NotFoundError, ValidationError
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

    def client(self) -> WorkflowClient:
        named = {f"runners.{name}": table for name, table in self.runners.items()}
        return WorkflowClient(settings={"paths.state": str(self.folder / "state"), **named})

    def command(self, *arguments: str) -> Any:
        lines = [
            line
            for name, table in self.runners.items()
            for line in (f"[runners.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items()))
        ]
        (self.folder / "config").mkdir(exist_ok=True)
        (self.folder / "config" / "config.toml").write_text("\n".join(lines))
        places = {f"WORKFLOW_AGENT_PATHS__{name.upper()}": str(self.folder / name) for name in ("state", "config")}
        return subprocess.run(
            [sys.executable, "-P", "-m", "workflow_agent", *arguments],
            check=False, capture_output=True, text=True, cwd=self.folder, env={**os.environ, **places},
            stdin=subprocess.DEVNULL,
        )  # fmt: skip


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
    async def other(request: web.Request) -> web.Response:
        if request.path.startswith("/large"):
            return web.Response(body=b"x" * (1 << 20))
        return web.json_response([1, 2])

    application = web.Application()
    application.router.add_get("/health", other)
    async with TestServer(application) as server:
        home.add("other", str(server.make_url("")).rstrip("/"))
        health = await home.client().get_runner_health("other")

    assert (health.status, health.message) == ("unreachable", "what answers there is no server of workflow-agent")


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
        ("[runners.x]\nurl = 'http://far.example.org'\ntoken_file = '/t'\n", "without TLS to another machine"),
        ("[runners.x]\nurl = 'http://a:b@127.0.0.1'\ntoken_file = '/t'\n", "with a user or a password"),
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
