"""The page about agents, ``docs/agents.md``, made from what the agents say of themselves.

``python -m workflow_agent.app.agent_pages FILE`` writes it; a test compares it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["agents_page"]

_INTRODUCTION = """\
# Agents

What answers on the bus. A step `uses: executor.commit` of a workflow is a request on `agent.executor.commit`; its
`with` is the request, the reply is the step's output. A request with a field that is not listed here, or without one
that is required, is refused by name. The same as JSON Schema: `workflow-agent agents list --json`.

Each agent can be replaced: the setting `agents.NAME = "module:factory"` names a function that takes the container and
gives an object with the same `name` and verbs.

This page is made from the agents themselves: `python -m workflow_agent.app.agent_pages docs/agents.md`.
"""


def agents_page(agents: Sequence[Mapping[str, Any]]) -> str:
    """Give the page for agents as ``App.agents`` lists them."""
    parts = [_INTRODUCTION]
    for agent in agents:
        parts.append(f"## {agent['name']}\n")
        for verb in agent["verbs"]:
            parts.append(f"### `{agent['name']}.{verb}`\n")
            parts += _model("Request", agent["schemas"][verb]["request"])
            parts += _model("Reply", agent["schemas"][verb]["reply"])
    return "\n".join(parts)


def _model(title: str, schema: Mapping[str, Any]) -> Iterator[str]:
    description = " ".join(str(schema.get("description", "")).split())
    yield f"{title}: {description}\n"
    fields = schema.get("properties", {})
    if fields:
        required = schema.get("required", ())
        rows = [f"| `{name}` | {_type(spec)} | {_default(name, spec, required)} |" for name, spec in fields.items()]
        yield "\n".join(["| field | type | default |", "| --- | --- | --- |", *rows, ""])


def _type(spec: Mapping[str, Any]) -> str:
    if "$ref" in spec:
        return str(spec["$ref"]).rpartition("/")[2]
    if "anyOf" in spec:
        return " or ".join(_type(each) for each in spec["anyOf"])
    if spec.get("type") == "array":
        return f"list of {_type(spec['items'])}"
    return str(spec.get("type", "any"))


def _default(name: str, spec: Mapping[str, Any], required: Sequence[str]) -> str:
    if name in required:
        return "required"
    return f"`{json.dumps(spec['default'])}`" if "default" in spec else "empty"


async def _page() -> str:
    from workflow_agent.app import load_settings, open_app  # noqa: PLC0415  # late: only the program needs it

    async with open_app(load_settings(None, {}, {}), read_only=True) as app:
        return agents_page(app.agents())


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(asyncio.run(_page()), encoding="utf-8")
