"""A language model that says what a test tells it to say, by pattern or in order; another question fails."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeAlias

from workflow_agent.agents.chat_models import ChatReply, ToolCall
from workflow_agent.model.errors import StepFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.agents.chat_models import ChatQuestion

    #: A text, or one or several tools that it wants called.
    Said: TypeAlias = str | ToolCall | tuple[ToolCall, ...]

__all__ = ["EveryBackend", "ScriptedModel", "tool_call"]


def tool_call(name: str, arguments: Mapping[str, Any] | str | None = None, call_id: str = "") -> ToolCall:
    """Make what a model says when it wants a tool called; `arguments` may be a text that is no JSON at all."""
    said = arguments if isinstance(arguments, str) else json.dumps(dict(arguments or {}))
    return ToolCall(id=call_id, name=name, arguments=said)


class ScriptedModel:
    """Port ``ChatModel`` for tests.

    Args:
        answers: What it says, in order: texts, and tools that it wants called.
    """

    def __init__(self, *answers: Said) -> None:
        self._answers = list(answers)
        self._patterns: list[tuple[str, Said]] = []
        #: What was asked, in order.
        self.questions: list[ChatQuestion] = []

    def says(self, pattern: str, answer: Said) -> None:
        """Answer every question whose last message matches a pattern (``*``, ``?``), before those in order."""
        self._patterns.append((pattern, answer))

    def says_next(self, *answers: Said) -> None:
        """Add answers to those in order."""
        self._answers += answers

    def describe(self, model: str) -> str:
        """See ``ChatModel``."""
        return f"{model or 'scripted'} of this test"

    async def complete(self, question: ChatQuestion) -> ChatReply:
        """See ``ChatModel``; a token is a word."""
        self.questions.append(question)
        last = str(question.messages[-1]["content"])
        said = next((answer for pattern, answer in self._patterns if fnmatchcase(last, pattern)), None)
        if said is None:
            if not self._answers:
                raise StepFailedError(
                    f"nothing answers the question {last[:60]!r}",
                    hint="give the model one more answer, or a pattern",
                    details={"retry": None},
                )
            said = self._answers.pop(0)
        text = said if isinstance(said, str) else ""
        calls = () if isinstance(said, str) else said if isinstance(said, tuple) else (said,)
        return ChatReply(
            text=text,
            calls=calls,
            model=question.model or "scripted",
            finish="tool_calls" if calls else "stop",
            input_tokens=sum(len(str(each["content"] or "").split()) for each in question.messages),
            output_tokens=len(text.split()),
        )


class EveryBackend(dict[str, Any]):
    """Gives one model for every name of a service: a test need not configure any.

    Args:
        model: Who answers.
    """

    def __init__(self, model: object) -> None:
        super().__init__()
        self._model = model

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __missing__(self, name: str) -> object:
        return self._model
