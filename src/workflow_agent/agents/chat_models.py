"""Chat with a language model: the port, and an HTTP service behind it that speaks the chat completions form.

Which service that is, is configuration (``[models]``); nothing is asked where nothing is configured. Source: the
request and the reply of ``POST /v1/chat/completions`` as OpenAI publishes them, which other services follow.
"""

from __future__ import annotations

import json
import os
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

from workflow_agent.agents.http_calls import HttpCall
from workflow_agent.model.errors import ParameterError, StepFailedError, UnreachableError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.agents.http_calls import HttpAnswer, HttpCalls

__all__ = ["ChatModel", "ChatQuestion", "ChatReply", "HttpChatModel", "ToolCall"]

_OK = 200
_FINAL = frozenset({400, 401, 403, 404, 405, 413, 422})
_SHOWN = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatQuestion:
    """What a model is asked. `messages` are ``{"role", "content"}``; `model` "" is the configured one.

    `tools` are what it may call, each ``{"name", "description", "parameters"}`` with a JSON Schema. A reply that called
    some stands among the messages with its ``tool_calls``, and each result after it as ``{"role": "tool",
    "tool_call_id", "content"}``.
    """

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    model: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    as_json: bool = False
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool that a model wants called. `arguments` is its own text: JSON, if it kept to what it was told."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReply:
    """What it said, and which tools it wants called, in this order.

    `finish` is why it ended: ``stop``, ``tool_calls``, ``length`` or what the service says besides.
    """

    text: str
    calls: tuple[ToolCall, ...] = ()
    model: str
    finish: str = "stop"
    input_tokens: int = 0
    output_tokens: int = 0


class ChatModel(Protocol):
    """Answers questions in words."""

    def describe(self, model: str) -> str:
        """Say who is about to be asked, for the run's log; raises UnreachableError where nobody is configured."""
        ...

    async def complete(self, question: ChatQuestion) -> ChatReply:
        """Ask.

        Raises:
            UnreachableError: nobody is configured, or nobody answers.
            StepFailedError: the service refused, or what came is no answer.
            StepTimeoutError: it took too long.
        """
        ...


class HttpChatModel:
    """A service that speaks chat completions over HTTP.

    Args:
        calls: Sends requests.
        url: Base address, the part before ``/chat/completions``; empty: nobody is configured.
        model: Model that is asked where a step names none.
        key: Where the key comes from, ``env:NAME`` or ``file:PATH``; empty: none is sent.
        setting: Section of the settings that says all this.
    """

    def __init__(self, calls: HttpCalls, *, url: str, model: str, key: str, setting: str = "models") -> None:
        self._calls = calls
        self._url = url.rstrip("/")
        self._model = model
        self._key = key
        self._setting = setting

    def describe(self, model: str) -> str:
        """See :class:`ChatModel`."""
        wanted = model or self._model
        if not self._url or not wanted:
            lacking = f"{self._setting}.model" if self._url else f"{self._setting}.url"
            raise UnreachableError(
                "no language model is configured",
                cause=f"the setting `{lacking}` is empty",
                hint=f"`[{self._setting}]` in the configuration: `url`, `model`, `key`",
                details={"retry": None},
            )
        return f"{wanted} at {self._url}"

    async def complete(self, question: ChatQuestion) -> ChatReply:
        """See :class:`ChatModel`."""
        self.describe(question.model)
        asked: dict[str, Any] = {
            "model": question.model or self._model,
            "messages": [dict(each) for each in question.messages],
        }
        optional = {"temperature": question.temperature, "max_tokens": question.max_tokens}
        asked |= {name: value for name, value in optional.items() if value is not None}
        if question.as_json:
            asked["response_format"] = {"type": "json_object"}
        if question.tools:
            asked["tools"] = [{"type": "function", "function": dict(each)} for each in question.tools]
        key = self._secret()
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        call = HttpCall(
            method="POST",
            url=f"{self._url}/chat/completions",
            headers=headers,
            body=json.dumps(asked).encode(),
            timeout_s=question.timeout_s,
            is_bound=True,
        )
        answer = await self._calls.send(call)
        text = answer.text.replace(key, "***") if key else answer.text
        if answer.status != _OK:
            final = {"retry": None} if answer.status in _FINAL else {}
            raise StepFailedError(
                f"the model's service answered {answer.status}",
                where=call.place,
                cause=text[:_SHOWN] or None,
                details={"status": answer.status, **final},
            )
        return _reply(text, answer, asked["model"], call.place)

    def _secret(self) -> str:
        if not self._key:
            return ""
        from workflow_agent.security.sources import parse_sources, read_secrets  # noqa: PLC0415  # late: few ask

        try:
            sources = parse_sources([f"key={self._key}"])
            return read_secrets(sources, environ=os.environ, stdin=BytesIO())["key"].reveal()
        except ParameterError as error:
            hint = "write it as `env:NAME` or `file:PATH`"
            raise ParameterError(error.message, where=f"{self._setting}.key", cause=error.cause, hint=hint) from None


def _reply(text: str, answer: HttpAnswer, model: str, where: str) -> ChatReply:
    try:
        data = json.loads(text)
        choice = data["choices"][0]
        usage = data.get("usage") or {}
        calls = tuple(_call(each) for each in choice["message"].get("tool_calls") or ())
        content = choice["message"].get("content")
        return ChatReply(
            text=content or "" if calls else "" + content,  # null is no text
            calls=calls,
            model=str(data.get("model") or model),
            finish=str(choice.get("finish_reason") or "stop"),
            input_tokens=int(usage.get("prompt_tokens") or 0),
            output_tokens=int(usage.get("completion_tokens") or 0),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise StepFailedError(
            "what the model's service answered is no chat completion",
            where=where,
            cause=f"{type(error).__name__}: {answer.text[:_SHOWN]}",
        ) from None


def _call(said: Mapping[str, Any]) -> ToolCall:
    arguments = said["function"].get("arguments") or "{}"
    if not isinstance(arguments, str):  # some services give the object itself
        arguments = json.dumps(arguments)
    return ToolCall(id=str(said.get("id") or ""), name="" + said["function"]["name"], arguments=arguments)
