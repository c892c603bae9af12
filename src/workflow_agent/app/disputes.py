"""What somebody changed of what a run left, asked before the run is taken back. Nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.agents.parts import parts_of, source_of
from workflow_agent.app.run_report import report_run
from workflow_agent.model.errors import PathConflictError, UsageError, WorkflowAgentError
from workflow_agent.model.identity import new_run_id
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.ports import History, Target

__all__ = ["disputed", "is_known", "require_known", "require_known_of_any"]

_BESIDE = ("-wal", "-shm", "-journal")


async def disputed(history: History, target: Target, run_id: str, *, wait_s: float) -> list[dict[str, Any]]:
    """List the conflicts of a rollback with all its parts; none where the run itself was a rollback.

    None either where it cannot be taken back at all. The target is taken for the time of the look.

    Raises:
        NotFoundError: the run has no transaction.
        TargetLockedError: another run holds the target.
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
            except WorkflowAgentError:
                return []  # pruned, or images are lost: the run says what can be done then
            taken.append(part.transaction)
    finally:
        await target.release(looker)
    return found


async def require_known(history: History, run_id: str, paths: Sequence[str]) -> None:
    """Refuse paths about which a rollback of a run decides nothing.

    Raises:
        UsageError: the run changed nothing at, above or below one of them, or was itself a rollback.
    """
    source, direction = await source_of(history, await history.run(run_id))
    if direction == "redo":
        raise UsageError(
            f"run {run_id} was a rollback: to take it back brings run {source['run_id']} again",
            where="--theirs" if paths else "--force",
            hint="leave `--theirs` and `--force` out: they are for runs that are taken back",
        )
    items = (await report_run(history, str(source["run_id"])))["changes"]["items"]
    known = {str(item["path"]): item.get("kind") == "directory" for item in items}
    for path in paths:
        if not path.startswith("/"):
            raise UsageError("a path of the target is absolute", where=f"--theirs {path}")
        if not is_known(path, known):
            raise UsageError(
                f"run {source['run_id']} changed nothing at `{path}`",
                where="--theirs",
                hint=did_you_mean(path, known) or f"`workflow-agent diff {source['run_id']}` lists what it changed",
            )


async def require_known_of_any(history: History, runs: Sequence[str], paths: Sequence[str]) -> None:
    """Refuse paths about which the rollbacks of several runs decide nothing.

    Raises:
        UsageError: none of the runs changed anything at, above or below one of them.
    """
    for path in paths:
        for number, run_id in enumerate(runs, start=1):
            try:
                await require_known(history, run_id, [path])
                break
            except UsageError:
                if number == len(runs):
                    raise


def is_known(path: str, known: Mapping[str, bool]) -> bool:
    """Say whether changed paths (each with whether it is a folder) have something at, above or below a path."""
    wanted = path.rstrip("/") or "/"
    names = {wanted, *(wanted.removesuffix(end) for end in _BESIDE)}
    below = any(one.startswith(f"{wanted.rstrip('/')}/") for one in known)
    inside = any(is_folder and wanted.startswith(f"{one}/") for one, is_folder in known.items())
    return bool(names & known.keys()) or below or inside
