"""Takes back what processes that died had begun on a target, and looks after the unit that does so at boot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.model.identity import new_run_id
from workflow_agent.targets.recovery_unit import install_unit, remove_unit, unit_state

if TYPE_CHECKING:
    from workflow_agent.app.application import App
    from workflow_agent.targets.recovery_unit import UnitState

__all__ = ["look_at_unit", "put_unit", "recover_target"]

_TARGET = "host"
_RELOAD_S = 60.0


async def recover_target(app: App, name: str, *, wait_s: float) -> dict[str, Any]:
    """Take back what was interrupted on a target, and end the runs that nobody drives any more.

    Returns:
        The `target`, its `transactions` that were interrupted, and the `runs` that were ended.

    Raises:
        TargetLockedError: a run holds the target.
        PermissionDeniedError: only root may.
        RollbackIncompleteError: something cannot be taken back.
    """
    target: Any = app.targets.get(name)  # Any: `interrupted` is no part of the port
    found = await target.interrupted() if hasattr(target, "interrupted") else []
    holder = new_run_id()
    await target.acquire(holder, wait_s=wait_s)
    await target.release(holder)
    return {"target": name, "transactions": found, "runs": await app.settle(name)}


async def look_at_unit(app: App) -> UnitState:
    """Look whether the host recovers when it boots."""
    facts = await app.targets.get(_TARGET).facts()
    return unit_state(_root(app), facts.init)


async def put_unit(app: App, *, install: bool) -> dict[str, Any]:
    """Install the unit, or take it away; gives its `path`, and what its `state` is now.

    Raises:
        UsageError: nothing starts services there.
        OSError: it cannot be written.
    """
    from workflow_agent.targets.live import run_live  # noqa: PLC0415  # late: one command needs it

    facts = await app.targets.get(_TARGET).facts()
    root = _root(app)
    if install:
        path, state = install_unit(root, facts.init), "installed, runs before services start"
    else:
        was_there = remove_unit(root, facts.init)
        path, state = unit_state(root, facts.init).path or "", "removed" if was_there else "it was not there"
    if (root / "run/systemd/private").exists():
        await run_live(app.settings.targets.host_pid, ["systemctl", "daemon-reload"], timeout_s=_RELOAD_S)
    return {"path": path, "state": state, "init": facts.init.value, "installed": install}


def _root(app: App) -> Path:
    pid = app.settings.targets.host_pid
    return Path(f"/proc/{pid}/root") if pid else Path("/")
