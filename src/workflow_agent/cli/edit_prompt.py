"""Asks a person which version of a configuration file it shall be, where an upgrade or a repair writes over an edit.

The question of `rollback` the other way round (see ``conflict_prompt``), in the words of dpkg and ucf: keep mine, take
the new one, show the difference.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.conflict_view import diff_lines, found_line
from workflow_agent.cli.consent import read_answer
from workflow_agent.cli.style import safe
from workflow_agent.model.errors import DeclinedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.cli.style import Style

__all__ = ["ask_about_edits"]

_KEEP, _TAKE, _SHOW, _ABORT = ("k", "keep"), ("t", "take"), ("d", "diff"), ("a", "abort", "")


async def ask_about_edits(edits: Sequence[Mapping[str, Any]], style: Style) -> list[str]:
    """Ask about each; gives the paths that stay.

    Raises:
        DeclinedError: the answer was to abort, or there was none.
    """
    _say(style.paint("somebody edited configuration files that this would write over", "bold"))
    return [str(one["path"]) for one in edits if await _ask(one, style)]


async def _ask(edit: Mapping[str, Any], style: Style) -> bool:
    """Ask about one; gives whether it stays."""
    diffs = edit.get("diffs") or {}
    _say("", style.paint(safe(edit["path"]), "bold"), f"  written by run   {safe(edit['run_id'])}")
    _say(f"  {found_line(edit)}", *(f"  {line}" for line in diff_lines(diffs.get("since"), style)))
    can_show = bool(diffs.get("by_this"))
    _say(
        "  k  keep mine: it stays as it is now",
        f"  t  take the new one: yours is {'removed' if edit.get('removed') else 'replaced'}; a rollback returns it",
        *(["  d  show the difference: from what is there now to the new one"] if can_show else []),
        "  a  abort: nothing is changed",
    )
    while True:
        sys.stderr.write(f"{style.paint('Which one?', 'bold')} [{'k/t/d' if can_show else 'k/t'}/A] ")
        sys.stderr.flush()
        answer = (await read_answer()).strip().lower()
        if answer in _KEEP:
            return True
        if answer in _TAKE:
            return False
        if answer in _ABORT:
            raise DeclinedError("the answer was to abort", state="nothing was changed")
        if can_show and answer in _SHOW:
            _say(*(f"  {line}" for line in diff_lines(diffs["by_this"], style)))
        else:
            _say("  please answer with one of these letters")


def _say(*lines: str) -> None:
    for line in lines:
        sys.stderr.write(f"{line}\n")
