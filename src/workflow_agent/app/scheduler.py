"""Runs by schedules, in the foreground: which are due, which are going, which wait for the one before.

Nothing is fired twice or lost when the process is killed. A run's id follows from the schedule and the time at which
it is due; that it is to run is written down before it is begun, and it is crossed out when it has ended. What stands
there when the process starts is begun, or taken up where it stands.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.authoring.sdk.compiling import compile_workflow
from workflow_agent.engine.schedules import due, next_times, schedules_of
from workflow_agent.model.errors import ConflictError, NotFoundError, StoreError, ValidationError, WorkflowAgentError
from workflow_agent.store.filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from workflow_agent.app.flow_run import FlowRun
    from workflow_agent.app.flows import Flows
    from workflow_agent.engine.schedules import Schedule
    from workflow_agent.model.event import RunState

__all__ = ["MOST_WAITING", "Ledger", "Planned", "Scheduler", "read_ledger"]

#: Times of one schedule that may wait for the run before; more are left out.
MOST_WAITING: Final = 100
_LEDGER: Final = "schedules.json"
_LOCK: Final = "schedules.lock"
_LONGEST_SLEEP_S: Final = 30.0


@dataclass(slots=True, kw_only=True)
class Planned:
    """Where one schedule stands: dealt with up to a time; times that run, and times that wait."""

    considered: float
    running: list[float] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)


class Ledger:
    """The file that says where the schedules stand. Replaced as a whole, synced before it counts.

    Args:
        folder: Where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.entries = read_ledger(folder)

    def keep(self) -> None:
        """Write it; raises StoreError."""
        path = self._folder / _LEDGER
        text = json.dumps({name: asdict(entry) for name, entry in self.entries.items()}, indent=1)
        try:
            part = path.with_suffix(".part")
            with part.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreError("it cannot be kept which runs are due", where=str(path), cause=error.strerror) from error


