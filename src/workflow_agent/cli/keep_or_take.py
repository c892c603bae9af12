"""The question that decides about one path at a terminal: keep, take, show the difference, abort.

What is asked about, and what keeping and taking mean there, is its caller's (``conflict_prompt``, ``edit_prompt``).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from workflow_agent.cli.consent import read_answer
from workflow_agent.model.errors import DeclinedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.cli.style import Style

__all__ = ["keep_or_take", "say"]

_KEEP, _TAKE, _SHOW, _ABORT = ("k", "keep"), ("t", "take", "take back"), ("d", "diff"), ("a", "abort", "")


async def keep_or_take(style: Style, difference: Sequence[str], *, aborted: str) -> bool:
    """Ask until there is an answer; gives whether it is kept.

    Args:
        style: How things are written.
        difference: What can be shown; empty where there is nothing to show.
        aborted: What is said when the answer is to abort.

    Raises:
        DeclinedError: the answer was to abort, or there was none.
    """
    while True:
        sys.stderr.write(f"{style.paint('Which one?', 'bold')} [{'k/t/d' if difference else 'k/t'}/A] ")
        sys.stderr.flush()
        answer = (await read_answer()).strip().lower()
        if answer in _KEEP:
            return True
        if answer in _TAKE:
            return False
        if answer in _ABORT:
            raise DeclinedError(aborted, state="nothing was changed")
        if difference and answer in _SHOW:
            say(*(f"  {line}" for line in difference))
        else:
            say("  please answer with one of these letters")


def say(*lines: str) -> None:
    """Write lines for the person."""
    for line in lines:
        sys.stderr.write(f"{line}\n")
