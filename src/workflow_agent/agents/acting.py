"""The loop of an agent: the model is asked, the tools that it wants are called, what they gave is told to it.

It ends with a reply that wants no tool, or after the agent's `max_iterations`. Every reply and every result is on disk
before the next one is asked for (``conversation``).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.agents.agent_tools import RefusedCallError, ToolResult, call_tool, checked_arguments, clean
from workflow_agent.agents.serving import Answer, Question
from workflow_agent.model.agent_definition import AgentDefinition, ToolDefinition  # noqa: TC001  # fields are read
from workflow_agent.model.errors import IterationLimitError
from workflow_agent.model.event import RecordKind
from workflow_agent.model.records import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.agents.agent_tools import Tool
    from workflow_agent.agents.chat_models import ChatModel, ChatQuestion, ChatReply
    from workflow_agent.agents.conversation import Conversation, Turn
    from workflow_agent.agents.flow_log import FlowLog
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Bus
    from workflow_agent.security.masker import Masker

__all__ = ["ActReply", "ActRequest", "Acting"]

#: Tools that one reply may want called; a model that wants more is told so.
_MOST_CALLS: Final = 32
#: Characters of arguments and results that the journal keeps, and that a line of the log shows.
_KEPT: Final = 2000
_SHOWN: Final = 300
#: Characters of a reply that are kept; no answer of use is longer.
_MOST_TEXT: Final = 200_000
#: No service takes longer names of functions than 64 characters.
_LONGEST_NAME: Final = 200
_TOO_MANY: Final = f"error: one reply may call {_MOST_CALLS} tools; this one and what came after it were not called"
_UNKNOWN: Final = (
    "error: the process ended while this was called, and nobody knows whether it was done; it is not called again"
)


class ActRequest(Question):
    """Let an agent work on a task: the `prompt`. It may call its tools until it answers.

    What it is told leaves this machine, as with `model.chat`. `tools` are the declared ones that the agent names by
    their id; a function needs no declaration. `timeout` is for each question. A step that is taken up goes on after
    the last turn.
    """

    agent: AgentDefinition
    prompt: str
    tools: list[ToolDefinition] = field(default_factory=list)
    temperature: float | None = None
    max_tokens: int | None = None
    as_json: bool = False
    timeout: str = "1m"
    keep_as: str | None = None


class ActReply(Answer):
    """What it answered, as `text` and, where that was asked for, as `value`; how often it was asked, what it called."""

    text: str
    model: str
    finish: str
    iterations: int
    calls: int
    input_tokens: int
    output_tokens: int
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """One agent at work on one step.

    Attributes:
        request: What is asked of it.
        question: What every question to the model has: who, how long.
        message: The step's request.
        conversation: What was said so far.
        tools: What it may call, by name.
        masker: Hides the secrets of the run; None where it has none.
    """

    bus: Bus
    model: ChatModel
    log: FlowLog
    request: ActRequest
    question: ChatQuestion
    message: Message
    conversation: Conversation
    tools: Mapping[str, Tool]
    masker: Masker | None

    async def answer(self) -> ActReply:
        """Go on until the model answers.

        Raises:
            IterationLimitError: it did not within its iterations.
            WorkflowAgentError: the model cannot be asked, or the run was stopped.
        """
        turns = self.conversation.turns
        if turns:
            self.log.log("info", f"goes on after {len(turns)} turns that were kept")  # noqa: G004  # the run's log
        while True:
            if turns:
                await self._finish(turns[-1], len(turns))
            if turns and turns[-1].is_final:
                return self._reply(turns[-1])
            if len(turns) >= self.request.agent.max_iterations:
                raise self._over()
            await self._ask()

    def records(self) -> list[dict[str, Any]]:
        """Give the records of this attempt for the journal: what tools logged, and each call."""
        found: list[dict[str, Any]] = []
        for _, result in self._results():
            if result["call"]["attempt"] == self.message.attempt:
                found += [*result["records"], {"kind": RecordKind.TOOL_CALL.value, "data": result["call"]}]
        return found

    def state(self) -> dict[str, Any]:
        """Give what tools kept in the run's state, the last word last."""
        kept: dict[str, Any] = {}
        gone: dict[str, None] = {}
        for _, result in self._results():
            for key, value in result["state"].get("set", {}).items():
                kept[key] = value
                gone.pop(key, None)
            for key in result["state"].get("delete", ()):
                kept.pop(key, None)
                gone[key] = None
        return {name: part for name, part in (("set", kept), ("delete", [*gone])) if part}

    def _results(self) -> Iterator[tuple[Turn, dict[str, Any]]]:
        for turn in self.conversation.turns:
            for _, result in sorted(turn.results.items()):
                yield turn, result

    # -- the model ---------------------------------------------------------------------------------------------------

    async def _ask(self) -> None:
        number = len(self.conversation.turns) + 1
        messages = self.conversation.window(self.request.agent.memory_config.window_size)
        self.log.log("info", f"turn {number}: asks {self.model.describe(self.question.model)}")  # noqa: G004
        said = await self.model.complete(replace(self.question, messages=tuple(messages)))
        for name in ("input_tokens", "output_tokens"):
            self.log.metric(name, getattr(said, name), {"model": said.model})
        said = self._hidden(_bounded(said))
        told = ""
        if self.request.as_json and not said.calls and not _is_json(said.text):
            told = "Your answer is no JSON. Answer with JSON, and nothing else."
        await asyncio.to_thread(self.conversation.reply, said, told)

    def _hidden(self, said: ChatReply) -> ChatReply:
        """Hide secrets in what the model said: tools may be told its words, and files keep them."""
        if self.masker is None:
            return said
        hide = self.masker.mask
        calls = tuple(replace(call, name=hide(call.name), arguments=hide(call.arguments)) for call in said.calls)
        return replace(said, text=self.masker.mask_excerpt(said.text), calls=calls)

    def _reply(self, turn: Turn) -> ActReply:
        turns = self.conversation.turns
        return ActReply(
            text=turn.text,
            model=turn.model,
            finish=turn.finish,
            iterations=len(turns),
            calls=sum(1 for _ in self._results()),
            input_tokens=sum(each.input_tokens for each in turns),
            output_tokens=sum(each.output_tokens for each in turns),
            value=json.loads(turn.text) if self.request.as_json else None,
        )

    def _over(self) -> IterationLimitError:
        most = self.request.agent.max_iterations
        called = Counter(call["name"] for turn in self.conversation.turns for call in turn.calls)
        done = ", ".join(f"`{clean(name, 60)}` {count} times" for name, count in called.most_common(10))
        return IterationLimitError(
            f"the agent `{self.request.agent.id}` came to no answer in {most} iterations",
            where=str(self.message.step_id),
            cause=clean(self.conversation.turns[-1].text, _SHOWN) or None,
            state=f"it called {done}" if done else "it called no tools",
            hint=f"look at what it did (`workflow-agent show {self.message.run_id}`); say more in its instructions, "
            "or let it have more `max_iterations`",
            details={"iterations": most, "calls": dict(called.most_common(100)), "retry": None},
        )

    # -- tools -------------------------------------------------------------------------------------------------------

    async def _finish(self, turn: Turn, number: int) -> None:
        """Call what a turn wants called and has no result yet, in order."""
        for index, call in enumerate(turn.calls):
            if index in turn.results:
                continue
            at, began = time.time(), time.monotonic()
            result = await self._called(turn, number, index)
            shown, said = clean(call["arguments"], _KEPT), clean(result.text, _KEPT)
            level = "warning" if result.is_error else "info"
            self.log.log(level, f"turn {number}: {_line(call['name'])} gave {_line(said)}")  # noqa: G004
            kept = {
                "text": result.text,
                "records": result.records,
                "state": dict(result.state),
                "call": {
                    "at": at, "step": self.message.step_id, "attempt": self.message.attempt,
                    "agent": self.request.agent.id, "turn": number, "tool": clean(call["name"], 80),
                    "arguments": shown, "result": said, "is_error": result.is_error,
                    "took_s": round(time.monotonic() - began, 3),
                },
            }  # fmt: skip
            await asyncio.to_thread(self.conversation.result, index, kept)

    async def _called(self, turn: Turn, number: int, index: int) -> ToolResult:
        call = turn.calls[index]
        name, arguments = call["name"], call["arguments"]
        if index >= _MOST_CALLS:
            return ToolResult(text=_TOO_MANY, is_error=True)
        self.log.log("info", f"turn {number}: calls {_line(name)} {_line(arguments)}")  # noqa: G004
        try:
            tool, given = checked_arguments(self.tools, name, arguments)
            if index in turn.begun:
                if tool.declared.effect == "at_most_once":
                    return ToolResult(text=_UNKNOWN, is_error=True)
                self.log.log("warning", f"turn {number}: {name} was called when the process ended; it is called again")  # noqa: G004
            await asyncio.to_thread(self.conversation.begin_call, index)
            key = hashlib.sha256(f"{self._key}\0{number}\0{index}".encode()).hexdigest()[:32]
            return await call_tool(self.bus, tool, given, self.message, key=key, masker=self.masker)
        except RefusedCallError as error:
            return ToolResult(text=f"error: {error}", is_error=True)

    @property
    def _key(self) -> str:
        return self.message.headers.get("idempotency-key") or f"{self.message.run_id}\0{self.message.step_id}"


def _bounded(said: ChatReply) -> ChatReply:
    """Cut what a model said to what can be of use; of calls that are too many one stays, to be told."""
    calls = tuple(
        replace(call, id=call.id[:_LONGEST_NAME], name=call.name[:_LONGEST_NAME], arguments=call.arguments[:_MOST_TEXT])
        for call in said.calls[: _MOST_CALLS + 1]
    )
    return replace(said, text=said.text[:_MOST_TEXT], calls=calls)


def _line(text: str) -> str:
    """Give a text as one line of a log."""
    return clean(text, _SHOWN).replace("\n", " ").strip() + ("…" if len(text) > _SHOWN else "")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
