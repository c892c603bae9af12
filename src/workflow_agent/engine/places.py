"""Waiting for places: locks, limits of rates, and how many runs with one key there may be.

Who has which place is known to a port, which several processes may share; here is the waiting. Whoever waits in this
process is woken by whoever leaves here; those of other processes look again after a pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.engine.names import names_of
from workflow_agent.engine.scratch import Scratch
from workflow_agent.engine.units import parse_unit
from workflow_agent.model.errors import ConflictError, NotFoundError, ValidationError
from workflow_agent.model.expression import interpolate
from workflow_agent.model.places import LONGEST_LINE, Place, Standing, Wanted, oldest_to_leave, standing_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from workflow_agent.engine.live import LiveRun
    from workflow_agent.model.ports import Places
    from workflow_agent.model.workflow import Workflow

__all__ = ["LOOK_S", "LocalPlaces", "Waiting", "described", "run_place", "unit_places"]

#: Seconds after which somebody looks again whether another process has left.
LOOK_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 60.0


class LocalPlaces:
    """Places of this process alone."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lines: dict[str, dict[str, Place]] = {}
        self._wanted: dict[str, Wanted] = {}
        self._starts: dict[str, deque[float]] = {}
        self._asked: set[str] = set()
        self._count = 0

    def enter(self, wanted: Wanted) -> Standing:
        """Take a place, or stand in line for it."""
        if wanted.per_s is not None:
            return self._start(wanted, wanted.per_s)
        line = self._lines.setdefault(wanted.key, {})
        if wanted.ticket not in line:
            if len(line) >= LONGEST_LINE:
                raise too_many(wanted)
            self._count += 1
            line[wanted.ticket] = _row(wanted, self._count, has_it=False)
            self._wanted[wanted.ticket] = wanted
            self._ask(wanted, line)
        standing = standing_of(wanted, [*line.values()])
        if standing.has_it:
            line[wanted.ticket] = _row(wanted, line[wanted.ticket].number, has_it=True)
        return standing

    def _ask(self, wanted: Wanted, line: Mapping[str, Place]) -> None:
        rows = [*line.values()]
        if wanted.evicts and not standing_of(wanted, rows).has_it:
            oldest = oldest_to_leave(rows, frozenset(self._asked))
            self._asked |= {oldest.ticket} if oldest is not None else set()

    def _start(self, wanted: Wanted, per_s: float) -> Standing:
        starts = self._starts.setdefault(wanted.key, deque())
        now = self._now()
        while starts and starts[0] <= now - per_s:
            starts.popleft()
        if len(starts) < wanted.limit:
            starts.append(now)
            self._wanted.pop(wanted.ticket, None)
            return Standing(wanted=wanted, has_it=True)
        self._wanted[wanted.ticket] = wanted
        return Standing(wanted=wanted, has_it=False, pause_s=starts[0] + per_s - now)

    def leave(self, wanted: Wanted) -> None:
        """Give a place back, or leave the line."""
        self._wanted.pop(wanted.ticket, None)
        self._asked.discard(wanted.ticket)
        line = self._lines.get(wanted.key, {})
        line.pop(wanted.ticket, None)
        if not line:
            self._lines.pop(wanted.key, None)

    def asked_to_leave(self) -> list[str]:
        """List the runs that are asked to give their place to another one."""
        return sorted(self._wanted[ticket].run_id for ticket in self._asked)

    def waiting(self, run_id: str) -> list[Standing]:
        """List what a run waits for."""
        mine = [wanted for wanted in self._wanted.values() if wanted.run_id == run_id]
        standings = [standing_of(wanted, [*self._lines.get(wanted.key, {}).values()]) for wanted in mine]
        has = {ticket for line in self._lines.values() for ticket, row in line.items() if row.has_it}
        return [each for each in standings if each.wanted.ticket not in has]

    def close(self) -> None:
        """Nothing is open."""


def _row(wanted: Wanted, number: int, *, has_it: bool) -> Place:
    return Place(
        number=number,
        ticket=wanted.ticket,
        run_id=wanted.run_id,
        unit=wanted.unit,
        priority=wanted.priority,
        has_it=has_it,
    )


def too_many(wanted: Wanted) -> ConflictError:
    """Say that a line is full."""
    return ConflictError(f"{LONGEST_LINE} wait for `{wanted.key[:64]}` already", run_id=wanted.run_id)


def described(standing: Standing) -> str:
    """Say what somebody waits for, and who has it."""
    wanted = standing.wanted
    key = wanted.key.partition(" ")[2]
    if wanted.kind == "rate":
        return f"the rate `{key}`: {wanted.limit} starts in {wanted.per_s or 0:g} s"
    who = ", ".join(f"`{each.unit}` of {each.run_id}" if each.unit else each.run_id for each in standing.holders[:3])
    more = f" and {len(standing.holders) - 3} more" if len(standing.holders) > 3 else ""  # noqa: PLR2004  # as above
    what = f"the lock `{key}`" if wanted.kind == "lock" else f"one of {wanted.limit} places of `{key}`"
    ahead = f", {standing.ahead} stand before it" if standing.ahead else ""
    return f"{what}, held by {who or 'nobody'}{more}{ahead}"


