"""The fluent front end: ``Workflow("name").step("build", "make").step("test", "make test", depends_on=["build"])``.

Each method changes the object and gives it back. What belongs here: collecting what is said. What does not: checks and
the model's form (``flow_lowering``), which every front end shares.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from workflow_agent.authoring.durability import durability_of
from workflow_agent.authoring.durations import duration_s
from workflow_agent.authoring.flow import Flow, FlowStep
from workflow_agent.authoring.flow_lowering import lowered
from workflow_agent.authoring.sdk import callables
from workflow_agent.authoring.sdk.decorators import guard_of, step_of
from workflow_agent.authoring.sdk.policies import ErrorHandler, RetryPolicy
from workflow_agent.authoring.sdk.values import as_json
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass
from workflow_agent.model.workflow import InputSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from workflow_agent.model.workflow import Workflow as Definition

__all__ = ["CONTAINER", "SHELL", "Step", "ValidationResult", "Workflow", "literal"]

#: Verbs of steps that are a command and a container.
SHELL = "shell.run"
CONTAINER = "container.run"
#: Variable in which a command of a parallel step finds its item.
_ITEM = {"ITEM": "${{ item }}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationResult:
    """What :meth:`Workflow.validate` found: each error is ``{where, message, hint}``."""

    valid: bool
    errors: tuple[Mapping[str, Any], ...] = ()


def literal(value: Any, where: str = "") -> str:
    """Write a list of texts, numbers, booleans and lists of these as an expression.

    Raises:
        ValidationError: it holds something that no expression can say.
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(literal(item, where) for item in value)}]"
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, str) and "\\" not in value and value.isprintable():
        quote = "'" if '"' in value else '"'
        if quote not in value:
            return f"{quote}{value}{quote}"
    hint = "give the items in the run's input, and name them: `.parallel('inputs.items')`"
    raise ValidationError(f"{str(value)[:60]!r} cannot be written as an item", where=where, hint=hint)


