"""What documentation and packages say about an integration, beside what its manifest says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from workflow_agent.model.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Documented", "accepted_parameters", "documented"]

#: Kinds of which a manifest speaks, too.
_COMPARED = ("package", "service", "port", "user", "file")


class Documented(Protocol):
    """Knows pages about integrations, and what they say."""

    async def pages(self, subject: str | None = None) -> list[dict[str, Any]]:
        """List the newest revision of every page about an integration."""
        ...

    async def suggestions(self, *, state: str | None = None, integration: str | None = None) -> list[dict[str, Any]]:
        """List what the improver suggests."""
        ...

    async def page(self, address: str, *, before: int = 0) -> dict[str, Any]:
        """Give a page with its facts and flags."""
        ...

    async def facts(self, addresses: Sequence[str], kind: str | None = None) -> list[dict[str, Any]]:
        """List what some pages say."""
        ...


async def documented(knowledge: Documented | None, name: str, parts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the facts about an integration that its manifest speaks of too, each with `agrees`.

    Nothing where nothing was read about it. What is known never stands in the way of a run.
    """
    if knowledge is None:
        return []
    try:
        pages = await knowledge.pages(name)
        facts = await knowledge.facts([page["address"] for page in pages]) if pages else []
    except StoreError:
        return []
    manifest = _said_by(parts)
    return [
        {
            "kind": fact["kind"],
            "value": fact["value"],
            "agrees": fact["value"] in manifest[fact["kind"]],
            "address": fact["provenance"]["address"],
            "selector": fact["provenance"]["selector"],
            "confidence": fact["provenance"]["confidence"],
        }
        for fact in facts
        if fact["kind"] in _COMPARED and fact["details"].get("manager", "apt") == "apt"
    ]


async def accepted_parameters(knowledge: Documented, name: str) -> dict[str, Any]:
    """Give the values of parameters that a person accepted for an integration; the last decision counts."""
    try:
        rows = await knowledge.suggestions(state="accepted", integration=name)
    except StoreError:
        return {}
    said = [row["suggestion"] for row in reversed(rows)]
    return {one["name"]: one["value"] for one in said if one["kind"] == "parameter"}


def _said_by(parts: Mapping[str, Any]) -> dict[str, set[str]]:
    """List what the resolved action of a manifest says, by kind."""
    services = parts.get("services", ())
    specs = [check.get("spec") or {} for check in parts.get("checks", ())]
    packages = {str(word) for value in parts.get("context", {}).values() for word in _words(value)}
    packages |= {str(spec["name"]) for spec in specs if "name" in spec}
    ports = {
        found
        for service in services
        for listen in service.get("listens", ())
        for found in re.findall(r"\d+", str(listen))
    }
    return {
        "package": packages,
        "service": {str(service["name"]) for service in services},
        "port": ports | {str(spec["port"]) for spec in specs if "port" in spec},
        "user": {str(service.get("user")) for service in services},
        "file": {str(item["path"]) for key in ("files", "state_data") for item in parts.get(key, ())},
    }


def _words(value: Any) -> list[Any]:  # Any: a JSON value
    return value if isinstance(value, list) else []
