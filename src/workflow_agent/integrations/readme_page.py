"""The README of an integration, generated from its manifest, so that it never says anything else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from workflow_agent.integrations.checks import CheckSpec
    from workflow_agent.integrations.manifest import Manifest, Parameter

__all__ = ["readme"]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(map(_cell, row)) + " |"


def _value(value: Any) -> str:  # Any: a JSON value
    if value is None:
        return ""
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _type(declared: Parameter) -> str:
    name = f"list of {declared.items or 'string'}" if declared.type == "list" else str(declared.type)
    words = [name]
    if declared.choices:
        words.append("one of " + ", ".join(f"`{choice}`" for choice in declared.choices))
    if declared.min is not None:
        words.append(f"from {declared.min}")
    if declared.max is not None:
        words.append(f"to {declared.max}")
    if declared.secret:
        words.append("secret")
    return ", ".join(words)


def _default(declared: Parameter) -> str:
    return "required" if declared.required else _value(declared.default)


def _parameters(manifest: Manifest) -> Iterator[str]:
    if not manifest.parameters:
        return
    yield from ("", "## Parameters", "")
    yield from _table(
        ("name", "type", "default", "meaning"),
        (
            (f"`{name}`", _type(declared), _default(declared), declared.description)
            for name, declared in manifest.parameters.items()
        ),
    )
    examples = [
        f"--param {name}={value}"
        for name, declared in manifest.parameters.items()
        if declared.example is not None and not declared.secret
        for value in (declared.example if isinstance(declared.example, list) else [declared.example])
    ]
    if examples:
        lines = " \\\n    ".join([f"workflow-agent install {manifest.name}", *examples])
        yield from ("", "```sh", lines, "```")


def _platforms(manifest: Manifest) -> Iterator[str]:
    yield from ("", "## Platforms", "")
    for platform in manifest.platforms:
        releases = " " + ", ".join(platform.releases) if platform.releases else ""
        architectures = f" on {', '.join(platform.architectures)}" if platform.architectures else ""
        inits = ", ".join(platform.init).replace("none", "no init system")
        yield f"- {', '.join(platform.os)}{releases}{architectures}; started by {inits}"
    for need in manifest.capabilities:
        condition = f" (only when `{need.when}`)" if need.when else ""
        yield f"- the kernel's capability `{need.name.value}`{condition}; without it nothing is begun"


def _check_row(check: CheckSpec) -> tuple[str, str, str]:
    condition = f" (only when `{check.when}`)" if check.when else ""
    return f"`{check.id}`", check.kind, check.description + condition


def _checks(title: str, sentence: str, checks: Sequence[CheckSpec]) -> Iterator[str]:
    if checks:
        yield from ("", f"## {title}", "", sentence, "")
        yield from _table(("id", "kind", "what it proves"), map(_check_row, checks))


def _list(title: str, rows: Sequence[str]) -> Iterator[str]:
    if rows:
        yield from ("", f"## {title}", "")
        yield from (f"- {row}" for row in rows)


def _colon(text: str) -> str:
    return f": {text}" if text else ""


def _parts(manifest: Manifest) -> Iterator[str]:
    yield from (f"# {manifest.name}", "", manifest.description, "")
    yield f"Version {manifest.version}, category {manifest.category}."
    yield from ("", "```sh", f"workflow-agent install {manifest.name}", "```")
    yield from _parameters(manifest)
    yield from _platforms(manifest)
    yield from _list("Needs", [f"`{name}`" for name in manifest.requires])
    yield from _list("Excludes", [f"`{name}`" for name in manifest.conflicts])
    yield from _list("Files that it writes", [f"`{file.path}` ({file.format})" for file in manifest.files])
    services = [f"`{service.name}`, listens on {', '.join(service.listens)}" for service in manifest.services]
    yield from _list("Services", services)
    yield from _checks("Checks", "After an install, and with `verify`, all of these hold.", manifest.checks)
    yield from _checks("Checks of removal", "After it is gone, all of these hold.", manifest.negative_checks)
    state = [f"`{entry.path}` ({entry.policy}){_colon(entry.description)}" for entry in manifest.state_data]
    yield from _list("Data", state)
    yield from _list("Effects beyond files", [f"{e.kind}: {e.description}" for e in manifest.effects])
    yield from _list("Upgrade", [manifest.upgrade.notes] if manifest.upgrade.notes else [])
    yield from _list("More", [f"[{entry.title}]({entry.url})" for entry in manifest.documentation])


def readme(manifest: Manifest) -> str:
    """Write the README.md of an integration."""
    return "\n".join(_parts(manifest)) + "\n"