class Step:
    """One step of a fluent ``Workflow``.

    Args:
        name: Unique in the workflow.
        command: A shell command; or call :meth:`python`, :meth:`docker` or :meth:`uses`.
        description: One sentence for people.
        depends_on: Steps that come before.
    """

    def __init__(
        self, name: str, command: str | None = None, description: str = "", *, depends_on: Iterable[str] = ()
    ) -> None:
        self._step = FlowStep(id=name, where=f"step {name}", description=description, needs=tuple(depends_on))
        self._env: dict[str, str] = {}
        self._held: list[Step] = []
        if command is not None:
            self.shell(command)

    @property
    def name(self) -> str:
        """Its name."""
        return self._step.id

    def __repr__(self) -> str:
        return f"Step({self.name!r})"

    def flow_step(self, env: Mapping[str, str]) -> FlowStep:
        """Give the step as all front ends have it; `env` is the workflow's."""
        step = self._step
        if step.uses in {SHELL, CONTAINER}:
            item = _ITEM if step.parallel else {}
            variables = {**env, **self._env, **item}
            return replace(step, with_={**step.with_, **({"env": variables} if variables else {})})
        return step

    def _with(self, **values: Any) -> Self:
        self._step = replace(self._step, **values)
        return self

    # -- what it does ------------------------------------------------------------------------------------------------

    def shell(self, command: str) -> Self:
        """Run a command in ``/bin/sh``; its output is ``{"stdout", "exit_code"}``."""
        return self._with(uses=SHELL, with_={"command": command})

    def docker(self, image: str, command: Iterable[str] | None = None) -> Self:
        """Run a container; its output is the JSON value on the last line of its stdout."""
        given = {} if command is None else {"command": list(command)}
        return self._with(uses=CONTAINER, with_={"image": image, **given})

    def python(self, function: Callable[..., Any] | str, **arguments: Any) -> Self:
        """Call a function, given itself or as ``module:qualname``; `arguments` are JSON values or references."""
        if isinstance(function, str):
            name, where, guard = function, self._step.where, False
        else:
            name, where = callables.register(function), callables.place_of(function)
            guard = guard_of(function) is not None
        is_method = "." in name.partition(":")[2].rpartition("<locals>.")[2]
        return self._with(
            function=name, uses=None, is_method=is_method, where=where, has_guard=guard, with_=dict(arguments)
        )

    def pure(self, is_pure: bool = True) -> Self:  # as the other switches
        """Say that it has no effect but its result: it may begin before what led to it is on disk."""
        return self._with(pure=is_pure)

    def uses(self, verb: str, **inputs: Any) -> Self:
        """Ask an agent: ``uses("verifier.verify", ...)``; `inputs` are JSON values or references."""
        return self._with(uses=verb, function=None, with_=dict(inputs))

    def args(self, **values: Any) -> Self:
        """Add inputs."""
        return self._with(with_={**self._step.with_, **values})

    def env(self, values: Mapping[str, str] | None = None, **more: str) -> Self:
        """Add environment variables of a command or container."""
        self._env |= {**(values or {}), **more}
        return self

    def dir(self, path: str) -> Self:
        """Name the folder in which a command runs."""
        return self.args(dir=path)

    # -- when and how often ------------------------------------------------------------------------------------------

    def description(self, text: str) -> Self:
        """Describe it for people."""
        return self._with(description=text)

    def depends(self, *names: str | Iterable[str]) -> Self:
        """Add steps that come before, as names or lists of names."""
        flat = [each for name in names for each in ([name] if isinstance(name, str) else name)]
        return self._with(needs=(*self._step.needs, *flat))

    def when(self, *conditions: str) -> Self:
        """Run only where all these expressions hold."""
        every = [*([self._step.when] if self._step.when else []), *conditions]
        return self._with(when=every[0] if len(every) == 1 else " and ".join(f"({each})" for each in every))

    #: The same under its other name.
    preconditions = when

    def guarded(self) -> Self:
        """Let the ``when`` of the function, given by name, decide whether the step runs."""
        return self._with(has_guard=True)

    def parallel(self, items: str | Iterable[Any] | None = None, max_concurrent: int | None = None) -> Self:
        """Run once per item; a command finds its own in the variable ``ITEM``.

        Args:
            items: A list, or an expression that gives one; without any, numbers from 0 to `max_concurrent` - 1.
            max_concurrent: How many run at the same time.
        """
        each = items if items is None or isinstance(items, str) else literal(list(items), self._step.where)
        return self._with(parallel=True, each=each, max_workers=max_concurrent or self._step.max_workers)

    def dynamic(self, max_concurrent: int | None = None) -> Self:
        """Run once per item of the list that the step before returned."""
        return self._with(parallel=True, dynamic=True, max_workers=max_concurrent or self._step.max_workers)

    def reduce(self) -> Self:
        """Say that it takes the list of all results of a parallel step."""
        return self._with(reduce=True)

    def timeout(self, seconds: float | str) -> Self:
        """Bound the time of one attempt."""
        return self._with(timeout_s=duration_s(seconds, where=f"{self._step.where} › timeout"))

    def retry(
        self,
        limit: int | RetryPolicy = 3,
        interval_sec: float | str = 1.0,
        max_interval_sec: float | str = 60.0,
        exponential_base: float = 2.0,
    ) -> Self:
        """Try again after a failure: a policy, or `limit` times with pauses that grow by `exponential_base`."""
        policy = limit
        if not isinstance(policy, RetryPolicy):
            policy = RetryPolicy(
                max_attempts=policy + 1,
                initial_delay=interval_sec,
                max_delay=max_interval_sec,
                factor=exponential_base,
            )
        return self._with(retry=policy.backoff)

    def retries(self, limit: int) -> Self:
        """Try again `limit` times."""
        return self.retry(limit)

    def continue_on(self, failure: bool = True) -> Self:
        """Let the run go on after a failure of this step, which stays visible."""
        return self._with(carry_on=failure)

    def on_error(self, handler: ErrorHandler) -> Self:
        """Say what a failure means for the run."""
        return self.continue_on(ErrorHandler(handler) is ErrorHandler.CONTINUE)

    def always(self) -> Self:
        """Run at the end in every case."""
        return self._with(always=True)

    # -- how it hangs together with others ---------------------------------------------------------------------------

    def more(self, **keys: Any) -> Self:
        """Say further keys of the model's step: edges, cancels, scope, part and the like; mappings are added to."""
        known = dict(self._step.more)
        for key, value in keys.items():
            known[key] = {**known.get(key, {}), **value} if key == "edges" else value
            if key == "cancels":
                known[key] = tuple(value)
        return self._with(more=known)

    def after(self, name: str, end: str = "success") -> Self:
        """Follow on one end of another step: success, failure, skip, always, or a case of a choice."""
        self.depends(*([] if name in self._step.needs else [name]))
        return self.more(edges={name: end})

    def join(self, how: str | int, *names: str) -> Self:
        """Start when ``all`` or ``any`` of the steps before have ended well, or so many of them."""
        return self.depends(names).more(join=how)

    def join_until(self, condition: str, *names: str) -> Self:
        """Start as soon as this holds, looked at when one of the steps before ends."""
        return self.depends(names).more(join_until=condition)

    def until(self, condition: str, max_iterations: int | None = None) -> Self:
        """Run again until this holds; it sees ``iteration`` and ``previous``."""
        return self.more(until=condition, **({} if max_iterations is None else {"max_iterations": max_iterations}))

    def cancels(self, *names: str) -> Self:
        """Stop these steps and scopes when this step has ended well."""
        return self.more(cancels=names)

    def enough(self, condition: str, *, finish: bool = False) -> Self:
        """Let a parallel step be done as soon as this holds; the rest is stopped, or goes on (`finish`)."""
        return self.more(enough=condition, **({"rest": "finish"} if finish else {}))

    def grows(self) -> Self:
        """Start what comes to the end of a parallel step's list while it runs."""
        return self.more(grows=True)

    def lock(self, key: str) -> Self:
        """Let one at a time run of all steps that say the same text, in every run."""
        return self.more(lock=key)

    def rate(self, key: str, limit: int, per: float | str) -> Self:
        """Let so many steps with this key start in such a time."""
        seconds = duration_s(per, where=f"{self._step.where} › rate")
        return self.more(rate={"key": key, "limit": limit, "per_s": seconds})

    def undo(self, verb: str, **inputs: Any) -> Self:
        """Ask an agent to take this step back when the run fails or is cancelled later."""
        return self.more(undo={"uses": verb, **({"with": inputs} if inputs else {})})

    def choice(self, cases: Mapping[str, str], default: str | None = None, *, every: bool = False) -> Self:
        """Choose the first case whose expression holds (all that hold with `every`), or the default."""
        listed = [{"name": name, "when": f"${{{{ {condition} }}}}"} for name, condition in cases.items()]
        given = {"default": default, "every": every or None}
        return self.uses("flow.choice", cases=listed, **{key: value for key, value in given.items() if value})

    def emit(self, name: str, data: Any = None) -> Self:
        """Send a signal to the run itself."""
        return self.uses("flow.emit", name=name, **({} if data is None else {"data": data}))

    def end(self, status: str = "succeeded", **said: Any) -> Self:
        """End the run, with an ``output`` or a ``reason``."""
        return self.uses("flow.end", status=status, **said)

    def scope(self, *steps: Step, catch: Iterable[Step] = (), final: Iterable[Step] = ()) -> Self:
        """Hold steps together: a body, what takes up its failure, what comes last in every case."""
        for part, held in (("body", steps), ("catch", catch), ("finally", final)):
            for step in held:
                step.more(scope=self.name, **({} if part == "body" else {"part": part}))
                self._held.append(step)
        return self.uses("flow.scope")

    def whole(self) -> Iterator[Step]:
        """Give the step, and after it all that it holds."""
        yield self
        for step in self._held:
            yield from step.whole()