def run_place(workflow: Workflow, inputs: Mapping[str, Any], run_id: str) -> Wanted | None:
    """Give the place that a run as a whole needs, or None where it needs none; raises ValidationError."""
    said = workflow.concurrency
    if said is None:
        return None
    names = {"inputs": inputs, "run": {"id": run_id, "workflow": workflow.name}}
    return Wanted(
        ticket=run_id,
        key="runs " + key_text(interpolate(said["key"], names), f"{workflow.name} › concurrency"),
        limit=said["limit"],
        run_id=run_id,
        kind="concurrency",
        priority=workflow.priority,
        evicts=said["on_conflict"] == "cancel-oldest",
    )


def unit_places(run: LiveRun, unit: str) -> list[Wanted]:
    """List the places that a unit, or a scope, needs: its lock, and a start at its rate.

    Raises:
        ExpressionError: the key has no value.
        ValidationError: it is no text.
    """
    name, index, number = parse_unit(unit)
    step = run.plan.steps[name]
    if step.lock is None and step.rate is None:
        return []
    assert run.draft is not None
    s = Scratch(run.plan, run.draft, run.draft.head, 0.0)
    more: dict[str, Any] = {} if number is None else {"iteration": number}
    fan: Any = s.cell(run.plan.index[name]).items
    if index is not None:
        more = {"item": fan.values[index], "index": index, "total": len(fan)}
    names = names_of(s, run.plan.index[name], **more)
    where = f"{run.workflow.name} › {name}"  # the separator of all our places
    base: dict[str, Any] = {"run_id": run.run_id, "unit": unit, "priority": run.workflow.priority}
    wanted = []
    if step.lock is not None:
        key = key_text(interpolate(step.lock, names), f"{where} › lock")
        wanted.append(Wanted(ticket=f"{run.run_id}/{unit}", key=f"lock {key}", limit=1, **base))
    if step.rate is not None:
        key = key_text(interpolate(step.rate["key"], names), f"{where} › rate")
        limit, per_s = step.rate["limit"], step.rate["per_s"]
        ticket = f"{run.run_id}/{unit}/rate"
        wanted.append(Wanted(ticket=ticket, key=f"rate {key}", limit=limit, per_s=per_s, kind="rate", **base))
    return wanted


def key_text(value: Any, where: str) -> str:  # Any: a JSON value
    """Give a key as text.

    Raises:
        ValidationError: it is none: an expression in it gave nothing.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise ValidationError("the key of a lock or a limit is a text", where=where, cause=repr(value)[:80])
    return str(value)


class Waiting:
    """Lets units and runs wait for their places.

    Args:
        places: Who has what.
        cancel: Cancels a run that is asked to leave.
    """

    def __init__(self, places: Places, cancel: Callable[[str, str], Awaitable[bool]]) -> None:
        self._places = places
        self._cancel = cancel
        self._wakes: set[asyncio.Future[None]] = set()
        self._evictable: set[str] = set()
        self._watcher: asyncio.Task[None] | None = None

    def waiting(self, run_id: str) -> list[Standing]:
        """List what a run waits for."""
        return self._places.waiting(run_id)

    def try_take(self, wanted: Wanted) -> None:
        """Take a place at once; raises ConflictError that names the holders where there is none."""
        standing = self._places.enter(wanted)
        if not standing.has_it:
            self._places.leave(wanted)
            holder = next((each.run_id for each in standing.holders), None)
            hint = f"`workflow-agent show {holder}`" if holder else None
            raise ConflictError(f"the run would wait for {described(standing)}", hint=hint)

    async def take(self, wanted: Wanted) -> None:
        """Wait until the place is there; whoever gives up waiting leaves the line.

        Raises:
            ConflictError: too many wait for it already.
        """
        try:
            while not (standing := self._places.enter(wanted)).has_it:
                await self._pause(LOOK_S if standing.pause_s is None else min(standing.pause_s, _LONGEST_PAUSE_S))
        except BaseException:
            self._places.leave(wanted)
            raise
        if wanted.evicts:
            self._evictable.add(wanted.ticket)
            self._watch()

    def leave(self, wanted: Wanted) -> None:
        """Give a place back, and let others look."""
        self._places.leave(wanted)
        self._evictable.discard(wanted.ticket)
        for wake in self._wakes:
            if not wake.done():
                wake.set_result(None)

    @asynccontextmanager
    async def held(self, *wanted: Wanted) -> AsyncIterator[None]:
        """Have places inside the block; they are taken one after the other, in the order of their keys."""
        taken: list[Wanted] = []
        try:
            for each in sorted(wanted, key=lambda one: (one.per_s is not None, one.key)):
                await self.take(each)
                taken.append(each)
            yield
        finally:
            for each in taken:
                self.leave(each)

    async def _pause(self, seconds: float) -> None:
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wakes.add(wake)
        try:
            await asyncio.wait({wake}, timeout=max(seconds, 0.001))
        finally:
            self._wakes.discard(wake)

    def _watch(self) -> None:
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._let_leave())

    async def _let_leave(self) -> None:
        """Cancel runs of this process whose place somebody wants who may have it."""
        while self._evictable:
            for run_id in self._places.asked_to_leave():
                if run_id in self._evictable:
                    self._evictable.discard(run_id)
                    with contextlib.suppress(NotFoundError):
                        await self._cancel(run_id, "a newer run takes its place")
            await self._pause(LOOK_S)
