"""Markdown to a page: through HTML, with the lines of the file as places.

CommonMark with tables; what the dialects of documentation add is put into those words first: front matter, imports of
MDX, tabs (``=== "Debian"``) and notes (``!!! note``) with their indented content.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from workflow_agent.knowledge.html_pages import parse_html

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workflow_agent.knowledge.page import Page

__all__ = ["looks_like_html", "parse_markdown"]

_TAB: Final = re.compile(r'^(?P<indent>\s*)(?:===[!+]?|\?\?\?\+?|!!!)\s*(?P<kind>[\w-]*)\s*(?:"(?P<label>[^"]*)")?\s*$')
_IMPORT: Final = re.compile(r"^(import|export)\s.*(from\s+['\"]|=)")
_COMPONENT: Final = re.compile(r"^\s*</?[A-Z]\w*[^>]*>")
_HTML: Final = re.compile(
    r"^\s*(<!--.*?-->\s*)*<(!doctype|html|head|body|div|main|article|\?xml)\b", re.IGNORECASE | re.DOTALL
)
_INDENT: Final = 4


def looks_like_html(text: str) -> bool:
    """Tell HTML from Markdown that has no type."""
    return bool(_HTML.match(text[:2000]))


def parse_markdown(text: str, address: str) -> Page:
    """Read a Markdown file; see :func:`.html_pages.parse_html`."""
    from markdown_it import MarkdownIt  # noqa: PLC0415  # late: 30 ms

    lines = list(_plain(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")))
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = reader.parse("\n".join(line for _, line in lines))
    for token in tokens:
        if token.map and token.nesting >= 0:
            token.attrSet("data-line", str(lines[token.map[0]][0] if token.map[0] < len(lines) else 1))
    return parse_html(reader.renderer.render(tokens, reader.options, {}), address, lines=True)


def _plain(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Give lines of CommonMark, each with the number that it had (from 1)."""
    start = _after_front_matter(lines)
    fence = ""
    inside: list[int] = []
    for number, line in enumerate(lines[start:], start + 1):
        marker = re.match(r"\s*(```+|~~~+)", line)
        if marker and not fence:
            fence = marker[1][:3]
        elif marker and fence == marker[1][:3]:
            fence = ""
        while inside and line.strip() and len(line) - len(line.lstrip()) < inside[-1]:
            inside.pop()
            yield from ((number, text) for text in ("", "</div>", ""))
        tab = _TAB.match(line) if not fence and not marker else None
        if tab and (tab["kind"] or tab["label"]):
            inside.append(len(tab["indent"]) + _INDENT)
            label = (tab["label"] or "") if line.lstrip().startswith("===") else ""
            yield from ((number, text) for text in ("", f'<div data-label="{label}">', ""))
        elif not fence and not marker and _IMPORT.match(line):
            yield number, ""
        elif not fence and not marker and _COMPONENT.match(line):
            # an empty line before and after: what stands between is Markdown
            yield from ((number, text) for text in ("", line.strip(), ""))
        else:
            yield number, line[inside[-1] :] if inside else line
    yield from ((len(lines), text) for _ in inside for text in ("", "</div>"))


def _after_front_matter(lines: Sequence[str]) -> int:
    first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    if not lines or lines[first].strip() != "---":
        return 0
    for index in range(first + 1, min(len(lines), 200)):
        if lines[index].strip() in {"---", "..."}:
            return index + 1
    return 0