#: What ``Workflow.step`` takes beside name and command.
_FIELDS = {
    "description": lambda step, value: step.description(value),
    "depends_on": lambda step, value: step.depends(value),
    "when": lambda step, value: step.when(value),
    "timeout": lambda step, value: step.timeout(value),
    "retry": lambda step, value: step.retry(value),
    "env": lambda step, value: step.env(value),
    "dir": lambda step, value: step.dir(value),
    "pure": lambda step, value: step.pure(value),
    "always": lambda step, value: step.always() if value else step,
    "continue_on": lambda step, value: step.continue_on(value),
}


class Workflow:
    """A workflow, put together by calls.

    Args:
        name: Name of the workflow.
        description: One sentence for people.
        steps: ``Step`` objects, functions decorated with ``@step``, or plain functions.
        version: Version of the definition.
    """

    def __init__(
        self, name: str, description: str = "", steps: Iterable[Step | Callable[..., Any]] = (), *, version: str = "1"
    ) -> None:
        self._flow = Flow(name=name, description=description, version=version, where=f"workflow {name}")
        self._steps: list[Step] = []
        self._on_failure: list[Step] = []
        self._env: dict[str, str] = {}
        self._is_chain = False
        for each in steps:
            self.add(each)

    @property
    def name(self) -> str:
        """Its name."""
        return self._flow.name

    def __repr__(self) -> str:
        return f"Workflow({self.name!r}, steps={self._steps!r})"

    # -- steps -------------------------------------------------------------------------------------------------------

    def add(self, step: Step | Callable[..., Any]) -> Self:
        """Add a step: a ``Step``, a function decorated with ``@step``, or a plain function."""
        self._steps.append(step if isinstance(step, Step) else _of_function(step))
        return self

    def step(
        self, name: str, command: str | None = None, callback: Callable[[Step], object] | None = None, **said: Any
    ) -> Self:
        """Add a step: a command, or what `callback` makes of the ``Step``.

        Args:
            name: Its name.
            command: A shell command.
            callback: Takes the ``Step`` to say more of it.
            said: depends_on, when, timeout, retry, env, dir, pure, always, continue_on, description.

        Raises:
            ValidationError: there is no such word.
        """
        step = Step(name, command)
        for word, value in said.items():
            if word not in _FIELDS:
                raise ValidationError(
                    f"a step has no `{word[:40]}`", where=f"step {name}", hint=did_you_mean(word, _FIELDS)
                )
            _FIELDS[word](step, value)
        if callback is not None:
            callback(step)
        return self.add(step)

    def parallel_steps(
        self, name: str, items: str | Iterable[Any], command: str, max_concurrent: int | None = None
    ) -> Self:
        """Add a command that runs once per item, which it finds in the variable ``ITEM``."""
        return self.add(Step(name, command).parallel(items, max_concurrent))

    def handlers(self, failure: str | None = None, exit: str | None = None) -> Self:  # noqa: A002  # as designed
        """Add commands that run after a failure or cancel, and at the end in every case."""
        if failure is not None:
            self._on_failure.append(Step("on-failure", failure))
        return self if exit is None else self.add(Step("on-exit", exit).always())

    def on_failure(self, *steps: Step) -> Self:
        """Add steps that run, in this order, after a failure or cancel."""
        self._on_failure += steps
        return self

    # -- the whole ---------------------------------------------------------------------------------------------------

    def chain(self) -> Self:
        """Let each step depend on the one before it."""
        self._is_chain = True
        return self

    def graph(self) -> Self:
        """Let steps depend on what they say, and nothing else; so it is from the start."""
        self._is_chain = False
        return self

    def description(self, text: str) -> Self:
        """Describe it for people."""
        return self._with(description=text)

    def version(self, text: str) -> Self:
        """Name the version of the definition."""
        return self._with(version=text)

    def params(self, **values: Any) -> Self:
        """Declare inputs with these default values; a type is a required input of that type (``port=int``)."""
        declared = {name: _spec(name, value) for name, value in values.items()}
        return self._with(inputs={**(self._flow.inputs or {}), **declared})

    def env(self, values: Mapping[str, str] | None = None, **more: str) -> Self:
        """Add environment variables of all commands and containers."""
        self._env |= {**(values or {}), **more}
        return self

    def timeout(self, seconds: float | str) -> Self:
        """Bound the time of a run."""
        return self._with(timeout_s=duration_s(seconds, where=f"{self._flow.where} › timeout"))

    def durability(self, mode: str) -> Self:
        """Say when records reach the disk: ``strict``, ``pipelined`` or ``exit``; raises ValidationError."""
        return self._with(durability=durability_of(mode, where=f"{self._flow.where} › durability"))

    def retry(self, policy: RetryPolicy) -> Self:
        """Give all steps without a policy of their own this one."""
        return self._with(retry=policy.backoff)

    def more(self, **keys: Any) -> Self:
        """Say further keys of the model's workflow: concurrency, priority, schedule, max_workers."""
        return self._with(more={**self._flow.more, **keys})

    def concurrency(self, key: str, limit: int = 1, on_conflict: str = "wait") -> Self:
        """Let so many runs with one key go on at a time; one more waits, is refused, or cancels the oldest."""
        return self.more(concurrency={"key": key, "limit": limit, "on_conflict": on_conflict})

    def priority(self, number: int) -> Self:
        """Say which of those that wait comes first: 0 to 9, the highest."""
        return self.more(priority=number)

    def schedule(self, cron: str, timezone: str = "UTC", **said: Any) -> Self:
        """Let runs begin by themselves; `said` are catch_up, overlap and inputs."""
        known = self._flow.more.get("schedule", [])
        return self.more(schedule=[*known, {"cron": cron, "timezone": timezone, **said}])

    def _with(self, **values: Any) -> Self:
        self._flow = replace(self._flow, **values)
        return self

    def flow(self) -> Flow:
        """Give the workflow as all front ends have it."""
        steps = [each.flow_step(self._env) for step in self._steps for each in step.whole()]
        if self._is_chain:
            main = [step for step in steps if not step.always and "scope" not in step.more]
            before = {step.id: previous.id for previous, step in pairwise(main)}
            steps = [
                replace(step, needs=tuple(dict.fromkeys((*step.needs, before[step.id])))) if step.id in before else step
                for step in steps
            ]
        failing = tuple(step.flow_step(self._env) for step in self._on_failure)
        return replace(self._flow, steps=tuple(steps), on_failure=failing)

    def compile(self) -> Definition:
        """Give the definition; raises ValidationError."""
        return lowered(self.flow())

    @property
    def hash(self) -> str:
        """Identity of the definition; raises ValidationError."""
        return self.compile().hash

    def validate(self) -> ValidationResult:
        """Say whether it is valid, and everything that is wrong."""
        try:
            self.compile()
        except ValidationError as error:
            own = {"where": error.where, "message": error.message, "hint": error.hint}
            return ValidationResult(valid=False, errors=tuple(error.details.get("problems") or [own]))
        return ValidationResult(valid=True)


_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


def _spec(name: str, value: Any) -> InputSpec:
    if isinstance(value, InputSpec):
        return value
    if isinstance(value, type):
        if value not in _TYPES:
            known = ", ".join(f"`{each.__name__}`" for each in _TYPES)
            raise ValidationError(f"the input `{name}` cannot be of the type `{value.__name__}`", hint=f"use {known}")
        return InputSpec(type=_TYPES[value], required=True)
    kind = next((_TYPES[each] for each in (bool, int, float, str, list, dict) if isinstance(value, each)), "any")
    return InputSpec(type=kind, default=as_json(value, what=f"the default of `{name}`"))


def _of_function(function: Any) -> Step:
    own = step_of(function)
    step = Step(own.id if own is not None else getattr(function, "__name__", "").strip("_"))
    step.python(function)
    if own is not None:
        made = step._step  # noqa: SLF001  # our own class
        said = {item.name: getattr(own, item.name) for item in fields(own)}
        step._with(**{**said, "function": made.function, "is_method": made.is_method})  # noqa: SLF001
    return step
