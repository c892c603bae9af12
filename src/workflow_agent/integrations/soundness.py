"""What must hold between the fields of a manifest. A manifest that fails here is refused, not warned about.

Pure functions from a manifest to problems; each returns all that it finds.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.integrations.kinds import EXPRESSION_MARK, ActionName, EffectKind, FileFormat, ParameterType
from workflow_agent.integrations.patterns import MAX_CHARS
from workflow_agent.integrations.problems import KeyPath, ManifestProblem
from workflow_agent.integrations.soundness_families import packages_problems, surroundings_problems
from workflow_agent.integrations.values import parse_value
from workflow_agent.model.errors import ExpressionError
from workflow_agent.model.expression import parse, references_of
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from workflow_agent.integrations.manifest import Manifest, Parameter

__all__ = ["EXPRESSION_ROOTS", "expression_texts", "facts_known", "references_in", "soundness"]

#: Fields of :class:`workflow_agent.model.system.TargetFacts` that expressions may name.
facts_known: Final = (
    "target",
    "hostname",
    "os_id",
    "os_version",
    "os_codename",
    "os_like",
    "architecture",
    "kernel",
    "init",
    "package_manager",
    "is_root",
    "tier",
    "tier_reason",
    "identity",
    "capabilities",
)
_SERVICE_KEYS: Final = ("argv", "arguments")
#: Keys whose texts may hold expressions, and what these may name.
EXPRESSION_ROOTS: Final[Mapping[str, frozenset[str]]] = {
    "directories": frozenset({"parameters", "facts"}),
    "files": frozenset({"parameters", "facts", "packages", "services"}),
    "checks": frozenset({"parameters", "facts", "packages", "services"}),
    "negative_checks": frozenset({"parameters", "facts", "packages", "services"}),
    "actions": frozenset({"parameters", "facts", "packages"}),
    "services": frozenset({"parameters", "facts"}),
    "effects": frozenset({"parameters", "facts"}),
    "state_data": frozenset({"parameters", "facts"}),
    "capabilities": frozenset({"parameters", "facts"}),
}
#: What a file is written from; typed formats from `values`.
_SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    FileFormat.TEXT: ("content", "template"),
    FileFormat.NGINX: ("template",),
}
_CONDITIONED: Final = frozenset({"capabilities", "files", "services", "checks", "negative_checks", "effects"})


def expression_texts(manifest: Manifest) -> Iterator[tuple[KeyPath, str, bool]]:
    """Walk every text that may hold expressions: key path, text, and whether all of it is one expression."""
    data = manifest.model_dump(mode="json", by_alias=True, exclude_none=True)
    for key in EXPRESSION_ROOTS:
        yield from _texts((key,), data.get(key))


def _texts(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, str, bool]]:  # Any: a JSON value
    if isinstance(value, str):
        bare = _is_condition(path)
        if bare or EXPRESSION_MARK in value:
            yield path, value, bare
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts((*path, index), item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts((*path, name), item)


def _is_condition(path: KeyPath) -> bool:
    match path:
        case (str(key), int(), "when"):
            return key in _CONDITIONED
        case ("services", int(), "argv", int(), "when" | "each"):
            return True
        case _:
            return False


def references_in(text: str, *, bare: bool) -> frozenset[str]:
    """List the dotted paths that a text names; raises ExpressionError."""
    return parse(text).references if bare else references_of(text)


def _reference(manifest: Manifest, path: KeyPath, reference: str) -> ManifestProblem | None:
    root, *rest = reference.split(".")
    known_here = EXPRESSION_ROOTS[str(path[0])] - (frozenset() if manifest.packages else {"packages"})
    allowed = set(known_here) | ({"item"} if _has_item(manifest, path) else set())
    if root not in allowed:
        return _unknown(path, root, f"names `{root}`, which is not known here", allowed)
    known: Mapping[str, Iterable[str]] = {
        "parameters": manifest.parameters,
        "facts": facts_known,
        "services": [service.name for service in manifest.services],
        "packages": (),
    }
    if root == "item" or (root == "packages" and not rest):
        return None
    if not rest or rest[0] not in known[root]:
        name = rest[0] if rest else ""
        return _unknown(path, name, f"names `{reference}`, but there is no such {root.removesuffix('s')}", known[root])
    if root == "services" and (len(rest) == 1 or rest[1] not in _SERVICE_KEYS):
        return _unknown(path, "".join(rest[1:2]), f"names `{reference}`, which a service has not", _SERVICE_KEYS)
    return None


def _unknown(path: KeyPath, name: str, message: str, known: Iterable[str]) -> ManifestProblem:
    return ManifestProblem(path=path, code="unknown-reference", message=message, hint=did_you_mean(name, known))


def _has_item(manifest: Manifest, path: KeyPath) -> bool:
    match path:
        case ("services", int(service), "argv", int(index), "value" | "when"):
            return bool(getattr(manifest.services[service].argv[index], "each", None))
        case _:
            return False


def _expressions(manifest: Manifest) -> Iterator[ManifestProblem]:
    for path, text, bare in expression_texts(manifest):
        try:
            references = references_in(text, bare=bare)
        except ExpressionError as error:
            yield ManifestProblem(
                path=path,
                code="expression",
                message=f"is no expression: {error.message} ({error.where})",
                hint=error.hint,
            )
            continue
        for reference in sorted(references):
            problem = _reference(manifest, path, reference)
            if problem is not None:
                yield problem


def _duplicates(values: Iterable[tuple[KeyPath, str]], what: str) -> Iterator[ManifestProblem]:
    seen: Counter[str] = Counter()
    for path, value in values:
        seen[value] += 1
        if seen[value] > 1:
            yield ManifestProblem(path=path, code="duplicate", message=f"is the {what} `{value}` once more")


def _unique(manifest: Manifest) -> Iterator[ManifestProblem]:
    lists = {"checks": manifest.checks, "negative_checks": manifest.negative_checks}
    ids = [((key, index, "id"), check.id) for key, checks in lists.items() for index, check in enumerate(checks)]
    yield from _duplicates(ids, "check")
    names = [
        (("services", index, "name"), service.name)
        for index, service in enumerate(manifest.services)
        if service.when is None
    ]
    yield from _duplicates(names, "service")
    yield from _duplicates([(("users", i, "name"), user.name) for i, user in enumerate(manifest.users)], "user")
    made = [(("directories", i, "path"), entry.path) for i, entry in enumerate(manifest.directories)]
    yield from _duplicates(made, "directory")
    paths = [(("files", i, "path"), file.path) for i, file in enumerate(manifest.files) if file.when is None]
    yield from _duplicates(paths, "file")


def _actions(manifest: Manifest) -> Iterator[ManifestProblem]:
    if ActionName.INSTALL not in manifest.actions:
        yield ManifestProblem(path=("actions",), code="missing", message="has no `install`")
    for key in ("requires", "conflicts"):
        names: tuple[str, ...] = getattr(manifest, key)
        for index, name in enumerate(names):
            if name == manifest.name:
                yield ManifestProblem(path=(key, index), code="self", message="names the integration itself")
            elif key == "conflicts" and name in manifest.requires:
                yield ManifestProblem(path=(key, index), code="self", message=f"names `{name}`, which is required")


def _files(manifest: Manifest) -> Iterator[ManifestProblem]:
    for index, file in enumerate(manifest.files):
        given = [key for key in ("values", "content", "template") if getattr(file, key) is not None]
        wanted = _SOURCES.get(file.format, ("values",))
        if len(given) != 1 or given[0] not in wanted:
            found = " and ".join(f"`{key}`" for key in given) or "neither"
            source = " or ".join(f"`{key}`" for key in wanted)
            message = f"is a file of format {file.format}, which is written from {source}; it has {found}"
            yield ManifestProblem(path=("files", index), code="file-source", message=message)


def _parameter(declared: Parameter) -> Iterator[tuple[str, str]]:
    """Give key and message for each rule that a parameter's declaration breaks."""
    is_list = declared.type is ParameterType.LIST
    kind = (declared.items or ParameterType.STRING) if is_list else declared.type
    if kind is ParameterType.ENUM and not declared.choices:
        yield "type", "is enum, which needs `choices`"
    if declared.items is not None and (not is_list or declared.items is ParameterType.LIST):
        yield "items", "is the scalar type of a list's items"
    if declared.min is not None and declared.max is not None and declared.min > declared.max:
        yield "min", "is larger than `max`"
    if declared.required and declared.default is not None:
        yield "required", "and `default` exclude each other"
    if declared.multiline and kind is not ParameterType.STRING:
        yield "multiline", "is for texts only"
    if declared.secret and kind is not ParameterType.STRING:
        yield "secret", "is for texts only"


