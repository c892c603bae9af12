"""From what a person wrote in Python to the model: decorated classes, their instances, functions, the fluent form."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

from workflow_agent.authoring.flow_lowering import lowered
from workflow_agent.authoring.sdk import callables
from workflow_agent.authoring.sdk.binding import parameter_problems
from workflow_agent.authoring.sdk.decorators import constructor_arguments, flow_of
from workflow_agent.authoring.sdk.values import as_json
from workflow_agent.model.errors import NotFoundError, ValidationError
from workflow_agent.model.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.authoring.flow import Flow, FlowStep

__all__ = ["compile_workflow", "instance_input", "instance_of", "instance_to_run"]


#: What a class or function was last compiled to, and from what: most are run again as they are.
_known: WeakKeyDictionary[Any, tuple[Flow, Workflow]] = WeakKeyDictionary()


@runtime_checkable
class _GivesFlow(Protocol):
    """The fluent form."""

    def flow(self) -> Flow: ...


def compile_workflow(target: Any) -> Workflow:
    """Give the definition of a workflow class, an instance of one, a workflow function, or a fluent ``Workflow``.

    A definition is given back as it is.

    Raises:
        ValidationError: it is none of these, or not valid; the error says where.
    """
    if isinstance(target, Workflow):
        return target
    flow = target.flow() if isinstance(target, _GivesFlow) else flow_of(target)
    for step in (*flow.steps, *flow.on_failure):
        _check_parameters(step)
    owner = target if inspect.isclass(target) or inspect.isfunction(target) else type(target)
    known = _known.get(owner)
    if known is None or known[0] != flow:
        known = _known[owner] = (flow, lowered(flow))
    return known[1]


def _check_parameters(step: FlowStep) -> None:
    """Refuse parameters that cannot be filled; what cannot be imported here is met when it is called."""
    if step.function is None:
        return
    try:
        function = callables.find(step.function)
    except NotFoundError:
        return
    for message, hint in parameter_problems(step, function):
        raise ValidationError(message, where=callables.place_of(function), hint=hint)


def instance_to_run(target: Any) -> object | None:
    """Give the instance whose methods are the steps; one is made of a class. None where there are no methods.

    Raises:
        ValidationError: the class cannot be made without arguments.
    """
    if inspect.isfunction(target) or isinstance(target, Workflow | _GivesFlow):
        return None
    if not inspect.isclass(target):
        return target if hasattr(target, "__dict__") else None
    try:
        made: object = target()
    except TypeError as error:
        hint = f"give an instance: {target.__name__}(...)"
        message = f"`{target.__qualname__}` cannot be made without arguments"
        raise ValidationError(message, where=callables.reference(target), cause=str(error), hint=hint) from error
    return made


def instance_input(instance: object | None) -> dict[str, Any] | None:
    """Give what an instance was made with, as JSON; None where JSON cannot say it."""
    if instance is None:
        return None
    arguments, named = constructor_arguments(instance)
    try:
        plain = as_json({"arguments": list(arguments), "named": named}, what="the constructor's arguments")
    except ValidationError:
        return None
    return dict(plain)


def instance_of(cls: Any, made_with: Mapping[str, Any] | None) -> object:
    """Make the instance of a run that another process began.

    Raises:
        ValidationError: what it was made with is not known, or its constructor refuses.
    """
    if made_with is None:
        raise ValidationError(
            f"what `{cls.__qualname__}` was made with is not in the run's record",
            where=callables.reference(cls),
            cause="its constructor was given something that JSON cannot say",
            hint="make such objects in the constructor, from texts and numbers",
        )
    try:
        made: object = cls(*made_with.get("arguments", ()), **made_with.get("named", {}))
    except Exception as error:  # border: the user's constructor
        message = f"`{cls.__qualname__}` cannot be made again"
        cause = f"{type(error).__name__}: {error}"
        raise ValidationError(message, where=callables.reference(cls), cause=cause) from error
    return made
