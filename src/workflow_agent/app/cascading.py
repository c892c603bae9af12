"""Which later runs stand on a run, so that they have to be taken back before it.

Asked of the target (paths, packages) and of history (what requires what, what uninstalled it). Nothing is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.agents.parts import parts_of, source_of, subject_of
from workflow_agent.model.choice import NOTHING_CHOSEN
from workflow_agent.model.errors import PathConflictError
from workflow_agent.model.identity import new_run_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.agents.parts import RunPart
    from workflow_agent.model.choice import ConflictChoice
    from workflow_agent.model.ports import History, Target

__all__ = ["standing_on"]


async def standing_on(
    history: History, target: Target, run_id: str, *, wait_s: float, choice: ConflictChoice = NOTHING_CHOSEN
) -> list[dict[str, Any]]:
    """List a run and those that stand on it in the order in which they can be taken back: the run itself is the last.

    The target is taken for the time of the look.

    Args:
        history: Knows the runs.
        target: On which they were.
        run_id: The run that is to be taken back.
        wait_s: How long to wait for a target that another run holds.
        choice: What was decided about conflicts, for all of them; a later run of which only paths that stay stand
            against it need not go.

    Raises:
        PathConflictError: somebody else than a run changed paths since; they are named.
        NotFoundError: the run has no transaction.
        TargetLockedError: another run holds the target.
    """
    looker = new_run_id()
    await target.acquire(looker, wait_s=wait_s)
    try:
        found: dict[str, dict[str, Any]] = {}
        await _Look(history, target, choice).visit(run_id, found, set())
    finally:
        await target.release(looker)
    return list(found.values())


class _Look:
    def __init__(self, history: History, target: Target, choice: ConflictChoice) -> None:
        self._choice = choice
        self._history = history
        self._target = target

    async def visit(self, run_id: str, found: dict[str, dict[str, Any]], seen: set[str]) -> None:
        """Add what stands on a run, then the run."""
        if run_id in seen:
            return
        seen.add(run_id)
        run = await self._history.run(run_id)
        source, direction = await source_of(self._history, run)
        if direction == "undo":  # what brings something back stands on nothing
            for part in await parts_of(self._history, source):
                for later in [*await self._by_name(source, part), *await self._by_path(part)]:
                    if later != source["run_id"]:
                        await self.visit(later, found, seen)
        found[run_id] = run

    async def _by_path(self, part: RunPart) -> list[str]:
        """Name the runs whose files or packages need those of a transaction."""
        try:
            await self._target.rollback(part.transaction, plan_only=True, choice=self._choice)
        except PathConflictError as error:
            conflicts: list[Mapping[str, Any]] = error.details["conflicts"]
            unknown = [conflict for conflict in conflicts if "run_id" not in conflict]
            if unknown:
                raise
            return [run for conflict in conflicts for run in conflict.get("runs") or [conflict["run_id"]]]
        return []

    async def _by_name(self, source: Mapping[str, Any], part: RunPart) -> list[str]:
        """Name the runs that uninstalled what a run installed, or installed what requires it."""
        if part.integration is None:
            return []
        found = []
        for generation in await self._history.generations(source["target"], part.integration, live_only=False):
            if generation.run_id == source["run_id"] and generation.ended_by:
                ended = await self._history.run(generation.ended_by)
                found += [ended["run_id"]] if ended["action"] == "uninstall" and not ended["undone_by"] else []
        for other in await self._history.generations(source["target"]):
            subject = await subject_of(self._history, other.run_id, other.integration)
            if other.run_id > source["run_id"] and part.integration in (subject.get("requires") or ()):
                found.append(other.run_id)
        return found
