"""What ``docs/server.md`` shows does what it says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.testing.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[2] / "docs" / "server.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server-page") / "state") as started:
        yield started


def shown(kind: str, server: ServerProcess, run: str = "") -> list[str]:
    """Give the examples of a language, for this server."""
    found = re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    token = f"{server._state}/api-token"
    usual = ("/var/lib/workflow-agent/api-token", "http://127.0.0.1:8437")
    assert all(any(text in example for text in usual) for example in found)
    return [each.replace(usual[0], token).replace(usual[1], server.url).replace("RUN", run) for each in found]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_examples_for_a_shell(server: ServerProcess) -> None:
    begin, _ = shown("sh", server)
    begun = subprocess.run(["bash", "-ec", begin], capture_output=True, text=True, check=True, timeout=60)
    run = json.loads(begun.stdout)
    _, follow = shown("sh", server, run["run_id"])

    followed = subprocess.run(
        ["bash", "-ec", f"TOKEN={server.token}\n{follow}"], capture_output=True, text=True, check=True, timeout=60
    )

    assert (run["status"], run["result"]["stdout"]) == ("succeeded", "hello")
    assert "event: workflow_completed\n" in followed.stdout


def test_the_example_in_python(server: ServerProcess) -> None:
    (example,) = shown("python", server)

    ended = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=True, timeout=60)

    assert "'stdout': 'hello'" in ended.stdout


def test_each_route_is_on_the_page(server: ServerProcess) -> None:
    source = (Path(__file__).parents[2] / "src" / "workflow_agent" / "api" / "routes.py").read_text(encoding="utf-8")
    routes = re.findall(r'router\.add_(get|post)\(f?"([^"]+)"', source)

    assert len(routes) > 7
    for method, path in routes:
        written = path.replace("{_V1}", "/api/v1").replace("{_RUN}", "RUN")
        assert re.search(rf"`{method.upper()} {written}[`?]", PAGE), (method, path)
    assert server.url
