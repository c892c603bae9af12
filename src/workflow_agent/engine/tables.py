"""States of a run's steps, and of a fan-out's items: frozen, and cheap to change one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from workflow_agent.engine.persistent import PersistentArray
from workflow_agent.model.event import StepState
from workflow_agent.model.frozen import FrozenList

if TYPE_CHECKING:
    from workflow_agent.engine.plan import StepPlan

__all__ = ["Fan", "StepTable"]


class StepTable(Mapping[str, StepState]):
    """States of steps by id, in the order of the plan; what did not join the run is absent."""

    __slots__ = ("_cells", "_plan")

    def __init__(self, plan: StepPlan, cells: PersistentArray[StepState | None]) -> None:
        self._plan = plan
        self._cells = cells

    @property
    def cells(self) -> PersistentArray[StepState | None]:
        """Give the states by position."""
        return self._cells

    def __getitem__(self, step: str) -> StepState:
        cell = self._cells[self._plan.index[step]]
        if cell is None:
            raise KeyError(step)
        return cell

    def __iter__(self) -> Iterator[str]:
        return (name for name, cell in zip(self._plan.order, self._cells, strict=True) if cell is not None)

    def __len__(self) -> int:
        return sum(cell is not None for cell in self._cells)

    def __repr__(self) -> str:
        return f"StepTable({dict(self)!r})"


class Fan(Sequence[StepState]):
    """A fan-out: its items' states, how many were started, are in flight and failed for good.

    `released` says that those who wait for it were let go while some of its items go on.
    """

    __slots__ = ("busy", "cells", "failed", "released", "started", "values")

    def __init__(self, values: Sequence[Any], cells: PersistentArray[StepState], started: int = 0) -> None:
        self.values = values
        self.cells = cells
        self.started = started
        self.busy = 0
        self.failed = 0
        self.released = False

    def put(self, index: int, cell: StepState, *, busy: int = 0, failed: int = 0) -> Fan:
        """Give a fan-out where one item differs, and the counts by as much as said."""
        made = Fan(self.values, self.cells.put(index, cell), max(self.started, index + 1))
        made.busy = self.busy + busy
        made.failed = self.failed + failed
        made.released = self.released
        return made

    def copy(self, *, values: Sequence[Any] | None = None, released: bool | None = None) -> Fan:
        """Give a fan-out that has more values at its end, or that is released."""
        more = self.values if values is None else values
        cells = self.cells
        if len(more) > len(cells):
            cells = PersistentArray([*cells, *[StepState()] * (len(more) - len(cells))])
        made = Fan(more, cells, self.started)
        made.busy, made.failed = self.busy, self.failed
        made.released = self.released if released is None else released
        return made

    @overload
    def __getitem__(self, index: int) -> StepState: ...
    @overload
    def __getitem__(self, index: slice) -> list[StepState]: ...
    def __getitem__(self, index: int | slice) -> StepState | list[StepState]:
        """Give the state of an item, or of some."""
        return self.cells[index]

    def __len__(self) -> int:
        return len(self.cells)

    def __iter__(self) -> Iterator[StepState]:
        return iter(self.cells)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fan):
            return NotImplemented
        own = (self.started, self.busy, self.failed, self.released)
        counts = own == (other.started, other.busy, other.failed, other.released)
        return counts and self.values == other.values and self.cells == other.cells

    __hash__ = None  # type: ignore[assignment]  # as the array that it holds

    def outputs(self) -> list[Any]:
        """List the items' outputs, null where an item has none."""
        return FrozenList([cell.output for cell in self.cells])
