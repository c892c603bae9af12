"""What is installed now and was before, per target and integration, and whether it can still be taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import WorkflowAgentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.model.ports import History, TargetRegistry
    from workflow_agent.model.system import Generation

__all__ = ["describe_generations"]


async def describe_generations(
    history: History, targets: TargetRegistry, generations: Sequence[Generation]
) -> list[dict[str, Any]]:
    """Describe generations in their order, as scripts read them.

    Keys: integration, version, target, run_id, action (of the run), created_at, parameters, parameter_hash,
    manifest_hash, transaction, live, ended_by, ended_how (``rolled-back``, ``uninstalled``, ``replaced``, None) and
    rollbackable: ``exact`` while the target holds the before-images, ``pruned`` when it does not any more, ``undone``
    when the run is rolled back, ``unknown`` where the target cannot be asked.
    """
    kept: dict[str, set[str] | None] = {}
    found = []
    for one in generations:
        if one.target not in kept:
            kept[one.target] = await _kept(targets, one.target)
        run = await history.run(one.run_id)
        found.append(
            {
                "integration": one.integration,
                "version": one.manifest_version,
                "target": one.target,
                "run_id": one.run_id,
                "action": run["action"],
                "created_at": one.created_at,
                "parameters": dict(one.parameters),
                "parameter_hash": one.parameter_hash,
                "manifest_hash": one.manifest_hash,
                "transaction": one.transaction,
                "live": one.live,
                "ended_by": one.ended_by,
                "ended_how": await _ended_how(history, one),
                "rollbackable": _rollbackable(one, undone=bool(run["undone_by"]), kept=kept[one.target]),
            }
        )
    return found


async def _kept(targets: TargetRegistry, name: str) -> set[str] | None:
    try:
        return set(await targets.get(name).kept_transactions())
    except WorkflowAgentError:  # it is gone, stopped, or only root may look: the rest can be told all the same
        return None


def _rollbackable(generation: Generation, *, undone: bool, kept: set[str] | None) -> str:
    if undone:
        return "undone"
    if kept is None:
        return "unknown"
    return "exact" if generation.transaction in kept else "pruned"


async def _ended_how(history: History, generation: Generation) -> str | None:
    if generation.ended_by is None:
        return None
    action = (await history.run(generation.ended_by))["action"]
    if action == "rollback" or generation.ended_by == generation.run_id:
        return "rolled-back"
    return "uninstalled" if action == "uninstall" else "replaced"
