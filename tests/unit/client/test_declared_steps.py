"""Steps without Python: what the words of the fluent form do when a run is driven."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from workflow_agent import ExecutionMode, Step, Workflow, WorkflowClient, secret, step, workflow
from workflow_agent.authoring.flow_source import load_flow
from workflow_agent.model.errors import (
    InterruptedRunError,
    NotFoundError,
    ParameterError,
    StepFailedError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_TOKEN = "a-very-secret-token"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[WorkflowClient]:
    async with WorkflowClient(settings={"paths.state": str(tmp_path / "state")}) as opened:
        yield opened


async def result(client: WorkflowClient, made: Any, **said: Any) -> Any:
    return await (await client.run_workflow(made, **said)).get_result()


async def test_a_request_with_a_secret_and_what_follows_from_its_answer(client: WorkflowClient, tmp_path: Path) -> None:
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        if len(seen) == 1:
            return web.Response(status=503)
        return web.json_response({"rows": [1, 2], "who": request.headers["Authorization"]})

    application = web.Application()
    application.router.add_get("/rows", answer)
    server = TestServer(application)
    async with server:
        made = Workflow(
            "ask",
            steps=[
                Step("rows")
                .http(str(server.make_url("/rows")), headers={"Authorization": secret("token", "Bearer ")})
                .output("rows")
                .retry(2, interval_sec=0.01),
                Step("count", "echo $FIRST").env(FIRST="${{ state.rows.rows }}").depends("rows"),
            ],
        )
        execution = await client.run_workflow(made, secrets={"token": _TOKEN})
        assert (await execution.get_result())["stdout"] == "[1, 2]"

    assert seen == [f"Bearer {_TOKEN}"] * 2
    kept = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert _TOKEN.encode() not in kept
    assert b"Bearer ***" in kept


async def test_a_command_gets_its_variables_from_files_secrets_and_texts(
    client: WorkflowClient, tmp_path: Path
) -> None:
    (tmp_path / "own.env").write_text("A=from-file\nB=from-file\n")
    script = "import os, sys\nprint(*(os.environ[name] for name in 'ABT'), sys.stdin.read())"
    made = Workflow("vars", steps=[
        Step("show").script(script)
        .shell_type("python3").env(B="text", T=secret("token")).stdin("typed").stdout(str(tmp_path / "out"))
    ]).dotenv(str(tmp_path / "own.env"))  # fmt: skip

    assert (await result(client, made, secrets={"token": _TOKEN}))["stdout"] == "from-file text *** typed"
    assert (tmp_path / "out").read_text() == "from-file text *** typed\n"
    with pytest.raises(ParameterError, match="`token` is needed"):
        await result(client, made)
    with pytest.raises(NotFoundError, match="a file of variables"):
        await result(client, Workflow("gone").dotenv(str(tmp_path / "gone")).step("a", "true"))
    with pytest.raises(StepFailedError, match="the output cannot be written"):
        await result(client, Workflow("out", steps=[Step("a", "true").stdout(str(tmp_path))]))


async def test_exit_codes_decide_what_is_a_failure_and_what_is_tried_again(
    client: WorkflowClient, tmp_path: Path
) -> None:
    count = f"echo x >> {tmp_path}/tries; exit 7"

    good = await result(client, Workflow("good", steps=[Step("a", "exit 4").continue_on(exit_code=[4])]))
    assert good["exit_code"] == 4
    for codes, tries in (([1], 1), ([7], 3)):
        (tmp_path / "tries").unlink(missing_ok=True)
        made = Workflow("again", steps=[Step("a", count).retry(2, interval_sec=0.01, exit_codes=codes)])
        with pytest.raises(StepFailedError, match="code 7"):
            await result(client, made)
        assert len((tmp_path / "tries").read_text().split()) == tries


async def test_a_command_that_is_stopped_gets_the_signal_of_its_choice_first(
    client: WorkflowClient, tmp_path: Path
) -> None:
    said = f"trap 'echo bye > {tmp_path}/bye; exit' INT; echo ready > {tmp_path}/ready; while :; do sleep 0.05; done"
    made = Workflow("stop", steps=[Step("a", said).signal_on_stop("int").timeout(6)])

    with pytest.raises(Exception, match="took longer"):
        await result(client, made)

    assert (tmp_path / "bye").read_text() == "bye\n"
    with pytest.raises(ParameterError, match="no signal `STOPP`"):
        await result(client, Workflow("w", steps=[Step("a", "true").signal_on_stop("STOPP")]))


async def test_output_is_cut_where_that_was_said_and_a_long_line_is_no_failure(client: WorkflowClient) -> None:
    cut = await result(client, Workflow("cut").max_output_size(10).step("a", "yes | head -c 3000000 | tr -d '\\n'"))

    assert cut == {"stdout": "y" * 10, "exit_code": 0, "truncated": True}
    with pytest.raises(NotFoundError, match="`/bin/no-shell` cannot be started"):
        await result(client, Workflow("w", steps=[Step("a", "true").shell_type("/bin/no-shell")]))
    with pytest.raises(NotFoundError, match="the folder of `a` cannot be used"):
        await result(client, Workflow("w", steps=[Step("a", "true").dir("/no/such/folder")]))


@pytest.mark.parametrize(
    ("command", "ends"),
    [("true", ["success", "exit"]), ("false", ["failure", "exit"]), ("sleep 60", ["failure", "cancel", "exit"])],
)
async def test_commands_for_the_end_of_a_run(
    client: WorkflowClient, tmp_path: Path, command: str, ends: list[str]
) -> None:
    log = tmp_path / "log"
    made = Workflow("ends").step("work", f"touch {tmp_path}/began; {command}")
    made.handlers(**{name: f"echo {name} >> {log}" for name in ("success", "failure", "exit", "cancel")})

    execution = await client.run_workflow(made, mode=ExecutionMode.ASYNC)
    if command.startswith("sleep"):
        async for event in execution.stream_events():
            if event.type == "step_started":
                await execution.cancel()
        with pytest.raises(InterruptedRunError):
            await execution.get_result()
    elif command == "false":
        with pytest.raises(StepFailedError):
            await execution.get_result()
    else:
        await execution.get_result()

    assert sorted(log.read_text().split()) == sorted(ends)


async def test_a_run_waits_first_and_does_nothing_where_a_precondition_does_not_hold(
    client: WorkflowClient, tmp_path: Path
) -> None:
    made = (
        Workflow("first")
        .params(go=True)
        .delay(0.01)
        .preconditions("inputs.go")
        .cleanup_timeout("5s")
        .step("work", f"echo work >> {tmp_path}/log")
        .step("tidy", f"echo tidy >> {tmp_path}/log", always=True)
    )

    await result(client, made, input={"go": False})
    assert (tmp_path / "log").read_text().split() == ["tidy"]
    await result(client, made)
    assert (tmp_path / "log").read_text().split() == ["tidy", "work", "tidy"]


async def test_a_mail_that_cannot_be_sent_fails_no_run(client: WorkflowClient, unused_tcp_port: int) -> None:
    server: dict[str, Any] = {
        "sender": "a@example.org",
        "server": "127.0.0.1",
        "port": unused_tcp_port,
        "security": "none",
    }
    made = Workflow("told").step("work", "echo done").notifications("b@example.org", mail_on_success=True, **server)

    execution = await client.run_workflow(made)

    assert (await execution.get_result())["stdout"] == "done"


async def test_a_class_has_declared_steps_beside_its_methods(client: WorkflowClient) -> None:
    @workflow(name="mixed")
    class Mixed:
        word = Step("word", "echo hello")

        @step(depends_on=["word"])
        def shout(self, word_result: dict[str, Any]) -> str:
            return str(word_result["stdout"]).upper()

    assert await result(client, Mixed()) == "HELLO"


async def test_a_language_model_is_not_asked_where_none_is_configured(client: WorkflowClient) -> None:
    with pytest.raises(UnreachableError, match="no language model is configured"):
        await result(client, Workflow("ask", steps=[Step("a").chat("who?").retries(3)]))
    assert not [name for name in os.environ if name.startswith("WORKFLOW_AGENT_MODELS")]


@pytest.mark.parametrize(("size", "branch"), [(3, "large"), (1, "small")])
async def test_tasks_take_one_branch_and_repeat(client: WorkflowClient, size: int, branch: str) -> None:
    text = """
id: branches
inputs: {size: {type: integer, required: true}}
tasks:
  - {id: big, type: condition, condition: inputs.size > 2, then: [large], else: [small]}
  - {id: large, type: loop, agent_id: shell.run, items: [1, 2], inputs: {command: echo large}}
  - {id: small, type: loop, agent_id: shell.run, until: iteration == 2, inputs: {command: echo small}}
  - id: last
    type: agent
    agent_id: shell.run
    inputs: {command: 'echo "$A $B"', env: {A: "${{ steps.large.status }}", B: "${{ steps.small.status }}"}}
dependencies: {last: [large, small]}
"""

    result_of_last = await result(client, load_flow(text, source="b.yaml"), input={"size": size})

    assert result_of_last["stdout"] == ("succeeded skipped" if branch == "large" else "skipped succeeded")
