"""The validator: is a script well-formed, sound and permitted? Nothing of it runs here.

Layers: size and encoding, ``bash -n``, shellcheck, policy rules on the syntax tree. A later layer runs even when an
earlier one found errors, except that text which is no text goes no further.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from workflow_agent.model.errors import ScriptRefusedError, ValidationError
from workflow_agent.model.system import Finding, Severity
from workflow_agent.scripts._programs import bash_findings, shellcheck_findings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["MAX_SCRIPT_BYTES", "allowed_by", "refuse_on_errors", "validate_script"]

MAX_SCRIPT_BYTES = 1024 * 1024
_SHELLCHECK_RULE = re.compile(r"SC[0-9]{4}")
#: Findings outside the policy that a person may allow; what is no bash at all nobody can allow.
_OTHER_ALLOWED = frozenset({"shellcheck-missing", "shellcheck-failed", "python-hook", "irreversible-effect"})


def validate_script(
    script_text: str,
    *,
    allow: Collection[str] = (),
    inside_transaction: bool = True,
    declared_paths: Collection[str] | None = None,
    secrets: Collection[str] = (),
    shell: str = "bash",
) -> list[Finding]:
    """Check a script. Starts two short processes; runs nothing of the script.

    Args:
        script_text: The whole script.
        allow: Rule ids (policy or shellcheck) whose findings a person allows, each for all of its findings or,
            as ``RULE:LINE``, for those of one line; they stay listed, with `allowed` set.
        inside_transaction: Inside one, rules that only endanger the host's files give warnings.
        declared_paths: Where it may write, for targets without capture; None: anywhere.
        secrets: Names of variables that hold secrets.
        shell: Who will run it: ``bash``, ``sh`` or ``dash``.

    Returns:
        Findings in the order of lines.

    Raises:
        ValidationError: `allow` names a rule that does not exist.
    """
    _check_allowed_ids(allow)
    broken = _not_a_text(script_text)
    if broken is not None:
        return [broken]
    with ThreadPoolExecutor(2, thread_name_prefix="validator") as pool:
        # Both are separate processes, so they overlap with each other and with the policy's work here.
        outside = [pool.submit(bash_findings, script_text), pool.submit(shellcheck_findings, script_text, shell)]
        from workflow_agent.scripts.policy import analyse  # noqa: PLC0415 - late: 30 ms, while those two work

        policy = analyse(
            script_text,
            inside_transaction=inside_transaction,
            secrets=secrets,
            declared_paths=declared_paths,
        )
        findings = [finding for future in outside for finding in future.result()] + policy
    findings = [replace(finding, allowed=allowed_by(allow, finding)) for finding in findings]
    return sorted(findings, key=lambda finding: (finding.line, finding.column, finding.rule))


def allowed_by(allow: Collection[str], finding: Finding) -> bool:
    """Say whether a person allows a finding: by its rule, or by its rule and line."""
    return finding.rule in allow or f"{finding.rule}:{finding.line}" in allow


def refuse_on_errors(findings: Sequence[Finding], name: str = "script") -> None:
    """Raise when a finding is an error that was not allowed.

    Args:
        findings: Of the validator.
        name: What the script is called.

    Raises:
        ScriptRefusedError: names the first such finding; `details` lists all of them.
    """
    errors = [item for item in findings if item.severity is Severity.ERROR and not item.allowed]
    if not errors:
        return
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    raise ScriptRefusedError(
        f"the script was refused by `{first.rule}`: {first.message}{more}",
        where=_where(first, name),
        cause=first.excerpt or None,
        hint=_hint(first),
        details={"findings": [_entry(item) for item in errors]},
    )


def _where(finding: Finding, name: str) -> str:
    """Give the template's line, or the script's own where no template is known; nothing of what is in no line."""
    if not finding.line:
        return finding.origin or name
    script = f"{name}:{finding.line}:{finding.column}"
    origin = f"{finding.origin} ({script})" if finding.origin else script
    return f"{origin}, from {', '.join(finding.keys)}" if finding.keys else origin


def _hint(finding: Finding) -> str:
    which = f"{finding.rule}:{finding.line}" if finding.line else finding.rule
    allow = f"`--allow {which}` if it is meant"
    return f"{finding.hint}; or {allow}" if finding.hint else f"allow it with {allow}"


def _entry(finding: Finding) -> dict[str, object]:
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "line": finding.line,
        "column": finding.column,
        "message": finding.message,
        "origin": finding.origin,
        "keys": list(finding.keys),
    }


def _check_allowed_ids(allow: Collection[str]) -> None:
    if not allow:  # the rules are loaded beside the checkers, then
        return
    from workflow_agent.scripts.policy import RULES  # noqa: PLC0415 - late: 30 ms

    known = RULES.keys() | _OTHER_ALLOWED
    for given in allow:
        rule, _, line = given.partition(":")
        if line and not line.isdecimal():
            raise ValidationError(f"`{given}` does not name a line of the script", hint=f"such as `{rule}:12`")
        if rule not in known and not _SHELLCHECK_RULE.fullmatch(rule):
            nearest = get_close_matches(rule, sorted(known), n=1)
            raise ValidationError(
                f"there is no rule `{rule}` that can be allowed",
                hint=f"did you mean `{nearest[0]}`?" if nearest else "rules: " + ", ".join(sorted(known)),
            )


def _not_a_text(text: str) -> Finding | None:
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        return _refusal("encoding", "is not valid Unicode text", text.count("\n", 0, error.start) + 1)
    if "\0" in text:
        return _refusal("encoding", "contains a NUL character", text.count("\n", 0, text.index("\0")) + 1)
    if size > MAX_SCRIPT_BYTES:
        return _refusal("size", f"has {size} bytes; {MAX_SCRIPT_BYTES} are allowed", 1)
    return None


def _refusal(rule: str, message: str, line: int) -> Finding:
    return Finding(rule=rule, severity=Severity.ERROR, message=f"the script {message}", line=line, source="text")
