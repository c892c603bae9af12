"""A workflow prepared for running: positions of its steps, who waits for whom, what their expressions read."""

from __future__ import annotations

from dataclasses import field
from functools import lru_cache, reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.engine.persistent import PersistentArray
from workflow_agent.engine.units import UNDO
from workflow_agent.model.errors import ExpressionError, ValidationError
from workflow_agent.model.event import StepState
from workflow_agent.model.expression import parse, references_of
from workflow_agent.model.records import dataclass
from workflow_agent.model.sequence import PARTS, scoped_order
from workflow_agent.model.status import RunStatus
from workflow_agent.model.workflow import Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.model.workflow import Workflow

__all__ = [
    "CHILD",
    "END",
    "FREE",
    "NODES",
    "PARTS",
    "PENDING",
    "SCOPE",
    "TIMER",
    "WAITS",
    "Reading",
    "StepPlan",
    "plan_of",
]

TIMER = "wait.timer"
#: Steps that the engine itself carries out, by waiting.
WAITS = frozenset({TIMER, "wait.signal", "wait.person"})
#: The step that the engine carries out by running another workflow.
CHILD = "workflow.run"
#: The step that holds others together, and its parts in their order.
SCOPE = "flow.scope"
#: Steps that take none of the run's places while they are on.
FREE = WAITS | {SCOPE}
#: Steps that the engine itself carries out at once.
END = "flow.end"
NODES = frozenset({"flow.pass", "flow.choice", "flow.emit", END})
#: Roots that an expression may read as a whole.
_WHOLE = frozenset({"steps", "state"})
#: How every step begins.
PENDING: Final = StepState()
#: Edges that take a failure up, so that it does not fail the run.
_TAKES_UP = frozenset({"failure", "always"})


