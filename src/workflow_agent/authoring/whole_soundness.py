"""What must hold of a definition as a whole: its schedules, and the key of its concurrency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.authoring.problem import Problem
from workflow_agent.model.cron import cron_problem, zone_problem
from workflow_agent.model.errors import ExpressionError
from workflow_agent.model.expression import references_of
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.value_types import is_of_type, type_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from workflow_agent.model.workflow import Workflow

__all__ = ["whole_problems"]

_OPEN = "${{"


def whole_problems(workflow: Workflow) -> Iterator[Problem]:
    """List what is wrong with schedules and concurrency."""
    if workflow.concurrency is not None:
        yield from _key(workflow, str(workflow.concurrency["key"]))
    seen: list[object] = []
    for index, said in enumerate(workflow.schedule):
        place = ("schedule", index)
        if (message := cron_problem(said["cron"])) is not None:
            yield Problem((*place, "cron"), message)
        if (message := zone_problem(said["timezone"])) is not None:
            yield Problem((*place, "timezone"), message)
        same = (said["cron"], said["timezone"], said["inputs"])
        if same in seen:
            yield Problem(place, "there are two schedules with these times and inputs")
        seen.append(same)
        yield from _inputs(workflow, place, said["inputs"])


def _inputs(workflow: Workflow, place: tuple[str | int, ...], given: Mapping[str, Any]) -> Iterator[Problem]:
    for name, value in given.items():
        way = (*place, "inputs", name)
        if name not in workflow.inputs:
            yield Problem(way, f"there is no input `{name[:64]}`", did_you_mean(name, workflow.inputs), at_key=True)
        elif not (isinstance(value, str) and _OPEN in value) and not is_of_type(value, workflow.inputs[name].type):
            yield Problem(way, f"must be of type {workflow.inputs[name].type}, not {type_of(value)}")
        yield from _reads(way, value, {"schedule": ("id", "due")})
    for name, spec in workflow.inputs.items():
        if spec.required and name not in given:
            yield Problem(place, f"the input `{name}` is missing", "write it under `inputs`")


def _key(workflow: Workflow, key: str) -> Iterator[Problem]:
    yield from _reads(("concurrency", "key"), key, {"inputs": workflow.inputs, "run": ("id", "workflow")})


def _reads(way: tuple[str | int, ...], value: Any, known: Mapping[str, Any]) -> Iterator[Problem]:  # Any: JSON
    try:
        references = references_of(value)
    except ExpressionError as error:
        yield Problem(way, error.message, error.hint)
        return
    for reference in sorted(references):
        root, _, rest = reference.partition(".")
        name = rest.partition(".")[0]
        if root not in known:
            yield Problem(way, f"there is nothing called `{root[:64]}` here", did_you_mean(root, known))
        elif name and name not in known[root]:
            yield Problem(way, f"there is no `{root}.{name[:64]}`", did_you_mean(name, known[root]))
