"""A server that dies or goes away in the middle of things: runs end, streams go on, nothing begins twice."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from workflow_agent import ExecutionMode, Step, Workflow, WorkflowClient
from workflow_agent.model.errors import ConflictError, ParameterError, TokenRefusedError, UnreachableError
from workflow_agent.model.status import RunStatus
from workflow_agent.security.secret import Secret
from workflow_agent.testing.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from workflow_agent import WorkflowEvent

NAMES = "abcdef"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "state") as started:
        yield started


def flow(folder: Path) -> Workflow:
    """Six steps that say that they ran; the third waits for a file."""
    steps = [Step(name, f"echo {name} >>{folder}/ran") for name in NAMES]
    steps[2] = Step("c", f"echo c >>{folder}/ran; until test -e {folder}/gate; do sleep 0.02; done")
    return Workflow("six", steps=steps).chain()


async def until_ran(folder: Path, text: str) -> None:
    while not (folder / "ran").exists() or (folder / "ran").read_text() != text:  # noqa: ASYNC110  # a file tells nobody
        await asyncio.sleep(0.02)


async def test_a_killed_server_takes_its_runs_up_and_streams_go_on(server: ServerProcess, tmp_path: Path) -> None:
    """What was done is not done again; the reader sees each event once, in order, as if nothing had happened."""
    async with WorkflowClient(server.url, server.token) as client:
        execution = await client.run_workflow(flow(tmp_path), ExecutionMode.ASYNC)
        seen: list[WorkflowEvent] = []

        halfway = asyncio.Event()

        async def read() -> None:
            async for event in execution.stream_events():
                seen.append(event)
                if (event.step, event.type) == ("c", "step_started"):
                    halfway.set()

        reading = asyncio.create_task(read())
        await asyncio.wait_for(halfway.wait(), 30)
        await until_ran(tmp_path, "a\nb\nc\n")
        ending = asyncio.create_task(execution.get_result())
        await asyncio.sleep(0.2)  # so that it waits at the server
        server.kill()
        (tmp_path / "gate").touch()
        await asyncio.to_thread(server.start)
        assert (await ending)["exit_code"] == 0
        await asyncio.wait_for(reading, 30)

        assert [(event.step, event.type) for event in seen] == [
            (None, "workflow_started"),
            *((name, kind) for name in NAMES for kind in ("step_started", "step_completed")),
            (None, "workflow_completed"),
        ]
        whole = [event async for event in execution.stream_events()]
        assert [(event.step, event.type) for event in whole] == [(event.step, event.type) for event in seen]
    assert (tmp_path / "ran").read_text() == "a\nb\nc\nc\nd\ne\nf\n"  # at least once: what was in flight


async def test_a_killed_server_leaves_a_place_to_go_on_from(server: ServerProcess, tmp_path: Path) -> None:
    """Whoever kept the id of the last event goes on behind it with another client, at another server."""
    client = WorkflowClient(server.url, server.token)
    execution = await client.run_workflow(flow(tmp_path), ExecutionMode.ASYNC)
    seen = []
    events: AsyncIterator[WorkflowEvent] = execution.stream_events()
    async for event in events:
        seen.append(event)
        if (event.step, event.type) == ("c", "step_started"):
            break
    server.kill()
    with suppress(UnreachableError):
        await events.aclose()  # type: ignore[attr-defined]  # a generator
    (tmp_path / "gate").touch()
    server.start()

    again = await WorkflowClient(server.url, server.token).get_execution(execution.id)
    seen += [event async for event in again.stream_events(after=seen[-1].id)]

    assert [(event.step, event.type) for event in seen if event.step] == [
        (name, kind) for name in NAMES for kind in ("step_started", "step_completed")
    ]
    assert seen[-1].type == "workflow_completed"


async def test_a_paused_run_stays_so_over_a_restart_and_goes_on_when_it_is_told(
    server: ServerProcess, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    async with WorkflowClient(server.url, server.token) as client:
        execution = await client.run_workflow(flow(tmp_path), ExecutionMode.ASYNC, break_before=["d"])
        async for event in execution.stream_events():
            if event.type == "workflow_paused":
                break
        server.kill()
        await asyncio.to_thread(server.start)
        assert await execution.get_status() is RunStatus.PAUSED
        with pytest.raises(ConflictError, match="no process drives"):
            await execution.wait()

        await execution.unpause()

        assert await execution.wait() is RunStatus.SUCCEEDED
        with pytest.raises(ConflictError, match="has ended"):
            await execution.unpause()
    assert (tmp_path / "ran").read_text() == "".join(f"{name}\n" for name in NAMES)


async def test_a_run_that_lost_its_secrets_goes_on_with_them(server: ServerProcess, tmp_path: Path) -> None:
    async with WorkflowClient(server.url, server.token) as client:
        secrets = {"key": Secret("canary-9d2f6a")}
        execution = await client.run_workflow(flow(tmp_path), ExecutionMode.ASYNC, secrets=secrets)
        await until_ran(tmp_path, "a\nb\nc\n")
        server.kill()
        (tmp_path / "gate").touch()
        await asyncio.to_thread(server.start)
        with pytest.raises(ParameterError, match="`key`"):
            await client.resume(execution.id)

        resumed = await client.resume(execution.id, secrets=secrets)

        assert (resumed.id, await resumed.get_status()) == (execution.id, RunStatus.SUCCEEDED)
        assert "canary" not in server.talk


class LossyProxy:
    """Hands requests on, and loses so many answers to those that begin runs."""

    def __init__(self, port: int, losses: int) -> None:
        self._port = port
        self.losses = losses
        self.begun = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            while head := await self._part(reader):
                here.write(head)
                answer = await self._part(there)
                self.begun += head.startswith(b"POST")
                if head.startswith(b"POST") and self.losses:
                    self.losses -= 1
                    break
                writer.write(answer)
        finally:
            here.close()
            writer.close()

    @staticmethod
    async def _part(reader: asyncio.StreamReader) -> bytes:
        """Give a whole request or answer; they say how long they are."""
        head = b""
        with suppress(asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [line.split()[1] for line in head.lower().splitlines() if line.startswith(b"content-length:")]
            head += await reader.readexactly(int(lengths[0])) if lengths else b""
        return head


async def test_a_request_whose_answer_is_lost_begins_one_run(server: ServerProcess, tmp_path: Path) -> None:
    proxy = LossyProxy(int(server.url.rpartition(":")[2]), losses=2)
    listening = await asyncio.start_server(proxy, "127.0.0.1", 0)
    async with (
        listening,
        WorkflowClient(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", server.token) as client,
    ):
        await client.get_metrics_text()  # it is there
        execution = await client.run_workflow(Workflow("one", steps=[Step("a", f"echo x >>{tmp_path}/ran")]))

        assert await execution.wait() is RunStatus.SUCCEEDED
        assert (proxy.begun, proxy.losses) == (3, 0)
    assert (tmp_path / "ran").read_text() == "x\n"


async def test_a_wrong_token_is_refused_at_once(server: ServerProcess, tmp_path: Path) -> None:
    began = time.monotonic()
    for token in ("wfa_" + "0" * 64, server.token[:-1], "not-the-token"):
        client = WorkflowClient(server.url, token)
        with pytest.raises(TokenRefusedError) as refused:
            await client.run_workflow(flow(tmp_path))
        assert (refused.value.exit_code, refused.value.http_status) == (4, 401)
        assert token not in str(refused.value.to_dict())
    assert time.monotonic() - began < 10
    assert not (tmp_path / "ran").exists()


async def test_a_server_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(UnreachableError, match="cannot be reached") as refused:
        await WorkflowClient("http://127.0.0.1:1", "t").run_workflow(Workflow("one", steps=[Step("a", "true")]))
    assert (refused.value.exit_code, "workflow-agent serve" in str(refused.value.hint)) == (7, True)


async def test_what_answers_may_be_something_else() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno")
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        with pytest.raises(UnreachableError, match="no server of workflow-agent"):
            await WorkflowClient(url, "t").get_metrics_text()


async def test_a_unix_socket_serves_the_same_client(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "state", socket=tmp_path / "s.sock") as server:
        assert server.url == f"unix:{tmp_path}/s.sock"
        async with WorkflowClient(server.url, server.token) as client:
            execution = await client.run_workflow(Workflow("one", steps=[Step("a", "echo done")]))
            assert (await execution.get_result())["stdout"] == "done"
            assert client.get_workflow_status(execution.id) is RunStatus.SUCCEEDED
