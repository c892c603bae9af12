"""A scripted model behind a real HTTP server that speaks chat completions."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from workflow_agent.agents.chat_models import ChatQuestion, HttpChatModel
from workflow_agent.agents.http_calls import AiohttpCalls
from workflow_agent.model.errors import StepFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workflow_agent.agents.chat_models import ChatReply
    from workflow_agent.testing.scripted_model import ScriptedModel

__all__ = ["ModelService"]


class ModelService:
    """Answers ``POST /v1/chat/completions`` with what a scripted model says; a question without an answer gets a 400.

    Args:
        model: What it says.
    """

    def __init__(self, model: ScriptedModel) -> None:
        self.script = model
        #: The bodies of all requests, in order.
        self.asked: list[dict[str, Any]] = []
        #: Statuses with which the next questions are refused, before the model is asked.
        self.refusals: list[int] = []
        application = web.Application()
        application.router.add_post("/v1/chat/completions", self._complete)
        self._server = TestServer(application)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[HttpChatModel]:
        """Serve on a port of this machine; gives a model that asks there."""
        async with self._server:
            yield HttpChatModel(AiohttpCalls(), url=self.url, model="scripted", key="")

    @property
    def url(self) -> str:
        """Its base address, while it is running."""
        return str(self._server.make_url("/v1"))

    async def _complete(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.asked.append(asked)
        if self.refusals:
            return web.json_response({"error": "not now"}, status=self.refusals.pop(0))
        tools = tuple(each["function"] for each in asked.get("tools", ()))
        question = ChatQuestion(messages=tuple(asked["messages"]), model=asked["model"], tools=tools)
        try:
            return web.json_response(_completion(await self.script.complete(question)))
        except StepFailedError as error:
            return web.json_response({"error": error.message}, status=400)


def _completion(reply: ChatReply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None if reply.calls else reply.text}
    if reply.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.calls
        ]
    return {
        "model": reply.model,
        "choices": [{"message": message, "finish_reason": reply.finish}],
        "usage": {"prompt_tokens": reply.input_tokens, "completion_tokens": reply.output_tokens},
    }
