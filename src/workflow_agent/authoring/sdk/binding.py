"""Which value each parameter of a step's function gets.

By name: ``fetch_result`` is the result of the step ``fetch``, ``process_results`` the list of a parallel one. What is
left of a parallel step is its item; else the parameter's name is looked for among the step's own arguments and in the
run's input.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from workflow_agent.authoring.sdk import callables
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from workflow_agent.authoring.flow import FlowStep
    from workflow_agent.authoring.sdk.context import Context

__all__ = ["Given", "guard_arguments", "parameter_problems", "result_names", "step_arguments"]

_SUFFIXES = ("_result", "_results")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What there is for a call: results by step, arguments of the step itself, the item of a parallel one."""

    results: Mapping[str, Any]
    arguments: Mapping[str, Any]
    is_parallel: bool = False
    item: Any = None  # Any: a JSON value


def result_names(steps: Iterable[str]) -> dict[str, str]:
    """Give the names under which results of steps can be taken, with the steps."""
    return {step.replace("-", "_") + suffix: step for step in steps for suffix in _SUFFIXES}


def step_arguments(function: Callable[..., Any], given: Given, context: Context, *, is_method: bool) -> dict[str, Any]:
    """Give the arguments of a step's function by name.

    Raises:
        ValidationError: a parameter without a default has no value.
    """
    names = result_names(given.results)
    arguments: dict[str, Any] = {}
    left: list[inspect.Parameter] = []
    for name, parameter in callables.wanted(function, is_method=is_method).items():
        if name in given.arguments:
            arguments[name] = given.arguments[name]
        elif name in names:
            arguments[name] = given.results[names[name]]
        else:
            left.append(parameter)
    if given.is_parallel and left:
        arguments[left.pop(0).name] = given.item
    for parameter in left:
        if parameter.name in context.input:
            arguments[parameter.name] = context.input[parameter.name]
        elif parameter.default is inspect.Parameter.empty:
            raise _lacking(function, parameter.name, context.input)
    taker = callables.takes_context(function, is_method=is_method)
    return arguments | ({taker: context} if taker is not None else {})


def guard_arguments(guard: Callable[..., Any], given: Given, context: Context) -> dict[str, Any]:
    """Give the arguments of a condition: results by name, or the result of the one step as its first argument.

    Raises:
        ValidationError: a parameter has no value.
    """
    names = result_names(given.results)
    named: dict[str, Any] = {}
    left: list[str] = []
    for name, parameter in callables.wanted(guard, is_method=False).items():
        if name in names:
            named[name] = given.results[names[name]]
        elif parameter.default is inspect.Parameter.empty:
            left.append(name)
    taker = callables.takes_context(guard, is_method=False)
    if taker is not None:
        named[taker] = context
    if not left:
        return named
    if len(left) > 1:
        raise _lacking(guard, left[1], context.input)
    results = dict(given.results)
    only = next(iter(results.values())) if len(results) == 1 else results
    return named | {left[0]: only}


def _lacking(function: Callable[..., Any], name: str, given: Mapping[str, Any]) -> ValidationError:
    return ValidationError(
        f"there is no value for the parameter `{name}` of `{function.__qualname__}`",
        where=callables.place_of(function),
        cause=f"the input has {', '.join(f'`{key}`' for key in given) or 'nothing'}",
        hint=f'give it in the input: input={{"{name}": ...}}',
    )


def parameter_problems(step: FlowStep, function: Callable[..., Any]) -> Iterator[tuple[str, str | None]]:
    """List parameters that can get no value, whatever a run is given: message and hint."""
    names = result_names(step.needs)
    for name in callables.wanted(function, is_method=step.is_method):
        base, _, suffix = name.rpartition("_")
        if f"_{suffix}" in _SUFFIXES and base and name not in names and name not in step.with_:
            message = f"`{step.id}` wants `{name}`, and does not depend on a step `{base}`"
            known = sorted({f"{need.replace('-', '_')}_result" for need in step.needs})
            yield message, did_you_mean(name, known) or f'add `depends_on=["{base}"]`'
