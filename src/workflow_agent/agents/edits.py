"""Edited configuration files that an upgrade or a repair would write over: what was decided about them. Pure."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import PathConflictError, UsageError
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["kept_edit", "open_edits", "refused_edits"]

_SHOWN = 10


def open_edits(
    edits: Sequence[Mapping[str, Any]], theirs: Sequence[str], *, force: bool
) -> tuple[list[str], list[Mapping[str, Any]]]:
    """Apply what was decided beforehand.

    Args:
        edits: Of a change set.
        theirs: Paths that stay, with what lies below them.
        force: The others do not.

    Returns:
        The paths of edits that stay, and the edits about which nothing was said.

    Raises:
        UsageError: nobody edited anything at or below one of `theirs`.
    """
    for path in theirs:
        if not any(_is_at(str(one["path"]), path) for one in edits):
            known = [str(one["path"]) for one in edits]
            raise UsageError(
                f"nobody edited `{path}` since a run wrote it",
                where="--theirs",
                state="nothing was changed",
                hint=did_you_mean(path, known) or f"edited is: {', '.join(known[:_SHOWN])}",
            )
    stay = [str(one["path"]) for one in edits if any(_is_at(str(one["path"]), path) for path in theirs)]
    return stay, [one for one in edits if one["path"] not in stay and not force]


def refused_edits(
    edits: Sequence[Mapping[str, Any]], action: str, integration: str, target: str = "host"
) -> PathConflictError:
    """Make the refusal that names the edits and the commands that decide about them."""
    names = [str(one["path"]) for one in edits]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    where = "" if target == "host" else f" --target {shlex.quote(target)}"
    command = f"workflow-agent {action} {shlex.quote(integration)}{where}"
    paths = " ".join(f"--theirs {shlex.quote(name)}" for name in names[:_SHOWN])
    return PathConflictError(
        f"edited since a run wrote {'it' if len(names) == 1 else 'them'}: {', '.join(names[:_SHOWN])}{more}",
        where=names[0],
        cause=f"this {action} would write over {'it' if len(names) == 1 else 'them'}",
        state="nothing was changed",
        hint=f"keep what is there now: `{command} {paths}`; take the new one, a rollback brings yours back: "
        f"`{command} --force`",
        details={"conflicts": [dict(one) for one in edits]},
    )


def kept_edit(path: str) -> dict[str, Any]:
    """Give the record of a path that stays (see `decisions` of a run)."""
    return {"path": path, "decision": "theirs", "group": None, "records": [], "aside": None}


def _is_at(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top.rstrip('/')}/")
