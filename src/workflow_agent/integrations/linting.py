"""Lint of an integration's folder: what is refused (errors) and what a careful author would add (warnings).

Rules of the manifest only; the text of shell templates is linted by ``scripts``. Each rule has a stable code
and a pair of fixtures in ``tests/examples/manifests``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from workflow_agent.integrations.hooks import hook_problem
from workflow_agent.integrations.kinds import ActionName, FileFormat, ParameterType
from workflow_agent.integrations.loading import (
    manifest_error,
    name_problems,
    parse_manifest,
    read_document,
)
from workflow_agent.integrations.problems import KeyPath, ManifestProblem
from workflow_agent.integrations.readme_page import readme
from workflow_agent.integrations.soundness import EXPRESSION_ROOTS, expression_texts, references_in
from workflow_agent.model.errors import ManifestError
from workflow_agent.model.records import dataclass
from workflow_agent.model.system import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from workflow_agent.integrations.manifest import Manifest

__all__ = ["RULES", "LintFinding", "lint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LintFinding:
    """One finding. `where` is ``file:line:column``, `key` the key path in the manifest."""

    code: str
    severity: Severity
    where: str
    key: str
    message: str
    hint: str | None = None


def _readme(manifest: Manifest, folder: Path) -> Iterator[ManifestProblem]:
    file = folder / "README.md"
    hint = "`lint --fix` writes it, and `integrations docs build` too"
    if not file.is_file():
        yield ManifestProblem(path=(), code="readme-missing", message="has no README.md", hint=hint)
    elif file.read_text(encoding="utf-8", errors="replace") != readme(manifest):
        yield ManifestProblem(
            path=(), code="readme-stale", message="has a README.md that says something else", hint=hint
        )


def _removal(manifest: Manifest, _folder: Path) -> Iterator[ManifestProblem]:
    if not manifest.negative_checks:
        yield ManifestProblem(
            path=("checks",),
            code="negative-checks-missing",
            message="has no `negative_checks`: nothing would prove that it is gone",
            hint="the port is closed, the process is absent, the package is not installed",
        )
    if ActionName.UNINSTALL not in manifest.actions:
        yield ManifestProblem(path=("actions",), code="uninstall-missing", message="has no `uninstall`")


def _documentation(manifest: Manifest, _folder: Path) -> Iterator[ManifestProblem]:
    if not manifest.documentation:
        yield ManifestProblem(path=(), code="documentation-missing", message="names no page of documentation")


_TEMPLATE_NAME: Final = re.compile(r"\b(?:parameters\.|secret\(['\"])([a-z][a-z0-9_]*)")


def _template_names(folder: Path, pattern: str = "*.j2") -> set[str]:
    """Names of parameters that the folder's templates use."""
    return {
        name
        for file in sorted((folder / "templates").rglob(pattern))
        if file.is_file()
        for name in _TEMPLATE_NAME.findall(file.read_text(encoding="utf-8", errors="replace"))
    }


def _used(manifest: Manifest, *keys: str) -> set[str]:
    """Names of parameters that expressions below the given top-level keys use; of all without keys."""
    return {
        reference.split(".")[1]
        for path, text, bare in expression_texts(manifest)
        if not keys or path[0] in keys
        for reference in references_in(text, bare=bare)
        if reference.startswith("parameters.")
    }


def _parameters(manifest: Manifest, folder: Path) -> Iterator[ManifestProblem]:
    effective = _used(manifest, "actions", "files", "services", "effects") | _template_names(folder)
    used = effective | _used(manifest)
    checked = _used(manifest, "checks")
    for name, declared in manifest.parameters.items():
        path = ("parameters", name)
        if name not in used:
            yield ManifestProblem(path=path, code="parameter-unused", message="is used nowhere")
        elif declared.type is ParameterType.PORT and name not in checked:
            yield ManifestProblem(
                path=path,
                code="port-unchecked",
                message="is a port that no check looks at",
                hint="add a check of kind port, http or metric",
            )
        if declared.secret and declared.default is not None:
            yield ManifestProblem(
                path=(*path, "default"),
                code="secret-default",
                message="gives a secret away; defaults of secrets are not used",
            )


def _services(manifest: Manifest, _folder: Path) -> Iterator[ManifestProblem]:
    proven = {getattr(check, key, None) for check in manifest.checks for key in ("exe", "process", "name")}
    current = {check.exe for check in manifest.checks if check.kind == "process" and check.current}
    for index, service in enumerate(manifest.services):
        path = ("services", index)
        if not {service.exe, service.name, f"{service.name}.service"} & (proven - {None}):
            yield ManifestProblem(
                path=path, code="service-unchecked", message=f"`{service.name}` is proven by no check"
            )
        elif service.exe is not None and service.exe not in current:
            yield ManifestProblem(
                path=path,
                code="binary-unchecked",
                message=f"no check proves that `{service.name}` runs the installed file",
                hint="a check of kind process with `current: true`",
            )
        if not service.argv:
            message = f"`{service.name}` has no `argv`: it cannot be started without an init system"
            yield ManifestProblem(path=path, code="argv-missing", message=message)


#: What other template languages write, where it would stand as it is.
_OTHER_MARKS: Final = re.compile(
    r"(?<!\$)\{\{\s*(?:parameters|facts|services)\.|\$\{(?!\{)\s*(?:parameters|facts|services)\."
)


