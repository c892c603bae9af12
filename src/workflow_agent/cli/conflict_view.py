"""Conflicts as people read them: both sides of each, when it was changed, and how its text came to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.cli.style import safe
from workflow_agent.cli.tables import moment
from workflow_agent.model.system import EDITED_NOTE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.cli.style import Style

__all__ = ["conflict_lines", "decision_lines", "diff_lines", "found_line", "is_about", "side_lines"]

_SHOWN = 5
_SHOWN_LINES = 20
_COLORS = {"+": "green", "-": "red", "@": "cyan"}


def conflict_lines(conflicts: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    """Write conflicts for an error: path, both sides, the difference of a text; the first ones, unless verbose."""
    told = [one for one in conflicts if "expected" in one or "found" in one]
    shown = told if style.verbose else told[:_SHOWN]
    for one in shown:
        yield f"{style.paint('!', 'yellow')} {safe(one['path'])}"
        yield from (f"    {line}" for line in side_lines(one))
        yield from (f"    {line}" for line in diff_lines((one.get("diffs") or {}).get("since"), style))
    if len(told) > len(shown):
        yield f"{style.glyph('…', '...')} and {len(told) - len(shown)} more (`--verbose` shows all)"


def side_lines(conflict: Mapping[str, Any]) -> Iterator[str]:
    """Write what was there before the run, what it left, and what is there now."""
    if "before" in conflict:
        yield f"before the run   {_side(conflict['before'])}"
    yield f"left by the run  {_side(conflict.get('expected'))}"
    by = f", by run {safe(conflict['run_id'])}" if conflict.get("run_id") else ""
    yield f"{found_line(conflict)}{by}"
    yield from (f"changed          {safe(text)}" for text in conflict.get("changes") or ())
    if conflict.get("group"):
        yield f"belongs to       {safe(conflict['group'])}, which is restored as a whole or not at all"


def found_line(conflict: Mapping[str, Any]) -> str:
    """Write what is there now, and since when."""
    changed = conflict.get("changed_ns")
    when = f", changed {moment(changed / 1e9)}" if changed else ""
    return f"there now        {_side(conflict.get('found'))}{when}"


def _side(side: Mapping[str, Any] | None) -> str:
    if side is None:
        return "nothing"
    size = "" if side.get("kind") == "directory" else f", {side.get('size', 0):,} bytes"
    owner = f"{side.get('uid')}:{side.get('gid')}"
    return f"{safe(side.get('kind'))}, mode {safe(side.get('mode'))}, owner {owner}{size}"


def is_about(note: str, paths: Sequence[str]) -> bool:
    """Say whether a note is about the edit of one of these files."""
    return any(note.startswith(f"{EDITED_NOTE} {path},") for path in paths)


def diff_lines(text: str | None, style: Style) -> Iterator[str]:
    """Write a difference of texts, the first lines unless verbose."""
    lines = (text or "").splitlines()
    shown = lines if style.verbose else lines[:_SHOWN_LINES]
    for line in shown:
        color = _COLORS.get(line[:1])
        yield style.paint(safe(line), color) if color else safe(line)
    if len(lines) > len(shown):
        yield f"{style.glyph('…', '...')} and {len(lines) - len(shown)} more lines"


def decision_lines(decisions: Sequence[Mapping[str, Any]], style: Style, *, planned: bool = False) -> Iterator[str]:
    """Write which side won, or will, and where the other one is."""
    for one in decisions:
        what = safe(one["path"]) + (f" ({safe(one['group'])})" if one.get("group") else "")
        aside = safe(one["aside"]) if one.get("aside") else None
        if one["decision"] == "theirs":
            yield f"  {'stays     ' if planned else 'stayed   '} {what}, as somebody else left it"
        elif planned:
            text = f"{what} becomes as before; what is there now is kept aside"
            yield f"  {'forced':<10} {style.paint(text, 'yellow')}"
        else:
            yield f"  {'forced':<9} {what} is as before" + (f"; what was there: {aside}" if aside else "")
