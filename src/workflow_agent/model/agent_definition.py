"""Agents of a person's own: a language model with instructions, tools, a memory and a bound. Data, and nothing else.

A tool is named by its id: ``module:function``, or the `id` of a tool that is declared beside the agents.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Final, Literal

from workflow_agent.model.data import Data, plain
from workflow_agent.model.exact import Read, Within

__all__ = ["MOST_ITERATIONS", "AgentDefinition", "MemoryConfig", "ToolDefinition", "spoken_name"]

#: Iterations of an agent that says nothing of them.
MOST_ITERATIONS: Final = 10


def _in_order(value: Any) -> Any:  # Any: a JSON value
    return tuple(value) if isinstance(value, list | tuple) else value


class MemoryConfig(Data, strict=True):
    """What an agent remembers.

    `window_size` is how many of the last turns (a reply of the model, with the results of the tools that it called)
    are sent again with the next question; what it was asked is always sent. With `long_term` what it was asked and
    what it answered is kept for later runs, under the name `collection` (the agent's id where that is empty), and what
    fits the question best of what is kept is given to it.
    """

    window_size: Annotated[int, Within(ge=1, le=1000)] = 20
    long_term: bool = False
    collection: str = ""


class AgentDefinition(Data, strict=True):
    """An agent: who answers (`llm_backend`, `model`), what it is told first, what it may call, and how often.

    An empty `llm_backend` and `model` are those of the configuration. `max_iterations` bounds how often the model is
    asked for one task.
    """

    id: str
    name: str = ""
    description: str = ""
    llm_backend: str = ""
    model: str = ""
    system_prompt: str = ""
    tools: Annotated[tuple[str, ...], Read(_in_order)] = ()
    memory_config: MemoryConfig = field(default_factory=MemoryConfig)
    max_iterations: Annotated[int, Within(ge=1, le=1000)] = MOST_ITERATIONS

    def __post_init__(self) -> None:
        """Let nobody change the list that was given."""
        object.__setattr__(self, "tools", _in_order(self.tools))

    def to_dict(self) -> dict[str, Any]:
        """Give the canonical form: nothing that is as it would be if it were left out."""
        return _short(self)


class ToolDefinition(Data, strict=True):
    """Something that an agent may have done, with typed parameters: a command, a request, or a function.

    `parameters` are, by name, ``{type, description, enum, items, required, default}``. A command finds each in the
    variable ``ARG_NAME``, never in its text. Of a request those that `url` names (``{name}``) stand there, encoded;
    the others are its query, or its JSON body where the method has one. A function has the parameters of its
    signature. Values of `env` and `headers` may name secrets. A tool that is `at_most_once` is not called again where
    nobody knows whether it was.
    """

    id: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    command: str | None = None
    env: dict[str, Any] = field(default_factory=dict)
    dir: str | None = None
    url: str | None = None
    method: str = "GET"
    headers: dict[str, Any] = field(default_factory=dict)
    function: str | None = None
    timeout: str = "1m"
    effect: Literal["at_least_once", "at_most_once"] = "at_least_once"
    max_result: Annotated[int, Within(ge=100, le=1_000_000)] = 16_000

    def to_dict(self) -> dict[str, Any]:
        """Give the canonical form: nothing that is as it would be if it were left out."""
        return _short(self)


def spoken_name(tool: str) -> str:
    """Give the name under which a model knows a tool: of ``module:function`` the function's."""
    return tool.rpartition(":")[2].rpartition(".")[2]


def _short(record: Any) -> dict[str, Any]:  # Any: one of the records above
    """Give a record's JSON form without what says nothing."""
    usual: dict[str, Any] = plain(type(record)(**({"id": record.id} if hasattr(record, "id") else {})))
    return {
        name: _short(getattr(record, name)) if isinstance(getattr(record, name), Data) else value
        for name, value in plain(record).items()
        if name == "id" or value != usual[name]
    }
