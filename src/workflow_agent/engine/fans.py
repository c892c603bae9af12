"""Fan-outs whose items depend on what ends elsewhere: lists that grow, and fan-outs of which a part is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.engine.commands import CancelStep, Command
from workflow_agent.engine.names import condition, evaluated
from workflow_agent.engine.scratch import ENDED_WELL
from workflow_agent.engine.tables import Fan
from workflow_agent.engine.units import item_of
from workflow_agent.model.errors import ExpressionError
from workflow_agent.model.records import replace
from workflow_agent.model.status import TERMINAL_STEP, StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.engine.scratch import Scratch
    from workflow_agent.model.workflow import Step

__all__ = ["cancels_of_items", "look_at_fans"]


def look_at_fans(s: Scratch) -> Iterator[Command]:
    """After something happened: let lists grow, and let fan-outs be over of which enough is done."""
    for position in s.plan.live:
        cell = s.cells[position]
        if cell is None or not isinstance(cell.items, Fan) or cell.status in TERMINAL_STEP:
            continue
        if (s.stopped | s.filled) >> position & 1 or not s.may_start(position):
            continue
        step = s.plan.step_at(position)
        try:
            if step.grows and step.each is not None:
                _grow(s, position, step, cell.items)
            if step.enough is not None:
                yield from _fill(s, position, step, step.enough)
        except ExpressionError as error:
            s.put(position, replace(s.cell(position), error=error.to_dict()))
            yield from _stop(s, position)


def _grow(s: Scratch, position: int, step: Step, fan: Fan) -> None:
    values: Any = evaluated(s, position, "each", step.each or "")
    if not isinstance(values, list | tuple) or len(values) <= len(fan):
        return
    made = fan.copy(values=[*fan.values, *values[len(fan) :]])
    s.put(position, replace(s.cell(position), items=made))
    is_full = step.max_workers is not None and made.busy >= step.max_workers
    if not (made.failed and step.on_error == "fail"):
        s.closing &= ~(1 << position)
        s.ready |= 0 if is_full else 1 << position


def _fill(s: Scratch, position: int, step: Step, enough: str) -> Iterator[Command]:
    fan: Any = s.cell(position).items
    done = sum(item.status in ENDED_WELL for item in fan)
    if not condition(s, position, "enough", enough, done=done, failed=fan.failed, total=len(fan)):
        return
    if step.rest == "stop":
        yield from _stop(s, position)
        return
    s.filled |= 1 << position
    s.ready &= ~(1 << position)
    cell = s.cell(position)
    s.put(position, replace(cell, items=fan.copy(released=True), output=fan.outputs()))
    s.release_followers(position, s.cell(position))
    if fan.busy == 0:
        s.closing |= 1 << position


def _stop(s: Scratch, position: int) -> Iterator[Command]:
    s.filled |= 1 << position
    cell = s.cell(position)
    fan: Any = cell.items
    s.stop_fan(position, cell, fan, None)
    yield from cancels_of_items(s, position)


def cancels_of_items(s: Scratch, position: int) -> Iterator[Command]:
    """Give the commands that stop the items of a fan-out that are in flight."""
    fan: Any = s.cell(position).items
    for index in range(fan.started):
        if fan[index].status is StepStatus.RUNNING:
            yield CancelStep(item_of(s.plan.order[position], index), fan[index].attempt)
