"""The model agent: a question of a step to the language model that is configured. Nothing else asks one."""

from __future__ import annotations

import json
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Literal

from workflow_agent.agents.chat_models import ChatQuestion
from workflow_agent.agents.command_agents import keep
from workflow_agent.agents.flow_log import FlowLog
from workflow_agent.agents.masking import masked
from workflow_agent.agents.serving import Answer, Question, Verb
from workflow_agent.authoring.durations import duration_s
from workflow_agent.model.errors import ParameterError, StepFailedError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from workflow_agent.agents.chat_models import ChatModel
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Bus, Clock
    from workflow_agent.security.vault import Vault

__all__ = ["ChatMessage", "ChatRequest", "ModelAgent", "ModelReply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(Question):
    """Ask the configured language model: a `prompt`, or a whole conversation (`messages`), after `system`.

    What a step asks leaves this machine. Secrets that it holds do not: `***` stands in their place. With `as_json` the
    answer must be JSON.
    """

    prompt: str = ""
    system: str = ""
    messages: list[ChatMessage] = field(default_factory=list)
    model: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    as_json: bool = False
    timeout: str = "1m"
    keep_as: str | None = None


class ModelReply(Answer):
    """What it said, as `text` and, where that was asked for, as `value`; who said it; what it counted."""

    text: str
    model: str
    finish: str
    input_tokens: int
    output_tokens: int
    value: Any = None


class ModelAgent:
    """Answers ``model.chat``. The run's log says who is asked, before it is asked.

    Args:
        bus: Tells watchers.
        clock: Times of log lines.
        artifacts: Gives the folder for a run's files.
        vault: The secrets of runs.
        model: Who is asked.
    """

    name = "model"

    def __init__(  # the container gives them in this order
        self, bus: Bus, clock: Clock, artifacts: Callable[[str], Path], vault: Vault, model: ChatModel
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._artifacts = artifacts
        self._vault = vault
        self._model = model

    def verbs(self) -> Mapping[str, Verb]:
        """Chat."""
        return masked(self._vault, {"chat": Verb(ChatRequest, ModelReply, self._chat)})

    async def _chat(self, request: ChatRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        where, run_id = str(message.step_id), str(message.run_id)
        masker = self._vault.masker(run_id)
        question = _question(request, where)
        if masker is not None:
            hidden = masker.mask_value([dict(each) for each in question.messages])
            question = replace(question, messages=tuple(hidden))
        path = self._artifacts(run_id) / "output.log"
        log = FlowLog(self._bus, lambda: path, message, self._clock, masker)
        asked = self._model.describe(request.model)
        log.log("info", f"asks {asked}")  # noqa: G004  # the run's log, not Python's
        try:
            reply = await self._model.complete(question)
            log.metric("input_tokens", reply.input_tokens, {"model": reply.model})
            log.metric("output_tokens", reply.output_tokens, {"model": reply.model})
        finally:
            await log.flush()
        value = _value(reply.text, where) if request.as_json else None
        said = ModelReply(
            text=reply.text,
            model=reply.model,
            finish=reply.finish,
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
            value=value,
        )
        kept = keep(request.keep_as, value if request.as_json else reply.text)
        return said, kept | {"_records": log.records()}


def _question(request: ChatRequest, where: str) -> ChatQuestion:
    messages = [{"role": each.role, "content": each.content} for each in request.messages]
    if request.system:
        messages.insert(0, {"role": "system", "content": request.system})
    if request.prompt:
        messages.append({"role": "user", "content": request.prompt})
    if not request.prompt and not request.messages:
        raise ParameterError("nothing is asked: give a `prompt`, or `messages`", where=where)
    return ChatQuestion(
        messages=tuple(messages),
        model=request.model,
        temperature=request.temperature,
        max_tokens=request.max_tokens,
        as_json=request.as_json,
        timeout_s=duration_s(request.timeout, where=f"{where} › timeout"),
    )


def _value(text: str, where: str) -> Any:  # Any: a JSON value
    try:
        return json.loads(text)
    except ValueError as error:
        raise StepFailedError(
            "the model's answer is no JSON",
            where=where,
            cause=text[:400],
            hint="say in the prompt how the object looks, or let the step be tried again (`retry`)",
        ) from error
