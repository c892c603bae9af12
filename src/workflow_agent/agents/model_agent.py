"""The model agent: what steps ask of the language model that is configured. Nothing else asks one."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Literal

from workflow_agent.agents.acting import Acting, ActReply, ActRequest
from workflow_agent.agents.agent_tools import tools_of
from workflow_agent.agents.chat_backends import DEFAULT_BACKEND
from workflow_agent.agents.chat_models import ChatQuestion
from workflow_agent.agents.command_agents import keep
from workflow_agent.agents.conversation import Conversation
from workflow_agent.agents.flow_log import FlowLog
from workflow_agent.agents.given_secrets import secret_names
from workflow_agent.agents.masking import masked
from workflow_agent.agents.remembering import MOST_NOTES, collection_of, with_notes
from workflow_agent.agents.serving import Answer, Question, StoppedWork, Verb
from workflow_agent.authoring.durations import duration_s
from workflow_agent.model.data import plain
from workflow_agent.model.errors import ParameterError, StepFailedError, WorkflowAgentError
from workflow_agent.model.identity import content_hash
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass
from workflow_agent.security.vault import missing_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from workflow_agent.agents.chat_models import ChatModel
    from workflow_agent.agents.remembering import AgentMemories
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Bus, Clock
    from workflow_agent.security.masker import Masker
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
    """Answers ``model.chat`` and ``model.act``. The run's log says who is asked, before it is asked.

    Args:
        bus: Tells watchers.
        clock: Times of log lines.
        artifacts: Gives the folder for a run's files.
        vault: The secrets of runs.
        model: Who is asked.
        memories: What agents remember between runs.
        backends: Who else may be asked, by name.
    """

    name = "model"

    def __init__(  # noqa: PLR0917  # the container gives them in this order
        self,
        bus: Bus,
        clock: Clock,
        artifacts: Callable[[str], Path],
        vault: Vault,
        model: ChatModel,
        memories: AgentMemories,
        backends: Mapping[str, ChatModel],
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._artifacts = artifacts
        self._vault = vault
        self._model = model
        self._memories = memories
        self._backends = backends

    def verbs(self) -> Mapping[str, Verb]:
        """Chat, act."""
        chat, act = Verb(ChatRequest, ModelReply, self._chat), Verb(ActRequest, ActReply, self._act)
        return masked(self._vault, {"chat": chat, "act": act})

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

    async def _act(self, request: ActRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        where, run_id = str(message.step_id), str(message.run_id)
        model = self._asked(request, where)
        self._check(request, where, run_id)
        folder = self._artifacts(run_id)
        masker = self._vault.masker(run_id)
        log = FlowLog(self._bus, lambda: folder / "output.log", message, self._clock, masker)
        tools = tools_of(request.agent, request.tools)
        conversation = await asyncio.to_thread(Conversation, _place(folder, request, message))
        if not conversation.opening:
            await asyncio.to_thread(conversation.begin, await self._opening(request, log, masker))
        question = ChatQuestion(
            messages=(),
            tools=tuple(_hidden(tool.told(), masker) for tool in tools.values()),
            model=request.agent.model,
            temperature=request.temperature,
            max_tokens=request.max_tokens,
            timeout_s=duration_s(request.timeout, where=f"{where} › timeout"),
        )
        acting = Acting(
            bus=self._bus,
            model=model,
            log=log,
            request=request,
            question=question,
            message=message,
            conversation=conversation,
            tools=tools,
            masker=masker,
        )
        try:
            said = await acting.answer()
            await self._remember(request, message, said, masker)
        except WorkflowAgentError as error:
            error.details["_records"] = [*log.records(), *acting.records()]
            raise
        except asyncio.CancelledError:
            raise StoppedWork([*log.records(), *acting.records()]) from None
        finally:
            await log.flush()
        kept = acting.state()
        if request.keep_as is not None:
            named = {request.keep_as: said.value if request.as_json else said.text}
            kept["set"] = kept.get("set", {}) | named
        special: dict[str, Any] = {"_records": [*log.records(), *acting.records()]}
        return said, special | ({"_state": kept} if kept else {})

    def _asked(self, request: ActRequest, where: str) -> ChatModel:
        """Give who answers the agent of a request."""
        name = request.agent.llm_backend
        if name in {"", DEFAULT_BACKEND}:
            return self._model
        if name not in self._backends:
            known = [DEFAULT_BACKEND, *self._backends]
            hint = did_you_mean(name, known) or "`[llm_backends.NAME]` in the configuration: `url`, `model`, `key`"
            raise ParameterError(f"there is no `llm_backend` `{name[:60]}`", where=where, hint=hint)
        return self._backends[name]

    def _check(self, request: ActRequest, where: str, run_id: str) -> None:
        """Refuse what could only fail after the model was asked."""
        if not request.prompt:
            raise ParameterError("nothing is asked: give a `prompt`", where=where)
        held = self._vault.names(run_id)
        wanted = secret_names([plain(tool) for tool in request.tools])
        if missing := frozenset(name for name in wanted if name not in held):
            raise missing_secret(missing)

    async def _opening(self, request: ActRequest, log: FlowLog, masker: Masker | None) -> list[dict[str, str]]:
        """Give what a conversation begins with: instructions, what is remembered, the task; without secrets."""
        system, prompt = request.agent.system_prompt, request.prompt
        if masker is not None:
            system, prompt = masker.mask_excerpt(system), masker.mask_excerpt(prompt)
        collection = collection_of(request.agent)
        if collection is not None:
            known = await self._memories.recall(collection, prompt, MOST_NOTES)
            log.log("info", f"remembers {len(known)} answers of the collection {collection}")  # noqa: G004
            prompt = with_notes(prompt, known)
            prompt = prompt if masker is None else masker.mask_excerpt(prompt)
        first = [{"role": "system", "content": system}] if system else []
        return [*first, {"role": "user", "content": prompt}]

    async def _remember(self, request: ActRequest, message: Message, said: ActReply, masker: Masker | None) -> None:
        """Keep a task and its answer for later runs; asked again, the same step keeps them once."""
        collection = collection_of(request.agent)
        if collection is None:
            return
        entry = {
            "source": message.headers.get("idempotency-key") or f"{message.run_id} {message.step_id}",
            "run_id": message.run_id,
            "agent": request.agent.id,
            "asked": request.prompt if masker is None else masker.mask_excerpt(request.prompt),
            "answered": said.text,
            "kept_at": self._clock.now(),
        }
        await self._memories.remember(collection, entry)


def _hidden(told: dict[str, Any], masker: Masker | None) -> dict[str, Any]:
    hidden: dict[str, Any] = told if masker is None else masker.mask_value(told)
    return hidden


def _place(folder: Path, request: ActRequest, message: Message) -> Path:
    """Name the file of a conversation: another task of the same step, after a change by a person, has another one."""
    asked = content_hash([message.headers.get("idempotency-key"), plain(request)])
    unit = re.sub(r"[^A-Za-z0-9_.#-]", "_", str(message.step_id))[:80]
    return folder / "agents" / f"{unit}-{asked[:16]}.jsonl"


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
