"""Asks a person which side wins where somebody changed what a run left: keep, take back, or abort.

dpkg and ucf ask the same of a configuration file at an upgrade; as there, no answer overwrites anything. Unlike there
no answer is none: it ends the rollback before it begins.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.conflict_view import diff_lines, side_lines
from workflow_agent.cli.keep_or_take import keep_or_take, say
from workflow_agent.cli.style import safe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.style import Style

__all__ = ["ask_about_conflicts", "can_ask", "conflicts_of"]


def can_ask() -> bool:
    """Whether there is a person at a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def conflicts_of(invocation: Invocation, run: str, target: str, wait_s: float) -> tuple[str, list[dict[str, Any]]]:
    """Look what stands against a rollback that a person could decide: the run, and its conflicts.

    Empty where there is none, and where something stands against it that is no question of sides: the run says that.
    """
    import asyncio  # noqa: PLC0415  # late: 35 ms

    from workflow_agent.agents.ways_out import can_be_decided  # noqa: PLC0415  # late
    from workflow_agent.app import open_app  # noqa: PLC0415  # late: 60 ms

    async def look() -> tuple[str, list[dict[str, Any]]]:
        async with open_app(invocation.settings()) as app:
            return await app.disputed(run, target, wait_s=wait_s)

    found, conflicts = asyncio.run(look())
    return found, conflicts if all(map(can_be_decided, conflicts)) else []


def ask_about_conflicts(
    invocation: Invocation, run: str, conflicts: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[str]]:
    """Ask about each conflict, about files that belong together once.

    Returns:
        The paths that stay, and those that get what was there before.

    Raises:
        DeclinedError: the answer was to abort, or there was none.
    """
    import asyncio  # noqa: PLC0415  # late: 35 ms

    return asyncio.run(_ask_all(invocation, run, conflicts))


async def _ask_all(
    invocation: Invocation, run: str, conflicts: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[str]]:
    style = invocation.style(sys.stderr)
    answers: dict[str, bool] = {}  # by group or path: whether it stays
    stay: list[str] = []
    back: list[str] = []
    say(style.paint(f"somebody changed what run {safe(run)} left", "bold"))
    for conflict in conflicts:
        key = str(conflict.get("group") or conflict["path"])
        if key not in answers:
            answers[key] = await _ask(conflict, style)
        (stay if answers[key] else back).append(str(conflict["path"]))
    return stay, back


async def _ask(conflict: Mapping[str, Any], style: Style) -> bool:
    """Ask about one conflict; gives whether it stays."""
    diffs = conflict.get("diffs") or {}
    say("", style.paint(safe(conflict["path"]), "bold"), *(f"  {line}" for line in side_lines(conflict)))
    say(*(f"  {line}" for line in diff_lines(diffs.get("since"), style)))
    shown = list(diff_lines(diffs.get("by_run"), style))
    say(
        "  k  keep it as it is now",
        "  t  take back: it becomes as it was before the run, what is there now is kept aside",
        *(["  d  show what the run did to it"] if shown else []),
        "  a  abort: nothing is changed",
    )
    if "impossible" in conflict:
        say(f"  ({safe(conflict['impossible'])})")
    return await keep_or_take(style, shown, aborted="not rolled back: the answer was to abort")
