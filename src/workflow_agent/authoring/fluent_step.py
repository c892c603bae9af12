"""A step of the fluent form: its needs, conditions, repetitions and how it hangs together with others."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Self

from workflow_agent.authoring.durations import duration_s
from workflow_agent.authoring.flow import FlowStep, StepSource
from workflow_agent.authoring.sdk.decorators import step_of
from workflow_agent.authoring.sdk.policies import ErrorHandler, RetryPolicy
from workflow_agent.authoring.step_actions import CONTAINER, SHELL, StepActions
from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Step", "literal", "step_of_function"]

#: Variable in which a command of a parallel step finds its item.
_ITEM = {"ITEM": "${{ item }}"}


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


class Step(StepActions, StepSource):
    """One step of a fluent ``Workflow``.

    Args:
        name: Unique in the workflow.
        command: A shell command; or say what it does by another word (``StepActions``).
        description: One sentence for people.
        depends_on: Steps that come before.
    """

    def __init__(
        self, name: str, command: str | None = None, description: str = "", *, depends_on: Iterable[str] = ()
    ) -> None:
        self._step = FlowStep(id=name, where=f"step {name}", description=description, needs=tuple(depends_on))
        self._env: dict[str, Any] = {}
        self._held: list[Step] = []
        if command is not None:
            self.shell(command)

    @property
    def name(self) -> str:
        """Its name."""
        return self._step.id

    def __repr__(self) -> str:
        return f"Step({self.name!r})"

    def flow_step(self, env: Mapping[str, Any]) -> FlowStep:
        """Give the step as all front ends have it; `env` is the workflow's."""
        step = self._step
        if step.uses in {SHELL, CONTAINER}:
            item = _ITEM if step.parallel else {}
            variables = {**env, **self._env, **item}
            return replace(step, with_={**step.with_, **({"env": variables} if variables else {})})
        return step

    # -- when and how often ------------------------------------------------------------------------------------------

    def pure(self, is_pure: bool = True) -> Self:  # as the other switches
        """Say that it has no effect but its result: it may begin before what led to it is on disk."""
        return self._with(pure=is_pure)

    def credentials(self, *names: str) -> Self:
        """Let a command, a function or a container see the variables of these sets of the settings."""
        return self._with(credentials=(*self._step.credentials, *names))

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
        exit_codes: Iterable[int] | None = None,
    ) -> Self:
        """Try again after a failure: a policy, or `limit` times with pauses that grow by `exponential_base`.

        Of a command `exit_codes` are those after which it is tried again; all where nothing is said.
        """
        policy = limit
        if not isinstance(policy, RetryPolicy):
            policy = RetryPolicy(
                max_attempts=policy + 1,
                initial_delay=interval_sec,
                max_delay=max_interval_sec,
                factor=exponential_base,
            )
        if exit_codes is not None:
            self.args(retry_codes=list(exit_codes))
        return self._with(retry=policy.backoff)

    def retries(self, limit: int) -> Self:
        """Try again `limit` times."""
        return self.retry(limit)

    def continue_on(self, failure: bool = True, exit_code: Iterable[int] | None = None) -> Self:
        """Let the run go on after a failure of this step, which stays visible; `exit_code` are no failures at all."""
        if exit_code is not None:
            return self.exit_codes(0, *exit_code)
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

    def repeat(self, condition: str, limit: int | None = None) -> Self:
        """Run again until this holds, as :meth:`until` does."""
        return self.until(condition, limit)

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

    def undo(self, verb: str, /, **inputs: Any) -> Self:
        """Ask an agent to take this step back when the run fails or is cancelled later."""
        return self.more(undo={"uses": verb, **({"with": inputs} if inputs else {})})

    def scope(self, *steps: Step, catch: Iterable[Step] = (), final: Iterable[Step] = ()) -> Self:
        """Hold steps together: a body, what takes up its failure, what comes last in every case."""
        for part, held in (("body", steps), ("catch", catch), ("finally", final)):
            for step in held:
                step.more(scope=self.name, **({} if part == "body" else {"part": part}))
                self._held.append(step)
        return self.uses("flow.scope")

    def flow_steps(self) -> Iterator[FlowStep]:
        """See :class:`StepSource`: in a class there are no variables for all."""
        return (each.flow_step({}) for each in self.whole())

    def whole(self) -> Iterator[Step]:
        """Give the step, and after it all that it holds."""
        yield self
        for step in self._held:
            yield from step.whole()


def step_of_function(function: Any) -> Step:  # Any: a function
    """Make a step of a function, decorated with ``@step`` or not."""
    own = step_of(function)
    step = Step(own.id if own is not None else getattr(function, "__name__", "").strip("_"))
    step.python(function)
    if own is not None:
        made = step._step  # noqa: SLF001  # our own class
        said = {item.name: getattr(own, item.name) for item in fields(own)}
        step._with(**{**said, "function": made.function, "is_method": made.is_method})  # noqa: SLF001
    return step
