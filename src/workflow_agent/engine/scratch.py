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

from workflow_agent.engine.breaking import breaks_of
from workflow_agent.engine.joins import follows
from workflow_agent.engine.persistent import PersistentArray, PersistentMap
from workflow_agent.engine.plan import FREE, PENDING
from workflow_agent.engine.tables import Fan, StepTable
from workflow_agent.engine.units import UNDO, parse_unit
from workflow_agent.model.event import RunState, StepState
from workflow_agent.model.records import dataclass, replace
from workflow_agent.model.status import TERMINAL_STEP, RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.engine.breaking import Breaks
    from workflow_agent.engine.commands import Command
    from workflow_agent.engine.plan import StepPlan

__all__ = ["DEFAULT_WORKERS", "ENDED_WELL", "MAIN", "PENDING", "ScopeWork", "Scratch", "StepGroup", "Work", "new_run"]

#: Units of one run that are in flight at the same time, where its definition does not say.
DEFAULT_WORKERS: Final = 100
ENDED_WELL: Final = frozenset({StepStatus.SUCCEEDED, StepStatus.UNCHANGED})


class StepGroup(IntEnum):
    """Which steps a run is at: main, what goes back (undo, then `on_failure`), `always`."""

    MAIN = 0
    BACK = 1
    ALWAYS = 2


