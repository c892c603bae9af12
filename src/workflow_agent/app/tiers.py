"""How well a run can be taken back now, why, and by which command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.model.status import RunStatus
from workflow_agent.model.system import Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.app.application import App

__all__ = ["tier_of"]

_DONE = frozenset({RunStatus.SUCCEEDED, RunStatus.NEEDS_ATTENTION})


async def tier_of(app: App, report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Say how a run would be taken back now; None where there is nothing to take back.

    Whether somebody changed its paths since is looked at by `rollback --plan`, not here.

    Args:
        app: The application.
        report: The run, as :func:`report_run` gives it.

    Returns:
        Its `tier`, the `reason` and the `command`, None where nothing does it but a person.
    """
    transaction = report["transaction"]
    if transaction is None or not report["changed"] or report["undone_by"] or report["status"] not in _DONE:
        return None
    target = "" if report["target"] == "host" else f" --target {report['target']}"
    command = f"workflow-agent rollback {report['run_id']}{target}"
    from workflow_agent.agents.logical import logical_way  # noqa: PLC0415  # late: runs without before-images only
    from workflow_agent.agents.parts import lower_tier  # noqa: PLC0415  # late

    run = await app.history.run(report["run_id"])
    gone = await _gone(app, report)
    forced = None
    if gone is None:
        gone = await lower_tier(app.history, run)
        if gone is None:
            return {"tier": Tier.EXACT.value, "reason": "its before-images are there", "command": command}
        forced = f"{command} --force"
    way = (
        None
        if run["undoes"]
        else (await logical_way(app.history, app.registry, run, is_first=await _first(app, run)))[0]
    )
    if way is None:
        reason = f"{gone}; no uninstall and no packages are known that would take it back"
        return {"tier": Tier.NEEDS_ATTENTION.value, "reason": reason, "command": forced}
    how = "by the integration's uninstall" if way == "uninstall" else "by giving packages the versions that they had"
    return {"tier": Tier.LOGICAL.value, "reason": f"{gone}; {how}", "command": f"{command} --logical"}


async def _gone(app: App, report: Mapping[str, Any]) -> str | None:
    """Say why a run cannot be taken back exactly; a target that cannot be asked counts as history has it."""
    if report["pruned_by"]:
        return f"its before-images were pruned by run {report['pruned_by']}"
    try:
        (found,) = await app.targets.get(report["target"]).prune([report["transaction"]["transaction"]], plan_only=True)
    except WorkflowAgentError:  # it is gone or stopped, or only root may look
        return None
    return "the target does not hold its before-images any more" if found["was"] in {"gone", "pruned"} else None


async def _first(app: App, run: Mapping[str, Any]) -> bool:
    """Tell whether the integration of a run was not installed before it."""
    if run["integration"] is None:
        return True
    every = await app.history.generations(run["target"], run["integration"], live_only=False)
    return not any(one.ended_by == run["run_id"] for one in every)