@dataclass(frozen=True, slots=True)
class Reading:
    """What a step's `with` reads: nothing (`constant`), and which roots as a whole."""

    constant: bool
    whole: frozenset[str]


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Ids in order: `main` steps, then `on_failure` (considered after a failure only), then `always`.

    `sequence` is all of them, in the order in which they are considered. A position counts in `order`, which has what
    takes steps back between `main` and `on_failure`. `followers` gives, per position, who waits for it; `left` how
    many each waits for, with one more for a step of a scope: that its part begins.

    `home` gives, for a step of a scope, the scope's position; `members`, for a scope, the bits of the steps of each
    part; `within` those of all that is in it, at any depth; `sheltered` those of what is in its last part. `handled`
    are the steps whose failure an edge takes up; `live` the fan-outs whose items depend on what ends elsewhere;
    `enders` the steps that stop others.
    """

    workflow: Workflow
    steps: Mapping[str, Step]
    main: tuple[str, ...]
    on_failure: tuple[str, ...]
    always: tuple[str, ...]
    sequence: tuple[str, ...]
    order: tuple[str, ...]
    at: tuple[Step, ...] = field(repr=False)
    index: Mapping[str, int] = field(repr=False)
    followers: Sequence[Sequence[int]] = field(repr=False)
    left: PersistentArray[int] = field(repr=False)
    readings: Sequence[Reading] = field(repr=False)
    main_ids: frozenset[str] = field(repr=False)
    main_bits: int = field(repr=False)
    always_bits: int = field(repr=False)
    home: Mapping[int, int] = field(repr=False)
    members: Mapping[int, tuple[int, int, int]] = field(repr=False)
    within: Mapping[int, int] = field(repr=False)
    sheltered: Mapping[int, int] = field(repr=False)
    handled: frozenset[str] = field(repr=False)
    live: tuple[int, ...] = field(repr=False)
    enders: tuple[str, ...] = field(repr=False)
    #: Main steps that the run's time does not bind: they are in the last part of a scope.
    unbound: frozenset[str] = field(repr=False)
    #: How a run begins: the states of its steps, and the main ones that wait for nothing.
    cells: PersistentArray[StepState | None] = field(repr=False)
    ready: int = field(repr=False)

    def ends_run(self, step: Step) -> bool:
        """Say whether the failure of a step is the failure of the run."""
        return step.on_error == "fail" and step.id not in self.handled and step.scope is None

    def step_at(self, position: int) -> Step:
        """Give the step at a position."""
        return self.at[position]

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


def plan_of(workflow: Workflow) -> StepPlan:
    """Prepare a workflow.

    Raises:
        ValidationError: two steps have one id, an id has a mark of identities in it, or needs form a cycle.
    """
    latest = _latest[0]
    if latest is None or latest.workflow is not workflow:
        latest = _latest[0] = _plan_of(_Same(workflow))
    return latest


#: What was asked for last: a fold, and runs of one definition, ask for the same again and again.
_latest: list[StepPlan | None] = [None]


@lru_cache(maxsize=128)
def _plan_of(key: _Same) -> StepPlan:
    workflow = key.workflow
    steps = _steps_by_id(workflow)
    main = scoped_order([step for step in workflow.steps if not step.always])
    recovery = scoped_order(workflow.on_failure)
    always = scoped_order([step for step in workflow.steps if step.always])
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
    nest = _nest(steps, index, main)
    left = [len(wanted) + (position in nest.home) for position, wanted in enumerate(waits)]
    shelter = 0
    for bits in nest.sheltered.values():
        shelter |= bits
    return StepPlan(
        workflow,
        steps,
        main,
        recovery,
        always,
        main + recovery + always,
        order,
        tuple(steps[name] for name in order),
        index,
        followers,
        PersistentArray(left),
        [_reading(steps[name]) for name in order],
        frozenset(main),
        (1 << len(main)) - 1,
        ((1 << len(always)) - 1) << first_always,
        nest.home,
        nest.members,
        nest.within,
        nest.sheltered,
        frozenset(need for step in workflow.steps for need, end in step.edges.items() if end in _TAKES_UP),
        tuple(index[name] for name in main if steps[name].enough is not None or steps[name].grows),
        tuple(name for name in main if steps[name].cancels or steps[name].uses == END),
        frozenset(name for name in main if shelter >> index[name] & 1),
        PersistentArray([*[PENDING] * len(main), *[None] * (first_always - len(main)), *[PENDING] * len(always)]),
        sum(1 << position for position in range(len(main)) if left[position] == 0),
    )


@dataclass(frozen=True, slots=True)
class _Nest:
    """Who is in which scope: as the fields of a plan say."""

    home: Mapping[int, int]
    members: Mapping[int, tuple[int, int, int]]
    within: Mapping[int, int]
    sheltered: Mapping[int, int]


def _nest(steps: Mapping[str, Step], index: Mapping[str, int], main: Sequence[str]) -> _Nest:
    scopes = [index[name] for name in main if steps[name].uses == SCOPE]
    parts = {scope: [0, 0, 0] for scope in scopes}
    home: dict[int, int] = {}
    for name in main:
        step = steps[name]
        if step.scope is not None:
            home[index[name]] = index[step.scope]
            parts[index[step.scope]][PARTS.index(step.part)] |= 1 << index[name]
    # What is in a scope comes after it, so the inner ones are known first from behind.
    within: dict[int, int] = {}
    for scope in reversed(scopes):
        within[scope] = _all_within(parts[scope][0] | parts[scope][1] | parts[scope][2], within)
    sheltered = {scope: _all_within(parts[scope][2], within) for scope in scopes}
    return _Nest(home, {scope: (body, catch, last) for scope, (body, catch, last) in parts.items()}, within, sheltered)


def _all_within(bits: int, within: Mapping[int, int]) -> int:
    return bits | reduce(or_, (inner for scope, inner in within.items() if bits >> scope & 1), 0)


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
    around = set(_around(steps, step))
    read = {each for each in _steps_read(step) if each in index and each not in around}
    return wanted | {index[each] for each in read if first <= index[each] < own}


def _around(steps: Mapping[str, Step], step: Step) -> Iterator[str]:
    while step.scope is not None:
        yield step.scope
        step = steps[step.scope]


def _steps_read(step: Step) -> Iterator[str]:
    for reference in _references(step):
        root, _, rest = reference.partition(".")
        if root == "steps" and rest:
            yield rest.partition(".")[0]


def _references(step: Step) -> frozenset[str]:
    found = _read(step)
    for text in (step.when, step.each, step.until, step.join_until):
        if text is not None:
            try:
                found |= parse(text).references
            except ExpressionError:
                continue  # the step fails when it is evaluated, at its place
    return found


def _read(step: Step) -> frozenset[str]:
    try:
        return references_of([step.with_, step.lock, step.rate])
    except ExpressionError:
        return _WHOLE  # as above; until then nothing is known of it


def _reading(step: Step) -> Reading:
    found = _read(step)
    return Reading(not found and "${{" not in repr(step.with_), (_references(step) | _watched(step)) & _WHOLE)


def _watched(step: Step) -> frozenset[str]:
    """Give what is read again and again while the step runs: it does not wait for that."""
    try:
        return frozenset() if step.enough is None else parse(step.enough).references
    except ExpressionError:
        return frozenset()
