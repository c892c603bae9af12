"""Scopes: steps that hold together. A body; what takes up its failure; what comes last in every case.

A scope begins, lets its body start, and ends when all of its steps have ended. When a step of the body fails, the rest
of the body is left out, and what is in flight goes on to its end; when the scope is told to stop, or its time is over,
that is stopped too. Then ``catch`` runs where something failed, then ``finally`` in every case, also when the run is
cancelled. The scope has failed where the error was not caught, or what is to cope with it failed itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.engine.commands import CancelStep, Command
from workflow_agent.engine.fans import cancels_of_items
from workflow_agent.engine.plan import END, FREE, PARTS
from workflow_agent.engine.scratch import ENDED_WELL, ScopeWork
from workflow_agent.engine.tables import Fan
from workflow_agent.engine.units import round_of
from workflow_agent.model.records import replace
from workflow_agent.model.status import TERMINAL_STEP, StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.engine.scratch import Scratch
    from workflow_agent.model.event import StepState

__all__ = ["begin_scope", "fail_in_scope", "has_ended", "leave_within", "positions", "scope_output", "stop", "stop_all"]

_BODY, _CATCH, _FINALLY = range(len(PARTS))


def positions(bits: int) -> Iterator[int]:
    """List the positions of a set of bits, the lowest first."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


# -- the life of a scope -------------------------------------------------------------------------------------------


def begin_scope(s: Scratch, position: int) -> None:
    """Let a scope begin: the steps of its body may start."""
    body, catch, last = (_to_end(s, bits) for bits in s.plan.members[position])
    s.open = {**s.open, position: ScopeWork(part=_BODY, left=(body, catch, last))}
    s.sheltered |= s.plan.sheltered[position]
    _let(s, s.plan.members[position][_BODY])
    _advance(s, position)


def _to_end(s: Scratch, bits: int) -> int:
    """Count the steps that have no end yet: what cancels a step can have come before its scope began."""
    return sum(s.cell(position).status not in TERMINAL_STEP for position in positions(bits))


def has_ended(s: Scratch, position: int) -> None:
    """Count the end of a step in its scope; the next part begins when it was the last one of its part."""
    home = s.plan.home.get(position)
    if home is None or (work := s.open.get(home)) is None:
        return
    part = PARTS.index(s.plan.step_at(position).part)
    body, catch, last = (count - (each == part) for each, count in enumerate(work.left))
    s.open = {**s.open, home: replace(work, left=(body, catch, last))}
    _advance(s, home)


def _advance(s: Scratch, scope: int) -> None:
    work = s.open[scope]
    while work.part <= _FINALLY and work.left[work.part] == 0:
        work = replace(work, part=work.part + 1)
        if work.part == _CATCH and work.left[_CATCH]:
            work = replace(work, is_caught=work.error is not None and not work.is_stopped)
            if work.is_caught:
                _let(s, s.plan.members[scope][_CATCH])
            else:
                s.leaving |= s.plan.members[scope][_CATCH] & s.idle
        elif work.part == _FINALLY:
            _let(s, s.plan.members[scope][_FINALLY])
        s.open = {**s.open, scope: work}
    if work.part > _FINALLY:
        s.closing |= 1 << scope


def _let(s: Scratch, bits: int) -> None:
    for position in positions(bits):
        s.release(position)


def scope_output(s: Scratch, scope: int) -> Any:  # Any: a JSON value
    """Give the output of a scope: of the last step of its body, or of what took its failure up, that ended well."""
    work = s.open[scope]
    part = _CATCH if work.is_caught else _BODY
    for position in sorted(positions(s.plan.members[scope][part]), reverse=True):
        cell = s.cell(position)
        if cell.status in ENDED_WELL:
            return cell.output
    return None


# -- trouble -------------------------------------------------------------------------------------------------------


