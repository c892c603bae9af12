"""What stands in no line of a script, and needs a person's word: hooks, commands that judge files, lasting effects."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.model.system import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from workflow_agent.model.system import CaptureCommand, Effect, Script

__all__ = ["consent_findings"]

_LASTING = "irreversible"


def consent_findings(script: Script, effects: Sequence[Effect], allow: Collection[str]) -> list[Finding]:
    """List them; each is allowed by its rule, for it has no line."""
    findings = [*_hooks(script), *_judges(script), *_lasting(effects)]
    return [replace(finding, allowed=finding.rule in allow) for finding in findings]


def _hooks(script: Script) -> Iterator[Finding]:
    for command in (*script.before, *script.after):
        if command.file is not None:
            yield Finding(
                rule="python-hook",
                severity=Severity.ERROR,
                message=f"runs the Python file {command.file} (sha256 {command.digest})",
                line=0,
                excerpt=command.file,
                hint="read it first",
            )


def _judges(script: Script) -> Iterator[Finding]:
    """Look at the commands that judge files with the policy's eyes."""
    commands: list[CaptureCommand] = [one for one in script.after if one.file is None]
    if not commands:
        return
    from workflow_agent.scripts.policy import analyse  # noqa: PLC0415  # late: few manifests have any

    for command in commands:
        text = shlex.join(command.argv)
        for found in analyse(f"{text}\n", inside_transaction=True, secrets=(), declared_paths=None):
            yield replace(found, line=0, excerpt=text, message=f"{command.label} {found.message}")


def _lasting(effects: Sequence[Effect]) -> Iterator[Finding]:
    for effect in effects:
        if effect.kind == _LASTING:
            yield Finding(
                rule="irreversible-effect",
                severity=Severity.ERROR,
                message=f"does what cannot be undone: {effect.description}",
                line=0,
                source="manifest",
            )
