"""What services changed in the running system, as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.cli.style import Style, safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["running_lines", "running_texts"]

_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
_SHOWN = 12


def running_texts(running: Mapping[str, Any] | None, style: Style) -> Iterator[str]:
    """Write one line for each change, with its sign."""
    for item in (running or {}).get("items") or ():
        sign, color = _SIGNS[item["action"]]
        yield f"{style.paint(sign, color)} {_text(item)}"


def running_lines(running: Mapping[str, Any] | None, style: Style) -> Iterator[str]:
    """Write what started services changed beside files, and what a rollback had to leave of it."""
    texts = list(running_texts(running, style))
    shown = texts if style.verbose else texts[:_SHOWN]
    yield from (f"  running   {text}" for text in shown)
    if len(texts) > len(shown):
        yield f"            and {len(texts) - len(shown)} more; `-v` lists all"
    for item in (running or {}).get("stays") or ():
        text = f"{_text(item)}: {safe(item['reason'])}"
        yield f"  stays     {style.paint(text, 'yellow')}"


def _text(item: Mapping[str, Any]) -> str:
    name, value = safe(item["name"]), item.get("value")
    if item["kind"] == "listener":
        return f"listens on {name}{f' ({safe(value)})' if value else ''}"
    if item["kind"] == "module":
        return f"kernel module {name}"
    if item["kind"] == "mount":
        return f"mounted at {name} ({safe(value or item.get('before'))})"
    return f"sysctl {name} = {safe(item['before'])} -> {safe(value)}"
