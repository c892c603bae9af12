"""Requests to a real server: those that are well meant, and those that are not."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from workflow_agent.testing.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

THREE = {
    "name": "three",
    "steps": [
        {"name": "a", "command": "echo one"},
        {"name": "b", "command": "echo two", "depends_on": ["a"]},
        {"name": "c", "command": "echo three", "depends_on": ["b"]},
    ],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server") / "state") as started:
        yield started


class Answer:
    """What a request gave."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.text = body.decode()

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found


def ask(server: ServerProcess, method: str, path: str, body: Any = None, **headers: str | None) -> Answer:
    """Send a request with the token; a header that is None is left out."""
    usual: dict[str, str | None] = {"Authorization": f"Bearer {server.token}"}
    if body is not None:
        usual["Content-Type"] = "application/json"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    sent = {name: value for name, value in (usual | named).items() if value is not None}
    request = urllib.request.Request(server.url + path, data, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, refused.headers, refused.read())


def events_of(text: str) -> list[dict[str, Any]]:
    """Read a stream of events as the standard says: blocks with id, event and data; comments are left out."""
    found = []
    for block in text.split("\n\n"):
        lines = [line.partition(": ")[::2] for line in block.splitlines() if not line.startswith(":")]
        if lines:
            fields = dict(lines)
            found.append({"id": fields["id"], "event": fields["event"], "data": json.loads(fields["data"])})
    return found


def execute(server: ServerProcess, **body: Any) -> dict[str, Any]:
    answer = ask(server, "POST", "/api/v1/workflows/execute", {"workflow": THREE, "mode": "sync", **body})
    assert answer.status == 200, answer.text
    return answer.json


def test_a_definition_is_run_and_its_result_is_there(server: ServerProcess) -> None:
    begun = ask(server, "POST", "/api/v1/workflows/execute", {"workflow": THREE, "tags": {"team": "data"}})

    assert begun.status == 202
    assert begun.headers["Location"] == f"/api/v1/runs/{begun.json['run_id']}"
    ended = ask(server, "GET", begun.headers["Location"] + "?wait=30").json
    assert (ended["status"], ended["result"]["stdout"], ended["error"]) == ("succeeded", "three", None)
    assert ended["tags"] == {"team": "data"}
    assert ended["run_id"] in [run["run_id"] for run in ask(server, "GET", "/api/v1/runs?limit=1000").json["items"]]


def test_the_stream_of_a_run_shows_start_and_end_of_each_step_in_order(server: ServerProcess) -> None:
    answer = ask(server, "POST", "/api/v1/workflows/execute", {"workflow": THREE}, Accept="text/event-stream")

    assert answer.headers["Content-Type"] == "text/event-stream"
    found = events_of(answer.text)
    steps = [(each["data"]["step"], each["event"]) for each in found]
    assert steps == [
        (None, "workflow_started"),
        *((name, end) for name in "abc" for end in ("step_started", "step_completed")),
        (None, "workflow_completed"),
    ]
    assert all(each["data"]["type"] == each["event"] for each in found)
    assert len({each["id"] for each in found}) == len(found)


def test_a_stream_goes_on_behind_each_of_its_events(server: ServerProcess) -> None:
    """Whichever event was the last that arrived: nothing is missing, nothing comes twice."""
    path = f"/api/v1/runs/{execute(server)['run_id']}/events"
    whole = events_of(ask(server, "GET", path).text)

    for number, event in enumerate(whole, 1):
        rest = events_of(ask(server, "GET", path, Last_Event_ID=event["id"]).text)
        assert rest == whole[number:], event["id"]


def test_the_same_key_begins_one_run(server: ServerProcess) -> None:
    body = {"workflow": THREE | {"inputs": {"day": {"type": "integer"}}}, "input": {"day": 1}}
    first, second = (
        ask(server, "POST", "/api/v1/workflows/execute", body, Idempotency_Key="order-1") for _ in range(2)
    )
    other = ask(server, "POST", "/api/v1/workflows/execute", body | {"input": {"day": 2}}, Idempotency_Key="order-1")

    assert first.json["run_id"] == second.json["run_id"]
    assert (other.status, other.json["code"]) == (409, "conflict")


