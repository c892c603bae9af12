"""What `integrations lint` and `validate` say of a folder or a file: findings of every layer in one form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.style import Style, safe
from workflow_agent.cli.tables import counted
from workflow_agent.model.errors import NotFoundError, UsageError, ValidationError, WorkflowAgentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from workflow_agent.app.settings import Settings
    from workflow_agent.model.system import Finding

__all__ = ["finding_lines", "lint_folder", "refusal", "validate_path"]

_COLORS = {"error": "red", "warning": "yellow", "info": "dim"}
_MANIFEST = "integration.yaml"
#: The key of what is about the manifest as a whole.
_WHOLE = "(top)"


def lint_folder(folder: Path) -> list[dict[str, Any]]:
    """Lint an integration: its manifest, then its shell templates.

    Returns:
        Findings, each ``{code, severity, where, key, message, hint, file, line, column, rule, fix}``; `fix` is what
        ``lint --fix`` would do, None when that is for the author to decide.

    Raises:
        NotFoundError: the folder has no manifest.
    """
    from workflow_agent.integrations import lint  # noqa: PLC0415  # late: pydantic, 36 ms
    from workflow_agent.integrations.fixing import fix_of  # noqa: PLC0415  # late

    findings: list[dict[str, Any]] = [
        {
            "code": found.code,
            "severity": str(found.severity),
            "where": found.where,
            "key": found.key,
            "message": found.message,
            "hint": found.hint,
        }
        for found in lint(folder)
    ]
    for file in sorted((folder / "templates").rglob("*.sh.j2")):
        findings += _template(file)
    findings += _bench(folder)
    return [
        {**found, **_place(found["where"]), "rule": found["code"], "fix": fix_of(found["code"], found["hint"])}
        for found in findings
    ]


def _bench(folder: Path) -> list[dict[str, Any]]:
    """Say what is wrong with what the tests are told in ``tests/bench.yaml``."""
    file = folder / "tests" / "bench.yaml"
    if not file.is_file():
        return []
    from workflow_agent.testing.bench.plan_file import read_plan  # noqa: PLC0415  # late: few folders have one

    try:
        read_plan(folder)
    except ValidationError as error:
        return [_of_error(error, file) | {"code": "bench"}]
    return []


def _place(where: str) -> dict[str, Any]:
    """Take ``file:line:column`` apart; numbers that are not there are None."""
    file, *numbers = re.split(r":(?=[0-9]+(?::|$))", where)
    line, column = [*map(int, numbers[:2]), None, None][:2]
    return {"file": file, "line": line, "column": column}


def validate_path(path: Path, settings: Settings) -> tuple[str, list[dict[str, Any]]]:
    """Validate whatever a path is; gives what it was taken for, and the findings.

    What a workflow's steps ask for is looked up among the agents of the settings.

    Raises:
        NotFoundError: there is nothing.
        UsageError: it is of no kind that is known.
    """
    if path.is_dir():
        return "integration", lint_folder(path)
    if not path.exists():
        raise NotFoundError(f"there is no file `{path}`")
    if path.name == _MANIFEST:
        return "integration", lint_folder(path.absolute().parent)
    if path.suffix == ".j2":
        return "template", _template(path)
    if path.suffix in {".yaml", ".yml", ".json", ".py"}:
        return "workflow", _workflow(path, settings)
    if path.suffix in {".sh", ".bash"} or path.read_bytes()[:2] == b"#!":
        return "script", _script(path)
    raise UsageError(
        f"`{path.name}` is of no kind that can be validated",
        where=str(path),
        hint="a workflow (.py, .yaml, .json), a shell script (.sh), a template (.j2) or the folder of an integration",
    )


def _text(path: Path) -> str:
    from workflow_agent.authoring import read_text  # noqa: PLC0415  # late: yaml, 16 ms

    try:
        return read_text(path)
    except OSError as error:
        raise ValidationError("the file cannot be read", where=str(path), cause=error.strerror) from error


def _template(file: Path) -> list[dict[str, Any]]:
    from workflow_agent.scripts import lint_template  # noqa: PLC0415  # late: jinja2, 40 ms

    try:
        return [_plain(found, file) for found in lint_template(_text(file), str(file))]
    except ValidationError as error:
        return [_of_error(error, file)]


def _script(file: Path) -> list[dict[str, Any]]:
    from workflow_agent.scripts import validate_script  # noqa: PLC0415  # late: tree-sitter, 30 ms

    return [_plain(found, file) for found in validate_script(_text(file))]


def _workflow(file: Path, settings: Settings) -> list[dict[str, Any]]:
    from workflow_agent.app.unanswered import unanswered  # noqa: PLC0415  # late
    from workflow_agent.authoring.flow_source import read_any  # noqa: PLC0415  # late: pydantic, 36 ms
    from workflow_agent.authoring.sdk.compiling import compile_workflow  # noqa: PLC0415  # late: the Python front end
    from workflow_agent.authoring.sdk.loading import load_file  # noqa: PLC0415  # late

    try:
        if file.suffix == ".py":
            workflow = compile_workflow(load_file(str(file)))
        else:
            workflow = read_any(_text(file), source=str(file))
    except ValidationError as error:
        problems = error.details.get("problems")
        if not problems:
            return [_of_error(error, file)]
        return [
            {
                "code": error.code,
                "severity": "error",
                "where": problem["where"],
                "key": problem.get("path"),
                "message": problem["message"],
                "hint": problem["hint"],
            }
            for problem in problems
        ]
    return [
        {"code": "validation", "severity": "error", "where": str(file), "key": path, "message": message, "hint": hint}
        for path, message, hint in unanswered(workflow, settings)
    ]


def _plain(found: Finding, file: Path) -> dict[str, Any]:
    return {
        "code": found.rule,
        "severity": str(found.severity),
        "where": f"{file}:{found.line}:{found.column}",
        "key": "",
        "message": found.message,
        "hint": found.hint,
    }


def _of_error(error: WorkflowAgentError, file: Path) -> dict[str, Any]:
    return {
        "code": error.code,
        "severity": "error",
        "where": error.where or str(file),
        "key": "",
        "message": error.message if not error.cause else f"{error.message}: {error.cause}",
        "hint": error.hint,
    }


def refusal(what: str, path: Path, findings: Sequence[dict[str, Any]]) -> ValidationError | None:
    """Make the error of findings of which one is an error; None when there is none."""
    errors = [finding for finding in findings if finding["severity"] == "error"]
    if not errors:
        return None
    return ValidationError(f"the {what} has {counted(len(errors), 'error')}", where=str(path))


def finding_lines(what: str, path: Path, findings: Sequence[dict[str, Any]], style: Style) -> Iterator[str]:
    """Write findings, one a line with the hint below."""
    for finding in findings:
        severity = str(finding["severity"])
        key = f"`{safe(finding['key'])}` " if finding["key"] else ""
        if finding["key"] == _WHOLE:
            key = "" if finding["code"] == "yaml" else "the integration "
        head = style.paint(f"{severity}[{safe(finding['code'])}]", _COLORS.get(severity, "dim"))
        yield f"{safe(finding['where'])}: {head} {key}{safe(finding['message'])}"
        if finding["hint"]:
            yield f"    hint: {safe(finding['hint'])}"
    if not findings:
        yield f"{style.paint(style.symbol('succeeded'), 'green')} {safe(path)}: the {what} is valid"
