"""The port ChatModel: the service over HTTP and the one of tests keep the same promises."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from workflow_agent.agents.chat_models import ChatModel, ChatQuestion, HttpChatModel
from workflow_agent.agents.http_calls import AiohttpCalls
from workflow_agent.agents.model_agent import ChatRequest, ModelAgent
from workflow_agent.app.clock import SystemClock
from workflow_agent.bus import InProcessBus
from workflow_agent.model.errors import ParameterError, StepFailedError, UnreachableError
from workflow_agent.model.message import Message
from workflow_agent.security.secret import Secret
from workflow_agent.security.vault import Vault
from workflow_agent.store import SqliteStore
from workflow_agent.testing.model_service import ModelService
from workflow_agent.testing.scripted_model import ScriptedModel, tool_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

_KEY = "key-of-the-service"


class Service:
    """A server that speaks chat completions, says what it is told to and keeps what it was asked."""

    def __init__(self, *answers: str, reply: Callable[[], web.Response] | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self._answers = list(answers)
        self._reply = reply
        application = web.Application()
        application.router.add_post("/v1/chat/completions", self._complete)
        self.server = TestServer(application)

    async def _complete(self, request: web.Request) -> web.Response:
        said = await request.json()
        self.asked.append(said)
        self.keys.append(request.headers.get("Authorization"))
        if self._reply is not None:
            return self._reply()
        if not self._answers:
            return web.json_response({"error": "no answer"}, status=400)
        text = self._answers.pop(0)
        words = sum(len(each["content"].split()) for each in said["messages"])
        return web.json_response(
            {
                "model": said["model"],
                "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": words, "completion_tokens": len(text.split())},
            }
        )

    def model(self, key: str = "") -> HttpChatModel:
        return HttpChatModel(AiohttpCalls(), url=str(self.server.make_url("/v1/")), model="scripted", key=key)


@asynccontextmanager
async def over_http(*answers: Any) -> AsyncIterator[ChatModel]:
    async with ModelService(ScriptedModel(*answers)).running() as model:
        yield model


@asynccontextmanager
async def scripted(*answers: Any) -> AsyncIterator[ChatModel]:
    yield ScriptedModel(*answers)


def question(text: str, **more: Any) -> ChatQuestion:
    return ChatQuestion(messages=({"role": "user", "content": text},), **more)


@pytest.fixture(params=[over_http, scripted], ids=["http", "scripted"])
def opened(request: pytest.FixtureRequest) -> Callable[..., AbstractAsyncContextManager[ChatModel]]:
    made: Callable[..., AbstractAsyncContextManager[ChatModel]] = request.param
    return made


async def test_answers_come_in_order_and_are_counted(
    opened: Callable[..., AbstractAsyncContextManager[ChatModel]],
) -> None:
    async with opened("one two", "three") as model:
        first = await model.complete(question("a b c"))
        second = await model.complete(question("d", model="other", temperature=0.0, max_tokens=5, as_json=True))

        assert (first.text, first.model, first.finish) == ("one two", "scripted", "stop")
        assert (first.input_tokens, first.output_tokens) == (3, 2)
        assert (second.text, second.model) == ("three", "other")
        assert model.describe("").startswith("scripted ")
        assert model.describe("other").startswith("other ")


async def test_tools_that_it_wants_called_come_in_order_with_its_own_words(
    opened: Callable[..., AbstractAsyncContextManager[ChatModel]],
) -> None:
    both = (tool_call("price", {"item": "tea"}, "a"), tool_call("price", "{nonsense", "b"))
    schema = {"type": "object", "properties": {"item": {"type": "string"}}}
    tools = ({"name": "price", "description": "Looks it up.", "parameters": schema},)
    async with opened(both, "done") as model:
        first = await model.complete(question("a b c", tools=tools))
        said: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": []}
        result = {"role": "tool", "tool_call_id": "a", "content": "4.2"}
        last = await model.complete(
            ChatQuestion(messages=({"role": "user", "content": "a b c"}, said, result), tools=tools)
        )

    assert (first.text, first.calls, first.finish) == ("", both, "tool_calls")
    assert (last.text, last.calls, last.finish) == ("done", (), "stop")


async def test_a_question_that_gets_no_answer_is_a_failure_that_is_final(
    opened: Callable[..., AbstractAsyncContextManager[ChatModel]],
) -> None:
    async with opened() as model:
        with pytest.raises(StepFailedError) as failed:
            await model.complete(question("who is there?"))

    assert failed.value.details["retry"] is None


# -- over HTTP only --------------------------------------------------------------------------------------------------


async def test_the_key_is_sent_and_never_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(f"{_KEY}\n")
    monkeypatch.setenv("OF_THE_SERVICE", _KEY)
    service = Service(reply=lambda: web.Response(status=401, text=f"who is {_KEY}?"))
    async with service.server:
        for place in (f"file:{tmp_path}/key", "env:OF_THE_SERVICE"):
            with pytest.raises(StepFailedError, match="answered 401") as failed:
                await service.model(place).complete(question("x"))
            assert failed.value.cause == "who is ***?"
            assert failed.value.details["retry"] is None
        with pytest.raises(ParameterError, match="environment variable `GONE`") as refused:
            await service.model("env:GONE").complete(question("x"))

    assert refused.value.where == "models.key"
    assert service.keys == [f"Bearer {_KEY}"] * 2


async def test_what_is_asked_is_what_the_service_knows() -> None:
    service = Service("yes")
    async with service.server:
        await service.model().complete(question("x", temperature=0.5, max_tokens=7, as_json=True))

    assert service.asked == [
        {
            "model": "scripted",
            "messages": [{"role": "user", "content": "x"}],
            "temperature": 0.5,
            "max_tokens": 7,
            "response_format": {"type": "json_object"},
        }
    ]
    assert service.keys == [None]


async def test_tools_are_told_as_the_service_knows_them_and_arguments_may_be_an_object() -> None:
    call = {"function": {"name": "price", "arguments": {"item": "tea"}}}
    reply = {"choices": [{"message": {"content": "Let me see.", "tool_calls": [call, {"function": {"name": "all"}}]}}]}
    service = Service(reply=lambda: web.json_response(reply))
    tool = {"name": "price", "description": "", "parameters": {"type": "object"}}
    async with service.server:
        said = await service.model().complete(question("x", tools=(tool,)))

    assert service.asked[0]["tools"] == [{"type": "function", "function": tool}]
    assert said.text == "Let me see."
    assert [(each.id, each.name, each.arguments) for each in said.calls] == [
        ("", "price", '{"item": "tea"}'), ("", "all", "{}"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        '{"choices": []}',
        '{"choices": [{"message": {"content": null}}]}',
        '{"choices": [{"message": {"tool_calls": [{"function": {}}]}}]}',
        '{"choices": [{"message": {"tool_calls": [3]}}]}',
    ],
)
async def test_what_is_no_chat_completion_is_a_failure_and_no_answer(body: str) -> None:
    service = Service(reply=lambda: web.Response(text=body))
    async with service.server:
        with pytest.raises(StepFailedError, match="no chat completion"):
            await service.model().complete(question("x"))


async def test_a_service_that_is_out_of_breath_may_be_asked_again() -> None:
    service = Service(reply=lambda: web.Response(status=503))
    async with service.server:
        with pytest.raises(StepFailedError) as failed:
            await service.model().complete(question("x"))

    assert "retry" not in failed.value.details


@pytest.mark.parametrize(
    ("url", "model", "lacking"), [("", "m", "models.url"), ("http://127.0.0.1:1", "", "models.model")]
)
async def test_nothing_is_asked_where_nothing_is_configured(url: str, model: str, lacking: str) -> None:
    with pytest.raises(UnreachableError, match="no language model is configured") as refused:
        await HttpChatModel(AiohttpCalls(), url=url, model=model, key="").complete(question("x"))

    assert lacking in str(refused.value.cause)


# -- the agent in front of it ------------------------------------------------------------------------------------------


async def chat(model: ChatModel, folder: Path, **said: Any) -> dict[str, Any]:
    """Ask the agent as the bus does."""
    vault = Vault()
    vault.hold("r-1", {"token": Secret("a-very-secret-token")})
    message = Message("agent.model.chat", said, source="test", run_id="r-1", step_id="ask")
    bus = InProcessBus()
    memories = SqliteStore.open_read_only(folder).memories
    verb = ModelAgent(bus, SystemClock(), lambda _: folder, vault, model, memories, {}).verbs()["chat"]
    reply, special = await verb.handler(ChatRequest.model_validate(said), message)
    return {**reply.model_dump(mode="json"), **special}


async def test_the_log_says_who_is_asked_and_no_secret_is(tmp_path: Path) -> None:
    model = ScriptedModel()
    model.says("*secret*", '{"n": 1}')

    reply = await chat(
        model,
        tmp_path,
        prompt="my secret is a-very-secret-token",
        system="Be short.",
        messages=[{"role": "assistant", "content": "hm"}],
        as_json=True,
        keep_as="found",
    )

    assert [each["content"] for each in model.questions[0].messages] == ["Be short.", "hm", "my secret is ***"]
    assert reply["value"] == {"n": 1}
    assert reply["_state"] == {"set": {"found": {"n": 1}}}
    assert "asks scripted of this test" in (tmp_path / "output.log").read_text()
    assert [record["data"]["name"] for record in reply["_records"] if record["kind"] == "metric"] == [
        "input_tokens",
        "output_tokens",
    ]


async def test_an_answer_that_should_be_json_and_is_not_fails_and_so_does_an_empty_question(tmp_path: Path) -> None:
    with pytest.raises(StepFailedError, match="no JSON"):
        await chat(ScriptedModel("well ..."), tmp_path, prompt="x", as_json=True)
    with pytest.raises(ParameterError, match="nothing is asked"):
        await chat(ScriptedModel("x"), tmp_path)
    assert json.loads((await chat(ScriptedModel("7"), tmp_path, prompt="x"))["text"]) == 7
