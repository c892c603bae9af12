"""Which before-images are given up, and giving them up: verbs of the knowledge agent and of the executor.

What is kept is counted in runs that can be taken back, the newest first: an installation, or a rollback that can be
taken back itself, which needs the before-images of the run that it undid.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from workflow_agent.agents.serving import Answer, Question
from workflow_agent.model.errors import NotFoundError, PrunedError
from workflow_agent.model.event import RecordKind
from workflow_agent.model.exact import Within
from workflow_agent.model.status import TERMINAL_RUN, RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.model.ports import History, Target

__all__ = [
    "PrunableReply",
    "PrunableRequest",
    "PruneReply",
    "PruneRequest",
    "give_up",
    "refuse_pruned",
    "what_to_prune",
]

#: What the plan file of a pruned transaction says of it.
_PRUNED = "pruned"
_Seconds = Annotated[float, Within(ge=0)]


class PrunableRequest(Question):
    """Ask whose before-images can be given up: beyond the newest `keep` runs, and older than `older_than_s`."""

    target: str
    keep: Annotated[int, Within(ge=0)] = 0
    older_than_s: _Seconds = 0.0
    wait_s: _Seconds = 0.0


class PrunableReply(Answer):
    """The `transactions` to give up, their `runs`, and those that stay, each with the run that `needs` them and why.

    Those that are `unrecorded` were given up by a run that died before history heard of it.
    """

    transactions: list[str]
    unrecorded: list[str]
    runs: list[dict[str, Any]]
    stays: list[dict[str, Any]]


class PruneRequest(Question):
    """Give up the before-images of transactions; `plan_only` only measures them."""

    target: str
    transactions: list[str]
    plan_only: bool = False
    wait_s: _Seconds = 0.0


class PruneReply(Answer):
    """Of each transaction what it took on disk; `bytes` and `entries` are what is free, or would be."""

    target: str
    transactions: list[dict[str, Any]]
    bytes: int
    entries: int


async def what_to_prune(history: History, target: Target, request: PrunableRequest) -> PrunableReply:
    """Sort the transactions whose before-images a target holds; what this history does not know stays."""
    held = set(await target.kept_transactions())
    latest = time.time() - request.older_than_s
    goes: dict[str, dict[str, Any]] = {}
    stays: list[dict[str, Any]] = []
    counted: dict[str, bool] = {}
    rows = [row for row in await history.transactions(request.target) if not row["pruned_by"]]
    gone = await target.prune([row["transaction"] for row in rows if row["transaction"] not in held], plan_only=True)
    for row in rows:
        if row["transaction"] not in held:
            continue
        run = await history.run(row["run_id"])
        needs, why = await _needed_by(history, run)
        if needs is not None and why is None:
            if needs not in counted:
                counted[needs] = len(counted) < request.keep or (
                    request.older_than_s > 0 and row["updated_at"] > latest
                )
            why = "newest" if counted[needs] else None
        told = {key: run[key] for key in ("run_id", "action", "integration", "version", "created_at")}
        told |= {"transaction": row["transaction"], "script": run["inputs"].get("name"), "needs": needs}
        if why is None:
            goes[row["transaction"]] = told
        else:
            stays.append(told | {"why": why})
    unrecorded = [str(one["transaction"]) for one in gone if one["was"] == _PRUNED]
    return PrunableReply(transactions=list(goes), unrecorded=unrecorded, runs=list(goes.values()), stays=stays)


async def _needed_by(history: History, run: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Name the run that can be taken back with the images of a run, and why they stay whatever was asked for."""
    needs: Mapping[str, Any] | None = run
    if run["undone_by"]:
        # What took itself back cannot be done again; what another run took back can.
        needs = await _found(history, run["undone_by"]) if run["undone_by"] != run["run_id"] else None
    for one in (run, needs):
        if one is not None and one["status"] not in TERMINAL_RUN:
            return str(one["run_id"]), "unfinished"
        if one is not None and one["status"] == RunStatus.NEEDS_ATTENTION:
            return str(one["run_id"]), "needs-attention"
    return (None if needs is None else str(needs["run_id"])), None


async def _found(history: History, run_id: str) -> dict[str, Any] | None:
    try:
        return await history.run(run_id)
    except NotFoundError:
        return None


def refuse_pruned(source: Mapping[str, Any], *, undo: bool) -> None:
    """Refuse to take a run back, or to bring it again, whose before-images are gone.

    Raises:
        PrunedError: they are; it says since when and what can be done instead.
    """
    if not source["pruned_by"]:
        return
    name = source["integration"]
    instead = f"`workflow-agent rollback {source['run_id']} --logical` does what can still be done"
    raise PrunedError(
        f"run {source['run_id']} cannot be taken back exactly: its before-images were pruned"
        if undo
        else f"what run {source['run_id']} brought cannot come again: it was pruned",
        cause=f"run {source['pruned_by']} did that",
        run_id=source["run_id"],
        state="nothing was changed",
        hint=instead if undo else f"install it anew: `workflow-agent install {name}`" if name else "apply it anew",
        details={"pruned_by": source["pruned_by"]},
    )


async def give_up(target: Target, request: PruneRequest) -> tuple[Answer, Mapping[str, Any]]:
    """Give up before-images, or measure them; history hears of those that are gone."""
    found = [dict(one) for one in await target.prune(request.transactions, plan_only=request.plan_only)]
    counts = [one for one in found if one["pruned"] or request.plan_only]
    reply = PruneReply(
        target=request.target,
        transactions=found,
        bytes=sum(one["bytes"] for one in counts),
        entries=sum(one["entries"] for one in counts),
    )
    gone = [] if request.plan_only else [one for one in found if one["pruned"] or one["was"] == _PRUNED]
    records = [
        {
            "kind": RecordKind.PRUNED,
            "data": {"target": request.target, "transaction": one["transaction"], "bytes": one["bytes"]},
        }
        for one in gone
    ]
    return reply, {"_records": records, "_changed": any(one["pruned"] for one in found)}