def _samples(declared: Parameter) -> Iterator[tuple[str, str]]:
    if declared.pattern is not None:
        if len(declared.pattern) > MAX_CHARS:
            yield "pattern", f"is longer than {MAX_CHARS} characters"
            return
        try:
            re.compile(declared.pattern)
        except (re.error, RecursionError, OverflowError) as error:
            yield "pattern", f"is no regular expression: {error}"
            return
    for key in ("default", "example"):
        value = getattr(declared, key)
        if value is None:
            continue
        try:
            parse_value(declared, value)
        except ValueError as error:
            yield key, str(error)


def _parameters(manifest: Manifest) -> Iterator[ManifestProblem]:
    for name, declared in manifest.parameters.items():
        found = list(_parameter(declared)) or list(_samples(declared))
        for key, message in found:
            yield ManifestProblem(path=("parameters", name, key), code="parameter", message=message)


_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "process": ("exe", "name"),
    "unit": ("active", "enabled"),
    "log": ("path", "unit"),
}

#: Key that states an absence, and what cannot be said of something absent.
_ABSENCE: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "file": ("exists", ("mode", "owner", "contains", "type")),
    "package": ("installed", ("version",)),
    "process": ("running", ("current",)),
    "metric": ("present", ("min", "max", "equals")),
}


