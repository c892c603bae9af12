"""A run's folded state as JSON, so that taking a run up reads the records after it and not all of them.

A snapshot is a copy of what the journal says, and nothing rests on it: it names the fold that made it (a hash of the
code), and one of another fold, a damaged one and one of another definition are as good as none. It is taken when what
came after the last one is more than the state has in it (and more than `EVERY` records), so that all snapshots of a
run together cost as much as its records do, however long it is.

``{"state": …, "values": […]}``: what may be large stands in `values`, and the state has its number there.
"""

from __future__ import annotations

import hashlib
import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.engine.breaking import Breaks
from workflow_agent.engine.machine import fold
from workflow_agent.engine.persistent import PersistentArray, PersistentMap
from workflow_agent.engine.plan import StepPlan, plan_of
from workflow_agent.engine.scratch import PENDING, ScopeWork, StepGroup, Work
from workflow_agent.engine.tables import Fan, StepTable
from workflow_agent.model.errors import JournalConflictError
from workflow_agent.model.event import Event, EventType, RunState, StepState
from workflow_agent.model.records import dataclass, replace
from workflow_agent.model.status import TERMINAL_RUN, RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from workflow_agent.model.event import Snapshot
    from workflow_agent.model.ports import Journal
    from workflow_agent.model.workflow import Workflow

__all__ = ["EVERY", "Past", "encoded", "fold_version", "may_be_kept", "pasts_of", "restored", "state_of", "weight_of"]

logger = logging.getLogger(__name__)

#: Records between two snapshots of a run, at least.
EVERY: Final = 1000
#: What RunCreated says that the state does not: by which definition and rules the run goes.
_CREATED: Final = ("workflow", "workflow_hash", "machine", "durability", "origin", "break_before")
_PLAIN: Final = (
    "run_id",
    "head",
    "created_at",
    "started_at",
    "error",
    "failed_step",
    "cancel_reason",
    "changed",
    "paused",
)
_BITS: Final = ("idle", "ready", "closing", "leaving", "stopped", "filled", "sheltered")
_COUNTS: Final = ("active", "busy", "limit", "at")
_CELL_COUNTS: Final = ("attempt", "iteration", "end")
_CELL_PLAIN: Final = ("started_at", "finished_at", "error", "reason", "due_at")


@cache
def fold_version() -> str:
    """Tell our fold apart from any other: by the code that it is made of. Empty where there is no code to read."""
    here = Path(__file__).parent
    files = sorted([*here.glob("*.py"), *here.parent.joinpath("model").glob("*.py")])
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest() if files else ""


def may_be_kept(state: RunState) -> bool:
    """Say whether a state can stand for the records before it: the run goes on, and nothing is about to be recorded."""
    return state.status not in TERMINAL_RUN and state.started_at is not None and state.work.due is None


def weight_of(state: RunState) -> int:
    """Count what a snapshot has to say of a state: steps and items that are not as they were at first."""
    cells: Any = state.steps
    found = 0
    for cell in cells.cells:
        if cell is not None and cell is not PENDING:
            found += 1 if cell.items is None else len(cell.items)
    return found


# -- to JSON -----------------------------------------------------------------------------------------------------


def encoded(state: RunState, created: Mapping[str, Any]) -> dict[str, Any]:
    """Give a state of a run that goes on as JSON; `created` is what its RunCreated says. Safe in any thread."""
    values: list[Any] = []
    work: Work = state.work
    table: Any = state.steps
    plain = {name: found for name in _PLAIN if (found := getattr(state, name)) is not None}
    data = plain | {
        "created": {name: created[name] for name in _CREATED if name in created},
        "status": state.status.value,
        "workflow": state.workflow,
        "inputs": _value(values, state.inputs),
        "meta": _value(values, state.meta),
        "outcome": state.outcome and state.outcome.value,
        "state": [[key, _value(values, state.state[key])] for key in state.state],
        "absent": [position for position, cell in enumerate(table.cells) if cell is None],
        "cells": _cells(values, table.cells),
        "work": _work(values, work),
    }
    return {"state": data, "values": values}


def _value(values: list[Any], value: Any) -> int:  # Any: a JSON value
    values.append(value)
    return len(values) - 1


