"""What somebody changed of what a run left, asked before the run is taken back. Nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.agents.parts import parts_of, source_of
from workflow_agent.app.run_report import report_run
from workflow_agent.model.errors import PathConflictError, UsageError
from workflow_agent.model.identity import new_run_id
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.model.ports import History, Target

__all__ = ["disputed", "require_known"]

_BESIDE = ("-wal", "-shm", "-journal")


async def disputed(history: History, target: Target, run_id: str, *, wait_s: float) -> list[dict[str, Any]]:
    """List the conflicts of a rollback with all its parts; none where the run itself was a rollback.

    The target is taken for the time of the look.

    Raises:
        NotFoundError: the run has no transaction.
        TargetLockedError: another run holds the target.
        RollbackIncompleteError: before-images are missing.
    """
    source, direction = await source_of(history, await history.run(run_id))
    if direction == "redo":
        return []
    looker = new_run_id()
    await target.acquire(looker, wait_s=wait_s)
    found: list[dict[str, Any]] = []
    taken: list[str] = []
    try:
        for part in await parts_of(history, source):
            try:
                await target.rollback(part.transaction, plan_only=True, after=taken)
            except PathConflictError as error:
                found += error.details["conflicts"]
            taken.append(part.transaction)
    finally:
        await target.release(looker)
    return found


async def require_known(history: History, run_id: str, paths: Sequence[str]) -> None:
    """Refuse paths about which a rollback of a run decides nothing.

    Raises:
        UsageError: the run changed nothing at, above or below one of them.
    """
    source, _ = await source_of(history, await history.run(run_id))
    items = (await report_run(history, str(source["run_id"])))["changes"]["items"]
    known = {str(item["path"]): item.get("kind") == "directory" for item in items}
    for path in paths:
        if not path.startswith("/"):
            raise UsageError("a path of the target is absolute", where=f"--theirs {path}")
        wanted = path.rstrip("/") or "/"
        names = {wanted, *(wanted.removesuffix(end) for end in _BESIDE)}
        below = any(one.startswith(f"{wanted.rstrip('/')}/") for one in known)
        inside = any(is_folder and wanted.startswith(f"{one}/") for one, is_folder in known.items())
        if not (names & known.keys() or below or inside):
            raise UsageError(
                f"run {source['run_id']} changed nothing at `{path}`",
                where="--theirs",
                hint=did_you_mean(wanted, known) or f"`workflow-agent diff {source['run_id']}` lists what it changed",
            )
