"""Drift as people read it: what became of each path, and how a configuration file differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.cli.style import Style, safe
from workflow_agent.cli.tables import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

__all__ = ["drift_lines", "repaired_paths"]

#: Sign and colour by what became of a path.
_SIGNS = {
    "missing": ("-", "red"),
    "modified": ("~", "yellow"),
    "replaced": ("!", "red"),
    "attributes": ("~", "cyan"),
    "returned": ("+", "yellow"),
}
_SHOWN_PATHS = 20
_SHOWN_LINES = 40
_COLORS = {"+": "green", "-": "red", "@": "cyan"}


def drift_lines(drift: Mapping[str, Any] | None, style: Style) -> Iterator[str]:
    """Write what drifted, each path with the difference of its text where there is one to show.

    Args:
        drift: ``{items, compared, reason}`` of a run; None for one that did not look.
        style: What the stream shows; `verbose` shows every path and line.
    """
    if drift is None:
        return
    items = drift.get("items") or ()
    if not drift.get("compared"):
        yield f"  drift     {style.paint('not compared', 'yellow')}: {safe(drift.get('reason'))}"
        return
    yield f"  drift     {counted(len(items), 'path') if items else 'none'}"
    shown = items if style.verbose else items[:_SHOWN_PATHS]
    for item in shown:
        sign, color = _SIGNS.get(str(item.get("state")), ("~", "yellow"))
        yield f"    {style.paint(sign, color)} {_drifted_path(item)}"
        yield from _diff_lines(str(item.get("diff") or ""), style)
    if len(items) > len(shown):
        yield f"      {style.glyph('…', '...')} and {len(items) - len(shown):,} more (`--verbose` shows all)"


def repaired_paths(items: Sequence[Mapping[str, Any]], changed: Collection[str]) -> Iterator[str]:
    """Tell of each path that drifted what became of it, and what a repair that changes some paths does about it.

    Args:
        items: Of the drift.
        changed: The paths that the repair changes.
    """
    for item in items:
        comes = "is put right" if item.get("path") in changed else "stays as it is"
        yield f"{_drifted_path(item)}: {comes}"


def _drifted_path(item: Mapping[str, Any]) -> str:
    """Name a path and what became of it."""
    state, expected, observed = item.get("state"), item.get("expected") or {}, item.get("observed") or {}
    told = {
        "missing": "missing",
        "replaced": f"replaced: {safe(expected.get('kind'))} -> {safe(observed.get('kind'))}",
        "returned": "there again: it was removed",
    }.get(str(state))
    return f"{safe(item.get('path'))}  {told or _aspects(item, expected, observed)}"


def _aspects(item: Mapping[str, Any], expected: Mapping[str, Any], observed: Mapping[str, Any]) -> str:
    told = {
        "content": "content",
        "mode": f"mode {safe(expected.get('mode'))} -> {safe(observed.get('mode'))}",
        "owner": f"owner {_owner(expected)} -> {_owner(observed)}",
        "target": f"target {safe(expected.get('target') or '?')} -> {safe(observed.get('target') or '?')}",
        "xattr": "extended attributes",
    }
    parts = [told.get(str(aspect), safe(aspect)) for aspect in item.get("aspects") or ()]
    return f"modified: {', '.join(parts)}" if item.get("state") == "modified" else ", ".join(parts)


def _owner(entry: Mapping[str, Any]) -> str:
    return f"{safe(entry.get('uid'))}:{safe(entry.get('gid'))}"


def _diff_lines(text: str, style: Style) -> Iterator[str]:
    lines = text.splitlines()[2:]  # the path is named above
    shown = lines if style.verbose else lines[:_SHOWN_LINES]
    for line in shown:
        color = _COLORS.get(line[:1])
        yield f"        {style.paint(safe(line), color) if color else safe(line)}"
    if len(lines) > len(shown):
        yield f"        {style.glyph('…', '...')} and {counted(len(lines) - len(shown), 'more line', 'more lines')}"
