"""What must hold between the parts of a workflow: ids, needs, and what expressions read.

Everything that can be known before a run is said before a run: an expression that reads an unknown input, or the
output of a step that runs later, is refused here and not met as null at night.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from workflow_agent.authoring.problem import Problem
from workflow_agent.model.errors import ExpressionError, ValidationError
from workflow_agent.model.expression import expressions_in, parse
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.sequence import stable_order
from workflow_agent.model.value_types import is_of_type, type_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workflow_agent.model.workflow import Step, Workflow

    Way: TypeAlias = tuple[str | int, ...]

__all__ = ["soundness"]

_INPUT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RUN_PARTS = ("id", "workflow")
_FAILURE_PARTS = ("step", "error")
_STEP_PARTS = ("output", "status")
#: Keys of a step that are expressions; what is in `with` may hold some.
_EXPRESSIONS = ("when", "each", "until")
_WAIT = "wait."


def soundness(workflow: Workflow) -> list[Problem]:
    """List what is wrong between the parts of a workflow, in the order of the text."""
    return _Check(workflow).problems()


class _Check:
    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._places: dict[str, Way] = {}
        self._steps: dict[str, Step] = {}
        self._main = [step for step in workflow.steps if not step.always]
        self._always = [step for step in workflow.steps if step.always]

    def problems(self) -> list[Problem]:
        found = [*self._inputs(), *self._ids()]
        if not found:
            found = [*self._needs(), *self._repeats()]
        if not found:
            found = [*self._cycles()]
        return found or [*self._expressions()]

    def _inputs(self) -> Iterator[Problem]:
        for name, spec in self._workflow.inputs.items():
            way = ("inputs", name)
            if not _INPUT_NAME.fullmatch(name):
                yield Problem(way, "an input's name is lower case: letters, digits and `_`", at_key=True)
            if spec.required and spec.default is not None:
                yield Problem((*way, "default"), "a required input has no default")
            elif spec.default is not None and not is_of_type(spec.default, spec.type):
                yield Problem((*way, "default"), f"must be of type {spec.type}, not {type_of(spec.default)}")

    def _ids(self) -> Iterator[Problem]:
        both = (("steps", self._workflow.steps), ("on_failure", self._workflow.on_failure))
        for group, steps in both:
            for index, step in enumerate(steps):
                if step.id in self._steps:
                    yield Problem((group, index, "id"), f"there are two steps `{step.id}`")
                if group == "on_failure" and step.always:
                    yield Problem((group, index, "always"), "a step of on_failure cannot be an `always` step")
                self._steps.setdefault(step.id, step)
                self._places.setdefault(step.id, (group, index))

    def _needs(self) -> Iterator[Problem]:
        for name, step in self._steps.items():
            for index, need in enumerate(step.needs):
                way = (*self._places[name], "needs", index)
                if need not in self._steps:
                    yield Problem(way, f"there is no step `{need[:64]}`", did_you_mean(need, self._steps))
                elif self._group(need) != self._group(name):
                    yield Problem(way, f"a step of {self._group(name)} cannot need one of {self._group(need)}")

    def _repeats(self) -> Iterator[Problem]:
        """A step is a fan-out, a loop or a wait: where it says two of them, one would be ignored."""
        for name, step in self._steps.items():
            place = self._places[name]
            keys = [key for key in ("each", "until") if getattr(step, key) is not None]
            if len(keys) > 1:
                hint = "let each item run a workflow that loops (`uses: workflow.run`)"
                yield Problem((*place, "until"), "a step runs once per item or until something holds, not both", hint)
            if keys and step.uses.startswith(_WAIT):
                yield Problem((*place, keys[0]), f"a step that waits (`{step.uses[:64]}`) has no `{keys[0]}`")
            if step.max_iterations is not None and step.until is None:
                yield Problem((*place, "max_iterations"), "only a step with `until` has iterations")

    def _group(self, name: str) -> str:
        if self._places[name][0] == "on_failure":
            return "on_failure"
        return "the `always` steps" if self._steps[name].always else "the main steps"

    def _groups(self) -> tuple[list[Step], list[Step], list[Step]]:
        return self._main, list(self._workflow.on_failure), self._always

    def _cycles(self) -> Iterator[Problem]:
        for group in self._groups():
            try:
                _order(group)
            except ValidationError as error:
                yield Problem((*self._places[error.details["cycle"][0]], "needs"), error.message)

    def _expressions(self) -> Iterator[Problem]:
        order = [*chain.from_iterable(_order(group) for group in self._groups())]
        rank = {name: index for index, name in enumerate(order)}
        for name, step in self._steps.items():
            earlier = {other for other in rank if rank[other] < rank[name]}
            for way, references in self._references(step):
                if isinstance(references, Problem):
                    yield references
                    continue
                for reference in sorted(references):
                    parts = reference.split(".")
                    yield from self._reference(way, parts, step, earlier)

    def _references(self, step: Step) -> Iterator[tuple[Way, Iterable[str] | Problem]]:
        place = self._places[step.id]
        with_ = (*place, "with")
        for key in _EXPRESSIONS:
            text = getattr(step, key)
            try:
                if text is not None:
                    yield (*place, key), parse(text).references
            except ExpressionError as error:
                yield (*place, key), _wrong((*place, key), error)
        try:
            for way, expression in expressions_in(step.with_):
                yield (*with_, *way), expression.references
        except ExpressionError as error:
            way = (*with_, *error.details.get("path", ()))
            yield way, _wrong(way, error)

    def _reference(self, way: Way, parts: list[str], step: Step, earlier: set[str]) -> Iterator[Problem]:
        root, rest = parts[0], parts[1:]
        if root in _open_names(step, str(way[2])):
            return
        late = step.always or self._places[step.id][0] == "on_failure"
        known = {
            "inputs": self._workflow.inputs,
            "run": _RUN_PARTS,
            "steps": self._steps,
            **({"failure": _FAILURE_PARTS} if late else {}),
        }
        if root not in known:
            hint = did_you_mean(root, known)
            if root == "failure":
                hint = "only steps of on_failure and `always` steps see it"
            yield Problem(way, f"there is nothing called `{root[:64]}` here", hint)
        elif rest and rest[0] not in known[root]:
            yield Problem(way, f"there is no `{root}.{rest[0][:64]}`", did_you_mean(rest[0], known[root]))
        elif root == "steps" and rest:
            yield from self._step_reference(way, rest, step, earlier)

    def _step_reference(self, way: Way, rest: list[str], step: Step, earlier: set[str]) -> Iterator[Problem]:
        name, *parts = rest
        if parts and parts[0] not in _STEP_PARTS:
            hint = did_you_mean(parts[0], _STEP_PARTS)
            yield Problem(way, f"a step has no `{parts[0][:64]}`", hint)
        elif name == step.id:
            hint = "`previous` is the output of the iteration before" if way[2] == "until" else None
            yield Problem(way, f"`{name}` cannot read its own result", hint)
        elif name not in earlier:
            yield Problem(way, f"`{name}` runs after `{step.id}`", f"say `needs: [{name}]`, or move it up")


def _open_names(step: Step, key: str) -> tuple[str, ...]:
    """List the names of which nothing is known before a run: what steps keep, and the place in a fan-out or loop."""
    names = ("state", *(("item", "index", "total") if step.each is not None and key != "each" else ()))
    return (*names, "iteration", "previous") if step.until is not None else names


def _order(steps: Iterable[Step]) -> tuple[str, ...]:
    return stable_order({step.id: step.needs for step in steps})


def _wrong(way: Way, error: ExpressionError) -> Problem:
    place = f" ({error.where.rpartition(', ')[2]})" if error.where else ""
    return Problem(way, error.message + place, error.hint)