def fail_in_scope(s: Scratch, position: int, error: Mapping[str, Any]) -> bool:
    """Let the failure of a step be the matter of its scope; False where it is in none."""
    home = s.plan.home.get(position)
    if home is None:
        return False
    work = s.open[home]
    part = s.plan.step_at(position).part
    if part == "body":
        if work.error is None and not work.is_stopped:
            s.open = {**s.open, home: replace(work, error=error)}
            _halt(s, s.plan.members[home][_BODY])
        return True
    # What was to cope with it did not: that is what the scope failed of.
    s.open = {**s.open, home: replace(work, error=error, is_caught=False)}
    if part == "catch":
        _halt(s, s.plan.members[home][_CATCH])
    return True


def _halt(s: Scratch, bits: int) -> None:
    """Let nothing new start of some steps; what is in flight goes on to its end."""
    for position in positions(bits):
        cell = s.cell(position)
        if s.idle >> position & 1:
            s.leaving |= 1 << position
        elif position in s.open:
            _stop_scope(s, position)
            _halt(s, s.plan.members[position][_BODY] | s.plan.members[position][_CATCH])
        elif cell.status not in TERMINAL_STEP:
            _give_up(s, position, cell)


def _stop_scope(s: Scratch, position: int) -> None:
    s.open = {**s.open, position: replace(s.open[position], is_stopped=True)}


def _give_up(s: Scratch, position: int, cell: StepState) -> None:
    """Give up what a step that started is still to do: what waits, the next items, the next round, another attempt."""
    s.stopped |= 1 << position
    if isinstance(cell.items, Fan):
        s.stop_fan(position, cell, cell.items, why_stopped(s, position))
    elif cell.status is StepStatus.WAITING:
        s.busy -= s.plan.step_at(position).uses not in FREE
        s.leaving |= 1 << position


def stop_all(s: Scratch, bits: int) -> tuple[Command, ...]:
    """Stop steps and scopes: what did not start is left out, what is in flight is cancelled.

    The last part of a scope that began still runs.
    """
    return tuple(command for position in positions(bits) for command in stop(s, position))


def stop(s: Scratch, position: int, error: Mapping[str, Any] | None = None) -> Iterator[Command]:
    """Stop one step or scope; with an error, because it failed of that."""
    cell = s.cell(position)
    bit = 1 << position
    if s.idle & bit:
        s.leaving |= bit
    elif position in s.open:
        s.stopped |= 0 if error else bit
        s.open = {**s.open, position: replace(s.open[position], error=error, is_stopped=error is None)}
        body, catch, _ = s.plan.members[position]
        yield from stop_all(s, body | catch if error is None else body)
    elif cell.status not in TERMINAL_STEP:
        _give_up(s, position, cell)
        yield from _cancels(s, position)


def _cancels(s: Scratch, position: int) -> Iterator[Command]:
    cell = s.cell(position)
    name = s.plan.order[position]
    if isinstance(cell.items, Fan):
        yield from cancels_of_items(s, position)
    elif cell.status is StepStatus.RUNNING and not s.closing >> position & 1:
        yield CancelStep(round_of(name, cell.iteration) if cell.iteration else name, cell.attempt)


def leave_within(s: Scratch, position: int) -> None:
    """Let all that is in a scope be left out, because the scope is."""
    s.leaving |= s.plan.within.get(position, 0) & s.idle


def why_stopped(s: Scratch, position: int) -> str:
    """Say why a step is left out or given up although nothing is wrong with the run."""
    step = s.plan.step_at(position)
    for other in s.plan.enders:
        by = s.plan.steps[other]
        if (step.id in by.cancels or by.uses == END) and s.cell(s.plan.index[other]).status in ENDED_WELL:
            return f"`{other}` has ended" if step.id in by.cancels else f"`{other}` ended the run"
    home = s.plan.home.get(position)
    return "nothing waits for it any more" if home is None else _why_of_scope(s, home, step.part)


def _why_of_scope(s: Scratch, home: int, part: str) -> str:
    scope, work = s.plan.order[home], s.open.get(home)
    if work is None:
        return f"`{scope}` did not begin"
    if part == "catch" and work.error is None and not work.is_stopped:
        return f"nothing failed in `{scope}`"
    return why_stopped(s, home) if work.is_stopped else f"a step of `{scope}` failed"