def _marks(manifest: Manifest, _folder: Path) -> Iterator[ManifestProblem]:
    data = manifest.model_dump(mode="json", by_alias=True, exclude_none=True, include=set(EXPRESSION_ROOTS))
    for path, text in _strings((), data):
        if found := _OTHER_MARKS.search(text):
            message = f"has `{found[0]}…`, which stands there as it is: an expression is written `${{{{ … }}}}`"
            yield ManifestProblem(path=path, code="expression-marks", message=message)


def _strings(path: KeyPath, value: object) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings((*path, index), item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _strings((*path, name), item)


_CLOSED_TYPES: Final = frozenset(ParameterType) - {ParameterType.STRING, ParameterType.LIST, ParameterType.PATH}


def _free_text(manifest: Manifest, folder: Path) -> Iterator[ManifestProblem]:
    """In a file that no writer quotes, a parameter must not be able to say anything but what is meant."""
    for path, text, bare in expression_texts(manifest):
        match path:
            case ("files", int(index), "content") if manifest.files[index].format is FileFormat.TEXT:
                names = {ref.split(".")[1] for ref in references_in(text, bare=bare) if ref.startswith("parameters.")}
                yield from _free_names(manifest, path, names)
            case _:
                continue
    for index, file in enumerate(manifest.files):
        if file.template is not None and file.format is FileFormat.TEXT:
            # with what it includes
            yield from _free_names(manifest, ("files", index, "template"), _template_names(folder, "*.text.j2"))


def _free_names(manifest: Manifest, path: KeyPath, names: set[str]) -> Iterator[ManifestProblem]:
    for name in sorted(names & manifest.parameters.keys()):
        declared = manifest.parameters[name]
        kind = (declared.items or ParameterType.STRING) if declared.type is ParameterType.LIST else declared.type
        if kind not in _CLOSED_TYPES and declared.pattern is None and not declared.choices:
            message = f"inserts `{name}`, which may be any text, into a file that nothing quotes"
            hint = "give the parameter a `pattern` or `choices`, or use a format with a typed writer"
            yield ManifestProblem(path=path, code="free-text", message=message, hint=hint)


def _file_templates(manifest: Manifest, folder: Path) -> Iterator[ManifestProblem]:
    for index, file in enumerate(manifest.files):
        path = f"{file.template}.{file.format}.j2"
        if file.template is not None and not (folder / "templates" / path).is_file():
            yield ManifestProblem(
                path=("files", index, "template"), code="template-missing", message=f"is no file templates/{path}"
            )


def _hooks(manifest: Manifest, folder: Path) -> Iterator[ManifestProblem]:
    for name, action in manifest.actions.items():
        for when in ("before", "after"):
            for index, hook in enumerate(getattr(action.hooks, when)):
                if problem := hook_problem(folder, hook):
                    yield ManifestProblem(
                        path=("actions", name.value, "hooks", when, index), code="hook", message=problem
                    )


_WARNINGS: Final[tuple[Callable[[Manifest, Path], Iterator[ManifestProblem]], ...]] = (
    _readme,
    _removal,
    _documentation,
    _parameters,
    _services,
    _free_text,
    _marks,
    _file_templates,
    _hooks,
)
#: Codes of findings, with how much they weigh.
RULES: Final = {
    "yaml": Severity.ERROR,
    "schema": Severity.ERROR,
    "unknown-key": Severity.ERROR,
    "choice": Severity.ERROR,
    "pattern": Severity.ERROR,
    "too-short": Severity.ERROR,
    "name": Severity.ERROR,
    "duplicate": Severity.ERROR,
    "missing": Severity.ERROR,
    "self": Severity.ERROR,
    "file-source": Severity.ERROR,
    "parameter": Severity.ERROR,
    "check": Severity.ERROR,
    "effect": Severity.ERROR,
    "packages": Severity.ERROR,
    "template": Severity.ERROR,
    "environment": Severity.ERROR,
    "hook": Severity.ERROR,
    "expression": Severity.ERROR,
    "unknown-reference": Severity.ERROR,
    "secret-place": Severity.ERROR,
    "secret-mode": Severity.ERROR,
    "secret-default": Severity.ERROR,
    "free-text": Severity.ERROR,
    "template-missing": Severity.ERROR,
    "readme-missing": Severity.WARNING,
    "readme-stale": Severity.WARNING,
    "negative-checks-missing": Severity.WARNING,
    "uninstall-missing": Severity.WARNING,
    "documentation-missing": Severity.WARNING,
    "parameter-unused": Severity.WARNING,
    "port-unchecked": Severity.WARNING,
    "service-unchecked": Severity.WARNING,
    "binary-unchecked": Severity.WARNING,
    "argv-missing": Severity.WARNING,
    "expression-marks": Severity.WARNING,
}


def _findings(error: ManifestError) -> list[LintFinding]:
    return [
        LintFinding(
            code=entry["code"],
            severity=RULES[entry["code"]],
            where=entry["where"],
            key=entry["key"],
            message=entry["message"],
            hint=entry["hint"],
        )
        for entry in error.details["errors"]
    ]


def lint(folder: Path) -> list[LintFinding]:
    """Lint an integration's folder, in the order of the manifest's lines.

    Raises:
        NotFoundError: the folder has no manifest.
    """
    folder = folder.absolute()
    try:
        document = read_document(folder)
    except ManifestError as error:
        return _findings(error)
    manifest, problems = parse_manifest(document.data)
    if manifest is not None:
        problems = [*name_problems(manifest, folder), *problems]
    # the rules below read expressions, so they need a manifest whose expressions are sound
    if manifest is not None and not problems:
        problems = [problem for rule in _WARNINGS for problem in rule(manifest, folder)]
    return _findings(manifest_error(document, problems)) if problems else []