def _cells(values: list[Any], cells: Iterable[StepState | None]) -> list[Any]:
    """List what is not as it was at first, with its position."""
    return [
        [position, _cell(values, cell)]
        for position, cell in enumerate(cells)
        if cell is not None and cell is not PENDING
    ]


def _cell(values: list[Any], cell: StepState) -> dict[str, Any]:
    data: dict[str, Any] = {"status": cell.status.value}
    data |= {name: found for name in _CELL_COUNTS if (found := getattr(cell, name))}
    data |= {name: found for name in _CELL_PLAIN if (found := getattr(cell, name)) is not None}
    if cell.inputs is not None:
        data["inputs"] = _value(values, cell.inputs)
    if cell.output is not None:
        data["output"] = _value(values, cell.output)
    fan = cell.items
    if isinstance(fan, Fan):
        data["items"] = {
            "values": _value(values, [*fan.values]),
            "cells": _cells(values, fan.cells),
            **{name: getattr(fan, name) for name in ("started", "busy", "failed", "released")},
        }
    return data


def _work(values: list[Any], work: Work) -> dict[str, Any]:
    breaks = work.breaks
    return {
        "group": work.group.value,
        # In base 16, because Python refuses to write large numbers in base 10.
        **{name: format(getattr(work, name), "x") for name in _BITS},
        **{name: getattr(work, name) for name in _COUNTS},
        "left": [*work.left],
        "well": dict(work.well),
        "queue": [*work.queue],
        "signals": [[number, name, _value(values, data)] for number, name, data in work.signals],
        "waits": [[name, [*waiting]] for name, waiting in work.waits.items()],
        "open": [
            [scope, each.part, [*each.left], each.error, each.is_caught, each.is_stopped]
            for scope, each in work.open.items()
        ],
        "breaks": None
        if breaks is None
        else [sorted(breaks.before), breaks.at, sorted(breaks.passed), breaks.every, breaks.free,
              {step: dict(given) for step, given in breaks.inputs.items()}],
    }  # fmt: skip


# -- from JSON ---------------------------------------------------------------------------------------------------


def restored(workflow: Workflow, data: Mapping[str, Any]) -> RunState:
    """Give the state that was encoded; raises LookupError, TypeError, ValueError for what is none of this workflow."""
    plan = plan_of(workflow)
    state, values = data["state"], data["values"]
    kept: PersistentMap[Any] = PersistentMap()
    for key, number in state["state"]:
        kept = kept.put(key, values[number])
    outcome = state["outcome"]
    return RunState(
        status=RunStatus(state["status"]),
        workflow=state["workflow"],
        inputs=values[state["inputs"]],
        meta=values[state["meta"]],
        outcome=None if outcome is None else RunStatus(outcome),
        state=kept,
        steps=StepTable(plan, _restored_cells(plan, state, values)),
        work=_restored_work(state["work"], values, len(plan.order)),
        **{name: state[name] for name in _PLAIN if name in state},
    )


def _restored_cells(
    plan: StepPlan, state: Mapping[str, Any], values: Sequence[Any]
) -> PersistentArray[StepState | None]:
    found: list[StepState | None] = [PENDING] * len(plan.order)
    for position in state["absent"]:
        found[position] = None
    for position, cell in state["cells"]:
        found[position] = _restored_cell(cell, values)
    return PersistentArray(found)


def _restored_cell(data: Mapping[str, Any], values: Sequence[Any]) -> StepState:
    given = dict(data)
    for name in ("output", "inputs"):
        if name in given:
            given[name] = values[given[name]]
    fan = given.pop("items", None)
    cell = StepState(**(given | {"status": StepStatus(given["status"])}))
    return cell if fan is None else replace(cell, items=_restored_fan(fan, values))


def _restored_fan(data: Mapping[str, Any], values: Sequence[Any]) -> Fan:
    items = values[data["values"]]
    cells = [PENDING] * len(items)
    for index, cell in data["cells"]:
        cells[index] = _restored_cell(cell, values)
    fan = Fan(items, PersistentArray(cells), data["started"])
    fan.busy, fan.failed, fan.released = data["busy"], data["failed"], data["released"]
    return fan


