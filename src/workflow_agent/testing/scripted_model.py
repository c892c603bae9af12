"""A language model that says what a test tells it to say, by pattern or in order; another question fails."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from workflow_agent.agents.chat_models import ChatReply
from workflow_agent.model.errors import StepFailedError

if TYPE_CHECKING:
    from workflow_agent.agents.chat_models import ChatQuestion

__all__ = ["ScriptedModel"]


class ScriptedModel:
    """Port ``ChatModel`` for tests.

    Args:
        answers: What it says, in order.
    """

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self._patterns: list[tuple[str, str]] = []
        #: What was asked, in order.
        self.questions: list[ChatQuestion] = []

    def says(self, pattern: str, text: str) -> None:
        """Answer every question whose last message matches a pattern (``*``, ``?``), before those in order."""
        self._patterns.append((pattern, text))

    def says_next(self, *answers: str) -> None:
        """Add answers to those in order."""
        self._answers += answers

    def describe(self, model: str) -> str:
        """See ``ChatModel``."""
        return f"{model or 'scripted'} of this test"

    async def complete(self, question: ChatQuestion) -> ChatReply:
        """See ``ChatModel``; a token is a word."""
        self.questions.append(question)
        last = question.messages[-1]["content"]
        text = next((said for pattern, said in self._patterns if fnmatchcase(last, pattern)), None)
        if text is None:
            if not self._answers:
                raise StepFailedError(
                    f"nothing answers the question {last[:60]!r}",
                    hint="give the model one more answer, or a pattern",
                    details={"retry": None},
                )
            text = self._answers.pop(0)
        words = sum(len(each["content"].split()) for each in question.messages)
        return ChatReply(
            text=text, model=question.model or "scripted", input_tokens=words, output_tokens=len(text.split())
        )
