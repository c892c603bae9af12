"""What an agent and its model said so far, in a file of the run: each turn is on disk before the next one begins.

A step that is taken up, or tried again, goes on where it was: no question is asked twice that was answered, no tool is
called twice that gave a result. The file is JSON lines; what a crash left of the last line counts as not written.
"""

from __future__ import annotations

import json
import os
from dataclasses import field
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import StoreError
from workflow_agent.model.records import dataclass
from workflow_agent.store.faults import translated

if TYPE_CHECKING:
    from pathlib import Path

    from workflow_agent.agents.chat_models import ChatReply

__all__ = ["Conversation", "Turn"]


@dataclass(slots=True)
class Turn:
    """One reply of the model: its text, the tools that it wants called, which of them were begun, what they gave.

    `told` is what it is told in place of results: its answer was not as asked for.
    """

    text: str
    model: str
    finish: str
    input_tokens: int
    output_tokens: int
    calls: list[dict[str, str]]
    told: str = ""
    begun: set[int] = field(default_factory=set)
    results: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        """Whether it is the answer."""
        return not self.calls and not self.told

    def messages(self) -> list[dict[str, Any]]:
        """Give it as the model is told of it in the next question."""
        said: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if not self.calls:
            return [said, {"role": "user", "content": self.told}]
        said["tool_calls"] = [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": _object(call)}}
            for call in self.calls
        ]
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": self.results[index]["text"]}
            for index, call in enumerate(self.calls)
        ]
        return [said, *results]


class Conversation:
    """One conversation. Methods block on the disk: call them in a thread.

    Args:
        path: Its file; what is there is read.

    Raises:
        StoreError: the file cannot be read, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        #: What it began with: instructions, what is remembered, the task. Empty: it did not begin yet.
        self.opening: list[dict[str, Any]] = []
        self.turns: list[Turn] = []
        with translated(path):
            self._read()

    def begin(self, messages: list[dict[str, Any]]) -> None:
        """Keep what it begins with."""
        self._append({"kind": "opening", "messages": messages})

    def reply(self, reply: ChatReply, told: str = "") -> None:
        """Keep a reply of the model. Each call gets an id of its own where the model gave none."""
        number, seen = len(self.turns), set[str]()
        calls = []
        for index, call in enumerate(reply.calls):
            own = call.id if call.id and call.id not in seen else f"call_{number}_{index}"
            seen.add(own)
            calls.append({"id": own, "name": call.name, "arguments": call.arguments})
        counted = {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens}
        said = {"text": reply.text, "model": reply.model, "finish": reply.finish, "calls": calls, "told": told}
        self._append({"kind": "reply", **said, **counted})

    def begin_call(self, index: int) -> None:
        """Keep that a tool of the last turn is about to be called."""
        self._append({"kind": "call", "index": index})

    def result(self, index: int, result: dict[str, Any]) -> None:
        """Keep what a tool of the last turn gave: text, is_error, and what the journal is told of it."""
        self._append({"kind": "result", "index": index, "result": result})

    def window(self, size: int) -> list[dict[str, Any]]:
        """Give the messages of the next question: the opening, and the last so many turns."""
        return [*self.opening, *(message for turn in self.turns[-size:] for message in turn.messages())]

    # -- the file ----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        whole, _, torn = content.rpartition(b"\n")
        try:
            for line in whole.splitlines():
                self._take(json.loads(line))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as problem:
            raise StoreError(
                "what was said in a conversation cannot be read",
                where=str(self._path),
                cause=f"{type(problem).__name__}: {problem}",
                hint="put a copy of the file back; without the file the agent begins anew, and calls its tools again",
            ) from problem
        if torn:
            os.truncate(self._path, len(content) - len(torn))

    def _take(self, record: dict[str, Any]) -> None:
        match record.pop("kind"):
            case "opening":
                self.opening = record["messages"]
            case "reply":
                self.turns.append(Turn(**record))
            case "call":
                self.turns[-1].begun.add(record["index"])
            case _:
                self.turns[-1].results[record["index"]] = record["result"]

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps(record).encode() + b"\n"
        with translated(self._path):
            is_new = not self._path.exists()
            if is_new:
                self._path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                for folder in (self._path.parent, self._path.parent.parent):
                    _sync_folder(folder)
        self._take(json.loads(line))


def _object(call: dict[str, str]) -> str:
    """Give arguments as a service takes them back: what is no object is left out, the result says what was wrong."""
    try:
        found = json.loads(call["arguments"])
    except ValueError:
        return "{}"
    return call["arguments"] if isinstance(found, dict) else "{}"


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
