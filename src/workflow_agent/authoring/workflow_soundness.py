"""What must hold between the parts of a workflow: ids, needs, and what expressions read.

Everything that can be known before a run is said before a run: an expression that reads an unknown input, or the
output of a step that runs later, is refused here and not met as null at night.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from workflow_agent.authoring.expression_types import clashes, kind_of
from workflow_agent.authoring.node_soundness import NodeCheck
from workflow_agent.authoring.problem import Problem
from workflow_agent.authoring.whole_soundness import whole_problems
from workflow_agent.model.errors import ExpressionError, ValidationError
from workflow_agent.model.expression import expressions_in, parse
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.sequence import scoped_order
from workflow_agent.model.value_types import is_of_type, type_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.model.expression import Expression
    from workflow_agent.model.workflow import Step, Workflow

    Way: TypeAlias = tuple[str | int, ...]

__all__ = ["soundness"]

_INPUT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RUN_PARTS = ("id", "workflow")
_FAILURE_PARTS = ("step", "error")
_STEP_PARTS = ("output", "status")
#: Keys of a step that are expressions; what is in `with` may hold some.
_EXPRESSIONS = ("when", "each", "until", "join_until", "enough")
#: What such an expression gives; `each` a list, the others true or false.
_GIVES = {"each": "array"}
#: Texts of a step that may hold expressions.
_TEXTS = ("lock", "rate")
#: What a fan-out's `enough` sees.
_COUNTS = ("done", "failed", "total")
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
            found = [*NodeCheck(self._steps, self._places).problems(), *whole_problems(self._workflow)]
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
                scoped_order(group)
            except ValidationError as error:
                yield Problem((*self._places[error.details["cycle"][0]], "needs"), error.message)

    def _expressions(self) -> Iterator[Problem]:
        order = [*chain.from_iterable(scoped_order(group) for group in self._groups())]
        rank = {name: index for index, name in enumerate(order)}
        for name, step in self._steps.items():
            earlier = {other for other in rank if rank[other] < rank[name]}
            for way, expression in self._read(step):
                if isinstance(expression, Problem):
                    yield expression
                    continue
                for reference in sorted(expression.references):
                    parts = reference.split(".")
                    yield from self._reference(way, parts, step, earlier)
                yield from self._types(way, expression, step)

    def _read(self, step: Step) -> Iterator[tuple[Way, Expression | Problem]]:
        """List the expressions of a step, each with its place."""
        place = self._places[step.id]
        for key in _EXPRESSIONS:
            text = getattr(step, key)
            try:
                if text is not None:
                    yield (*place, key), parse(text)
            except ExpressionError as error:
                yield (*place, key), _wrong((*place, key), error)
        for key, value in (("with", step.with_), *((key, getattr(step, key)) for key in _TEXTS)):
            try:
                for way, expression in expressions_in(value):
                    yield (*place, key, *way), expression
            except ExpressionError as error:
                way = (*place, key, *error.details.get("path", ()))
                yield way, _wrong(way, error)

    def _types(self, way: Way, expression: Expression, step: Step) -> Iterator[Problem]:
        """Say where a declared input is used as what it is not."""
        known = {("inputs", name): spec.type for name, spec in self._workflow.inputs.items() if spec.type != "any"}
        for message in clashes(expression.root, known):
            yield Problem(way, message)
        key = str(way[len(self._places[step.id])])
        kind = kind_of(expression.root, known)
        wanted = _GIVES.get(key, "boolean")
        if key in _EXPRESSIONS and kind not in {None, "null", wanted}:
            article = "a list" if wanted == "array" else "true or false"
            yield Problem(way, f"`{key}` must give {article}, and this is of type {kind}")

    def _reference(self, way: Way, parts: list[str], step: Step, earlier: set[str]) -> Iterator[Problem]:
        root, rest = parts[0], parts[1:]
        key = str(way[2])
        if root in _open_names(step, key):
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
            yield from self._step_reference(way, rest, step, set(self._steps) if key == "enough" else earlier)

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
    if key == "enough":
        return ("state", *_COUNTS)
    names = ("state", *(("item", "index", "total") if step.each is not None and key != "each" else ()))
    return (*names, "iteration", "previous") if step.until is not None else names


def _wrong(way: Way, error: ExpressionError) -> Problem:
    place = f" ({error.where.rpartition(', ')[2]})" if error.where else ""
    return Problem(way, error.message + place, error.hint)
