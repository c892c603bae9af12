"""What taking a run back means, or having it again: which transaction, what stands against it, what holds then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from workflow_agent.agents.logical import LOGICAL, logical_way
from workflow_agent.agents.parts import parts_of, refuse_lower_tier, source_of, subject_of
from workflow_agent.agents.pruning import refuse_pruned
from workflow_agent.agents.serving import Answer, Question
from workflow_agent.model.errors import ConflictError, NotFoundError
from workflow_agent.model.exact import Within

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.integrations import Registry
    from workflow_agent.model.ports import History
    from workflow_agent.model.system import Generation

__all__ = ["LocateReply", "LocateRequest", "RunLocator"]


class LocateRequest(Question):
    """Ask what a rollback of a run means; an empty `run` is the newest that can be rolled back on the target.

    A run that installed requirements too has several transactions; `part` counts from the newest. With `force` one
    whose tier is a lower one is taken back by its before-images nevertheless.
    """

    run: str = ""
    target: str
    part: Annotated[int, Within(ge=0)] = 0
    force: bool = False


class LocateReply(Answer):
    """Which transaction goes back (`undo`) or comes again (`redo`), and how to look whether it did.

    `run` is the run that is taken back, `source` the one whose transaction it is about, `undoes` both where a
    rollback ends more than one run. `checks_after` hold when it is undone: that the integration is gone, or that what
    was installed before works again, where that had been started (`started_after`). Where the source is an uninstall
    (`leaving`), a redo `stops` its services first; what they wrote below `owned` goes with it.

    `way` is what takes it back logically where that cannot be done exactly: ``uninstall``, ``packages``, or nothing.

    Of several parts, one is `first` and asks for all of them (`also` names the others), and the last one says that runs
    are undone (`ends`) or in force again (`redoes`).
    """

    run: str
    source: str
    undoes: list[str]
    ends: list[str]
    redoes: str | None
    first: bool
    also: list[str]
    direction: str
    transaction: str
    integration: str | None
    version: str | None
    script: str | None
    target: str
    services: list[dict[str, Any]]
    effects: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    checks_after: list[dict[str, Any]]
    started_after: bool
    keep: list[str]
    leaving: bool
    stops: list[dict[str, Any]]
    owned: list[str]
    generation: dict[str, Any] | None
    tier: str
    way: str | None


class RunLocator:
    """Finds runs in history that can be taken back, and what else depends on them."""

    def __init__(self, history: History, registry: Registry) -> None:
        self._history = history
        self._registry = registry

    async def locate(self, request: LocateRequest) -> tuple[Mapping[str, Any], LocateReply]:
        """Give the run whose transaction goes back or comes again, and what that means.

        Raises:
            NotFoundError: there is nothing to roll back, or no such run.
            ConflictError: the run cannot be taken back; it says why, and what comes first.
        """
        run = await self.run_to_undo(request)
        source, direction = await source_of(self._history, run)
        undo = direction == "undo"
        if undo and source["undone_by"]:
            raise _undone_already(source)
        refuse_pruned(source, undo=undo)
        logical = source["workflow"] == LOGICAL  # it has a transaction of its own, which ended another run
        if logical and not undo:
            raise _once_only(source)
        parts = await parts_of(self._history, source)
        part = parts[request.part]
        lookup, leaving = part.subject, logical or source["action"] == "uninstall"
        if undo:
            if not request.force:
                await refuse_lower_tier(self._history, source)
            await self.refuse_uninstalled(source, part.integration)
            await self.refuse_required(source, [item.integration for item in parts])
        before = await self.before(source, part.integration)
        if logical:
            before = await self._history.run(source["undoes"])
        after: Mapping[str, Any] = {"checks": lookup.get("negative_checks", [])}
        if before is not None:
            after = await subject_of(self._history, before["run_id"], part.integration)
        if part.broken:
            after = {}  # it did not work then either
        undoes = list(dict.fromkeys([source["run_id"], run["run_id"]]))
        first, last = (0, len(parts) - 1) if undo else (len(parts) - 1, 0)
        return source, LocateReply(
            run=run["run_id"],
            source=source["run_id"],
            undoes=undoes,
            ends=undoes if undo and request.part == last else [],
            redoes=_comes_again(source, undo=undo, logical=logical) if request.part == last else None,
            first=request.part == first,
            also=[item.integration for item in parts if item is not part and item.integration],
            direction=direction,
            transaction=part.transaction,
            integration=part.integration,
            version=part.version,
            script=lookup.get("script"),
            target=request.target,
            services=lookup.get("services", []),
            effects=lookup.get("effects", []),
            checks=lookup.get("checks", []),
            checks_after=after.get("checks", []),
            started_after=before is None or bool(before["inputs"].get("start", True)),
            keep=[item["path"] for item in lookup.get("state_data", []) if item["policy"] != "drop"],
            leaving=leaving,
            stops=lookup.get("services", []) if leaving else [],
            owned=lookup.get("removes", []) if leaving else [],
            generation=dict(part.generation) if part.generation else None,
            tier=source["tier"] or "exact",
            way=await self._way(source) if undo and not logical else None,
        )

    async def _way(self, source: Mapping[str, Any]) -> str | None:
        """Say what takes a run back logically."""
        is_first = await self.before(source, source["integration"]) is None
        way, _ = await logical_way(self._history, self._registry, source, is_first=is_first)
        return way

    async def run_to_undo(self, request: LocateRequest) -> dict[str, Any]:
        """Give the run that is meant, the newest one where none is named."""
        if not request.run:
            latest = await self._history.latest_transaction(request.target)
            if latest is None:
                raise NotFoundError(
                    f"there is nothing to roll back on `{request.target}`",
                    hint="`workflow-agent history` lists what was done",
                )
            return await self._history.run(latest["run_id"])
        run = await self._history.run(await self._history.resolve(request.run))
        if run["undone_by"]:
            raise _undone_already(run)
        if run["status"] not in {"succeeded", "needs-attention"} or not run["changed"]:
            raise ConflictError(
                f"run {run['run_id']} changed nothing that could be rolled back ({run['status']})",
                run_id=run["run_id"],
                hint="`workflow-agent history` lists what was done",
            )
        if run["target"] != request.target:
            raise ConflictError(
                f"run {run['run_id']} was on `{run['target']}`, not on `{request.target}`",
                hint=f"add `--target {run['target']}`",
            )
        return run

    async def refuse_required(self, source: Mapping[str, Any], integrations: Sequence[str | None]) -> None:
        """Refuse to take something back that a later run's installation requires."""
        live = await self._history.generations(source["target"])
        own = {generation.integration for generation in live if generation.run_id == source["run_id"]}
        for name in own.intersection(integrations):
            if await self.before(source, name) is not None:
                continue  # what was there before stays
            others = [other for other in live if other.run_id != source["run_id"]]
            needed_by = [other for other in others if name in await self.required_by(other)]
            if needed_by:
                names = ", ".join(other.integration for other in needed_by)
                raise ConflictError(
                    f"`{name}`, which run {source['run_id']} installed, is required by {names}",
                    run_id=source["run_id"],
                    state="nothing was changed",
                    hint=f"first `workflow-agent rollback {needed_by[0].run_id}`",
                    details={"required_by": [other.integration for other in needed_by]},
                )

    async def refuse_uninstalled(self, source: Mapping[str, Any], integration: str | None) -> None:
        """Refuse to take an installation back that an uninstall stands upon."""
        if integration is None:
            return
        for generation in await self._history.generations(source["target"], integration, live_only=False):
            ended_by = generation.ended_by if generation.run_id == source["run_id"] else None
            if ended_by is None or (await self._history.run(ended_by))["action"] != "uninstall":
                continue
            raise ConflictError(
                f"what run {source['run_id']} installed was uninstalled by run {ended_by}",
                run_id=source["run_id"],
                state="nothing was changed",
                hint=f"first `workflow-agent rollback {ended_by}`",
                details={"run_id": ended_by},
            )

    async def before(self, source: Mapping[str, Any], integration: str | None) -> dict[str, Any] | None:
        """Find the run whose installation of an integration is in force again without `source`."""
        if integration is None:
            return None
        generations = await self._history.generations(source["target"], integration, live_only=False)
        for generation in generations:  # newest first
            # Ids sort by time; what ended otherwise meanwhile does not come back.
            if generation.run_id < source["run_id"] and not await self._ended_between(generation, source["run_id"]):
                run = await self._history.run(generation.run_id)
                if not run["undone_by"]:
                    return run
        return None

    async def _ended_between(self, generation: Generation, run_id: str) -> bool:
        """Tell whether something else than the run `run_id` uninstalled what was there before it."""
        ended_by = generation.ended_by
        if ended_by is None or ended_by >= run_id:
            return False
        return bool((await self._history.run(ended_by))["action"] == "uninstall")

    async def required_by(self, generation: Generation) -> list[str]:
        """List what an installed integration requires: as it was known when it was installed."""
        known = (await subject_of(self._history, generation.run_id, generation.integration)).get("requires")
        if known is None and self._registry.knows(generation.integration):
            known = self._registry.brief(generation.integration).requires
        return list(known or ())


def _comes_again(source: Mapping[str, Any], *, undo: bool, logical: bool) -> str | None:
    """Name the run that is in force again afterwards."""
    if not undo:
        return str(source["run_id"])
    return str(source["undoes"]) if logical else None


def _once_only(source: Mapping[str, Any]) -> ConflictError:
    return ConflictError(
        f"run {source['run_id']} was a logical rollback: it does not come again",
        run_id=source["run_id"],
        state="nothing was changed",
        hint=f"`workflow-agent rollback {source['undoes']} --logical` does it anew",
    )


def _undone_already(run: Mapping[str, Any]) -> ConflictError:
    by = run["undone_by"]
    again = f"to have it again: `workflow-agent rollback {by}`"
    return ConflictError(
        f"run {run['run_id']} was rolled back already" + (f", by run {by}" if by != run["run_id"] else ""),
        run_id=run["run_id"],
        hint=again if by != run["run_id"] else "it took itself back when it failed",
    )
