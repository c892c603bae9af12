"""Taking a run back logically: what does that where its before-images cannot, and what is left afterwards.

Exact is always better, so it is refused where the run can be taken back exactly. Otherwise the integration's uninstall
is carried out, where the run brought it in; else packages are given the versions that they had. Where neither is
possible the run needs attention, with a list of what it left.
"""

from __future__ import annotations

import shlex
from dataclasses import field
from typing import TYPE_CHECKING, Any

from workflow_agent.agents.parts import lower_tier
from workflow_agent.agents.serving import Answer, Question
from workflow_agent.model.errors import (
    ConflictError,
    NotFoundError,
    PathConflictError,
    PrunedError,
    RollbackIncompleteError,
)
from workflow_agent.model.event import RecordKind
from workflow_agent.model.system import Tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.agents.parts import RunPart
    from workflow_agent.integrations import Registry
    from workflow_agent.model.ports import History, Target

__all__ = [
    "LOGICAL",
    "CompareReply",
    "CompareRequest",
    "InverseReply",
    "InverseRequest",
    "compared",
    "inverse_of",
    "logical_way",
    "package_script",
    "why_not_exact",
]

#: The workflow that takes a run back logically: such a run has a transaction of its own.
LOGICAL = "rollback-logical"
_NOTHING = "nothing was changed"
_SHOWN = 12
#: The rule that keeps packages of the system, kernels among them.
_KEEPS_PACKAGES = "system-delete"


class InverseRequest(Question):
    """Ask what takes a run back logically."""

    run: str
    target: str
    wait_s: float = 0.0
    allow: list[str] = field(default_factory=list)


class InverseReply(Answer):
    """The `way`: ``uninstall`` of the integration, or ``packages`` with the `text` of a script that does it.

    `transactions` are those of the run, the newest first; `tier_reason` says why it is not taken back exactly. `allow`:
    rules that were asked for, and that which keeps packages of the system: only what the run brought is taken away.
    """

    run: str
    way: str
    text: str
    name: str
    integration: str | None
    version: str | None
    script: str | None
    transactions: list[str]
    undoes: list[str]
    tier: str
    tier_reason: str
    allow: list[str]


class CompareRequest(Question):
    """Compare a target with what it was before transactions, and tell history that the runs `undoes` are ended."""

    target: str
    transactions: list[str]
    undoes: list[str] = field(default_factory=list)


class CompareReply(Answer):
    """Where the target is not as it was before: ``{path, state, aspects, expected, observed}``.

    Not `compared` is what the target does not know any more; then nobody can tell.
    """

    items: list[dict[str, Any]]
    compared: bool


async def inverse_of(
    history: History,
    registry: Registry,
    target: Target,
    source: Mapping[str, Any],
    parts: Sequence[RunPart],
    *,
    is_first: bool,
    allow: Sequence[str] = (),
) -> InverseReply:
    """Find what takes a run back logically.

    Args:
        history: Knows the run.
        registry: Knows integrations.
        target: Where the run was; it is held.
        source: The run.
        parts: Its transactions, the newest first.
        is_first: Whether its integration was not installed before it.
        allow: Rules of the validator that the script may break.

    Raises:
        ConflictError: the run can be taken back exactly.
        RollbackIncompleteError: nothing takes it back; what it left is listed.
    """
    run_id = str(source["run_id"])
    reason = await lower_tier(history, source) or await why_not_exact(target, source, parts)
    if reason is None:
        raise ConflictError(
            f"run {run_id} can be taken back exactly", run_id=run_id, state=_NOTHING, hint="leave `--logical` out"
        )
    way, text = await logical_way(history, registry, source, is_first=is_first)
    if way is None:
        raise await _needs_attention(target, run_id, parts, reason)
    return InverseReply(
        run=run_id,
        way=way,
        text=text,
        name="rollback.sh",
        integration=source["integration"],
        version=source["version"],
        script=source["inputs"].get("name"),
        transactions=[part.transaction for part in parts],
        undoes=[run_id],
        tier=Tier.LOGICAL.value,
        tier_reason=reason,
        allow=[*allow, _KEEPS_PACKAGES] if way == "packages" else list(allow),
    )


