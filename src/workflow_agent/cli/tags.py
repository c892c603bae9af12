"""Tags as they are typed: NAME=VALUE, and NAME alone where any value will do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from workflow_agent.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TagFilter", "Tags", "tags_of", "wanted_tags"]

_OPTION = "--tag"
Tags = Annotated[
    list[str] | None,
    typer.Option(
        _OPTION,
        metavar="K=V",
        help="Tag the run; `history --tag` finds it.",
        rich_help_panel="What",
        show_default=False,
    ),
]
TagFilter = Annotated[
    list[str] | None,
    typer.Option(
        _OPTION, metavar="K[=V]", help="Only runs with this tag.", rich_help_panel="Filter", show_default=False
    ),
]


def tags_of(typed: Sequence[str]) -> dict[str, str]:
    """Read tags that a run gets; raises UsageError."""
    found: dict[str, str] = {}
    for text in typed:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"`{text[:60]}` is no tag", where=_OPTION, hint="write it as K=V")
        if name in found:
            raise UsageError(f"the tag `{name[:60]}` is given twice", where=_OPTION)
        found[name] = value
    return found


def wanted_tags(typed: Sequence[str]) -> dict[str, str | None]:
    """Read tags that runs are looked for by: None for any value; raises UsageError."""
    found: dict[str, str | None] = {}
    for text in typed:
        name, equals, value = text.partition("=")
        if not name:
            raise UsageError(f"`{text[:60]}` is no tag", where=_OPTION, hint="write it as K or K=V")
        found[name] = value if equals else None
    return found
