"""What agents called: each call of a tool as a line, ``ask 2: price {"item": "tea"} → 4.2``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workflow_agent.cli.style import clip, safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.cli.style import Style

__all__ = ["call_lines"]

#: Calls and characters that are shown without ``--verbose``.
_CALLS: Final = 20
_CHARACTERS: Final = 60


def call_lines(calls: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    """Write the tools that agents called, each with the number of the turn."""
    arrow, cross = style.glyph("→", "->"), style.glyph("✗", "x")
    width = None if style.verbose else _CHARACTERS
    shown = calls if style.verbose else calls[:_CALLS]
    for number, one in enumerate(shown):
        given, came = (clip(safe(" ".join(str(one[key]).split())), width) for key in ("arguments", "result"))
        mark = cross if one["is_error"] else arrow
        text = f"{safe(one['step'])} {one['turn']}: {safe(one['tool'])} {given} {mark} {came}"
        yield f"  {'' if number else 'called':9} {text}"
    if len(calls) > len(shown):
        yield f"  {'':9} and {len(calls) - len(shown):,} more (`--verbose` shows all)"
