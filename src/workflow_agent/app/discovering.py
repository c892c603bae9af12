"""What runs on a target, and which integrations fit: nothing is changed, everything is looked at in one go."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.model.system import Check, CheckStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.app.application import App
    from workflow_agent.integrations.manifest import Manifest
    from workflow_agent.integrations.signs import Signs

__all__ = ["discover"]

#: How long a look takes at most; what is there is there at once.
_LOOK_S: Final = 0.5
_PIDS: Final = re.compile(r"pid ([\d, ]+)")


async def discover(app: App, target: str) -> dict[str, Any]:
    """Say what a target has that integrations are for.

    Returns:
        `items`: each with `found` (a program or package), `state` (``running`` or ``installed``), `evidence` (what was
        seen: sign, value, observed) and `offers` (integration, description, `how`: ``monitors`` or ``is``, installed,
        command). `unreadable`: integrations that could not be read.

    Raises:
        NotFoundError: there is no such target.
        UnreachableError: it cannot be looked at.
    """
    known, unreadable = _known(app)
    seen = await _look(app, target, [signs for _, signs in known.values()])
    live = {generation.integration for generation in await app.history.generations(target)}
    items: dict[str, dict[str, Any]] = {}
    for name, (manifest, signs) in sorted(known.items()):
        evidence = _evidence(signs, seen)
        if not evidence:
            continue
        item = items.setdefault(
            str(evidence[0]["value"]), {"found": evidence[0]["value"], "state": "", "evidence": [], "offers": []}
        )
        item["evidence"] += [one for one in evidence if one not in item["evidence"]]
        installed = name in live
        item["offers"].append(
            {
                "integration": name,
                "description": manifest.description,
                "how": "monitors" if signs.monitors else "is",
                "installed": installed,
                "command": f"workflow-agent {'verify' if installed else 'plan'} {name}"
                + (f" --target {target}" if target != "host" else ""),
            }
        )
    for item in items.values():
        item["state"] = "running" if any(one["sign"] == "process" for one in item["evidence"]) else "installed"
    found = sorted(items.values(), key=lambda item: (item["state"] != "running", item["found"]))
    return {"items": found, "unreadable": unreadable}


def _known(app: App) -> tuple[dict[str, tuple[Manifest, Signs]], list[str]]:
    from workflow_agent.integrations.signs import signs_of  # noqa: PLC0415  # late: one command needs it

    known: dict[str, tuple[Manifest, Signs]] = {}
    unreadable = []
    for name in app.registry.names():
        try:
            manifest = app.registry.get(name)
            known[name] = (manifest, signs_of(manifest, app.registry.get))
        except WorkflowAgentError:  # one that is broken is no reason to see nothing
            unreadable.append(name)
    return known, unreadable


async def _look(app: App, target: str, wanted: list[Signs]) -> Mapping[tuple[str, str], str]:
    """Look for all signs together; gives what was seen by kind and name."""
    asked = {("process", name) for signs in wanted for name in signs.processes}
    asked |= {("package", name) for signs in wanted for name in signs.packages}
    asked |= {("port", str(port)) for signs in wanted for port in signs.ports}
    places = sorted(asked)
    checks = [
        Check(id=str(at), kind=kind, spec=_spec(kind, name), timeout_s=_LOOK_S)
        for at, (kind, name) in enumerate(places)
    ]
    results = await app.targets.get(target).check(checks) if checks else []
    return {
        place: result.observed
        for place, result in zip(places, results, strict=True)
        if result.status is CheckStatus.PASSED
    }


def _spec(kind: str, name: str) -> dict[str, Any]:
    return {"port": int(name), "protocol": "tcp", "open": True} if kind == "port" else {"name": name}


def _evidence(signs: Signs, seen: Mapping[tuple[str, str], str]) -> list[dict[str, Any]]:
    """List what was seen of an integration's signs; an open port alone is none."""
    names = [("process", name) for name in signs.processes] + [("package", name) for name in signs.packages]
    found: list[dict[str, Any]] = [
        {"sign": kind, "value": name, "observed": seen[kind, name]} for kind, name in names if (kind, name) in seen
    ]
    if found:
        ports = [("port", str(port)) for port in signs.ports]
        found += [
            {"sign": kind, "value": int(port), "observed": seen[kind, port]}
            for kind, port in ports
            if (kind, port) in seen
        ]
    return found
