"""The tools of an agent: what a model is told of them, and one call of one, by whoever on the bus does such work.

Text of a model is never code: what is called was declared by the workflow's author, and its arguments are checked
against the declared types before. A command gets them as variables, a request encoded, a function by name.
"""

from __future__ import annotations

import json
import re
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from workflow_agent.authoring.durations import duration_s
from workflow_agent.authoring.sdk import callables
from workflow_agent.authoring.sdk.tool_schema import declared_schema, described, function_schema
from workflow_agent.model.agent_definition import ToolDefinition, spoken_name
from workflow_agent.model.errors import InternalError, InterruptedRunError, NoResponderError, WorkflowAgentError
from workflow_agent.model.json_shape import shape_problems
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workflow_agent.model.agent_definition import AgentDefinition
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Bus
    from workflow_agent.security.masker import Masker

__all__ = ["RefusedCallError", "Tool", "ToolResult", "call_tool", "checked_arguments", "clean", "tools_of"]

#: Characters of arguments that are looked at; a variable of a process has no room for much more.
_MOST_ARGUMENTS: Final = 64_000
#: What no terminal and no log should be given: controls, halves of pairs, marks that turn the direction of text.
_HOSTILE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff]"
)
_IN_URL: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
#: Methods whose request has no body.
_BODILESS: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
#: Ends of a call that are no result of the tool.
_OURS: Final = (InterruptedRunError, InternalError, NoResponderError)