def test_a_failure_is_the_runs_not_the_requests(server: ServerProcess) -> None:
    failed = execute(server, workflow={"name": "bad", "steps": [{"name": "a", "command": "echo no; exit 3"}]})

    assert (failed["status"], failed["result"]) == ("failed", None)
    assert failed["error"]["code"] == "step-failed"
    lines = ask(server, "GET", f"/api/v1/runs/{failed['run_id']}/logs").json["lines"]
    assert any("no" in line for line in lines)


def test_a_run_is_cancelled(server: ServerProcess) -> None:
    slow = {"name": "slow", "steps": [{"name": "a", "command": "sleep 60"}]}
    run = ask(server, "POST", "/api/v1/workflows/execute", {"workflow": slow}).json["run_id"]

    asked = ask(server, "POST", f"/api/v1/runs/{run}/cancel", {"reason": "enough"})

    assert (asked.status, asked.json["cancelled"]) == (202, True)
    ended = ask(server, "GET", f"/api/v1/runs/{run}?wait=30").json
    assert (ended["status"], ended["error"]["code"]) == ("cancelled", "interrupted")
    assert "enough" in ended["error"]["message"]


def test_health_needs_no_token_and_names_the_components(server: ServerProcess) -> None:
    answer = ask(server, "GET", "/health", Authorization=None)

    assert (answer.status, answer.json["status"]) == (200, "ok")
    assert answer.json["components"]["database"] == {"status": "ok"}
    assert "shell" in answer.json["components"]["agents"]["names"]
    assert answer.json["components"]["docker"]["status"] in {"ok", "absent"}


def test_what_steps_measured_can_be_scraped(server: ServerProcess) -> None:
    execute(server)

    answer = ask(server, "GET", "/metrics")

    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    ended = families["workflow_agent_runs_ended"].samples
    assert sum(each.value for each in ended if each.labels == {"workflow": "three", "state": "succeeded"}) >= 1


PATHS = (
    ("POST", "/api/v1/workflows/execute"),
    ("GET", "/api/v1/runs"),
    ("GET", "/api/v1/runs/r-01M81VS020Z16AE7E30VWF2Q38"),
    ("GET", "/api/v1/runs/r-01M81VS020Z16AE7E30VWF2Q38/events"),
    ("GET", "/api/v1/runs/r-01M81VS020Z16AE7E30VWF2Q38/logs"),
    ("POST", "/api/v1/runs/r-01M81VS020Z16AE7E30VWF2Q38/cancel"),
    *(("POST", f"/api/v1/runs/r-01M81VS020Z16AE7E30VWF2Q38/{word}") for word in ("pause", "resume", "signal")),
    ("GET", "/health/"),
    ("GET", "/api/health"),
    ("POST", "/health"),
    ("GET", "/metrics"),
    ("OPTIONS", "/api/v1/runs"),
    ("GET", "/nothing"),
)


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("token", [None, "Bearer ", "Bearer wfa_" + "0" * 64, "Basic d2ZhOg==", "Bearer \u00e9"])
def test_nothing_is_answered_without_the_token(
    server: ServerProcess, method: str, path: str, token: str | None
) -> None:
    answer = ask(server, method, path, Authorization=token)

    assert (answer.status, answer.json["code"]) == (401, "permission.token")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8437", "10.0.0.1", "me@evil.example", "[::1", "a:b:c"]
)
def test_another_name_in_the_host_header_is_refused(server: ServerProcess, host: str) -> None:
    for path in ("/health", "/api/v1/runs"):
        answer = ask(server, "GET", path, Host=host)
        assert answer.status in {400, 403}, answer.text
        assert "components" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1", "[::1]:1234"])
def test_names_of_this_machine_are_taken(server: ServerProcess, host: str) -> None:
    assert ask(server, "GET", "/health", Host=host).status == 200


