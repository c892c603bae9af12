"""Documentation and package metadata to facts with their source.

::

    addresses      which addresses a page may come from      | fetching    the one place that asks the network
    html_pages, markdown_pages -> page                         sections, tabs, blocks, tables, each with its place
    blocks, command_lines, platforms, placeholders             what a piece is, and whom it is for
    command_facts, configuration_facts, prose_facts -> facts   what it says | extracting  one walk over a page

Everything but ``fetching`` is a pure function over text: the same page gives the same facts, without a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflow_agent.knowledge.extracting import extract, parse_page, read_page
    from workflow_agent.knowledge.facts import (
        Extraction,
        Fact,
        FactKind,
        FactSource,
        Flag,
        FlagKind,
        PageCommand,
        SourceKind,
    )
    from workflow_agent.knowledge.fetching import Fetched, FetchLimits, fetch_page

__all__ = [
    "Extraction",
    "Fact",
    "FactKind",
    "FactSource",
    "FetchLimits",
    "Fetched",
    "Flag",
    "FlagKind",
    "PageCommand",
    "SourceKind",
    "extract",
    "fetch_page",
    "parse_page",
    "read_page",
]

_HOMES = {
    "extracting": ("extract", "parse_page", "read_page"),
    "facts": ("PageCommand", "Extraction", "Fact", "FactKind", "Flag", "FlagKind", "FactSource", "SourceKind"),
    "fetching": ("Fetched", "FetchLimits", "fetch_page"),
}


def __getattr__(name: str) -> Any:  # Any: whatever is asked for
    import importlib  # noqa: PLC0415  # late: a page is read by few commands

    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
