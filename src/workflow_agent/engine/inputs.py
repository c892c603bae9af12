"""A run's inputs: checked against what the workflow declares, defaults filled in, JSON and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import ValidationError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.value_types import is_of_type, type_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.model.workflow import Workflow

#: Entries of an object, or a list, that are copied one by one; a quarter of it in what is inside.
_SMALL = 256

__all__ = ["as_json", "checked_inputs"]


def as_json(value: Any) -> Any:  # Any: JSON out
    """Give a deep copy with JSON types only (tuples become lists), as the journal will give it back.

    Raises:
        ValueError: it is not JSON (NaN, a set, an object, a cycle).
    """
    try:
        return _copied(value)
    except _UnusualError:
        pass
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


class _UnusualError(Exception):
    """Something that only the encoder can judge; never leaves this module."""


def _copied(value: Any, room: int = _SMALL) -> Any:
    """Copy what is small and plainly JSON; for the rest, text and back is quicker, or tells what is wrong with it."""
    kind = type(value)
    if kind is str or value is None or kind is bool or kind is int:
        return value
    if kind is float and value - value == 0.0:
        return value
    if kind is dict and len(value) < room:
        made: dict[str, Any] = {}
        for key, each in value.items():
            if type(key) is not str:
                raise _UnusualError
            made[key] = _copied(each, room >> 2)
        return made
    if kind is list and len(value) < room:
        return [_copied(each, room >> 2) for each in value]
    raise _UnusualError


def checked_inputs(workflow: Workflow, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Give every declared input its value; null counts as not given.

    Raises:
        ValidationError: names are unknown (with the nearest ones), missing or of another type; the message
            tells the first problem, `details` has all under ``problems``.
    """
    try:
        given: dict[str, Any] = as_json(dict(inputs))
    except ValueError as error:
        raise ValidationError("the inputs are not JSON values", where=_place(workflow), cause=str(error)) from error
    problems = [*_unknown(workflow, given), *_unfit(workflow, given)]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        message, hint = problems[0]
        raise ValidationError(
            message + more,
            where=_place(workflow),
            hint=hint,
            details={"problems": [{"message": text, "hint": help_} for text, help_ in problems]},
        )
    return {name: spec.default if given.get(name) is None else given[name] for name, spec in workflow.inputs.items()}


def _place(workflow: Workflow) -> str:
    return f"workflow {workflow.name}"


def _unknown(workflow: Workflow, given: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    for name in given:
        if name not in workflow.inputs:
            yield f"there is no input `{name[:60]}`", did_you_mean(name, workflow.inputs)


def _unfit(workflow: Workflow, given: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    for name, spec in workflow.inputs.items():
        value = given.get(name)
        if value is None:
            if spec.required:
                yield f"the input `{name}` is missing", spec.description or None
        elif not is_of_type(value, spec.type):
            yield f"the input `{name}` must be of type {spec.type}, not {type_of(value)}", None