NOT_HERE = b'{"id": "a", "uses": "python.call", "with": {"function": "nowhere:f"}}'
BODIES = (
    (b"{", 400, "no JSON"),
    (b"", 400, "no JSON"),
    (b"[1]", 400, "a JSON object"),
    (b'{"workflow": {}, "workflow": {}}', 400, "no JSON"),
    (b'{"workflow": {"a": NaN}}', 400, "no JSON"),
    (b"[" * 100_000, 400, "no JSON"),
    (b'{"workflow": {"name": "x"}, "shell": "id"}', 422, "shell: there is no such field"),
    (b"{}", 422, "workflow"),
    (b'{"workflow": "x"}', 422, "workflow"),
    (b'{"workflow": {"name": "x", "steps": []}, "tags": {"a": 1}}', 422, "tags.a"),
    (b'{"workflow": {"name": "x", "steps": [{"name": "a", "command": "id", "shel": 1}]}}', 422, "shel"),
    (b'{"workflow": {"name": "x", "version": "1", "steps": [' + NOT_HERE + b"]}}", 422, "the code of step `a`"),
    (b"x" * (2 << 20), 413, "1 MiB"),
)  # fmt: skip


@pytest.mark.parametrize(("body", "status", "said"), BODIES, ids=[said for _, _, said in BODIES])
def test_a_body_that_is_none_is_refused_and_nothing_begins(
    server: ServerProcess, body: bytes, status: int, said: str
) -> None:
    before = ask(server, "GET", "/api/v1/runs?limit=1000").json["items"]

    answer = ask(server, "POST", "/api/v1/workflows/execute", body)

    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert said in answer.json["detail"]
    assert answer.json["status"] == status
    assert [run["run_id"] for run in ask(server, "GET", "/api/v1/runs?limit=1000").json["items"]] == [
        run["run_id"] for run in before
    ]


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("POST", "/api/v1/workflows/execute", {"Content_Type": "text/plain"}, (400, "usage")),
        ("POST", "/api/v1/workflows/execute", {"Idempotency_Key": "k" * 201}, (400, "usage")),
        ("GET", "/api/v1/runs/r-01M81VS020Z16AE7E30VWF2Q38", {}, (404, "not-found")),
        ("GET", "/api/v1/runs/../../etc/passwd", {}, (404, "not-found")),
        ("GET", "/api/v1/runs/r-%2e%2e%2f", {}, (404, "not-found")),
        ("GET", "/api/v1/runs?limit=-1", {}, (400, "usage")),
        ("GET", "/api/v1/runs?limit=many", {}, (400, "usage")),
        ("GET", "/api/v1/runs?status=well", {}, (400, "usage")),
        ("GET", "/api/v1/runs?token=x", {}, (400, "usage")),
        ("DELETE", "/api/v1/runs", {}, (405, "usage")),
        ("POST", "/api/v1/runs/r-01M81VS020Z16AE7E30VWF2Q38/resume", {}, (422, "validation")),
    ],
)
def test_what_cannot_be_is_said(
    server: ServerProcess, method: str, path: str, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    answer = ask(server, method, path, {"workflow": THREE} if method == "POST" else None, **headers)

    assert (answer.status, answer.json["code"]) == expected, answer.text


@pytest.mark.parametrize("place", ["x", "-1", "99", "3+", "2;a", "1" * 5000, "3; a:1"])
def test_a_place_that_is_none_is_refused(server: ServerProcess, place: str) -> None:
    path = f"/api/v1/runs/{execute(server)['run_id']}/events"

    answer = ask(server, "GET", path, Last_Event_ID=place)

    assert (answer.status, answer.json["where"]) == (422, "Last-Event-ID")


def test_a_secret_reaches_its_step_and_nothing_else(server: ServerProcess) -> None:
    canary = "canary-7f3a9c51"
    definition = {
        "name": "hush",
        "steps": [{"name": "a", "command": 'test -n "$KEY" && echo got $KEY', "env": {"KEY": {"$secret": "key"}}}],
    }

    ended = execute(server, workflow=definition, secrets={"key": canary})
    wrong = ask(server, "POST", "/api/v1/workflows/execute", {"workflow": definition, "secrets": {"key": [canary]}})
    short = ask(server, "POST", "/api/v1/workflows/execute", {"workflow": definition, "secrets": {"key": "short"}})

    assert ended["status"] == "succeeded", ended
    events = ask(server, "GET", f"/api/v1/runs/{ended['run_id']}/events").text
    logs = ask(server, "GET", f"/api/v1/runs/{ended['run_id']}/logs").text
    assert [canary in text for text in (json.dumps(ended), events, logs, wrong.text, server.talk)] == [False] * 5
    assert (wrong.status, short.status) == (422, 422)
    assert "short" not in short.json["detail"].replace("too short", "")
    state = Path(server._state)
    assert [str(path) for path in state.rglob("*") if path.is_file() and canary.encode() in path.read_bytes()] == []


def test_the_token_shows_nowhere(server: ServerProcess) -> None:
    ask(server, "GET", "/api/v1/runs", Authorization=f"Bearer {server.token}x")
    path = Path(server._state) / "api-token"

    assert path.stat().st_mode & 0o777 == 0o600
    assert len(server.token.removeprefix("wfa_")) == 64
    assert server.token not in server.talk
    assert server.token not in Path(f"/proc/{server.pid}/cmdline").read_text()
    assert server.token not in Path(f"/proc/{server.pid}/environ").read_text()
    others = [each for each in path.parent.rglob("*") if each.is_file() and each != path]
    assert [str(each) for each in others if server.token.encode() in each.read_bytes()] == []


def test_a_reader_that_takes_nothing_holds_no_run_up(server: ServerProcess) -> None:
    wide = {
        "name": "wide",
        "steps": [{"name": f"s{number}", "command": "head -c 60000 /dev/zero | tr '\\0' x"} for number in range(60)],
    }
    run = ask(server, "POST", "/api/v1/workflows/execute", {"workflow": wide}).json["run_id"]
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as stalled:
        stalled.sendall(
            f"GET /api/v1/runs/{run}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n\r\n"
            .encode()
        )  # fmt: skip
        assert ask(server, "GET", f"/api/v1/runs/{run}?wait=60").json["status"] == "succeeded"


@pytest.mark.parametrize(
    "address", ["0.0.0.0:0", "10.0.0.1:80", "example.org:80", "[::]:0", "localhost", "127.0.0.1:x"]
)
def test_an_address_that_others_reach_is_refused(address: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "workflow_agent", "serve", "--listen", address],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "WORKFLOW_AGENT_PATHS__STATE": str(tmp_path / "state")},
    )

    assert ended.returncode == 2
    assert "error[usage]" in ended.stderr
    assert not (tmp_path / "state").exists()