def _restored_work(data: Mapping[str, Any], values: Sequence[Any], steps: int) -> Work:
    well: PersistentMap[int] = PersistentMap()
    for name, count in data["well"].items():
        well = well.put(name, count)
    if len(data["left"]) != steps:
        raise ValueError("the snapshot is of a workflow with other steps")
    breaks = data["breaks"]
    numbers: dict[str, Any] = {name: int(data[name], 16) for name in _BITS} | {name: data[name] for name in _COUNTS}
    return Work(
        group=StepGroup(data["group"]),
        **numbers,
        left=PersistentArray(data["left"]),
        well=well,
        queue=tuple(data["queue"]),
        signals=tuple((number, name, values[told]) for number, name, told in data["signals"]),
        waits={name: tuple(waiting) for name, waiting in data["waits"]},
        open={
            scope: ScopeWork(
                part=part, left=(left[0], left[1], left[2]), error=error, is_caught=caught, is_stopped=stopped
            )
            for scope, part, left, error, caught, stopped in data["open"]
        },
        breaks=None
        if breaks is None
        else Breaks(frozenset(breaks[0]), breaks[1], frozenset(breaks[2]), breaks[3], breaks[4], breaks[5]),
    )


def _is_ours(snapshot: Snapshot) -> bool:
    """Say whether this fold made a snapshot, and of the shape that `Past.created` reads."""
    if snapshot.fold != fold_version():
        return False
    try:
        return bool(Past("", snapshot, ()).first.data)
    except (AttributeError, LookupError, TypeError):
        return False


# -- what a journal says of a run --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Past:
    """What a journal says of a run: a snapshot, where there is one that can be used, and the records after it."""

    run_id: str
    snapshot: Snapshot | None
    events: Sequence[Event]

    @property
    def created(self) -> Mapping[str, Any]:
        """What RunCreated says; after a snapshot without the steps that it kept of another run."""
        if self.snapshot is None:
            return self.events[0].data
        state, values = self.snapshot.data["state"], self.snapshot.data["values"]
        created: dict[str, Any] = state["created"]
        return created | {"inputs": values[state["inputs"]], "meta": values[state["meta"]]}

    @property
    def first(self) -> Event:
        """RunCreated, with what :attr:`created` says."""
        if self.snapshot is None:
            return self.events[0]
        at = self.snapshot.data["state"]["created_at"]
        return Event(run_id=self.run_id, seq=1, type=EventType.RUN_CREATED, at=at, data=self.created)


async def state_of(journal: Journal, workflow: Workflow, past: Past) -> RunState:
    """Fold what a journal says of a run. A snapshot that cannot be read is said in the log, and all records are read.

    Raises:
        JournalConflictError: the records do not follow.
        StoreError: the journal cannot be read.
    """
    if past.snapshot is None:
        return fold(workflow, past.events)
    try:
        return fold(workflow, past.events, restored(workflow, past.snapshot.data))
    except (AttributeError, LookupError, TypeError, ValueError, JournalConflictError) as error:
        logger.warning(
            "the snapshot of run %s at record %d cannot be used (%r): all of its records are folded instead",
            past.run_id, past.snapshot.seq, error,
        )  # fmt: skip
        return fold(workflow, await journal.events(past.run_id))


async def pasts_of(journal: Journal, run_ids: Sequence[str]) -> dict[str, Past]:
    """Read what the journal says of runs, all at once; those that it does not know are left out.

    Raises:
        StoreError: the journal cannot be read.
    """
    found = await journal.snapshots(run_ids)
    kept = {run_id: each for run_id, each in found.items() if _is_ours(each)}
    pasts = {run_id: Past(run_id, each, await journal.events(run_id, after=each.seq)) for run_id, each in kept.items()}
    rest = [run_id for run_id in run_ids if run_id not in kept]
    if len(rest) == 1:
        events = await journal.events(rest[0])
        return pasts | ({rest[0]: Past(rest[0], None, events)} if events else {})
    many = await journal.events_of(rest) if rest else {}
    return pasts | {run_id: Past(run_id, None, events) for run_id, events in many.items()}