async def why_not_exact(target: Target, source: Mapping[str, Any], parts: Sequence[RunPart]) -> str | None:
    """Say why a run cannot be taken back exactly; None where it can."""
    if source["pruned_by"]:
        return f"its before-images were pruned by run {source['pruned_by']}"
    taken: list[str] = []
    for part in parts:
        try:
            await target.rollback(part.transaction, plan_only=True, after=taken if len(parts) > 1 else None)
        except (PathConflictError, PrunedError, NotFoundError, RollbackIncompleteError) as error:
            return error.message
        taken.append(part.transaction)
    return None


async def logical_way(
    history: History, registry: Registry, source: Mapping[str, Any], *, is_first: bool
) -> tuple[str | None, str]:
    """Give the way in which a run is taken back logically, None where there is none, and the script of packages."""
    name, run_id = source["integration"], source["run_id"]
    live = await history.generations(source["target"], name) if name else []
    stands = any(generation.run_id == run_id for generation in live)
    if stands and is_first and registry.knows(name) and "uninstall" in registry.brief(name).actions:
        return "uninstall", ""
    records = await history.records(run_id, RecordKind.CHANGE_SET)
    text = package_script([one for record in records for one in record.data.get("packages", ())])
    return ("packages", text) if text else (None, "")


def package_script(packages: Sequence[Mapping[str, Any]]) -> str:
    """Write the script that gives packages the versions that they had; empty where there were none.

    ``dpkg --purge`` refuses what other packages need; ``apt-get`` would take these away too.
    """
    added = [str(one["name"]) for one in packages if one["action"] == "installed"]
    back = [f"{one['name']}={one['before']}" for one in packages if one["action"] != "installed" and one.get("before")]
    lines = [f"dpkg --purge -- {shlex.join(added)}"] if added else []
    if back:
        lines.append(f"apt-get install -y --no-install-recommends --allow-downgrades -- {shlex.join(back)}")
    return "\n".join(["#!/bin/bash", "set -eu", "export DEBIAN_FRONTEND=noninteractive", *lines, ""]) if lines else ""


async def _needs_attention(
    target: Target, run_id: str, parts: Sequence[RunPart], reason: str
) -> RollbackIncompleteError:
    reply, _ = await compared(target, CompareRequest(target="", transactions=[part.transaction for part in parts]))
    left = reply.items
    names = ", ".join(str(item["path"]) for item in left[:_SHOWN])
    more = f" and {len(left) - _SHOWN:,} more" if len(left) > _SHOWN else ""
    return RollbackIncompleteError(
        f"run {run_id} can be taken back neither exactly nor logically: it needs a person",
        cause=f"{reason}; it installed no package and no integration whose uninstall is known",
        state=f"{_NOTHING}; what it left: {names or 'not known'}{more}",
        hint=f"put it right by hand or with another script; `workflow-agent diff {run_id}` shows every path",
        run_id=run_id,
        details={"left": left, "tier": Tier.NEEDS_ATTENTION.value},
    )


async def compared(target: Target, request: CompareRequest) -> tuple[CompareReply, Mapping[str, Any]]:
    """Compare a target with what it was before transactions; history hears of what differs."""
    items: list[dict[str, Any]] = []
    known = True
    for transaction in request.transactions:
        try:
            items += [dict(item) for item in await target.compare(transaction)]
        except NotFoundError:
            known = False
    reply = CompareReply(items=items, compared=known)
    records = [{"kind": RecordKind.REMAINDER, "data": {"items": items, "compared": known}}]
    records += [{"kind": RecordKind.UNDONE, "data": {"run": run}} for run in request.undoes]
    return reply, {"_records": records}
