"""``@workflow`` and ``@step``: Python classes and functions as workflows.

What belongs here: keeping what the author said beside the code. What does not: checks and the model's form
(``flow_lowering``).
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from workflow_agent.authoring.durability import durability_of
from workflow_agent.authoring.durations import duration_s
from workflow_agent.authoring.flow import Flow, FlowStep, StepSource
from workflow_agent.authoring.sdk import callables
from workflow_agent.authoring.sdk.policies import ErrorHandler, RetryPolicy
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.records import dataclass
from workflow_agent.model.workflow import Durability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from workflow_agent.model.workflow import InputSpec

__all__ = ["constructor_arguments", "flow_of", "guard_of", "is_workflow", "step", "step_of", "workflow"]

_Any = TypeVar("_Any", bound="Callable[..., Any]")
_Said = ParamSpec("_Said")
_STEP = "__workflow_step__"
_WORKFLOW = "__workflow__"
_ARGUMENTS = "_workflow_arguments"


@dataclass(frozen=True, slots=True, kw_only=True)
class _StepSaid:
    """What ``@step`` was told."""

    flow_step: FlowStep
    guard: Callable[..., Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _WorkflowSaid:
    """What ``@workflow`` was told."""

    name: str
    description: str = ""
    version: str = "1"
    timeout_s: float | None = None
    retry: RetryPolicy | None = None
    inputs: Mapping[str, InputSpec] | None = None
    durability: Durability = Durability.STRICT
    steps: tuple[str, ...] = field(default_factory=tuple)
    more: Mapping[str, Any] = field(default_factory=dict)


class _Decorator(Protocol[_Said]):
    """A decorator that is written with what it says, or bare."""

    @overload
    def __call__(self, target: _Any, /) -> _Any: ...

    @overload
    def __call__(self, *none: _Said.args, **said: _Said.kwargs) -> Callable[[_Any], _Any]: ...


def _also_bare(make: Callable[_Said, Callable[[Any], Any]]) -> _Decorator[_Said]:
    """Let ``@step`` mean ``@step()``."""
    said_in_any_way: Callable[..., Any] = make

    @functools.wraps(make)
    def either(*target: Any, **said: Any) -> Any:  # Any: the target itself, or what takes it
        made = said_in_any_way(**said)
        return made(*target) if target else made

    return either


@_also_bare
def workflow(
    *,
    name: str | None = None,
    description: str = "",
    version: str = "1",
    max_retries: int | None = None,
    timeout: float | str | None = None,
    retry_policy: RetryPolicy | None = None,
    inputs: Mapping[str, InputSpec] | None = None,
    durability: Durability | str = Durability.STRICT,
    concurrency: Mapping[str, Any] | None = None,
    priority: int | None = None,
    schedule: Iterable[Mapping[str, Any]] = (),
) -> Callable[[_Any], _Any]:
    """Make a class with ``@step`` methods, or one plain function, a workflow.

    Args:
        name: Name of the workflow; made from the Python name when None.
        description: One sentence for people.
        version: Version of the definition.
        max_retries: How often a failed step without a policy of its own is tried again; not beside `retry_policy`.
        timeout: Longest time of a whole run.
        retry_policy: For every step that has none of its own.
        inputs: Declared inputs; without any, a run takes what it is given.
        durability: When records reach the disk: ``strict``, before all that follows; ``pipelined``, while pure steps
            go on; ``exit``, when the run ends or waits.
        concurrency: ``{"key", "limit", "on_conflict"}``: how many runs with one key there may be at a time.
        priority: 0 to 9: of the runs that wait, the highest comes first.
        schedule: ``{"cron", "timezone", "catch_up", "overlap", "inputs"}`` each: when runs begin by themselves.

    Raises:
        ValidationError: a value is out of range, or something else than a class or function is decorated.
    """

    def decorate(target: Any) -> Any:
        where = callables.place_of(target)
        if not inspect.isclass(target) and not inspect.isfunction(target):
            raise ValidationError("`@workflow` is for classes and functions", where=where)
        said = _WorkflowSaid(
            name=name or _plain_name(target.__name__),
            description=description or _first_line(target),
            version=version,
            timeout_s=None if timeout is None else duration_s(timeout, where=f"{where} › timeout"),
            retry=_policy(max_retries, retry_policy, where),
            inputs=inputs,
            durability=durability_of(durability, where=where),
            more=_said(concurrency=concurrency, priority=priority, schedule=[*schedule]),
        )
        if inspect.isclass(target):
            _keep_arguments(target)
        setattr(target, _WORKFLOW, said)
        callables.register(target)
        return target

    return decorate


def _said(**keys: Any) -> dict[str, Any]:
    """Give what was said; what is empty says nothing."""
    return {key: value for key, value in keys.items() if value not in (None, (), [])}


def _policy(max_retries: int | None, policy: RetryPolicy | None, where: str) -> RetryPolicy | None:
    if max_retries is None:
        return policy
    if policy is not None:
        raise ValidationError("`max_retries` and `retry_policy` say the same thing twice", where=where)
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
        raise ValidationError("`max_retries` is a whole number from 0 on", where=where)
    return RetryPolicy(max_attempts=max_retries + 1)


def _keep_arguments(cls: Any) -> None:
    """Let instances remember what they were made with, so that another process can make the same one again."""
    init = cls.__init__

    @functools.wraps(init)
    def remembering(self: Any, *arguments: Any, **named: Any) -> None:
        if _ARGUMENTS not in vars(self):
            vars(self)[_ARGUMENTS] = (arguments, named)
        init(self, *arguments, **named)

    cls.__init__ = remembering


def constructor_arguments(instance: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Give what an instance of a workflow class was made with."""
    arguments, named = vars(instance).get(_ARGUMENTS, ((), {}))
    return arguments, named


