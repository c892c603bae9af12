"""What is wrong in a definition, and where; collected, so that a person sees all of it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import ValidationError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pydantic

    from workflow_agent.authoring.yaml_source import YamlDocument

__all__ = ["Problem", "refusal", "schema_problems"]

_KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `way` leads to it; `at_key` says that the key itself is meant."""

    way: tuple[str | int, ...]
    message: str
    hint: str | None = None
    at_key: bool = False


def refusal(document: YamlDocument, problems: Sequence[Problem]) -> ValidationError:
    """Make one error of problems: it tells the first in the text, `details` has all under ``problems``."""
    placed = [
        {
            "where": document.where(problem.way) if problem.at_key else document.where_value(problem.way),
            "path": ".".join(str(part) for part in problem.way),
            "message": problem.message,
            "hint": problem.hint,
        }
        for problem in problems
    ]
    placed.sort(key=lambda entry: [int(number) for number in str(entry["where"]).rsplit(":", 2)[1:]])
    first = placed[0]
    message = f"{first['path']}: {first['message']}" if first["path"] else str(first["message"])
    more = f" (and {len(placed) - 1} more)" if len(placed) > 1 else ""
    return ValidationError(message + more, where=first["where"], hint=first["hint"], details={"problems": placed})


def schema_problems(
    error: pydantic.ValidationError, keys_at: Callable[[tuple[str | int, ...]], Iterable[str]]
) -> Iterator[Problem]:
    """Say in our words what pydantic found; `keys_at` lists the keys that are known at a place."""
    for found in error.errors(include_url=False):
        yield _problem(found, keys_at)


def _problem(
    found: Any,  # Any: pydantic's ErrorDetails
    keys_at: Callable[[tuple[str | int, ...]], Iterable[str]],
) -> Problem:
    way, kind, context = tuple(found["loc"]), found["type"], found.get("ctx", {})
    if kind == "extra_forbidden":
        return Problem(way, "there is no such key", did_you_mean(str(way[-1]), keys_at(way[:-1])), at_key=True)
    if kind == "missing":
        return Problem(way[:-1], f"the key `{way[-1]}` is missing")
    if kind == "literal_error":
        known = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        return Problem(way, f"must be one of {', '.join(known)}", did_you_mean(str(found["input"]), known))
    if kind == "string_pattern_mismatch":
        return Problem(way, f"must match {context['pattern']}", _SHAPES.get(str(way[-1])))
    if kind == "value_error":
        return Problem(way, str(context["error"]))
    return Problem(way, f"must be {_KINDS[kind]}" if kind in _KINDS else found["msg"])


_SHAPES = {
    "id": "a step's id is lower case: letters, digits, `-` and `_`, a letter first",
    "name": "a name is lower case: letters, digits, `-` and `_`, a letter first",
    "uses": "a step uses an agent's verb, such as `executor.commit`",
}