def read_ledger(folder: Path) -> dict[str, Planned]:
    """Read where the schedules stand; nothing is known where there is no file.

    Raises:
        StoreError: the file cannot be read, or is none of ours.
    """
    path = folder / _LEDGER
    try:
        return {name: Planned(**entry) for name, entry in json.loads(path.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        hint = "move the file away: schedules then begin anew, from now on"
        raise StoreError(
            "where the schedules stand cannot be read", where=str(path), cause=str(error), hint=hint
        ) from error


class Scheduler:
    """Fires what is due.

    Args:
        flows: Drives the runs.
        workflows: Workflows with schedules, each with its file where it has one.
        folder: Where it is kept how schedules stand.
        say: Tells a person what happens.
        now: The wall clock, which may be set.
    """

    def __init__(
        self,
        flows: Flows,
        workflows: Sequence[tuple[Any, str | None]],
        folder: Path,
        say: Callable[[str], None],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._flows = flows
        self._now = now
        self._say = say
        #: Runs that this process began or took up.
        self.begun = 0
        self._lock = FileLock(folder / _LOCK)
        self._ledger = Ledger(folder)
        #: Schedules by id, each with its workflow and the file of that.
        self.known: dict[str, tuple[Schedule, Any, str | None]] = {}
        self._runs: dict[str, dict[float, tuple[str, asyncio.Task[None]]]] = {}
        for workflow, source in workflows:
            for schedule in schedules_of(compile_workflow(workflow)):
                self.known[schedule.id] = (schedule, workflow, source)

    async def run(self, *, once: bool = False) -> None:
        """Fire what is due as time goes on; with `once`, what is due now, and return when that has ended.

        Raises:
            ConflictError: another process does that.
            StoreError: it cannot be kept.
        """
        if not self._lock.try_acquire():
            raise ConflictError(f"schedules are run already: {self._lock.holder()}")
        try:
            self._take_up()
            while True:
                self._look()
                if once:
                    await self._settle()
                    return
                await asyncio.sleep(self._until_next())
        finally:
            await self._stop()
            self._lock.close()

    # -- what is due -------------------------------------------------------------------------------------------------

    def _take_up(self) -> None:
        now = self._now()
        for name in self.known:
            entry = self._ledger.entries.setdefault(name, Planned(considered=now))
            for at in entry.running:
                self._begin(name, at)
        self._ledger.keep()

    def _look(self) -> None:
        now = self._now()
        for name, (schedule, _, _) in self.known.items():
            entry = self._ledger.entries[name]
            found = due(schedule, entry.considered, now)
            if found.missed:
                self._say(f"{name}: what was due before is not caught up ({schedule.catch_up})")
            fired = [at for at in found.times if self._takes(schedule, entry, at)]
            entry.considered = found.considered
            if fired or found.times:
                self._ledger.keep()
            for at in fired:
                self._begin(name, at)

    def _takes(self, schedule: Schedule, entry: Planned, at: float) -> bool:
        """Decide what becomes of a time: it is fired now, waits, or is left out."""
        if not entry.running or schedule.overlap == "allow":
            entry.running.append(at)
            return True
        if schedule.overlap == "skip" or len(entry.waiting) >= MOST_WAITING:
            self._say(f"{schedule.id}: left out, the run before has not ended")
            return False
        if schedule.overlap == "cancel":
            entry.waiting.clear()  # the newest takes the place of all others
            for run_id, _ in self._runs.get(schedule.id, {}).values():
                self._spawn_cancel(run_id)
        entry.waiting.append(at)
        return False

    def _until_next(self) -> float:
        now = self._now()
        times = [at for schedule, _, _ in self.known.values() for at in next_times(schedule, now, 1)]
        # A clock that is set is noticed at the next look.
        return min([_LONGEST_SLEEP_S, *(max(at - now, 0.001) for at in times)])

    # -- runs --------------------------------------------------------------------------------------------------------

    def _begin(self, name: str, at: float) -> None:
        schedule, workflow, source = self.known[name]
        meta: Mapping[str, Any] = {"schedule": {"id": name, "due": at}, **({"source": source} if source else {})}
        try:
            run = self._flows.prepare(workflow, schedule.given(at), idempotency_key=schedule.key(at), **meta)
        except ValidationError as error:
            self._say(f"{name}: {error.message}")
            self._cross_out(name, at)
            return
        task = asyncio.get_running_loop().create_task(self._drive(name, at, run))
        self._runs.setdefault(name, {})[at] = (run.run_id, task)

    async def _drive(self, name: str, at: float, run: FlowRun) -> None:
        self.begun += 1
        self._say(f"{name}: {run.run_id} begins")
        try:
            state: RunState = await self._flows.run(run)
        except WorkflowAgentError as error:
            self._say(f"{name}: {run.run_id}: {error.message}")
        else:
            self._say(f"{name}: {run.run_id} has ended: {state.status.value}")
        self._cross_out(name, at)

    def _cross_out(self, name: str, at: float) -> None:
        """Write down that a run has ended, and begin the next one that waits."""
        self._runs.get(name, {}).pop(at, None)
        entry = self._ledger.entries[name]
        entry.running.remove(at)
        following = entry.waiting.pop(0) if entry.waiting and not entry.running else None
        if following is not None:
            entry.running.append(following)
        self._ledger.keep()
        if following is not None:
            self._begin(name, following)

    def _spawn_cancel(self, run_id: str) -> None:
        async def cancel() -> None:
            try:
                await self._flows.cancel(run_id, "the next run of its schedule is due")
            except (ConflictError, NotFoundError):
                return  # it has ended meanwhile

        task = asyncio.get_running_loop().create_task(cancel())
        self._runs.setdefault("", {})[id(task)] = (run_id, task)
        task.add_done_callback(lambda _: self._runs[""].pop(id(task), None))

    async def _settle(self) -> None:
        while tasks := [task for runs in self._runs.values() for _, task in runs.values()]:
            await asyncio.wait(tasks)

    async def _stop(self) -> None:
        tasks = [task for runs in self._runs.values() for _, task in runs.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
