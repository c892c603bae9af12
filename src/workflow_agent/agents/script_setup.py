"""What goes around a script: accounts before it, directories and judges of files after it, Python hooks.

Pure but for reading hooks. Nothing here runs anything: commands are carried out by the capture, inside it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.system import CaptureCommand
from workflow_agent.security.marks import reference_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.agents.script_builder import BuildRequest
    from workflow_agent.model.system import Script

__all__ = ["around", "blocks_before", "told", "with_sources"]

#: Isolated: neither the folder it is in nor variables nor a user's packages take part.
_PYTHON: Final = ("/usr/bin/python3", "-I", "-B", "-c")
_HOOK_S: Final = 300.0
_ACCOUNTS: Final = "system/accounts"


def blocks_before(
    action: str, setup: Mapping[str, Any], context: Mapping[str, Any]
) -> list[tuple[str, Mapping[str, Any]]]:
    """Give the blocks whose text comes before the action's own."""
    users = setup.get("users")
    leaving = action == "uninstall"
    purge = bool(context.get("purge"))
    return [(_ACCOUNTS, {"users": users, "leaving": leaving})] if users and (purge or not leaving) else []


def around(request: BuildRequest) -> dict[str, Any]:
    """Give directories, and the commands before and after, as keywords of a script."""
    validations = [
        CaptureCommand(argv=item.validate, label=f"the validation of {item.path}", timeout_s=item.validate_s)
        for item in request.files
        if item.validate
    ]
    parts = {
        "directories": tuple(request.setup.get("directories", ())),
        "before": tuple(_hooks(request, "before")),
        "after": (*validations, *_hooks(request, "after")),
    }
    return {name: part for name, part in parts.items() if part}


def _hooks(request: BuildRequest, when: str) -> list[CaptureCommand]:
    names = request.setup.get(when, ())
    if not names:
        return []
    from workflow_agent.integrations.hooks import HOOK_FOLDER, read_hook  # noqa: PLC0415  # late: few have any

    given = _given(request)
    found = []
    for name in names:
        text, digest = read_hook(Path(request.folder), name)
        file = f"{HOOK_FOLDER}/{name}.py"
        argv = (*_PYTHON, text)
        found.append(
            CaptureCommand(
                argv=argv, label=f"the hook {file}", stdin=given, timeout_s=_HOOK_S, file=file, digest=digest
            )
        )
    return found


def _given(request: BuildRequest) -> str:
    """Write what a hook reads: parameters without secrets, facts, and what it is about."""
    parameters = {name: value for name, value in request.parameters.items() if reference_name(value) is None}
    about = {"integration": request.integration, "action": request.action, "version": request.version}
    return json.dumps(about | {"parameters": parameters, "facts": request.context.get("facts", {})}, sort_keys=True)


def with_sources(script: Script, request: BuildRequest) -> Script:
    """Note which facts it stands upon: those of the values that the block of packages inserts, and those of files."""
    sources = request.setup.get("sources")
    if not sources:
        return script
    lines = script.text.count("\n") + (not script.text.endswith("\n"))
    block = {"template": script.provenance.template, "template_hash": script.provenance.template_hash}
    first = next((one.first for one in script.origins if one.template.endswith(f"{block['template']}.sh.j2")), 1)
    inserted = {"first": first, "last": lines, **block}
    return replace(script, sources=tuple(source if _is_file(source) else inserted | source for source in sources))


def _is_file(source: Mapping[str, Any]) -> bool:
    """Tell whether a fact is what stands in a file: that is written after the script, and in none of its lines."""
    return bool(source["fact"] == "content")


def told(script: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List what a person should see of a script (as JSON): hooks, validations, and the facts that it stands upon."""
    hooks = [
        {"kind": "hook", "file": one["file"], "sha256": one["digest"], "when": when}
        for when in ("before", "after")
        for one in script.get(when, ())
        if one.get("file") is not None
    ]
    judges = [
        {"kind": "validation", "label": one["label"], "argv": list(one["argv"])}
        for one in script.get("after", ())
        if one.get("file") is None
    ]
    return [*hooks, *judges, *({"kind": "source", **source} for source in script.get("sources", ()))]
