"""Runs workflows: a pure state machine, and the driver that feeds it.

commands (what the machine wants) · plan, units (positions, identities) · persistent, tables, scratch (state) · names,
proceeding and machine (decide, fold) · unmet · inputs, reply, outcomes, merging · live, timing, asking, children and
driver (everything that waits)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflow_agent.engine.driver import Driver
    from workflow_agent.engine.inputs import checked_inputs
    from workflow_agent.engine.machine import decide, fold, replay
    from workflow_agent.engine.plan import StepPlan, plan_of
    from workflow_agent.engine.snapshots import Past, pasts_of, state_of
    from workflow_agent.engine.unmet import Unmet, why

__all__ = [
    "Driver",
    "Past",
    "StepPlan",
    "Unmet",
    "checked_inputs",
    "decide",
    "fold",
    "pasts_of",
    "plan_of",
    "replay",
    "state_of",
    "why",
]

_HOMES = {
    "Driver": "driver",
    "Past": "snapshots",
    "StepPlan": "plan",
    "Unmet": "unmet",
    "checked_inputs": "inputs",
    "decide": "machine",
    "fold": "machine",
    "pasts_of": "snapshots",
    "plan_of": "plan",
    "replay": "machine",
    "state_of": "snapshots",
    "why": "unmet",
}


def __getattr__(name: str) -> Any:  # Any: one of `__all__`
    # late: the driver loads asyncio (35 ms), which commands that only read do not need
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