@_also_bare
def step(
    *,
    name: str | None = None,
    depends_on: Iterable[str] = (),
    timeout: float | str | None = None,
    parallel: bool = False,
    max_workers: int | None = None,
    reduce: bool = False,
    dynamic: bool = False,
    when: Callable[..., Any] | str | None = None,
    retry_policy: RetryPolicy | None = None,
    error_handler: ErrorHandler = ErrorHandler.FAIL,
    always_run: bool = False,
    pure: bool = False,
    edges: Mapping[str, str] | None = None,
    join: str | int | None = None,
    until: str | None = None,
    max_iterations: int | None = None,
    cancels: Iterable[str] = (),
    lock: str | None = None,
    rate: Mapping[str, Any] | None = None,
    credentials: Iterable[str] = (),
) -> Callable[[_Any], _Any]:
    """Make a method or a function a step.

    It may take the context (a parameter ``ctx``), the result of each step that it depends on (``fetch_result`` for
    ``fetch``; ``process_results`` for the list of a parallel step ``process``) and, when it is parallel, its item under
    a name of its own. What it returns, any JSON value, is its result. It may be async or not.

    Args:
        name: Name of the step; the function's when None.
        depends_on: Steps that must have ended well, or been skipped, before.
        timeout: Longest time of one attempt.
        parallel: Run once per item: numbers from 0 to `max_workers` - 1, or with `dynamic` the items of a list.
        max_workers: How many run at the same time.
        reduce: Take the list of all results of the parallel step that it depends on.
        dynamic: The items are the list that the step it depends on returned.
        when: Decides whether the step runs: an expression, or a function of the result of the step it depends on
            (of all results by name, ``fetch_result``, when there are several). Its answer is kept.
        retry_policy: In place of the workflow's.
        error_handler: What a failure means for the run.
        always_run: Run at the end in every case, also after a failure or a cancel.
        pure: The step has no effect but its result: with ``durability="pipelined"`` it may begin before what led to
            it is on disk.
        edges: For a step that it depends on, on which end of it to follow: success, failure, skip, always.
        join: How many of the steps that it depends on must have ended well: all, any, or a number.
        until: An expression: run again until it holds. It sees ``previous.value`` and ``iteration``.
        max_iterations: How often, at most.
        cancels: Steps that are stopped when this one has ended well.
        lock: Of all steps that say the same text, in every run, one runs at a time.
        rate: ``{"key", "limit", "per_s"}``: so many starts in such a time, in all runs.
        credentials: Sets of variables of the settings, which it finds in ``ctx.env``.

    Raises:
        ValidationError: a value is out of range, or something else than a function is decorated.
    """

    def decorate(target: Any) -> Any:
        where = callables.place_of(target)
        if not inspect.isfunction(target):
            raise ValidationError("`@step` is for functions and methods", where=where)
        if isinstance(depends_on, str):
            hint = f'write `depends_on=["{depends_on}"]`'
            raise ValidationError("`depends_on` is a list of names", where=where, hint=hint)
        if isinstance(credentials, str):
            hint = f'write `credentials=["{credentials}"]`'
            raise ValidationError("`credentials` is a list of names", where=where, hint=hint)
        if when is not None and not isinstance(when, str) and not callable(when):
            raise ValidationError("`when` is a function or an expression", where=where)
        made = FlowStep(
            id=name or target.__name__,
            where=where,
            function=callables.reference(target),
            needs=tuple(depends_on),
            when=when if isinstance(when, str) else None,
            has_guard=callable(when),
            timeout_s=None if timeout is None else duration_s(timeout, where=f"{where} › timeout"),
            retry=None if retry_policy is None else retry_policy.backoff,
            carry_on=ErrorHandler(error_handler) is ErrorHandler.CONTINUE,
            always=always_run,
            parallel=parallel,
            dynamic=dynamic,
            reduce=reduce,
            max_workers=max_workers,
            pure=pure,
            credentials=tuple(credentials),
            description=_first_line(target),
            more=_said(
                edges=edges, join=join, until=until, max_iterations=max_iterations, cancels=tuple(cancels), lock=lock,
                rate=rate,
            ),
        )  # fmt: skip
        setattr(target, _STEP, _StepSaid(flow_step=made, guard=when if callable(when) else None))
        callables.register(target)
        return target

    return decorate


