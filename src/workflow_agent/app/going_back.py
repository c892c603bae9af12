"""Going back to a run: which runs came after it, and what stands against taking all of them back.

Each is taken back by a rollback of its own, the last one first (ADR 0009), after all of them were looked at together:
what a later one of them changed stands against no earlier one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.model.choice import NOTHING_CHOSEN
from workflow_agent.model.errors import ConflictError, NotFoundError, PathConflictError
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.choice import ConflictChoice
    from workflow_agent.model.ports import History, TargetRegistry

__all__ = ["foresee_rollbacks", "runs_after"]

#: How far back anybody can go at once, in runs of any kind.
_REACH = 1000


async def runs_after(history: History, target: str, run_id: str) -> list[dict[str, Any]]:
    """List what stands on a target that came after a run, in the order in which it has to be taken back.

    Later is what was committed later. A run that was rolled back once and came again, which commits it anew, counts
    from when it was asked for.

    Returns:
        As ``History.standing`` gives them.

    Raises:
        NotFoundError: the run is not among the last thousand of the target.
        ConflictError: the run is not in force, or what it stood upon was taken back since.
    """
    order = [run["run_id"] for run in await history.runs(target=target, limit=_REACH)]  # newest first
    if run_id not in order:
        raise NotFoundError(
            f"run {run_id} is none of the last {_REACH} runs on `{target}`",
            hint="`workflow-agent history --target TARGET` lists them",
        )
    later = set(order[: order.index(run_id)])
    await _refuse_undone(history, run_id)
    await _refuse_without_ground(history, target, later)
    standing = await history.standing(target)
    names = [one["run_id"] for one in standing]
    own = next((one for one in standing if one["run_id"] == run_id), None)
    if own is None or own["redone"]:
        return [one for one in standing if one["run_id"] in later]
    committed_later = set(names[: names.index(run_id)])
    return [one for one in standing if one["run_id"] in (later if one["redone"] else committed_later)]


async def _refuse_undone(history: History, run_id: str) -> None:
    by = (await history.run(run_id))["undone_by"]
    if by:
        took_itself_back = by == run_id
        raise ConflictError(
            f"run {run_id} is not in force: it was rolled back" + ("" if took_itself_back else f" by run {by}"),
            run_id=run_id,
            state="nothing was changed",
            hint="name a run that is in force"
            if took_itself_back
            else f"to have it again: `workflow-agent rollback {by}`",
        )


async def _refuse_without_ground(history: History, target: str, later: set[str]) -> None:
    """Refuse where something that stood at the run was rolled back after it: that would have to come again."""
    for run in await history.runs(target=target, action="rollback", limit=_REACH):
        if run["run_id"] not in later or run["undone_by"] or not run["changed"] or run["status"] not in _DONE:
            continue
        source, turns = run, 0
        while source["undoes"]:
            turns += source["run_id"] in later
            source = await history.run(source["undoes"])
        if source["run_id"] not in later and turns % 2:
            raise ConflictError(
                f"run {source['run_id']}, which came before, was rolled back or done again after it",
                cause=f"run {run['run_id']} did that",
                run_id=run["run_id"],
                state="nothing was changed",
                hint=f"first `workflow-agent rollback {run['run_id']}`",
            )


_DONE = frozenset({RunStatus.SUCCEEDED, RunStatus.NEEDS_ATTENTION})


async def foresee_rollbacks(
    history: History,
    targets: TargetRegistry,
    target: str,
    runs: Sequence[Mapping[str, Any]],
    choice: ConflictChoice = NOTHING_CHOSEN,
) -> list[dict[str, Any]]:
    """Look what taking runs back one after the other would meet; nothing is changed.

    What was decided about conflicts, the `choice`, holds for each of them.

    Returns:
        For each run ``{run_id, action, integration, version, script, previews}``, a preview for each of its
        transactions; `script` is the name of a person's own, where it was one.

    Raises:
        PathConflictError: one of them cannot be taken back; it is named, and nothing was begun.
        ConflictError: one of them is not taken back by its before-images.
        WorkflowAgentError: the target cannot be looked at.
    """
    from workflow_agent.agents.parts import parts_of, refuse_lower_tier  # noqa: PLC0415  # late: few commands need it

    found: list[dict[str, Any]] = []
    taken: list[str] = []
    for run in runs:
        previews = []
        whole = await history.run(run["run_id"])
        if not choice.force:
            await refuse_lower_tier(history, whole)
        for part in await parts_of(history, whole):
            try:
                look = targets.get(target).rollback
                preview = await look(part.transaction, plan_only=True, after=taken, choice=choice)
            except PathConflictError as error:
                error.run_id = error.run_id or run["run_id"]
                error.state = "nothing was changed: all were looked at before the first was to be taken back"
                raise
            previews.append({"integration": part.integration, **preview})
            taken.append(part.transaction)
        told = {key: run[key] for key in ("run_id", "action", "integration", "version")}
        script = None if run["integration"] else whole["inputs"].get("name")
        found.append({**told, "script": script, "previews": previews})
    return found
