"""What the models refused, in the words of somebody who writes a manifest.

Pydantic names union members inside its locations and reports one problem per member; here each problem gets
the real key path, one sentence, and the nearest known word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.integrations import manifest as models
from workflow_agent.integrations.checks import CHECK_KINDS
from workflow_agent.integrations.problems import KeyPath, ManifestProblem
from workflow_agent.model.nearest import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel
    from pydantic import ValidationError as PydanticError
    from pydantic_core import ErrorDetails

__all__ = ["model_at", "problems_of"]

#: Which model describes the mapping at a path; ``*`` stands for an index or a free key.
_MODELS: Final[Mapping[tuple[str, ...], type[BaseModel]]] = {
    (): models.Manifest,
    ("platforms", "*"): models.Platform,
    ("parameters", "*"): models.Parameter,
    ("actions", "*"): models.Action,
    ("files", "*"): models.FileDeclaration,
    ("services", "*"): models.ServiceDeclaration,
    ("services", "*", "argv", "*"): models.Item,
    ("services", "*", "directories", "*"): models.Directory,
    ("effects", "*"): models.EffectDeclaration,
    ("state_data", "*"): models.StateData,
    ("upgrade",): models.Upgrade,
    ("discovery",): models.Discovery,
    ("documentation", "*"): models.Documentation,
}
_CHECK_LISTS: Final = frozenset({"checks", "negative_checks"})
_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "string_type": "should be a text",
    "int_type": "should be an integer",
    "float_type": "should be a number",
    "bool_type": "should be true or false",
    "tuple_type": "should be a list",
    "list_type": "should be a list",
    "dict_type": "should be a mapping",
    "model_type": "should be a mapping",
    "model_attributes_type": "should be a mapping",
    "union_tag_not_found": "has no `kind`",
    "bound_text": "became a text where another type is needed",
}


def model_at(path: KeyPath, data: Any) -> type[BaseModel] | None:  # Any: what YAML gives
    """Give the model of the mapping at a key path, or None where keys are free."""
    if len(path) == 2 and path[0] in _CHECK_LISTS:  # noqa: PLR2004 - list and index
        value = value_at(path, data)
        return CHECK_KINDS.get(str(value.get("kind"))) if isinstance(value, Mapping) else None
    pattern = tuple(str(part) if index % 2 == 0 and isinstance(part, str) else "*" for index, part in enumerate(path))
    return _MODELS.get(pattern)


def value_at(path: KeyPath, data: Any) -> Any:
    """Follow a key path; None where it leads nowhere."""
    for part in path:
        if isinstance(data, Mapping):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data


def _real_path(location: tuple[int | str, ...], data: Any) -> KeyPath:
    """Take the names of union members out of a location."""
    if len(location) > 2 and location[0] in _CHECK_LISTS:  # noqa: PLR2004 - list, index, kind
        location = (*location[:2], *location[3:])
    path: list[int | str] = []
    for position, part in enumerate(location):
        if isinstance(data, Mapping):
            if part not in data and position < len(location) - 1:
                continue
            path.append(part)
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int):
            path.append(part)
            data = data[part] if part < len(data) else None
    return tuple(path)


def _names_of(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _words(expected: str) -> list[str]:
    """Read pydantic's ``'a', 'b' or 'c'``."""
    return expected.replace(" or ", ", ").replace("'", "").split(", ")


def _unknown_key(path: KeyPath, data: Any) -> ManifestProblem:
    model = model_at(path[:-1], data)
    hint = did_you_mean(str(path[-1]), _names_of(model)) if model else None
    return ManifestProblem(path=path, code="unknown-key", message="is not a key that is known here", hint=hint)


def _bad_key(path: KeyPath, context: Mapping[str, Any]) -> ManifestProblem:
    if "expected" in context:
        hint = did_you_mean(str(path[-1]), _words(str(context["expected"])))
        return ManifestProblem(path=path, code="unknown-key", message="is not a key that is known here", hint=hint)
    message = f"is no name: it should match {context['pattern']}" if "pattern" in context else "is no name"
    return ManifestProblem(path=path, code="pattern", message=message)


def _choice(path: KeyPath, data: Any, expected: str) -> ManifestProblem:
    given, words = value_at(path, data), _words(expected)
    if len(words) == 1:
        return ManifestProblem(path=path, message=f"should be `{words[0]}`", code="choice")
    is_word = isinstance(given, str) and len(given) <= 40  # noqa: PLR2004 - what fits into a line
    return ManifestProblem(
        path=path,
        message=(f"is `{given}`, which is not one of " if is_word else "should be one of ") + ", ".join(words),
        code="choice",
        hint=did_you_mean(given, words) if isinstance(given, str) and nearest(given, words) else None,
    )


def _sentence(kind: str, context: Mapping[str, Any], message: str) -> tuple[str, str]:
    """Give code and sentence of a problem that only its key and type describe."""
    if kind == "string_pattern_mismatch":
        return "pattern", f"should match {context['pattern']}"
    if kind == "too_short":
        least = context["min_length"]
        return "too-short", f"should have at least {least} item{'s' * (least > 1)}"
    text = _SENTENCES.get(kind) or message.replace("Input should", "should").replace("String should", "should")
    return "schema", text[:1].lower() + text[1:]


def _problem(detail: ErrorDetails, data: Any) -> ManifestProblem:
    kind, context = detail["type"], detail.get("ctx", {})
    if detail["loc"][-1:] == ("[key]",):
        return _bad_key(_real_path(detail["loc"][:-1], data), context)
    path = _real_path(detail["loc"], data)
    if kind == "extra_forbidden":
        return _unknown_key(path, data)
    if kind in {"enum", "literal_error"}:
        return _choice(path, data, str(context["expected"]))
    if kind == "union_tag_invalid":
        return _choice((*path, "kind"), data, str(context["expected_tags"]))
    code, message = _sentence(kind, context, detail["msg"])
    value = value_at(path, data)
    is_plain = kind == "string_type" and isinstance(value, int | float)
    hint = f'write it in quotes: "{value}"' if is_plain and not isinstance(value, bool) else None
    return ManifestProblem(path=path, code=code, message=message, hint=hint)


def _merge(problems: Iterable[ManifestProblem]) -> list[ManifestProblem]:
    """Make one problem of those that members of a union report for one key."""
    merged: dict[KeyPath, ManifestProblem] = {}
    for problem in problems:
        known = merged.get(problem.path)
        if known is None:
            merged[problem.path] = problem
        elif problem.message not in known.message:
            word = problem.message.removeprefix("should be ")
            merged[problem.path] = ManifestProblem(
                path=problem.path,
                message=f"{known.message} or {word}",
                code=known.code,
                hint=known.hint or problem.hint,
            )
    return list(merged.values())


def problems_of(error: PydanticError, data: Any, *, prefix: KeyPath = ()) -> list[ManifestProblem]:
    """Translate everything that pydantic found in `data`; `prefix` says where the validated part stands in it."""
    details = error.errors(include_url=False, include_input=False)
    problems = _merge(_problem(detail | {"loc": (*prefix, *detail["loc"])}, data) for detail in details)
    return [problem for problem in problems if not (problem.code == "too-short" and _has_deeper(problem, problems))]


def _has_deeper(problem: ManifestProblem, problems: Iterable[ManifestProblem]) -> bool:
    """Say whether a list seems short only because pydantic refused its items."""
    size = len(problem.path)
    return any(len(other.path) > size and other.path[:size] == problem.path for other in problems)
