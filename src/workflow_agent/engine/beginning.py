"""How a run begins that is made from another one: with the steps that it keeps (``keeping`` says which)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.model.event import StepState
from workflow_agent.model.status import StepStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.engine.scratch import Scratch

__all__ = ["keep"]


def keep(s: Scratch, created: Mapping[str, Any]) -> None:
    """Let a new run begin with what it keeps of another one."""
    kept = created.get("kept")
    if kept is None:
        return
    run = (created.get("origin") or {}).get("run")
    for name, done in kept["steps"].items():
        cell = StepState(
            status=StepStatus(done["status"]),
            started_at=done.get("started_at"),
            finished_at=done.get("finished_at"),
            output=done.get("output"),
            reason=f"kept from {run}",
        )
        s.end(s.plan.index[name], cell)
    s.keep_state({"set": kept["state"]})
