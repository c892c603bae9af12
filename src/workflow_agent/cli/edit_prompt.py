"""Asks a person which version of a configuration file it shall be, where an upgrade or a repair writes over an edit.

The question of `rollback` the other way round (see ``conflict_prompt``), in the words of dpkg and ucf: keep mine, take
the new one, show the difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.cli.conflict_view import diff_lines, found_line
from workflow_agent.cli.keep_or_take import keep_or_take, say
from workflow_agent.cli.style import safe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.cli.style import Style

__all__ = ["ask_about_edits"]


async def ask_about_edits(edits: Sequence[Mapping[str, Any]], style: Style) -> list[str]:
    """Ask about each; gives the paths that stay.

    Raises:
        DeclinedError: the answer was to abort, or there was none.
    """
    say(style.paint("somebody edited configuration files that this would write over", "bold"))
    return [str(one["path"]) for one in edits if await _ask(one, style)]


async def _ask(edit: Mapping[str, Any], style: Style) -> bool:
    """Ask about one; gives whether it stays."""
    diffs = edit.get("diffs") or {}
    say("", style.paint(safe(edit["path"]), "bold"), f"  written by run   {safe(edit['run_id'])}")
    say(f"  {found_line(edit)}", *(f"  {line}" for line in diff_lines(diffs.get("since"), style)))
    shown = list(diff_lines(diffs.get("by_this"), style))
    say(
        "  k  keep mine: it stays as it is now",
        f"  t  take the new one: yours is {'removed' if edit.get('removed') else 'replaced'}; a rollback returns it",
        *(["  d  show the difference: from what is there now to the new one"] if shown else []),
        "  a  abort: nothing is changed",
    )
    return await keep_or_take(style, shown, aborted="the answer was to abort")
