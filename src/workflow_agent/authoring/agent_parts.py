"""Agents and tools as people declare them, in every form: what is wrong with them, and what a step says of them.

The step holds the whole definition of its agent and of the tools that it may call, so they are part of the workflow's
identity, and a run that is taken up has the agent that it began with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from workflow_agent.authoring.durations import duration_s
from workflow_agent.authoring.problem import Problem, schema_problems
from workflow_agent.model.agent_definition import AgentDefinition, MemoryConfig, ToolDefinition, spoken_name
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import replace
from workflow_agent.model.value_types import VALUE_TYPES, is_of_type

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from workflow_agent.model.data import Data

    Way: TypeAlias = tuple[str | int, ...]

__all__ = ["acting_problems", "agent_inputs", "canonical_inputs", "part_problems"]

_ID: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_PARAMETER: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FUNCTION: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_SPEC: Final = ("type", "description", "enum", "items", "required", "default")
_ACTIONS: Final = ("command", "url", "function")
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_IN_URL: Final = re.compile(r"\{([^{}]*)\}")
_COLLECTION: Final = re.compile(r"[\w.:-]{0,100}")
_SHAPE: Final = "a name is lower case: letters, digits, `-` and `_`, a letter first"

_Part = TypeVar("_Part", bound=AgentDefinition | ToolDefinition)


def agent_inputs(agent: AgentDefinition, tools: Iterable[ToolDefinition]) -> dict[str, Any]:
    """Say in the inputs of a step which agent works, with those of the declared tools that it names.

    Where it names one that is not there all are said: the refusal tells which is near.
    """
    declared = [*tools]
    is_whole = {tool.id for tool in declared}.issuperset(name for name in agent.tools if ":" not in name)
    named = [tool.to_dict() for tool in declared if not is_whole or tool.id in agent.tools]
    return {"agent": agent.to_dict(), **({"tools": sorted(named, key=lambda tool: str(tool["id"]))} if named else {})}


def canonical_inputs(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the inputs of a step as every form writes them; those that cannot be read stay, and are refused later."""
    if not isinstance(inputs.get("tools", ()), list | tuple):
        return inputs
    try:
        agent = AgentDefinition.model_validate(inputs["agent"])
        tools = [ToolDefinition.model_validate(each) for each in inputs.get("tools", ())]
    except (KeyError, TypeError, ValueError):
        return inputs
    rest = {key: value for key, value in inputs.items() if key not in {"agent", "tools"}}
    return {**agent_inputs(agent, tools), **rest}