class RefusedCallError(Exception):
    """What a model wants called cannot be: the message is for the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool, as the model knows it (`name`) and as it was declared."""

    name: str
    description: str
    schema: Mapping[str, Any]
    declared: ToolDefinition

    def told(self) -> dict[str, Any]:
        """Give what the model is told."""
        return {"name": self.name, "description": self.description, "parameters": self.schema}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What came of a call: the text that the model gets, and what the step keeps of it."""

    text: str
    is_error: bool = False
    records: list[Any] = field(default_factory=list)
    state: Mapping[str, Any] = field(default_factory=dict)


def tools_of(agent: AgentDefinition, declared: Iterable[ToolDefinition]) -> dict[str, Tool]:
    """Give the tools that an agent may call, by the name that the model knows.

    Raises:
        NotFoundError: there is no tool, or no function, of this id.
        ValidationError: a function's parameters cannot be told to a model.
    """
    known = {tool.id: tool for tool in declared}
    return {spoken_name(name): _tool(name, known) for name in agent.tools}


def _tool(name: str, known: Mapping[str, ToolDefinition]) -> Tool:
    declared = ToolDefinition(id=spoken_name(name), function=name) if ":" in name else known[name]
    if declared.function is None:
        schema, text = declared_schema(declared.parameters), declared.description
    else:
        function = callables.find(declared.function)
        schema, text = function_schema(function), declared.description or described(function)
    return Tool(name=spoken_name(name), description=text, schema=schema, declared=declared)


def checked_arguments(tools: Mapping[str, Tool], name: str, text: str) -> tuple[Tool, dict[str, Any]]:
    """Read what a model wants a tool called with; what was left out has its default.

    Raises:
        RefusedCallError: there is no such tool, or the arguments are not as they were declared.
    """
    tool = tools.get(name)
    if tool is None:
        hint = did_you_mean(name, tools)
        raise RefusedCallError(f"there is no tool `{clean(name, 80)}`" + (f"; {hint}" if hint else ""))
    if len(text) > _MOST_ARGUMENTS:
        raise RefusedCallError(f"the arguments are longer than {_MOST_ARGUMENTS} characters")
    try:
        given = json.loads(text)
        text = json.dumps(given, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (ValueError, RecursionError) as error:
        raise RefusedCallError(f"the arguments are no JSON: {type(error).__name__}") from None
    if not isinstance(given, dict):
        raise RefusedCallError("the arguments are no JSON object")
    problems = [*shape_problems(given, tool.schema)]
    if "\\u0000" in json.dumps(given):
        problems.append("a text holds a NUL")
    if problems:
        raise RefusedCallError("the arguments are not as declared: " + "; ".join(problems)[:2000])
    usual = {key: spec["default"] for key, spec in tool.declared.parameters.items() if "default" in spec}
    return tool, usual | given


async def call_tool(
    bus: Bus, tool: Tool, arguments: Mapping[str, Any], message: Message, *, key: str, masker: Masker | None
) -> ToolResult:
    """Have a tool do its work; a failure of it is a result, too.

    Args:
        bus: Carries the request to who does such work.
        tool: What is called.
        arguments: Checked ones.
        message: The step's own request.
        key: Under which the effect may be known to whoever carries it out.
        masker: Hides the secrets of the run.

    Raises:
        RefusedCallError: an argument cannot stand where it would have to.
        WorkflowAgentError: the run was stopped, or nobody does such work.
    """
    subject, data = _request(tool.declared, arguments)
    asked = replace(
        message,
        id=f"{message.id}-{key}",
        subject=f"agent.{subject}",
        data=data,
        source=message.subject,
        causation_id=message.id,
        reply_to=None,
        headers={**message.headers, "idempotency-key": key},
    )
    limit = duration_s(tool.declared.timeout)
    most = tool.declared.max_result
    try:
        reply = dict((await bus.request(asked, timeout_s=limit)).data)
    except _OURS:
        raise
    except WorkflowAgentError as error:
        # Of a function that is the line of its source: nothing that a model has to see.
        cause = None if tool.declared.function is not None else error.cause
        said = f"error: {error.message}" + (f"\n{cause}" if cause else "")
        return ToolResult(text=_bounded(said, most, masker), is_error=True, records=error.details.get("_records", []))
    records, state = reply.pop("_records", []), reply.pop("_state", {})
    return ToolResult(text=_bounded(_said(subject, reply), most, masker), records=records, state=state)


def _request(tool: ToolDefinition, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Give the verb that does a tool's work, and what it is asked."""
    if tool.function is not None:
        return "python.call", {"function": tool.function, "arguments": dict(arguments)}
    if tool.command is not None:
        given = {f"ARG_{name.upper()}": _text(value) for name, value in arguments.items()}
        where = {} if tool.dir is None else {"dir": tool.dir}
        return "shell.run", {"command": tool.command, "env": {**tool.env, **given}, **where}
    in_url = set(_IN_URL.findall(str(tool.url)))
    url = _IN_URL.sub(lambda found: _segment(_text(arguments.get(found[1], ""))), str(tool.url))
    rest = {name: value for name, value in arguments.items() if name not in in_url}
    asked: dict[str, Any] = {"url": url, "method": tool.method, "headers": dict(tool.headers), "timeout": tool.timeout}
    if rest:
        asked |= {"query": {k: _text(v) for k, v in rest.items()}} if tool.method in _BODILESS else {"body": rest}
    return "http.request", asked


def _segment(text: str) -> str:
    """Encode an argument for its place in an address, where it can be nothing but a name."""
    if text in {"", ".", ".."}:
        raise RefusedCallError(f"`{text}` cannot stand in an address")
    return quote(text, safe="")


def _text(value: Any) -> str:  # Any: a JSON value
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _said(subject: str, reply: Mapping[str, Any]) -> str:
    """Give the part of a reply that is the tool's answer."""
    if subject == "python.call":
        return _text(reply["value"])
    if subject == "shell.run":
        return str(reply["stdout"])
    return _text(reply["text"] if reply["data"] is None else reply["data"])


def _bounded(text: str, most: int, masker: Masker | None) -> str:
    """Cut a text, hide what is left of secrets, and take out what is no text."""
    left = len(text) - most
    text = text[:most] if masker is None else masker.mask_excerpt(text[:most])
    text = clean(text, len(text))
    return text if left <= 0 else f"{text}\n[{left} characters more are left out]"


def clean(text: str, most: int) -> str:
    """Give a text without controls, cut."""
    return _HOSTILE.sub("\ufffd", text[:most].replace("\r\n", "\n"))
