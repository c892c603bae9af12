"""`discover`: what a target has, and which integrations fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from workflow_agent.cli.grammar import declare
from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.past import ask
from workflow_agent.cli.style import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.cli.style import Style

__all__ = ["register"]

_PANEL = "What there is"


def discover(
    ctx: typer.Context,
    *,
    target: Annotated[str, typer.Option("--target", metavar="NAME", help="Where: host, docker:CONTAINER.")] = "host",
) -> Outcome:
    """Find what runs or is installed, and the integrations that fit."""
    from workflow_agent.app.discovering import discover as look  # noqa: PLC0415  # late: one command needs it

    found = ask(ctx.obj, lambda app: look(app, target))

    def lines(style: Style) -> Iterator[str]:
        if not found["items"]:
            yield f"nothing on {safe(target)} that an integration is for"
        for item in found["items"]:
            seen = ", ".join(f"{one['sign']} {one['value']} {one['observed']}" for one in item["evidence"])
            yield f"{style.paint(safe(item['found']), 'bold')} is {item['state']}"
            yield f"  seen: {safe(seen)}"
            for offer in item["offers"]:
                how = "looks after it" if offer["how"] == "monitors" else "is it"
                state = "installed by us" if offer["installed"] else how
                yield f"  {safe(offer['integration'])} ({state}): `{safe(offer['command'])}`"

    unread = tuple(
        f"the integration `{name}` cannot be read, so nothing was looked for" for name in found["unreadable"]
    )
    return Outcome(data=found, lines=lines, warnings=unread)


def register(app: typer.Typer) -> None:
    """Add the command."""
    declare(app, "discover", panel=_PANEL, examples=["discover", "discover --target docker:web --json"])(discover)