def part_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Say what is wrong with the lists `agents` and `tools` of a text."""
    tools = yield from _listed(data.get("tools"), ("tools",), ToolDefinition)
    for way, tool in tools:
        yield from _tool_problems(tool, way)
    agents = yield from _listed(data.get("agents"), ("agents",), AgentDefinition)
    known = [str(each.get("id")) for each in _mappings(data.get("tools"))]
    for way, agent in agents:
        yield from _agent_problems(agent, known, way)


def acting_problems(inputs: Mapping[str, Any], way: Way) -> Iterator[Problem]:
    """Say what is wrong with the inputs of a step that lets an agent work; `way` leads to them."""
    if "agent" not in inputs:
        yield Problem(way, "the key `agent` is missing", "the definition of an agent: `{id: …, tools: […]}`")
        return
    tools = yield from _listed(inputs.get("tools"), (*way, "tools"), ToolDefinition)
    for at, tool in tools:
        yield from _tool_problems(tool, at)
    agent = yield from _read(inputs["agent"], (*way, "agent"), AgentDefinition)
    if agent is not None:
        known = [str(each.get("id")) for each in _mappings(inputs.get("tools"))]
        yield from _agent_problems(agent, known, (*way, "agent"))


def _mappings(found: Any) -> list[Mapping[str, Any]]:  # Any: what came in
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list | tuple) else []


def _listed(
    found: Any,  # Any: what came in
    way: Way,
    kind: type[_Part],
) -> Generator[Problem, None, list[tuple[Way, _Part]]]:
    """Read a list of parts; gives those that can be read, each with its place."""
    made: list[tuple[Way, _Part]] = []
    if found is not None and not isinstance(found, list | tuple):
        yield Problem(way, "must be a list")
        return made
    seen: set[str] = set()
    for index, data in enumerate(found or ()):
        part = yield from _read(data, (*way, index), kind)
        if part is None:
            continue
        if part.id in seen:
            yield Problem((*way, index, "id"), f"there are two of the id `{part.id[:64]}`")
        seen.add(part.id)
        made.append(((*way, index), part))
    return made


def _read(
    data: Any,  # Any: what came in
    way: Way,
    kind: type[_Part],
) -> Generator[Problem, None, _Part | None]:
    """Make a record of one part; gives None where that cannot be."""
    if not isinstance(data, Mapping):
        yield Problem(way, "must be a mapping")
        return None
    try:
        made = kind.model_validate(data)
    except ValueError as error:
        refused: Any = error  # Any: pydantic's, which is not loaded where nothing is refused
        found = schema_problems(refused, lambda at: _keys(kind, at))
        yield from (replace(each, way=(*way, *each.way)) for each in found)
        return None
    return made  # type: ignore[return-value]  # one of the two kinds, and the one that was asked for


def _keys(kind: type[Data], at: Way) -> list[str]:
    return list((MemoryConfig if at else kind).__dataclass_fields__)


# -- agents ----------------------------------------------------------------------------------------------------------


def _agent_problems(agent: AgentDefinition, declared: list[str], way: Way) -> Iterator[Problem]:
    if not _ID.fullmatch(agent.id):
        yield Problem((*way, "id"), f"`{agent.id[:64]}` is no name of an agent", _SHAPE)
    if not _COLLECTION.fullmatch(agent.memory_config.collection):
        message = "a collection is letters, digits, `_`, `.`, `:` and `-`, at most 100"
        yield Problem((*way, "memory_config", "collection"), message)
    spoken: dict[str, str] = {}
    for index, tool in enumerate(agent.tools):
        at = (*way, "tools", index)
        if ":" in tool and not _FUNCTION.fullmatch(tool):
            yield Problem(at, f"`{tool[:80]}` is no function", "write it as `module:function`; no method")
        elif ":" not in tool and tool not in declared:
            hint = did_you_mean(tool, declared) or "declare it under `tools`, or name a function: `module:function`"
            yield Problem(at, f"there is no tool `{tool[:64]}`", hint)
        elif spoken_name(tool) in spoken:
            yield Problem(at, f"`{tool[:64]}` and `{spoken[spoken_name(tool)][:64]}` have one name for the model")
        spoken.setdefault(spoken_name(tool), tool)


# -- tools -----------------------------------------------------------------------------------------------------------


def _tool_problems(tool: ToolDefinition, way: Way) -> Iterator[Problem]:
    if not _ID.fullmatch(tool.id):
        yield Problem((*way, "id"), f"`{tool.id[:64]}` is no name of a tool", _SHAPE)
    given = [key for key in _ACTIONS if getattr(tool, key) is not None]
    if len(given) != 1:
        listed = "none of them" if not given else " and ".join(f"`{key}`" for key in given)
        yield Problem(way, f"a tool has one of {', '.join(f'`{key}`' for key in _ACTIONS)}; it has {listed}")
    try:
        duration_s(tool.timeout)
    except ValidationError as error:
        yield Problem((*way, "timeout"), error.message, error.hint)
    if tool.function is not None:
        if not _FUNCTION.fullmatch(tool.function):
            yield Problem((*way, "function"), f"`{tool.function[:80]}` is no function", "write it as `module:function`")
        if tool.parameters:
            yield Problem((*way, "parameters"), "a function has the parameters of its signature", at_key=True)
    for name, spec in tool.parameters.items():
        yield from _parameter_problems(name, spec, (*way, "parameters", name))
    if tool.url is not None:
        yield from _request_problems(tool, way)


def _parameter_problems(name: str, spec: Any, way: Way) -> Iterator[Problem]:
    if not _PARAMETER.fullmatch(name):
        yield Problem(way, "a parameter's name is lower case: letters, digits and `_`", at_key=True)
    if not isinstance(spec, Mapping):
        yield Problem(way, "must be a mapping with `type`")
        return
    for key in spec:
        if key not in _SPEC:
            yield Problem((*way, str(key)), "there is no such key", did_you_mean(str(key), _SPEC), at_key=True)
    kind = spec.get("type")
    if kind not in VALUE_TYPES[1:]:
        yield Problem(way if kind is None else (*way, "type"), f"`type` must be one of {', '.join(VALUE_TYPES[1:])}")
    elif "default" in spec and not is_of_type(spec["default"], kind):
        yield Problem((*way, "default"), f"must be of type {kind}")
    shapes = {"description": str, "required": bool, "enum": list, "items": Mapping}
    wrong = [key for key, shape in shapes.items() if key in spec and not isinstance(spec[key], shape)]
    for key in wrong:
        yield Problem((*way, key), f"must be a {shapes[key].__name__.lower()}")
    items = spec.get("items", {})
    if "items" not in wrong and (set(items) - {"type", "enum"} or items.get("type", "string") not in VALUE_TYPES[1:]):
        yield Problem((*way, "items"), f"`items` has a `type`: one of {', '.join(VALUE_TYPES[1:])}")


def _request_problems(tool: ToolDefinition, way: Way) -> Iterator[Problem]:
    url = str(tool.url)
    if tool.method not in _METHODS:
        yield Problem((*way, "method"), f"must be one of {', '.join(_METHODS)}")
    scheme, mark, rest = url.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if not mark or scheme not in {"http", "https"} or not host:
        yield Problem((*way, "url"), "an address begins with `http://` or `https://`")
    elif "{" in host and "${{" not in host:
        yield Problem((*way, "url"), "where a request goes is not for the model to say", "name parameters in the path")
    for name in _IN_URL.findall(re.sub(r"\$\{\{.*?\}\}", "", url)):
        if name not in tool.parameters:
            yield Problem((*way, "url"), f"there is no parameter `{name[:64]}`", did_you_mean(name, tool.parameters))
