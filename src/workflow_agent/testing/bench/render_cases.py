"""Kind render: parameters and facts in, the exact script and its files out.

A case is `tests/render/NAME.json`: ``{"action", "parameters", "facts", "refused"}``, of which only `action` must be
there. What must come out stands beside it in `NAME.expected`; a case with `refused` (an error code) must be refused.
"""

from __future__ import annotations

import json
from difflib import unified_diff
from typing import TYPE_CHECKING, Any

from pydantic import Field

from workflow_agent.agents.script_setup import blocks_before
from workflow_agent.integrations import bind_parameters, builtin_folder, load_folder, resolve
from workflow_agent.integrations.fields import Part
from workflow_agent.model.errors import ValidationError, WorkflowAgentError
from workflow_agent.model.system import InitKind, TargetFacts, Tier
from workflow_agent.scripts import (
    refuse_on_errors,
    render_file,
    render_script,
    template_folders,
    validate_script,
    write_config,
)
from workflow_agent.security.marks import named, reference
from workflow_agent.testing.bench.outcomes import TestFailedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from workflow_agent.integrations import Manifest, ResolvedFile

__all__ = ["RENDER_FOLDER", "RenderCase", "cases_of", "check_case", "rendered", "update_cases"]

RENDER_FOLDER = "tests/render"
_FACTS: dict[str, Any] = {
    "target": "host",
    "hostname": "example",
    "os_id": "debian",
    "os_version": "12",
    "os_codename": "bookworm",
    "os_like": (),
    "architecture": "x86_64",
    "kernel": "6.1",
    "init": InitKind.SYSTEMD,
    "package_manager": "apt",
    "is_root": True,
    "tier": Tier.EXACT,
    "capabilities": None,
}
_LONGEST = 60


class RenderCase(Part):
    """One case: what is asked for, or with which error code that must be refused."""

    action: str = "install"
    parameters: dict[str, Any] = Field(default_factory=dict)
    facts: dict[str, Any] = Field(default_factory=dict)
    refused: str | None = None


def cases_of(folder: Path) -> list[Path]:
    """List the cases of an integration."""
    return sorted((folder / RENDER_FOLDER).glob("*.json"))


def rendered(manifest: Manifest, case: RenderCase, templates: Sequence[Path] = ()) -> str:
    """Write the script and the files of a case; the script has passed the validator.

    Args:
        manifest: The integration.
        case: What is asked for; secrets are named by any text.
        templates: Configured template folders.

    Raises:
        WorkflowAgentError: it is refused.
    """
    given = dict(case.parameters)
    for name, declared in manifest.parameters.items():
        if declared.secret and name in given:
            given[name] = reference(name, "0" * 64)
    facts = TargetFacts(**{**_FACTS, **_typed(case.facts)})
    resolved = resolve(manifest, case.action, bind_parameters(manifest, given), facts)
    search = template_folders(manifest.folder, [*templates, builtin_folder().parent / "templates"])
    script = render_script(
        resolved.template,
        resolved.context,
        search=search,
        integration=resolved.integration,
        action=resolved.action,
        version=resolved.version,
        multiline=[f"parameters.{name}" for name, declared in manifest.parameters.items() if declared.multiline],
        blocks=blocks_before(resolved.action, resolved.setup, resolved.context),
    )
    refuse_on_errors(validate_script(script.text))
    files = [
        f"==> {file.path} {file.mode} {file.owner} <==\n{_content(file, resolved.context, search)}"
        for file in resolved.files
    ]
    return "\n".join(part if part.endswith("\n") else f"{part}\n" for part in (script.text, *files))


def _typed(facts: dict[str, Any]) -> dict[str, Any]:
    try:
        typed = {key: facts[key] for key in facts if key in _FACTS}
        if unknown := sorted(facts.keys() - typed.keys()):
            raise ValidationError(f"there is no fact `{unknown[0]}`", hint=f"facts are {', '.join(_FACTS)}")
        kinds = {"init": InitKind, "tier": Tier, "os_like": tuple}
        return {key: kinds[key](value) if key in kinds else value for key, value in typed.items()}
    except ValueError as error:
        raise ValidationError("a fact has a value that is none", cause=str(error)) from error


def _content(file: ResolvedFile, context: Any, search: Sequence[Path]) -> str:  # Any: as resolved
    if file.template is not None:
        return render_file(file.template, context, search=search, language=file.format)
    return write_config(file.format, named(file.values if file.content is None else file.content))


def _read(file: Path) -> RenderCase:
    try:
        return RenderCase.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise TestFailedError(f"{file.name} is no case: {str(error).splitlines()[0]}") from error


def check_case(folder: Path, file: Path, *, update: bool = False) -> str:
    """Carry out a case; gives a sentence. With `update` what comes out is what must come out from now on.

    Raises:
        TestFailedError: it comes out otherwise; the details are the difference.
    """
    case = _read(file)
    try:
        text = rendered(load_folder(folder), case)
    except WorkflowAgentError as error:
        if case.refused == error.code:
            return f"refused with {error.code}"
        wanted = f", not with {case.refused}" if case.refused else ""
        raise TestFailedError(f"refused with {error.code}{wanted}: {error.message}", _hint(error)) from error
    if case.refused:
        raise TestFailedError(f"accepted, and must be refused with {case.refused}")
    expected = file.with_suffix(".expected")
    old = expected.read_text(encoding="utf-8") if expected.is_file() else None
    if update:
        expected.write_text(text, encoding="utf-8")
        return "as before" if old == text else "written anew"
    if old is None:
        raise TestFailedError(f"{expected.name} is not there", ["`--update` writes it"])
    if old != text:
        lines = unified_diff(old.splitlines(), text.splitlines(), expected.name, "rendered", lineterm="")
        raise TestFailedError("another script comes out", [*lines][:_LONGEST])
    return "as expected"


def _hint(error: WorkflowAgentError) -> list[str]:
    return [text for text in (error.where, error.cause, error.hint) if text]


def update_cases(folder: Path) -> int:
    """Write what comes out of every case; gives how many there are."""
    files = cases_of(folder)
    for file in files:
        check_case(folder, file, update=True)
    return len(files)
