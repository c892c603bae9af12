"""Where somebody changed what a run left: the exact commands that decide which side wins."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from workflow_agent.model.system import Tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.errors import PathConflictError

__all__ = ["can_be_decided", "name_tier", "name_ways_out"]

_SHOWN = 10
_BY = {"uninstall": "the integration's uninstall", "packages": "giving packages the versions that they had"}


def can_be_decided(conflict: Mapping[str, Any]) -> bool:
    """Say whether a person can decide a conflict: what a later run or a package needs is no question of sides."""
    return not conflict.keys() & {"run_id", "needs", "holders", "flags"}


def name_ways_out(error: PathConflictError, run: str | None, target: str) -> None:
    """Let the refusal of a rollback end with the commands that decide it, a line each; others keep their hint.

    Args:
        error: Of a target.
        run: The run that is to be taken back; None where nobody asked for one.
        target: Where it was.
    """
    conflicts: Sequence[Mapping[str, Any]] = error.details.get("conflicts", ())
    open_ones = [conflict for conflict in conflicts if can_be_decided(conflict)]
    if run is None or not open_ones:
        return
    command = f"workflow-agent rollback {run}" + ("" if target == "host" else f" --target {shlex.quote(target)}")
    if len(open_ones) < len(conflicts):
        error.hint = f"{error.hint}; what somebody else changed is decided with `--theirs PATH` or `--force`"
        return
    paths = [f"--theirs {shlex.quote(str(conflict['path']))}" for conflict in open_ones]
    keep = f"`{command} {' '.join(paths[:_SHOWN])}`" + (", and so on for each path" if len(paths) > _SHOWN else "")
    if all("impossible" in conflict for conflict in open_ones):
        error.hint = f"keep what is there now: {keep}"
        return
    error.hint = (
        f"keep what is there now: {keep}\nhave it as before the run, what is there now is kept aside: "
        f"`{command} --force`"
    )


def name_tier(error: PathConflictError, run: str | None, target: str, way: str | None) -> None:
    """Say which tier applies as things are: no rollback goes from one to a lower one by itself (rule 26).

    Args:
        error: The refusal of a rollback.
        run: The run that is to be taken back; None where nobody asked for one.
        target: Where it was.
        way: What takes it back logically: ``uninstall``, ``packages``, or nothing.
    """
    if run is None or not any(map(can_be_decided, error.details.get("conflicts", ()))):
        return  # after those that come first it can be exact
    tier = Tier.NEEDS_ATTENTION if way is None else Tier.LOGICAL
    error.details["tier"] = tier.value
    if way is None:
        told = f"as things are its tier is {tier.value}: neither an uninstall nor packages are known that take it back"
    else:
        place = "" if target == "host" else f" --target {shlex.quote(target)}"
        told = (
            f"as things are its tier is {tier.value}, by {_BY[way]}, not bit for bit: "
            f"`workflow-agent rollback {run}{place} --logical`"
        )
    error.hint = f"{error.hint}\n{told}" if error.hint else told
