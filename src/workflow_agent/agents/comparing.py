"""Comparing a target with what transactions left there: drift, and how near a plan came to what it gave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import NotFoundError
from workflow_agent.model.event import RecordKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.ports import Target

__all__ = ["accuracy_record", "find_drift"]

#: The side of a difference that history keeps: texts of files stay on the target.
_TOLD = ("path", "state", "aspects", "expected", "observed")


async def find_drift(
    target: Target, transaction: str | None, earlier: Sequence[str], state_data: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Compare the target with what is installed; where that cannot be done, say why."""
    found: dict[str, Any] = {"items": [], "compared": False}
    if transaction is None:
        return found | {"reason": "it was not installed by workflow-agent: nobody knows what was left"}
    data = [str(item["path"]) for item in state_data]
    try:
        items = await target.drift(transaction, earlier=earlier, data=data)
    except NotFoundError as error:
        return found | {"reason": f"{error.message}: what it left is not known any more"}
    return found | {"items": [dict(item) for item in items], "compared": True, "reason": None}


async def accuracy_record(
    target: Target,
    transaction: str,
    *,
    planned: int,
    theirs: Sequence[str],
    state_data: Sequence[Mapping[str, Any]],
    integration: str | None,
) -> dict[str, Any]:
    """Give the record of where the target is otherwise than the plan said, once it was committed and works.

    Args:
        target: Where it was committed.
        transaction: What was committed.
        planned: How many paths the plan named.
        theirs: Those that were left out of it because a person said so.
        state_data: Folders of data: what is in them is the service's business.
        integration: What was installed.
    """
    found = await find_drift(target, transaction, (), state_data)
    items = [{name: item.get(name) for name in _TOLD} for item in found["items"]]
    items += [{"path": path, "state": "kept", "aspects": [], "expected": None, "observed": None} for path in theirs]
    data: dict[str, Any] = {"integration": integration, "transaction": transaction, "planned": planned}
    data |= {"items": sorted(items, key=lambda item: str(item["path"])), "compared": found["compared"]}
    return {"kind": RecordKind.ACCURACY, "data": data}
