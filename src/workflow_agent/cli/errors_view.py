"""Errors as people read them: what, where, why, what was left, what next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.cli.conflict_view import conflict_lines
from workflow_agent.cli.style import Style, safe
from workflow_agent.model.status import CHECK_IS_NOT_RED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.model.errors import WorkflowAgentError

__all__ = ["error_lines"]

_SHOWN = 5
_TAIL = 5


def error_lines(error: WorkflowAgentError, style: Style) -> Iterator[str]:
    """Write an error: sentence, place, evidence, cause, state; after a blank line the hint."""
    yield f"{style.paint(f'error[{error.code}]:', 'red')} {safe(error.message)}"
    if error.where:
        yield f"  {style.glyph('→', '-->')} {safe(error.where)}"
    yield from (f"  {line}" for line in _evidence(error.details, style))
    if error.cause:
        yield f"cause: {safe(error.cause)}"
    if error.state:
        yield f"state: {safe(error.state)}"
    if error.run_id:
        yield f"run: {safe(error.run_id)}"
    if error.hint:
        yield ""
        first, *more = error.hint.split("\n")
        yield f"{style.paint('hint:', 'cyan')} {safe(first)}"
        yield from (f"      {safe(line)}" for line in more)


def _evidence(details: Mapping[str, Any], style: Style) -> Iterator[str]:
    """Show what an error carries beside its sentence; a nested error's details count too."""
    inner = details.get("details")
    merged = {**inner, **details} if isinstance(inner, dict) else details
    rows = [
        *(_problem(entry) for key in ("errors", "problems") for entry in _entries(merged, key)),
        *(_check(entry, style) for entry in _entries(merged, "checks") if entry.get("status") not in CHECK_IS_NOT_RED),
        *(_finding(entry) for entry in _entries(merged, "findings") if entry.get("severity") == "error"),
        *(safe(path) for path in merged.get("paths") or merged.get("missing") or ()),
    ]
    # the sentence tells the only one already
    if len(rows) > 1 or merged.get("checks") or merged.get("findings"):
        shown = rows if style.verbose else rows[:_SHOWN]
        yield from shown
        if len(rows) > len(shown):
            yield f"{style.glyph('…', '...')} and {len(rows) - len(shown)} more (`--verbose` shows all)"
    yield from conflict_lines(_entries(merged, "conflicts"), style)
    tail = merged.get("tail")
    if isinstance(tail, list):
        yield from (f"| {safe(line)}" for line in tail[-_TAIL:])


def _entries(details: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = details.get(key)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _problem(entry: Mapping[str, Any]) -> str:
    where = f"{safe(entry['where'])}: " if entry.get("where") else ""
    key = entry.get("key") or entry.get("path")
    name = f"`{safe(key)}` " if key and "where" in entry else ""
    hint = f" ({safe(entry['hint'])})" if entry.get("hint") else ""
    return f"{where}{name}{safe(entry.get('message', ''))}{hint}"


def _check(entry: Mapping[str, Any], style: Style) -> str:
    mark = style.paint(style.symbol("failed"), "red")
    observed, expected = safe(entry.get("observed", "")), safe(entry.get("expected", ""))
    return f"{mark} {safe(entry.get('id', ''))}: observed {observed}, expected {expected}"


def _finding(entry: Mapping[str, Any]) -> str:
    origin = f", {safe(entry['origin'])}" if entry.get("origin") else ""
    return f"line {entry.get('line')}{origin}: {safe(entry.get('message', ''))} [{safe(entry.get('rule', ''))}]"