def guard_of(function: Any) -> Callable[..., Any] | None:  # Any: a function
    """Give the ``when`` of a step's function, where that is Python."""
    said: _StepSaid | None = getattr(function, _STEP, None)
    return None if said is None else said.guard


def step_of(function: Any) -> FlowStep | None:  # Any: a function
    """Give the step that a decorated function is; None when it is none."""
    said: _StepSaid | None = getattr(function, _STEP, None)
    return None if said is None else said.flow_step


def is_workflow(target: object) -> bool:
    """Say whether something is a decorated class or function, or an instance of such a class."""
    return isinstance(getattr(target, _WORKFLOW, None), _WorkflowSaid)


def flow_of(target: Any) -> Flow:  # Any: a decorated class, its instance, or a decorated function
    """Give the flow that a decorated class or function describes; steps in the order in which they are written.

    Raises:
        ValidationError: it is not decorated, or has no steps.
    """
    owner = target if inspect.isclass(target) or inspect.isfunction(target) else type(target)
    said: _WorkflowSaid | None = getattr(owner, _WORKFLOW, None)
    if said is None:
        raise ValidationError(
            f"`{getattr(owner, '__qualname__', owner)}` is no workflow",
            where=callables.place_of(owner),
            hint="decorate the class or function with `@workflow`",
        )
    where = callables.place_of(owner)
    steps = (_own_step(owner, said),) if inspect.isfunction(owner) else _steps(owner)
    if not steps:
        raise ValidationError(f"`{said.name}` has no steps", where=where, hint="decorate its methods with `@step`")
    return Flow(
        name=said.name,
        version=said.version,
        where=where,
        description=said.description,
        steps=steps,
        inputs=said.inputs,
        timeout_s=said.timeout_s,
        durability=said.durability,
        retry=None if said.retry is None else said.retry.backoff,
        more=said.more,
    )


def _own_step(function: Any, said: _WorkflowSaid) -> FlowStep:
    own = step_of(function)
    if own is not None:
        return own
    place = callables.place_of(function)
    return FlowStep(id=said.name, where=place, function=callables.reference(function))


def _steps(cls: Any) -> tuple[FlowStep, ...]:
    """Collect the steps of a class: those of its bases first; what a class defines again takes the place of the old."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if name in found or isinstance(value, StepSource) or step_of(value) is not None:
                found[name] = value
    return tuple(each for name, value in found.items() for each in _steps_of(cls, name, value))


def _steps_of(cls: Any, name: str, value: Any) -> Iterator[FlowStep]:
    """Give the step that an attribute of a class is, with what it holds; nothing where it is none any more."""
    if isinstance(value, StepSource):
        yield from value.flow_steps()
    elif (own := step_of(value)) is not None:
        yield replace(own, function=f"{callables.reference(cls)}.{name}", is_method=True)


def _plain_name(name: str) -> str:
    """Give ``data-workflow`` for ``DataWorkflow`` and ``data_workflow`` as it is."""
    parts = "".join(f"-{char.lower()}" if char.isupper() else char for char in name)
    return parts.strip("-_") or name


def _first_line(target: Any) -> str:  # Any: a class or a function
    return (inspect.cleandoc(target.__doc__ or "") or "\n").splitlines()[0]
