"""The fluent front end: ``Workflow("name").step("build", "make").step("test", "make test", depends_on=["build"])``.

Each method changes the object and gives it back. What belongs here: collecting what is said. What does not: checks and
the model's form (``flow_lowering``), which every front end shares.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from workflow_agent.authoring.durability import durability_of
from workflow_agent.authoring.durations import duration_s
from workflow_agent.authoring.flow import Flow, FlowStep
from workflow_agent.authoring.flow_lowering import lowered
from workflow_agent.authoring.fluent_step import Step, literal, step_of_function
from workflow_agent.authoring.sdk.values import as_json
from workflow_agent.authoring.step_actions import END, SHELL
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass
from workflow_agent.model.workflow import InputSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from workflow_agent.authoring.sdk.policies import RetryPolicy
    from workflow_agent.model.workflow import Workflow as Definition

__all__ = ["Step", "ValidationResult", "Workflow", "literal"]


#: At the end of a run: nothing failed; it was cancelled.
_WELL: Final = "failure == null"
_CANCELLED: Final = "failure.error.code == 'interrupted'"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationResult:
    """What :meth:`Workflow.validate` found: each error is ``{where, message, hint}``."""

    valid: bool
    errors: tuple[Mapping[str, Any], ...] = ()


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
        self._first: list[Step] = []
        self._env: dict[str, Any] = {}
        self._of_commands: dict[str, Any] = {}
        self._cleanup_s: float | None = None
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
        self._steps.append(step if isinstance(step, Step) else step_of_function(step))
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

    def sub_workflow(self, name: str, workflow: str, params: Mapping[str, Any] | None = None) -> Self:
        """Add a step that runs another workflow, by its name."""
        return self.add(Step(name).sub_workflow(workflow, **(params or {})))

    def handlers(
        self,
        success: str | None = None,
        failure: str | None = None,
        exit: str | None = None,  # noqa: A002  # as designed
        cancel: str | None = None,
    ) -> Self:
        """Add commands for the end of a run.

        Args:
            success: Runs when nothing failed.
            failure: Runs after a failure or a cancel.
            exit: Runs in every case.
            cancel: Runs after a cancel.
        """
        if failure is not None:
            self._on_failure.append(Step("on-failure", failure))
        if cancel is not None:
            self._on_failure.append(Step("on-cancel", cancel).when(_CANCELLED))
        if success is not None:
            self.add(Step("on-success", success).always().when(_WELL))
        return self if exit is None else self.add(Step("on-exit", exit).always())

    def notifications(
        self, to: str | Iterable[str], *, mail_on_failure: bool = True, mail_on_success: bool = False, **server: Any
    ) -> Self:
        """Add mails about the end of a run; one that cannot be sent fails no run.

        Args:
            to: Who gets them.
            mail_on_failure: After a failure or a cancel.
            mail_on_success: When nothing failed.
            server: sender, server, port, security, user, password, timeout.
        """
        name = self._flow.name
        if mail_on_failure:
            text = "Run ${{ run.id }}, step ${{ failure.step }}: ${{ failure.error }}"
            self._on_failure.append(Step("mail-on-failure").mail(to, f"{name} failed", text, **server).continue_on())
        if mail_on_success:
            mail = Step("mail-on-success").mail(to, f"{name} succeeded", "Run ${{ run.id }}", **server)
            self.add(mail.always().when(_WELL).continue_on())
        return self

    def on_failure(self, *steps: Step) -> Self:
        """Add steps that run, in this order, after a failure or cancel."""
        self._on_failure += steps
        return self

    # -- the whole ---------------------------------------------------------------------------------------------------

    def chain(self) -> Self:
        """Let each step depend on the one before it."""
        self._is_chain = True
        return self

    def type(self, kind: Literal["chain", "graph"]) -> Self:
        """Say whether it is a chain or a graph."""
        if kind not in {"chain", "graph"}:
            raise ValidationError(f"a workflow is a chain or a graph, no `{str(kind)[:40]}`", where=self._flow.where)
        return self.chain() if kind == "chain" else self.graph()

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

    def params(self, /, **values: Any) -> Self:
        """Declare inputs with these default values; a type is a required input of that type (``port=int``)."""
        declared = {name: _spec(name, value) for name, value in values.items()}
        return self._with(inputs={**(self._flow.inputs or {}), **declared})

    def env(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """Add environment variables of all commands and containers: texts, or secrets that are named."""
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

    def queue(self, name: str, max_active_runs: int = 1) -> Self:
        """Let runs wait in a queue, which other workflows may share, until there are fewer than so many."""
        return self.concurrency(name, max_active_runs)

    def max_active_runs(self, number: int) -> Self:
        """Let so many runs of this workflow go on at a time; one more waits."""
        return self.concurrency(self._flow.name, number)

    def max_active_steps(self, number: int) -> Self:
        """Let so many steps of a run go on at a time."""
        return self.more(max_workers=number)

    def schedule(self, cron: str, timezone: str = "UTC", **said: Any) -> Self:
        """Let runs begin by themselves; `said` are catch_up, overlap and inputs."""
        known = self._flow.more.get("schedule", [])
        return self.more(schedule=[*known, {"cron": cron, "timezone": timezone, **said}])

    # -- what all steps have -----------------------------------------------------------------------------------------

    def dotenv(self, *files: str) -> Self:
        """Name files of variables for all commands that name none; they are read when a step runs."""
        self._of_commands["dotenv"] = list(files)
        return self

    def max_output_size(self, size: int) -> Self:
        """Bound the bytes of output that the result of a command keeps, where it says nothing itself."""
        self._of_commands["max_output"] = size
        return self

    def cleanup_timeout(self, seconds: float | str) -> Self:
        """Bound the time of each step that runs at the end in every case and has no time of its own."""
        self._cleanup_s = duration_s(seconds, where=f"{self._flow.where} › cleanup_timeout")
        return self

    def delay(self, seconds: float) -> Self:
        """Let a run wait before its first step."""
        self._first.append(Step("delay").wait(seconds))
        return self

    def preconditions(self, *conditions: str) -> Self:
        """Do nothing in a run for which one of these expressions does not hold; it has succeeded then."""
        told = " and ".join(f"({condition})" for condition in conditions)
        reason = f"a precondition does not hold: {' and '.join(conditions)}"
        self._first.append(Step("preconditions").end(reason=reason).when(f"not ({told})"))
        return self

    def _with(self, **values: Any) -> Self:
        self._flow = replace(self._flow, **values)
        return self

    def flow(self) -> Flow:
        """Give the workflow as all front ends have it."""
        steps = [self._made(each) for step in self._steps for each in step.whole()]
        if self._is_chain:
            main = [step for step in steps if not step.always and "scope" not in step.more]
            before = {step.id: previous.id for previous, step in pairwise(main)}
            steps = [
                replace(step, needs=tuple(dict.fromkeys((*step.needs, before[step.id])))) if step.id in before else step
                for step in steps
            ]
        failing = tuple(self._made(step) for step in self._on_failure)
        return replace(self._flow, steps=(*self._led(steps),), on_failure=failing)

    def _made(self, step: Step) -> FlowStep:
        """Give a step with what the workflow says for all of its kind."""
        made = step.flow_step(self._env)
        if made.uses == SHELL:
            made = replace(made, with_={**self._of_commands, **made.with_})
        if made.always and made.timeout_s is None:
            made = replace(made, timeout_s=self._cleanup_s)
        return made

    def _led(self, steps: list[FlowStep]) -> list[FlowStep]:
        """Put before all others what a run begins with."""
        if not self._first:
            return steps
        first = [step.flow_step({}) for step in self._first]
        ordered = [first[0], *(_after(before, step) for before, step in pairwise(first))]
        return [*ordered, *(step if step.needs or step.always else _after(first[-1], step) for step in steps)]

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


def _after(before: FlowStep, step: FlowStep) -> FlowStep:
    """Let a step follow on what a run begins with: on an end of the run it follows where that was left out."""
    edges = {**step.more.get("edges", {}), **({before.id: "skip"} if before.uses == END else {})}
    return replace(step, needs=(before.id,), more={**step.more, **({"edges": edges} if edges else {})})


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
