"""A page of documentation as a list of elements in reading order; each knows where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Element", "ElementKind", "Link", "Page"]


class ElementKind(StrEnum):
    """What an element is."""

    HEADING = "heading"
    TEXT = "text"
    CODE = "code"
    TABLE = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link: what it says, where it leads (absolute)."""

    text: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """A heading, a paragraph, a block of code or a table.

    `selector` names its place: a CSS path, or lines of a Markdown file. `sections` are the headings above it, the
    outermost first; `tabs` the labels of the tabs and collapsibles that it is in. `codes` are the pieces of code in a
    paragraph, `marks` the words that the page itself sets apart as variables, `rows` the cells of a table with its
    header first, `language` what a block of code says of itself.
    """

    kind: ElementKind
    selector: str
    text: str
    sections: tuple[str, ...] = ()
    tabs: tuple[str, ...] = ()
    language: str = ""
    codes: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page: `address` is that of its provenance, `sha256` (hex) that of its text."""

    address: str
    title: str
    sha256: str
    elements: tuple[Element, ...]