def test_a_port_that_is_taken_is_said(server: ServerProcess, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "workflow_agent", "serve", "--listen", server.url.removeprefix("http://")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "WORKFLOW_AGENT_PATHS__STATE": str(tmp_path / "state")},
    )

    assert (ended.returncode, "error[conflict]" in ended.stderr) == (6, True)


def test_a_token_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with ServerProcess(state):
        pass
    (state / "api-token").chmod(0o644)

    with pytest.raises(RuntimeError, match="others may read the token"), ServerProcess(state):
        pass


def test_a_unix_socket_is_the_owners_alone_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with ServerProcess(tmp_path / "state", socket=path) as server:
        assert path.stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(path))
            asked.sendall(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in asked.recv(4096)
        assert server.stop() == 0
        assert not path.exists()
        server.start()
        os.kill(server.pid, signal.SIGKILL)
        server.ended()
        assert path.exists()
        server.start()  # what a dead process left is no obstacle
        with pytest.raises(RuntimeError, match="somebody listens"), ServerProcess(tmp_path / "state", socket=path):
            pass


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_what_it_prints_is_for_people_or_for_programs(tmp_path: Path, flags: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "workflow_agent", "serve", "--listen", "127.0.0.1:0", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "WORKFLOW_AGENT_PATHS__STATE": str(tmp_path / "state")},
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        process.send_signal(signal.SIGTERM)
        lines += process.stdout.readlines()

    if flags:
        assert [json.loads(line)["type"] for line in lines] == ["listening", "result"]
    else:
        assert [line.split()[0] for line in lines] == ["listening", "token"]


def test_a_signal_leaves_runs_where_they_stand(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "state") as server:
        slow = {"name": "slow", "steps": [{"name": "a", "command": f"echo x >>{tmp_path}/a; sleep 60"}]}
        run = ask(server, "POST", "/api/v1/workflows/execute", {"workflow": slow}).json["run_id"]
        while not (tmp_path / "a").exists():
            time.sleep(0.02)
        assert server.stop() == 0
        assert "go on at the next start" in server.talk
        server.start()
        again = ask(server, "GET", f"/api/v1/runs/{run}").json
        assert (again["status"], again["finished_at"]) == ("running", None)
        while (tmp_path / "a").read_text() != "x\nx\n":
            time.sleep(0.02)
        ask(server, "POST", f"/api/v1/runs/{run}/cancel", {})


def test_a_run_whose_secrets_are_gone_is_left_and_named(tmp_path: Path) -> None:
    slow = {"name": "hush", "steps": [{"name": "a", "command": f"echo x >>{tmp_path}/a; sleep 60"}]}
    with ServerProcess(tmp_path / "state") as server:
        body = {"workflow": slow, "secrets": {"key": "canary-83b1d2"}}
        run = ask(server, "POST", "/api/v1/workflows/execute", body).json["run_id"]
        while not (tmp_path / "a").exists():
            time.sleep(0.02)
        server.kill()
        server.start()
        until = time.monotonic() + 20
        while f"run {run} of hush was left" not in server.talk:
            assert time.monotonic() < until, server.talk
            time.sleep(0.05)
        assert "canary" not in server.talk
        assert ask(server, "GET", f"/api/v1/runs/{run}").json["is_driven"] is False


def test_where_it_listens_is_one_line_of_json_for_scripts(tmp_path: Path) -> None:
    environ = {**os.environ, "WORKFLOW_AGENT_PATHS__STATE": str(tmp_path / "state")}
    command = [sys.executable, "-m", "workflow_agent", "--json", "serve", "--listen", "[::1]:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as server:
        assert server.stdout is not None
        said = json.loads(server.stdout.readline())
        server.send_signal(signal.SIGINT)
        rest, _ = server.communicate(timeout=30)

    assert (said["type"], said["token_file"]) == ("listening", f"{tmp_path}/state/api-token")
    assert said["url"].startswith("http://[::1]:")
    assert (json.loads(rest)["ok"], server.returncode) == (True, 0)


def test_an_address_and_a_socket_exclude_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "workflow_agent", "serve", "--listen", "127.0.0.1:0", "--socket", f"{tmp_path}/s"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (ended.returncode, "exclude each other" in ended.stderr) == (2, True)


def test_commands_speak_to_the_runs_of_a_server(server: ServerProcess) -> None:
    """One database, one owner for each run: what the server drives a command can look at and cancel."""
    slow = {"name": "slow", "steps": [{"name": "a", "command": "sleep 60"}]}
    run = ask(server, "POST", "/api/v1/workflows/execute", {"workflow": slow}).json["run_id"]
    environ = {**os.environ, "WORKFLOW_AGENT_PATHS__STATE": str(server._state)}

    def command(*words: str) -> dict[str, Any]:
        line = [sys.executable, "-m", "workflow_agent", "--json", *words]
        ended = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, env=environ)
        found: dict[str, Any] = json.loads(ended.stdout)["data"]
        return found

    assert command("status", run)["status"] == "running"
    assert command("cancel", run)["status"] == "cancelled"
    assert ask(server, "GET", f"/api/v1/runs/{run}").json["status"] == "cancelled"
    assert run in [each["run_id"] for each in command("history")["items"]]