#: Asked for several times for each record. To take a member from its class is a hundred times as slow as this name,
#: because the metaclass of enumerations has a way of its own to find them; so it is wherever a member has such a name.
MAIN: Final = StepGroup.MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeWork:
    """A scope that began: the part it is at, and how many steps of each part have no end.

    `error` is what failed in it; `is_caught`, whether the steps that take that up cope so far; `is_stopped`, whether
    it was told to stop.
    """

    part: int
    left: tuple[int, int, int]
    error: Mapping[str, Any] | None = None
    is_caught: bool = False
    is_stopped: bool = False

    @property
    def is_in_body(self) -> bool:
        """Whether its body is at work and nothing went wrong in it, so that its time counts."""
        return self.part == 0 and self.error is None and not self.is_stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The engine's notes on a run. `due` is the command that only records and is not recorded yet.

    `leaving` are steps of which it is to be recorded that they are left out or given up; `stopped` those that were told
    to stop, whose failure means nothing for the run; `filled` fan-outs of which enough items have ended; `open` the
    scopes that began and did not end; `sheltered` the steps of their last parts, which no trouble stops.
    """

    group: StepGroup
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
    leaving: int = 0
    stopped: int = 0
    filled: int = 0
    open: Mapping[int, ScopeWork] = field(default_factory=dict)
    sheltered: int = 0
    breaks: Breaks | None = None


class Scratch:
    """One run, being changed. Made by :meth:`of`, given back by :meth:`freeze`."""

    __slots__ = (
        "active", "at", "base", "breaks", "busy", "cells", "changes", "closing", "due", "filled", "group",
        "has_trouble", "head", "idle", "leaving", "left", "limit", "now", "open", "plan", "queue", "ready", "sheltered",
        "signals", "status", "stopped", "waits", "well",
    )  # fmt: skip

    def __init__(self, plan: StepPlan, state: RunState, head: int, now: float) -> None:
        work: Work = state.work
        table: Any = state.steps
        self.plan = plan
        self.base = state
        #: Fields of the run that differ from `base`.
        self.changes: dict[str, Any] = {}
        #: Whether a step failed, time ran out or a cancel was requested.
        self.has_trouble = state.error is not None
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
        self.leaving = work.leaving
        self.stopped = work.stopped
        self.filled = work.filled
        self.open = work.open
        self.sheltered = work.sheltered
        self.breaks = work.breaks

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
            leaving=self.leaving,
            stopped=self.stopped,
            filled=self.filled,
            open=self.open,
            sheltered=self.sheltered,
            breaks=self.breaks,
        )
        steps = StepTable(self.plan, self.cells)
        return replace(self.base, head=self.head, status=self.status, steps=steps, work=work, **self.changes)

    def get(self, name: str) -> Any:  # Any: the field's type
        """Give a field of the run as it is now."""
        return self.changes[name] if name in self.changes else getattr(self.base, name)

    def note_error(self, error: Mapping[str, Any] | None) -> None:
        """Let this be the error of the run; None: nothing is wrong with it."""
        self.changes["error"] = error
        self.has_trouble = error is not None

    def cell(self, position: int) -> StepState:
        """Give the state of a step that is part of the run; raises KeyError for another."""
        cell = self.cells[position]
        if cell is None:
            raise KeyError(self.plan.order[position])
        return cell

    def put(self, position: int, cell: StepState) -> None:
        """Replace the state of one step."""
        self.cells = self.cells.put(position, cell)

    def keep_state(self, told: Mapping[str, Any]) -> None:
        """Change what steps keep for later steps, as ``set`` and ``delete`` say."""
        state = self.get("state")
        for key, value in told.get("set", {}).items():
            state = state.put(key, value)
        for key in told.get("delete", ()):
            state = state.without(key)
        self.changes["state"] = state

    def join(self, position: int) -> None:
        """Let a step become part of the run."""
        self.put(position, PENDING)

    # -- units -----------------------------------------------------------------------------------------------------

    def find(self, unit: str) -> tuple[int, int | None, StepState]:
        """Find a unit: position of its step, index of the item, its state; raises KeyError and ValueError."""
        known = self.plan.index.get(unit)
        if known is not None:
            return known, None, self.cell(known)
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
        if self.ready & bit:
            self.ready ^= bit

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
        bit = 1 << position
        is_over = bool((self.stopped | self.filled) & bit) or self.has_trouble
        stopped = is_over or (made.failed > 0 and step.on_error == "fail")
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
        if (self.ready | self.closing | self.leaving) & bit:
            self.ready &= ~bit
            self.closing &= ~bit
            self.leaving &= ~bit
        was_released = cell.items is not None and isinstance(cell.items, Fan) and cell.items.released
        if cell.end != self.head or cell.inputs is not None:
            cell = replace(cell, end=self.head, inputs=None)
        self.put(position, cell)
        if not was_released:
            self.release_followers(position, cell)

    def release_followers(self, position: int, cell: StepState) -> None:
        """Let those who wait for a step have one less to wait for."""
        for follower in self.plan.followers[position]:
            self.release(follower, position, cell)

    def release(self, position: int, ended: int | None = None, cell: StepState | None = None) -> None:
        """Let a step have one less to wait for: a step that ended, or that its part of a scope began."""
        left = self.left[position] - 1
        self.left = self.left.put(position, left)
        step = self.plan.step_at(position)
        enough = left == 0 or step.join_until is not None
        if step.join != "all" and ended is not None and cell is not None:
            name = self.plan.order[position]
            well = self.well.get(name, 0) + follows(step, self.plan.order[ended], cell)
            self.well = self.well.put(name, well)
            enough = enough or well >= (1 if step.join == "any" else step.join)
        if enough and self.idle >> position & 1 and self.may_start(position):
            self.ready |= 1 << position

    def may_start(self, position: int) -> bool:
        """Say whether trouble lets a step start."""
        return self.group is not MAIN or not self.has_trouble or bool(self.sheltered >> position & 1)

    def is_told_to_stop(self, position: int) -> bool:
        """Say whether what is in flight of a step is to stop, although nothing is wrong with the run."""
        enough = self.filled >> position & 1 and self.plan.step_at(position).rest == "stop"
        return bool(enough or self.stopped >> position & 1)

    # -- trouble ---------------------------------------------------------------------------------------------------

    def stop_main(self, reason: str | None) -> list[int]:
        """Let no main step start any more, and give up what only waits, for a reason.

        The last part of a scope that began is not touched.

        Returns:
            The steps that ended with this.
        """
        ended: list[int] = []
        self.ready &= self.sheltered
        waits = {
            name: tuple(each for each in waiting if self.sheltered >> each & 1) for name, waiting in self.waits.items()
        }
        self.waits = {name: waiting for name, waiting in waits.items() if waiting}
        self.due = None
        self.leaving &= self.sheltered
        self.open = {scope: replace(work, is_stopped=True) for scope, work in self.open.items()}
        for position, cell in enumerate(self.cells[: len(self.plan.main)]):
            assert cell is not None
            if self.sheltered >> position & 1:
                continue
            if isinstance(cell.items, Fan):
                self.stop_fan(position, cell, cell.items, reason)
            elif cell.status is StepStatus.WAITING:
                self.busy -= self.plan.steps[self.plan.order[position]].uses not in FREE
                self.end(position, self._given_up(cell, reason))
                ended.append(position)
        return ended

    def stop_fan(self, position: int, cell: StepState, fan: Fan, reason: str | None) -> None:
        """Let no item start any more, and give up those that only wait."""
        self.ready &= ~(1 << position)
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
        self.group = StepGroup.BACK
        undo = sorted(self._to_undo(), key=lambda each: -self.cell(each).end)
        index = self.plan.index
        back = [index[self.plan.order[position] + UNDO] for position in undo]
        for position in back:
            self.join(position)
        self.queue = (*back, *(index[name] for name in self.plan.on_failure))

    def _to_undo(self) -> Iterator[int]:
        for position, name in enumerate(self.plan.main):
            cell = self.cell(position)
            if self.plan.steps[name].undo is None or cell.attempt == 0:
                continue  # no attempt: it did not begin, or was done by the run that this one was made from
            parts = isinstance(cell.items, Fan) and any(item.status in ENDED_WELL for item in cell.items)
            if cell.status in {StepStatus.SUCCEEDED, StepStatus.UNKNOWN} or parts or cell.iteration > 1:
                yield position

    def enter_always(self) -> None:
        """Begin the steps that run in every case."""
        self.group = StepGroup.ALWAYS
        self.idle = self.plan.always_bits
        self.active = 0
        for name in self.plan.always:
            position = self.plan.index[name]
            if self.left[position] == 0:
                self.ready |= 1 << position


def new_run(plan: StepPlan, run_id: str, now: float, data: Mapping[str, Any]) -> RunState:
    """Make the state of a run that was created; one without ``machine`` in its record goes step by step."""
    cells: PersistentArray[StepState | None] = plan.cells
    limit = (plan.workflow.max_workers or DEFAULT_WORKERS) if data.get("machine") else 1
    work = Work(
        group=MAIN,
        idle=plan.main_bits,
        ready=plan.ready,
        closing=0,
        active=0,
        busy=0,
        limit=limit,
        left=plan.left,
        breaks=breaks_of(data),
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
