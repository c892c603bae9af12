"""HTML to a page: sections, tabs, blocks of code, tables, links. Navigation, scripts and footers are left out."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

from workflow_agent.knowledge.page import Element, ElementKind, Link, Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bs4 import BeautifulSoup
    from bs4.element import PageElement, Tag

__all__ = ["parse_html"]

_LEFT_OUT: Final = frozenset(
    {"nav", "header", "footer", "script", "style", "aside", "template", "noscript", "svg", "button", "form", "head"}
)
_LEFT_OUT_CLASSES: Final = re.compile(
    r"(^|[\s_-])(toc|navigation|breadcrumbs?|sidebar|menu|tab-list|tablist|tabbed-labels)($|[\s_-])"
)
_INLINE: Final = frozenset(
    [
        "a",
        "abbr",
        "b",
        "bdi",
        "bdo",
        "big",
        "br",
        "cite",
        "code",
        "data",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "img",
        "ins",
        "kbd",
        "label",
        "mark",
        "q",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "time",
        "tt",
        "u",
        "var",
        "wbr",
        "input",
    ]
)
_CODES: Final = frozenset({"code", "tt", "kbd"})
_VARIABLES: Final = frozenset({"var", "em", "i"})
_HEADING: Final = re.compile(r"h([1-6])")
_LANGUAGE: Final = re.compile(r"(?:^|\s)(?:language-|lang-|highlight-source-|brush:\s*|sourceCode\s+)([\w+-]+)")
_LANGUAGES: Final = frozenset([
    "bash", "sh", "shell", "console", "yaml", "yml", "toml", "ini", "json", "nginx", "apache", "conf", "text", "txt",
    "sql", "xml",
])  # fmt: skip
_TERMINAL: Final = re.compile(r"(^|\s)(terminal|console|shell-session)(\s|$)")
_ROOTS: Final = ("main", "article", "[role=main]", "#content", ".content", "body")
_LABELS: Final = ("data-tab-name", "data-label", "label", "data-tab")
#: Nested deeper than any page of a person; what is deeper is left out, so that no page exhausts the stack.
_DEEPEST: Final = 120
_LONGEST_LABEL: Final = 80


def parse_html(text: str, address: str, *, lines: bool = False) -> Page:
    """Read a page.

    Args:
        text: HTML, well-formed or not.
        address: Where it is from; links are read relative to it.
        lines: It was Markdown: places are told by ``data-line``.
    """
    from bs4 import BeautifulSoup  # noqa: PLC0415  # late: 40 ms

    soup = BeautifulSoup(text, "html.parser")
    reader = _Reader(soup, address, lines=lines)
    reader.read(_root(soup))
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    return Page(
        address=address,
        title=title or next((item.text for item in reader.elements if item.kind is ElementKind.HEADING), ""),
        sha256=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
        elements=tuple(reader.elements),
    )


def _root(soup: BeautifulSoup) -> Tag:
    for selector in _ROOTS:
        found = soup.select(selector, limit=2)
        if len(found) == 1:
            return found[0]
    return soup


class _Reader:
    """Walks a tree once and gathers its elements."""

    def __init__(self, soup: BeautifulSoup, address: str, *, lines: bool) -> None:
        self.elements: list[Element] = []
        self._address = address
        self._lines = lines
        self._headings: list[tuple[int, str]] = []
        self._tabs: list[str] = []
        self._run: list[PageElement] = []
        self._labels = {str(tag.get("id")): tag.get_text(" ", strip=True) for tag in soup.select("[role=tab][id]")}
        for tag in soup.select("[role=tab][aria-controls]"):
            self._labels.setdefault(str(tag.get("aria-controls")), tag.get_text(" ", strip=True))
        self._ordered = {id(panel): text for panel, text in _tabs_in_order(soup)}

    def read(self, tag: Tag, depth: int = 0) -> None:
        """Read what is in a tag."""
        from bs4.element import Tag as TagClass  # noqa: PLC0415  # late: loaded by now

        for child in list(tag.children):
            if not isinstance(child, TagClass) or (child.name in _INLINE and child.find("pre") is None):
                self._run.append(child)
                continue
            self._flush(tag)
            if depth < _DEEPEST:
                self._block(child, depth + 1)
        self._flush(tag)

    def _block(self, tag: Tag, depth: int) -> None:
        heading = _HEADING.fullmatch(tag.name)
        if (
            tag.name in _LEFT_OUT
            or _LEFT_OUT_CLASSES.search(_classes(tag))
            or tag.get("role") in {"tablist", "navigation"}
            or (tag.name == "label" and tag.get("for"))
        ):
            return
        if heading:
            self._heading(tag, int(heading[1]))
        elif tag.name == "pre":
            self._code(tag)
        elif tag.name == "table":
            self._table(tag)
        else:
            label = self._label(tag)
            if label:
                self._tabs.append(label)
            self.read(tag, depth)
            if label:
                self._tabs.pop()

    def _label(self, tag: Tag) -> str:
        if tag.name == "details":
            summary = tag.find("summary")
            return summary.get_text(" ", strip=True)[:_LONGEST_LABEL] if summary else ""
        if tag.get("role") == "tabpanel":
            named = self._labels.get(str(tag.get("aria-labelledby"))) or self._labels.get(str(tag.get("id")))
            if named:
                return named[:_LONGEST_LABEL]
        if id(tag) in self._ordered:
            return self._ordered[id(tag)][:_LONGEST_LABEL]
        return next((str(tag.get(name))[:_LONGEST_LABEL] for name in _LABELS if tag.get(name)), "")

    def _heading(self, tag: Tag, level: int) -> None:
        text = _words(tag)
        self._headings = [item for item in self._headings if item[0] < level]
        self._add(ElementKind.HEADING, tag, text)
        self._headings.append((level, text))

    def _code(self, tag: Tag) -> None:
        for line_break in tag.find_all("br"):
            line_break.replace_with("\n")
        inner = tag.find("code")
        marks = tuple(item.get_text() for item in tag.find_all(sorted(_VARIABLES)) if item.get_text().strip())
        text = tag.get_text().strip("\n")
        self._drop_label(_language(tag, inner))
        if text.strip():
            self._add(ElementKind.CODE, inner or tag, text, language=_language(tag, inner), marks=marks)

    def _drop_label(self, language: str) -> None:
        """Forget a paragraph that is nothing but the name of the language of the block below it."""
        last = self.elements[-1] if self.elements else None
        if last is not None and last.kind is ElementKind.TEXT and last.text.lower() in {language, *_LANGUAGES} - {""}:
            self.elements.pop()

    def _table(self, tag: Tag) -> None:
        rows = []
        codes: list[str] = []
        for row in tag.find_all("tr"):
            cells = row.find_all(["th", "td"], recursive=False)
            rows.append(tuple(_words(cell) for cell in cells))
            codes += [words for cell in cells for item in cell.find_all(sorted(_CODES)) if (words := _words(item))]
        if rows:
            text = "\n".join(" | ".join(row) for row in rows)
            self._add(ElementKind.TABLE, tag, text, codes=tuple(codes), rows=tuple(rows))

    def _flush(self, parent: Tag) -> None:
        """End a run of inline content: that is a paragraph."""
        from bs4.element import NavigableString, PreformattedString  # noqa: PLC0415  # late: loaded by now
        from bs4.element import Tag as TagClass  # noqa: PLC0415

        run, self._run = self._run, []
        parts: list[str] = []
        tags: list[Tag] = []
        for item in run:
            if isinstance(item, TagClass):
                tags += [item, *item.find_all(recursive=True)]
                parts.append(item.get_text())
            elif isinstance(item, NavigableString) and not isinstance(item, PreformattedString):
                parts.append(str(item))
        text = " ".join("".join(parts).split())
        if not text:
            return
        self._add(
            ElementKind.TEXT,
            parent,
            text,
            codes=tuple(dict.fromkeys(words for tag in tags if tag.name in _CODES and (words := _words(tag)))),
            marks=tuple(_words(tag) for tag in tags if tag.name == "var"),
            links=tuple(
                Link(text=_words(tag), address=urljoin(self._address, str(tag["href"])))
                for tag in tags
                if tag.name == "a" and tag.get("href")
            ),
        )

    def _add(self, kind: ElementKind, tag: Tag, text: str, **more: object) -> None:
        self.elements.append(
            Element(
                kind=kind,
                selector=_line(tag) if self._lines else _selector(tag),
                text=text,
                sections=tuple(title for _, title in self._headings),
                tabs=tuple(self._tabs),
                **more,  # type: ignore[arg-type]  # each as the field has it
            )
        )


def _tabs_in_order(soup: BeautifulSoup) -> Iterator[tuple[Tag, str]]:
    """Pair panels with labels that nothing but their order says they belong to."""
    for listed in soup.select("[role=tablist], .tabbed-labels, .nav-tabs, .tabs:has(> label)"):
        named = listed.select("[role=tab], label, li, button")
        labels = [tag for tag in named if not tag.select("[role=tab], label, button, a")] or list(named)
        around = listed.parent
        panels = around.select("[role=tabpanel], .tabbed-block, .tab-pane") if around is not None else []
        if labels and len(labels) == len(panels):
            yield from zip(panels, (tag.get_text(" ", strip=True) for tag in labels), strict=True)
        after = listed.find_next_sibling()
        if (
            not panels
            and labels
            and after is not None
            and len(inside := after.find_all(recursive=False)) == len(labels)
        ):
            yield from zip(inside, (tag.get_text(" ", strip=True) for tag in labels), strict=True)
    for label in soup.select("label[for]"):
        after = label.find_next_sibling()
        if after is not None and re.search(r"(^|[\s_-])(tab-)?content($|[\s_-])", _classes(after)):
            yield after, label.get_text(" ", strip=True)


def _words(tag: Tag) -> str:
    return " ".join(tag.get_text().split())


def _classes(tag: Tag) -> str:
    found: Any = tag.get("class") or []  # Any: a list, or a text where the page is odd
    return " ".join(found) if isinstance(found, list) else str(found)


def _language(tag: Tag, inner: Tag | None) -> str:
    places = [item for item in (inner, tag, tag.parent, tag.parent.parent if tag.parent else None) if item is not None]
    for place in places:
        named = place.get("data-lang") or place.get("data-language")
        if named:
            return str(named).lower()
        if found := _LANGUAGE.search(_classes(place)):
            return found[1].lower()
    return "console" if _TERMINAL.search(_classes(tag)) else ""


def _line(tag: Tag) -> str:
    """Name the line of a Markdown file that an element was made from, by the nearest tag that knows one."""
    place: Tag | None = tag
    while place is not None:
        if place.get("data-line"):
            return f"line {place['data-line']}"
        place = place.parent
    inner = tag.select_one("[data-line]")
    return f"line {inner['data-line']}" if inner else "line 1"


def _selector(tag: Tag) -> str:
    """Name a tag by the nearest id and the steps from there."""
    steps: list[str] = []
    place: Tag | None = tag
    while place is not None and place.name != "[document]":
        if place.get("id"):
            steps.append(f"#{place['id']}")
            break
        number = 1 + sum(1 for _ in place.find_previous_siblings(place.name))
        steps.append(f"{place.name}:nth-of-type({number})")
        place = place.parent
    return " > ".join(reversed(steps)) or "body"
