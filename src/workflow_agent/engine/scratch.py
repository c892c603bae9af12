"""A run's state while one record is folded: changed in place here, frozen again before anybody sees it.

What belongs here: cells, counts and bits, and how they stay true together. What does not: which event may follow
(``machine``), what comes next (``proceeding``).

Two sets of positions are bits of an integer. `idle`: steps of the group that did not start and were not left out.
`ready`: steps that may be considered, because what they wait for has ended, or because a fan-out has items left.
"""

from __future__ import annotations

from dataclasses import field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.engine.persistent import PersistentArray, PersistentMap
from workflow_agent.engine.plan import WAITS
from workflow_agent.engine.tables import Fan, StepTable
from workflow_agent.engine.units import UNDO, parse_unit
from workflow_agent.model.event import RunState, StepState
from workflow_agent.model.records import dataclass, replace
from workflow_agent.model.status import TERMINAL_STEP, RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.engine.commands import Command
    from workflow_agent.engine.plan import Plan

__all__ = ["DEFAULT_WORKERS", "ENDED_WELL", "PENDING", "Group", "Scratch", "Work", "new_run"]

#: Units of one run that are in flight at the same time, where its definition does not say.
DEFAULT_WORKERS: Final = 100
PENDING: Final = StepState()
ENDED_WELL: Final = frozenset({StepStatus.SUCCEEDED, StepStatus.UNCHANGED})