def _checks(manifest: Manifest) -> Iterator[ManifestProblem]:
    for key in ("checks", "negative_checks"):
        for index, check in enumerate(getattr(manifest, key)):
            needed = _NEEDS.get(check.kind, ())
            if needed and all(getattr(check, name) is None for name in needed):
                message = "needs " + " or ".join(f"`{name}`" for name in needed)
                yield ManifestProblem(path=(key, index), code="check", message=message)
            if check.kind == "process" and check.current is not None and check.exe is None:
                message = "needs `exe`, the file that should be running"
                yield ManifestProblem(path=(key, index, "current"), code="check", message=message)
            if check.kind == "tcp" and not any(step.expect for step in check.exchange):
                yield ManifestProblem(path=(key, index, "exchange"), code="check", message="expects nothing")
            if check.kind == "log" and check.path is not None and check.unit is not None:
                message = "has `path` and `unit`: it looks at one of them"
                yield ManifestProblem(path=(key, index), code="check", message=message)
            absent, details = _ABSENCE.get(check.kind, ("", ()))
            told = [name for name in details if getattr(check, name) is not None]
            if absent and getattr(check, absent) is False and told:
                message = f"says `{absent}: false`, so it cannot say " + ", ".join(f"`{name}`" for name in told)
                yield ManifestProblem(path=(key, index), code="check", message=message)


def _effects(manifest: Manifest) -> Iterator[ManifestProblem]:
    for index, effect in enumerate(manifest.effects):
        given = [key for key in ("id", "do", "undo", "probe") if getattr(effect, key) is not None]
        wanted = [] if effect.kind is EffectKind.IRREVERSIBLE else ["id", "do", "undo", "probe"]
        needed = effect.kind is EffectKind.DECLARED or set(given) - {"id"}
        if needed and given != wanted:
            said = "cannot be carried out, only said" if not wanted else "needs `id`, `do`, `undo` and `probe`"
            yield ManifestProblem(path=("effects", index), code="effect", message=f"is {effect.kind} and {said}")
    ids = [(("effects", i, "id"), effect.id) for i, effect in enumerate(manifest.effects) if effect.id is not None]
    yield from _duplicates(ids, "effect")


def soundness(manifest: Manifest) -> list[ManifestProblem]:
    """Find what the models alone cannot: duplicates, unknown references, defaults that do not fit, and so on."""
    passes = (
        _unique,
        _actions,
        packages_problems,
        surroundings_problems,
        _files,
        _parameters,
        _checks,
        _effects,
        _expressions,
    )
    return [problem for check in passes for problem in check(manifest)]
