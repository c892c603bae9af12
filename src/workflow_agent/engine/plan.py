"""A workflow prepared for running: positions of its steps, who waits for whom, what their expressions read."""

from __future__ import annotations

from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from workflow_agent.engine.persistent import PersistentArray
from workflow_agent.engine.units import UNDO
from workflow_agent.model.errors import ExpressionError, ValidationError
from workflow_agent.model.expression import parse, references_of
from workflow_agent.model.records import dataclass
from workflow_agent.model.sequence import stable_order
from workflow_agent.model.status import RunStatus
from workflow_agent.model.workflow import Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from workflow_agent.model.workflow import Workflow

__all__ = ["CHILD", "TIMER", "WAITS", "Plan", "Reading", "plan_of"]

TIMER = "wait.timer"
#: Steps that the engine itself carries out, by waiting.
WAITS = frozenset({TIMER, "wait.signal", "wait.person"})
#: The step that the engine carries out by running another workflow.
CHILD = "workflow.run"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a step's `with` reads: nothing (`constant`), and which roots as a whole."""

    constant: bool
    whole: frozenset[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """Ids in order: `main` steps, then `on_failure` (considered after a failure only), then `always`.

    `sequence` is all of them, in the order in which they are considered. A position counts in `order`, which has what
    takes steps back between `main` and `on_failure`. `followers` gives, per position, who waits for it; `left` how
    many each waits for.
    """

    workflow: Workflow
    steps: Mapping[str, Step]
    main: tuple[str, ...]
    on_failure: tuple[str, ...]
    always: tuple[str, ...]
    sequence: tuple[str, ...]
    order: tuple[str, ...]
    index: Mapping[str, int] = field(repr=False)
    followers: Sequence[Sequence[int]] = field(repr=False)
    left: PersistentArray[int] = field(repr=False)
    readings: Sequence[Reading] = field(repr=False)
    main_ids: frozenset[str] = field(repr=False)
    main_bits: int = field(repr=False)
    always_bits: int = field(repr=False)

    def step_at(self, position: int) -> Step:
        """Give the step at a position."""
        return self.steps[self.order[position]]

    def is_main(self, position: int) -> bool:
        """Say whether a position is a main step's."""
        return position < len(self.main)


@dataclass(frozen=True, slots=True, eq=False)
class _Same:
    """Key by identity: a workflow holds mappings and so has no hash; the reference keeps its identity alive."""

    workflow: Workflow

    def __hash__(self) -> int:
        return id(self.workflow)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.workflow is self.workflow


def plan_of(workflow: Workflow) -> Plan:
    """Prepare a workflow.

    Raises:
        ValidationError: two steps have one id, an id has a mark of identities in it, or needs form a cycle.
    """
    return _plan_of(_Same(workflow))


@lru_cache(maxsize=128)
def _plan_of(key: _Same) -> Plan:
    workflow = key.workflow
    steps = _steps_by_id(workflow)
    main = _ordered([step for step in workflow.steps if not step.always])
    recovery = _ordered(workflow.on_failure)
    always = _ordered([step for step in workflow.steps if step.always])
    undos = tuple(step.id for step in (_undo_step(steps[name]) for name in main) if step is not None)
    steps |= {name: _undoing(steps[name.removesuffix(UNDO)]) for name in undos}
    order = main + undos + recovery + always
    index = {name: position for position, name in enumerate(order)}
    waits = [_waits_for(steps, index, group, name) for group in (main, undos, recovery, always) for name in group]
    followers: list[list[int]] = [[] for _ in order]
    for position, wanted in enumerate(waits):
        for other in wanted:
            followers[other].append(position)
    first_always = len(order) - len(always)
    return Plan(
        workflow,
        steps,
        main,
        recovery,
        always,
        main + recovery + always,
        order,
        index,
        followers,
        PersistentArray([len(wanted) for wanted in waits]),
        [_reading(steps[name]) for name in order],
        frozenset(main),
        (1 << len(main)) - 1,
        ((1 << len(always)) - 1) << first_always,
    )


def _steps_by_id(workflow: Workflow) -> dict[str, Step]:
    steps: dict[str, Step] = {}
    where = f"workflow {workflow.name}"
    for step in (*workflow.steps, *workflow.on_failure):
        if step.id in steps:
            raise ValidationError(f"two steps have the id `{step.id}`", where=where)
        if not step.id or any(mark in step.id for mark in "[]#~"):
            raise ValidationError(f"`{step.id}` cannot be the id of a step", where=where)
        steps[step.id] = step
    return steps


def _ordered(steps: Iterable[Step]) -> tuple[str, ...]:
    return stable_order({step.id: step.needs for step in steps})


def _undo_step(step: Step) -> Step | None:
    return None if step.undo is None else _undoing(step)


def _undoing(step: Step) -> Step:
    undo: Mapping[str, Any] = step.undo or {}
    return Step(
        id=step.id + UNDO,
        uses=str(undo["uses"]),
        with_=undo.get("with") or {},
        timeout_s=step.timeout_s,
        phase=RunStatus.ROLLING_BACK,
        retry=step.retry,
    )


def _waits_for(steps: Mapping[str, Step], index: Mapping[str, int], group: Sequence[str], name: str) -> set[int]:
    """Give the positions that must have ended first: needs, and earlier steps that its expressions read.

    A step that does not wait for all of its needs reads what is there when it starts.
    """
    step, own = steps[name], index[name]
    first = index[group[0]]
    wanted = {index[need] for need in step.needs if need in index and first <= index[need] < own}
    if step.join != "all":
        return wanted
    return wanted | {index[read] for read in _steps_read(step) if read in index and first <= index[read] < own}


def _steps_read(step: Step) -> Iterator[str]:
    for reference in _references(step):
        root, _, rest = reference.partition(".")
        if root == "steps" and rest:
            yield rest.partition(".")[0]


def _references(step: Step) -> frozenset[str]:
    found = _read(step)
    for text in (step.when, step.each, step.until):
        if text is not None:
            try:
                found |= parse(text).references
            except ExpressionError:
                continue  # the step fails when it is evaluated, at its place
    return found


def _read(step: Step) -> frozenset[str]:
    try:
        return references_of(step.with_)
    except ExpressionError:
        return frozenset({"steps", "state"})  # as above; until then nothing is known of it


def _reading(step: Step) -> Reading:
    found = _read(step)
    return Reading(not found and "${{" not in repr(step.with_), _references(step) & {"steps", "state"})