class Group(IntEnum):
    """Which steps a run is at: main, what goes back (undo, then `on_failure`), `always`."""

    MAIN = 0
    BACK = 1
    ALWAYS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The engine's notes on a run. `due` is the command that only records and is not recorded yet."""

    group: Group
    idle: int
    ready: int
    closing: int  # fan-outs and loops whose own end is to be recorded
    active: int  # steps of the group that started and did not end
    busy: int  # units in flight
    limit: int
    left: PersistentArray[int]
    well: PersistentMap[int] = field(default_factory=PersistentMap)
    due: Command | None = None
    queue: tuple[int, ...] = ()
    at: int = 0
    signals: tuple[tuple[int, str, Any], ...] = ()
    waits: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class Scratch:
    """One run, being changed. Made by :meth:`of`, given back by :meth:`freeze`."""

    __slots__ = (
        "active", "at", "base", "busy", "cells", "changes", "closing", "due", "group", "head", "idle", "left",
        "limit", "now", "plan", "queue", "ready", "signals", "status", "waits", "well",
    )  # fmt: skip

    def __init__(self, plan: Plan, state: RunState, head: int, now: float) -> None:
        work: Work = state.work
        table: Any = state.steps
        self.plan = plan
        self.base = state
        #: Fields of the run that differ from `base`.
        self.changes: dict[str, Any] = {}
        self.head = head
        self.now = now
        self.status = state.status
        self.cells: PersistentArray[StepState | None] = table.cells
        self.group = work.group
        self.idle = work.idle
        self.ready = work.ready
        self.closing = work.closing
        self.active = work.active
        self.busy = work.busy
        self.limit = work.limit
        self.left = work.left
        self.well = work.well
        self.due = work.due
        self.queue = work.queue
        self.at = work.at
        self.signals = work.signals
        self.waits = work.waits

    def freeze(self) -> RunState:
        """Give the state as it is now."""
        work = Work(
            group=self.group,
            idle=self.idle,
            ready=self.ready,
            closing=self.closing,
            active=self.active,
            busy=self.busy,
            limit=self.limit,
            left=self.left,
            well=self.well,
            due=self.due,
            queue=self.queue,
            at=self.at,
            signals=self.signals,
            waits=self.waits,
        )
        steps = StepTable(self.plan, self.cells)
        return replace(self.base, head=self.head, status=self.status, steps=steps, work=work, **self.changes)

    def get(self, name: str) -> Any:  # Any: the field's type
        """Give a field of the run as it is now."""
        return self.changes[name] if name in self.changes else getattr(self.base, name)

    @property
    def has_trouble(self) -> bool:
        """Whether a step failed, time ran out or a cancel was requested."""
        return self.get("error") is not None

    @property
    def is_main_over(self) -> bool:
        """Whether every main step has an end."""
        return self.group is not Group.MAIN or not (self.idle or self.active)

    def cell(self, position: int) -> StepState:
        """Give the state of a step that is part of the run; raises KeyError for another."""
        cell = self.cells[position]
        if cell is None:
            raise KeyError(self.plan.order[position])
        return cell

    def put(self, position: int, cell: StepState) -> None:
        """Replace the state of one step."""
        self.cells = self.cells.put(position, cell)

    def join(self, position: int) -> None:
        """Let a step become part of the run."""
        self.put(position, PENDING)

    # -- units -----------------------------------------------------------------------------------------------------

    def find(self, unit: str) -> tuple[int, int | None, StepState]:
        """Find a unit: position of its step, index of the item, its state; raises KeyError and ValueError."""
        step, index, number = parse_unit(unit)
        position = self.plan.index[step]
        cell = self.cell(position)
        if index is not None:
            fan: Any = cell.items
            return position, index, fan[index]
        if number is not None and number != cell.iteration:
            raise KeyError(unit)
        return position, None, cell

    def begin(self, position: int) -> None:
        """Take a step out of those that did not start."""
        bit = 1 << position
        if self.idle & bit:
            self.idle ^= bit
            self.active += 1
        self.ready &= ~bit

    def fly(self, position: int, index: int | None, cell: StepState) -> None:
        """Put a unit in flight."""
        self.busy += 1
        if index is None:
            self.begin(position)
            self.put(position, cell)
            return
        step = self.plan.step_at(position)
        fan: Any = self.cell(position).items
        made: Fan = fan.put(index, cell, busy=1)
        self.put(position, replace(self.cell(position), items=made))
        full = step.max_workers is not None and made.busy >= step.max_workers
        if full or made.started == len(made):
            self.ready &= ~(1 << position)

    def land(self, position: int, index: int, cell: StepState) -> None:
        """Record the end of an item, and that its fan-out may go on or is over."""
        step = self.plan.step_at(position)
        whole = self.cell(position)
        fan: Any = whole.items
        flew = 0 if fan[index].status is StepStatus.PENDING else 1
        made: Fan = fan.put(index, cell, busy=-flew, failed=int(cell.status not in ENDED_WELL))
        self.busy -= flew
        self.put(position, replace(whole, items=made))
        stopped = self.has_trouble or (made.failed > 0 and step.on_error == "fail")
        bit = 1 << position
        if made.started < len(made) and not stopped:
            self.ready |= bit
        else:
            self.ready &= ~bit
            if made.busy == 0:
                self.closing |= bit

    def end(self, position: int, cell: StepState) -> None:
        """Record the end of a step, and that those who wait for it have one less to wait for."""
        bit = 1 << position
        if self.idle & bit:
            self.idle ^= bit
        elif self.plan.main_bits & bit or self.plan.always_bits & bit:
            self.active -= 1
        self.ready &= ~bit
        self.closing &= ~bit
        self.put(position, replace(cell, end=self.head, inputs=None))
        for follower in self.plan.followers[position]:
            self._release(follower, cell.status)

    def _release(self, position: int, status: StepStatus) -> None:
        left = self.left[position] - 1
        self.left = self.left.put(position, left)
        join = self.plan.step_at(position).join
        enough = left == 0
        if join != "all" and status in ENDED_WELL:
            name = self.plan.order[position]
            well = self.well.get(name, 0) + 1
            self.well = self.well.put(name, well)
            enough = enough or well >= (1 if join == "any" else join)
        if enough and self.idle >> position & 1 and not (self.has_trouble and self.group is Group.MAIN):
            self.ready |= 1 << position

    # -- trouble ---------------------------------------------------------------------------------------------------

    def stop_main(self, reason: str | None) -> None:
        """Let no main step start any more, and give up what only waits, for a reason."""
        self.ready = 0
        self.waits = {}
        self.due = None
        for position, cell in enumerate(self.cells[: len(self.plan.main)]):
            assert cell is not None
            if isinstance(cell.items, Fan):
                self._stop_fan(position, cell, cell.items, reason)
            elif cell.status is StepStatus.WAITING:
                self.busy -= self.plan.steps[self.plan.order[position]].uses not in WAITS
                self.end(position, self._given_up(cell, reason))

    def _stop_fan(self, position: int, cell: StepState, fan: Fan, reason: str | None) -> None:
        if cell.status in TERMINAL_STEP:
            return
        for index, item in enumerate(fan):
            if item.status is StepStatus.WAITING:
                fan = fan.put(index, self._given_up(item, reason), busy=-1, failed=1)
                self.busy -= 1
        self.put(position, replace(cell, items=fan))
        if fan.busy == 0:
            self.closing |= 1 << position

    def _given_up(self, cell: StepState, reason: str | None) -> StepState:
        return replace(cell, status=StepStatus.CANCELLED, finished_at=self.now, reason=reason, due_at=None, inputs=None)

    def enter_back(self) -> None:
        """Begin to go back: what ended well is undone, the last first; then the steps of `on_failure`."""
        self.group = Group.BACK
        undo = sorted(self._to_undo(), key=lambda each: -self.cell(each).end)
        index = self.plan.index
        back = [index[self.plan.order[position] + UNDO] for position in undo]
        for position in back:
            self.join(position)
        self.queue = (*back, *(index[name] for name in self.plan.on_failure))

    def _to_undo(self) -> Iterator[int]:
        for position, name in enumerate(self.plan.main):
            if self.plan.steps[name].undo is None:
                continue
            cell = self.cell(position)
            parts = isinstance(cell.items, Fan) and any(item.status in ENDED_WELL for item in cell.items)
            if cell.status in {StepStatus.SUCCEEDED, StepStatus.UNKNOWN} or parts or cell.iteration > 1:
                yield position

    def enter_always(self) -> None:
        """Begin the steps that run in every case."""
        self.group = Group.ALWAYS
        self.idle = self.plan.always_bits
        self.active = 0
        for name in self.plan.always:
            position = self.plan.index[name]
            if self.left[position] == 0:
                self.ready |= 1 << position


def new_run(plan: Plan, run_id: str, now: float, data: Mapping[str, Any]) -> RunState:
    """Make the state of a run that was created; one without ``machine`` in its record goes step by step."""
    here = {*plan.main, *plan.always}
    cells = PersistentArray([PENDING if name in here else None for name in plan.order])
    ready = 0
    for position in range(len(plan.main)):
        ready |= (plan.left[position] == 0) << position
    limit = (plan.workflow.max_workers or DEFAULT_WORKERS) if data.get("machine") else 1
    work = Work(
        group=Group.MAIN, idle=plan.main_bits, ready=ready, closing=0, active=0, busy=0, limit=limit, left=plan.left
    )
    return RunState(
        run_id=run_id,
        head=0,
        status=RunStatus.QUEUED,
        workflow=plan.workflow.name,
        inputs=data.get("inputs", {}),
        steps=StepTable(plan, cells),
        meta=data.get("meta", {}),
        created_at=now,
        state=PersistentMap(),
        work=work,
    )
